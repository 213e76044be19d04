//! Honest lines in requests with an unusual spelling of the host or path.

use super::Try;
use crate::spoofing::sent::Expected::{self, AsRead, Redirected, Refused, Undecided, With};
use crate::spoofing::sent::{Http1, Sent};
use crate::spoofing::what::{HOST, What};

/// The honest line in a request to this target at this host.
fn at(what: &What, target: &str, host: &str, expected: Expected) -> Try {
    let request = Http1 {
        target: target.to_owned(),
        host: host.to_owned(),
        ..Http1::of(what, &[what.line()])
    };
    (Sent::Http1(request), expected)
}

/// If the rollout names a host, this is another one.
fn elsewhere(named: bool) -> Expected {
    if named { Undecided } else { With }
}

pub fn hosts(what: &What, named: bool) -> Vec<Try> {
    let same = [
        format!("{HOST}."),
        format!("{HOST}:80"),
        format!("{HOST}.:80"),
        format!("{HOST}:"),
        HOST.to_uppercase(),
        format!("{}.:443", HOST.to_uppercase()),
    ];
    let others = [
        format!("{HOST}.."),
        format!(".{HOST}"),
        format!("{HOST}.example.org"),
        format!("{HOST},{HOST}"),
        format!("user@{HOST}"),
        String::new(),
    ];
    let same = same.map(|host| at(what, "/checkout", &host, With));
    let others = others.map(|host| at(what, "/checkout", &host, elsewhere(named)));
    let invalid = [format!("{HOST}/"), format!("{HOST} x"), format!("{HOST}é")];
    let invalid = invalid.map(|host| at(what, "/checkout", &host, Refused(400)));
    same.into_iter().chain(others).chain(invalid).collect()
}

fn targets<const N: usize>(what: &What, targets: [(&str, Expected); N]) -> Vec<Try> {
    let tries = targets.map(|(target, expected)| at(what, target, HOST, expected));
    tries.into()
}

pub fn encoded_paths(what: &What, _: bool) -> Vec<Try> {
    targets(
        what,
        [
            ("/%63heckout", With),
            ("/%43heckout", Undecided),
            ("/checkout/%70ay", With),
            ("/x/%2e%2e/checkout", With),
            ("/%2E/checkout", With),
            ("/checkout%2fpay", Redirected("/checkout/pay")),
            ("/%2Fcheckout", Redirected("/checkout")),
            ("/x/..%2fcheckout", Redirected("/checkout")),
            ("/x%5c..%5ccheckout", Redirected("/checkout")),
            ("/checkout/..%2fx", Redirected("/x")),
            ("/checkout/%2e%2e/x", Undecided),
            ("/checkout/../x", Undecided),
            ("/%2563heckout", Undecided),
            ("/checkout%252fpay", Undecided),
            ("/checkout%3fa", Undecided),
            ("/checkout%20", Undecided),
            ("/%c0%afcheckout", Undecided),
            ("/checkout%00", Refused(400)),
            ("/checkout#x", Refused(400)),
        ],
    )
}

pub fn double_slashes(what: &What, _: bool) -> Vec<Try> {
    targets(
        what,
        [
            ("//checkout", With),
            ("///checkout//", With),
            ("/checkout//pay", With),
            ("/.//checkout", With),
            ("/\\checkout", With),
            ("//shop.example.com/checkout", Undecided),
            ("/x//../checkout", AsRead),
            ("/checkout//../x", AsRead),
            ("\\checkout", Refused(400)),
        ],
    )
}

pub fn path_parameters(what: &What, _: bool) -> Vec<Try> {
    targets(
        what,
        [
            // A segment with a parameter is another segment, also for routes.
            ("/checkout;v=2", Undecided),
            ("/checkout;", Undecided),
            ("/checkout;v=2/pay", Undecided),
            ("/;v=2/checkout", Undecided),
            ("/checkout%3Bv=2", Undecided),
            ("/checkout/;v=2", With),
            ("/checkout/pay;v=2", With),
            ("/checkout?;v=2", With),
            ("/x;v=2/../checkout", With),
            // Only some versions of Envoy decode these as dots.
            ("/x/..;/checkout", AsRead),
            ("/checkout/..;/x", AsRead),
        ],
    )
}

pub fn absolute_targets(what: &What, named: bool) -> Vec<Try> {
    let elsewhere = elsewhere(named);
    let mut tries = targets(
        what,
        [
            ("http://shop.example.com/checkout", With),
            ("HTTP://SHOP.EXAMPLE.COM/checkout", With),
            ("http://shop.example.com.:80/checkout", With),
            ("http://user:secret@shop.example.com/checkout", With),
            ("http://shop.example.com//checkout", With),
            (
                "http://shop.example.com/x/..%2fcheckout",
                Redirected("/checkout"),
            ),
            ("http://shop.example.com/checkout;v=2", Undecided),
            ("http://shop.example.com", Undecided),
            ("http://other.example.com/checkout", elsewhere),
            ("http:///checkout", Refused(400)),
            ("http:/checkout", Refused(400)),
            ("checkout", Refused(400)),
            ("https://shop.example.com/checkout", Refused(403)),
            ("ftp://shop.example.com/checkout", Refused(400)),
        ],
    );
    // The host of the target wins, and the upstream receives it.
    tries.push(at(
        what,
        "http://shop.example.com/checkout",
        "other.example.com",
        With,
    ));
    tries
}

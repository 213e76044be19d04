//! Lines sent over another protocol, or after the headers.

use super::{Try, other};
use crate::spoofing::sent::Expected::{Closed, With, Without};
use crate::spoofing::sent::{Fields, Http1, Sent, field};
use crate::spoofing::what::{Kind, What};

pub fn http2(what: &What, _: bool) -> Vec<Try> {
    let sent = |lines: Vec<Vec<u8>>, expected| {
        let beside = what.beside.map(|line| line.as_bytes().to_vec());
        let fields = lines.into_iter().chain(beside);
        let fields = fields.map(|line| field(&line)).collect();
        let trailers = Fields::new();
        (Sent::Http2 { fields, trailers }, expected)
    };
    let named = |name: &str| {
        let (_, value) = field(&what.line());
        (Sent::Malformed(vec![(name.to_owned(), value)]), Closed)
    };
    let header = what.header();
    let ours = what.line();
    let others = what.line_of(what.name, what.other());
    let mut tries = vec![
        sent(vec![ours.clone()], With),
        named(&header.to_uppercase()),
        named(&format!(":{header}")),
        named(&format!("{header} ")),
        named(&format!("{header}\r\n")),
    ];
    let smuggled = [b"1\r\n", &ours[..]].concat();
    tries.push((
        Sent::Malformed(vec![("x-harmless".to_owned(), smuggled)]),
        Closed,
    ));
    if what.kind == Kind::Cookie {
        // Cookie crumbs, which Envoy joins.
        let crumb = b"cookie: a=1".to_vec();
        let halves = [
            what.line_of(what.name, ""),
            format!("cookie: {}", what.value).into_bytes(),
        ];
        tries.push(sent(vec![crumb.clone(), ours.clone()], With));
        tries.push(sent(vec![ours.clone(), crumb, others.clone()], With));
        tries.push(sent(vec![others, ours], other(what, what.other())));
        tries.push(sent(halves.to_vec(), Without));
    } else {
        let both = if what.is_identity { Without } else { With };
        let underscored = what.line_of(what.name.replace('-', "_"), what.value);
        tries.push(sent(vec![ours.clone(), ours.clone()], both.clone()));
        tries.push(sent(vec![others, ours], both));
        tries.push(sent(vec![underscored], Without));
    }
    tries
}

pub fn trailers(what: &What, _: bool) -> Vec<Try> {
    let ours = what.line();
    let header = what.header();
    let others = what.line_of(what.name, what.other());
    let chunked = |headers: Vec<Vec<u8>>, trailer: &[u8], expected| {
        let mut lines = headers;
        lines.push(b"transfer-encoding: chunked".to_vec());
        let rest = [b"4\r\nbody\r\n0\r\n", trailer, b"\r\n\r\n"].concat();
        let request = Http1 {
            method: "POST",
            rest,
            ..Http1::of(what, &lines)
        };
        (Sent::Http1(request), expected)
    };
    let http2 = |headers: Vec<Vec<u8>>, trailer: &[u8], expected| {
        let beside = what.beside.map(|line| line.as_bytes().to_vec());
        let fields = headers.into_iter().chain(beside);
        let fields = fields.map(|line| field(&line)).collect();
        let trailers = vec![field(trailer)];
        (Sent::Http2 { fields, trailers }, expected)
    };
    let declared = format!("trailer: {header}").into_bytes();
    vec![
        chunked(vec![], &ours, Without),
        chunked(vec![declared.clone()], &ours, Without),
        // Not a duplicate either.
        chunked(vec![ours.clone()], &others, With),
        http2(vec![], &ours, Without),
        http2(vec![declared], &ours, Without),
        http2(vec![ours.clone()], &others, With),
    ]
}

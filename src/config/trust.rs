//! Trust: whose decisions are accepted.

use crate::build::Build;
use crate::limits::{MAX_PRINCIPALS, TRUST_FROM};
use crate::spec;
use crate::values::only_true;
use divvy_core::assignment::{Inheritance, Principal, Trust};
use divvy_core::policy::HeaderRole;
use divvy_core::request::HeaderId;
use divvy_json::error::Path;

const NO_URI: &str =
    "is not the URI of a peer, such as spiffe://cluster.local/ns/istio-system/sa/gateway";

pub(crate) fn compile(
    at: Path<'_>,
    raw: Option<spec::TrustSpec<'_>>,
    build: &Build<'_>,
) -> Option<Inheritance> {
    let raw = raw?;
    if raw.principals.is_none() && raw.workload.is_none() {
        at.error("has no one to trust: write principals, workload or both");
    }
    let principals = raw.principals.map(|list| {
        let at = at.field("principals");
        if list.is_empty() {
            at.error("is empty: leave it out to trust no peer");
        }
        let list = list.at_most(MAX_PRINCIPALS, "principals", at);
        list.each(at, principal)
    });
    if let Some(flag) = raw.workload {
        only_true(at.field("workload"), flag);
    }
    let (header, member) = source(at, raw.from, build)?;
    let trust = Trust {
        principals: principals.unwrap_or_default(),
        workload: raw.workload.unwrap_or_default(),
    };
    Some(Inheritance {
        header,
        member,
        trust,
    })
}

/// The header that has the decisions, and the member if it is baggage.
fn source(
    at: Path<'_>,
    from: Option<&str>,
    build: &Build<'_>,
) -> Option<(HeaderId, Option<Box<str>>)> {
    match from {
        None | Some("assignment") => {
            let header = build.headers.written(HeaderRole::Assignment);
            if header.is_none() && !build.headers.has(HeaderRole::Assignment) {
                at.error("needs a header: name it in headers.assignment");
            }
            Some((header?, None))
        }
        Some("baggage") => {
            let found = build.headers.baggage();
            if found.is_none() {
                at.field("from")
                    .error("needs a member: name it in headers.baggage");
            }
            found.map(|(header, member)| (header, Some(member)))
        }
        Some(other) => {
            at.field("from").unknown_name(other, TRUST_FROM.into_iter());
            None
        }
    }
}

fn principal(at: Path<'_>, text: &str) -> Option<Principal> {
    let (prefix, open) = match text.strip_suffix('*') {
        Some(prefix) => (prefix, true),
        None => (text, false),
    };
    let visible = prefix.bytes().all(|byte| byte.is_ascii_graphic());
    let Some((scheme, rest)) = prefix.split_once("://").filter(|_| visible) else {
        at.error(format_args!("{text:?} {NO_URI}"));
        return None;
    };
    if prefix.contains('*') {
        at.error(format_args!(
            "{text:?} has a * that is not its last character"
        ));
        return None;
    }
    // `spiffe://cluster.local*` also matches `spiffe://cluster.local.example/`.
    let bounded = rest.find('/').is_some_and(|slash| slash > 0);
    if scheme.is_empty() || rest.is_empty() || (open && !bounded) {
        let message = if open {
            format_args!(
                "{text:?} has its * in the trust domain, which other domains would match: end it with /"
            )
        } else {
            format_args!("{text:?} {NO_URI}")
        };
        at.error(message);
        return None;
    }
    Some(if open {
        Principal::Prefix(prefix.into())
    } else {
        Principal::Exact(prefix.into())
    })
}

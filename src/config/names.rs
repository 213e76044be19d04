//! Which names, header names and targets are allowed.

use crate::limits::{self, MAX_HOST, MAX_NAME, MAX_TARGET};
use divvy_json::error::Path;

const TOO_LONG: &str = "is longer than 1024 bytes, the maximum of a target";

/// Fragments that the stat tag extractors of Istio's proxies look for anywhere in a stat
/// name. A name with one of them would be cut apart and its metrics lost.
const CUT_BY_ISTIO: [&str; 8] = [
    "cache.",
    "component.",
    "tag.",
    "wasm_filter.",
    "rbac.",
    ".istio_dry_run_",
    ".shadow_",
    "_rq_",
];

/// Headers that others write. Overwriting one breaks the request or its receiver.
const STANDARD_HEADERS: [&str; 33] = [
    "accept",
    "access-control-request-method",
    "authorization",
    "baggage",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "location",
    "origin",
    "proxy-authorization",
    "server",
    "set-cookie",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];

/// Checks the name of a rollout, which is also a key of the assignment.
pub(crate) fn rollout(at: Path<'_>, name: &str) {
    let valid = is_name(
        name,
        |first| first.is_ascii_lowercase(),
        |rest| !rest.is_ascii_uppercase(),
    );
    check(at, name, valid, limits::ROLLOUT_NAME);
    not_cut(at, name);
}

/// Checks the name of a version.
pub(crate) fn version(at: Path<'_>, name: &str) {
    other(at, name);
    not_cut(at, name);
}

/// Checks the name of a rule or a salt, which are no labels.
pub(crate) fn other(at: Path<'_>, name: &str) {
    let valid = is_name(name, |first| first.is_ascii_alphanumeric(), |_| true);
    check(at, name, valid, limits::NAME);
}

fn is_name(name: &str, first: fn(u8) -> bool, others: fn(u8) -> bool) -> bool {
    let mut bytes = name.bytes();
    name.len() <= MAX_NAME
        && name.bytes().all(in_alphabet)
        && bytes.next().is_some_and(first)
        && bytes.all(others)
}

const fn in_alphabet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn check(at: Path<'_>, name: &str, valid: bool, pattern: &str) {
    if !valid {
        at.error(format_args!(
            "{name:?} is not a valid name: it must match {pattern}"
        ));
    }
}

/// Checks that a name can be a label.
fn not_cut(at: Path<'_>, name: &str) {
    if let Some(part) = CUT_BY_ISTIO.iter().find(|part| name.contains(**part)) {
        let message =
            format_args!("{name:?} contains {part:?}, at which Istio splits the names of metrics");
        at.error(message);
    }
}

/// Checks the name of a header to read, and puts it in lower case.
pub(crate) fn header(at: Path<'_>, name: &str) -> Option<String> {
    if name.starts_with(':') {
        let message = format_args!("{name:?} is a pseudo-header: use path, method or host");
        at.error(message);
        return None;
    }
    if name.eq_ignore_ascii_case("host") {
        at.error("\"host\" arrives as :authority in Envoy: use host");
        return None;
    }
    if name.is_empty() || !name.bytes().all(is_token) {
        at.error(format_args!("{name:?} is not a header name"));
        return None;
    }
    Some(name.to_ascii_lowercase())
}

/// Checks the name of a header to write, and puts it in lower case.
pub(crate) fn own_header(at: Path<'_>, name: &str) -> Option<String> {
    let pseudo = name.starts_with(':');
    if pseudo
        || STANDARD_HEADERS
            .iter()
            .any(|other| other.eq_ignore_ascii_case(name))
    {
        let message =
            format_args!("{name:?} is a standard header: choose one that only divvy writes");
        at.error(message);
        return None;
    }
    header(at, name)
}

/// Checks the name of a cookie.
pub(crate) fn cookie(at: Path<'_>, name: &str) -> bool {
    let valid = !name.is_empty() && name.bytes().all(is_token);
    if !valid {
        at.error(format_args!("{name:?} is not a cookie name"));
    }
    valid
}

/// Whether a cookie can be for this domain and those below it.
pub(crate) fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        let bytes = label.as_bytes();
        !label.is_empty()
            && !label.starts_with('-')
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    name.len() <= MAX_HOST && name.split('.').all(label)
}

/// Checks the key of a query parameter, which is compared without decoding.
pub(crate) fn query_key(at: Path<'_>, key: &str) -> bool {
    let valid = !key.is_empty() && !key.contains(['&', '=', '#', ' ']);
    if !valid {
        at.error(format_args!(
            "{key:?} is not a query key: it may not be empty nor contain &, =, # or a space"
        ));
    }
    valid
}

/// Checks the key of a label, which is between `;` and `=`.
pub(crate) fn label_key(at: Path<'_>, key: &str) -> bool {
    let valid = !key.is_empty() && !key.contains([';', '=']) && key.trim() == key;
    if !valid {
        at.error(format_args!(
            "{key:?} is not a label key: it may not be empty nor contain ; or ="
        ));
    }
    valid
}

/// Checks a revision, which may be empty.
pub(crate) fn revision(at: Path<'_>, revision: &str) {
    let valid = revision.is_empty() || is_name(revision, |_| true, |_| true);
    check(at, revision, valid, limits::REVISION);
}

/// Puts the version into a target's template and checks that the result can be sent.
pub(crate) fn target(at: Path<'_>, template: &str, version: &str) -> Option<Box<str>> {
    if template.len() > MAX_TARGET {
        at.error(TOO_LONG);
        return None;
    }
    // The name has an error of its own.
    if version.len() > MAX_NAME {
        return None;
    }
    let target = template.replace("{version}", version);
    if target.len() > MAX_TARGET {
        at.error(TOO_LONG);
        return None;
    }
    if target.contains(['{', '}']) {
        at.error(format_args!(
            "{template:?} has a brace that is not part of {{version}}, the only placeholder"
        ));
        return None;
    }
    let visible = target.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if target.is_empty() || !visible || target.trim() != target {
        at.error(format_args!(
            "{target:?} is not a target: write visible ASCII characters"
        ));
        return None;
    }
    Some(target.into())
}

/// The characters of an RFC 9110 token.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

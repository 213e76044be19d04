//! Conditions and the scope of a rollout.

use std::collections::BTreeSet;

use memchr::memmem::Finder;

use super::error::{At, Errors};
use super::headers::Headers;
use super::shape::{self, Items, Operator};
use super::{MAX_DEPTH, names};
use crate::matching::{Condition, Scope, Source, Test};
use crate::request::host::{Pattern, normalized};

/// Compiles a condition that stands `depth` others deep.
pub(super) fn condition(
    at: At<'_>,
    mut raw: shape::Condition,
    depth: usize,
    headers: &mut Headers,
    errors: &mut Errors,
) -> Option<Condition> {
    if depth >= MAX_DEPTH {
        let message = format!("conditions stand more than {MAX_DEPTH} deep in one another");
        errors.add(at, message);
        return None;
    }
    let deeper = depth.saturating_add(1);
    let operator = raw.operator();
    let mut found: Vec<Option<Condition>> = Vec::new();
    if let Some(parts) = raw.all.take() {
        let parts = list(at.field("all"), parts, deeper, headers, errors);
        found.push(parts.map(Condition::All));
    }
    if let Some(parts) = raw.any.take() {
        let parts = list(at.field("any"), parts, deeper, headers, errors);
        found.push(parts.map(Condition::Any));
    }
    if let Some(inner) = raw.not.take() {
        let inner = condition(at.field("not"), *inner, deeper, headers, errors);
        found.push(inner.map(|inner| Condition::Not(Box::new(inner))));
    }
    let combinations = found.len();
    let sources = sources(at, &raw, headers, errors);
    match (combinations, sources.len()) {
        (1, 0) => {
            if let Some(given) = given(&operator).first() {
                errors.add(at.field(given), "this operator has no source to look at");
            }
            found.pop().flatten()
        }
        (0, 1) => {
            let source = sources.into_iter().next().flatten();
            let test = test(at, operator, source.as_ref(), errors);
            Some(Condition::Leaf(source?, test?))
        }
        (0, 0) => {
            errors.add(
                at,
                "names nothing to look at: header, cookie, query, path, method, host, all, any or not",
            );
            None
        }
        _ => {
            errors.add(
                at,
                "names several things to look at: combine conditions with all or any",
            );
            None
        }
    }
}

fn list(
    at: At<'_>,
    parts: Items<shape::Condition>,
    depth: usize,
    headers: &mut Headers,
    errors: &mut Errors,
) -> Option<Vec<Condition>> {
    if parts.is_empty() {
        errors.add(at, "is empty");
        return None;
    }
    let parts = parts.each(at, errors, |at, part, errors| {
        condition(at, part, depth, headers, errors)
    });
    Some(parts)
}

/// The sources that are named; `None` for one with something wrong.
fn sources(
    at: At<'_>,
    raw: &shape::Condition,
    headers: &mut Headers,
    errors: &mut Errors,
) -> Vec<Option<Source>> {
    let mut found = Vec::new();
    if let Some(name) = &raw.header {
        found.push(
            headers
                .read(at.field("header"), name, errors)
                .map(Source::Header),
        );
    }
    if let Some(name) = &raw.cookie {
        found.push(
            headers
                .cookie(at.field("cookie"), name, errors)
                .map(Source::Cookie),
        );
    }
    if let Some(name) = &raw.query {
        found.push(
            headers
                .query(at.field("query"), name, errors)
                .map(Source::Query),
        );
    }
    let flags = [
        ("path", raw.path, Source::Path),
        ("method", raw.method, Source::Method),
        ("host", raw.host, Source::Host),
    ];
    for (field, flag, source) in flags {
        if flag == Some(false) {
            errors.add(at.field(field), "write true, or leave it out");
        }
        if flag.is_some() {
            found.push(Some(source));
        }
    }
    found
}

fn given(operator: &Operator) -> Vec<&'static str> {
    let fields = [
        ("exact", operator.exact.is_some()),
        ("prefix", operator.prefix.is_some()),
        ("suffix", operator.suffix.is_some()),
        ("contains", operator.contains.is_some()),
        ("in", operator.r#in.is_some()),
        ("present", operator.present.is_some()),
    ];
    fields
        .iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| *name)
        .collect()
}

fn test(
    at: At<'_>,
    operator: Operator,
    source: Option<&Source>,
    errors: &mut Errors,
) -> Option<Test> {
    match given(&operator).as_slice() {
        [_] => {}
        [] => {
            errors.add(
                at,
                "has no operator: exact, prefix, suffix, contains, in or present",
            );
            return None;
        }
        several => {
            let message = format!("has {} operators where one is meant", several.join(" and "));
            errors.add(at, message);
            return None;
        }
    }
    let Operator {
        exact,
        prefix,
        suffix,
        contains,
        r#in,
        present,
    } = operator;
    let values = Values { source };
    if let Some(text) = exact {
        return values
            .whole(at.field("exact"), &text, errors)
            .map(Test::Exact);
    }
    if let Some(text) = prefix {
        let at = at.field("prefix");
        if matches!(source, Some(Source::Path)) {
            return values.whole(at, &text, errors).map(Test::PathPrefix);
        }
        return values.part(at, &text, errors).map(Test::Prefix);
    }
    if let Some(text) = suffix {
        return values
            .part(at.field("suffix"), &text, errors)
            .map(Test::Suffix);
    }
    if let Some(text) = contains {
        let needle = values.part(at.field("contains"), &text, errors)?;
        return Some(Test::Contains(Box::new(Finder::new(&needle).into_owned())));
    }
    if let Some(list) = r#in {
        let at = at.field("in");
        if list.is_empty() {
            errors.add(at, "is empty");
        }
        let list = list.each(at, errors, |at, text, errors| {
            values.whole(at, &text, errors)
        });
        // Not collected: that would sort first, and the code for it is 7 KB.
        let mut set = BTreeSet::new();
        for value in list {
            set.insert(value);
        }
        return Some(Test::In(set));
    }
    present.map(Test::Present)
}

/// The values of operators, brought into the form in which the source is compared.
struct Values<'a> {
    source: Option<&'a Source>,
}

impl Values<'_> {
    /// A value that is compared from its beginning.
    fn whole(&self, at: At<'_>, text: &str, errors: &mut Errors) -> Option<Box<[u8]>> {
        if matches!(self.source, Some(Source::Path)) && !text.starts_with('/') && text != "*" {
            errors.add(at, format!("{text:?} is no path: it begins with /"));
            return None;
        }
        self.checked(at, text, errors)
    }

    /// A value of which something is left when it is cut out of another.
    fn part(&self, at: At<'_>, text: &str, errors: &mut Errors) -> Option<Box<[u8]>> {
        if text.is_empty() {
            errors.add(at, "is empty, which everything has: use present");
            return None;
        }
        self.checked(at, text, errors)
    }

    fn checked(&self, at: At<'_>, text: &str, errors: &mut Errors) -> Option<Box<[u8]>> {
        match self.source {
            Some(Source::Path) if text.contains('?') => {
                let message = format!("{text:?} has a ?, where the path ends: use query");
                errors.add(at, message);
                None
            }
            // Compared in the form in which a request's host is.
            Some(Source::Host) => {
                let host = normalized(text.as_bytes());
                if host.len() != text.len() {
                    let message = format!(
                        "{text:?} has a port or a final dot, and hosts are compared without"
                    );
                    errors.add(at, message);
                    return None;
                }
                Some(host.into())
            }
            Some(Source::Method) => method(at, text, errors),
            _ => Some(text.as_bytes().into()),
        }
    }
}

/// Compiles one entry of `match`.
pub(super) fn scope(at: At<'_>, raw: shape::Scope, errors: &mut Errors) -> Option<Scope> {
    if raw.hosts.is_none() && raw.path.is_none() && raw.methods.is_none() {
        errors.add(
            at,
            "names no hosts, path or methods: leave match out to look at every request",
        );
    }
    let path = raw
        .path
        .map(|operator| test(at.field("path"), operator, Some(&Source::Path), errors));
    Some(Scope {
        hosts: some_of(at.field("hosts"), raw.hosts, errors, host),
        path: path.flatten(),
        methods: some_of(at.field("methods"), raw.methods, errors, method),
    })
}

/// The elements of a list that may be absent, but not empty.
fn some_of<T>(
    at: At<'_>,
    list: Option<Items<String>>,
    errors: &mut Errors,
    element: fn(At<'_>, &str, &mut Errors) -> Option<T>,
) -> Vec<T> {
    let Some(list) = list else {
        return Vec::new();
    };
    if list.is_empty() {
        errors.add(at, "is empty, so nothing would match");
    }
    list.each(at, errors, |at, text, errors| element(at, &text, errors))
}

fn host(at: At<'_>, text: &str, errors: &mut Errors) -> Option<Pattern> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('.').unwrap_or(&lower);
    let (name, below) = match lower.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (lower, false),
    };
    let bracketed = name.starts_with('[') && name.ends_with(']') && !below;
    let plain = !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if name.is_empty() || !(bracketed || plain) {
        errors.add(
            at,
            format!("{text:?} is no host: a name without port, or *. and a name"),
        );
        return None;
    }
    Some(if below {
        Pattern::Below(format!(".{name}").into_bytes().into())
    } else {
        Pattern::Exact(name.as_bytes().into())
    })
}

fn method(at: At<'_>, text: &str, errors: &mut Errors) -> Option<Box<[u8]>> {
    const KNOWN: [&str; 9] = [
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
    ];
    let upper = text.to_ascii_uppercase();
    if text.is_empty() || !text.bytes().all(names::is_token) {
        errors.add(at, format!("{text:?} is no method"));
        return None;
    }
    if upper != text && KNOWN.contains(&upper.as_str()) {
        errors.add(
            at,
            format!("{text:?} is no method: it is written {upper:?}"),
        );
        return None;
    }
    Some(text.as_bytes().into())
}

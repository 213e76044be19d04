//! The entries of a rollout's `match`.

use crate::build::Build;
use crate::condition;
use crate::limits::MAX_HOST;
use crate::operator;
use crate::operator::compile as compile_operator;
use crate::spec::{self, Items};
use divvy_core::condition::ValueKind;
use divvy_core::policy::scope::{HostPattern, Scope};
use divvy_json::error::Path;

/// Compiles one entry of `match`.
pub(crate) fn compile(
    at: Path<'_>,
    raw: &spec::ScopeSpec<'_>,
    build: &mut Build<'_>,
) -> Option<Scope> {
    let is_empty = raw.hosts.is_none() && raw.path.is_none() && raw.methods.is_none();
    if is_empty && raw.when.is_none() {
        at.error("has no hosts, path, methods or when: leave match out to match every request");
    }
    let path = raw
        .path
        .as_ref()
        .map(|operator| compile_operator(at.field("path"), operator, ValueKind::Path, build));
    let when = raw.when.as_ref().map(|when| {
        build.in_match = true;
        let when = condition::compile(at.field("when"), when, 0, build);
        build.in_match = false;
        when
    });
    Some(Scope {
        hosts: some_of(at.field("hosts"), raw.hosts, host),
        path: path.flatten(),
        methods: some_of(at.field("methods"), raw.methods, operator::method),
        when: when.flatten(),
    })
}

/// The elements of a list that may be absent, but not empty.
pub(crate) fn some_of<T>(
    at: Path<'_>,
    list: Option<Items<'_, &str>>,
    element: fn(Path<'_>, &str) -> Option<T>,
) -> Vec<T> {
    let Some(list) = list else {
        return Vec::new();
    };
    if list.is_empty() {
        at.error("is empty and would match no request");
    }
    list.each(at, element)
}

fn host(at: Path<'_>, text: &str) -> Option<HostPattern> {
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
    if name.is_empty() || name.len() > MAX_HOST || !(bracketed || plain) {
        at.error(format_args!(
            "{text:?} is not a host: write a name without port, or *. and a name"
        ));
        return None;
    }
    Some(if below {
        HostPattern::Below(format!(".{name}").into_bytes().into())
    } else {
        HostPattern::Exact(name.as_bytes().into())
    })
}

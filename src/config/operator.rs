//! Operators: what a value is held against.

use std::net::IpAddr;

use memchr::memmem::Finder;

use super::build::Build;
use super::limits::MAX_PATH;
use super::names;
use super::spec::{self, OneOrMany, OperatorSpec};
use crate::condition::Matcher;
use crate::condition::cidr::{Networks, network};
use crate::condition::range::Range;
use crate::condition::regex::Regex;
use crate::condition::semver::VersionRequirement;
use crate::error::Path;
use crate::request::host::normalized;

/// What the values of a source are like, as far as operators care.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    Text,
    Path,
    Host,
    Method,
    Address,
}

/// Those that are given, without `ignoreCase`.
pub(super) fn given(operator: &OperatorSpec<'_>) -> Vec<&'static str> {
    let fields = [
        ("exact", operator.exact.is_some()),
        ("prefix", operator.prefix.is_some()),
        ("suffix", operator.suffix.is_some()),
        ("contains", operator.contains.is_some()),
        ("in", operator.r#in.is_some()),
        ("present", operator.present.is_some()),
        ("regex", operator.regex.is_some()),
        ("semver", operator.semver.is_some()),
        ("range", operator.range.is_some()),
        ("cidr", operator.cidr.is_some()),
    ];
    let given = fields.iter().filter(|(_, given)| *given);
    given.map(|(name, _)| *name).collect()
}

/// Compiles the one operator that is given.
pub(super) fn compile(
    at: Path<'_>,
    operator: &OperatorSpec<'_>,
    kind: ValueKind,
    build: &mut Build,
) -> Option<Matcher> {
    let name = match given(operator).as_slice() {
        [name] => *name,
        [] => {
            at.error("has no operator: write one of exact, prefix, suffix, contains, in, present, regex, \
                 semver, range, cidr");
            return None;
        }
        several => {
            let message = format_args!(
                "has several operators, {}: write one",
                several.join(" and ")
            );
            at.error(message);
            return None;
        }
    };
    let ignore_case = operator.ignore_case == Some(true);
    if operator.ignore_case.is_some() && matches!(name, "present" | "semver" | "range" | "cidr") {
        at.field("ignoreCase")
            .error(format_args!("has no effect on {name}: leave it out"));
    }
    let text = TextOperand { kind, ignore_case };
    let at = at.field(name);
    let test = text_operator(at, operator, &text, build)?;
    Some(if ignore_case && !matches!(test, Matcher::Regex(_)) {
        Matcher::IgnoreCase(Box::new(test))
    } else {
        test
    })
}

fn text_operator(
    at: Path<'_>,
    operator: &OperatorSpec<'_>,
    text: &TextOperand,
    build: &mut Build,
) -> Option<Matcher> {
    if let Some(value) = operator.exact {
        return text.whole(at, value).map(Matcher::Exact);
    }
    if let Some(value) = operator.prefix {
        if text.kind == ValueKind::Path {
            return text.whole(at, value).map(Matcher::PathPrefix);
        }
        return text.part(at, value, false).map(Matcher::Prefix);
    }
    if let Some(value) = operator.suffix {
        return text.part(at, value, true).map(Matcher::Suffix);
    }
    if let Some(value) = operator.contains {
        let needle = text.part(at, value, false)?;
        return Some(Matcher::Contains(Box::new(
            Finder::new(&needle).into_owned(),
        )));
    }
    if let Some(list) = operator.r#in {
        if list.is_empty() {
            at.error("is empty");
        }
        let list = list.each(at, |at, value| text.whole(at, value));
        return Some(Matcher::In(list.iter().map(|value| &**value).collect()));
    }
    if let Some(present) = operator.present {
        return Some(Matcher::Present(present));
    }
    if let Some(pattern) = operator.regex {
        if !build.count_regex(at) {
            return None;
        }
        let pattern = told(at, Regex::new(pattern, text.ignore_case))?;
        return Some(Matcher::Regex(Box::new(pattern)));
    }
    if let Some(requirement) = operator.semver {
        let requirement = told(at, VersionRequirement::parse(requirement))?;
        return Some(Matcher::Semver(Box::new(requirement)));
    }
    if let Some(ends) = &operator.range {
        return range(at, ends).map(Matcher::Range);
    }
    let networks = match operator.cidr? {
        OneOrMany::One(text) => told(at, network(text)).into_iter().collect(),
        OneOrMany::Many(list) => {
            if list.is_empty() {
                at.error("is empty");
            }
            list.each(at, |at, text| told(at, network(text)))
        }
    };
    Some(Matcher::Cidr(Networks::new(networks)))
}

/// The value, or a note of what is wrong with it.
fn told<T>(at: Path<'_>, result: Result<T, String>) -> Option<T> {
    result.map_err(|message| at.error(&message)).ok()
}

fn range(at: Path<'_>, raw: &spec::RangeSpec) -> Option<Range> {
    let spec::RangeSpec { min, max } = *raw;
    match (min, max) {
        (None, None) => at.error("has no bound: write min, max or both"),
        (Some(min), Some(max)) if min >= max => {
            at.error("is empty: min must be less than max, which is exclusive");
        }
        _ => return Some(Range { min, max }),
    }
    None
}

/// How the text of an operator is brought into the form in which the source is compared.
struct TextOperand {
    kind: ValueKind,
    ignore_case: bool,
}

impl TextOperand {
    /// A value that is compared from its beginning.
    fn whole(&self, at: Path<'_>, text: &str) -> Option<Box<[u8]>> {
        match self.kind {
            ValueKind::Path if text.len() > MAX_PATH => {
                at.error(format_args!(
                    "is longer than {MAX_PATH} bytes, the maximum of a path"
                ));
                None
            }
            ValueKind::Path if !text.starts_with('/') && text != "*" => {
                at.error(format_args!("{text:?} is not a path: it must begin with /"));
                None
            }
            ValueKind::Address => match text.parse::<IpAddr>() {
                Ok(address) => Some(address.to_canonical().to_string().into_bytes().into()),
                Err(_) => {
                    at.error(format_args!(
                        "{text:?} is not an IP address: use cidr for a network"
                    ));
                    None
                }
            },
            _ => self.checked(at, text, true),
        }
    }

    /// A value that is cut out of another, `at_end` or anywhere else.
    fn part(&self, at: Path<'_>, text: &str, at_end: bool) -> Option<Box<[u8]>> {
        if text.is_empty() {
            at.error("is empty and would match every value: use present");
            return None;
        }
        self.checked(at, text, at_end)
    }

    fn checked(&self, at: Path<'_>, text: &str, at_end: bool) -> Option<Box<[u8]>> {
        let value: Box<[u8]> = match self.kind {
            ValueKind::Path if text.contains('?') => {
                let message = format_args!("{text:?} contains ?, which ends a path: use query");
                at.error(message);
                return None;
            }
            // Compared in the form in which a request's host is.
            ValueKind::Host if at_end => {
                let host = normalized(text.as_bytes());
                if host.len() != text.len() {
                    let message = format_args!(
                        "{text:?} has a port or a final dot: hosts are compared without"
                    );
                    at.error(message);
                    return None;
                }
                host.into()
            }
            ValueKind::Host => text.to_ascii_lowercase().into_bytes().into(),
            ValueKind::Method if self.ignore_case => method(at, &text.to_ascii_uppercase())?,
            ValueKind::Method => method(at, text)?,
            _ => text.as_bytes().into(),
        };
        Some(if self.ignore_case {
            value.to_ascii_lowercase().into()
        } else {
            value
        })
    }
}

/// Checks a method, which is case-sensitive.
pub(super) fn method(at: Path<'_>, text: &str) -> Option<Box<[u8]>> {
    const KNOWN: [&str; 9] = [
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
    ];
    let upper = text.to_ascii_uppercase();
    if text.is_empty() || !text.bytes().all(names::is_token) {
        at.error(format_args!("{text:?} is not a method"));
        return None;
    }
    if upper != text && KNOWN.contains(&upper.as_str()) {
        at.error(format_args!("{text:?} is not a method: write {upper:?}"));
        return None;
    }
    Some(text.as_bytes().into())
}

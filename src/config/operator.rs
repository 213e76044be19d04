//! Compiles operators: the operand is checked and brought into the form of the source's values.

use std::net::IpAddr;

use memchr::memmem::Finder;

use crate::build::Build;
use crate::limits::MAX_PATH;
use crate::names;
use crate::spec::{self, OneOrMany, OperatorSpec};
use divvy_core::condition::cidr::{Networks, network};
use divvy_core::condition::range::Range;
use divvy_core::condition::regex::Regex;
use divvy_core::condition::semver::VersionRequirement;
use divvy_core::condition::{Matcher, Operator, ValueKind};
use divvy_core::request::host::normalized;
use divvy_json::error::Path;

/// The operators that are given.
pub(crate) fn given(spec: &OperatorSpec<'_>) -> Vec<Operator> {
    let is_given = |operator: &Operator| match operator {
        Operator::Exact => spec.exact.is_some(),
        Operator::Prefix => spec.prefix.is_some(),
        Operator::Suffix => spec.suffix.is_some(),
        Operator::Contains => spec.contains.is_some(),
        Operator::In => spec.r#in.is_some(),
        Operator::Present => spec.present.is_some(),
        Operator::Regex => spec.regex.is_some(),
        Operator::Semver => spec.semver.is_some(),
        Operator::Range => spec.range.is_some(),
        Operator::Cidr => spec.cidr.is_some(),
    };
    Operator::ALL.into_iter().filter(is_given).collect()
}

/// Compiles the one operator that is given.
pub(crate) fn compile(
    at: Path<'_>,
    spec: &OperatorSpec<'_>,
    kind: ValueKind,
    build: &mut Build<'_>,
) -> Option<Matcher> {
    let operator = match given(spec).as_slice() {
        [operator] => *operator,
        [] => {
            let names: Vec<_> = Operator::names().collect();
            at.error(format_args!(
                "has no operator: write one of {}",
                names.join(", ")
            ));
            return None;
        }
        several => {
            let names: Vec<_> = several.iter().map(|operator| operator.name()).collect();
            at.error(format_args!(
                "has several operators, {}: write one",
                names.join(" and ")
            ));
            return None;
        }
    };
    let ignore_case = spec.ignore_case == Some(true);
    if spec.ignore_case.is_some() && !operator.compares_text() {
        at.field("ignoreCase").error(format_args!(
            "has no effect on {}: leave it out",
            operator.name()
        ));
    }
    let text = TextOperand { kind, ignore_case };
    let matcher = matcher(at.field(operator.name()), operator, spec, &text, build)?;
    Some(if ignore_case && operator != Operator::Regex {
        Matcher::IgnoreCase(Box::new(matcher))
    } else {
        matcher
    })
}

fn matcher(
    at: Path<'_>,
    operator: Operator,
    spec: &OperatorSpec<'_>,
    text: &TextOperand,
    build: &mut Build<'_>,
) -> Option<Matcher> {
    Some(match operator {
        Operator::Exact => Matcher::Exact(text.whole(at, spec.exact?)?),
        Operator::Prefix if text.kind == ValueKind::Path => {
            Matcher::PathPrefix(text.whole(at, spec.prefix?)?)
        }
        Operator::Prefix => Matcher::Prefix(text.part(at, spec.prefix?, false)?),
        Operator::Suffix => Matcher::Suffix(text.part(at, spec.suffix?, true)?),
        Operator::Contains => {
            let needle = text.part(at, spec.contains?, false)?;
            Matcher::Contains(Box::new(Finder::new(&needle).into_owned()))
        }
        Operator::In => {
            let list = spec.r#in?;
            if list.is_empty() {
                at.error("is empty");
            }
            let list = list.each(at, |at, value| text.whole(at, value));
            Matcher::In(list.iter().map(|value| &**value).collect())
        }
        Operator::Present => Matcher::Present(spec.present?),
        Operator::Regex => {
            if !build.count_regex(at) {
                return None;
            }
            let pattern = Regex::new(spec.regex?, text.ignore_case);
            Matcher::Regex(Box::new(valid(at, pattern)?))
        }
        Operator::Semver => {
            let requirement = VersionRequirement::parse(spec.semver?);
            Matcher::Semver(Box::new(valid(at, requirement)?))
        }
        Operator::Range => Matcher::Range(range(at, spec.range.as_ref()?)?),
        Operator::Cidr => Matcher::Cidr(Networks::new(match spec.cidr? {
            OneOrMany::One(text) => valid(at, network(text)).into_iter().collect(),
            OneOrMany::Many(list) => {
                if list.is_empty() {
                    at.error("is empty");
                }
                list.each(at, |at, text| valid(at, network(text)))
            }
        })),
    })
}

/// The value of a result; adds its error.
fn valid<T>(at: Path<'_>, result: Result<T, String>) -> Option<T> {
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
pub(crate) fn method(at: Path<'_>, text: &str) -> Option<Box<[u8]>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_the_schema_are_those_of_the_table() {
        let schema = crate::schema();
        let fields = schema["$defs"]["Operator"]["properties"]
            .as_object()
            .unwrap();
        let mut fields: Vec<_> = fields.keys().map(String::as_str).collect();
        let mut names: Vec<_> = Operator::names().chain(["ignoreCase"]).collect();
        fields.sort_unstable();
        names.sort_unstable();
        assert_eq!(fields, names);
    }
}

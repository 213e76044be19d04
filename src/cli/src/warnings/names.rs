//! Names, paths and methods that no request has.

use std::fmt::Write as _;

use serde_json::Value;

use super::kind::Kind;
use super::surroundings::Surroundings;
use super::warning::Warning;

pub(super) fn find(raw: &Value, surroundings: &Surroundings, found: &mut Vec<Warning>) {
    let mut search = NameSearch {
        surroundings,
        found,
    };
    search.value(raw, "");
}

struct NameSearch<'s> {
    surroundings: &'s Surroundings,
    found: &'s mut Vec<Warning>,
}

impl NameSearch<'_> {
    /// Examines an object or list of the configuration, and all below it.
    fn value(&mut self, value: &Value, path: &str) {
        match value {
            Value::Array(list) => {
                for (nth, item) in list.iter().enumerate() {
                    self.value(item, &format!("{path}[{nth}]"));
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    let below = join(path, key);
                    match (&**key, item) {
                        ("header", Value::String(name)) => self.header(name, &below, true),
                        ("responseHeader", Value::String(name)) if path.is_empty() => {
                            self.header(name, &below, false);
                        }
                        ("route" | "assignment" | "mirror" | "identity", Value::String(name))
                            if path == "headers" =>
                        {
                            self.header(name, &below, false);
                        }
                        ("group" | "id", Value::String(name)) if path.ends_with(".expose") => {
                            self.header(name, &below, false);
                        }
                        ("methods", Value::Array(methods)) => self.methods(methods, &below),
                        ("path", Value::Object(_)) => self.operands(item, &below, Self::path),
                        ("path", Value::Bool(true)) => self.operands(value, path, Self::path),
                        ("host", Value::Bool(true)) => self.operands(value, path, Self::host),
                        ("method", Value::Bool(true)) => self.operands(value, path, Self::method),
                        _ => {}
                    }
                    self.value(item, &below);
                }
            }
            _ => {}
        }
    }

    fn never(&mut self, path: &str, message: String) {
        self.found
            .push(Warning::new(Kind::NeverMatches, path, message));
    }

    fn header(&mut self, name: &str, path: &str, is_read: bool) {
        if is_read && name.contains('_') && self.surroundings.drops_underscores {
            let message = format!(
                "{name:?} never arrives: headers_with_underscores_action drops header names with an underscore; use {:?}",
                name.replace('_', "-")
            );
            self.never(path, message);
        }
        if name.contains('.') {
            let message = format!(
                "{name:?} contains a dot: nginx and other proxies drop such a header without a message; use {:?}",
                name.replace('.', "-")
            );
            self.found
                .push(Warning::new(Kind::DottedHeader, path, message));
        }
    }

    fn methods(&mut self, methods: &[Value], path: &str) {
        for (nth, method) in methods.iter().enumerate() {
            if let Some(method) = method.as_str() {
                self.method(method, &format!("{path}[{nth}]"), Compared::Beginning);
            }
        }
    }

    fn method(&mut self, method: &str, path: &str, compared: Compared) {
        if compared != Compared::Pattern && method.contains('*') {
            let message = format!(
                "{method:?} is the name of one method, which no request has: leave it out for all methods"
            );
            self.never(path, message);
        }
    }

    /// The operands of a condition.
    fn operands(&mut self, leaf: &Value, path: &str, examine: fn(&mut Self, &str, &str, Compared)) {
        for (operator, compared) in [
            ("exact", Compared::Beginning),
            ("prefix", Compared::Beginning),
            ("suffix", Compared::End),
            ("contains", Compared::Part),
            ("regex", Compared::Pattern),
        ] {
            if let Some(text) = leaf.get(operator).and_then(Value::as_str) {
                examine(self, text, &join(path, operator), compared);
            }
        }
        for (nth, text) in crate::raw::list(leaf, "in").iter().enumerate() {
            if let Some(text) = text.as_str() {
                let path = format!("{}[{nth}]", join(path, "in"));
                examine(self, text, &path, Compared::Beginning);
            }
        }
    }

    fn path(&mut self, text: &str, path: &str, compared: Compared) {
        if compared == Compared::Pattern {
            return self.path_pattern(text, path);
        }
        // `OPTIONS *`
        if text == "*" {
            return;
        }
        let message = if text.contains('*') {
            let before = text.split('*').next().unwrap_or_default();
            let prefix = match before.trim_end_matches('/') {
                "" => "/",
                prefix => prefix,
            };
            format!(
                "{text:?} compares the character *, which no path has: write prefix: {prefix:?}, which accepts all \
                 paths below it, or a regex"
            )
        } else if compared
            .segments(text)
            .any(|part| matches!(part, "." | ".."))
        {
            format!(
                "{text:?} never matches: browsers and Envoy resolve . and .. before divvy sees a path"
            )
        } else if text.contains("//") && self.surroundings.merges_slashes {
            format!(
                "{text:?} never matches: merge_slashes replaces // by / before divvy sees a path"
            )
        } else if text
            .bytes()
            .any(|byte| !byte.is_ascii_graphic() || byte == b'#')
        {
            format!(
                "{text:?} never matches: paths are compared as they are sent, percent-encoded; write {:?}",
                encoded(text)
            )
        } else {
            return;
        };
        self.never(path, message);
    }

    /// An expression with a literal character that no path has. Classes, alternatives and repetitions may do without it.
    fn path_pattern(&mut self, text: &str, path: &str) {
        let is_literal = !text.contains(['[', '|', '?', '*', '{', '\\']) || {
            let plain = text.replace(".*", "");
            !plain.contains(['[', '|', '?', '*', '{', '\\'])
        };
        if is_literal && !text.is_ascii() {
            let message = format!(
                "{text:?} never matches: paths are compared as they are sent, percent-encoded; write {:?}",
                encoded(text)
            );
            self.never(path, message);
        }
    }

    fn host(&mut self, text: &str, path: &str, compared: Compared) {
        if compared == Compared::Pattern {
            return;
        }
        if text.contains('*') {
            let suffix = text.trim_start_matches('*');
            let message = format!(
                "{text:?} compares the character *, which no host has: write suffix: {suffix:?}"
            );
            self.never(path, message);
        } else if !text.is_ascii() {
            let message = format!(
                "{text:?} never matches: clients send the ASCII form of a host, which begins with xn--"
            );
            self.never(path, message);
        }
    }
}

/// Where an operand is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    Beginning,
    End,
    Part,
    Pattern,
}

impl Compared {
    /// The whole segments of a path: another text may precede the first one of an end or a part, and follow the last one
    /// of a part.
    fn segments(self, text: &str) -> impl Iterator<Item = &str> {
        let all: Vec<_> = text.split('/').collect();
        let end = match self {
            Self::Part => all.len().saturating_sub(1),
            _ => all.len(),
        };
        let begin = usize::from(self != Self::Beginning);
        let number = end.saturating_sub(begin);
        all.into_iter().skip(begin).take(number)
    }
}

fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

/// A path with what a URL cannot contain as `%` and two digits.
fn encoded(path: &str) -> String {
    let mut encoded = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && byte != b'#' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

//! Goals: the requests and events that count as an outcome. Must not depend on units.

use anyhow::{Result, bail};

/// Maximum number of goals.
pub const MAX_GOALS: usize = 16;

/// A goal.
#[derive(Clone, Debug)]
pub struct Goal {
    /// As given.
    pub name: String,
    /// The requests that count; `None`: only events of this name.
    requests: Option<GoalRequests>,
}

/// Requests that count as an outcome.
#[derive(Clone, Debug)]
struct GoalRequests {
    /// `None`: every method.
    method: Option<String>,
    path: String,
    /// Whether longer paths count too.
    is_prefix: bool,
    /// The first and the last code.
    codes: (u16, u16),
}

impl Goal {
    /// A goal such as `POST /order 2xx`, `GET /thanks/* 200` or the name of an event.
    pub fn parse(text: &str) -> Result<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let requests = match words[..] {
            [] => bail!("--goal is empty: write METHOD PATH CODE, or the name of an event"),
            [_] if !text.contains('/') => None,
            [method, path] if path.starts_with('/') => Some((method, path, "2xx")),
            [method, path, code] if path.starts_with('/') => Some((method, path, code)),
            _ => bail!(
                "--goal {text:?} is not METHOD PATH CODE, such as 'POST /order 2xx', and not the name of an event"
            ),
        };
        let requests = requests.map(|(method, path, code)| {
            let Some(codes) = codes(code) else {
                bail!("--goal {text:?}: {code:?} is not a code such as 2xx or 201");
            };
            let (path, is_prefix) = match path.strip_suffix('*') {
                Some(path) => (path, true),
                None => (path, false),
            };
            if path.contains(['?', '*']) {
                bail!("--goal {text:?}: the path has no query, and * only at its end");
            }
            Ok(GoalRequests {
                method: (method != "*").then(|| method.to_ascii_uppercase()),
                path: path.to_owned(),
                is_prefix,
                codes,
            })
        });
        Ok(Self {
            name: words.join(" "),
            requests: requests.transpose()?,
        })
    }

    /// Whether a request counts.
    pub fn counts(&self, method: &str, path: &str, code: u16) -> bool {
        self.requests.as_ref().is_some_and(|requests| {
            let path = path.split(['?', '#']).next().unwrap_or_default();
            let path_counts = match requests.is_prefix {
                true => path.starts_with(&requests.path),
                false => path == requests.path,
            };
            path_counts
                && (requests.codes.0..=requests.codes.1).contains(&code)
                && (requests.method.as_ref()).is_none_or(|known| known == method)
        })
    }
}

/// The codes of `2xx` or `201`.
fn codes(text: &str) -> Option<(u16, u16)> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let code = text.parse().ok().filter(|code| (100..=599).contains(code));
    code.map(|code| (code, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_by_method_path_and_code() {
        for (goal, method, path, code, counts) in [
            ("POST /order 2xx", "POST", "/order", 201, true),
            ("post /order", "POST", "/order", 200, true),
            ("POST /order 2xx", "POST", "/order?a=b", 200, true),
            ("POST /order 2xx", "GET", "/order", 200, false),
            ("POST /order 2xx", "POST", "/orders", 200, false),
            ("POST /order 2xx", "POST", "/order", 302, false),
            ("POST /order 302", "POST", "/order", 302, true),
            ("* /thanks/* 2xx", "GET", "/thanks/42", 200, true),
            ("* /thanks/* 2xx", "GET", "/thanks", 200, false),
            ("purchase", "GET", "/purchase", 200, false),
        ] {
            let parsed = Goal::parse(goal).unwrap();
            assert_eq!(
                parsed.counts(method, path, code),
                counts,
                "{goal}: {method} {path}"
            );
        }
        for goal in [
            "",
            " ",
            "POST order 2xx",
            "/order",
            "POST /order 9xx",
            "POST /o?a=1",
            "a b c d",
        ] {
            assert!(Goal::parse(goal).is_err(), "{goal:?}");
        }
    }
}

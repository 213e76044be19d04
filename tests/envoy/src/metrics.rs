//! Parser of the Prometheus text format.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

#[derive(Clone, PartialEq, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// All samples of one scrape.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Metrics(Vec<Sample>);

impl Metrics {
    /// Parses lines `name{label="value"} 1`, comments and blank lines.
    pub fn parse(text: &str) -> Result<Metrics> {
        text.lines()
            .enumerate()
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(number, line)| {
                sample(line).with_context(|| format!("line {} is not a sample: {line}", number + 1))
            })
            .collect::<Result<_>>()
            .map(Metrics)
    }

    /// The value of the sample with exactly these labels.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.matching(name, labels)
            .find(|sample| sample.labels.len() == labels.len())
            .map(|sample| sample.value)
    }

    /// The sum of all samples that have at least these labels; 0 if there are none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// The names of all samples.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.0.iter().map(|sample| sample.name.as_str()).collect()
    }

    /// The labels of every sample of a name, in order.
    #[must_use]
    pub fn labels(&self, name: &str) -> Vec<&BTreeMap<String, String>> {
        self.0
            .iter()
            .filter(|sample| sample.name == name)
            .map(|sample| &sample.labels)
            .collect()
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|v| v == value))
        })
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (name, labels, value) = match line.split_once('{') {
        Some((name, rest)) => {
            let (labels, value) = labels(rest)?;
            (name, labels, value)
        }
        None => {
            let (name, value) = line.split_once(' ')?;
            (name, BTreeMap::new(), value)
        }
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.split_whitespace().next()?.parse().ok()?,
    })
}

/// Parses `a="1",b="2"} rest`.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        rest = loop {
            match characters.next()? {
                (at, '"') => break &after[at + 1..],
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(key.to_owned(), value);
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// A regular expression that matches `prefix` literally, percent-encoded for a query.
pub(crate) fn escaped_regex(prefix: &str) -> String {
    let quote = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%5C%{byte:02X}"),
    };
    prefix.bytes().map(quote).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# TYPE divvy_requests_total counter
divvy_requests_total{divvy_rollout="checkout",divvy_version="v1"} 7
divvy_requests_total{divvy_rollout="checkout",divvy_version="v2"} 3

# TYPE envoy_server_live gauge
envoy_server_live{} 1
plain 2.5
ms_bucket{le="+Inf"} 4
odd{text="a \"quoted\" \\ value, with } and\nmore"} 1
"#;

    #[test]
    fn get_requires_all_labels_and_sum_a_subset() {
        let metrics = Metrics::parse(TEXT).unwrap();
        let v2 = [("divvy_version", "v2"), ("divvy_rollout", "checkout")];
        assert_eq!(metrics.get("divvy_requests_total", &v2), Some(3.0));
        assert_eq!(metrics.get("divvy_requests_total", &v2[..1]), None);
        assert_eq!(metrics.sum("divvy_requests_total", &v2[1..]), 10.0);
        let unknown = [("divvy_version", "v9")];
        assert_eq!(metrics.sum("divvy_requests_total", &unknown), 0.0);
    }

    #[test]
    fn labels_may_be_empty_absent_and_escaped() {
        let metrics = Metrics::parse(TEXT).unwrap();
        assert_eq!(metrics.get("envoy_server_live", &[]), Some(1.0));
        assert_eq!(metrics.get("plain", &[]), Some(2.5));
        assert_eq!(metrics.get("ms_bucket", &[("le", "+Inf")]), Some(4.0));
        let text = "a \"quoted\" \\ value, with } and\nmore";
        assert_eq!(metrics.get("odd", &[("text", text)]), Some(1.0));
        assert!(metrics.names().contains("plain"));
        assert_eq!(metrics.labels("divvy_requests_total").len(), 2);
    }

    #[test]
    fn the_error_names_the_line_that_is_not_a_sample() {
        let error = Metrics::parse("a 1\nb{c=\"1\" 2").unwrap_err().to_string();
        assert!(error.starts_with("line 2 is not a sample"), "{error}");
    }

    #[test]
    fn a_prefix_is_escaped_for_a_regex_in_a_query() {
        assert_eq!(escaped_regex("a_1"), "a_1");
        assert_eq!(escaped_regex("a.b=;"), "a%5C%2Eb%5C%3D%5C%3B");
    }
}

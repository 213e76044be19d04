//! The divvy metrics of one proxy, in the text format of Prometheus. Must not depend on the view.
//!
//! Read by hand: prometheus-parse would add regex, chrono and itertools for 30 lines.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};

/// Maximum size of an answer, in bytes. The metrics of an Envoy with 10,000 clusters have 40 MB.
pub const ANSWER_LIMIT: u64 = 64 << 20;
/// Maximum number of divvy's series in an answer: 1,000 rollouts with two versions have 60,000.
pub const SERIES_LIMIT: usize = 200_000;
/// Maximum length of a line, in bytes. Longer ones are not series of divvy.
const LINE_LIMIT: u64 = 16 << 10;
/// Maximum length of a text from a proxy, in characters: names of the configuration have 64.
const TEXT_LIMIT: usize = 256;

/// Names and values of a series' labels.
pub type SeriesLabels = BTreeMap<String, String>;

/// A proxy to scrape.
pub struct ProxyAddress {
    /// Its name on the screen.
    pub name: String,
    /// URL of its metrics, or why there is none.
    pub metrics: Result<String, String>,
}

/// The metrics of one proxy at one time.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// URL of the metrics, or the name of the proxy.
    pub url: String,
    /// Proxies of one group have the same configuration: the scrape job, empty for proxies given by address.
    pub group: String,
    /// Error instead of metrics.
    pub error: Option<String>,
    /// Labels and values, by name of the metric.
    series: BTreeMap<String, Vec<(SeriesLabels, f64)>>,
}

impl Scrape {
    /// Requests the metrics of a proxy.
    pub fn get(agent: &ureq::Agent, url: &str) -> Self {
        let response = match agent.get(url).call() {
            Ok(response) => response,
            Err(error) => return Self::failed(url, &error.to_string()),
        };
        let mut body = response.into_body();
        let body = body.with_config().limit(ANSWER_LIMIT).reader();
        Self::read(url, BufReader::new(body))
    }

    /// A proxy without metrics.
    pub fn failed(url: &str, error: &str) -> Self {
        Self {
            url: printable(url),
            error: Some(printable(error)),
            ..Self::default()
        }
    }

    /// A proxy whose series are added one by one.
    pub fn of_group(url: &str, group: &str) -> Self {
        Self {
            url: printable(url),
            group: group.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a series. A value that is not finite is ignored.
    pub fn add(&mut self, metric: &str, labels: SeriesLabels, value: f64) {
        if value.is_finite() {
            let labels = labels.into_iter();
            let labels = labels.map(|(name, value)| (name, printable(&value)));
            let series = self.series.entry(metric.to_owned()).or_default();
            series.push((labels.collect(), value));
        }
    }

    /// Reads the text of a response.
    pub fn read(url: &str, mut text: impl BufRead) -> Self {
        let mut scrape = Self::of_group(url, "");
        let mut line = Vec::new();
        let mut series = 0;
        loop {
            line.clear();
            let limited = text.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line);
            match limited {
                Ok(0) => return scrape,
                Ok(_) => (),
                Err(error) => return Self::failed(url, &error.to_string()),
            }
            // The rest of a longer line begins with any text, which can look like a series: its end is skipped too.
            if !line.ends_with(b"\n") && line.len() as u64 == LINE_LIMIT {
                match text.skip_until(b'\n') {
                    Ok(_) => continue,
                    Err(error) => return Self::failed(url, &error.to_string()),
                }
            }
            if !line.starts_with(b"divvy_") {
                continue;
            }
            series += 1;
            if series > SERIES_LIMIT {
                let error = format!("more than {SERIES_LIMIT} series of divvy");
                return Self::failed(url, &error);
            }
            let line = String::from_utf8_lossy(&line);
            if let Some((name, labels, value)) = parse(line.trim_end()) {
                scrape.add(&name, labels, value);
            }
        }
    }

    /// All series of a metric.
    pub fn series(&self, metric: &str) -> impl Iterator<Item = &(SeriesLabels, f64)> {
        self.series.get(metric).into_iter().flatten()
    }

    /// Whether labels are inside the names of metrics, where Envoy leaves them without `stats_tags`.
    pub fn is_untagged(&self) -> bool {
        let labels = ["rollout", "version", "reason", "class", "plugin"];
        let untagged = |name: &String| {
            let name = name.strip_prefix("divvy_").unwrap_or_default();
            labels.iter().any(|label| name.starts_with(label))
        };
        self.series.keys().any(untagged)
    }

    /// The value of a metric's first series.
    pub fn single(&self, metric: &str) -> Option<f64> {
        self.series(metric).next().map(|(_, value)| *value)
    }
}

/// The text without control characters, which a terminal would obey, and not longer than names are.
pub fn printable(text: &str) -> String {
    let mut characters = text.chars();
    let start = characters.by_ref().take(TEXT_LIMIT);
    let mut printable = start.collect::<String>();
    printable = printable.replace(is_obeyed, "\u{fffd}");
    if characters.next().is_some() {
        printable.push('…');
    }
    printable
}

/// Control characters, and those that change the direction of the text behind them.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `name{label="value",…} number`
fn parse(line: &str) -> Option<(String, SeriesLabels, f64)> {
    let (head, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = head.split_once('{') else {
        return Some((head.to_owned(), SeriesLabels::new(), value));
    };
    let mut labels = SeriesLabels::new();
    let mut rest = rest.strip_suffix('}')?;
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"")?;
        let mut text = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                (_, other) => text.push(other),
            }
        };
        labels.insert(label.to_owned(), text);
        rest = quoted.get(end..)?.trim_start_matches('"');
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some((name.to_owned(), labels, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_divvy_are_read_with_their_labels_and_others_are_ignored() {
        let text = "# TYPE divvy_requests_total counter\n\
                    divvy_requests_total{divvy_rollout=\"a\",divvy_version=\"v\\\"1\"} 3\n\
                    divvy_config_inert{} 0\nenvoy_x{a=\"b\"} 1\ndivvy_odd{a=\"b} 1\ndivvy_plain 2\n";
        let sample = Scrape::read("u", text.as_bytes());
        let requests: Vec<_> = sample.series("divvy_requests_total").collect();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].0["divvy_version"], "v\"1");
        assert_eq!(sample.single("divvy_config_inert"), Some(0.0));
        assert_eq!(sample.single("divvy_plain"), Some(2.0));
        assert_eq!(sample.single("divvy_odd"), None);
    }
}

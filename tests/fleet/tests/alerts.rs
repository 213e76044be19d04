//! The alerts that fired, by name and subject.

use std::collections::BTreeMap;

use anyhow::Result;
use divvy_fleet_tests::prometheus::{Prometheus, Series};

/// Seconds without a sample that end an alert: ten minutes of the rules. On a busy machine Prometheus
/// misses scrapes.
const GAP: f64 = 10.0;

/// The name of an alert with its window, rollout, version and proxy, as far as it has them.
fn name(series: &Series) -> String {
    let labels = [
        "alertname",
        "window",
        "divvy_rollout",
        "divvy_version",
        "instance",
    ];
    let words = labels.map(|label| series.label(label));
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// How many times each alert fired between two times.
pub async fn fired(prometheus: &Prometheus, from: f64, to: f64) -> Result<BTreeMap<String, usize>> {
    let series = prometheus
        .range("ALERTS{alertstate=\"firing\"}", from, to)
        .await?;
    let mut fired = BTreeMap::new();
    for one in &series {
        let mut before = f64::NEG_INFINITY;
        for (time, _) in &one.samples {
            if time - before > GAP {
                *fired.entry(name(one)).or_default() += 1;
            }
            before = *time;
        }
    }
    Ok(fired)
}

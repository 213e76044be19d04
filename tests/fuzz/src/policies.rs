//! The policies of the fuzz targets.

use std::sync::LazyLock;

use divvy::{config, policy::Policy};
use divvy_cases::{DECISIONS, RICH};
use serde_json::Value;

/// The policy of `rich.json`.
pub fn rich() -> &'static Policy {
    &ALL[0]
}

/// A policy by its number in decimal digits: from 1, those of `decisions.json`; otherwise [`rich`].
pub fn named(number: &[u8]) -> &'static Policy {
    let number = std::str::from_utf8(number)
        .ok()
        .and_then(|n| n.parse().ok());
    ALL.get(number.unwrap_or(0)).unwrap_or(&ALL[0])
}

static ALL: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let groups: Value = serde_json::from_str(DECISIONS).expect("the table is JSON");
    let groups = groups.as_array().expect("the table is a list").iter();
    let configs = groups.map(|group| group["config"].to_string());
    std::iter::once(RICH.to_owned())
        .chain(configs)
        .map(|config| match config::parse(config.as_bytes()) {
            Ok(policy) => policy,
            Err(errors) => panic!("{errors}\nin {config}"),
        })
        .collect()
});

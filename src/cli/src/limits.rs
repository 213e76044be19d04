//! Limits of numbers among the arguments. Must not depend on the verbs.

use std::time::Duration;

use anyhow::bail;

/// Maximum number of simulated users.
pub const MAX_USERS: usize = 2_000_000;
/// Maximum number of simulated decisions: users times rollouts.
pub const MAX_DECISIONS: usize = 200_000_000;
/// Maximum number of simulated worker threads times seconds.
pub const MAX_WORKER_SECONDS: u64 = 100_000_000;
/// Maximum number of simulated worker threads.
pub const MAX_WORKERS: usize = 1_024;
/// Maximum number of requests per second.
pub const MAX_RATE: f64 = 1_000_000.0;
/// Maximum duration of simulated traffic in seconds: a year.
pub const MAX_SECONDS: u64 = 366 * 86_400;
/// Maximum number of simulated requests.
pub const MAX_REQUESTS: f64 = 1e9;
/// Maximum latency in milliseconds: an hour.
const MAX_MILLIS: f64 = 3_600_000.0;

/// A number of users.
pub fn users(text: &str) -> Result<usize, String> {
    whole(text, MAX_USERS)
}

/// A number of worker threads.
pub fn workers(text: &str) -> Result<usize, String> {
    whole(text, MAX_WORKERS)
}

/// A duration in seconds.
pub fn seconds(text: &str) -> Result<u64, String> {
    let most = usize::try_from(MAX_SECONDS).unwrap_or(usize::MAX);
    whole(text, most).map(|number| number as u64)
}

fn whole(text: &str, most: usize) -> Result<usize, String> {
    let number: Option<usize> = text.parse().ok();
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| format!("is not a whole number from 1 to {most}"))
}

/// Requests per second.
pub fn rate(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|number| number.is_finite() && *number > 0.0 && *number <= MAX_RATE)
        .ok_or_else(|| format!("is not a number above 0 and at most {MAX_RATE}"))
}

/// A percentage.
pub fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|number| (0.0..=100.0).contains(number))
        .ok_or_else(|| "is not a number from 0 to 100".to_owned())
}

/// Milliseconds.
pub fn millis(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|number| *number > 0.0 && *number <= MAX_MILLIS)
        .ok_or_else(|| format!("is not a number above 0 and at most {MAX_MILLIS}"))
}

/// An instant of a configuration, as text.
pub fn instant(text: &str) -> Result<String, String> {
    match text.ends_with('Z') && humantime::parse_rfc3339(text).is_ok() {
        true => Ok(text.to_owned()),
        false => Err("is not an instant: write it in UTC as 2026-12-01T09:00:00Z".to_owned()),
    }
}

/// Refuses more decisions than [`MAX_DECISIONS`].
pub fn refuse_endless(users: usize, rollouts: usize) -> anyhow::Result<()> {
    let rollouts = rollouts.max(1);
    if users.saturating_mul(rollouts) > MAX_DECISIONS {
        bail!(
            "{users} users of {rollouts} rollouts are more than {MAX_DECISIONS} decisions, the limit: use fewer --users"
        );
    }
    Ok(())
}

/// Time between a signal and the end of a server.
pub fn drain(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let fits = time <= Duration::from_mins(10);
    fits.then_some(time)
        .ok_or_else(|| "is not a time from 0s to 10m".to_owned())
}

/// Time between two updates.
pub fn interval(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let fits = (Duration::from_millis(100)..=Duration::from_secs(86_400)).contains(&time);
    fits.then_some(time)
        .ok_or_else(|| "is not a time from 100ms to 1day".to_owned())
}

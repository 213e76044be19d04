//! Latency of clients at half load.
//!
//! Requests are sent at scheduled times independent of responses, and latency counts from the
//! scheduled time. A closed loop would send fewer requests while the proxy is slow and omit the
//! high latencies (coordinated omission).

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use tokio::task::{JoinSet, yield_now};

use crate::stage::Stage;
use crate::statistics::quantile;
use crate::traffic::{Connection, Requests};
use crate::variants::Variant;

/// Number of clients, each with its own connection and schedule.
const CLIENTS: usize = 16;

/// Latencies of one variant in one round in microseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Waits {
    /// Median.
    pub p50: f64,
    /// 99 % quantile.
    pub p99: f64,
}

/// Load.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Load {
    /// Requests per second of all clients.
    pub rate: f64,
    /// Duration.
    pub lasts: Duration,
}

/// Latencies: `[round][variant]`.
pub async fn measure(
    stage: &Stage,
    variants: &[&Variant],
    rounds: usize,
    load: Load,
) -> Result<Vec<Vec<Waits>>> {
    let mut measured = Vec::new();
    for round in 0..rounds {
        let mut waits = vec![Waits { p50: 0.0, p99: 0.0 }; variants.len()];
        for step in 0..variants.len() {
            // Each variant takes each place in turn.
            let nth = (round + step) % variants.len();
            let seed = (round * variants.len() + nth) as u64;
            let socket = stage.socket(variants[nth]);
            let requests = &variants[nth].requests;
            let taken = run(&socket, requests, load, seed).await;
            waits[nth] = taken.with_context(|| variants[nth].id)?;
        }
        measured.push(waits);
    }
    Ok(measured)
}

async fn run(socket: &str, requests: &Requests, load: Load, seed: u64) -> Result<Waits> {
    let mut clients = JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(Connection::open(socket).await?);
    }
    let start = Instant::now() + Duration::from_millis(20);
    for (nth, connection) in connections.into_iter().enumerate() {
        let mut random = Pcg64::seed_from_u64(seed << 8 | nth as u64);
        let due = timetable(load.rate / CLIENTS as f64, load.lasts, &mut random);
        clients.spawn(client(connection, Arc::clone(requests), start, due));
    }
    let mut waits = Vec::new();
    while let Some(client) = clients.join_next().await {
        waits.extend(client??);
    }
    waits.sort_by(f64::total_cmp);
    Ok(Waits {
        p50: quantile(&waits, 0.5),
        p99: quantile(&waits, 0.99),
    })
}

async fn client(
    mut connection: Connection,
    requests: Requests,
    start: Instant,
    due: Vec<Duration>,
) -> Result<Vec<f64>> {
    let mut waits = Vec::with_capacity(due.len());
    for (due, request) in due.into_iter().zip(requests.iter().cycle()) {
        let due = start + due;
        // Timers have a resolution of one millisecond, which is too coarse.
        while Instant::now() < due {
            yield_now().await;
        }
        connection.ask(request).await?;
        waits.push(due.elapsed().as_secs_f64() * 1e6);
    }
    Ok(waits)
}

/// Times of independent requests (a Poisson process).
fn timetable(rate: f64, lasts: Duration, random: &mut Pcg64) -> Vec<Duration> {
    let mut at = 0.0;
    let mut due = Vec::new();
    loop {
        let uniform = (random.next_u32() as f64 + 0.5) / 2_f64.powi(32);
        at -= uniform.ln() / rate;
        if at >= lasts.as_secs_f64() {
            return due;
        }
        due.push(Duration::from_secs_f64(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timetable_has_the_rate_and_the_spread_of_chance() {
        let mut random = Pcg64::seed_from_u64(1);
        let due = timetable(1_000.0, Duration::from_secs(100), &mut random);
        assert!((99_000..101_000).contains(&due.len()), "{}", due.len());
        assert!(due.is_sorted());
        let gaps = due.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
        // Of exponential gaps, a share of 1/e is longer than the mean.
        let long = gaps.filter(|gap| *gap > 0.001).count() as f64 / due.len() as f64;
        assert!((long - (-1_f64).exp()).abs() < 0.01, "{long}");
    }
}

//! Runs two builds of the filter side by side and reports where they behave differently.
//!
//! Both get the same configurations and requests with the same clocks and random numbers, in two
//! VMs of one process each. Compared are what a user can see: whether a configuration is
//! accepted, headers of requests and responses, metrics by name, tick periods, and on demand the
//! log. Which host calls a build makes, and which callbacks it exports, does not matter.

mod side;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use divvy_cases::asks;
use serde_json::Value;

use crate::random::Random;
use crate::{Exchange, Headers, Module, Trap};
use side::{Plan, Seen, Side, lines};

/// How much is compared.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Number of accepted configurations.
    pub configurations: u64,
    /// Number of the first one, to repeat one that differed.
    pub first: u64,
    /// Requests per configuration.
    pub requests: u64,
    /// Seed of everything random.
    pub seed: u64,
    /// Number of threads.
    pub threads: usize,
    /// Whether the lines of the log must be the same as well.
    pub log: bool,
    /// Bits of `response.flags` that no stream gets.
    pub without_flags: u64,
}

/// What was compared, and the differences that were found.
#[derive(Debug, Default)]
pub struct Report {
    /// Configurations that both builds accepted.
    pub accepted: u64,
    /// Configurations that both builds refused.
    pub refused: u64,
    /// Requests that both builds were given.
    pub requests: u64,
    /// Ticks that both builds were given.
    pub ticks: u64,
    /// Number of requests by each decision reason that stood in an assignment header.
    pub reasons: BTreeMap<String, u64>,
    /// The first difference of each configuration that has one.
    pub differences: Vec<String>,
}

/// Compares two builds. Stops early after five configurations with a difference.
pub fn compare(builds: [&Module; 2], options: Options) -> Report {
    let next = AtomicU64::new(options.first);
    let report = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Relaxed);
                    let enough = report.lock().unwrap().differences.len() >= 5;
                    if enough || nth >= options.first + options.configurations {
                        return;
                    }
                    let mut part = Report::default();
                    let mut episode = Episode::new(builds, options, nth);
                    if let Err(difference) = episode.run(&mut part) {
                        let config = &episode.config;
                        part.differences
                            .push(format!("configuration {nth}: {difference}\nwith {config}"));
                    }
                    report.lock().unwrap().add(part);
                }
            });
        }
    });
    report.into_inner().unwrap()
}

impl Report {
    fn add(&mut self, other: Report) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.requests += other.requests;
        self.ticks += other.ticks;
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.differences.extend(other.differences);
    }
}

/// One configuration and its requests in both builds.
struct Episode {
    sides: [Side; 2],
    options: Options,
    random: Random,
    config: Value,
    /// Requests made from the words of the configuration.
    asked: Vec<Exchange>,
    /// Cookies that the filter has set and the next client sends.
    cookies: Vec<Vec<u8>>,
}

impl Exchange {
    fn text(&self) -> String {
        let properties = self.properties.iter().map(|(path, value)| {
            let path = String::from_utf8_lossy(path).replace('\0', ".");
            (path, String::from_utf8_lossy(value).into_owned())
        });
        format!(
            "request {:?}\nproperties {:?}\nresponse {:?}, trailers {:?}, flags {:#x}, {:?}",
            lines(Some(&self.request)),
            properties.collect::<Vec<_>>(),
            lines(self.response.as_ref()),
            lines(self.trailers.as_ref()),
            self.flags,
            self.latency,
        )
    }
}

impl Episode {
    fn new(builds: [&Module; 2], options: Options, nth: u64) -> Self {
        Episode {
            sides: builds.map(Side::start),
            options,
            random: Random::new(
                options
                    .seed
                    .wrapping_add(nth.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            ),
            config: Value::Null,
            asked: Vec::new(),
            cookies: Vec::new(),
        }
    }

    fn run(&mut self, report: &mut Report) -> Result<(), String> {
        loop {
            let config = self.random.any_config();
            if self.offer(&config, report)? {
                break;
            }
        }
        let mut done = 0;
        while done < self.options.requests {
            let plans: Vec<_> = (0..=self.random.below(3)).map(|_| self.plan()).collect();
            let [old, new] = self.both(|side| side.exchange(&plans))?;
            for ((plan, old), new) in plans.iter().zip(&old).zip(&new) {
                same(old, new, || plan.exchange.text())?;
                self.remember(old, report);
            }
            done += plans.len() as u64;
            report.requests += plans.len() as u64;
            if self.random.one_in(8) {
                let time = Duration::from_secs(self.random.pick(&[1, 1, 5, 10, 60, 600]));
                self.both(|side| side.tick(time))?;
                report.ticks += 1;
                self.compare_rest("a tick")?;
            }
            if self.random.one_in(200) {
                let config = match self.random.below(3) {
                    0 => self.random.any_config(),
                    _ => self.random.mutated(&self.config),
                };
                self.offer(&config, report)?;
            }
        }
        self.compare_rest("all requests")
    }

    fn both<T>(
        &mut self,
        mut act: impl FnMut(&mut Side) -> Result<T, Trap>,
    ) -> Result<[T; 2], String> {
        let [old, new] = &mut self.sides;
        let old = act(old).map_err(|trap| format!("the first build: {trap}"))?;
        let new = act(new).map_err(|trap| format!("the second build: {trap}"))?;
        Ok([old, new])
    }

    /// Whether both builds accept the configuration; it is in force then.
    fn offer(&mut self, config: &Value, report: &mut Report) -> Result<bool, String> {
        let before = std::mem::replace(&mut self.config, config.clone());
        let bytes = config.to_string();
        let [old, new] = self.both(|side| side.configure(&bytes))?;
        same(&old, &new, || "accepted in each worker".to_owned())?;
        self.compare_rest("a configuration")?;
        let accepted = old.iter().all(|accepted| *accepted);
        if accepted {
            report.accepted += 1;
            self.asked = asks::requests(config)
                .iter()
                .map(|lines| asked(lines))
                .collect();
        } else {
            report.refused += 1;
            self.config = before;
        }
        Ok(accepted)
    }

    fn compare_rest(&mut self, after: &str) -> Result<(), String> {
        let log = self.options.log;
        let [old, new] = &mut self.sides;
        let (old, new) = (old.rest(log), new.rest(log));
        same(&old, &new, || {
            format!("metrics, tick periods and log after {after}")
        })
    }

    fn plan(&mut self) -> Plan {
        let random = &mut self.random;
        let mut exchange = if random.one_in(3) {
            self.asked[random.below(self.asked.len())].clone()
        } else {
            Exchange::from(&random.request())
        };
        if random.one_in(2) {
            for cookie in self.cookies.drain(..) {
                exchange.request.add("cookie", cookie);
            }
        }
        if random.one_in(4) {
            let user = format!("user-{}", random.below(1_000));
            exchange.request.replace("x-user-id", user);
        }
        if random.one_in(4) {
            let direction = random.pick(&[0_u64, 1, 2]).to_le_bytes();
            exchange = exchange.property(&["xds", "listener_direction"], direction);
        }
        exchange = exchange.status(random.pick(&[200, 200, 200, 200, 302, 404, 429, 500, 503]));
        if random.one_in(8) {
            exchange.request.replace("content-type", "application/grpc");
            exchange = exchange.response_header("content-type", "application/grpc");
            let status = random.pick(&["0", "0", "2", "5", "14", "99", "x"]);
            if random.one_in(2) {
                exchange.trailers = Some(Headers::from([("grpc-status", status)]));
            } else {
                exchange = exchange.response_header("grpc-status", status);
            }
        }
        for name in ["x-version", "set-cookie", "x-group-0"] {
            if random.one_in(8) {
                exchange = exchange.response_header(name, "from-upstream=1");
            }
        }
        if random.one_in(6) {
            let flags = (1 << random.below(28)) & !self.options.without_flags;
            exchange.flags = flags;
            if random.one_in(2) {
                exchange = exchange.without_response(flags);
            }
        }
        exchange.latency = Duration::from_millis(random.pick(&[0, 5, 50, 180, 250, 400]));
        Plan {
            worker: random.below(2),
            seed: random.bits(),
            exchange,
            status_of_v2: random.pick(&[None, None, None, Some("500"), Some("200")]),
            body: random.one_in(8),
        }
    }

    fn remember(&mut self, seen: &Seen, report: &mut Report) {
        for (name, value) in &seen.response {
            if name == "set-cookie" {
                let pair = value.split(';').next().unwrap_or_default();
                self.cookies.push(pair.as_bytes().to_vec());
            }
        }
        for (name, value) in &seen.request {
            if name == "x-divvy-assignment" {
                for reason in value.split("reason=").skip(1) {
                    let end = reason.find([',', ';']).unwrap_or(reason.len());
                    *report.reasons.entry(reason[..end].to_owned()).or_default() += 1;
                }
            }
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    old: &T,
    new: &T,
    about: impl FnOnce() -> String,
) -> Result<(), String> {
    if old == new {
        return Ok(());
    }
    let (old, new) = (format!("{old:#?}"), format!("{new:#?}"));
    let only = |these: &str, those: &str| {
        let missing = these
            .lines()
            .filter(|line| !those.lines().any(|other| other == *line));
        missing.take(40).collect::<Vec<_>>().join("\n")
    };
    Err(format!(
        "{}\nonly the first build:\n{}\nonly the second build:\n{}",
        about(),
        only(&old, &new),
        only(&new, &old),
    ))
}

/// A request made from the words of a configuration. Lines that begin with `@` are properties:
/// the address, or a claim by the last part of its path.
fn asked(lines: &[asks::Owned]) -> Exchange {
    let mut exchange = Exchange::default().status(200);
    for (name, value) in lines {
        match name.strip_prefix(b"@") {
            None => exchange.request.add(name, value),
            Some(b"address") => {
                exchange = exchange.property(&["source", "address"], value);
            }
            Some(claim) => {
                let path = [
                    "metadata",
                    "filter_metadata",
                    "envoy.filters.http.jwt_authn",
                    "payload",
                ];
                let claim = String::from_utf8_lossy(claim);
                exchange = exchange.property(&[&path[..], &[&claim]].concat(), value);
            }
        }
    }
    exchange
}

//! `divvy explain`: why did this user get that version?
//!
//! The decisions are the core's own, [`divvy::decide::decide`]; what is told of the way to
//! them is asked of the core too, condition by condition and gate by gate.

pub mod ask;
mod condition;
mod experiment;
mod show;
mod steps;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use anyhow::{Context as _, Result};
use clap::Args;
use divvy::decide::{self, Outcome as Decided};
use divvy::identity::Origin;
use divvy::output::{self, HeaderChange};
use divvy::policy::{Metrics, Policy};
use divvy::request::Request;
use serde::Serialize;
use serde_json::Value;

use crate::{Format, Outcome, source};
use ask::{Ask, Known};
pub use condition::Truth;
pub use steps::{Step, Steps};

/// Says which version a request gets, step by step, and what follows from it
#[derive(Args, Debug)]
#[command(after_help = "\
The guardrail's verdicts and the shares of a canary that it holds back are known to a running
proxy alone: all versions count as healthy here.

With --batch each line is a request, and each line of the answer is JSON. A line:
  {\"request\": \"GET https://shop.example/cart\", \"headers\": {\"x-user-id\": \"42\"}}
It may also have claims, sourceIp, peer, outbound, at and random; headers may be a list of
[name, value].

Examples:
  divvy explain --config envoy/divvy.yaml --request 'GET /checkout' -H 'x-user-id: 42'
  divvy explain --config envoy/examples/ramp.yaml --at 2026-12-01T10:00:00Z \\
    --request 'GET https://shop.example.com/checkout' -H 'x-user-id: 42' --output json")]
pub struct Explain {
    /// The configuration, in any form that check takes
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// The request: method and URL
    #[arg(
        long,
        short,
        value_name = "'METHOD URL'",
        required_unless_present = "batch"
    )]
    pub request: Option<String>,
    /// A header, as curl takes it; again for more
    #[arg(long, short = 'H', value_name = "'NAME: VALUE'")]
    pub header: Vec<String>,
    /// The claims of the request's verified token, a JSON object
    #[arg(long, value_name = "FILE")]
    pub claims: Option<PathBuf>,
    /// The address that it comes from
    #[arg(long, value_name = "ADDRESS")]
    pub source_ip: Option<IpAddr>,
    /// The URI in the certificate of the proxy that sent it, for trust.principals
    #[arg(long, value_name = "URI")]
    pub peer: Option<String>,
    /// It is on its way out of the workload beside the proxy, for trust.workload
    #[arg(long)]
    pub outbound: bool,
    /// When, for canaries that grow by the clock; now by default
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// What is drawn for it, for random and minted identities: 32 hexadecimal digits
    #[arg(
        long,
        value_name = "HEX",
        default_value = "00000000000000000000000000000000"
    )]
    pub random: String,
    /// Requests from a file of JSON lines, or - for the standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["request", "header", "claims"])]
    pub batch: Option<PathBuf>,
}

/// All that there is to say about a request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Who the user is, if a decision depended on it.
    pub identity: Option<Identity>,
    /// The rollouts that look at the request, and what they decided.
    pub decisions: Vec<Made>,
    /// What becomes of the request's headers.
    pub request: Changes,
    /// What the client is told.
    pub response: Changes,
    /// The cookies that it is given.
    pub cookies: Vec<String>,
    /// The counters that go up by one: of the request, and of an answer that is 200.
    pub counters: Vec<String>,
    /// The way there, for each rollout of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rollouts: Vec<Steps>,
}

/// Who the user is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// What is hashed.
    pub value: String,
    /// Where it is from: `given`, `made`, `random` or `minted`.
    pub origin: &'static str,
}

/// What was decided for one rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Its name.
    pub rollout: String,
    /// The version that serves.
    pub version: String,
    /// Why.
    pub reason: &'static str,
    /// Where it is inherited: why, there where it was decided first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<&'static str>,
}

/// Changes to headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Those that are set, with their values.
    pub set: Vec<(String, String)>,
    /// Those that are removed.
    pub remove: Vec<String>,
}

impl Changes {
    fn add(&mut self, change: HeaderChange<'_, '_>) {
        match change {
            HeaderChange::Set(name, value) => {
                let value = String::from_utf8_lossy(value).into_owned();
                self.set.push((name.to_owned(), value));
            }
            HeaderChange::Remove(name) => self.remove.push(name.to_owned()),
        }
    }
}

/// A configuration and what it was made from.
#[derive(Debug)]
pub struct Explained {
    policy: Policy,
    raw: Value,
}

impl Explained {
    /// Of a configuration's JSON.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let policy = divvy::config::parse(bytes)?;
        let raw = serde_json::from_slice(bytes).unwrap_or_default();
        Ok(Self { policy, raw })
    }

    /// Of a file.
    pub fn read(path: &Path) -> Result<Self> {
        let (file, found) = source::only(path)?;
        Self::new(&found.bytes).with_context(|| format!("{}: see divvy check", file.name))
    }

    /// What is decided for a request, with the way there if `steps` are wanted.
    pub fn explain(&self, ask: &Ask, steps: bool) -> Explanation {
        let policy = &self.policy;
        let headers = ask.headers.iter().map(|(name, value)| (&**name, &**value));
        let request = Request::from_headers(&policy.names, headers).with_outside(&ask.known);
        let outcome = decide::decide(policy, &request);
        let mut explanation = self.outcome(&request, &outcome);
        if steps {
            explanation.rollouts = steps::all(policy, &self.raw, &request, &outcome.decisions);
        }
        explanation
    }

    fn outcome(&self, request: &Request<'_>, outcome: &Decided<'_>) -> Explanation {
        let policy = &self.policy;
        let mut changes = [Changes::default(), Changes::default()];
        let [sent, told] = &mut changes;
        let text = &mut Vec::new();
        output::change_request(policy, request, outcome, text, |change| sent.add(change));
        output::change_response(policy, &outcome.decisions, text, |change| told.add(change));
        let mut decisions = Vec::new();
        let mut counters = Vec::new();
        for decision in &outcome.decisions {
            let Some(rollout) = policy.rollout(decision.rollout) else {
                continue;
            };
            let version = rollout
                .version(decision.version)
                .map_or("", |version| &version.name);
            if rollout.metrics >= Metrics::Requests {
                let series = output::request_series(&rollout.name, version, decision.reason);
                counters.push(series);
            }
            if rollout.metrics >= Metrics::Responses {
                let success = divvy::response::ResponseClass::Success;
                counters.push(output::response_series(&rollout.name, version, success));
            }
            decisions.push(Made {
                rollout: rollout.name.to_string(),
                version: version.to_owned(),
                reason: decision.reason.name(),
                upstream: decision.upstream.map(|reason| reason.name()),
            });
        }
        let identity = outcome.identity.as_ref().map(|identity| Identity {
            value: String::from_utf8_lossy(&identity.bytes).into_owned(),
            origin: match identity.origin {
                Origin::Given => "given",
                Origin::Made => "made",
                Origin::Random => "random",
                Origin::Minted => "minted",
            },
        });
        let [request, response] = changes;
        Explanation {
            identity,
            decisions,
            request,
            response,
            cookies: output::cookies(policy, outcome),
            counters,
            rollouts: Vec::new(),
        }
    }
}

/// Runs it.
pub fn run(args: &Explain, format: Format) -> Result<Outcome> {
    let explained = Explained::read(&args.config)?;
    let defaults = Known {
        claims: args.claims.as_deref().map(claims).transpose()?,
        source: args.source_ip,
        peer: args.peer.clone(),
        outbound: args.outbound,
        now: Some(match &args.at {
            Some(time) => ask::time(time)?,
            None => now()?,
        }),
        random: Some(ask::random(&args.random)?),
    };
    if let Some(path) = &args.batch {
        return batch(&explained, path, &defaults);
    }
    let mut headers = Ask::line(args.request.as_deref().unwrap_or("/"))?;
    for header in &args.header {
        headers.push(Ask::header(header)?);
    }
    let explanation = explained.explain(
        &Ask {
            headers,
            known: defaults,
        },
        true,
    );
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&explanation)?)?,
        Format::Text | Format::Markdown => show::explanation(&explanation, &mut out)?,
    }
    Ok(Outcome::Fine)
}

fn batch(explained: &Explained, path: &Path, defaults: &Known) -> Result<Outcome> {
    let name = path.display().to_string();
    let input: Box<dyn io::Read> = if name == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(fs::File::open(path).with_context(|| name.clone())?)
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (number, line) in (1..).zip(BufReader::new(input).lines()) {
        let line = line.with_context(|| name.clone())?;
        if line.trim().is_empty() {
            continue;
        }
        let mut ask = Ask::from_json(&line).with_context(|| format!("{name}:{number}"))?;
        let known = &mut ask.known;
        known.now = known.now.or(defaults.now);
        known.random = known.random.or(defaults.random);
        known.source = known.source.or(defaults.source);
        let explanation = explained.explain(&ask, false);
        serde_json::to_writer(&mut out, &explanation)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(Outcome::Fine)
}

fn claims(path: &Path) -> Result<Value> {
    let name = path.display().to_string();
    let bytes = fs::read(path).with_context(|| name.clone())?;
    serde_json::from_slice(&bytes).with_context(|| format!("{name}: is no JSON"))
}

/// Milliseconds since 1970.
pub fn now() -> Result<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_millis())?)
}

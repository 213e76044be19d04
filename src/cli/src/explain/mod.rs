//! `divvy explain`: the version of a request, the steps of the decision, and its effects.
//!
//! Prints the trace that the core's own decision, [`divvy::decide::decide_traced`], records.

mod condition;
pub mod input;
mod show;
mod steps;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::{Context as _, Result};
use clap::Args;
use divvy::decide::trace::Recorder;
use divvy::decide::{self, Outcome};
use divvy::identity::Origin;
use divvy::output::{self, HeaderChange};
use divvy::policy::Metrics;
use divvy::request::Request;
use serde::Serialize;
use serde_json::Value;

use crate::environment::GivenEnvironment;
use crate::source::LoadedConfig;
use crate::{Format, print_json, time_or_now};
pub use condition::ConditionReport;
use input::RequestInput;
pub use steps::{RolloutSteps, StepReport};

/// Arguments of `divvy explain`.
#[derive(Args, Debug)]
#[command(after_help = "\
Only a running proxy knows what a guardrail has rolled back, and the share of a canary that it
holds back: here all versions count as healthy.

With --batch each input line is a request in JSON, and each output line is its explanation:
  {\"request\": \"GET https://shop.example/cart\", \"headers\": {\"x-user-id\": \"42\"}}
Other fields are claims, sourceIp, peer, outbound, at and random; headers may also be a list of
[name, value].

Examples:
  divvy explain --config envoy/divvy.yaml --request 'GET /checkout' -H 'x-user-id: 42'
  divvy explain --config envoy/examples/ramp.yaml --at 2026-12-01T10:00:00Z \\
    --request 'GET https://shop.example.com/checkout' -H 'x-user-id: 42' --output json")]
pub struct ExplainArgs {
    /// The configuration, in any form that divvy check accepts
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Method and URL of the request
    #[arg(
        long,
        short,
        value_name = "'METHOD URL'",
        required_unless_present = "batch"
    )]
    pub request: Option<String>,
    /// A request header, as for curl; may be repeated
    #[arg(long, short = 'H', value_name = "'NAME: VALUE'")]
    pub header: Vec<String>,
    /// Claims of the verified token, a JSON object
    #[arg(long, value_name = "FILE")]
    pub claims: Option<PathBuf>,
    /// Source address of the request
    #[arg(long, value_name = "ADDRESS")]
    pub source_ip: Option<IpAddr>,
    /// URI in the certificate of the downstream proxy, for trust.principals
    #[arg(long, value_name = "URI")]
    pub peer: Option<String>,
    /// The request leaves the workload beside the proxy, for trust.workload
    #[arg(long)]
    pub outbound: bool,
    /// Time of the request, for canaries that grow over time; now by default
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// 32 hexadecimal digits, for random and minted identities
    #[arg(
        long,
        value_name = "HEX",
        default_value = "00000000000000000000000000000000"
    )]
    pub random: String,
    /// Reads requests from a file of JSON lines, or from standard input for -
    #[arg(long, value_name = "FILE", conflicts_with_all = ["request", "header", "claims"])]
    pub batch: Option<PathBuf>,
}

/// The decisions about a request, and what follows from them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The user, if a decision depended on it.
    pub identity: Option<IdentityReport>,
    /// The decisions of the rollouts that match the request.
    pub decisions: Vec<DecisionReport>,
    /// Changes to the request headers.
    pub request: HeaderEdits,
    /// Changes to the response headers.
    pub response: HeaderEdits,
    /// `Set-Cookie` values for the client.
    pub cookies: Vec<String>,
    /// Counters that increase by one: for the request, and for a response with status 200.
    pub counters: Vec<String>,
    /// The steps of each decision, for every rollout of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rollouts: Vec<RolloutSteps>,
}

/// The user's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdentityReport {
    /// The value that is hashed.
    pub value: String,
    /// `given`, `made`, `random` or `minted`.
    pub origin: &'static str,
}

/// The decision of one rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionReport {
    /// Name of the rollout.
    pub rollout: String,
    /// Version that serves the request.
    pub version: String,
    /// Reason of the decision.
    pub reason: &'static str,
    /// For an inherited decision: the reason that the upstream proxy gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<&'static str>,
}

/// Changes to headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HeaderEdits {
    /// Names and values of headers that are set.
    pub set: Vec<(String, String)>,
    /// Names of headers that are removed.
    pub remove: Vec<String>,
}

impl HeaderEdits {
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

impl LoadedConfig {
    /// Decides about a request; `with_steps` also lists the steps of each decision.
    pub fn explain(&self, input: &RequestInput, with_steps: bool) -> Explanation {
        let policy = &self.policy;
        let headers = input.headers.iter();
        let headers = headers.map(|(name, value)| (&**name, &**value));
        let request = Request::from_headers(&policy.names, headers);
        let request = request.with_environment(&input.environment);
        let mut recorder = Recorder::default();
        let outcome = decide::decide_traced(policy, &request, &mut recorder);
        let mut explanation = self.effects(&request, &outcome);
        if with_steps {
            explanation.rollouts = steps::all(self, &request, &outcome.decisions, recorder);
        }
        explanation
    }

    fn effects(&self, request: &Request<'_>, outcome: &Outcome<'_>) -> Explanation {
        let policy = &self.policy;
        let [mut to_service, mut to_client] = [HeaderEdits::default(), HeaderEdits::default()];
        let buffer = &mut Vec::new();
        output::change_request(policy, request, outcome, buffer, |change| {
            to_service.add(change);
        });
        output::change_response(policy, &outcome.decisions, buffer, |change| {
            to_client.add(change);
        });
        let mut decisions = Vec::new();
        let mut counters = Vec::new();
        for decision in &outcome.decisions {
            let Some(rollout) = policy.rollout(decision.rollout) else {
                continue;
            };
            let version = rollout.version(decision.version);
            let version = version.map_or("", |version| &version.name);
            if rollout.metrics >= Metrics::Requests {
                let series = output::request_series(&rollout.name, version, decision.reason);
                counters.push(series);
            }
            if rollout.metrics >= Metrics::Responses {
                let success = divvy::response::ResponseClass::Success;
                counters.push(output::response_series(&rollout.name, version, success));
            }
            decisions.push(DecisionReport {
                rollout: rollout.name.to_string(),
                version: version.to_owned(),
                reason: decision.reason.name(),
                upstream: decision.upstream.map(|reason| reason.name()),
            });
        }
        let identity = outcome.identity.as_ref().map(|identity| IdentityReport {
            value: String::from_utf8_lossy(&identity.bytes).into_owned(),
            origin: match identity.origin {
                Origin::Given => "given",
                Origin::Made => "made",
                Origin::Random => "random",
                Origin::Minted => "minted",
            },
        });
        Explanation {
            identity,
            decisions,
            request: to_service,
            response: to_client,
            cookies: output::cookies(policy, outcome),
            counters,
            rollouts: Vec::new(),
        }
    }
}

/// Runs the verb.
pub fn run(args: &ExplainArgs, format: Format) -> Result<ExitCode> {
    let config = LoadedConfig::read(&args.config)?;
    let environment = GivenEnvironment {
        claims: args.claims.as_deref().map(read_claims).transpose()?,
        source: args.source_ip,
        peer: args.peer.clone(),
        outbound: args.outbound,
        now: Some(time_or_now(args.at.as_deref())?),
        random: Some(input::random(&args.random)?),
    };
    if let Some(path) = &args.batch {
        explain_batch(&config, path, &environment)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut headers = RequestInput::request_line(args.request.as_deref().unwrap_or("/"))?;
    for header in &args.header {
        headers.push(RequestInput::header(header)?);
    }
    let input = RequestInput {
        headers,
        environment,
    };
    let explanation = config.explain(&input, true);
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => print_json(&explanation, &mut out)?,
        Format::Text | Format::Markdown => show::explanation(&explanation, &mut out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn explain_batch(config: &LoadedConfig, path: &Path, defaults: &GivenEnvironment) -> Result<()> {
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
        let input = RequestInput::from_json(&line);
        let mut input = input.with_context(|| format!("{name}:{number}"))?;
        let environment = &mut input.environment;
        environment.now = environment.now.or(defaults.now);
        environment.random = environment.random.or(defaults.random);
        environment.source = environment.source.or(defaults.source);
        serde_json::to_writer(&mut out, &config.explain(&input, false))?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

fn read_claims(path: &Path) -> Result<Value> {
    let name = path.display().to_string();
    let bytes = fs::read(path).with_context(|| name.clone())?;
    serde_json::from_slice(&bytes).with_context(|| format!("{name}: is not JSON"))
}

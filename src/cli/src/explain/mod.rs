//! `divvy explain`: the version of a request, the steps of the decision, and its effects.
//!
//! Prints the trace that the core's own decision, [`divvy::decide::decide_traced`], records.

mod condition;
mod explanation;
mod identity;
pub mod input;
pub mod schedule;
mod show;
mod steps;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;

use crate::environment::{GivenEnvironment, time_or_now, unreachable};
use crate::keys::KeysArgs;
use crate::output::{Format, print_json};
use crate::source::{self, ConfigArgs, LoadedConfig};
pub use condition::ConditionReport;
pub use explanation::{DecisionReport, Explanation, HeaderEdits};
pub use identity::{IdentityReport, OwnIdentityReport};
use input::RequestInput;
pub use schedule::StepSchedule;
pub use steps::{RolloutSteps, StepReport};

/// Arguments of `divvy explain`.
#[derive(Args, Debug)]
#[command(after_help = "\
Only a running proxy knows what a guardrail has rolled back, and the share of a canary that it
holds back: here all versions count as healthy. --unreachable shows what happens if a cluster has no
host.

Without keys, in DIVVY_KEYS or --keys-file, no signature is valid, and the unit of a user is the one on
proxies without keys; there is none if the configuration needs keys.

With --batch each input line is a request in JSON, and each output line is its explanation:
  {\"request\": \"GET https://shop.example/cart\", \"headers\": {\"x-user-id\": \"42\"}}
Other fields are claims, sourceIp, peer, outbound, at, random and unreachable, a list; headers may
also be a list of [name, value].

Examples:
  divvy explain envoy/divvy.yaml --request 'GET /checkout' -H 'x-user-id: 42'
  divvy explain envoy/examples/ramp.yaml --at 2026-12-01T10:00:00Z \\
    --request 'GET https://shop.example.com/checkout' -H 'x-user-id: 42' --output json")]
pub struct ExplainArgs {
    /// The configuration.
    #[command(flatten)]
    pub source: ConfigArgs,
    /// Method and URL of the request
    #[arg(
        long,
        short,
        value_name = "'METHOD URL'",
        required_unless_present = "batch"
    )]
    pub request: Option<String>,
    /// A request header, as for curl, also host; may be repeated
    #[arg(long, short = 'H', value_name = "'NAME: VALUE'")]
    pub header: Vec<String>,
    /// Claims of the verified token, a JSON object
    #[arg(long, value_name = "FILE")]
    pub claims: Option<PathBuf>,
    /// Source address of the request
    #[arg(long, value_name = "ADDRESS")]
    pub source_ip: Option<IpAddr>,
    /// URI in the certificate of the client, for the source peer and trust.principals
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
    /// The keys.
    #[command(flatten)]
    pub keys: KeysArgs,
    /// A version that the proxy cannot reach; may be repeated
    #[arg(long, value_name = "VERSION|ROLLOUT=VERSION")]
    pub unreachable: Vec<String>,
    /// Reads requests from a file of JSON lines, or from standard input for -
    #[arg(long, value_name = "FILE", conflicts_with_all = ["request", "header", "claims"])]
    pub batch: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &ExplainArgs, format: Format) -> Result<ExitCode> {
    let config = LoadedConfig::with_keys(&args.source.find()?, &args.keys.ring()?)?;
    let environment = GivenEnvironment {
        claims: args.claims.as_deref().map(read_claims).transpose()?,
        source: args.source_ip,
        peer: args.peer.clone(),
        outbound: args.outbound,
        now: Some(time_or_now(args.at.as_deref())?),
        random: Some(input::random(&args.random)?),
        unreachable: unreachable(&config.policy, &args.unreachable)?,
    };
    if let Some(path) = &args.batch {
        explain_batch(&config, path, &environment)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut headers = RequestInput::request_line(args.request.as_deref().unwrap_or("/"))?;
    for header in &args.header {
        RequestInput::add(&mut headers, RequestInput::header(header)?);
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
        Box::new(source::open(path).with_context(|| name.clone())?)
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (number, line) in (1..).zip(BufReader::new(input).lines()) {
        let line = line.with_context(|| name.clone())?;
        if line.trim().is_empty() {
            continue;
        }
        let input = RequestInput::from_json(&line, &config.policy);
        let mut input = input.with_context(|| format!("{name}:{number}"))?;
        let environment = &mut input.environment;
        environment.now = environment.now.or(defaults.now);
        environment.random = environment.random.or(defaults.random);
        environment.source = environment.source.or(defaults.source);
        let everywhere = defaults.unreachable.iter();
        environment.unreachable.extend(everywhere);
        serde_json::to_writer(&mut out, &config.explain(&input, false))?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

fn read_claims(path: &Path) -> Result<Value> {
    let name = path.display().to_string();
    let bytes = source::read_bytes(path).with_context(|| name.clone())?;
    serde_json::from_slice(&bytes).with_context(|| format!("{name}: is not JSON"))
}

//! `divvy sign sticky`.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use divvy::bucket::Position;
use divvy::cookies::Memory;
use divvy::request::Request;
use serde_json::json;

use super::{check_version, rollout};
use crate::environment::{GivenEnvironment, time_or_now};
use crate::keys::KeysArgs;
use crate::output::{Format, print_json};
use crate::source::{ConfigArgs, LoadedConfig};

/// Arguments of `divvy sign sticky`.
#[derive(Args, Debug)]
#[command(after_help = "\
Prints the line of a set-cookie header, for example for a test in a browser.

Examples:
  divvy sign key > target/keys
  divvy sign sticky envoy/examples/signed.yaml --keys-file target/keys --rollout checkout --version v2")]
pub struct StickyArgs {
    /// The configuration.
    #[command(flatten)]
    pub source: ConfigArgs,
    /// The keys.
    #[command(flatten)]
    pub keys: KeysArgs,
    /// The rollout
    #[arg(long, value_name = "NAME")]
    pub rollout: String,
    /// The version
    #[arg(long, value_name = "NAME")]
    pub version: String,
    /// Position of the user, 0 to 999999
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub position: String,
    /// The minted identity of the client, if it has one
    #[arg(long, value_name = "UUID")]
    pub identity: Option<String>,
    /// When it is written; now by default
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

pub(super) fn run(args: &StickyArgs, format: Format) -> Result<()> {
    let found = args.source.find()?;
    args.keys.required()?;
    let config = LoadedConfig::with_keys(&found, &args.keys.ring()?)?;
    let (_, rollout) = rollout(&config.policy, &args.rollout)?;
    check_version(rollout, &args.version)?;
    let Some(sticky) = rollout.sticky.as_ref().filter(|sticky| sticky.is_signed()) else {
        bail!("{}: has no sticky with signed: true", args.rollout);
    };
    let position = Position::read(args.position.as_bytes());
    let memory = Memory {
        version: rollout.version_of_name(&args.version),
        position: position.with_context(|| format!("{:?} is not a position", args.position))?,
        minute: None,
    };
    let environment = GivenEnvironment::at(time_or_now(args.at.as_deref())?);
    let request = Request::new(&config.policy.names).with_environment(&environment);
    let identity = args.identity.as_deref().map(str::as_bytes);
    ensure!(identity != Some(b""), "--identity is empty");
    let line = sticky.line(&args.version, &memory, &request, identity);
    let line = line.context("the cookie cannot be signed")?;
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => print_json(&json!({"setCookie": line}), &mut out),
        _ => Ok(writeln!(out, "{line}")?),
    }
}

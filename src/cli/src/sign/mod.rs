//! `divvy sign`: makes overrides, sticky cookies and keys.

mod key;
mod override_token;
mod sticky;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use divvy::decision::RolloutId;
use divvy::policy::{Policy, Rollout};

use crate::output::Format;

/// Arguments of `divvy sign`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  divvy sign key > target/keys
  divvy sign override envoy/examples/signed.yaml --keys-file target/keys \\
    --rollout checkout --version v2 --for 2h --host shop.example.com")]
pub struct SignArgs {
    /// What to make.
    #[command(subcommand)]
    pub what: Signed,
}

/// What to make.
#[derive(Debug, Subcommand)]
pub enum Signed {
    /// A token by which a tester gets a version
    Override(override_token::OverrideArgs),
    /// A sticky cookie with a version
    Sticky(sticky::StickyArgs),
    /// A new random key
    Key(key::KeyArgs),
}

/// Runs the verb.
pub fn run(args: &SignArgs, format: Format) -> Result<ExitCode> {
    match &args.what {
        Signed::Override(args) => override_token::run(args, format)?,
        Signed::Sticky(args) => sticky::run(args, format)?,
        Signed::Key(args) => key::run(args, format)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The rollout and the number of its version.
fn rollout<'p>(policy: &'p Policy, name: &str) -> Result<(RolloutId, &'p Rollout)> {
    let mut all = policy.numbered();
    let found = all.find(|(_, rollout)| *rollout.name == *name);
    found.with_context(|| {
        let names = policy.rollouts.iter().map(|rollout| &*rollout.name);
        let names: Vec<_> = names.collect();
        format!(
            "{name:?} is not a rollout: write one of {}",
            names.join(", ")
        )
    })
}

fn check_version(rollout: &Rollout, name: &str) -> Result<()> {
    let names: Vec<_> = rollout.version_names().collect();
    ensure!(
        names.contains(&name),
        "{name:?} is not a version of {}: write one of {}",
        rollout.name,
        names.join(", ")
    );
    Ok(())
}

/// Random bytes of the operating system.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| anyhow::anyhow!("the operating system has no random bytes: {error}"))?;
    Ok(bytes)
}

//! `divvy sign override`.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use divvy::overrides::{MAX_HOST, MAX_SECONDS, OverrideClaims, Overrides};
use divvy::request::host;
use divvy::signature::KeyPurpose;
use serde_json::json;

use super::{check_version, random, rollout};
use crate::environment::time_or_now;
use crate::keys::{KeysArgs, signing_id};
use crate::output::{Format, print_json};
use crate::source::ConfigArgs;

/// Arguments of `divvy sign override`.
#[derive(Args, Debug)]
#[command(after_help = "\
Prints the token alone on standard output, and how to send it on standard error.

Examples:
  divvy sign key > target/keys
  divvy sign override envoy/examples/signed.yaml --keys-file target/keys \\
    --rollout checkout --version v2 --for 30m --identity 42 --host shop.example.com")]
pub struct OverrideArgs {
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
    /// For how long, 24h at most
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub lasts: Duration,
    /// The only identity that it is for; everyone by default
    #[arg(long, value_name = "IDENTITY")]
    pub identity: Option<String>,
    /// The only host that it is for; every host by default
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// When it begins; now by default
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let found = humantime::parse_duration(text).ok();
    let range = Duration::from_secs(1)..=Duration::from_secs(MAX_SECONDS);
    let found = found.filter(|duration| range.contains(duration));
    found.ok_or_else(|| "is not a duration from 1s to 24h, such as 90s or 2h".to_owned())
}

pub(super) fn run(args: &OverrideArgs, format: Format) -> Result<()> {
    let config = args.source.load()?;
    let Some(overrides) = &config.policy.overrides else {
        bail!("the configuration reads no overrides: add overrides: {{cookie: divvy_override}}");
    };
    let (_, rollout) = rollout(&config.policy, &args.rollout)?;
    check_version(rollout, &args.version)?;
    let host = args.host.as_deref().map(normalized).transpose()?;
    let identity = args.identity.as_deref().map(str::trim);
    ensure!(identity != Some(""), "--identity is empty");
    let from = time_or_now(args.at.as_deref())? / 1_000;
    let keys = args.keys.required()?;
    let claims = OverrideClaims {
        rollout: &args.rollout,
        version: &args.version,
        identity: identity.map(str::as_bytes),
        host: host.as_deref(),
        from,
        to: from.saturating_add(args.lasts.as_secs()),
        random: random()?,
    };
    let token = claims.sign(&keys.of(KeyPurpose::Override));
    let token = token.context("--identity is longer than 256 bytes")?;
    let send = ways(overrides, &token);
    let mut out = anstream::stdout().lock();
    if format == Format::Json {
        let report = json!({
            "token": token, "key": signing_id(&keys), "from": claims.from, "to": claims.to, "send": send,
        });
        return print_json(&report, &mut out);
    }
    writeln!(out, "{token}")?;
    for way in send {
        anstream::eprintln!("send it as {way}");
    }
    Ok(())
}

/// How a request carries the token.
fn ways(overrides: &Overrides, token: &str) -> Vec<String> {
    let header = overrides.header.iter();
    let header = header.map(|(_, name)| format!("the header {name}: {token}"));
    let cookie = overrides.cookie.iter();
    let cookie = cookie.map(|(_, name)| format!("the cookie {name}={token}"));
    let query = overrides.query.iter();
    let query = query.map(|(_, key)| format!("the parameter ?{key}={token}"));
    header.chain(cookie).chain(query).collect()
}

/// A host as requests are compared with it.
fn normalized(text: &str) -> Result<String> {
    let host = host::normalized(text.as_bytes());
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    ensure!(
        (1..=MAX_HOST).contains(&host.len()) && host.iter().all(is_letter),
        "{text:?} is not a host: write a name such as shop.example.com"
    );
    Ok(String::from_utf8_lossy(&host).into_owned())
}

//! `divvy verify`: reads an override, a sticky cookie or a minted identity, and checks its signature.

use std::cell::Cell;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use divvy::overrides::OverrideToken;
use divvy::policy::Policy;
use divvy::request::{Environment, Request};
use divvy::signature::{KeyPurpose, KeySet, SignatureResult, SignatureVerdict};
use serde::Serialize;

use crate::environment::time_or_now;
use crate::keys::KeysArgs;
use crate::output::{Format, exit_code, print_json};
use crate::source::{ConfigArgs, LoadedConfig};

/// Arguments of `divvy verify`.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit code 1 if it is not valid.

Examples:
  divvy sign key > target/keys
  divvy sign override envoy/examples/signed.yaml --keys-file target/keys --rollout checkout \\
    --version v2 --for 2h | divvy verify envoy/examples/signed.yaml --keys-file target/keys --value -")]
pub struct VerifyArgs {
    /// The configuration.
    #[command(flatten)]
    pub source: ConfigArgs,
    /// The keys.
    #[command(flatten)]
    pub keys: KeysArgs,
    /// The value of the cookie, header or parameter; - for standard input
    #[arg(long, value_name = "VALUE")]
    pub value: String,
    /// The minted identity beside a sticky cookie
    #[arg(long, value_name = "UUID")]
    pub identity: Option<String>,
    /// Time of the request; now by default
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

/// What a signed value says.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// `override`, `sticky` or `mint`.
    pub purpose: &'static str,
    /// Whether it counts at this time.
    pub valid: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it says: names and values.
    pub says: Vec<(&'static str, String)>,
}

/// Runs the verb.
pub fn run(args: &VerifyArgs, format: Format) -> Result<ExitCode> {
    let mut value = args.value.clone();
    if value == "-" {
        value.clear();
        io::stdin().read_to_string(&mut value)?;
    }
    let value = value.trim();
    let found = args.source.find()?;
    let keys = args.keys.required()?;
    let config = LoadedConfig::with_keys(&found, &args.keys.ring()?)?;
    let now = time_or_now(args.at.as_deref())?;
    let report = if let Some(token) = OverrideToken::read(value.as_bytes()) {
        token_report(&config.policy, &keys, &token, now)
    } else if value.starts_with("2:") {
        sticky_report(&config.policy, value, args.identity.as_deref(), now)?
    } else {
        identity_report(&keys, value)?
    };
    let mut out = anstream::stdout().lock();
    if format == Format::Json {
        print_json(&report, &mut out)?;
    } else {
        let state = if report.valid { "valid" } else { "not valid" };
        let reason = report.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        writeln!(out, "{}: {state}{reason}", report.purpose)?;
        for (name, text) in &report.says {
            writeln!(out, "  {name}: {text}")?;
        }
    }
    Ok(exit_code(!report.valid))
}

fn token_report(
    policy: &Policy,
    keys: &KeySet,
    token: &OverrideToken<'_>,
    now: u64,
) -> VerifyReport {
    let verdict =
        keys.of(KeyPurpose::Override)
            .verify(token.key, &token.signed_fields(), token.signature);
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let time = |seconds| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        humantime::format_rfc3339_seconds(time).to_string()
    };
    let mut rollouts = policy.rollouts.iter();
    let rollout = rollouts.find(|rollout| rollout.name.as_bytes() == token.rollout);
    let knows = rollout.is_some_and(|rollout| {
        let mut names = rollout.version_names();
        names.any(|name| name.as_bytes() == token.version)
    });
    let age = policy.overrides.as_ref();
    let age = age.map(|overrides| overrides.check_time(token, Some(now)));
    let reason = match (verdict, age) {
        (SignatureVerdict::UnknownKey, _) => Some("its key id is not among the keys".to_owned()),
        (SignatureVerdict::Bad, _) => Some("its signature is wrong".to_owned()),
        (_, None) => Some("the configuration reads no overrides".to_owned()),
        (_, Some(Err(refusal))) => Some(format!("it {}", refusal.text())),
        (_, Some(Ok(()))) if !knows => {
            Some("the configuration has no such rollout with this version".to_owned())
        }
        _ => None,
    };
    let identity = token
        .identity()
        .map_or_else(|| "everyone".to_owned(), |id| shown(&id));
    VerifyReport {
        purpose: "override",
        valid: reason.is_none(),
        reason,
        says: vec![
            ("key", shown(token.key)),
            ("rollout", shown(token.rollout)),
            ("version", shown(token.version)),
            ("identity", identity),
            ("host", shown(token.host)),
            ("from", time(token.from)),
            ("to", time(token.to)),
        ],
    }
}

/// Remembers the result that was counted last.
#[derive(Debug)]
struct CheckTime {
    now: u64,
    result: Cell<Option<SignatureResult>>,
}

impl Environment for CheckTime {
    fn now(&self) -> Option<u64> {
        Some(self.now)
    }

    fn count_signature(&self, _: KeyPurpose, result: SignatureResult) {
        self.result.set(Some(result));
    }
}

fn sticky_report(
    policy: &Policy,
    value: &str,
    identity: Option<&str>,
    now: u64,
) -> Result<VerifyReport> {
    let world = CheckTime {
        now,
        result: Cell::new(None),
    };
    let mint = policy.mint.as_ref().zip(identity);
    let mint = mint.map(|(mint, identity)| {
        let value = mint.identities.value(identity).unwrap_or_default();
        format!("{}={value}; ", mint.set.name)
    });
    let mut report = VerifyReport {
        purpose: "sticky",
        reason: Some("no rollout with signed: true has its epoch and version".to_owned()),
        ..VerifyReport::default()
    };
    for rollout in &policy.rollouts {
        let Some(sticky) = rollout.sticky.as_ref().filter(|sticky| sticky.is_signed()) else {
            continue;
        };
        let line = format!(
            "{}{}={value}",
            mint.as_deref().unwrap_or_default(),
            sticky.set.name
        );
        let request = Request::from_headers(&policy.names, [(&b"cookie"[..], line.as_bytes())]);
        let request = request.with_environment(&world);
        world.result.set(None);
        let names = rollout.versions.iter().map(|version| &*version.name);
        if let Some(found) = sticky.recall(&request, names).next() {
            let version = found.memory.version.and_then(|id| rollout.version(id));
            let version = version.map_or_else(String::new, |version| version.name.to_string());
            report.valid = true;
            report.reason = None;
            report.says = vec![
                (
                    "key",
                    value.split(':').nth(1).unwrap_or_default().to_owned(),
                ),
                ("rollout", rollout.name.to_string()),
                ("version", version),
                ("position", found.memory.position.get().to_string()),
            ];
            break;
        }
        let reason = match world.result.get() {
            Some(SignatureResult::Expired) => "it is older than maxAge",
            Some(SignatureResult::UnknownKey) => "its key id is not among the keys",
            Some(_) => "its signature is wrong, or it is bound to another --identity",
            None => continue,
        };
        report.reason = Some(reason.to_owned());
        report.says = vec![("rollout", rollout.name.to_string())];
    }
    Ok(report)
}

fn identity_report(keys: &KeySet, value: &str) -> Result<VerifyReport> {
    let mut parts = value.rsplitn(3, '.');
    let parts = [(); 3].map(|()| parts.next());
    let [Some(signature), Some(key), Some(identity)] = parts else {
        bail!("is not an override, a signed sticky cookie or a signed identity");
    };
    let keys = keys.of(KeyPurpose::Mint);
    let verdict = keys.verify(key.as_bytes(), &[identity.as_bytes()], signature.as_bytes());
    let reason = match verdict {
        SignatureVerdict::Current | SignatureVerdict::Older => None,
        SignatureVerdict::Bad => Some("its signature is wrong"),
        SignatureVerdict::UnknownKey => Some("its key id is not among the keys"),
    };
    Ok(VerifyReport {
        purpose: "mint",
        valid: reason.is_none(),
        reason: reason.map(ToOwned::to_owned),
        says: vec![("key", key.to_owned()), ("identity", identity.to_owned())],
    })
}

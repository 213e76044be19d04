//! The identity of an explained request: its source, or why there is none.

use divvy::decide::Outcome;
use divvy::decide::trace::{Recorder, TraceStep};
use divvy::decision::RolloutId;
use divvy::identity::{
    Identification, Identity, IdentitySource, IgnoredValues, MintedIdentities, Origin,
};
use divvy::policy::UnitHash;
use divvy::request::Request;
use serde::Serialize;
use serde_json::Value;

use crate::raw::list;
use crate::source::LoadedConfig;

/// The user's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityReport {
    /// The value that is hashed.
    pub value: String,
    /// `given`, `made`, `random` or `minted`.
    pub origin: &'static str,
    /// The source that has it, such as `header x-user-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What stands for it in logs, if the configuration has `headers.unit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Whether proxies compute a unit with a key that is not known here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unit_needs_keys: bool,
}

/// The identity of a rollout with sources of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnIdentityReport {
    /// Name of the rollout.
    pub rollout: String,
    /// The user, if the request has an identity.
    pub identity: Option<IdentityReport>,
    /// Otherwise each source, with what it has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_identity: Vec<String>,
}

/// Identity sources, as the configuration writes them and compiled.
#[derive(Clone, Copy)]
pub(super) struct Sources<'c> {
    raw: &'c Value,
    compiled: &'c [IdentitySource],
    ignored: &'c IgnoredValues,
    unit: Option<&'c UnitHash>,
    signed: Option<&'c MintedIdentities>,
}

impl<'c> Sources<'c> {
    /// Those at the top of the configuration.
    pub fn at_the_top(config: &'c LoadedConfig) -> Self {
        Self {
            raw: &config.raw,
            compiled: &config.policy.identity,
            ignored: &config.policy.ignored_identities,
            unit: config.policy.unit.as_ref(),
            signed: config.policy.signed_identities(),
        }
    }

    /// Those of a rollout that has some of its own.
    fn of_rollout(config: &'c LoadedConfig, id: RolloutId) -> Option<Self> {
        Some(Self {
            raw: config.rollouts().get(usize::from(id.0))?,
            compiled: config.policy.rollout(id)?.identity.as_ref()?,
            ignored: &config.policy.ignored_identities,
            unit: config.policy.unit.as_ref(),
            signed: config.policy.signed_identities(),
        })
    }

    /// The report of an identity that was found.
    pub fn report(self, found: &Identity<'_>, request: &Request<'_>) -> IdentityReport {
        let mut sources = self.each();
        let source = sources.find(|(sources, _)| {
            let ignored = self.ignored;
            let signed = self.signed;
            let one = Identification {
                sources,
                ignored,
                signed,
            };
            one.find(request).is_some()
        });
        let source = source.filter(|_| found.origin != Origin::Minted);
        let hash = self.unit.filter(|_| found.origin != Origin::Random);
        let unit = hash.and_then(|hash| hash.unit(&found.bytes));
        IdentityReport {
            value: String::from_utf8_lossy(&found.bytes).into_owned(),
            origin: match found.origin {
                Origin::Given => "given",
                Origin::Made => "made",
                Origin::Random => "random",
                Origin::Minted => "minted",
            },
            source: source.map(|(_, text)| text),
            unit: unit.map(|unit| format!("{unit:016x}")),
            unit_needs_keys: hash.is_some() && unit.is_none(),
        }
    }

    /// Each source with what it has, for a request without an identity.
    pub fn missing(self, request: &Request<'_>) -> Vec<String> {
        let missing = self.each().map(|(sources, text)| {
            let ignored = &IgnoredValues::NONE;
            let signed = self.signed;
            let one = Identification {
                sources,
                ignored,
                signed,
            };
            match one.find(request) {
                Some(found) => {
                    let value = String::from_utf8_lossy(&found.bytes).into_owned();
                    format!("{text} is {value:?}, one of ignoreIdentities")
                }
                None => format!("{text} has no usable value"),
            }
        });
        missing.collect()
    }

    /// Each source by itself, with its text.
    fn each(self) -> impl Iterator<Item = (&'c [IdentitySource], String)> {
        let raw = list(self.raw, "identity").iter();
        let pairs = self.compiled.iter().zip(raw);
        pairs.map(|(source, raw)| (std::slice::from_ref(source), text(raw)))
    }
}

/// Whether a decision by the sources at the top looked for the identity.
pub(super) fn was_needed(config: &LoadedConfig, recorder: &Recorder) -> bool {
    let mut rollouts = recorder.rollouts.iter();
    rollouts.any(|(id, steps)| Sources::of_rollout(config, *id).is_none() && looked_for(steps))
}

/// The identities of the rollouts with sources of their own whose decisions looked for one.
pub(super) fn own(
    config: &LoadedConfig,
    request: &Request<'_>,
    outcome: &Outcome<'_>,
    recorder: &Recorder,
) -> Vec<OwnIdentityReport> {
    let reports = config.policy.numbered().filter_map(|(id, rollout)| {
        let sources = Sources::of_rollout(config, id)?;
        let found = outcome.identity_of(&config.policy, id);
        let mut matching = recorder.rollouts.iter();
        let steps = matching.find(|(of, _)| *of == id);
        if found.is_none() && !steps.is_some_and(|(_, steps)| looked_for(steps)) {
            return None;
        }
        Some(OwnIdentityReport {
            rollout: rollout.name.to_string(),
            identity: found.map(|found| sources.report(found, request)),
            missing_identity: match found {
                Some(_) => Vec::new(),
                None => sources.missing(request),
            },
        })
    });
    reports.collect()
}

fn looked_for(steps: &[TraceStep]) -> bool {
    let mut steps = steps.iter();
    steps.any(|step| step.name == "identity" || step.text.contains("needs an identity"))
}

/// A source as the configuration writes it: `header x-user-id`.
fn text(raw: &Value) -> String {
    let fields = raw.as_object().into_iter().flatten();
    let mut fields = fields.filter(|(name, _)| !matches!(&***name, "mint" | "type" | "jwtPayload"));
    match fields.next() {
        Some((name, Value::String(value))) => format!("{name} {value}"),
        Some((name, Value::Bool(_))) => name.clone(),
        Some((name, Value::Array(parts))) if name == "concat" => {
            let parts: Vec<_> = parts.iter().map(text).collect();
            format!("concat of {}", parts.join(" and "))
        }
        Some((name, value)) => format!("{name} {value}"),
        None => raw.to_string(),
    }
}

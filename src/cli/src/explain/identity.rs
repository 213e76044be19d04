//! The identity of an explained request: its source, or why there is none.

use divvy::decide::trace::Recorder;
use divvy::identity::{Identification, Identity, IgnoredValues, Origin};
use divvy::request::Request;
use serde::Serialize;
use serde_json::Value;

use crate::raw::list;
use crate::source::LoadedConfig;

/// The user's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdentityReport {
    /// The value that is hashed.
    pub value: String,
    /// `given`, `made`, `random` or `minted`.
    pub origin: &'static str,
    /// The source that has it, such as `header x-user-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl IdentityReport {
    pub(super) fn new(found: &Identity<'_>, config: &LoadedConfig, request: &Request<'_>) -> Self {
        let mut sources = sources(config);
        let source = sources.find(|(source, _)| source.find(request).is_some());
        let source = source.filter(|_| found.origin != Origin::Minted);
        Self {
            value: String::from_utf8_lossy(&found.bytes).into_owned(),
            origin: match found.origin {
                Origin::Given => "given",
                Origin::Made => "made",
                Origin::Random => "random",
                Origin::Minted => "minted",
            },
            source: source.map(|(_, text)| text),
        }
    }
}

/// Whether a decision looked for the identity.
pub(super) fn was_needed(recorder: &Recorder) -> bool {
    let mut steps = recorder.rollouts.iter().flat_map(|(_, steps)| steps);
    steps.any(|step| step.name == "identity" || step.text.contains("needs an identity"))
}

/// Each source with what it has, for a request without an identity.
pub(super) fn missing(config: &LoadedConfig, request: &Request<'_>) -> Vec<String> {
    let sources = sources(config).map(|(source, text)| {
        let unchecked = Identification {
            ignored: IgnoredValues::NONE,
            ..source
        };
        match unchecked.find(request) {
            Some(found) => {
                let value = String::from_utf8_lossy(&found.bytes).into_owned();
                format!("{text} is {value:?}, one of ignoreIdentities")
            }
            None => format!("{text} has no usable value"),
        }
    });
    sources.collect()
}

/// Each source of the identity by itself, with its text.
fn sources(config: &LoadedConfig) -> impl Iterator<Item = (Identification, String)> {
    let all = &config.policy.identification;
    let raw = list(&config.raw, "identity").iter();
    let pairs = all.sources.iter().zip(raw);
    pairs.map(|(source, raw)| {
        let alone = Identification {
            sources: vec![source.clone()],
            ignored: all.ignored.clone(),
        };
        (alone, text(raw))
    })
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

//! From the bytes of a configuration to a [`Policy`], or to everything that is wrong.
//!
//! Three steps: `json` reads the text, `shape` and `read` say which fields there
//! are, and `compile` checks what they mean. All errors are collected, each with the path of
//! what it is about, since whoever reads them wants to mend the file once.

mod build;
mod compile;
mod condition;
mod cookies;
#[cfg(not(target_arch = "wasm32"))]
mod describe;
mod error;
mod guardrail;
mod headers;
mod identity;
mod items;
mod json;
mod mirror;
mod names;
mod operator;
mod ramp;
mod read;
mod rollout;
mod scope;
mod shape;
mod strategy;
mod tree;
mod trust;
mod values;
mod versions;

#[cfg(not(target_arch = "wasm32"))]
pub use describe::schema;
pub use error::{ConfigError, Errors};

use crate::policy::Policy;
use tree::Tree;

/// The longest configuration, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// The most rollouts in a configuration.
pub const MAX_ROLLOUTS: usize = 1_000;
/// The most identity sources.
pub const MAX_IDENTITY_SOURCES: usize = 16;
/// The most values that name nobody: each identity is held against all of them.
pub const MAX_IGNORED: usize = 100;
/// The most sources that one identity is put together from.
pub const MAX_CONCAT: usize = 8;
/// The most regular expressions: each may take 64 KiB in the VM of every worker.
pub const MAX_REGEXES: usize = 200;
/// The most claims of tokens.
pub const MAX_CLAIMS: usize = 200;
/// The most versions of a rollout.
pub const MAX_VERSIONS: usize = 32;
/// The most rules of a rollout.
pub const MAX_RULES: usize = 64;
/// How deep conditions may stand in one another.
pub const MAX_DEPTH: usize = 16;

/// Compiles a configuration: the JSON of `pluginConfig` (Istio) or `configuration`
/// (Envoy). No bytes at all and `{}` are the empty configuration.
///
/// # Errors
/// Everything that is wrong with it: at least one error, each with its path.
///
/// # Examples
/// ```
/// let errors = divvy::config::parse(br#"{"rollouts": [{"name": "Checkout"}]}"#).unwrap_err();
/// assert_eq!(errors.to_string(), "rollouts[0]: missing field `versions`");
/// ```
pub fn parse(bytes: &[u8]) -> Result<Policy, Errors> {
    if bytes.is_empty() {
        return Ok(Policy::default());
    }
    let mut errors = Errors::default();
    let Some(value) = json::read(bytes, &mut errors) else {
        return Err(errors);
    };
    let fingerprint = folded(value.hash());
    let policy = compile::compile(&value, &mut errors);
    let policy = errors.into_result(policy)?;
    Ok(Policy {
        fingerprint,
        ..policy
    })
}

/// The policy that stands in for a configuration that is refused where there is no last
/// good one: it has no rollouts, and strips the headers that are divvy's by default and
/// those that are named under `headers`, if these bytes are JSON that names any.
pub fn inert(bytes: &[u8]) -> Policy {
    let value = json::read(bytes, &mut Errors::default());
    // Text that is no JSON is hashed as it is.
    let hash = value
        .as_ref()
        .map_or_else(|| tree::hash(0, bytes), Tree::hash);
    let (names, owned, _) = headers::Headers::to_strip(&value.unwrap_or_default()).into_parts();
    Policy {
        fingerprint: folded(hash),
        names,
        owned,
        ..Policy::default()
    }
}

/// A number as the text of a configuration has it.
pub(crate) fn number(text: &[u8]) -> Option<f64> {
    match json::read(text, &mut Errors::default()) {
        Some(Tree::Number(number)) => Some(number),
        _ => None,
    }
}

/// 128 bits that tell the very bytes of configurations apart.
pub fn digest(bytes: &[u8]) -> u128 {
    // Reading from memory cannot fail.
    murmur3::murmur3_x64_128(&mut &*bytes, 0).unwrap_or_default()
}

/// As much of a hash as a gauge shows exactly.
fn folded(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}

//! Compiles the text of a configuration into a [`Policy`], or into the list of all its errors.
//!
//! [`divvy_json`] parses the text, `spec` has the fields and their types, `read` reads a spec
//! from the tree, and `compile` and the files for each subject check what the values mean. It
//! depends on the modules whose values it makes; none of them depends on it.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::disallowed_macros,
        reason = "a test that panics has failed, and that is what it is for"
    )
)]

mod build;
mod compile;
mod condition;
mod cookies;
mod describe;
mod guardrail;
mod hash;
mod identity;
mod items;
pub mod limits;
mod mirror;
mod names;
mod operator;
mod overrides;
mod ramp;
mod read;
mod registry;
mod rollout;
mod scope;
mod shared;
mod spec;
mod strategy;
mod trust;
mod values;
mod versions;

pub use describe::schema;
pub use divvy_json::error::{ConfigError, ErrorKind, Errors};

use std::cell::Cell;

use divvy_core::policy::Policy;
use divvy_core::signature::KeyRing;
use divvy_json::Tree;
use divvy_json::error::Path;
use limits::MAX_BYTES;

/// Compiles a configuration as [`parse_with`] does, for proxies that have keys.
///
/// # Errors
/// Everything that is wrong with it: at least one error, each with its path.
///
/// # Examples
/// ```
/// let errors = divvy_config::parse(br#"{"rollouts": [{"name": "Checkout"}]}"#).unwrap_err();
/// assert_eq!(errors.to_string(), "rollouts[0]: missing field `versions`");
/// ```
pub fn parse(bytes: &[u8]) -> Result<Policy, Errors> {
    parse_with(bytes, &KeyRing::Assumed)
}

/// Compiles a configuration: the JSON of `pluginConfig` (Istio) or `configuration`
/// (Envoy). No bytes at all and `{}` are the empty configuration.
///
/// # Errors
/// Everything that is wrong with it: at least one error, each with its path.
pub fn parse_with(bytes: &[u8], keys: &KeyRing) -> Result<Policy, Errors> {
    if bytes.is_empty() {
        return Ok(Policy::default());
    }
    let errors = Cell::default();
    let root = Path::root(&errors);
    let policy = read_text(root, bytes).and_then(|tree| {
        let fingerprint = folded(tree.hash());
        let policy = compile::compile(root, &tree, keys)?;
        Some(Policy {
            fingerprint,
            ..policy
        })
    });
    errors.into_inner().into_result(policy)
}

/// Parses the JSON text; `None` when it is too long or not JSON.
fn read_text<'j>(at: Path<'_>, bytes: &'j [u8]) -> Option<Tree<'j>> {
    if bytes.len() > MAX_BYTES {
        let message = format_args!("has {} bytes: the maximum is {MAX_BYTES}", bytes.len());
        at.error(message);
        return None;
    }
    let error = match divvy_json::parse(bytes, at) {
        Ok(tree) => return Some(tree),
        Err(error) => error,
    };
    if is_protobuf_struct(bytes) {
        at.error(
            "is a google.protobuf.Struct, which arrives as raw protobuf: write the \
             configuration as JSON text in a google.protobuf.StringValue",
        );
        return None;
    }
    let hint = if bytes.trim_ascii_start().starts_with(b"{") {
        ""
    } else {
        "; write a JSON object, not YAML"
    };
    let message = format_args!("is not JSON: {}{hint}", error.message);
    at.error_of_kind(error.kind, message);
    None
}

/// Whether the bytes are a serialized `google.protobuf.Struct`: it begins with the tag of its
/// first field, which is a line feed, and has tags and lengths that are control characters.
fn is_protobuf_struct(bytes: &[u8]) -> bool {
    let is_tag = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    bytes.starts_with(b"\n") && bytes.iter().any(is_tag)
}

/// The policy in place of a refused configuration when there is no earlier valid one: it has no
/// rollouts, and removes the default headers of divvy and those that the configuration names
/// under `headers` and `expose`, if it is JSON.
pub fn inert(bytes: &[u8]) -> Policy {
    let tree = read_text(Path::SILENT, bytes);
    let hash = tree
        .as_ref()
        .map_or_else(|| divvy_json::hash(0, bytes), Tree::hash);
    let headers = registry::Registry::to_strip(&tree.unwrap_or_default());
    Policy {
        fingerprint: folded(hash),
        names: headers.names,
        reserved_headers: headers.owned,
        own_entries: headers.shared,
        ..Policy::default()
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

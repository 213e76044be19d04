//! The whole configuration: identity, headers, and the list of rollouts.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::{At, Errors};
use super::headers::Headers;
use super::rollout::Around;
use super::shape::{self, Items};
use super::{MAX_IDENTITY_SOURCES, MAX_IGNORED, MAX_ROLLOUTS, json, names, rollout, tree, values};
use crate::identity::{Identification, IdentitySource};
use crate::policy::{Policy, Role, Rollout};

/// Values that clients send when they have no user.
const IGNORED: [&str; 5] = ["", "anonymous", "null", "undefined", "0"];

/// Compiles what was read; `None` when it has not the shape of a configuration. An error
/// of shape at the top hides the lists below it, so they are read from the bytes again.
pub(super) fn compile(value: Value, bytes: &[u8], errors: &mut Errors) -> Option<Policy> {
    match tree::read(value) {
        Ok(config) => Some(compile_config(config, true, errors)),
        Err(error) => {
            error.report(At::Root, errors);
            let mut again = json::read(bytes, &mut Errors::default()).unwrap_or_default();
            let mut list = |name| again.get_mut(name).map(Value::take);
            let lists = shape::Config {
                identity: list("identity").and_then(|value| tree::read(value).ok()),
                rollouts: list("rollouts").and_then(|value| tree::read(value).ok()),
                ..shape::Config::default()
            };
            compile_config(lists, false, errors);
            None
        }
    }
}

/// `whole` is false when only the lists could be read: then nothing may be concluded
/// from what is missing.
fn compile_config(config: shape::Config, whole: bool, errors: &mut Errors) -> Policy {
    let mut headers = Headers::new(config.headers, errors);
    let around = Around {
        has_identity: !whole
            || config
                .identity
                .as_ref()
                .is_some_and(|list| !list.is_empty()),
        has_route: headers.has(Role::Route),
    };
    let response_header = config.response_header.and_then(|name| {
        let at = At::Root;
        names::own_header(at.field("responseHeader"), &name, errors)
    });
    let identification = Identification {
        sources: identity(config.identity, &mut headers, errors),
        ignored: ignored(config.ignore_identities, errors),
    };
    let rollouts = rollouts(config.rollouts, &around, &mut headers, errors);
    let (names, owned) = headers.into_parts();
    Policy {
        fingerprint: 0,
        version: config.version.unwrap_or_default().into(),
        identification,
        owned,
        response_header: response_header.map(Into::into),
        names,
        rollouts,
    }
}

fn identity(
    list: Option<Items<shape::Identity>>,
    headers: &mut Headers,
    errors: &mut Errors,
) -> Vec<IdentitySource> {
    let root = At::Root;
    let at = root.field("identity");
    let Some(list) = list else {
        return Vec::new();
    };
    let list = list.at_most(MAX_IDENTITY_SOURCES, "sources", at, errors);
    list.each(at, errors, |at, raw, errors| {
        let shape::Identity {
            header,
            cookie,
            query,
        } = raw;
        match (header, cookie, query) {
            (Some(name), None, None) => headers
                .read(at.field("header"), &name, errors)
                .map(IdentitySource::Header),
            (None, Some(name), None) => headers
                .cookie(at.field("cookie"), &name, errors)
                .map(IdentitySource::Cookie),
            (None, None, Some(key)) => headers
                .query(at.field("query"), &key, errors)
                .map(IdentitySource::Query),
            _ => {
                errors.add(at, "name one source: header, cookie or query");
                None
            }
        }
    })
}

fn ignored(list: Option<Items<String>>, errors: &mut Errors) -> Vec<Box<[u8]>> {
    let Some(list) = list else {
        return IGNORED
            .iter()
            .map(|value| value.as_bytes().into())
            .collect();
    };
    let root = At::Root;
    let at = root.field("ignoreIdentities");
    let list = list.at_most(MAX_IGNORED, "values", at, errors);
    // Identities are trimmed before they are held against these.
    list.each(at, errors, |_, value, _| {
        Some(value.as_bytes().trim_ascii().into())
    })
}

fn rollouts(
    list: Option<Items<shape::Rollout>>,
    around: &Around,
    headers: &mut Headers,
    errors: &mut Errors,
) -> Vec<Rollout> {
    let root = At::Root;
    let at = root.field("rollouts");
    let Some(list) = list else {
        return Vec::new();
    };
    let list = list.at_most(MAX_ROLLOUTS, "rollouts", at, errors);
    let mut seen = BTreeSet::new();
    list.each(at, errors, |at, raw, errors| {
        values::unique(at.field("name"), &raw.name, &mut seen, errors);
        rollout::compile(at, raw, around, headers, errors)
    })
}

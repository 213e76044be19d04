//! Keys that do not reach the filter, and values that every client can write although others are signed.

use std::time::Duration;

use divvy::policy::{Policy, UnitHash};
use divvy::signature::{UNIT_ID, VARIABLE};
use serde_json::Value;

use super::Examined;
use super::kind::Kind;
use super::warning::{Warning, each};
use crate::environment::time_or_now;
use crate::raw::text;
use crate::source::{Carrier, PassedKeys};

/// How much longer than their `maxAge` cookies without a signature may count.
const GRACE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Browsers keep no cookie for longer.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);

pub(super) fn find(one: &Examined, found: &mut Vec<Warning>) {
    let (policy, raw) = (&one.policy, &one.raw);
    passed(one, found);
    unsigned(policy, raw, found);
    let now = time_or_now(None).unwrap_or_default();
    for (path, cookie) in cookies(raw) {
        until(&path, cookie, now, found);
    }
    let after = instant(text(raw, "overridesAfter"));
    if after.is_some_and(|after| after > now) {
        let message = "has no effect yet: overridesAfter is in the future, and revokes all overrides that begin \
                       before it";
        found.push(Warning::new(Kind::NoEffect, "overrides", message));
    }
    unit_key(policy, raw, found);
}

/// The cookies that can be signed, with their paths: minted identities, then sticky cookies.
fn cookies(raw: &Value) -> Vec<(String, &Value)> {
    let of = |list: &str, field: &'static str| {
        let all = each(raw, "", list).into_iter();
        let all =
            all.filter_map(move |(path, one)| Some((format!("{path}.{field}"), one.get(field)?)));
        all.collect::<Vec<_>>()
    };
    [of("identity", "mint"), of("rollouts", "sticky")].concat()
}

fn is_signed(cookie: &Value) -> bool {
    cookie.get("signed") == Some(&Value::Bool(true))
}

/// Keys that the VM does not get, or that the configuration contains.
fn passed(one: &Examined, found: &mut Vec<Warning>) {
    let mut needs = cookies(&one.raw).into_iter();
    let needs = needs.find(|(_, cookie)| is_signed(cookie));
    let needs = needs.map(|(path, _)| format!("{path}.signed"));
    let needs = needs.or(one
        .policy
        .overrides
        .is_some()
        .then(|| "overrides".to_owned()));
    let way = match &one.found.carrier {
        Carrier::Plain => return,
        Carrier::Workload(workload) if workload.is_envoy_gateway => "env: {hostKeys: [DIVVY_KEYS]}",
        Carrier::Workload(_) => "vmConfig: {env: [{name: DIVVY_KEYS, valueFrom: HOST}]}",
        Carrier::Envoy(_) => "environment_variables: {host_env_keys: [DIVVY_KEYS]} to vm_config",
    };
    let (kind, path, message) = match (one.found.keys, needs) {
        (PassedKeys::Absent, Some(path)) => (
            Kind::NoKeys,
            path,
            format!("needs keys, and the plugin does not pass {VARIABLE} to its VM: add {way}"),
        ),
        (PassedKeys::Written, _) => (
            Kind::WrittenKeys,
            String::new(),
            format!(
                "the plugin contains the value of {VARIABLE}: everyone who can read it can sign; take it from the \
                 environment of the proxy: {way}"
            ),
        ),
        _ => return,
    };
    found.push(Warning::new(kind, path, message));
}

/// Cookies without a signature beside signed values that they make worthless.
fn unsigned(policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
    let rollouts = each(raw, "", "rollouts").into_iter();
    let sticky = rollouts.filter_map(|(path, one)| Some((path, one, one.get("sticky")?)));
    let minted = policy.signed_identities().is_some();
    let mut signed_sticky = None;
    for (path, rollout, cookie) in sticky {
        let has_own = rollout.get("identity").is_some();
        if is_signed(cookie) {
            signed_sticky = signed_sticky.or((!has_own).then(|| path.clone()));
            continue;
        }
        let other = if policy.overrides.is_some() {
            "overrides are"
        } else if minted && !has_own {
            "the identity is"
        } else {
            continue;
        };
        let message = format!(
            "is not signed, although {other}: a client can write every version into this cookie; add signed: true, \
             and acceptUnsignedUntil for the cookies that clients have"
        );
        found.push(Warning::new(
            Kind::Unsigned,
            format!("{path}.sticky"),
            message,
        ));
    }
    let mut mints = cookies(raw).into_iter();
    let mint = mints.find(|(path, cookie)| path.starts_with("identity") && !is_signed(cookie));
    if let (Some((path, _)), Some(sticky)) = (mint, signed_sticky) {
        let message = format!(
            "is not signed, although {sticky}.sticky is: a client can write identities into this cookie until one \
             has the version that it wants; add signed: true"
        );
        found.push(Warning::new(Kind::Unsigned, path, message));
    }
}

/// An `acceptUnsignedUntil` that is over, or far away.
fn until(path: &str, cookie: &Value, now: u64, found: &mut Vec<Warning>) {
    let Some(until) = instant(text(cookie, "acceptUnsignedUntil")) else {
        return;
    };
    let path = format!("{path}.acceptUnsignedUntil");
    let age = humantime::parse_duration(text(cookie, "maxAge")).ok();
    let wait = age.unwrap_or(LONGEST).saturating_add(GRACE);
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    if until <= now {
        let message =
            "has no effect: it is over, so no cookie without a signature counts; remove it";
        found.push(Warning::new(Kind::NoEffect, path, message));
    } else if until > now.saturating_add(wait) {
        let message = "is further away than the age of the last cookie without a signature: until then every client \
                       can write one; at most maxAge from now is needed";
        found.push(Warning::new(Kind::Unsigned, path, message));
    }
}

/// A running test whose units change with the next rotation.
fn unit_key(policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
    let Some(UnitHash::Keyed(keys)) = &policy.unit else {
        return;
    };
    let Some(id) = keys.signing_id().filter(|id| *id != UNIT_ID) else {
        return;
    };
    let mut tests = each(raw, "", "rollouts").into_iter();
    if tests.any(|(_, rollout)| rollout.pointer("/strategy/abTest").is_some()) {
        let message = format!(
            "units come from the key {id}: when another key moves first, every user gets another unit, and a \
             running test counts its users twice; add a key with the id {UNIT_ID} before the test begins"
        );
        found.push(Warning::new(Kind::UnitKey, "headers.unit", message));
    }
}

/// An instant in milliseconds since 1970.
fn instant(text: &str) -> Option<u64> {
    time_or_now(Some(text)).ok()
}

//! `hash`: the buckets of another system's SDK. Must not depend on the strategies' compilation.

use crate::build::Build;
use crate::limits::{COVERAGE, HASH_VERSIONS, MAX_SDK_KEY, SDK_SEED};
use crate::spec::{self, HashSpec, StrategySpec};
use crate::values::{percent, shown};
use divvy_core::bucket::{GrowthBookVersion, SdkArms, SdkHash, Share};
use divvy_core::policy::VersionId;
use divvy_json::Tree;
use divvy_json::error::Path;

/// A system with the shares that its flags have beside their arms.
pub(crate) struct SystemHash {
    pub hash: SdkHash,
    /// The users who pass the gate of Unleash or PostHog.
    pub gate: Share,
    /// The part of each arm that GrowthBook serves.
    coverage: f64,
}

/// `hash` of the rollout at this path; `None` if it has an error.
pub(crate) fn compile(
    rollout: Path<'_>,
    raw: &HashSpec<'_>,
    strategy: &StrategySpec<'_>,
    build: &Build<'_>,
) -> Option<SystemHash> {
    let at = rollout.field("hash");
    let before = at.error_count();
    let system = system(at, raw, strategy.canary.is_some());
    if strategy.blue_green.is_some() || strategy.follow.is_some() {
        at.error("has no effect with blueGreen and follow: leave it out");
    }
    if build.has_random {
        at.error("is not possible with a random identity: the application has another one");
    }
    if let Some(test) = &strategy.ab_test {
        if test.traffic.is_some() {
            at.error("is not possible with abTest.traffic: leave traffic out");
        }
        if test.layer.is_some() {
            at.error("is not possible with abTest.layer: leave layer out");
        }
        if build.has_holdout && build.holdout.is_some() && test.holdout != Some(false) {
            at.error("is not possible with the holdout: write abTest.holdout: false");
        }
    }
    let system = system.filter(|_| at.error_count() == before)?;
    if let Some(canary) = &strategy.canary {
        let at = rollout.field("strategy");
        weights(at.field("canary"), canary, &system.hash);
    }
    (at.error_count() == before).then_some(system)
}

fn system(at: Path<'_>, raw: &HashSpec<'_>, is_canary: bool) -> Option<SystemHash> {
    // Without `..`, so that a new system has to be considered here.
    let HashSpec {
        unleash,
        growthbook,
        posthog,
        launch_darkly,
        split,
        optimizely,
        flagd,
    } = raw;
    let given = [
        unleash.is_some(),
        growthbook.is_some(),
        posthog.is_some(),
        launch_darkly.is_some(),
        split.is_some(),
        optimizely.is_some(),
        flagd.is_some(),
    ];
    match given.iter().filter(|given| **given).count() {
        0 => at.error(
            "has no system: write unleash, growthbook, posthog, launchDarkly, split, optimizely \
             or flagd",
        ),
        1 => {}
        _ => {
            at.error("has several systems: write one");
            return None;
        }
    }
    let without_gate = |hash| SystemHash {
        hash,
        gate: Share::ALL,
        coverage: 1.0,
    };
    if let Some(raw) = unleash {
        let at = at.field("unleash");
        let group = key(at.field("groupId"), raw.group_id);
        let gate = gate(at.field("rollout"), raw.rollout, is_canary)?;
        let hash = SdkHash::Unleash { group: group? };
        on_grid(at.field("rollout"), gate, &hash);
        return Some(SystemHash {
            hash,
            gate,
            coverage: 1.0,
        });
    }
    if let Some(raw) = posthog {
        let at = at.field("posthog");
        let key = key(at.field("key"), raw.key);
        let gate = gate(at.field("rollout"), raw.rollout, is_canary)?;
        return Some(SystemHash {
            hash: SdkHash::PostHog { key: key? },
            gate,
            coverage: 1.0,
        });
    }
    if let Some(raw) = growthbook {
        return growthbook_of(at.field("growthbook"), raw, is_canary);
    }
    if let Some(raw) = launch_darkly {
        let prefix = launch_darkly_prefix(at.field("launchDarkly"), raw)?;
        return Some(without_gate(SdkHash::LaunchDarkly { prefix }));
    }
    if let Some(raw) = split {
        let seed = seed(at.field("split").field("seed"), raw.seed)?;
        let seed = seed.cast_unsigned();
        return Some(without_gate(SdkHash::Split { seed }));
    }
    if let Some(raw) = optimizely {
        let at = at.field("optimizely");
        let experiment = key(at.field("experiment"), raw.experiment)?;
        return Some(without_gate(SdkHash::Optimizely { experiment }));
    }
    let flag = key(at.field("flagd").field("flag"), flagd.as_ref()?.flag)?;
    Some(without_gate(SdkHash::Flagd { flag }))
}

fn growthbook_of(
    at: Path<'_>,
    raw: &spec::GrowthBookSpec<'_>,
    is_canary: bool,
) -> Option<SystemHash> {
    let seed = key(at.field("seed"), raw.seed);
    let number = raw.hash_version.unwrap_or(2.0);
    let found = HASH_VERSIONS
        .into_iter()
        .find(|version| f64::from(*version) == number);
    let version = match found {
        Some(1) => GrowthBookVersion::V1,
        Some(_) => GrowthBookVersion::V2,
        None => {
            let message = format_args!("{} is not a version: write 1 or 2", shown(number));
            at.field("hashVersion").error(message);
            return None;
        }
    };
    let coverage = raw.coverage.unwrap_or(1.0);
    if raw.coverage.is_some() && is_canary {
        of_canary(at.field("coverage"));
    } else if !COVERAGE.contains(&coverage) {
        let message = format_args!("{} is not a number from 0 to 1", shown(coverage));
        at.field("coverage").error(message);
    }
    Some(SystemHash {
        hash: SdkHash::GrowthBook {
            seed: seed?,
            version,
        },
        gate: if coverage > 0.0 {
            Share::ALL
        } else {
            Share::NONE
        },
        coverage,
    })
}

fn launch_darkly_prefix(at: Path<'_>, raw: &spec::LaunchDarklySpec<'_>) -> Option<Box<str>> {
    match (raw.flag, raw.salt, raw.seed) {
        (Some(flag), Some(salt), None) => {
            let flag = key(at.field("flag"), flag);
            let salt = key(at.field("salt"), salt);
            Some(format!("{}.{}.", flag?, salt?).into())
        }
        (None, None, Some(number)) => Some(format!("{}.", seed(at.field("seed"), number)?).into()),
        _ => {
            at.error("has neither flag and salt nor seed: write both, or seed alone");
            None
        }
    }
}

/// A key, seed or id that the system hashes as it stands there.
fn key(at: Path<'_>, text: &str) -> Option<Box<str>> {
    if text.is_empty() {
        at.error("is empty");
        return None;
    }
    if text.len() > MAX_SDK_KEY {
        let length = text.len();
        at.error(format_args!(
            "has {length} bytes: the maximum is {MAX_SDK_KEY}"
        ));
        return None;
    }
    Some(text.into())
}

fn seed(at: Path<'_>, number: f64) -> Option<i32> {
    if number.fract() != 0.0 || !SDK_SEED.contains(&number) {
        let number = shown(number);
        at.error(format_args!(
            "{number} is not a seed: write a whole number of 32 bits with a sign"
        ));
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "whole, and within bounds")]
    Some(number as i32)
}

/// The users who pass the gate of the system.
fn gate(at: Path<'_>, rollout: Option<f64>, is_canary: bool) -> Option<Share> {
    match rollout {
        Some(_) if is_canary => {
            of_canary(at);
            None
        }
        Some(number) => percent(at, number),
        None => Some(Share::ALL),
    }
}

fn of_canary(at: Path<'_>) {
    at.error("is the weight of the canary: leave it out");
}

/// Adds an error for a share between two values of the system.
fn on_grid(at: Path<'_>, share: Share, hash: &SdkHash) {
    if share.ppm().checked_rem(hash.grid()) != Some(0) {
        let step = shown(f64::from(hash.grid()) / 10_000.0);
        let name = hash.name();
        at.error(format_args!(
            "is not possible with hash.{name}: write a multiple of {step}"
        ));
    }
}

/// Checks each weight of a canary. Weights that are not percentages have errors of their own.
fn weights(at: Path<'_>, canary: &spec::CanarySpec<'_>, hash: &SdkHash) {
    let check = |at: Path<'_>, number: Option<f64>| {
        if let Some(share) = number.and_then(Share::from_percent) {
            on_grid(at, share, hash);
        }
    };
    check(at.field("weight"), canary.weight);
    if let Some(ramp) = &canary.ramp {
        let at = at.field("ramp");
        for (field, number) in [
            ("from", Some(ramp.from)),
            ("by", Some(ramp.by)),
            ("to", Some(ramp.to)),
            ("then", ramp.then),
        ] {
            check(at.field(field), number);
        }
    }
    if let Some(steps) = canary.steps {
        let at = at.field("steps");
        for (index, step) in steps.raw().enumerate() {
            let weight = match step.get("weight") {
                Some(Tree::Number(weight)) => Some(*weight),
                _ => None,
            };
            check(at.index(index).field("weight"), weight);
        }
    }
}

/// The arms of a split on the line of the system.
pub(crate) fn arms(
    at: Path<'_>,
    system: &SystemHash,
    arms: &[(&str, VersionId, u32)],
) -> Option<SdkArms<VersionId>> {
    let sum: u64 = arms.iter().map(|(.., weight)| u64::from(*weight)).sum();
    let name = system.hash.name();
    let (wanted, is_right) = match system.hash {
        SdkHash::PostHog { .. } | SdkHash::Split { .. } => ("100", sum == 100),
        SdkHash::LaunchDarkly { .. } => ("100000", sum == 100_000),
        SdkHash::Optimizely { .. } => ("at most 10000", sum <= 10_000),
        SdkHash::Unleash { .. } | SdkHash::GrowthBook { .. } | SdkHash::Flagd { .. } => ("", true),
    };
    if !is_right {
        at.error(format_args!(
            "has weights with the sum {sum}: hash.{name} needs {wanted}"
        ));
        return None;
    }
    let arms = arms.iter().map(|(_, version, weight)| (*version, *weight));
    SdkArms::new(system.hash.clone(), arms, system.coverage)
}

//! The configured part of a guardrail: limits, consequence of a breach, ramp and versions. Must
//! not depend on counts or state.

use std::time::Duration;

use super::ramp::Ramp;
use super::units::{micros, millis};
use crate::bucket::Share;

/// Maximum factor by which a window stretches.
pub(super) const STRETCH: u32 = 10;

/// Default patience: after that time most clients have left.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Limits on the versions of a rollout, and the consequence of a breach.
#[derive(Clone, Debug, PartialEq)]
pub struct Guardrail {
    /// Minimum number of requests for a verdict.
    pub min_requests: u32,
    /// Limit on the share of failed requests.
    pub errors: Option<ErrorLimit>,
    /// Limit on response latency.
    pub latency: Option<LatencyLimit>,
    /// Number of consecutive failures in one worker that trips at once.
    pub consecutive_errors: Option<u32>,
    /// Time without response headers, or without progress after them, after which a request has
    /// failed; `None`: never.
    pub patience: Option<Duration>,
    /// Consequence of a breach.
    pub on_breach: OnBreach,
    /// Time after which a version is tried again; `None`: only with a new revision.
    pub recover_after: Option<Duration>,
    /// Whether a step of a ramp waits for evidence.
    pub evidence: bool,
}

impl Guardrail {
    /// Length of the longest window; a minute without a limit that has one.
    pub(super) fn window(&self) -> Duration {
        let errors = self.errors.map(|limit| limit.window);
        let latency = self.latency.map(|limit| limit.window);
        errors.max(latency).unwrap_or(Duration::from_mins(1))
    }
}

impl Default for Guardrail {
    /// No limits.
    fn default() -> Self {
        Self {
            min_requests: 20,
            errors: None,
            latency: None,
            consecutive_errors: None,
            patience: Some(PATIENCE),
            on_breach: OnBreach::Rollback,
            recover_after: None,
            evidence: true,
        }
    }
}

/// Limit on the share of failed requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorLimit {
    /// Maximum share.
    pub max: Option<Share>,
    /// Maximum difference to the share of stable.
    pub over_stable: Option<Share>,
    /// Length of the window.
    pub window: Duration,
}

/// Limit on response latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyLimit {
    /// The judged quantile; 0.95 is the latency that 95 % of the requests do not exceed.
    pub quantile: f64,
    /// Maximum latency at the quantile.
    pub max: Option<Duration>,
    /// Maximum ratio to the quantile of stable.
    pub times_stable: Option<f64>,
    /// Length of the window.
    pub window: Duration,
    /// Time for which the breach must persist.
    pub lasting: Duration,
}

/// Consequence of a breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBreach {
    /// Stable serves the version's share.
    Rollback,
    /// The ramp stops.
    Freeze,
    /// The ramp goes back by one step, or to stable from its first step.
    StepBack,
    /// A line in the log only.
    Observe,
}

/// Number of a version in its [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arm(pub u16);

impl Arm {
    /// The version that others are compared with and fall back to.
    pub const STABLE: Self = Self(0);
    /// The only guarded version of a plan with a ramp.
    pub const RAMPED: Self = Self(1);
}

/// Configuration of a rollout with guarded versions or a ramp.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Hash of the revision; a state is valid for one revision.
    pub(super) revision: u64,
    pub(super) guardrail: Guardrail,
    /// Ramp of the canary. A rollout with a ramp has one guarded version.
    pub(super) ramp: Option<Ramp>,
    /// Stable, then the guarded versions.
    arms: Vec<NamedArm>,
}

#[derive(Clone, Debug)]
struct NamedArm {
    name: Box<str>,
    key: u64,
}

impl Plan {
    /// `guardrail` has no limits if the plan is for a ramp alone. `guarded` become [`Arm`]s 1, 2
    /// and so on.
    pub fn new<'n>(
        revision: &str,
        guardrail: Guardrail,
        ramp: Option<Ramp>,
        stable: &'n str,
        guarded: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let named = |name: &str| NamedArm {
            name: name.into(),
            key: hash(name.bytes().map(u64::from)),
        };
        let mut arms = vec![named(stable)];
        for name in guarded {
            arms.push(named(name));
        }
        Self {
            revision: hash(revision.bytes().map(u64::from)),
            guardrail,
            ramp,
            arms,
        }
    }

    /// Versions in order, stable first.
    pub fn arms(&self) -> impl Iterator<Item = (Arm, &str)> {
        (0..).map(Arm).zip(self.arms.iter().map(|arm| &*arm.name))
    }

    /// Guarded versions: all but stable if there are limits.
    pub fn guarded(&self) -> impl Iterator<Item = (Arm, &str)> {
        let guarded = self.is_guarded();
        self.arms()
            .filter(move |(arm, _)| guarded && *arm != Arm::STABLE)
    }

    /// Number of a version; `None` if it is neither stable nor guarded.
    pub fn find(&self, name: &str) -> Option<Arm> {
        let mut arms = self.arms();
        arms.find(|(_, other)| *other == name).map(|(arm, _)| arm)
    }

    /// Whether there are limits.
    pub const fn is_guarded(&self) -> bool {
        let Guardrail {
            errors,
            latency,
            consecutive_errors,
            ..
        } = &self.guardrail;
        errors.is_some() || latency.is_some() || consecutive_errors.is_some()
    }

    /// Whether the steps of the ramp wait for evidence.
    pub fn waits(&self) -> bool {
        let observes = self.guardrail.on_breach == OnBreach::Observe;
        self.guardrail.evidence && !observes && self.ramp.is_some() && self.is_guarded()
    }

    /// Whether a limit compares versions with stable, so that requests to stable are counted.
    pub fn compares_with_stable(&self) -> bool {
        let errors = self.guardrail.errors.as_ref();
        let latency = self.guardrail.latency.as_ref();
        errors.is_some_and(|limit| limit.over_stable.is_some())
            || latency.is_some_and(|limit| limit.times_stable.is_some())
    }

    /// Whether there is a limit on latency.
    pub const fn limits_latency(&self) -> bool {
        self.guardrail.latency.is_some()
    }

    /// Time after which a request without progress has failed.
    pub const fn patience(&self) -> Option<Duration> {
        self.guardrail.patience
    }

    /// Consequence of a breach.
    pub const fn on_breach(&self) -> OnBreach {
        self.guardrail.on_breach
    }

    /// Number of requests below which there is no verdict.
    pub const fn min_requests(&self) -> u32 {
        self.guardrail.min_requests
    }

    /// Length to which the longest window can stretch; 0 without a limit on errors or latency.
    pub fn longest_window(&self) -> Duration {
        let errors = self.guardrail.errors.as_ref().map(|limit| limit.window);
        let latency = self.guardrail.latency.as_ref().map(|limit| limit.window);
        let longest = errors.max(latency).unwrap_or_default();
        longest.saturating_mul(STRETCH)
    }

    /// Ramp of the canary.
    pub const fn ramp(&self) -> Option<&Ramp> {
        self.ramp.as_ref()
    }

    /// Share of the ramp's last step.
    pub fn last_share(&self) -> Option<Share> {
        self.ramp.as_ref().map(Ramp::last)
    }

    /// Name of a version.
    pub fn name(&self, arm: Arm) -> &str {
        self.arm(arm).map_or("", |arm| &arm.name)
    }

    fn arm(&self, arm: Arm) -> Option<&NamedArm> {
        self.arms.get(usize::from(arm.0))
    }

    /// Hash of a version's name, which identifies it in a state; numbers may change.
    pub(super) fn key(&self, arm: Arm) -> Option<u64> {
        self.arm(arm).map(|arm| arm.key)
    }

    /// Hashes of the versions' names, stable first.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> {
        self.arms.iter().map(|arm| arm.key)
    }

    /// Hash of the limits and windows that determine counts: counts of different limits cannot
    /// be added.
    pub(super) fn limits_key(&self) -> u64 {
        let mut parts = [0; 4];
        if let Some(limit) = &self.guardrail.errors {
            parts[0] = millis(limit.window);
        }
        if let Some(limit) = &self.guardrail.latency {
            parts[1] = millis(limit.window);
            parts[2] = limit.max.map_or(0, |max| micros(max).saturating_add(1));
            parts[3] = u64::from(limit.times_stable.is_some());
        }
        hash(parts)
    }
}

/// FNV-1a over whole words.
fn hash(words: impl IntoIterator<Item = u64>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for word in words {
        hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

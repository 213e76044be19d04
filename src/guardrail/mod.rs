//! Limits on what a version may do to its users, judged inside the proxy; and canaries
//! that grow by the clock.
//!
//! # Why this statistic
//!
//! The plain comparison "errors above 1 % of the last 30 seconds" trips on one error in 50
//! requests, and a canary that is well within its limit shows that several times an hour.
//! So a verdict asks for [`evidence`]: the observed share must be above the limit, and if
//! the true share were at the limit, what was seen would have a chance below 1 in 10⁵. The
//! Chernoff bound gives that chance in closed form, for any number of requests, without a
//! table or a normal approximation, which is wrong exactly where canaries are: few requests
//! and rare errors. It needs no more state than two counts.
//!
//! # A cold start
//!
//! begins with nothing: no verdict below `minRequests`, and at few requests only
//! overwhelming evidence counts, 5 failures of 20 against 1 %. Where a window holds fewer
//! than `minRequests` it stretches, up to ten times.
//!
//! A comparison with stable needs the same from both sides: what stable was seen to do is
//! as noisy as what the version was, so there is evidence only if no true value for stable
//! explains both. A proxy that has hardly seen stable condemns nobody by it. And as a good
//! version is exactly like stable, not well below a limit, the bar is higher: 1 in 10⁷.
//!
//! # When it trips
//!
//! At each tick, and at once after `consecutiveErrors` in one worker, any limit that is
//! breached trips: errors ([`ErrorLimit`]), latency ([`LatencyLimit`]), each against a fixed
//! limit, against stable, or both. The version is rolled back (its share is served by
//! stable), frozen (its ramp goes no further), or only reported. What counts as a failure
//! says [`sample`].
//!
//! # When it recovers
//!
//! After `recoverAfter`, which doubles with each trip up to a day; without it, when the
//! revision changes. Its counts begin anew. A ramp begins again at its first step after a
//! rollback, and goes on from where it was held after a freeze, one step per hold.
//!
//! # Where it lives
//!
//! Every worker has a VM of its own. [`Local`] counts there; on each tick, [`State::tick`]
//! merges the counts into one small blob per rollout that all VMs share, and judges. The
//! caller writes the blob back by compare-and-swap, and where another VM was faster, reads
//! and merges again: adding to slots of a window is the same in any order, so no interleaving
//! loses a count. Time is always an argument, in milliseconds since the Unix epoch.
//!
//! A proxy judges what it has seen itself, and its verdict ends with its process. Whoever
//! can make a version fail can have it rolled back.

pub mod blob;
pub mod clock;
pub mod evidence;
mod kept;
pub mod latency;
pub mod local;
pub mod ramp;
#[cfg(not(target_arch = "wasm32"))]
pub mod simulate;
pub mod state;
pub mod transition;
pub mod verdict;
mod version;
pub mod window;
mod wire;

use std::time::Duration;

pub use local::Local;
pub use ramp::{Even, Ramp, Step};
pub use state::{State, Ticked};
pub use transition::Transition;
pub use version::Standing;

use crate::bucket::Share;

/// Limits on the versions of a rollout, and what happens when one is breached.
#[derive(Clone, Debug, PartialEq)]
pub struct Guardrail {
    /// How many requests a verdict needs.
    pub min_requests: u32,
    /// On the share of requests that fail.
    pub errors: Option<ErrorLimit>,
    /// On how long responses take.
    pub latency: Option<LatencyLimit>,
    /// How many failures in a row, in one worker, trip at once.
    pub consecutive_errors: Option<u32>,
    /// What a breach leads to.
    pub on_breach: OnBreach,
    /// After which time a version is tried again; `None`: not in this revision.
    pub recover_after: Option<Duration>,
}

impl Default for Guardrail {
    /// No limits.
    fn default() -> Self {
        Self {
            min_requests: 20,
            errors: None,
            latency: None,
            consecutive_errors: None,
            on_breach: OnBreach::Rollback,
            recover_after: None,
        }
    }
}

/// A limit on the share of requests that fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorLimit {
    /// At most this share.
    pub max: Option<Share>,
    /// At most stable's share and this.
    pub over_stable: Option<Share>,
    /// Of the requests of how long.
    pub window: Duration,
}

/// A limit on how long responses take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyLimit {
    /// Which quantile is judged: 0.95 is the time that 95 % of the requests stay within.
    pub quantile: f64,
    /// At most this long.
    pub max: Option<Duration>,
    /// At most stable's quantile times this.
    pub times_stable: Option<f64>,
    /// Of the requests of how long.
    pub window: Duration,
    /// How long the breach has to last.
    pub lasting: Duration,
}

/// What a breach leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBreach {
    /// Everyone is served by stable.
    Rollback,
    /// The ramp goes no further.
    Freeze,
    /// A line in the log.
    Observe,
}

/// The number of a version in its [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arm(pub u16);

impl Arm {
    /// The version that the others are compared with and fall back to.
    pub const STABLE: Self = Self(0);
}

/// What a configuration says about a rollout whose versions are watched.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Tells revisions apart: a state of another revision is none.
    pub(super) revision: u64,
    pub(super) guardrail: Guardrail,
    /// The canary's growth, if it is one that grows. A rollout with a ramp has one guarded
    /// version.
    pub(super) ramp: Option<Ramp>,
    /// Stable, then the guarded ones.
    arms: Vec<Named>,
}

#[derive(Clone, Debug)]
struct Named {
    name: Box<str>,
    digest: u64,
}

impl Plan {
    /// The plan of a rollout: its revision, its limits (none where only a ramp is to be
    /// held back when the clock jumps), the names of stable and of the versions that are
    /// guarded, which become [`Arm`]s 1, 2 and so on.
    pub fn new<'n>(
        revision: &str,
        guardrail: Guardrail,
        ramp: Option<Ramp>,
        stable: &'n str,
        guarded: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let named = |name: &str| Named {
            name: name.into(),
            digest: digest(name.bytes().map(u64::from)),
        };
        let mut arms = vec![named(stable)];
        for name in guarded {
            arms.push(named(name));
        }
        Self {
            revision: digest(revision.bytes().map(u64::from)),
            guardrail,
            ramp,
            arms,
        }
    }

    /// The versions by number, stable first.
    pub fn arms(&self) -> impl Iterator<Item = (Arm, &str)> {
        (0..).map(Arm).zip(self.arms.iter().map(|arm| &*arm.name))
    }

    /// The versions that are guarded: all but stable, if there are limits.
    pub fn guarded(&self) -> impl Iterator<Item = (Arm, &str)> {
        let guarded = self.is_guarded();
        self.arms()
            .filter(move |(arm, _)| guarded && *arm != Arm::STABLE)
    }

    /// The number of a version, if it is stable or guarded.
    pub fn find(&self, name: &str) -> Option<Arm> {
        let mut arms = self.arms();
        arms.find(|(_, of)| *of == name).map(|(arm, _)| arm)
    }

    /// The weight of a canary that grows, by what is known about the rollout.
    pub fn weight(&self, state: Option<&State>, arm: Arm, now: u64) -> Share {
        let scheduled = || self.ramp.as_ref().map(|ramp| ramp.scheduled(now));
        match state {
            Some(state) => state.weight(self, arm, now),
            None => scheduled().unwrap_or(Share::NONE),
        }
    }

    /// How a version stands, by what is known about the rollout.
    pub fn standing(&self, state: Option<&State>, arm: Arm) -> Standing {
        state.map_or(Standing::Healthy, |state| state.standing(self, arm))
    }

    /// Whether there are limits to judge by.
    pub fn is_guarded(&self) -> bool {
        self.guardrail != Guardrail::default()
    }

    /// Whether versions are held against stable, so that what comes of its requests counts.
    pub fn compares(&self) -> bool {
        let errors = self.guardrail.errors.as_ref();
        let latency = self.guardrail.latency.as_ref();
        errors.is_some_and(|limit| limit.over_stable.is_some())
            || latency.is_some_and(|limit| limit.times_stable.is_some())
    }

    /// Whether latency is judged.
    pub const fn times(&self) -> bool {
        self.guardrail.latency.is_some()
    }

    /// What a breach leads to.
    pub const fn on_breach(&self) -> OnBreach {
        self.guardrail.on_breach
    }

    /// The name of a version.
    pub fn name(&self, arm: Arm) -> &str {
        self.arm(arm).map_or("", |arm| &arm.name)
    }

    fn arm(&self, arm: Arm) -> Option<&Named> {
        self.arms.get(usize::from(arm.0))
    }

    /// Tells the versions apart in a state: by name, since their order may change.
    fn digest(&self, arm: Arm) -> Option<u64> {
        self.arm(arm).map(|arm| arm.digest)
    }

    /// Tells apart what is counted: counts by other limits or windows cannot be added.
    fn counted(&self) -> u64 {
        let mut parts = [0; 4];
        if let Some(limit) = &self.guardrail.errors {
            parts[0] = millis(limit.window);
        }
        if let Some(limit) = &self.guardrail.latency {
            parts[1] = millis(limit.window);
            parts[2] = limit.max.map_or(0, |max| micros(max).saturating_add(1));
            parts[3] = u64::from(limit.times_stable.is_some());
        }
        digest(parts)
    }
}

/// FNV-1a by whole words, for telling a handful of things apart.
fn digest(words: impl IntoIterator<Item = u64>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for word in words {
        hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

#[cfg_attr(target_arch = "wasm32", inline(never))]
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A share as a fraction of 1.
fn fraction(share: Share) -> f64 {
    f64::from(share.ppm()) / 1e6
}

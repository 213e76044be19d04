//! Guardrail: limits on versions, judged inside the proxy, and ramps of canaries. Must not depend
//! on the filter, on requests or on a clock: time is an argument, in milliseconds since the Unix
//! epoch.
//!
//! # Statistic
//!
//! The plain comparison "errors above 1 % in the last 30 seconds" trips on one error in 50
//! requests; a canary well within its limit reaches that several times an hour. A verdict
//! therefore requires [`evidence`]: the observed share is above the limit, and if the true share
//! were at the limit, the probability of the observation would be below 10⁻⁵. The Chernoff bound
//! gives that probability in closed form from two counts, for any number of requests. A normal
//! approximation would be wrong exactly for canaries: few requests and rare errors.
//!
//! # Cold start
//!
//! There is no verdict below `minRequests`. With few requests only strong evidence suffices: 5
//! failures of 20 against a limit of 1 %. A window with fewer than `minRequests` requests
//! stretches up to ten times its length.
//!
//! A comparison with stable requires `minRequests` on both sides. The counts of stable are as
//! noisy as those of the version, so evidence exists only if no true value for stable explains
//! both sides. The threshold is higher, 10⁻⁷, because a good version equals stable and is not
//! far below a limit.
//!
//! # Trip
//!
//! At each tick, and at once after `consecutiveErrors` in one worker, each breached limit trips:
//! errors ([`ErrorLimit`]) and latency ([`LatencyLimit`]), against a fixed limit, against stable,
//! or both. The version is rolled back (stable serves its share), frozen (its ramp stops), or
//! only reported. [`crate::response`] defines failures.
//!
//! # Recovery
//!
//! A version is tried again after `recoverAfter`, which doubles with each trip up to a day;
//! without it, when the revision changes. Its counts start at zero. After a rollback a ramp
//! restarts at its first step; after a freeze it continues from the frozen weight, one step per
//! hold.
//!
//! # Data flow
//!
//! Every worker has its own VM. [`Local`] counts there. On each tick, [`State::tick`] merges the
//! counts into one small blob per rollout in shared data and judges. The caller writes the blob by
//! compare-and-swap; after a conflict it reads and merges again. Adding to the slots of a window
//! is commutative, so no interleaving loses a count.
//!
//! A proxy judges only its own observations, and its verdicts end with its process. Anyone who
//! can make a version fail can cause its rollback.

pub mod blob;
pub mod clock;
pub mod evidence;
pub mod latency;
pub mod local;
pub mod merge;
pub mod pauses;
pub mod plan;
pub mod progress;
pub mod ramp;
mod revision;
pub mod shared_data;
pub mod simulate;
pub mod state;
pub mod transition;
mod units;
pub mod verdict;
mod version;
pub mod window;
mod wire;

pub use local::Local;
pub use pauses::{Pause, Pauses};
pub use plan::{Arm, ErrorLimit, Guardrail, LatencyLimit, OnBreach, Plan};
pub use ramp::{Even, Ramp, ScheduledStep, Step, Until};
pub use state::{State, Ticked, is_waiting, standing, weight};
pub use transition::Transition;
pub use version::Standing;

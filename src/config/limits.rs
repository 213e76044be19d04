//! The limits of a configuration, in one place: the compiler, the JSON Schema, the command line
//! and the tests of the pages use these constants.

use std::ops::RangeInclusive;
use std::time::Duration;

pub use divvy_core::condition::regex::MAX_STATES as MAX_REGEX_STATES;
pub use divvy_core::guardrail::ramp::MAX_STEPS;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Maximum size of a configuration, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Maximum number of rollouts.
pub const MAX_ROLLOUTS: usize = 1_000;
/// Maximum number of versions of a rollout.
pub const MAX_VERSIONS: usize = 32;
/// Maximum number of rules of a rollout.
pub const MAX_RULES: usize = 64;
/// Maximum depth of nested conditions.
pub const MAX_DEPTH: usize = 16;
/// Maximum number of regular expressions: every VM may need several hundred KiB for each.
pub const MAX_REGEXES: usize = 200;
/// Maximum number of different token claims.
pub const MAX_CLAIMS: usize = 200;
/// Maximum number of names in the path of a token claim.
pub const MAX_CLAIM_DEPTH: usize = 16;
/// Maximum number of identity sources.
pub const MAX_IDENTITY_SOURCES: usize = 16;
/// Maximum number of sources in a `concat`; the minimum is 2.
pub const MAX_CONCAT: usize = 8;
/// Maximum number of ignored identities: every identity is compared with each.
pub const MAX_IGNORED: usize = 100;
/// Maximum number of trusted principals: the peer's is compared with each.
pub const MAX_PRINCIPALS: usize = 100;
/// Maximum number of pauses of a ramp.
pub const MAX_PAUSES: usize = 20;
/// Maximum number of headers that are removed for a refused configuration: each costs a host
/// call per request.
pub const MAX_STRIPPED: usize = 12;

/// Maximum number of labels and baggage members that divvy writes: each entry of a client's header is
/// compared with them.
pub const MAX_LABELS: usize = 32;

/// Maximum number of rollouts with an identity of their own beside `headers.unit`, which has a
/// parameter for each.
pub const MAX_UNITS: usize = 32;

/// Pattern of the name of a rollout, which is also a key of the assignment (RFC 9651).
pub const ROLLOUT_NAME: &str = "[a-z][a-z0-9._-]{0,63}";
/// Pattern of the name of a version, rule, salt, layer and holdout.
pub const NAME: &str = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}";
/// Pattern of a revision.
pub const REVISION: &str = "[A-Za-z0-9._-]{0,64}";
/// Maximum length of a name in each of these patterns, in bytes.
pub const MAX_NAME: usize = 64;
/// Maximum length of a host name, in bytes, as in DNS.
pub const MAX_HOST: usize = 253;
/// Maximum length of a target with its version filled in, in bytes.
pub const MAX_TARGET: usize = 1_024;
/// Maximum length of a path in a condition, in bytes: the index looks a path up at each slash,
/// up to the length of the longest path of the configuration.
pub const MAX_PATH: usize = 1_024;

/// Maximum length of a key, seed or id of another system in `hash`, in bytes.
pub const MAX_SDK_KEY: usize = 256;
/// Range of the seeds of Split and LaunchDarkly in `hash`: 32 bits with a sign.
pub const SDK_SEED: RangeInclusive<f64> = -2_147_483_648.0..=2_147_483_647.0;
/// The values of `hashVersion` in `hash.growthbook`.
pub const HASH_VERSIONS: [u32; 2] = [1, 2];
/// Range of `coverage` in `hash.growthbook`.
pub const COVERAGE: RangeInclusive<f64> = 0.0..=1.0;
/// Range of a percentage; it has at most 4 decimals.
pub const PERCENT: RangeInclusive<f64> = 0.0..=100.0;
/// Range of the weight of an arm.
pub const WEIGHT: RangeInclusive<u32> = 0..=1_000_000;
/// Range of the requests that a verdict needs, and of consecutive errors.
pub const REQUESTS: RangeInclusive<u32> = 1..=100_000;
/// Range of the quantile of a latency limit.
pub const QUANTILE: RangeInclusive<f64> = 0.5..=0.999;
/// Range of the factor between the latency of a version and that of stable.
pub const TIMES_STABLE: RangeInclusive<f64> = 1.01..=100.0;
/// Range of a latency limit.
pub const LATENCY: RangeInclusive<Duration> = MILLISECOND..=Duration::from_mins(10);
/// Range of a window, and of the time for which a latency has to be over its limit.
pub const WINDOW: RangeInclusive<Duration> = SECOND..=HOUR;
/// Range of the time after which a version that was rolled back is tried again.
pub const RECOVERY: RangeInclusive<Duration> = SECOND..=DAY;
/// Range of the time without progress after which a request has failed.
pub const PATIENCE: RangeInclusive<Duration> = SECOND..=HOUR;
/// Range of the time of a step.
pub const HOLD: RangeInclusive<Duration> = SECOND..=Duration::from_hours(30 * 24);
/// Range of the age of a cookie. Browsers keep none for more than 400 days.
pub const MAX_AGE: RangeInclusive<Duration> = SECOND..=Duration::from_hours(400 * 24);

/// The values of `metrics`.
pub const METRICS: [&str; 3] = ["responses", "requests", "off"];
/// The values of `onBreach`.
pub const ON_BREACH: [&str; 4] = ["rollback", "freeze", "stepBack", "observe"];
/// The values of `days` in a pause.
pub const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// The types of a token claim; an identity cannot be a list.
pub const CLAIM_TYPES: [&str; 4] = ["string", "number", "bool", "list"];
/// The values of `from` in `trust`.
pub const TRUST_FROM: [&str; 2] = ["assignment", "baggage"];
/// The values of `sameSite`.
pub const SAME_SITE: [&str; 3] = ["Strict", "Lax", "None"];

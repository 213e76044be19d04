//! The fields of strategies, of the hashes of other systems, and of guardrails. Must not depend on other
//! fields.

use super::describe;
use super::{FieldReader, Items, Path, Read, Tree};
use super::{Map, Value};

specs! {
    /// Exactly one of the fields.
    struct StrategySpec<'t> {
        "canary" => canary: Option<CanarySpec<'t>>,
        "abTest" => ab_test: Option<AbTestSpec<'t>>,
        "blueGreen" => blue_green: Option<BlueGreenSpec<'t>>,
        "weighted" => weighted: Option<Items<'t, ArmSpec<'t>>>,
        "follow" => follow: Option<FollowSpec<'t>>,
    }

    /// Exactly one of the fields.
    struct HashSpec<'t> {
        "unleash" => unleash: Option<UnleashSpec<'t>>,
        "growthbook" => growthbook: Option<GrowthBookSpec<'t>>,
        "posthog" => posthog: Option<PostHogSpec<'t>>,
        "launchDarkly" => launch_darkly: Option<LaunchDarklySpec<'t>>,
        "split" => split: Option<SplitSpec>,
        "optimizely" => optimizely: Option<OptimizelySpec<'t>>,
        "flagd" => flagd: Option<FlagdSpec<'t>>,
    }

    struct UnleashSpec<'t> {
        "groupId" => group_id: &'t str,
        "rollout" => rollout: Option<f64>,
    }

    struct GrowthBookSpec<'t> {
        "seed" => seed: &'t str,
        "hashVersion" => hash_version: Option<f64>,
        "coverage" => coverage: Option<f64>,
    }

    struct PostHogSpec<'t> {
        "key" => key: &'t str,
        "rollout" => rollout: Option<f64>,
    }

    /// `flag` and `salt`, or `seed`.
    struct LaunchDarklySpec<'t> {
        "flag" => flag: Option<&'t str>,
        "salt" => salt: Option<&'t str>,
        "seed" => seed: Option<f64>,
    }

    struct SplitSpec {
        "seed" => seed: f64,
    }

    struct OptimizelySpec<'t> {
        "experiment" => experiment: &'t str,
    }

    struct FlagdSpec<'t> {
        "flag" => flag: &'t str,
    }

    struct CanarySpec<'t> {
        "version" => version: &'t str,
        "weight" => weight: Option<f64>,
        "start" => start: Option<&'t str>,
        "steps" => steps: Option<Items<'t, StepSpec<'t>>>,
        "ramp" => ramp: Option<RampSpec<'t>>,
        "passed" => passed: Option<Items<'t, PassedSpec<'t>>>,
        "pauses" => pauses: Option<Items<'t, PauseSpec<'t>>>,
    }

    struct StepSpec<'t> {
        "weight" => weight: f64,
        "hold" => hold: Option<&'t str>,
        "gate" => gate: Option<&'t str>,
    }

    struct PassedSpec<'t> {
        "gate" => gate: &'t str,
        "at" => at: &'t str,
    }

    struct PauseSpec<'t> {
        "days" => days: Option<Items<'t, &'t str>>,
        "from" => from: Option<&'t str>,
        "to" => to: Option<&'t str>,
    }

    struct RampSpec<'t> {
        "from" => from: f64,
        "by" => by: f64,
        "to" => to: f64,
        "every" => every: &'t str,
        "then" => then: Option<f64>,
    }

    struct AbTestSpec<'t> {
        "split" => split: Items<'t, ArmSpec<'t>>,
        "traffic" => traffic: Option<f64>,
        "layer" => layer: Option<LayerSpec<'t>>,
        "holdout" => holdout: Option<bool>,
    }

    struct LayerSpec<'t> {
        "name" => name: &'t str,
        "from" => from: f64,
        "to" => to: f64,
    }

    struct ArmSpec<'t> {
        "version" => version: &'t str,
        "weight" => weight: f64,
    }

    struct BlueGreenSpec<'t> {
        "active" => active: &'t str,
    }

    struct FollowSpec<'t> {
        "rollout" => rollout: &'t str,
    }

    struct GuardrailSpec<'t> {
        "minRequests" => min_requests: Option<f64>,
        "errors" => errors: Option<ErrorLimitSpec<'t>>,
        "latency" => latency: Option<LatencyLimitSpec<'t>>,
        "consecutiveErrors" => consecutive_errors: Option<f64>,
        "patience" => patience: Option<&'t str>,
        "onBreach" => on_breach: Option<&'t str>,
        "recoverAfter" => recover_after: Option<&'t str>,
        "evidence" => evidence: Option<bool>,
    }

    struct ErrorLimitSpec<'t> {
        "max" => max: Option<f64>,
        "overStable" => over_stable: Option<f64>,
        "window" => window: Option<&'t str>,
    }

    struct LatencyLimitSpec<'t> {
        "quantile" => quantile: f64,
        "max" => max: Option<&'t str>,
        "timesStable" => times_stable: Option<f64>,
        "window" => window: Option<&'t str>,
        "for" => lasting: Option<&'t str>,
    }
}

//! Which fields a configuration has, and of which type: nothing about what they mean.
//!
//! Every struct refuses unknown fields. An error of shape hides the rest of the value it is
//! in, so each element of a list ([`Items`]) is read by itself.

pub(super) use super::items::{Items, OneOrMany};
use super::read::spec;

/// The shape of a whole configuration, as a JSON Schema of 2020-12: which fields there are, of
/// which types, and which have to be there. What they mean, [`crate::config::parse`] checks.
#[cfg(not(target_arch = "wasm32"))]
pub fn schema() -> serde_json::Value {
    let mut definitions = serde_json::Map::new();
    let whole = <ConfigSpec<'_> as super::describe::Describe>::describe(&mut definitions);
    let mut schema = serde_json::json!({"$schema": "https://json-schema.org/draft/2020-12/schema"});
    if let (Some(schema), serde_json::Value::Object(whole)) = (schema.as_object_mut(), whole) {
        schema.extend(whole);
        schema.insert("$defs".to_owned(), definitions.into());
    }
    schema
}

spec! {
    /// The whole configuration.
    pub(super) struct ConfigSpec<'t> {
        "version" => version: Option<&'t str>,
        "identity" => identity: Option<Items<'t, IdentitySpec<'t>>>,
        "ignoreIdentities" => ignore_identities: Option<Items<'t, &'t str>>,
        "trust" => trust: Option<TrustSpec<'t>>,
        "holdout" => holdout: Option<HoldoutSpec<'t>>,
        "headers" => headers: Option<HeadersSpec<'t>>,
        "responseHeader" => response_header: Option<&'t str>,
        "rollouts" => rollouts: Option<Items<'t, RolloutSpec<'t>>>,
    }
}

spec! {
    /// One of the fields or both.
    pub(super) struct TrustSpec<'t> {
        "principals" => principals: Option<Items<'t, &'t str>>,
        "workload" => workload: Option<bool>,
    }
}

spec! {
    pub(super) struct HoldoutSpec<'t> {
        "name" => name: &'t str,
        "percent" => percent: f64,
    }
}

spec! {
    pub(super) struct HeadersSpec<'t> {
        "route" => route: Option<&'t str>,
        "assignment" => assignment: Option<&'t str>,
        "mirror" => mirror: Option<&'t str>,
        "identity" => identity: Option<&'t str>,
    }
}

spec! {
    /// Exactly one source, and what belongs to a `jwtClaim`.
    pub(super) struct IdentitySpec<'t> {
        "header" => header: Option<&'t str>,
        "cookie" => cookie: Option<&'t str>,
        "query" => query: Option<&'t str>,
        "jwtClaim" => jwt_claim: Option<OneOrMany<'t>>,
        "sourceIp" => source_ip: Option<bool>,
        "concat" => concat: Option<Items<'t, IdentitySpec<'t>>>,
        "random" => random: Option<bool>,
        "jwtPayload" => jwt_payload: Option<&'t str>,
        "type" => claim_type: Option<&'t str>,
        "mint" => mint: Option<MintSpec<'t>>,
    }
}

spec! {
    pub(super) struct MintSpec<'t> {
        "when" => when: Option<ConditionSpec<'t>>,
        .. attributes: AttributesSpec<'t>,
    }
}

spec! {
    pub(super) struct StickySpec<'t> {
        "cookie" => cookie: &'t str,
        .. attributes: AttributesSpec<'t>,
    }
}

spec! {
    /// Of a cookie that is given to clients.
    pub(super) struct AttributesSpec<'t> {
        "maxAge" => max_age: Option<&'t str>,
        "path" => path: Option<&'t str>,
        "domain" => domain: Option<&'t str>,
        "sameSite" => same_site: Option<&'t str>,
        "secure" => secure: Option<bool>,
        "httpOnly" => http_only: Option<bool>,
    }
}

spec! {
    pub(super) struct MirrorSpec<'t> {
        "version" => version: &'t str,
        "percent" => percent: f64,
        "methods" => methods: Option<Items<'t, &'t str>>,
    }
}

spec! {
    pub(super) struct RolloutSpec<'t> {
        "name" => name: &'t str,
        "salt" => salt: Option<&'t str>,
        "revision" => revision: Option<&'t str>,
        "enabled" => enabled: Option<bool>,
        "metrics" => metrics: Option<&'t str>,
        "match" => scopes: Option<Items<'t, ScopeSpec<'t>>>,
        "target" => target: Option<&'t str>,
        "versions" => versions: Items<'t, VersionSpec<'t>>,
        "stable" => stable: &'t str,
        "rules" => rules: Option<Items<'t, RuleSpec<'t>>>,
        "strategy" => strategy: StrategySpec<'t>,
        "sticky" => sticky: Option<StickySpec<'t>>,
        "guardrail" => guardrail: Option<GuardrailSpec<'t>>,
        "mirror" => mirror: Option<MirrorSpec<'t>>,
        "expose" => expose: Option<ExposeSpec<'t>>,
    }
}

spec! {
    pub(super) struct ExposeSpec<'t> {
        "group" => group: Option<&'t str>,
        "id" => id: Option<&'t str>,
        "response" => response: Option<bool>,
    }
}

spec! {
    pub(super) struct ScopeSpec<'t> {
        "hosts" => hosts: Option<Items<'t, &'t str>>,
        "path" => path: Option<OperatorSpec<'t>>,
        "methods" => methods: Option<Items<'t, &'t str>>,
    }
}

spec! {
    pub(super) struct VersionSpec<'t> {
        "name" => name: &'t str,
        "target" => target: Option<&'t str>,
    }
}

spec! {
    pub(super) struct RuleSpec<'t> {
        "name" => name: &'t str,
        "when" => when: ConditionSpec<'t>,
        "use" => version: &'t str,
        "percent" => percent: Option<f64>,
    }
}

spec! {
    /// One combination, or one source and one operator.
    pub(super) struct ConditionSpec<'t> {
        "all" => all: Option<Items<'t, ConditionSpec<'t>>>,
        "any" => any: Option<Items<'t, ConditionSpec<'t>>>,
        "not" => not: Option<Box<ConditionSpec<'t>>>,
        "header" => header: Option<&'t str>,
        "cookie" => cookie: Option<&'t str>,
        "query" => query: Option<&'t str>,
        "label" => label: Option<LabelSpec<'t>>,
        "jwtClaim" => jwt_claim: Option<OneOrMany<'t>>,
        "path" => path: Option<bool>,
        "method" => method: Option<bool>,
        "host" => host: Option<bool>,
        "sourceIp" => source_ip: Option<bool>,
        "identity" => identity: Option<bool>,
        "assigned" => assigned: Option<AssignedSpec<'t>>,
        "jwtPayload" => jwt_payload: Option<&'t str>,
        "type" => claim_type: Option<&'t str>,
        .. operator: OperatorSpec<'t>,
    }
}

spec! {
    /// Exactly one of the fields, beside `ignoreCase`.
    pub(super) struct OperatorSpec<'t> {
        "exact" => exact: Option<&'t str>,
        "prefix" => prefix: Option<&'t str>,
        "suffix" => suffix: Option<&'t str>,
        "contains" => contains: Option<&'t str>,
        "in" => r#in: Option<Items<'t, &'t str>>,
        "present" => present: Option<bool>,
        "regex" => regex: Option<&'t str>,
        "semver" => semver: Option<&'t str>,
        "range" => range: Option<RangeSpec>,
        "cidr" => cidr: Option<OneOrMany<'t>>,
        "ignoreCase" => ignore_case: Option<bool>,
    }
}

spec! {
    pub(super) struct RangeSpec {
        "min" => min: Option<f64>,
        "max" => max: Option<f64>,
    }
}

spec! {
    pub(super) struct LabelSpec<'t> {
        "header" => header: &'t str,
        "key" => key: &'t str,
    }
}

spec! {
    pub(super) struct AssignedSpec<'t> {
        "rollout" => rollout: &'t str,
        "version" => version: &'t str,
    }
}

spec! {
    /// Exactly one of the fields.
    pub(super) struct StrategySpec<'t> {
        "canary" => canary: Option<CanarySpec<'t>>,
        "abTest" => ab_test: Option<AbTestSpec<'t>>,
        "blueGreen" => blue_green: Option<BlueGreenSpec<'t>>,
        "follow" => follow: Option<FollowSpec<'t>>,
    }
}

spec! {
    pub(super) struct CanarySpec<'t> {
        "version" => version: &'t str,
        "weight" => weight: Option<f64>,
        "start" => start: Option<&'t str>,
        "steps" => steps: Option<Items<'t, StepSpec<'t>>>,
        "ramp" => ramp: Option<RampSpec<'t>>,
    }
}

spec! {
    pub(super) struct StepSpec<'t> {
        "weight" => weight: f64,
        "hold" => hold: Option<&'t str>,
    }
}

spec! {
    pub(super) struct RampSpec<'t> {
        "from" => from: f64,
        "by" => by: f64,
        "to" => to: f64,
        "every" => every: &'t str,
        "then" => then: Option<f64>,
    }
}

spec! {
    pub(super) struct AbTestSpec<'t> {
        "split" => split: Items<'t, ArmSpec<'t>>,
        "traffic" => traffic: Option<f64>,
        "layer" => layer: Option<LayerSpec<'t>>,
        "holdout" => holdout: Option<bool>,
    }
}

spec! {
    pub(super) struct LayerSpec<'t> {
        "name" => name: &'t str,
        "from" => from: f64,
        "to" => to: f64,
    }
}

spec! {
    pub(super) struct ArmSpec<'t> {
        "version" => version: &'t str,
        "weight" => weight: f64,
    }
}

spec! {
    pub(super) struct BlueGreenSpec<'t> {
        "active" => active: &'t str,
    }
}

spec! {
    pub(super) struct FollowSpec<'t> {
        "rollout" => rollout: &'t str,
    }
}

spec! {
    pub(super) struct GuardrailSpec<'t> {
        "minRequests" => min_requests: Option<f64>,
        "errors" => errors: Option<ErrorLimitSpec<'t>>,
        "latency" => latency: Option<LatencyLimitSpec<'t>>,
        "consecutiveErrors" => consecutive_errors: Option<f64>,
        "onBreach" => on_breach: Option<&'t str>,
        "recoverAfter" => recover_after: Option<&'t str>,
    }
}

spec! {
    pub(super) struct ErrorLimitSpec<'t> {
        "max" => max: Option<f64>,
        "overStable" => over_stable: Option<f64>,
        "window" => window: Option<&'t str>,
    }
}

spec! {
    pub(super) struct LatencyLimitSpec<'t> {
        "quantile" => quantile: f64,
        "max" => max: Option<&'t str>,
        "timesStable" => times_stable: Option<f64>,
        "window" => window: Option<&'t str>,
        "for" => lasting: Option<&'t str>,
    }
}

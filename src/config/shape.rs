//! Which fields a configuration has, and of which type: nothing about what they mean.
//!
//! Every struct refuses unknown fields. An error of shape hides the rest of the value it is
//! in, so each element of a list ([`Items`]) is read by itself.

pub(super) use super::items::{Items, OneOrMany};
use super::read::shape;

shape! {
    /// The whole configuration.
    pub(super) struct Config {
        "version" => version: Option<String>,
        "identity" => identity: Option<Items<Identity>>,
        "ignoreIdentities" => ignore_identities: Option<Items<String>>,
        "trust" => trust: Option<Trust>,
        "holdout" => holdout: Option<Holdout>,
        "headers" => headers: Option<Headers>,
        "responseHeader" => response_header: Option<String>,
        "rollouts" => rollouts: Option<Items<Rollout>>,
    }
}

shape! {
    /// One of the fields or both.
    pub(super) struct Trust {
        "principals" => principals: Option<Items<String>>,
        "workload" => workload: Option<bool>,
    }
}

shape! {
    pub(super) struct Holdout {
        "name" => name: String,
        "percent" => percent: f64,
    }
}

shape! {
    pub(super) struct Headers {
        "route" => route: Option<String>,
        "assignment" => assignment: Option<String>,
        "mirror" => mirror: Option<String>,
        "identity" => identity: Option<String>,
    }
}

shape! {
    /// Exactly one source, and what belongs to a `jwtClaim`.
    pub(super) struct Identity {
        "header" => header: Option<String>,
        "cookie" => cookie: Option<String>,
        "query" => query: Option<String>,
        "jwtClaim" => jwt_claim: Option<OneOrMany>,
        "sourceIp" => source_ip: Option<bool>,
        "concat" => concat: Option<Items<Identity>>,
        "random" => random: Option<bool>,
        "jwtPayload" => jwt_payload: Option<String>,
        "type" => claim_type: Option<String>,
        "mint" => mint: Option<Mint>,
    }
}

shape! {
    pub(super) struct Mint {
        "when" => when: Option<Condition>,
        .. attributes: Attributes,
    }
}

shape! {
    pub(super) struct Sticky {
        "cookie" => cookie: String,
        .. attributes: Attributes,
    }
}

shape! {
    /// Of a cookie that is given to clients.
    pub(super) struct Attributes {
        "maxAge" => max_age: Option<String>,
        "path" => path: Option<String>,
        "domain" => domain: Option<String>,
        "sameSite" => same_site: Option<String>,
        "secure" => secure: Option<bool>,
        "httpOnly" => http_only: Option<bool>,
    }
}

shape! {
    pub(super) struct Mirror {
        "version" => version: String,
        "percent" => percent: f64,
        "methods" => methods: Option<Items<String>>,
    }
}

shape! {
    pub(super) struct Rollout {
        "name" => name: String,
        "salt" => salt: Option<String>,
        "revision" => revision: Option<String>,
        "enabled" => enabled: Option<bool>,
        "metrics" => metrics: Option<String>,
        "match" => scopes: Option<Items<Scope>>,
        "target" => target: Option<String>,
        "versions" => versions: Items<Version>,
        "stable" => stable: String,
        "rules" => rules: Option<Items<Rule>>,
        "strategy" => strategy: Strategy,
        "sticky" => sticky: Option<Sticky>,
        "guardrail" => guardrail: Option<Guardrail>,
        "mirror" => mirror: Option<Mirror>,
        "expose" => expose: Option<Expose>,
    }
}

shape! {
    pub(super) struct Expose {
        "group" => group: Option<String>,
        "id" => id: Option<String>,
        "response" => response: Option<bool>,
    }
}

shape! {
    pub(super) struct Scope {
        "hosts" => hosts: Option<Items<String>>,
        "path" => path: Option<Operator>,
        "methods" => methods: Option<Items<String>>,
    }
}

shape! {
    pub(super) struct Version {
        "name" => name: String,
        "target" => target: Option<String>,
    }
}

shape! {
    pub(super) struct Rule {
        "name" => name: String,
        "when" => when: Condition,
        "use" => version: String,
        "percent" => percent: Option<f64>,
    }
}

shape! {
    /// One combination, or one source and one operator.
    pub(super) struct Condition {
        "all" => all: Option<Items<Condition>>,
        "any" => any: Option<Items<Condition>>,
        "not" => not: Option<Box<Condition>>,
        "header" => header: Option<String>,
        "cookie" => cookie: Option<String>,
        "query" => query: Option<String>,
        "label" => label: Option<Label>,
        "jwtClaim" => jwt_claim: Option<OneOrMany>,
        "path" => path: Option<bool>,
        "method" => method: Option<bool>,
        "host" => host: Option<bool>,
        "sourceIp" => source_ip: Option<bool>,
        "identity" => identity: Option<bool>,
        "assigned" => assigned: Option<Assigned>,
        "jwtPayload" => jwt_payload: Option<String>,
        "type" => claim_type: Option<String>,
        .. operator: Operator,
    }
}

shape! {
    /// Exactly one of the fields, beside `ignoreCase`.
    pub(super) struct Operator {
        "exact" => exact: Option<String>,
        "prefix" => prefix: Option<String>,
        "suffix" => suffix: Option<String>,
        "contains" => contains: Option<String>,
        "in" => r#in: Option<Items<String>>,
        "present" => present: Option<bool>,
        "regex" => regex: Option<String>,
        "semver" => semver: Option<String>,
        "range" => range: Option<Range>,
        "cidr" => cidr: Option<OneOrMany>,
        "ignoreCase" => ignore_case: Option<bool>,
    }
}

shape! {
    pub(super) struct Range {
        "min" => min: Option<f64>,
        "max" => max: Option<f64>,
    }
}

shape! {
    pub(super) struct Label {
        "header" => header: String,
        "key" => key: String,
    }
}

shape! {
    pub(super) struct Assigned {
        "rollout" => rollout: String,
        "version" => version: String,
    }
}

shape! {
    /// Exactly one of the fields.
    pub(super) struct Strategy {
        "canary" => canary: Option<Canary>,
        "abTest" => ab_test: Option<AbTest>,
        "blueGreen" => blue_green: Option<BlueGreen>,
        "follow" => follow: Option<Follow>,
    }
}

shape! {
    pub(super) struct Canary {
        "version" => version: String,
        "weight" => weight: Option<f64>,
        "start" => start: Option<String>,
        "steps" => steps: Option<Items<Step>>,
        "ramp" => ramp: Option<Ramp>,
    }
}

shape! {
    pub(super) struct Step {
        "weight" => weight: f64,
        "hold" => hold: Option<String>,
    }
}

shape! {
    pub(super) struct Ramp {
        "from" => from: f64,
        "by" => by: f64,
        "to" => to: f64,
        "every" => every: String,
        "then" => then: Option<f64>,
    }
}

shape! {
    pub(super) struct AbTest {
        "split" => split: Items<Arm>,
        "traffic" => traffic: Option<f64>,
        "layer" => layer: Option<Layer>,
        "holdout" => holdout: Option<bool>,
    }
}

shape! {
    pub(super) struct Layer {
        "name" => name: String,
        "from" => from: f64,
        "to" => to: f64,
    }
}

shape! {
    pub(super) struct Arm {
        "version" => version: String,
        "weight" => weight: f64,
    }
}

shape! {
    pub(super) struct BlueGreen {
        "active" => active: String,
    }
}

shape! {
    pub(super) struct Follow {
        "rollout" => rollout: String,
    }
}

shape! {
    pub(super) struct Guardrail {
        "minRequests" => min_requests: Option<f64>,
        "errors" => errors: Option<ErrorLimit>,
        "latency" => latency: Option<LatencyLimit>,
        "consecutiveErrors" => consecutive_errors: Option<f64>,
        "onBreach" => on_breach: Option<String>,
        "recoverAfter" => recover_after: Option<String>,
    }
}

shape! {
    pub(super) struct ErrorLimit {
        "max" => max: Option<f64>,
        "overStable" => over_stable: Option<f64>,
        "window" => window: Option<String>,
    }
}

shape! {
    pub(super) struct LatencyLimit {
        "quantile" => quantile: f64,
        "max" => max: Option<String>,
        "timesStable" => times_stable: Option<f64>,
        "window" => window: Option<String>,
        "for" => lasting: Option<String>,
    }
}

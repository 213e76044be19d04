//! Which fields a configuration has, and of which type: nothing about what they mean.
//!
//! Every struct refuses unknown fields. An error of shape hides the rest of the value it is
//! in, so each element of a list ([`Items`]) is read by itself.

pub(super) use super::items::{Items, OneOrMany};
use super::read::shape;

shape! {
    /// The whole configuration.
    pub(super) struct Config<'t> {
        "version" => version: Option<&'t str>,
        "identity" => identity: Option<Items<'t, Identity<'t>>>,
        "ignoreIdentities" => ignore_identities: Option<Items<'t, &'t str>>,
        "trust" => trust: Option<Trust<'t>>,
        "holdout" => holdout: Option<Holdout<'t>>,
        "headers" => headers: Option<Headers<'t>>,
        "responseHeader" => response_header: Option<&'t str>,
        "rollouts" => rollouts: Option<Items<'t, Rollout<'t>>>,
    }
}

shape! {
    /// One of the fields or both.
    pub(super) struct Trust<'t> {
        "principals" => principals: Option<Items<'t, &'t str>>,
        "workload" => workload: Option<bool>,
    }
}

shape! {
    pub(super) struct Holdout<'t> {
        "name" => name: &'t str,
        "percent" => percent: f64,
    }
}

shape! {
    pub(super) struct Headers<'t> {
        "route" => route: Option<&'t str>,
        "assignment" => assignment: Option<&'t str>,
        "mirror" => mirror: Option<&'t str>,
        "identity" => identity: Option<&'t str>,
    }
}

shape! {
    /// Exactly one source, and what belongs to a `jwtClaim`.
    pub(super) struct Identity<'t> {
        "header" => header: Option<&'t str>,
        "cookie" => cookie: Option<&'t str>,
        "query" => query: Option<&'t str>,
        "jwtClaim" => jwt_claim: Option<OneOrMany<'t>>,
        "sourceIp" => source_ip: Option<bool>,
        "concat" => concat: Option<Items<'t, Identity<'t>>>,
        "random" => random: Option<bool>,
        "jwtPayload" => jwt_payload: Option<&'t str>,
        "type" => claim_type: Option<&'t str>,
        "mint" => mint: Option<Mint<'t>>,
    }
}

shape! {
    pub(super) struct Mint<'t> {
        "when" => when: Option<Condition<'t>>,
        .. attributes: Attributes<'t>,
    }
}

shape! {
    pub(super) struct Sticky<'t> {
        "cookie" => cookie: &'t str,
        .. attributes: Attributes<'t>,
    }
}

shape! {
    /// Of a cookie that is given to clients.
    pub(super) struct Attributes<'t> {
        "maxAge" => max_age: Option<&'t str>,
        "path" => path: Option<&'t str>,
        "domain" => domain: Option<&'t str>,
        "sameSite" => same_site: Option<&'t str>,
        "secure" => secure: Option<bool>,
        "httpOnly" => http_only: Option<bool>,
    }
}

shape! {
    pub(super) struct Mirror<'t> {
        "version" => version: &'t str,
        "percent" => percent: f64,
        "methods" => methods: Option<Items<'t, &'t str>>,
    }
}

shape! {
    pub(super) struct Rollout<'t> {
        "name" => name: &'t str,
        "salt" => salt: Option<&'t str>,
        "revision" => revision: Option<&'t str>,
        "enabled" => enabled: Option<bool>,
        "metrics" => metrics: Option<&'t str>,
        "match" => scopes: Option<Items<'t, Scope<'t>>>,
        "target" => target: Option<&'t str>,
        "versions" => versions: Items<'t, Version<'t>>,
        "stable" => stable: &'t str,
        "rules" => rules: Option<Items<'t, Rule<'t>>>,
        "strategy" => strategy: Strategy<'t>,
        "sticky" => sticky: Option<Sticky<'t>>,
        "guardrail" => guardrail: Option<Guardrail<'t>>,
        "mirror" => mirror: Option<Mirror<'t>>,
        "expose" => expose: Option<Expose<'t>>,
    }
}

shape! {
    pub(super) struct Expose<'t> {
        "group" => group: Option<&'t str>,
        "id" => id: Option<&'t str>,
        "response" => response: Option<bool>,
    }
}

shape! {
    pub(super) struct Scope<'t> {
        "hosts" => hosts: Option<Items<'t, &'t str>>,
        "path" => path: Option<Operator<'t>>,
        "methods" => methods: Option<Items<'t, &'t str>>,
    }
}

shape! {
    pub(super) struct Version<'t> {
        "name" => name: &'t str,
        "target" => target: Option<&'t str>,
    }
}

shape! {
    pub(super) struct Rule<'t> {
        "name" => name: &'t str,
        "when" => when: Condition<'t>,
        "use" => version: &'t str,
        "percent" => percent: Option<f64>,
    }
}

shape! {
    /// One combination, or one source and one operator.
    pub(super) struct Condition<'t> {
        "all" => all: Option<Items<'t, Condition<'t>>>,
        "any" => any: Option<Items<'t, Condition<'t>>>,
        "not" => not: Option<Box<Condition<'t>>>,
        "header" => header: Option<&'t str>,
        "cookie" => cookie: Option<&'t str>,
        "query" => query: Option<&'t str>,
        "label" => label: Option<Label<'t>>,
        "jwtClaim" => jwt_claim: Option<OneOrMany<'t>>,
        "path" => path: Option<bool>,
        "method" => method: Option<bool>,
        "host" => host: Option<bool>,
        "sourceIp" => source_ip: Option<bool>,
        "identity" => identity: Option<bool>,
        "assigned" => assigned: Option<Assigned<'t>>,
        "jwtPayload" => jwt_payload: Option<&'t str>,
        "type" => claim_type: Option<&'t str>,
        .. operator: Operator<'t>,
    }
}

shape! {
    /// Exactly one of the fields, beside `ignoreCase`.
    pub(super) struct Operator<'t> {
        "exact" => exact: Option<&'t str>,
        "prefix" => prefix: Option<&'t str>,
        "suffix" => suffix: Option<&'t str>,
        "contains" => contains: Option<&'t str>,
        "in" => r#in: Option<Items<'t, &'t str>>,
        "present" => present: Option<bool>,
        "regex" => regex: Option<&'t str>,
        "semver" => semver: Option<&'t str>,
        "range" => range: Option<Range>,
        "cidr" => cidr: Option<OneOrMany<'t>>,
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
    pub(super) struct Label<'t> {
        "header" => header: &'t str,
        "key" => key: &'t str,
    }
}

shape! {
    pub(super) struct Assigned<'t> {
        "rollout" => rollout: &'t str,
        "version" => version: &'t str,
    }
}

shape! {
    /// Exactly one of the fields.
    pub(super) struct Strategy<'t> {
        "canary" => canary: Option<Canary<'t>>,
        "abTest" => ab_test: Option<AbTest<'t>>,
        "blueGreen" => blue_green: Option<BlueGreen<'t>>,
        "follow" => follow: Option<Follow<'t>>,
    }
}

shape! {
    pub(super) struct Canary<'t> {
        "version" => version: &'t str,
        "weight" => weight: Option<f64>,
        "start" => start: Option<&'t str>,
        "steps" => steps: Option<Items<'t, Step<'t>>>,
        "ramp" => ramp: Option<Ramp<'t>>,
    }
}

shape! {
    pub(super) struct Step<'t> {
        "weight" => weight: f64,
        "hold" => hold: Option<&'t str>,
    }
}

shape! {
    pub(super) struct Ramp<'t> {
        "from" => from: f64,
        "by" => by: f64,
        "to" => to: f64,
        "every" => every: &'t str,
        "then" => then: Option<f64>,
    }
}

shape! {
    pub(super) struct AbTest<'t> {
        "split" => split: Items<'t, Arm<'t>>,
        "traffic" => traffic: Option<f64>,
        "layer" => layer: Option<Layer<'t>>,
        "holdout" => holdout: Option<bool>,
    }
}

shape! {
    pub(super) struct Layer<'t> {
        "name" => name: &'t str,
        "from" => from: f64,
        "to" => to: f64,
    }
}

shape! {
    pub(super) struct Arm<'t> {
        "version" => version: &'t str,
        "weight" => weight: f64,
    }
}

shape! {
    pub(super) struct BlueGreen<'t> {
        "active" => active: &'t str,
    }
}

shape! {
    pub(super) struct Follow<'t> {
        "rollout" => rollout: &'t str,
    }
}

shape! {
    pub(super) struct Guardrail<'t> {
        "minRequests" => min_requests: Option<f64>,
        "errors" => errors: Option<ErrorLimit<'t>>,
        "latency" => latency: Option<LatencyLimit<'t>>,
        "consecutiveErrors" => consecutive_errors: Option<f64>,
        "onBreach" => on_breach: Option<&'t str>,
        "recoverAfter" => recover_after: Option<&'t str>,
    }
}

shape! {
    pub(super) struct ErrorLimit<'t> {
        "max" => max: Option<f64>,
        "overStable" => over_stable: Option<f64>,
        "window" => window: Option<&'t str>,
    }
}

shape! {
    pub(super) struct LatencyLimit<'t> {
        "quantile" => quantile: f64,
        "max" => max: Option<&'t str>,
        "timesStable" => times_stable: Option<f64>,
        "window" => window: Option<&'t str>,
        "for" => lasting: Option<&'t str>,
    }
}

//! The fields of a configuration and their types.
//!
//! Every spec refuses unknown fields. The first error in a value hides the others, so each element
//! of a list ([`Items`]) is read by itself.

use crate::describe;
pub(crate) use crate::items::{Items, OneOrMany};
use crate::read::{FieldReader, Read};
use divvy_json::Tree;
use divvy_json::error::Path;
use serde_json::{Map, Value};

/// Defines structs that are read from objects: each field with its key and, after `..`, a struct
/// whose fields are in the same object.
macro_rules! specs {
    ($(
        $(#[$attribute:meta])*
        struct $name:ident $(<$tree:lifetime>)? {
            $($key:literal => $field:ident: $type:ty,)*
            $(.. $rest:ident: $rest_type:ty,)?
        }
    )*) => {$(
        $(#[$attribute])*
        #[derive(Debug)]
        pub(crate) struct $name $(<$tree>)? {
            $(pub $field: $type,)*
            $(pub $rest: $rest_type,)?
        }

        impl<'t> $name $(<$tree>)? {
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn take(fields: &FieldReader<'_, 't>) -> Self {
                Self {
                    $($field: fields.take($key),)*
                    $($rest: <$rest_type>::take(fields),)?
                }
            }

            fn add_fields(schemas: &mut describe::FieldSchemas<'_>) {
                $(schemas.add::<$type>($key);)*
                $(<$rest_type>::add_fields(schemas);)?
            }
        }

        impl<'t> Read<'t> for $name $(<$tree>)? {
            const IS_OBJECT: bool = true;

            fn read(value: Option<&'t Tree<'t>>, at: Path<'_>) -> Self {
                let known = &[Self::KEYS, $(<$rest_type>::KEYS)?];
                Self::take(&FieldReader::new(value, known, at))
            }
        }

        impl<'t> describe::Describe for $name $(<$tree>)? {
            fn describe(definitions: &mut Map<String, Value>) -> Value {
                describe::object(stringify!($name), definitions, Self::add_fields)
            }
        }
    )*};
}

mod strategy;

pub(crate) use strategy::*;

specs! {
    /// The whole configuration.
    struct ConfigSpec<'t> {
        "version" => version: Option<&'t str>,
        "identity" => identity: Option<Items<'t, IdentitySpec<'t>>>,
        "ignoreIdentities" => ignore_identities: Option<Items<'t, &'t str>>,
        "trust" => trust: Option<TrustSpec<'t>>,
        "holdout" => holdout: Option<HoldoutSpec<'t>>,
        "headers" => headers: Option<HeadersSpec<'t>>,
        "responseHeader" => response_header: Option<&'t str>,
        "overrides" => overrides: Option<OverridesSpec<'t>>,
        "overridesAfter" => overrides_after: Option<&'t str>,
        "rollouts" => rollouts: Option<Items<'t, RolloutSpec<'t>>>,
    }

    /// One or more of the fields.
    struct OverridesSpec<'t> {
        "header" => header: Option<&'t str>,
        "cookie" => cookie: Option<&'t str>,
        "query" => query: Option<&'t str>,
    }

    /// `principals`, `workload` or both.
    struct TrustSpec<'t> {
        "principals" => principals: Option<Items<'t, &'t str>>,
        "workload" => workload: Option<bool>,
        "from" => from: Option<&'t str>,
    }

    struct HoldoutSpec<'t> {
        "name" => name: &'t str,
        "percent" => percent: f64,
    }

    struct HeadersSpec<'t> {
        "route" => route: Option<&'t str>,
        "assignment" => assignment: Option<&'t str>,
        "mirror" => mirror: Option<&'t str>,
        "identity" => identity: Option<&'t str>,
        "baggage" => baggage: Option<&'t str>,
        "unit" => unit: Option<&'t str>,
    }

    /// Exactly one source, and what belongs to a `jwtClaim`.
    struct IdentitySpec<'t> {
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

    struct MintSpec<'t> {
        "when" => when: Option<ConditionSpec<'t>>,
        "signed" => signed: Option<bool>,
        "acceptUnsignedUntil" => accept_unsigned_until: Option<&'t str>,
        .. attributes: AttributesSpec<'t>,
    }

    struct StickySpec<'t> {
        "cookie" => cookie: &'t str,
        "signed" => signed: Option<bool>,
        "acceptUnsignedUntil" => accept_unsigned_until: Option<&'t str>,
        .. attributes: AttributesSpec<'t>,
    }

    /// Of a cookie that is given to clients.
    struct AttributesSpec<'t> {
        "maxAge" => max_age: Option<&'t str>,
        "path" => path: Option<&'t str>,
        "domain" => domain: Option<&'t str>,
        "sameSite" => same_site: Option<&'t str>,
        "secure" => secure: Option<bool>,
        "httpOnly" => http_only: Option<bool>,
        "partitioned" => partitioned: Option<bool>,
    }

    struct MirrorSpec<'t> {
        "version" => version: &'t str,
        "percent" => percent: f64,
        "methods" => methods: Option<Items<'t, &'t str>>,
    }

    struct RolloutSpec<'t> {
        "name" => name: &'t str,
        "salt" => salt: Option<&'t str>,
        "revision" => revision: Option<&'t str>,
        "enabled" => enabled: Option<bool>,
        "metrics" => metrics: Option<&'t str>,
        "identity" => identity: Option<Items<'t, IdentitySpec<'t>>>,
        "match" => scopes: Option<Items<'t, ScopeSpec<'t>>>,
        "target" => target: Option<&'t str>,
        "versions" => versions: Items<'t, VersionSpec<'t>>,
        "stable" => stable: &'t str,
        "rules" => rules: Option<Items<'t, RuleSpec<'t>>>,
        "strategy" => strategy: StrategySpec<'t>,
        "hash" => hash: Option<HashSpec<'t>>,
        "sticky" => sticky: Option<StickySpec<'t>>,
        "guardrail" => guardrail: Option<GuardrailSpec<'t>>,
        "unreachable" => unreachable: Option<bool>,
        "mirror" => mirror: Option<MirrorSpec<'t>>,
        "expose" => expose: Option<ExposeSpec<'t>>,
    }

    struct ExposeSpec<'t> {
        "group" => group: Option<&'t str>,
        "id" => id: Option<&'t str>,
        "label" => label: Option<LabelSpec<'t>>,
        "response" => response: Option<bool>,
    }

    struct ScopeSpec<'t> {
        "hosts" => hosts: Option<Items<'t, &'t str>>,
        "path" => path: Option<OperatorSpec<'t>>,
        "methods" => methods: Option<Items<'t, &'t str>>,
        "when" => when: Option<ConditionSpec<'t>>,
    }

    struct VersionSpec<'t> {
        "name" => name: &'t str,
        "target" => target: Option<&'t str>,
    }

    /// Either `use` or `split`.
    struct RuleSpec<'t> {
        "name" => name: &'t str,
        "when" => when: ConditionSpec<'t>,
        "use" => version: Option<&'t str>,
        "split" => split: Option<Items<'t, ArmSpec<'t>>>,
        "percent" => percent: Option<f64>,
    }

    /// One combination, or one source and one operator.
    struct ConditionSpec<'t> {
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
        "peer" => peer: Option<bool>,
        "identity" => identity: Option<bool>,
        "assigned" => assigned: Option<AssignedSpec<'t>>,
        "jwtPayload" => jwt_payload: Option<&'t str>,
        "type" => claim_type: Option<&'t str>,
        .. operator: OperatorSpec<'t>,
    }

    /// Exactly one of the fields, beside `ignoreCase`.
    struct OperatorSpec<'t> {
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

    struct RangeSpec {
        "min" => min: Option<f64>,
        "max" => max: Option<f64>,
    }

    struct LabelSpec<'t> {
        "header" => header: &'t str,
        "key" => key: &'t str,
    }

    struct AssignedSpec<'t> {
        "rollout" => rollout: &'t str,
        "version" => version: &'t str,
    }
}

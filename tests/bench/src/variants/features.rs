//! Single features in addition to the full path.

use crate::probes::hash::hash;
use serde_json::{Value, json};

use super::divvy::{counted, whole};
use super::{Filter, Group, Variant};
use crate::check::{Expect, Versions};
use crate::configurations::{full, full_and, ramp, rollout_and};
use crate::requests;
use crate::stage::manager;

/// User in the claim.
const CLAIMED: usize = 3;

pub(super) fn all() -> Vec<Variant> {
    let feature = |id, name, configuration: Value| {
        Variant::new(id, name, Group::Feature, Filter::Divvy(configuration)).expecting(whole())
    };
    vec![
        feature(
            "metrics_requests",
            "`metrics: requests`",
            rollout_and("metrics", json!("requests")),
        )
        .expecting(unmeasured().counting("divvy_requests_total", 1)),
        feature(
            "metrics_off",
            "`metrics: off`",
            rollout_and("metrics", json!("off")),
        )
        .expecting(unmeasured()),
        feature(
            "response_header",
            "`responseHeader`",
            full_and("responseHeader", json!("x-divvy-version")),
        )
        .expecting(whole().answering("x-divvy-version: checkout=")),
        feature(
            "identity_header",
            "`headers.identity`",
            full_and(
                "headers",
                json!({
                    "route": "x-divvy-route", "assignment": "x-divvy-assignment",
                    "mirror": "x-divvy-mirror", "identity": "x-gray-id",
                }),
            ),
        )
        .expecting(whole().receiving("x-gray-id: user-", "")),
        feature(
            "expose",
            "`expose`, to the service",
            rollout_and("expose", json!({"group": "x-group", "id": "x-id"})),
        )
        .expecting(
            whole()
                .receiving("x-group: v2", "v2")
                .receiving("x-id: checkout", ""),
        ),
        feature(
            "expose_response",
            "`expose`, to the client too",
            rollout_and(
                "expose",
                json!({"group": "x-group", "id": "x-id", "response": true}),
            ),
        )
        .expecting(
            whole()
                .receiving("x-group: v2", "v2")
                .answering("x-group: v"),
        ),
        feature("ramp", "`canary` by the clock (`ramp`, `steps`)", ramp()),
        feature(
            "ab_test",
            "`abTest` of two versions instead of `canary`",
            rollout_and(
                "strategy",
                json!({"abTest": {"split": [
                    {"version": "v1", "weight": 1}, {"version": "v2", "weight": 1},
                ]}}),
            ),
        )
        .expecting(whole().from(Versions::Both)),
        feature(
            "regex",
            "a rule with a `regex` on `user-agent`",
            rollout_and(
                "rules",
                json!([
                    {"name": "testers", "when": {"header": "x-canary", "exact": "true"}, "use": "v2"},
                    {"name": "staff", "when": {"header": "x-role", "exact": "staff"}, "use": "v2"},
                    {"name": "old", "use": "v1", "when": {
                        "header": "user-agent", "regex": ".* Firefox/(1[0-3]|[0-9])[0-9]\\.[0-9.]+",
                    }},
                ]),
            ),
        ),
        Variant {
            edit: one_route,
            ..feature(
                "one_route",
                "`request_mirror_policies` in the one route, where nothing is mirrored",
                full(),
            )
        },
        Variant {
            edit: without_shadow,
            ..feature(
                "mirror",
                "`mirror`: its header, without the copy that Envoy then sends",
                rollout_and("mirror", json!({"version": "v2", "percent": 100})),
            )
        }
        .expecting(whole().receiving("x-divvy-mirror: v2", "v1")),
        feature(
            "sticky",
            "`sticky`, a first answer with its cookie",
            rollout_and("sticky", json!({"cookie": "got"})),
        )
        .expecting(whole().answering("set-cookie: got=1:")),
        Variant {
            requests: requests::of_users(&[&remembered()]),
            ..feature(
                "sticky_again",
                "`sticky`, a visitor with the cookie",
                rollout_and("sticky", json!({"cookie": "got"})),
            )
        }
        .expecting(counted(Versions::All("v2")).receiving("reason=sticky", "v2")),
        Variant {
            requests: requests::of_visitors(),
            ..feature(
                "mint",
                "`mint`, a visitor who is given a cookie",
                full_and(
                    "identity",
                    json!([{"header": "x-user-id"}, {"cookie": "id", "mint": {}}]),
                ),
            )
        }
        .expecting(whole().from(Versions::Either).answering("set-cookie: id=")),
        Variant {
            before: Some(claim()),
            over: "native_claim",
            ..feature(
                "claim",
                "identity by `jwtClaim`",
                full_and("identity", json!([{"jwtClaim": "sub"}])),
            )
        }
        .expecting(whole().from(Versions::AllAs(CLAIMED))),
        Variant {
            edit: outbound,
            requests: requests::of_users(&["x-divvy-assignment: checkout=v2;reason=split"]),
            ..feature(
                "trust",
                "`trust`, and a decision that comes along",
                full_and("trust", json!({"workload": true})),
            )
        }
        .expecting(counted(Versions::All("v2")).receiving("reason=inherited", "v2")),
    ]
}

fn unmeasured() -> Expect {
    Expect::default()
        .from(Versions::ByPosition)
        .receiving("x-divvy-assignment: checkout=v2;reason=split", "v2")
}

/// Cookie of a user with v2.
fn remembered() -> String {
    let epoch = hash(b"e:checkout:", b"") >> 32;
    format!("cookie: got=1:{epoch:08x}:v2:100000")
}

/// Stores a claim in the metadata that `jwt_authn` sets for a verified token.
pub(super) fn claim() -> Value {
    json!({
        "name": "claim",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config",
            "metadata": [{
                "metadata_namespace": "envoy.filters.http.jwt_authn",
                "value": {"payload": {"sub": requests::user(CLAIMED)}},
            }],
        },
    })
}

/// Expected results without mirrored requests.
fn without_shadow(listener: &mut Value) {
    routes(listener)[1]["route"]["request_mirror_policies"] = json!([]);
}

/// Control with the same routes.
fn one_route(listener: &mut Value) {
    if let Some(routes) = routes(listener).as_array_mut() {
        routes.remove(0);
    }
}

fn routes(listener: &mut Value) -> &mut Value {
    &mut manager(listener)["route_config"]["virtual_hosts"][0]["routes"]
}

/// Sidecar of an application: incoming assignment headers are kept.
fn outbound(listener: &mut Value) {
    listener["traffic_direction"] = json!("OUTBOUND");
    let early = &mut manager(listener)["early_header_mutation_extensions"][0];
    early["typed_config"]["mutations"] =
        json!([{"remove": "x-divvy-route"}, {"remove": "x-divvy-mirror"}]);
}

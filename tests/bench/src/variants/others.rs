//! References: no filter, the SDK, code written by hand, and Envoy's own filters.

use serde_json::{Value, json};

use super::{Filter, Group, NATIVE, UNIT, Variant};
use crate::check::{Expect, Versions};
use crate::stage::manager;

/// Envoy's Lua filter with a minimal split.
const LUA: &str = r#"
local bit = require("bit")
function envoy_on_request(handle)
  local headers = handle:headers()
  local user = headers:get("x-user-id")
  local hash = 2166136261
  if user then
    for i = 1, #user do
      hash = bit.tobit(bit.bxor(hash, user:byte(i)) * 16777619)
    end
  end
  if hash % 100 < 25 then
    headers:replace("x-divvy-route", "v2")
  else
    headers:replace("x-divvy-route", "v1")
  end
end
"#;

pub(super) fn all() -> Vec<Variant> {
    let control = |id, name| Variant::new(id, name, Group::Control, Filter::None);
    let probe = |id, name| Variant::new(id, name, Group::Reference, Filter::Probe(id));
    let own = |id, name, filter| Variant::new(id, name, Group::Reference, filter);
    let none = Expect::default;
    let routed = || none().from(Versions::ByPosition);
    let counted = || routed().counting("divvy_requests_total", 1);
    let assigned = || counted().receiving("x-divvy-assignment: checkout=v2;reason=split", "v2");
    let whole = || {
        assigned()
            .counting("divvy_responses_total", 1)
            .counting("divvy_request_duration_ms_count", 1)
    };
    vec![
        control(NATIVE, "native: no filter"),
        Variant {
            before: Some(super::features::claim()),
            ..control("native_claim", "native, with a claim in its metadata")
        },
        probe(UNIT, "empty SDK filter"),
        own(
            "sdk_slim",
            "empty SDK filter without the exports it does not need",
            Filter::SlimProbe(UNIT),
        ),
        probe("by_hand_nothing", "by hand: nothing"),
        probe(
            "by_hand_callbacks",
            "by hand: nothing, in each of the five callbacks that divvy has",
        ),
        probe(
            "by_hand_one_header",
            "by hand: reads one header and hashes it",
        ),
        probe(
            "by_hand_all_pairs",
            "by hand: reads all headers at once and hashes one",
        ),
        probe("by_hand_route", "… and sets the route header and counts").expecting(counted()),
        probe("by_hand_assignment", "… and sets the assignment header").expecting(assigned()),
        probe(
            "by_hand_response",
            "… and response headers, clock twice, histogram, counter",
        )
        .expecting(whole()),
        probe(
            "by_hand_whole",
            "… and reads the status: the whole job by hand",
        )
        .expecting(whole()),
        probe(
            "by_hand_contexts",
            "… and is called when each stream begins and ends",
        )
        .expecting(whole()),
        probe(
            "by_hand_guarded",
            "the same, and asks what a guardrail asks, without judging",
        )
        .expecting(whole()),
        probe(
            "by_hand_ten",
            "the same, and counts nine rollouts more, for which nothing is decided",
        )
        .expecting(super::divvy::ten()),
        probe(
            "by_hand_looks",
            "by hand, in five callbacks: looks for three headers that are not there",
        ),
        probe(
            "by_hand_reads",
            "by hand, in five callbacks: reads all headers at once and compares one",
        ),
        probe(
            "by_hand_canary",
            "by hand, in five callbacks: reads all at once, hashes one, routes and counts",
        )
        .expecting(counted()),
        probe(
            "by_hand_least",
            "by hand, in one callback: reads one header and hashes it, routes and counts",
        )
        .expecting(counted()),
        own(
            "lua",
            "Lua: hashes and sets one header",
            Filter::Own(json!({
                "name": "lua",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                    "default_source_code": {"inline_string": LUA},
                },
            })),
        )
        .expecting(none().from(Versions::Both)),
        probe(
            "sdk_naive",
            "naive SDK filter: one header, one set, one counter, two properties, histogram",
        )
        .expecting(
            routed()
                .counting("naive_requests_total", 1)
                .counting("naive_request_duration_ms_count", 1),
        ),
        Variant {
            edit: weighted,
            ..own("weighted", "Envoy's weighted_clusters", Filter::None)
        }
        .expecting(none().from(Versions::Either)),
    ]
}

/// Envoy's weighted clusters: a random choice per request, so users do not keep a version.
fn weighted(listener: &mut Value) {
    manager(listener)["route_config"]["virtual_hosts"][0]["routes"] = json!([{
        "match": {"prefix": "/"},
        "route": {"timeout": "0s", "weighted_clusters": {"clusters": [
            {"name": "v1", "weight": 75}, {"name": "v2", "weight": 25},
        ]}},
    }]);
}

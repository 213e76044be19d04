//! divvy's paths, each with its goal.

use serde_json::{Value, json};

use super::{FLOOR, FULL, Filter, Group, UNIT, Variant};
use crate::check::{Expect, Versions};
use crate::configurations as configuration;

const MANY: usize = 1_000;

pub(super) fn all() -> Vec<Variant> {
    let path = |id, name, configuration: Value| {
        Variant::new(id, name, Group::Path, Filter::Divvy(configuration))
    };
    vec![
        path("empty", "everything switched off", json!({}))
            .at_most(0.7, UNIT)
            .by_hand("by_hand_looks"),
        path(
            "no_match",
            "rollouts there, none matches",
            configuration::none_matches(),
        )
        .at_most(1.1, UNIT)
        .by_hand("by_hand_reads"),
        path(
            "one_canary",
            "one canary, `metrics: requests`, no assignment header",
            configuration::one_canary(),
        )
        .at_most(1.45, UNIT)
        .at_most(1.0, "lua")
        .by_hand("by_hand_canary")
        .expecting(
            Expect::default()
                .from(Versions::ByPosition)
                .counting("divvy_requests_total", 1),
        ),
        path(FULL, "full edge path", configuration::full())
            .at_most(2.3, UNIT)
            .at_most(1.1, FLOOR)
            .by_hand("by_hand_tidy")
            .expecting(whole()),
        path(
            "guarded",
            "the same with a guardrail",
            configuration::guarded(),
        )
        .at_most(2.7, UNIT)
        .by_hand("by_hand_guarded")
        .expecting(whole()),
        path(
            "ten",
            "ten matching rollouts (layers, tags)",
            configuration::ten(),
        )
        .at_most(3.0, UNIT)
        .by_hand("by_hand_ten")
        .expecting(ten()),
        path(
            "one_by_path",
            "one rollout, by host and path",
            configuration::many(1),
        )
        .expecting(whole()),
        path(
            "thousand",
            "1,000 rollouts, one matches, by host and path",
            configuration::many(MANY),
        )
        .at_most(1.1, "one_by_path")
        .expecting(whole()),
    ]
}

/// What the full path leaves behind.
pub(super) fn whole() -> Expect {
    counted(Versions::ByPosition).telling("x-divvy-assignment: checkout=v2;reason=split", "v2")
}

/// What ten rollouts do.
pub(super) fn ten() -> Expect {
    Expect::default()
        .from(Versions::ByPosition)
        .telling(
            "x-divvy-assignment: checkout=v2;reason=split, test-0=",
            "v2",
        )
        .counting("divvy_requests_total", 10)
        .counting("divvy_responses_total", 10)
        .counting("divvy_request_duration_ms_count", 10)
}

/// All metrics of one rollout.
pub(super) fn counted(versions: Versions) -> Expect {
    Expect::default()
        .from(versions)
        .counting("divvy_requests_total", 1)
        .counting("divvy_responses_total", 1)
        .counting("divvy_request_duration_ms_count", 1)
}

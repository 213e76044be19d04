//! divvy's paths and their goals.

use serde_json::{Value, json};

use super::{FULL, Filter, Group, Variant};
use crate::check::{Expect, Versions};
use crate::configurations as configuration;

const MANY: usize = 1_000;

pub(super) fn all() -> Vec<Variant> {
    let path = |id, name, configuration: Value| {
        Variant::new(id, name, Group::Path, Filter::Divvy(configuration))
    };
    vec![
        path("empty", "everything switched off", json!({})).by_hand("by_hand_looks"),
        path(
            "no_match",
            "rollouts there, none matches",
            configuration::none_matches(),
        )
        .by_hand("by_hand_reads"),
        path(
            "one_canary",
            "one canary, `metrics: requests`, no assignment header",
            configuration::one_canary(),
        )
        .by_hand("by_hand_canary")
        .expecting(
            Expect::default()
                .from(Versions::ByPosition)
                .counting("divvy_requests_total", 1),
        ),
        path(FULL, "full edge path", configuration::full())
            .by_hand("by_hand_contexts")
            .expecting(whole()),
        path(
            "guarded",
            "the same with a guardrail",
            configuration::guarded(),
        )
        .by_hand("by_hand_guarded")
        .expecting(whole()),
        path(
            "ten",
            "ten matching rollouts (layers, tags)",
            configuration::ten(),
        )
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

/// Expected results of the full path.
pub(super) fn whole() -> Expect {
    counted(Versions::ByPosition).receiving("x-divvy-assignment: checkout=v2;reason=split", "v2")
}

/// Expected results of ten rollouts.
pub(super) fn ten() -> Expect {
    Expect::default()
        .from(Versions::ByPosition)
        .receiving(
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

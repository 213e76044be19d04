//! Results as JSON.

use serde_json::{Value, json};

use super::Report;
use crate::statistics::Estimate;

impl Report {
    /// Results as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let goals = row.goals.iter().map(|(goal, ratio, verdict)| {
                json!({"than": goal.than, "at_most": goal.at_most, "ratio": interval(ratio), "verdict": format!("{verdict:?}")})
            });
            json!({
                "id": row.variant.id, "name": row.variant.name,
                "group": format!("{:?}", row.variant.group),
                "microseconds": interval(&row.cost), "ratio": interval(&row.ratio),
                "beyond": row.variant.beyond, "added_microseconds": interval(&row.added),
                "times_beyond": interval(&row.times_beyond), "goals": goals.collect::<Value>(),
                "by_hand": row.variant.by_hand, "times_by_hand": row.by_hand.as_ref().map(|(times, _)| interval(times)),
            })
        });
        let latency = self.latency.iter().map(|(name, waits)| {
            let rounds = waits.iter().map(|waits| json!([waits.p50, waits.p99]));
            json!({"name": name, "p50_p99": rounds.collect::<Value>()})
        });
        let starts = self.starts.iter().map(|start| {
            json!({"name": start.name, "worker_ms": interval(&start.worker), "main_ms": interval(&start.main)})
        });
        let memory = self
            .memory
            .iter()
            .map(|memory| json!({"name": memory.name, "kib_per_vm": memory.per_vm}));
        json!({
            "envoy": self.run.version, "processor": self.run.processor,
            "worker_alone": self.run.alone, "rounds": self.run.plan.rounds,
            "requests": self.run.plan.requests, "native_microseconds": interval(&self.run.native),
            "variants": rows.collect::<Value>(), "latency": latency.collect::<Value>(),
            "starts": starts.collect::<Value>(), "memory": memory.collect::<Value>(),
        })
    }
}

fn interval(estimate: &Estimate) -> Value {
    json!([estimate.low, estimate.median, estimate.high])
}

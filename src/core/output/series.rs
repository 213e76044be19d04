//! Names of metrics with their labels. A leaf but for reasons and response classes.

use crate::decision::Reason;
use crate::response::ResponseClass;
use crate::signature::{KeyPurpose, SignatureResult};

/// The name of a series: labels, then the metric, in the form that Envoy's `stats_tags` and
/// Istio's `extraStatTags` parse.
pub fn series(labels: &[(&str, &str)], metric: &str) -> String {
    let mut name = String::new();
    for (label, value) in labels {
        for part in [label, "=.=", value, ";.;"] {
            name.push_str(part);
        }
    }
    name.push_str(metric);
    name
}

/// `divvy_requests_total` of a decision.
pub fn request_series(rollout: &str, version: &str, reason: Reason) -> String {
    let reason = ("divvy_reason", reason.name());
    let [rollout, version] = place(rollout, version);
    series(&[rollout, version, reason], "divvy_requests_total")
}

/// `divvy_responses_total` of a version and class.
pub fn response_series(rollout: &str, version: &str, class: ResponseClass) -> String {
    let class = ("divvy_class", class.name());
    let [rollout, version] = place(rollout, version);
    series(&[rollout, version, class], "divvy_responses_total")
}

/// `divvy_request_duration_ms` of one version.
pub fn duration_series(rollout: &str, version: &str) -> String {
    series(&place(rollout, version), "divvy_request_duration_ms")
}

/// `divvy_weight_ppm` of one version.
pub fn weight_series(rollout: &str, version: &str) -> String {
    series(&place(rollout, version), "divvy_weight_ppm")
}

/// `divvy_guardrail_state` of one version.
pub fn guardrail_series(rollout: &str, version: &str) -> String {
    series(&place(rollout, version), "divvy_guardrail_state")
}

/// `divvy_step_waiting` of a rollout.
pub fn waiting_series(rollout: &str) -> String {
    series(&[("divvy_rollout", rollout)], "divvy_step_waiting")
}

/// `divvy_key_info` of a key.
pub fn key_series(id: &str) -> String {
    series(&[("divvy_key_id", id)], "divvy_key_info")
}

/// `divvy_signature_total` of a purpose and a result.
pub fn signature_series(purpose: KeyPurpose, result: SignatureResult) -> String {
    let labels = [
        ("divvy_purpose", purpose.name()),
        ("divvy_result", result.name()),
    ];
    series(&labels, "divvy_signature_total")
}

const fn place<'a>(rollout: &'a str, version: &'a str) -> [(&'static str, &'a str); 2] {
    [("divvy_rollout", rollout), ("divvy_version", version)]
}

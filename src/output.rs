//! What follows from decisions: header changes and labels, as values.

use std::borrow::Cow;

use crate::decide::{Decision, Reason};
use crate::policy::{OwnedHeader, Policy, Role, Version};
use crate::request::Request;

/// A change to one request header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderChange<'p> {
    /// Replace all lines of it with this one.
    Set(&'p str, Cow<'p, str>),
    /// Remove all lines of it.
    Remove(&'p str),
}

/// The changes to the headers of a request: each header of divvy's is replaced, or
/// removed if it came in, so that no client chooses a version by sending one.
pub fn request_changes<'p>(
    policy: &'p Policy,
    request: &Request<'_>,
    decisions: &[Decision],
) -> impl Iterator<Item = HeaderChange<'p>> {
    policy
        .owned
        .iter()
        .filter_map(|header| match value(policy, header, decisions) {
            Some(value) => Some(HeaderChange::Set(&header.name, value)),
            None => request
                .has(header.id)
                .then_some(HeaderChange::Remove(&header.name)),
        })
}

/// The same for a request whose headers are unknown: what is not set is removed blindly.
pub fn blind_changes<'p>(
    policy: &'p Policy,
    decisions: &[Decision],
) -> impl Iterator<Item = HeaderChange<'p>> {
    policy
        .owned
        .iter()
        .map(|header| match value(policy, header, decisions) {
            Some(value) => HeaderChange::Set(&header.name, value),
            None => HeaderChange::Remove(&header.name),
        })
}

fn value<'p>(
    policy: &'p Policy,
    header: &OwnedHeader,
    decisions: &[Decision],
) -> Option<Cow<'p, str>> {
    match header.role {
        Role::Route => route(policy, decisions).map(Cow::Borrowed),
        Role::Assignment => assignment(policy, decisions).map(Cow::Owned),
        Role::Strip => None,
    }
}

/// The decision that owns the route: that of the first rollout with targets, whatever it
/// decided. The others only tag.
pub fn owner<'d>(policy: &Policy, decisions: &'d [Decision]) -> Option<&'d Decision> {
    decisions.iter().find(|decision| {
        policy
            .rollout(decision.rollout)
            .is_some_and(|rollout| rollout.routes)
    })
}

/// What the route header says.
pub fn route<'p>(policy: &'p Policy, decisions: &[Decision]) -> Option<&'p str> {
    version(policy, owner(policy, decisions)?)?
        .target
        .as_deref()
}

/// The assignment: an RFC 9651 dictionary with a member for each decision, as in
/// `checkout=v2;reason=split, search=B;reason=rule`. `None` where nothing was decided.
pub fn assignment(policy: &Policy, decisions: &[Decision]) -> Option<String> {
    const REASON: &str = ";reason=";
    let members = || {
        decisions
            .iter()
            .filter_map(|decision| Some((version(policy, decision)?, decision.reason)))
    };
    let length: usize = members()
        .map(|(version, reason)| {
            [&version.member, REASON, reason.name(), ", "]
                .iter()
                .fold(0_usize, |sum, part| sum.saturating_add(part.len()))
        })
        .fold(0, usize::saturating_add);
    let mut text = String::with_capacity(length);
    for (version, reason) in members() {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&version.member);
        text.push_str(REASON);
        text.push_str(reason.name());
    }
    (!text.is_empty()).then_some(text)
}

fn version<'p>(policy: &'p Policy, decision: &Decision) -> Option<&'p Version> {
    policy.rollout(decision.rollout)?.version(decision.version)
}

/// How the answer to a request turned out, for `divvy_responses_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// 100 to 199; a WebSocket is a 101.
    Informational,
    /// 200 to 299
    Success,
    /// 300 to 399
    Redirect,
    /// 400 to 499
    ClientError,
    /// 500 to 599
    ServerError,
    /// A gRPC request that ended with a failing status, whatever its code.
    GrpcError,
    /// The upstream went away before it sent a code.
    Reset,
    /// None of these: the client went away first, say.
    None,
}

impl Class {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Informational,
        Self::Success,
        Self::Redirect,
        Self::ClientError,
        Self::ServerError,
        Self::GrpcError,
        Self::Reset,
        Self::None,
    ];

    /// As it stands in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::GrpcError => "grpc_error",
            Self::Reset => "reset",
            Self::None => "none",
        }
    }

    /// The class of a response code; [`Class::None`] for what is no code.
    pub const fn of_code(code: u64) -> Self {
        match code {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirect,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::None,
        }
    }

    /// The class of a `:status` header.
    pub fn of_status(status: &[u8]) -> Self {
        let code = std::str::from_utf8(status)
            .ok()
            .and_then(|s| s.parse().ok());
        Self::of_code(code.unwrap_or(0))
    }

    /// The class of a stream that ended without a code, by Envoy's response flags.
    pub const fn of_flags(flags: u64) -> Self {
        // UH, UT, UR, UF, UC, UO, URX: the upstream's doing.
        const UPSTREAM: u64 = 0x2 | 0x4 | 0x10 | 0x20 | 0x40 | 0x80 | 0x8000;
        // DC: the client went away, and what the upstream did then is its consequence.
        const CLIENT_GONE: u64 = 0x4000;
        if flags & UPSTREAM != 0 && flags & CLIENT_GONE == 0 {
            Self::Reset
        } else {
            Self::None
        }
    }

    /// Whether a gRPC status says that the call failed by the service's fault: unknown,
    /// deadline exceeded, resource exhausted, internal, unavailable, data loss.
    pub const fn is_grpc_failure(status: u64) -> bool {
        matches!(status, 2 | 4 | 8 | 13 | 14 | 15)
    }
}

/// The name of a series: labels first, then the metric, in the form that both Envoy's
/// `stats_tags` and Istio's `extraStatTags` take apart.
pub fn series(labels: &[(&str, &str)], metric: &str) -> String {
    let mut name = String::new();
    for (label, value) in labels {
        name.extend([label, "=.=", value, ";.;"]);
    }
    name.push_str(metric);
    name
}

/// `divvy_requests_total` of one decision.
pub fn request_series(rollout: &str, version: &str, reason: Reason) -> String {
    let reason = ("divvy_reason", reason.name());
    let [rollout, version] = place(rollout, version);
    series(&[rollout, version, reason], "divvy_requests_total")
}

/// `divvy_responses_total` of one version and class.
pub fn response_series(rollout: &str, version: &str, class: Class) -> String {
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

const fn place<'a>(rollout: &'a str, version: &'a str) -> [(&'static str, &'a str); 2] {
    [("divvy_rollout", rollout), ("divvy_version", version)]
}

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
/// Nothing is routed, since whose request it is cannot be known; the default route serves
/// stable.
pub fn blind_changes<'p>(
    policy: &'p Policy,
    decisions: &[Decision],
) -> impl Iterator<Item = HeaderChange<'p>> {
    policy.owned.iter().map(|header| {
        let value = match header.role {
            Role::Route => None,
            _ => value(policy, header, decisions),
        };
        value.map_or(HeaderChange::Remove(&header.name), |value| {
            HeaderChange::Set(&header.name, value)
        })
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
    /// A gRPC call that was answered with 200 and then ended with a failing status.
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
        if flags & UPSTREAM != 0 && !client_is_gone(flags) {
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

/// Whether Envoy's response flags say that the client went away: DC, or DR where it reset
/// an HTTP/2 stream, which is how gRPC clients cancel. What the upstream did then is a
/// consequence of it.
pub const fn client_is_gone(flags: u64) -> bool {
    const DC: u64 = 0x4000;
    const DR: u64 = 0x1000_0000;
    flags & (DC | DR) != 0
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::decide::{decide, decide_unread};

    #[test]
    fn a_response_has_the_class_of_its_code() {
        for (status, class) in [
            ("100", Class::Informational),
            ("101", Class::Informational),
            ("200", Class::Success),
            ("299", Class::Success),
            ("304", Class::Redirect),
            ("499", Class::ClientError),
            ("500", Class::ServerError),
            ("599", Class::ServerError),
            ("99", Class::None),
            ("600", Class::None),
            ("", Class::None),
            ("2xx", Class::None),
            ("99999999999999999999999", Class::None),
        ] {
            assert_eq!(Class::of_status(status.as_bytes()), class, "{status}");
        }
        assert_eq!(Class::of_status(b"\xff"), Class::None);
    }

    #[test]
    fn without_a_code_the_flags_say_whose_doing_it_was() {
        let upstream = [0x2, 0x4, 0x10, 0x20, 0x40, 0x80, 0x8000];
        for flag in upstream {
            assert_eq!(Class::of_flags(flag), Class::Reset, "{flag:x}");
            assert_eq!(
                Class::of_flags(flag | 0x4000),
                Class::None,
                "{flag:x} and DC"
            );
        }
        for flag in upstream {
            assert_eq!(
                Class::of_flags(flag | 0x1000_0000),
                Class::None,
                "{flag:x} and DR"
            );
        }
        for flag in [0, 0x1, 0x8, 0x100, 0x4000, 0x1000_0000] {
            assert_eq!(Class::of_flags(flag), Class::None, "{flag:x}");
        }
        assert_eq!(Class::of_flags(upstream.iter().sum()), Class::Reset);
    }

    #[test]
    fn a_grpc_status_is_a_failure_if_it_is_the_services_fault() {
        let failures: Vec<u64> = (0..20).filter(|s| Class::is_grpc_failure(*s)).collect();
        assert_eq!(failures, [2, 4, 8, 13, 14, 15]);
    }

    fn policy(match_: &str) -> Policy {
        let rollout = |name: &str, match_: &str| {
            format!(
                r#"{{"name": "{name}", {match_} "target": "{name}-{{version}}", "stable": "v1",
                "versions": [{{"name": "v1"}}, {{"name": "v2"}}],
                "strategy": {{"blueGreen": {{"active": "v2"}}}}}}"#
            )
        };
        let text = format!(
            r#"{{"rollouts": [{}, {}]}}"#,
            rollout("shop", match_),
            rollout("all", "")
        );
        config::parse(text.as_bytes()).unwrap()
    }

    fn shown(changes: impl Iterator<Item = HeaderChange<'static>>) -> Vec<String> {
        let shown = changes.map(|change| match change {
            HeaderChange::Set(name, value) => format!("{name}: {value}"),
            HeaderChange::Remove(name) => format!("-{name}"),
        });
        shown.collect()
    }

    #[test]
    fn each_header_of_ours_is_set_or_removed_if_it_came() {
        let policy: &'static Policy = Box::leak(Box::new(policy(
            r#""match": [{"hosts": ["shop.example"]}],"#,
        )));
        let forged: [(&[u8], &[u8]); 4] = [
            (b":authority", b"shop.example"),
            (b"x-divvy-route", b"a"),
            (b"x-divvy-route", b"b"),
            (b"x-divvy-mirror", b"c"),
        ];
        let request = Request::from_headers(&policy.names, forged);
        let decisions = decide(policy, &request);
        assert_eq!(
            shown(request_changes(policy, &request, &decisions)),
            [
                "x-divvy-route: shop-v2",
                "x-divvy-assignment: shop=v2;reason=active, all=v2;reason=active",
                "-x-divvy-mirror",
            ]
        );
        assert_eq!(
            shown(request_changes(policy, &request, &[])),
            ["-x-divvy-route", "-x-divvy-mirror"]
        );
        assert_eq!(
            shown(blind_changes(policy, &[])),
            ["-x-divvy-route", "-x-divvy-assignment", "-x-divvy-mirror"]
        );
        assert_eq!(
            shown(blind_changes(policy, &decide_unread(policy))),
            [
                "-x-divvy-route",
                "x-divvy-assignment: all=v1;reason=error",
                "-x-divvy-mirror"
            ]
        );
    }

    #[test]
    fn a_request_that_cannot_be_read_is_stable_for_whom_it_certainly_concerns() {
        let policy = policy(r#""match": [{"hosts": ["shop.example"]}],"#);
        let decisions = decide_unread(&policy);
        let assignment = assignment(&policy, &decisions);
        assert_eq!(assignment.as_deref(), Some("all=v1;reason=error"));
    }
}

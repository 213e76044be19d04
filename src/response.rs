//! How a request ended: Envoy's response flags, response codes and gRPC statuses, the class
//! that is counted in `divvy_responses_total`, and the sample that a guardrail takes.
//!
//! A leaf: depends on no other module.
//!
//! One sample per run of the filter; Envoy's retries behind it are one request.
//!
//! | what happened | sample |
//! |---|---|
//! | the client disconnected (DC, DR) | none: all other flags follow from it |
//! | code 500 and above, except 501 | failure |
//! | a gRPC call ended with 2, 4, 8, 13, 14 or 15 | failure |
//! | the upstream reset (UF UC UR UH UO UT URX UPE), code not 101 | failure |
//! | no code, and none of these | none |
//! | anything else, including 4xx | success |

use std::time::Duration;

/// The bits of Envoy's `response.flags` that divvy reads.
mod flag {
    /// UH
    pub const NO_HEALTHY_UPSTREAM: u64 = 1 << 1;
    /// UT
    pub const UPSTREAM_REQUEST_TIMEOUT: u64 = 1 << 2;
    /// UR
    pub const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
    /// UF
    pub const UPSTREAM_CONNECTION_FAILURE: u64 = 1 << 5;
    /// UC
    pub const UPSTREAM_CONNECTION_TERMINATION: u64 = 1 << 6;
    /// UO
    pub const UPSTREAM_OVERFLOW: u64 = 1 << 7;
    /// DC
    pub const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 1 << 14;
    /// URX
    pub const UPSTREAM_RETRY_LIMIT_EXCEEDED: u64 = 1 << 15;
    /// UPE
    pub const UPSTREAM_PROTOCOL_ERROR: u64 = 1 << 23;
    /// DR: the client reset an HTTP/2 stream, which is how gRPC clients cancel.
    pub const DOWNSTREAM_REMOTE_RESET: u64 = 1 << 28;
}

/// Flags of a request that the upstream did not complete.
const UPSTREAM: u64 = flag::NO_HEALTHY_UPSTREAM
    | flag::UPSTREAM_REQUEST_TIMEOUT
    | flag::UPSTREAM_REMOTE_RESET
    | flag::UPSTREAM_CONNECTION_FAILURE
    | flag::UPSTREAM_CONNECTION_TERMINATION
    | flag::UPSTREAM_OVERFLOW
    | flag::UPSTREAM_RETRY_LIMIT_EXCEEDED
    | flag::UPSTREAM_PROTOCOL_ERROR;

/// Flags of a request that the client gave up.
const CLIENT: u64 = flag::DOWNSTREAM_CONNECTION_TERMINATION | flag::DOWNSTREAM_REMOTE_RESET;

/// Whether the flags say that the client disconnected. Upstream flags are then a consequence.
const fn is_client_disconnect(flags: u64) -> bool {
    flags & CLIENT != 0
}

/// Whether the flags say that the upstream failed or reset while the client was connected.
const fn is_upstream_reset(flags: u64) -> bool {
    flags & UPSTREAM != 0 && !is_client_disconnect(flags)
}

/// Whether a gRPC status is a failure of the service: unknown, deadline exceeded, resource
/// exhausted, internal, unavailable, data loss.
const fn is_grpc_failure(status: u64) -> bool {
    matches!(status, 2 | 4 | 8 | 13 | 14 | 15)
}

/// The code in a `:status` header of three digits; 0 for any other value.
pub fn status_code(status: &[u8]) -> u64 {
    let [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9'] = status else {
        return 0;
    };
    let digits = status.iter().map(|digit| u64::from(digit & 0xf));
    digits.fold(0, |code, digit| code.wrapping_mul(10).wrapping_add(digit))
}

/// Whether a `content-type` is `text/event-stream`: the client ends such a response.
pub fn is_event_stream(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next();
    media_type.is_some_and(|media_type| {
        media_type
            .trim_ascii()
            .eq_ignore_ascii_case(b"text/event-stream")
    })
}

/// The class of a response, a label of `divvy_responses_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ResponseClass {
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
    /// A gRPC call that ended with a failing status, whatever its code.
    GrpcError,
    /// An upstream reset without a response code.
    Reset,
    /// None of these, for example a client that disconnected before a response.
    None,
}

impl ResponseClass {
    /// All classes, in the order of their numbers.
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

    /// The value of the label.
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

    /// The class of a response code; [`ResponseClass::None`] outside 100 to 599.
    pub const fn from_code(code: u64) -> Self {
        match code {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirect,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::None,
        }
    }

    /// The class of a stream that ended without a response code.
    pub const fn from_flags(flags: u64) -> Self {
        if is_upstream_reset(flags) {
            Self::Reset
        } else {
            Self::None
        }
    }
}

/// A finished request, as the host describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinishedRequest {
    /// The response code; 0 if there is none.
    pub code: u64,
    /// The status of a gRPC call. `None` for plain HTTP, whose `grpc-status` means nothing.
    pub grpc_status: Option<u64>,
    /// Envoy's response flags.
    pub flags: u64,
    /// Whether the response is an event stream.
    pub event_stream: bool,
    /// Time from the end of the request to the response headers, if both arrived.
    pub latency: Option<Duration>,
}

/// What a finished request says about the health of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthSample {
    /// Nothing.
    None,
    /// The version served the request.
    Success,
    /// The version failed.
    Failure,
}

impl FinishedRequest {
    /// The class of this request. `flags` are read only if there is no code, or a failing
    /// gRPC status.
    pub const fn class(&self) -> ResponseClass {
        match ResponseClass::from_code(self.code) {
            ResponseClass::None => ResponseClass::from_flags(self.flags),
            _ if self.is_failed_call() && !is_client_disconnect(self.flags) => {
                ResponseClass::GrpcError
            }
            class => class,
        }
    }

    /// Whether this is a gRPC call with a failing status.
    pub const fn is_failed_call(&self) -> bool {
        match self.grpc_status {
            Some(status) => is_grpc_failure(status),
            None => false,
        }
    }

    /// The sample of this request; the table of the module states the rules.
    pub const fn sample(&self) -> HealthSample {
        if is_client_disconnect(self.flags) {
            return HealthSample::None;
        }
        // A WebSocket that its server closes has the flag UC.
        let reset = is_upstream_reset(self.flags) && self.code != 101;
        if reset || self.is_failed_call() || (self.code >= 500 && self.code != 501) {
            HealthSample::Failure
        } else if self.code == 0 {
            HealthSample::None
        } else {
            HealthSample::Success
        }
    }

    /// The latency, if it counts: not without a health sample, and not for a WebSocket or an
    /// event stream.
    pub fn counted_latency(&self) -> Option<Duration> {
        let counts = self.sample() != HealthSample::None && self.code != 101 && !self.event_stream;
        self.latency.filter(|_| counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DC: u64 = flag::DOWNSTREAM_CONNECTION_TERMINATION;
    const DR: u64 = flag::DOWNSTREAM_REMOTE_RESET;
    const UC: u64 = flag::UPSTREAM_CONNECTION_TERMINATION;
    const UR: u64 = flag::UPSTREAM_REMOTE_RESET;
    const RATE_LIMITED: u64 = 1 << 11;
    /// UH, UT, UR, UF, UC, UO, URX, UPE
    const UPSTREAM_FLAGS: [u64; 8] = [0x2, 0x4, 0x10, 0x20, 0x40, 0x80, 0x8000, 0x80_0000];

    #[test]
    fn the_class_follows_from_the_code() {
        for (status, class) in [
            ("100", ResponseClass::Informational),
            ("101", ResponseClass::Informational),
            ("200", ResponseClass::Success),
            ("299", ResponseClass::Success),
            ("304", ResponseClass::Redirect),
            ("499", ResponseClass::ClientError),
            ("500", ResponseClass::ServerError),
            ("599", ResponseClass::ServerError),
            ("99", ResponseClass::None),
            ("600", ResponseClass::None),
            ("", ResponseClass::None),
            ("2xx", ResponseClass::None),
            ("0200", ResponseClass::None),
            ("+20", ResponseClass::None),
            ("99999999999999999999999", ResponseClass::None),
        ] {
            let code = status_code(status.as_bytes());
            assert_eq!(ResponseClass::from_code(code), class, "{status}");
        }
        assert_eq!(status_code(b"\xff00"), 0);
        for code in 0..1_000 {
            assert_eq!(status_code(format!("{code:03}").as_bytes()), code);
        }
    }

    #[test]
    fn class_and_sample_agree_about_the_flags_of_a_stream_without_a_code() {
        let check = |flags, class, sample| {
            assert_eq!(ResponseClass::from_flags(flags), class, "{flags:x}");
            let finished = FinishedRequest {
                flags,
                ..FinishedRequest::default()
            };
            assert_eq!(finished.sample(), sample, "{flags:x}");
        };
        for flag in UPSTREAM_FLAGS {
            check(flag, ResponseClass::Reset, HealthSample::Failure);
            for client in [DC, DR] {
                check(flag | client, ResponseClass::None, HealthSample::None);
            }
        }
        for flag in [0, 0x1, 0x8, 0x100, DC, DR] {
            check(flag, ResponseClass::None, HealthSample::None);
        }
        let all = UPSTREAM_FLAGS.iter().sum();
        check(all, ResponseClass::Reset, HealthSample::Failure);
    }

    #[test]
    fn a_grpc_status_is_a_failure_if_the_service_caused_it() {
        let failures: Vec<u64> = (0..20).filter(|status| is_grpc_failure(*status)).collect();
        assert_eq!(failures, [2, 4, 8, 13, 14, 15]);
    }

    #[test]
    fn a_finished_request_is_a_success_a_failure_or_no_sample() {
        use HealthSample::{Failure, None, Success};
        for (name, code, grpc, flags, sample) in [
            ("fine", 200, Option::None, 0, Success),
            ("not found", 404, Option::None, 0, Success),
            ("rate limited", 429, Option::None, RATE_LIMITED, Success),
            ("server error", 500, Option::None, 0, Failure),
            ("not implemented", 501, Option::None, 0, Success),
            ("unusual code", 599, Option::None, 0, Failure),
            ("reset before a code", 0, Option::None, UC, Failure),
            ("reset in the body", 200, Option::None, UR, Failure),
            ("nothing", 0, Option::None, 0, None),
            ("client disconnected", 0, Option::None, DC, None),
            ("client left in the body", 200, Option::None, DC, None),
            ("client left, reset", 503, Option::None, DC | UR, None),
            ("call cancelled", 200, Some(1), DR, None),
            ("call cancelled late", 200, Some(14), DR | UC, None),
            ("websocket", 101, Option::None, 0, Success),
            ("websocket closed", 101, Option::None, UC, Success),
            ("call", 200, Some(0), 0, Success),
            ("call not found", 200, Some(5), 0, Success),
            ("call failed", 200, Some(2), 0, Failure),
            ("call unauthenticated", 200, Some(16), 0, Success),
            ("call behind a 503", 503, Some(14), 0, Failure),
            ("all flags", 200, Option::None, u64::MAX, None),
        ] {
            let finished = FinishedRequest {
                code,
                grpc_status: grpc,
                flags,
                ..FinishedRequest::default()
            };
            assert_eq!(finished.sample(), sample, "{name}");
        }
        for flags in UPSTREAM_FLAGS {
            let finished = FinishedRequest {
                code: 409,
                flags,
                ..FinishedRequest::default()
            };
            assert_eq!(finished.sample(), Failure, "{flags:x}");
        }
    }

    #[test]
    fn latency_counts_unless_the_client_determines_it() {
        let plain = FinishedRequest {
            code: 200,
            latency: Some(Duration::from_millis(7)),
            ..FinishedRequest::default()
        };
        let with = |change: fn(&mut FinishedRequest)| {
            let mut finished = plain;
            change(&mut finished);
            finished.counted_latency().is_some()
        };
        assert!(with(|_| {}), "plain");
        assert!(with(|finished| finished.code = 503), "failed");
        assert!(!with(|finished| finished.event_stream = true), "events");
        assert!(!with(|finished| finished.code = 101), "websocket");
        assert!(!with(|finished| finished.flags = DC), "disconnected");
        assert!(!with(|finished| finished.latency = None), "unknown");
    }
}

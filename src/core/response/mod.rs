//! How a request ended: Envoy's response flags, response codes and gRPC statuses, the class
//! that is counted in `divvy_responses_total`, and the sample that a guardrail takes.
//!
//! A leaf: depends on no other module.
//!
//! One sample per run of the filter; Envoy's retries behind it are one request. The first row
//! that applies counts:
//!
//! | what happened | sample |
//! |---|---|
//! | a WebSocket (101), however it ends | success |
//! | the version sent code 500 or above, except 501, or gRPC status 2, 4, 13, 14 or 15 | failure |
//! | an upstream flag (UF UC UR UH UO UT URX UPE NC), the client was connected | failure |
//! | no response headers, `patience` or more after the end of the request | failure |
//! | no response headers, earlier | abandoned: slow, if beyond the limit on latency |
//! | headers, but less than 16 KiB of an unfinished body, `patience` after the headers | failure |
//! | a timeout (UT) in a body: the client does not read | none; failure, if less than 16 KiB |
//! | the client disconnected (DC, DR) in a body | none |
//! | Envoy or a filter behind divvy sent a 3xx, 4xx, 5xx or a gRPC status other than 0 | none |
//! | code 4xx or 501, or gRPC status 1 3 5 6 7 8 9 10 11 12 16 | neutral: no evidence of health |
//! | anything else | success |

mod class;
mod content;
mod flags;

use std::time::Duration;

pub use class::{ResponseClass, status_code};
pub use content::{ContentKind, GrpcStatus};
pub use flags::ResponseFlags;

/// Size of a body in bytes below which a stream that does not go on is the version's doing. A
/// client that does not read leaves more in the buffers of Envoy and of the kernel.
const STALLED: u64 = 16 * 1024;

/// How far the body of a response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyProgress {
    /// Whether the upstream has sent all of it.
    pub finished: bool,
    /// Bytes that were sent to the client.
    pub sent: u64,
}

impl BodyProgress {
    /// Whether the version owes the rest.
    pub const fn is_stalled(self) -> bool {
        !self.finished && self.sent < STALLED
    }
}

/// Whether a body that does not go on is a failure: not in a stream, and not of an answer that the
/// version did not send.
pub const fn may_stall(code: u64, local: bool, content: ContentKind) -> bool {
    matches!(content, ContentKind::Plain) && code != 0 && code != 101 && !local
}

/// A finished request, as the host describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinishedRequest {
    /// The response code; 0 if there is none.
    pub code: u64,
    /// The kind of the response.
    pub content: ContentKind,
    /// The status of a gRPC response that the version sent, in its headers or trailers.
    pub grpc_status: Option<GrpcStatus>,
    /// Whether Envoy or a filter behind divvy made the response. Known only where it matters: with
    /// a code of 300 or above, and with a gRPC status other than 0.
    pub local: bool,
    /// Envoy's response flags.
    pub flags: ResponseFlags,
    /// Time from the end of the request to the response headers, if both arrived.
    pub latency: Option<Duration>,
    /// Without response headers: the time from the end of the request to the end of the stream, if
    /// the request ended.
    pub waited: Option<Duration>,
    /// With response headers: the time from them, or from the end of the request if that came
    /// later, to the end of the stream; known only if the stream ended within the body.
    pub lasted: Option<Duration>,
    /// The body of such a stream.
    pub body: Option<BodyProgress>,
}

/// What a finished request says about the health of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthSample {
    /// Nothing.
    None,
    /// The client left before the response headers: a slow response, if that was late enough.
    Abandoned,
    /// The version answered, which is no evidence that it can do its work: a 4xx, or a 501 to a
    /// method that it does not have. Only its latency counts.
    Neutral,
    /// The version served the request.
    Success,
    /// The version failed.
    Failure,
}

impl FinishedRequest {
    /// Whether this is a gRPC response: its own content type says so.
    const fn is_grpc(&self) -> bool {
        matches!(self.content, ContentKind::Grpc)
    }

    /// Whether the version sent a failing status.
    const fn is_failed_call(&self) -> bool {
        matches!(self.grpc_status, Some(GrpcStatus::Failure))
    }

    /// The class of this request. `flags` are read only if there is no code, or no status in a
    /// gRPC response.
    pub const fn class(&self) -> ResponseClass {
        match ResponseClass::from_code(self.code) {
            ResponseClass::None => ResponseClass::from_flags(self.flags),
            ResponseClass::Success if self.is_failed_call() => ResponseClass::GrpcError,
            ResponseClass::Success
                if self.is_grpc()
                    && self.grpc_status.is_none()
                    && self.flags.is_upstream_failure() =>
            {
                ResponseClass::Reset
            }
            class => class,
        }
    }

    /// The sample of this request; the table of the module states the rules. `patience`: that of
    /// the guardrail.
    pub fn sample(&self, patience: Option<Duration>) -> HealthSample {
        // The common case.
        let fine = self.flags == ResponseFlags(0) && !self.local && self.body.is_none();
        if fine && matches!(self.code, 200..=399) && self.grpc_status.is_none() {
            return HealthSample::Success;
        }
        let lasts =
            |time: Option<Duration>| patience.zip(time).is_some_and(|(max, time)| time >= max);
        let stalled = self.body.is_some_and(BodyProgress::is_stalled)
            && may_stall(self.code, self.local, self.content);
        if self.code == 101 {
            HealthSample::Success
        } else if self.is_failed_by_version() || self.is_failed_upstream(stalled) {
            HealthSample::Failure
        } else if self.code == 0 {
            match self.waited {
                None => HealthSample::None,
                Some(_) if lasts(self.waited) => HealthSample::Failure,
                Some(_) => HealthSample::Abandoned,
            }
        } else if stalled && lasts(self.lasted) {
            HealthSample::Failure
        } else if self.local || self.is_broken_off() {
            HealthSample::None
        } else if matches!(self.code, 400..=499 | 501)
            || self.grpc_status == Some(GrpcStatus::Neutral)
        {
            HealthSample::Neutral
        } else {
            HealthSample::Success
        }
    }

    /// Whether the version said that it failed.
    pub const fn is_failed_by_version(&self) -> bool {
        let code = self.code >= 500 && self.code != 501;
        self.is_failed_call() || (code && !self.local)
    }

    /// Whether the upstream did not complete the request. A timeout after the response headers is
    /// the client's doing, unless the body is stalled.
    const fn is_failed_upstream(&self, stalled: bool) -> bool {
        self.flags.is_upstream_failure_without_timeout()
            || (self.flags.is_upstream_failure() && (stalled || !self.has_begun()))
    }

    /// Whether the version sent response headers.
    const fn has_begun(&self) -> bool {
        self.code != 0 && !self.local
    }

    /// Whether the stream ended within the body, and not by the upstream.
    const fn is_broken_off(&self) -> bool {
        let timed_out = self.flags.is_upstream_failure();
        let unfinished = match self.body {
            Some(body) => !body.finished,
            None => false,
        };
        self.flags.is_client_disconnect() || timed_out || unfinished
    }

    /// The latency, if it counts: not without a health sample, and not for a WebSocket or an
    /// event stream. For an abandoned request the time until the client left.
    pub fn counted_latency(&self, sample: HealthSample) -> Option<Duration> {
        let streams = self.code == 101 || self.content == ContentKind::EventStream;
        match sample {
            HealthSample::None => None,
            HealthSample::Abandoned => self.waited,
            _ if streams => None,
            _ => self.latency.or(self.waited),
        }
    }
}

#[cfg(test)]
mod tests;

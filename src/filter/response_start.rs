//! What a response has brought so far. Must not depend on what follows from it.

use std::time::Duration;

use super::host::{Exchange, HeaderLines};
use crate::response::{
    ContentKind, FinishedRequest, GrpcStatus, ResponseClass, may_stall, status_code,
};

/// Lowest code with which a filter behind divvy replaces the answer of a version: a redirect to
/// a login, for example. A cache that answers 200 for the version is not recognized, because
/// each success would take a host call.
const LOCAL_FROM: u64 = 300;

/// What a response has brought so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseStart {
    /// The response code; 0 if it could not be read.
    pub code: u64,
    /// Nanoseconds from the end of the request to the response headers.
    pub latency: Option<u64>,
    /// The kind of the response.
    pub content: ContentKind,
    /// The gRPC status that the version sent, in headers or trailers.
    pub grpc_status: Option<GrpcStatus>,
    /// Whether Envoy or a filter behind divvy made the response, as far as it was asked for.
    pub local: bool,
}

impl ResponseStart {
    /// Reads the headers of a response, all in one call, which costs about as much as reading one.
    pub fn read<X: Exchange>(exchange: &X, lines: Option<&X::Lines<'_>>, judged: bool) -> Self {
        let mut start = Self::default();
        let mut grpc_status = None;
        if let Some(lines) = lines {
            let _ = lines.for_each(&mut |name, value| match name {
                b":status" => start.code = status_code(value),
                b"content-type" => start.content = ContentKind::of(value),
                b"grpc-status" => grpc_status = Some(GrpcStatus::of(value)),
                _ => {}
            });
        }
        // Envoy answers gRPC calls with a status of its own. It is never 0.
        let is_said =
            start.is_call() && !matches!(grpc_status, None | Some(Some(GrpcStatus::Success)));
        start.local =
            (is_said && !is_from_upstream(exchange)) || (judged && is_local(start.code, exchange));
        if start.is_call() && !start.local {
            start.grpc_status = grpc_status.flatten();
        }
        start
    }

    /// Whether this is a gRPC response, which is 200 whether or not the call fails.
    pub const fn is_call(&self) -> bool {
        matches!(self.content, ContentKind::Grpc) && self.code == 200
    }

    /// Whether a body that does not go on is a failure.
    pub const fn may_stall(&self) -> bool {
        may_stall(self.code, self.local, self.content)
    }

    /// Whether Envoy may have made this response because it could not reach the version. `judged`:
    /// `local` is known.
    pub const fn may_be_unreached(&self, judged: bool) -> bool {
        (self.code >= 400 && (self.local || !judged)) || (self.is_call() && self.local)
    }

    /// The class, unless the flags of the stream determine it.
    pub const fn class(&self) -> ResponseClass {
        match self.grpc_status {
            Some(GrpcStatus::Failure) => ResponseClass::GrpcError,
            _ => ResponseClass::from_code(self.code),
        }
    }

    /// The same as a finished request, without what only the end shows.
    pub fn finished(&self) -> FinishedRequest {
        FinishedRequest {
            code: self.code,
            content: self.content,
            grpc_status: self.grpc_status,
            local: self.local,
            latency: self.latency.map(Duration::from_nanos),
            ..FinishedRequest::default()
        }
    }
}

/// Whether the version sent the response. If the host does not say, its failures count.
pub fn is_from_upstream(exchange: &impl Exchange) -> bool {
    exchange.is_from_upstream().unwrap_or(true)
}

/// Whether Envoy or a filter behind divvy made a response with this code.
pub fn is_local(code: u64, exchange: &impl Exchange) -> bool {
    code >= LOCAL_FROM && !is_from_upstream(exchange)
}

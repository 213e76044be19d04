//! Values of the ABI: header maps and facts by their numbers, metrics. Must not call Envoy.

use divvy::filter::host::MetricKind;

/// A header map, by the number of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum HeaderMap {
    /// Headers of the request.
    Request = 0,
    /// Headers of the response.
    Response = 2,
    /// Trailers of the response.
    ResponseTrailers = 3,
}

/// A fact about a stream, by the number of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Attribute {
    /// `response.code`, a number.
    ResponseCode = 15,
    /// `response.code_details`, text; since 1.39.
    ResponseCodeDetails = 16,
    /// `response.flags`, a number; since 1.39.
    ResponseFlags = 17,
    /// `source.address`, text.
    SourceAddress = 24,
    /// `connection.id`, a number.
    ConnectionId = 28,
    /// `connection.uri_san_peer_certificate`, text.
    PeerUriSan = 37,
    /// `xds.listener_direction`, a number; since 1.40.
    ListenerDirection = 59,
}

/// A metric of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Metric {
    /// Its kind.
    pub kind: MetricKind,
    /// The number by which Envoy knows it.
    pub id: usize,
    /// The values of its labels.
    pub labels: Box<[Box<str>]>,
}

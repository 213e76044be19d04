//! Response flags by the details of a local reply, for Envoy 1.38, whose ABI does not have the flags.
//! Must not call Envoy.
//!
//! A stream that breaks off after its response headers has no local reply, so its flags stay unknown.

use divvy::response::ResponseFlags;

/// Details, or their beginning, with the flags that Envoy sets together with them.
const BY_DETAILS: [(&[u8], ResponseFlags); 14] = [
    (b"no_healthy_upstream", ResponseFlags::NO_HEALTHY_UPSTREAM),
    (b"cluster_not_found", ResponseFlags::NO_CLUSTER_FOUND),
    (
        b"upstream_response_timeout",
        ResponseFlags::UPSTREAM_REQUEST_TIMEOUT,
    ),
    (b"response_timeout", ResponseFlags::UPSTREAM_REQUEST_TIMEOUT),
    (
        b"upstream_per_try_timeout",
        ResponseFlags::UPSTREAM_REQUEST_TIMEOUT,
    ),
    (
        b"upstream_per_try_idle_timeout",
        ResponseFlags::UPSTREAM_REQUEST_TIMEOUT,
    ),
    (b"upstream_overflow", ResponseFlags::UPSTREAM_OVERFLOW),
    (b"overflow", ResponseFlags::UPSTREAM_OVERFLOW),
    (
        b"retry_limit_exceeded",
        ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED,
    ),
    (
        b"remote_connection_failure",
        ResponseFlags::UPSTREAM_CONNECTION_FAILURE,
    ),
    (
        b"local_connection_failure",
        ResponseFlags::UPSTREAM_CONNECTION_FAILURE,
    ),
    (
        b"connection_timeout",
        ResponseFlags::UPSTREAM_CONNECTION_FAILURE,
    ),
    (
        b"connection_termination",
        ResponseFlags::UPSTREAM_CONNECTION_TERMINATION,
    ),
    (b"remote_reset", ResponseFlags::UPSTREAM_REMOTE_RESET),
];

/// What stands before the reason of a reset.
const RESET: &[u8] = b"upstream_reset_before_response_started{";

/// The flags of a local reply with these details.
pub fn of(details: &[u8]) -> u64 {
    let reason = details.strip_prefix(RESET).unwrap_or(details);
    if reason.starts_with(b"protocol_error") {
        return ResponseFlags::UPSTREAM_PROTOCOL_ERROR.0;
    }
    let mut known = BY_DETAILS.iter();
    let found = known.find(|(begin, _)| reason.starts_with(begin));
    found.map_or(0, |(_, flags)| flags.0)
}

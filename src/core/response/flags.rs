//! Envoy's response flags. Must not depend on other modules.

/// Envoy's `response.flags`: a bit for each reason why a stream ended early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseFlags(pub u64);

impl ResponseFlags {
    /// UH: no healthy host.
    pub const NO_HEALTHY_UPSTREAM: Self = Self(1 << 1);
    /// UT: the timeout of the route or of a try.
    pub const UPSTREAM_REQUEST_TIMEOUT: Self = Self(1 << 2);
    /// UR: the upstream reset the stream.
    pub const UPSTREAM_REMOTE_RESET: Self = Self(1 << 4);
    /// UF: the connection failed.
    pub const UPSTREAM_CONNECTION_FAILURE: Self = Self(1 << 5);
    /// UC: the upstream closed the connection.
    pub const UPSTREAM_CONNECTION_TERMINATION: Self = Self(1 << 6);
    /// UO: the circuit breaker of the cluster.
    pub const UPSTREAM_OVERFLOW: Self = Self(1 << 7);
    /// DC: the client closed the connection.
    pub const DOWNSTREAM_CONNECTION_TERMINATION: Self = Self(1 << 14);
    /// URX: the limit of retries or of connection attempts.
    pub const UPSTREAM_RETRY_LIMIT_EXCEEDED: Self = Self(1 << 15);
    /// UPE: the upstream broke the protocol.
    pub const UPSTREAM_PROTOCOL_ERROR: Self = Self(1 << 23);
    /// NC: no such cluster.
    pub const NO_CLUSTER_FOUND: Self = Self(1 << 24);
    /// DR: the client reset an HTTP/2 stream, which is how gRPC clients cancel.
    pub const DOWNSTREAM_REMOTE_RESET: Self = Self(1 << 28);

    /// The flags of a request that the upstream did not complete: the list for metrics and
    /// guardrails.
    pub const UPSTREAM: [Self; 9] = [
        Self::UPSTREAM_CONNECTION_FAILURE,
        Self::UPSTREAM_CONNECTION_TERMINATION,
        Self::UPSTREAM_REMOTE_RESET,
        Self::NO_HEALTHY_UPSTREAM,
        Self::UPSTREAM_OVERFLOW,
        Self::UPSTREAM_REQUEST_TIMEOUT,
        Self::UPSTREAM_RETRY_LIMIT_EXCEEDED,
        Self::UPSTREAM_PROTOCOL_ERROR,
        Self::NO_CLUSTER_FOUND,
    ];

    /// Whether one of these flags is set.
    const fn has(self, flags: u64) -> bool {
        self.0 & flags != 0
    }

    /// Whether the client ended the stream. Upstream flags are then a consequence.
    pub const fn is_client_disconnect(self) -> bool {
        self.has(Self::DOWNSTREAM_CONNECTION_TERMINATION.0 | Self::DOWNSTREAM_REMOTE_RESET.0)
    }

    /// Whether the upstream failed or reset while the client was connected.
    pub const fn is_upstream_failure(self) -> bool {
        self.has(UPSTREAM) && !self.is_client_disconnect()
    }

    /// Whether the client or a timeout may have ended the stream within the body.
    pub const fn may_break_off(self) -> bool {
        self.is_client_disconnect() || self.has(Self::UPSTREAM_REQUEST_TIMEOUT.0)
    }

    /// Whether Envoy had no host or no cluster to send the request to.
    pub const fn says_no_host(self) -> bool {
        self.has(Self::NO_HEALTHY_UPSTREAM.0 | Self::NO_CLUSTER_FOUND.0)
    }

    /// Whether a connection to the upstream failed.
    pub const fn says_no_connection(self) -> bool {
        self.has(Self::UPSTREAM_CONNECTION_FAILURE.0)
    }

    /// Whether the upstream ended a connection or a stream that there was.
    pub const fn says_connected(self) -> bool {
        self.has(
            Self::UPSTREAM_CONNECTION_TERMINATION.0
                | Self::UPSTREAM_REMOTE_RESET.0
                | Self::UPSTREAM_PROTOCOL_ERROR.0,
        )
    }

    /// Whether the upstream failed or reset, and not by a timeout alone.
    pub const fn is_upstream_failure_without_timeout(self) -> bool {
        let timeout = Self::UPSTREAM_REQUEST_TIMEOUT.0;
        Self(self.0 & !timeout).is_upstream_failure()
    }
}

/// All of [`ResponseFlags::UPSTREAM`].
const UPSTREAM: u64 = {
    let [a, b, c, d, e, f, g, h, i] = ResponseFlags::UPSTREAM;
    a.0 | b.0 | c.0 | d.0 | e.0 | f.0 | g.0 | h.0 | i.0
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_those_of_envoy() {
        let bits = ResponseFlags::UPSTREAM.map(|flag| flag.0.trailing_zeros());
        assert_eq!(bits, [5, 6, 4, 1, 7, 2, 15, 23, 24]);
    }

    #[test]
    fn a_client_that_left_explains_all_other_flags() {
        for flag in ResponseFlags::UPSTREAM {
            assert!(flag.is_upstream_failure(), "{flag:?}");
            for client in [1 << 14, 1 << 28] {
                let both = ResponseFlags(flag.0 | client);
                assert!(both.is_client_disconnect() && !both.is_upstream_failure());
            }
        }
        for other in [
            0,
            1 << 0,
            1 << 3,
            1 << 8,
            1 << 10,
            1 << 11,
            1 << 12,
            1 << 16,
        ] {
            let other = ResponseFlags(other);
            assert!(!other.is_upstream_failure() && !other.is_client_disconnect());
        }
    }
}

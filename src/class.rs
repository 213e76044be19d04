//! How answers turned out.

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

/// The code of a `:status` header, three digits; 0 for what is none.
pub fn code(status: &[u8]) -> u64 {
    let [
        hundreds @ b'0'..=b'9',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
    ] = status
    else {
        return 0;
    };
    let place = |digit: &u8, value: u32| u32::from(digit & 0xf).wrapping_mul(value);
    let code = place(hundreds, 100).wrapping_add(place(tens, 10));
    u64::from(code.wrapping_add(place(ones, 1)))
}

/// Whether a `content-type` says that the response is a stream of events, which ends when
/// its reader has enough.
pub fn is_event_stream(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next();
    kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}

/// Whether Envoy's response flags say that the client went away: DC, or DR where it reset
/// an HTTP/2 stream, which is how gRPC clients cancel. What the upstream did then is a
/// consequence of it.
pub const fn client_is_gone(flags: u64) -> bool {
    const DC: u64 = 0x4000;
    const DR: u64 = 0x1000_0000;
    flags & (DC | DR) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("0200", Class::None),
            ("+20", Class::None),
            ("99999999999999999999999", Class::None),
        ] {
            assert_eq!(Class::of_code(code(status.as_bytes())), class, "{status}");
        }
        assert_eq!(code(b"\xff00"), 0);
        for meant in 0..1_000 {
            assert_eq!(code(format!("{meant:03}").as_bytes()), meant);
        }
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
}

//! The class of a response, a label of `divvy_responses_total`. Must not depend on guardrails.

use super::flags::ResponseFlags;

/// The code in a `:status` header of three digits; 0 for any other value.
pub fn status_code(status: &[u8]) -> u64 {
    let [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9'] = status else {
        return 0;
    };
    let digits = status.iter().map(|digit| u64::from(digit & 0xf));
    digits.fold(0, |code, digit| code.wrapping_mul(10).wrapping_add(digit))
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
    /// A gRPC response with code 200 in which the version sent a failing status.
    GrpcError,
    /// An upstream reset without a response code, or in a gRPC response without a status.
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
    pub const fn from_flags(flags: ResponseFlags) -> Self {
        if flags.is_upstream_failure() {
            Self::Reset
        } else {
            Self::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

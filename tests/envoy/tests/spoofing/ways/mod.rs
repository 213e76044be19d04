//! The ways to forge a line: spelling, host and path, protocol.

mod place;
mod protocol;
mod spelling;

use crate::spoofing::sent::{Expected, Http1, Sent};
use crate::spoofing::what::What;

use Expected::{User, Without};

/// A column: its name, and the requests that forge a header or cookie in this way. The rollout may
/// name a host.
#[derive(Clone, Copy)]
pub struct Way {
    pub name: &'static str,
    pub tries: fn(&What, bool) -> Vec<Try>,
}

/// A request and its expected effect.
pub type Try = (Sent, Expected);

/// The columns.
#[rustfmt::skip]
pub const WAYS: [Way; 12] = [
    Way { name: "letter case", tries: spelling::letter_case },
    Way { name: "duplicates", tries: spelling::duplicates },
    Way { name: "underscores", tries: spelling::underscores },
    Way { name: "folded lines", tries: spelling::folded_lines },
    Way { name: "bytes above ASCII", tries: spelling::bytes_above_ascii },
    Way { name: "hosts", tries: place::hosts },
    Way { name: "encoded paths", tries: place::encoded_paths },
    Way { name: "double slashes", tries: place::double_slashes },
    Way { name: "path parameters", tries: place::path_parameters },
    Way { name: "absolute targets", tries: place::absolute_targets },
    Way { name: "HTTP/2", tries: protocol::http2 },
    Way { name: "trailers", tries: protocol::trailers },
];

fn lines(what: &What, lines: &[Vec<u8>], expected: Expected) -> Try {
    (Sent::Http1(Http1::of(what, lines)), expected)
}

/// With this value instead: another user, or none.
fn value(what: &What, value: impl AsRef<[u8]>) -> Try {
    let line = what.line_of(what.name, &value);
    lines(what, &[line], other(what, value))
}

/// The effect of another value.
fn other(what: &What, value: impl AsRef<[u8]>) -> Expected {
    if what.is_identity {
        User(value.as_ref().to_vec())
    } else {
        Without
    }
}

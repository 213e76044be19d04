//! What a decision may need to know that is not in the request's headers.

use std::fmt::Debug;

/// Tells what is not in the headers. Asked at most once in a request for each thing, and
/// only where a decision depends on it: each answer costs a call to the proxy.
///
/// A trait, so that decisions stay pure: the filter asks the proxy, a test or a tool tells
/// what it likes, and [`Nothing`] knows nothing.
pub trait Outside: Debug {
    /// A property of the stream as the proxy serializes it. The segments of its path are
    /// separated by NUL. `None` where there is none.
    fn property(&self, path: &str) -> Option<Vec<u8>>;

    /// 128 random bits.
    fn random(&self) -> Option<[u8; 16]>;
}

/// Knows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Outside for Nothing {
    fn property(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn random(&self) -> Option<[u8; 16]> {
        None
    }
}

//! What a decision may need to know that is not in the request's headers.

use std::fmt::Debug;
use std::rc::Rc;

use crate::decision::RolloutId;
use crate::guardrail::State;

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

    /// Milliseconds since 1970.
    fn now(&self) -> Option<u64> {
        None
    }

    /// What is known about a rollout whose versions are watched. `None` where nothing has
    /// happened yet.
    fn state(&self, _rollout: RolloutId) -> Option<Rc<State>> {
        None
    }
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

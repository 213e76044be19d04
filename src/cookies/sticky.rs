//! The cookie of a sticky rollout: `1:<epoch>:<version>:<position>`.
//!
//! - `1` is the format;
//! - epoch: hash of salt and revision; cookies of another epoch are ignored;
//! - version: the answer of the strategy, before a rollback by the guardrail. Empty for a visitor
//!   who was not enrolled in an A/B test, which differs from the stable arm of the test;
//! - position: the bucketing position when the cookie was written. It is kept when the identity
//!   changes, for example at sign-in.
//!
//! Clients can forge the cookie and so choose a version.

use super::SetCookie;
use crate::bucket::{Key, Position};
use crate::decision::VersionId;
use crate::request::Request;

/// The first part of the value: the format.
const LAYOUT: &[u8] = b"1";

/// The sticky cookie of a rollout.
#[derive(Clone, Debug)]
pub struct Sticky {
    /// The cookie.
    pub set: SetCookie,
    /// Hash of salt and revision.
    epoch: Box<str>,
}

/// The content of a sticky cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The answer of the strategy; `None`: not enrolled.
    pub version: Option<VersionId>,
    /// The bucketing position.
    pub position: Position,
}

impl Sticky {
    /// The sticky cookie of a rollout with this salt and revision.
    pub fn new(set: SetCookie, salt: &str, revision: &str) -> Self {
        // The upper half of the 64-bit hash.
        let hash = Key::epoch(salt).hash(revision.as_bytes()) >> 32;
        Self {
            set,
            epoch: format!("{hash:08x}").into(),
        }
    }

    /// The contents of the request's cookies of this name that are valid, in their order. A
    /// cookie is not valid if it was written for another revision or salt, names none of
    /// `versions`, or is malformed. There are several after a change of `domain` or `path`, or if
    /// another host of the domain set one.
    pub fn recall<'v>(
        &self,
        request: &Request<'_>,
        versions: impl Iterator<Item = &'v str> + Clone,
    ) -> impl Iterator<Item = Memory> {
        let cookies = request.cookies(self.set.id);
        cookies.filter_map(move |cookie| self.read(cookie, versions.clone()))
    }

    fn read<'v>(&self, cookie: &[u8], versions: impl Iterator<Item = &'v str>) -> Option<Memory> {
        let mut parts = cookie.split(|byte| *byte == b':');
        let [layout, epoch, version, position] = [(); 4].map(|()| parts.next());
        if parts.next().is_some() || layout? != LAYOUT || epoch? != self.epoch.as_bytes() {
            return None;
        }
        let version = match version? {
            b"" => None,
            name => {
                let mut numbered = (0..).map(VersionId).zip(versions);
                let found = numbered.find(|(_, version)| version.as_bytes() == name);
                Some(found?.0)
            }
        };
        Some(Memory {
            version,
            position: Position::read(position?)?,
        })
    }

    /// The value of a `set-cookie` header with this version and position. `version` is empty for
    /// a visitor who was not enrolled.
    pub fn line(&self, version: &str, position: Position) -> String {
        let position = position.get().to_string();
        self.set
            .line(&["1", &self.epoch, version, &position].join(":"))
    }
}

//! What a sticky rollout remembers in its cookie: `1:<epoch>:<version>:<position>`.
//!
//! - `1` is the layout;
//! - the epoch tells apart salts and revisions: with a new one everybody is dealt anew;
//! - the version is what the strategy said, before the guardrail took anything back. It is
//!   empty for who was not let into an A/B test: that is not the same as to be in it with
//!   stable as one's arm;
//! - the position is where the user lay on the rollout's line when it was written, so that
//!   somebody who signs in, and has another identity then, stays there.
//!
//! A cookie is what a client says it is: whoever writes one chooses a version.

use super::SetCookie;
use crate::bucket::{Key, Position};
use crate::decision::VersionId;
use crate::request::Request;

/// The first part of a cookie.
const LAYOUT: &[u8] = b"1";

/// How a rollout remembers.
#[derive(Clone, Debug)]
pub struct Sticky {
    /// In which cookie.
    pub set: SetCookie,
    /// Tells salts and revisions apart.
    epoch: Box<str>,
}

/// What a cookie remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What the strategy said; `None` for who was not let in.
    pub version: Option<VersionId>,
    /// Where the user lies on the rollout's line.
    pub position: Position,
}

impl Sticky {
    /// How a rollout with this salt and revision remembers.
    pub fn new(set: SetCookie, salt: &str, revision: &str) -> Self {
        // The upper half of the 64 bits that count.
        let hash = Key::epoch(salt).hash(revision.as_bytes()) >> 32;
        Self {
            set,
            epoch: format!("{hash:08x}").into(),
        }
    }

    /// What the request's cookie remembers. `None` if there are several of that name, or if it
    /// was written for another revision or salt, names none of `versions`, or is malformed.
    pub fn recall<'v>(
        &self,
        request: &Request<'_>,
        versions: impl IntoIterator<Item = &'v str>,
    ) -> Option<Memory> {
        let cookie = request.only_cookie(self.set.id)?;
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

    /// The value of the `set-cookie` header that makes a client remember this version, which
    /// is empty for a visitor that was not enrolled, and position.
    pub fn line(&self, version: &str, position: Position) -> String {
        let position = position.get().to_string();
        self.set
            .line(&["1", &self.epoch, version, &position].join(":"))
    }
}

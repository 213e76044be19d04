//! The cookie of a sticky rollout: `1:<epoch>:<version>:<position>`.
//!
//! - `1` is the format;
//! - epoch: hash of salt and revision; cookies of another epoch are ignored;
//! - version: the answer of the strategy, before a rollback by the guardrail. Empty for a visitor
//!   who was not enrolled in an A/B test, which differs from the stable arm of the test;
//! - position: the bucketing position when the cookie was written. It is kept when the identity
//!   changes, for example at sign-in.
//!
//! Clients can forge the cookie and so choose a version, unless it is signed: `signed.rs` has that format.

use super::SetCookie;
use super::signed::{self, SignedContent, SignedSticky};
use crate::bucket::{Key, Position};
use crate::decision::VersionId;
use crate::request::Request;
use crate::signature::{SignatureVerdict, number};

/// The first part of the value: the format.
const LAYOUT: &[u8] = b"1";

/// The sticky cookie of a rollout.
#[derive(Clone, Debug)]
pub struct Sticky {
    /// The cookie.
    pub set: SetCookie,
    /// Hash of salt and revision.
    epoch: Box<str>,
    /// How it is signed; `None`: it is not.
    signed: Option<Box<SignedSticky>>,
}

/// The content of a sticky cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The answer of the strategy; `None`: not enrolled.
    pub version: Option<VersionId>,
    /// The bucketing position.
    pub position: Position,
    /// The minute in which a signed cookie was written; `None`: now.
    pub minute: Option<u64>,
}

/// What a cookie of a request remembers.
#[derive(Clone, Copy, Debug)]
pub struct RecalledMemory {
    /// Its content.
    pub memory: Memory,
    /// Whether the cookie is what would be written now. Otherwise it is written again: it has no
    /// signature, or that of an older key.
    pub is_current: bool,
}

impl Sticky {
    /// The sticky cookie of a rollout with this salt and revision.
    pub fn new(
        set: SetCookie,
        salt: &str,
        revision: &str,
        signed: Option<Box<SignedSticky>>,
    ) -> Self {
        // The upper half of the 64-bit hash.
        let hash = Key::epoch(salt).hash(revision.as_bytes()) >> 32;
        Self {
            set,
            epoch: format!("{hash:08x}").into(),
            signed,
        }
    }

    /// Whether the cookie is signed.
    pub const fn is_signed(&self) -> bool {
        self.signed.is_some()
    }

    /// The contents of the request's cookies of this name that are valid, in their order. A
    /// cookie is not valid if it was written for another revision or salt, names none of
    /// `versions`, or is malformed. There are several after a change of `domain` or `path`, or if
    /// another host of the domain set one.
    pub fn recall<'v>(
        &self,
        request: &Request<'_>,
        versions: impl Iterator<Item = &'v str> + Clone,
    ) -> impl Iterator<Item = RecalledMemory> {
        let cookies = request.cookies(self.set.id);
        cookies.filter_map(move |cookie| self.read(cookie, request, versions.clone()))
    }

    fn read<'v>(
        &self,
        cookie: &[u8],
        request: &Request<'_>,
        versions: impl Iterator<Item = &'v str>,
    ) -> Option<RecalledMemory> {
        let mut parts = cookie.split(|byte| *byte == b':');
        let layout = parts.next()?;
        if let Some(signed) = &self.signed {
            if layout == signed::LAYOUT {
                return self.read_signed(signed, parts, request, versions);
            }
            if !signed.accepts_unsigned(request) {
                return None;
            }
        }
        let [epoch, version, position] = [(); 3].map(|()| parts.next());
        if parts.next().is_some() || layout != LAYOUT || epoch? != self.epoch.as_bytes() {
            return None;
        }
        Some(RecalledMemory {
            memory: memory(version?, position?, None, versions)?,
            is_current: self.signed.is_none(),
        })
    }

    #[inline(never)]
    fn read_signed<'c, 'v>(
        &self,
        signed: &SignedSticky,
        mut parts: impl Iterator<Item = &'c [u8]>,
        request: &Request<'_>,
        versions: impl Iterator<Item = &'v str>,
    ) -> Option<RecalledMemory> {
        let mut next = || parts.next();
        let (key, epoch, version) = (next()?, next()?, next()?);
        let (position, minute, signature) = (next()?, next()?, next()?);
        if next().is_some() || epoch != self.epoch.as_bytes() {
            return None;
        }
        let content = SignedContent {
            epoch,
            version,
            position,
            minute,
        };
        let minute = number::read(minute)?;
        let memory = memory(version, position, Some(minute), versions)?;
        if signed.is_expired(minute, request) {
            return None;
        }
        let verdict = signed.verify(&content, (key, signature), request);
        let is_current = match verdict {
            SignatureVerdict::Current => true,
            SignatureVerdict::Older => false,
            SignatureVerdict::Bad | SignatureVerdict::UnknownKey => return None,
        };
        Some(RecalledMemory { memory, is_current })
    }

    /// The value of a `set-cookie` header with this version and position. `version` is empty for
    /// a visitor who was not enrolled. `minted`: the identity that was minted for the request. `None`
    /// if a signature is needed and there is no clock or no key.
    pub fn line(
        &self,
        version: &str,
        memory: &Memory,
        request: &Request<'_>,
        minted: Option<&[u8]>,
    ) -> Option<String> {
        let position = memory.position.get().to_string();
        let Some(signed) = &self.signed else {
            let value = ["1", &self.epoch, version, &position].join(":");
            return Some(self.set.line(&value));
        };
        let minute = match memory.minute {
            Some(minute) => minute,
            None => signed::minute(request.now()?),
        };
        let minute = signed::written(minute);
        let content = SignedContent {
            epoch: self.epoch.as_bytes(),
            version: version.as_bytes(),
            position: position.as_bytes(),
            minute: minute.as_bytes(),
        };
        let identity = minted.or_else(|| signed.carried(request));
        let value = signed.value(&content, identity.unwrap_or_default())?;
        Some(self.set.line(&String::from_utf8(value).ok()?))
    }
}

fn memory<'v>(
    version: &[u8],
    position: &[u8],
    minute: Option<u64>,
    versions: impl Iterator<Item = &'v str>,
) -> Option<Memory> {
    let version = match version {
        b"" => None,
        name => {
            let mut numbered = (0..).map(VersionId).zip(versions);
            let found = numbered.find(|(_, version)| version.as_bytes() == name);
            Some(found?.0)
        }
    };
    Some(Memory {
        version,
        position: Position::read(position)?,
        minute,
    })
}

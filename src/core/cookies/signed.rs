//! Sticky cookies with a signature:
//! `2:<key>:<epoch>:<version>:<position>:<minute>:<signature>`.
//!
//! The minute in which the cookie was written counts in base 36 since 1970. The signature is also over
//! the name of the rollout and the minted identity, if the client has one. Must not depend on cookies
//! without a signature.

use std::sync::Arc;

use crate::identity::MintedIdentities;
use crate::request::Request;
use crate::signature::{KeyPurpose, PurposeKeys, SignatureVerdict, number};

/// The first part of the value: the format.
pub(super) const LAYOUT: &[u8] = b"2";
const MINUTE: u64 = 60;
const MILLIS: u64 = 1_000;

/// How the cookies of a sticky rollout are signed.
#[derive(Clone, Debug)]
pub struct SignedSticky {
    /// The keys.
    pub keys: Arc<PurposeKeys>,
    /// The name of the rollout.
    pub rollout: Box<str>,
    /// Maximum age in seconds.
    pub max_age: Option<u64>,
    /// Until when cookies without a signature count, in milliseconds since 1970.
    pub accept_unsigned_until: Option<u64>,
    /// The cookie of minted identities.
    pub minted: Option<MintedIdentities>,
}

/// What a cookie says, as text.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignedContent<'c> {
    pub epoch: &'c [u8],
    pub version: &'c [u8],
    pub position: &'c [u8],
    pub minute: &'c [u8],
}

impl SignedSticky {
    /// Whether cookies without a signature still count.
    pub(super) fn accepts_unsigned(&self, request: &Request<'_>) -> bool {
        let until = self.accept_unsigned_until;
        until.is_some_and(|until| request.now().is_some_and(|now| now < until))
    }

    /// Whether a cookie of this minute is too old. Without a clock it is.
    pub(super) fn is_expired(&self, minute: u64, request: &Request<'_>) -> bool {
        let Some(max_age) = self.max_age else {
            return false;
        };
        // It may have been written in the last second of its minute.
        let written = minute.saturating_add(1).saturating_mul(MINUTE);
        let end = written.saturating_add(max_age).saturating_mul(MILLIS);
        let expired = request.now().is_none_or(|now| now >= end);
        if expired {
            request.note_expired(KeyPurpose::Sticky);
        }
        expired
    }

    /// Whether the signature is valid, and its key the one that signs now.
    pub(super) fn verify(
        &self,
        content: &SignedContent<'_>,
        (key, signature): (&[u8], &[u8]),
        request: &Request<'_>,
    ) -> SignatureVerdict {
        let verify = |identity: &[u8]| {
            let fields = &self.fields(content, identity);
            request.verify(KeyPurpose::Sticky, &self.keys, key, fields, signature)
        };
        let identity = self.carried(request).unwrap_or_default();
        let verdict = verify(identity);
        // It may be from the time before the client had one, with an identity of another source.
        if verdict == SignatureVerdict::Bad && !identity.is_empty() {
            return verify(b"");
        }
        verdict
    }

    /// The value of a cookie; `identity`: the minted identity. `None` without keys.
    pub(super) fn value(&self, content: &SignedContent<'_>, identity: &[u8]) -> Option<Vec<u8>> {
        let signature = self.keys.sign(&self.fields(content, identity))?;
        let key = self.keys.signing_id()?.as_bytes();
        let SignedContent {
            epoch,
            version,
            position,
            minute,
        } = content;
        let parts = [
            LAYOUT,
            key,
            epoch,
            version,
            position,
            minute,
            signature.as_bytes(),
        ];
        Some(parts.join(&b':'))
    }

    /// The minted identity that a request carries.
    pub(super) fn carried<'a>(&self, request: &Request<'a>) -> Option<&'a [u8]> {
        let carried = self.minted.as_ref()?.carried(request)?;
        Some(carried.bytes)
    }

    fn fields<'f>(&'f self, content: &SignedContent<'f>, identity: &'f [u8]) -> [&'f [u8]; 7] {
        let SignedContent {
            epoch,
            version,
            position,
            minute,
        } = *content;
        let rollout = self.rollout.as_bytes();
        [LAYOUT, rollout, epoch, version, position, minute, identity]
    }
}

/// The minute of a time in milliseconds since 1970.
pub(super) const fn minute(now: u64) -> u64 {
    now / MILLIS / MINUTE
}

/// A minute as text.
pub(super) fn written(minute: u64) -> String {
    let mut text = String::new();
    number::write(minute, &mut text);
    text
}

//! Overrides: signed tokens by which a tester gets a version of a rollout, and their removal from a
//! request.
//!
//! A token is `1:<key>:<rollout>:<version>:<identity>:<host>:<from>:<to>:<random>:<signature>`, several
//! of them are separated by `~`. Identity: `*` for everyone, or in base64url. Host: `*` for every host.
//! From and to: seconds since 1970 in base 36. Must not depend on policies or decisions.

mod removal;
mod token;

use std::sync::Arc;

pub use token::{MAX_HOST, OverrideClaims, OverrideToken, SEPARATOR};

use crate::identity::Visitor;
use crate::request::{CookieId, HeaderId, QueryId, Request};
use crate::signature::{KeyPurpose, MAX_VERIFIED, PurposeKeys, SignatureVerdict};

/// Maximum time for which an override is valid, in seconds.
pub const MAX_SECONDS: u64 = 24 * 60 * 60;
/// Difference between the clocks of two machines that does not matter, in seconds.
const SKEW: u64 = 60;
const MILLIS: u64 = 1_000;

/// Where overrides are read, and which of them count.
#[derive(Clone, Debug)]
pub struct Overrides {
    /// The header, with its name.
    pub header: Option<(HeaderId, Box<str>)>,
    /// The cookie, with its name.
    pub cookie: Option<(CookieId, Box<str>)>,
    /// The query parameter, with its key.
    pub query: Option<(QueryId, Box<str>)>,
    /// Those that began before are revoked; in milliseconds since 1970.
    pub after: Option<u64>,
    /// The keys.
    pub keys: Arc<PurposeKeys>,
}

/// Why an override does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideRefusal {
    /// It has ended.
    Ended,
    /// It has not begun, or is valid for more than a day.
    NotYet,
    /// It began before `overridesAfter`.
    Revoked,
    /// It is for another host.
    OtherHost,
    /// It is for another identity.
    OtherIdentity,
    /// No key has its id.
    UnknownKey,
    /// Its signature is wrong, or it is beyond the maximum of signatures.
    Bad,
}

impl OverrideRefusal {
    /// The refusal in words, as the end of a sentence about the token.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ended => "has ended",
            Self::NotYet => "has not begun",
            Self::Revoked => "began before overridesAfter",
            Self::OtherHost => "is for another host",
            Self::OtherIdentity => "is for another identity",
            Self::UnknownKey => "has a key id that is not in DIVVY_KEYS",
            Self::Bad => "has a wrong signature",
        }
    }
}

impl Overrides {
    /// The tokens of a request, wherever they are, among the first [`MAX_VERIFIED`] texts.
    #[inline(never)]
    pub fn read<'a>(&self, request: &'a Request<'_>) -> Vec<OverrideToken<'a>> {
        let mut values: Vec<&'a [u8]> = Vec::new();
        if let Some((id, _)) = &self.header {
            request.lines(*id).for_each(|value| values.push(value));
        }
        if let Some((id, _)) = &self.cookie {
            request.cookies(*id).for_each(|value| values.push(value));
        }
        if let Some((id, _)) = &self.query {
            values.extend(request.query_value(*id));
        }
        let texts = values.iter();
        let texts = texts.flat_map(|value| value.split(|byte| *byte == SEPARATOR));
        let texts = texts.take(usize::from(MAX_VERIFIED));
        texts
            .filter_map(|text| OverrideToken::read(text.trim_ascii()))
            .collect()
    }

    /// Whether a token counts for this request.
    ///
    /// # Errors
    /// The reason why it does not.
    pub fn check(
        &self,
        token: &OverrideToken<'_>,
        request: &Request<'_>,
        visitor: &Visitor<'_, '_>,
    ) -> Result<(), OverrideRefusal> {
        let now = request.now();
        if let Err(refusal) = self.check_time(token, now) {
            request.note_expired(KeyPurpose::Override);
            return Err(refusal);
        }
        if !token.is_for_host(request.host()) {
            return Err(OverrideRefusal::OtherHost);
        }
        if !token.is_for(|| visitor.carried_identity()) {
            return Err(OverrideRefusal::OtherIdentity);
        }
        let fields = &token.signed_fields();
        match request.verify(
            KeyPurpose::Override,
            &self.keys,
            token.key,
            fields,
            token.signature,
        ) {
            SignatureVerdict::Current | SignatureVerdict::Older => Ok(()),
            SignatureVerdict::UnknownKey => Err(OverrideRefusal::UnknownKey),
            SignatureVerdict::Bad => Err(OverrideRefusal::Bad),
        }
    }

    /// Whether a token counts at this time, in milliseconds since 1970. Without a clock none does.
    ///
    /// # Errors
    /// The reason why it does not.
    pub fn check_time(
        &self,
        token: &OverrideToken<'_>,
        now: Option<u64>,
    ) -> Result<(), OverrideRefusal> {
        let now = now.ok_or(OverrideRefusal::NotYet)?;
        let seconds = now / MILLIS;
        if seconds >= token.to {
            return Err(OverrideRefusal::Ended);
        }
        let lasts = token.to.saturating_sub(token.from);
        if token.from > seconds.saturating_add(SKEW) || lasts > MAX_SECONDS {
            return Err(OverrideRefusal::NotYet);
        }
        let begin = token.from.saturating_mul(MILLIS);
        if self.after.is_some_and(|after| begin < after) {
            return Err(OverrideRefusal::Revoked);
        }
        Ok(())
    }
}

//! Signatures in a request: how many are verified, what is counted, and the minted identity that it
//! carries.

use super::Request;
use crate::signature::{KeyPurpose, MAX_VERIFIED, PurposeKeys, SignatureResult, SignatureVerdict};

/// The identity in the cookie of minted identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarriedIdentity<'a> {
    /// The identity.
    pub bytes: &'a [u8],
    /// Whether the cookie is what would be written now. Otherwise it is written again.
    pub is_current: bool,
}

impl<'a> Request<'a> {
    /// Checks a signature whose layout, epoch and age are right, and counts the result. Beyond
    /// [`MAX_VERIFIED`] none is valid.
    pub fn verify(
        &self,
        purpose: KeyPurpose,
        keys: &PurposeKeys,
        id: &[u8],
        fields: &[&[u8]],
        signature: &[u8],
    ) -> SignatureVerdict {
        if !keys.has(id) {
            self.count_unverified(purpose, SignatureResult::UnknownKey);
            return SignatureVerdict::UnknownKey;
        }
        let verified = &self.more().verified;
        if verified.get() >= MAX_VERIFIED {
            return SignatureVerdict::Bad;
        }
        verified.set(verified.get().saturating_add(1));
        let verdict = keys.verify(id, fields, signature);
        let result = match verdict {
            SignatureVerdict::Current | SignatureVerdict::Older => SignatureResult::Ok,
            SignatureVerdict::Bad | SignatureVerdict::UnknownKey => SignatureResult::Bad,
        };
        self.environment().count_signature(purpose, result);
        verdict
    }

    /// Counts a signature that was not verified because of its age.
    pub fn note_expired(&self, purpose: KeyPurpose) {
        self.count_unverified(purpose, SignatureResult::Expired);
    }

    /// A client may send hundreds: the first are enough.
    fn count_unverified(&self, purpose: KeyPurpose, result: SignatureResult) {
        let unverified = &self.more().unverified;
        if unverified.get() < MAX_VERIFIED {
            unverified.set(unverified.get().saturating_add(1));
            self.environment().count_signature(purpose, result);
        }
    }

    /// The minted identity that the request carries, which `read` finds the first time.
    pub fn carried_identity(
        &self,
        read: impl FnOnce() -> Option<CarriedIdentity<'a>>,
    ) -> Option<CarriedIdentity<'a>> {
        *self.more().minted.get_or_init(read)
    }

    /// The minted identity that the request carries, if a decision looked for it.
    pub fn known_identity(&self) -> Option<CarriedIdentity<'a>> {
        *self.more.get().and_then(|more| more.minted.get())?
    }
}

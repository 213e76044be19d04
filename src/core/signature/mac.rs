//! The keys of one purpose: signs lists of fields and checks signatures. Must not depend on where the
//! keys come from.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Length of a signature in bytes.
const SIGNATURE: usize = 16;
/// Length of a signature in characters.
const TEXT: usize = 22;

/// HMAC whose key has been hashed already.
pub(super) type KeyedState = Hmac<Sha256>;

/// The keys of one purpose. The first one signs, all verify. Without keys, as in tools that check
/// configurations, nothing is signed or valid.
#[derive(Clone, Default)]
pub struct PurposeKeys(Vec<(Box<str>, KeyedState)>);

/// Whether a signature is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureVerdict {
    /// It is, and its key is the one that signs now.
    Current,
    /// It is, by a key that only verifies.
    Older,
    /// It is not.
    Bad,
    /// No key has this id.
    UnknownKey,
}

/// Without any byte of a key.
impl fmt::Debug for PurposeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PurposeKeys")
    }
}

/// An HMAC with this key; `None` never, because every length is allowed.
#[inline(never)]
pub(super) fn keyed(key: &[u8]) -> Option<KeyedState> {
    KeyedState::new_from_slice(key).ok()
}

/// Not inlined, as [`finalized`]: each copy of SHA-256's last step has kilobytes.
#[inline(never)]
pub(super) fn add(hmac: &mut KeyedState, bytes: &[u8]) {
    hmac.update(bytes);
}

#[inline(never)]
pub(super) fn finalized(hmac: KeyedState) -> [u8; 32] {
    hmac.finalize().into_bytes().into()
}

impl PurposeKeys {
    pub(super) const fn new(keys: Vec<(Box<str>, KeyedState)>) -> Self {
        Self(keys)
    }

    /// The id of the key that signs; `None` without keys.
    pub fn signing_id(&self) -> Option<&str> {
        self.0.first().map(|(id, _)| &**id)
    }

    /// The signature of these fields by the first key; `None` without keys.
    pub fn sign(&self, fields: &[&[u8]]) -> Option<String> {
        let (_, state) = self.0.first()?;
        let digest = finalized(hashed(state, fields));
        let mut text = [0; TEXT];
        let text = Base64UrlUnpadded::encode(digest.get(..SIGNATURE)?, &mut text).ok()?;
        Some(text.to_owned())
    }

    /// The first 64 bits of the HMAC of these bytes by the first key; `None` without keys.
    #[inline(never)]
    pub fn hash(&self, bytes: &[u8]) -> Option<u64> {
        let (_, state) = self.0.first()?;
        let mut hmac = state.clone();
        add(&mut hmac, bytes);
        let digest = finalized(hmac);
        Some(u64::from_be_bytes(*digest.first_chunk()?))
    }

    /// Whether `signature` is that of these fields by the key with this id. The comparison takes the
    /// same time wherever the first wrong byte is.
    pub fn verify(&self, id: &[u8], fields: &[&[u8]], signature: &[u8]) -> SignatureVerdict {
        let mut keys = self.0.iter().enumerate();
        let Some((place, (_, state))) = keys.find(|(_, (known, _))| known.as_bytes() == id) else {
            return SignatureVerdict::UnknownKey;
        };
        let mut bytes = [0; SIGNATURE];
        let is_whole =
            signature.len() == TEXT && Base64UrlUnpadded::decode(signature, &mut bytes).is_ok();
        let is_valid = is_whole && hashed(state, fields).verify_truncated_left(&bytes).is_ok();
        match (is_valid, place) {
            (false, _) => SignatureVerdict::Bad,
            (true, 0) => SignatureVerdict::Current,
            (true, _) => SignatureVerdict::Older,
        }
    }

    /// Whether a key has this id.
    pub fn has(&self, id: &[u8]) -> bool {
        self.0.iter().any(|(known, _)| known.as_bytes() == id)
    }
}

/// Each field behind its length, so that no other list of fields has the same bytes.
fn hashed(state: &KeyedState, fields: &[&[u8]]) -> KeyedState {
    let mut hmac = state.clone();
    for field in fields {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        add(&mut hmac, &length.to_be_bytes()[2..]);
        add(&mut hmac, field);
    }
    hmac
}

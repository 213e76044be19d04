//! Minted identities that a request carries: `<uuid>.<key>.<signature>` where they are signed. The uuid
//! alone is the identity.
//!
//! Must not depend on policies.

use std::sync::Arc;

use super::MAX_BYTES;
use crate::request::{CarriedIdentity, CookieId, Request};
use crate::signature::{KeyPurpose, PurposeKeys, SignatureVerdict};

/// Length of a signature in characters.
const SIGNATURE: usize = 22;
const SEPARATOR: u8 = b'.';

/// The cookie of minted identities.
#[derive(Clone, Debug)]
pub struct MintedIdentities {
    /// Its number.
    pub cookie: CookieId,
    /// How they are signed; `None`: they are not.
    pub signed: Option<SignedIdentities>,
}

/// How minted identities are signed.
#[derive(Clone, Debug)]
pub struct SignedIdentities {
    /// The keys.
    pub keys: Arc<PurposeKeys>,
    /// Until when identities without a signature count, in milliseconds since 1970.
    pub accept_unsigned_until: Option<u64>,
}

impl MintedIdentities {
    /// The identity in the first valid cookie of a request.
    pub fn carried<'a>(&self, request: &Request<'a>) -> Option<CarriedIdentity<'a>> {
        request.carried_identity(|| {
            let mut cookies = request.cookies(self.cookie);
            let Some(signed) = &self.signed else {
                let bytes = cookies.next()?.trim_ascii();
                return (bytes.len() <= MAX_BYTES).then_some(CarriedIdentity {
                    bytes,
                    is_current: true,
                });
            };
            cookies.find_map(|cookie| signed.read(cookie.trim_ascii(), request))
        })
    }

    /// The value of the cookie with this identity; `None` if it cannot be signed.
    pub fn value(&self, identity: &str) -> Option<String> {
        let Some(SignedIdentities { keys, .. }) = &self.signed else {
            return Some(identity.to_owned());
        };
        let signature = keys.sign(&[identity.as_bytes()])?;
        Some([identity, keys.signing_id()?, &signature].join("."))
    }
}

impl SignedIdentities {
    fn read<'a>(&self, cookie: &'a [u8], request: &Request<'a>) -> Option<CarriedIdentity<'a>> {
        let mut parts = cookie.rsplitn(3, |byte| *byte == SEPARATOR);
        if let [Some(signature), Some(key), Some(bytes)] = [(); 3].map(|()| parts.next())
            && signature.len() == SIGNATURE
            && bytes.len() <= MAX_BYTES
        {
            let verdict = request.verify(KeyPurpose::Mint, &self.keys, key, &[bytes], signature);
            let is_current = match verdict {
                SignatureVerdict::Current => true,
                SignatureVerdict::Older => false,
                SignatureVerdict::Bad | SignatureVerdict::UnknownKey => return None,
            };
            return Some(CarriedIdentity { bytes, is_current });
        }
        let until = self.accept_unsigned_until?;
        let accepts = cookie.len() <= MAX_BYTES && request.now()? < until;
        accepts.then_some(CarriedIdentity {
            bytes: cookie,
            is_current: false,
        })
    }
}

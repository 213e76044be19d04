//! The text of an override. Must not depend on requests.

use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::signature::{PurposeKeys, number};

/// Between two tokens in one value.
pub const SEPARATOR: u8 = b'~';
const LAYOUT: &[u8] = b"1";
const ANY: &[u8] = b"*";
/// Maximum length of an identity in base64url.
const MAX_IDENTITY: usize = 344;
/// Maximum length of a host.
pub const MAX_HOST: usize = 253;
/// Maximum length of a token with the longest names, identity and host: reading and verifying it is work.
const MAX_TOKEN: usize = 800;

/// A token whose layout is right; the signature may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverrideToken<'a> {
    /// The id of the key.
    pub key: &'a [u8],
    /// The name of the rollout.
    pub rollout: &'a [u8],
    /// The name of the version.
    pub version: &'a [u8],
    /// The identity: `*` or base64url.
    identity: &'a [u8],
    /// The host, or `*`.
    pub host: &'a [u8],
    /// When it begins, in seconds since 1970.
    pub from: u64,
    /// When it ends, in seconds since 1970.
    pub to: u64,
    /// Times and random bytes as they are written.
    texts: [&'a [u8]; 3],
    /// The signature.
    pub signature: &'a [u8],
}

impl<'a> OverrideToken<'a> {
    /// Reads a token.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        let mut parts = text.split(|byte| *byte == b':');
        let mut next = || parts.next();
        if next()? != LAYOUT {
            return None;
        }
        let (key, rollout, version) = (next()?, next()?, next()?);
        let (identity, host) = (next()?, next()?);
        let (from, to, random) = (next()?, next()?, next()?);
        let signature = next()?;
        if parts.next().is_some() || identity.len() > MAX_IDENTITY {
            return None;
        }
        Some(Self {
            key,
            rollout,
            version,
            identity,
            host,
            from: number::read(from)?,
            to: number::read(to)?,
            texts: [from, to, random],
            signature,
        })
    }

    /// What the signature is made from.
    pub fn signed_fields(&self) -> [&'a [u8]; 8] {
        let [from, to, random] = self.texts;
        let (identity, host) = (self.identity, self.host);
        [
            LAYOUT,
            self.rollout,
            self.version,
            identity,
            host,
            from,
            to,
            random,
        ]
    }

    /// Whether it is for this host.
    pub fn is_for_host(&self, host: Option<&[u8]>) -> bool {
        self.host == ANY || host == Some(self.host)
    }

    /// Whether it is for this identity, which is asked for only if that matters.
    pub fn is_for<'i>(&self, identity: impl FnOnce() -> Option<&'i [u8]>) -> bool {
        self.identity == ANY
            || identity().is_some_and(|identity| {
                let mut buffer = [0; MAX_IDENTITY];
                let encoded = Base64UrlUnpadded::encode(identity, &mut buffer);
                encoded.is_ok_and(|encoded| encoded.as_bytes() == self.identity)
            })
    }

    /// The identity that it is for: `None` for everyone or if it is malformed.
    pub fn identity(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; MAX_IDENTITY];
        let bytes = Base64UrlUnpadded::decode(self.identity, &mut buffer).ok()?;
        (self.identity != ANY).then(|| bytes.to_vec())
    }

    /// Whether it is for every identity.
    pub fn is_for_everyone(&self) -> bool {
        self.identity == ANY
    }
}

/// What a new override says. Names and host must be valid.
#[derive(Clone, Copy, Debug)]
pub struct OverrideClaims<'c> {
    /// The name of the rollout.
    pub rollout: &'c str,
    /// The name of the version.
    pub version: &'c str,
    /// Whom it is for; `None`: everyone.
    pub identity: Option<&'c [u8]>,
    /// The host that it is for, normalized; `None`: every host.
    pub host: Option<&'c str>,
    /// When it begins, in seconds since 1970.
    pub from: u64,
    /// When it ends, in seconds since 1970.
    pub to: u64,
    /// Random bytes, so that no two are the same.
    pub random: [u8; 8],
}

impl OverrideClaims<'_> {
    /// The signed token; `None` without keys, or if the identity or host is too long.
    pub fn sign(&self, keys: &PurposeKeys) -> Option<String> {
        let mut text = String::from("1:");
        text.push_str(keys.signing_id()?);
        let mut buffer = [0; MAX_IDENTITY];
        let identity = match self.identity {
            Some(identity) => Base64UrlUnpadded::encode(identity, &mut buffer).ok()?,
            None => "*",
        };
        for part in [
            self.rollout,
            self.version,
            identity,
            self.host.unwrap_or("*"),
        ] {
            text.push(':');
            text.push_str(part);
        }
        for time in [self.from, self.to] {
            text.push(':');
            number::write(time, &mut text);
        }
        let mut buffer = [0; 11];
        text.push(':');
        text.push_str(Base64UrlUnpadded::encode(&self.random, &mut buffer).ok()?);
        let unsigned = [text.as_bytes(), b":"].concat();
        let signature = keys.sign(&OverrideToken::read(&unsigned)?.signed_fields())?;
        text.push(':');
        text.push_str(&signature);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{KeyPurpose, KeyRing};

    #[test]
    fn a_token_with_the_longest_parts_is_read_and_a_longer_one_is_not() {
        let key = format!("12345678:{}", "A".repeat(43));
        let KeyRing::Known(keys) = KeyRing::read(Some(key.as_bytes())) else {
            panic!("{key}");
        };
        let keys = keys.of(KeyPurpose::Override);
        let (name, host) = ("n".repeat(64), "h".repeat(MAX_HOST));
        let signed = |identity: &[u8], host: &str| {
            let claims = OverrideClaims {
                rollout: &name,
                version: &name,
                identity: Some(identity),
                host: Some(host),
                from: 78_364_164_094,
                to: 78_364_164_095,
                random: [255; 8],
            };
            claims.sign(&keys)
        };
        let token = signed(&[255; 256], &host).unwrap();
        assert!(token.len() <= MAX_TOKEN, "{}", token.len());
        let read = OverrideToken::read(token.as_bytes()).unwrap();
        assert_eq!(read.identity().unwrap(), [255; 256]);
        let longer = token.replace(&host, &"h".repeat(MAX_TOKEN));
        assert_eq!(OverrideToken::read(longer.as_bytes()), None);
        assert_eq!(signed(&[255; 256], &"h".repeat(MAX_TOKEN)), None);
    }
}

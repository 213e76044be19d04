//! JSON Web Tokens signed with keys of our own, and Envoy's real `jwt_authn` that checks them.
//!
//! Only tests that are about tokens compile this (the feature `jwt`).

use anyhow::Result;
use data_encoding::BASE64URL_NOPAD;
use ed25519_compact::{KeyPair, Noise, Seed};
use serde_json::{Value, json};

use crate::bootstrap::{Bootstrap, Position};

/// The `iss` that [`JwtAuthn`] wants in a token.
pub const ISSUER: &str = "https://login.shop.example.com";

/// The name under which `jwt_authn` keeps what it verified.
pub const FILTER: &str = "envoy.filters.http.jwt_authn";

/// An Ed25519 key. The same number is the same key in every run.
#[derive(Clone, Debug)]
pub struct Key(KeyPair);

impl Key {
    /// The key of this number.
    #[must_use]
    pub fn number(number: u8) -> Key {
        Key(KeyPair::from_seed(Seed::new([number; Seed::BYTES])))
    }

    /// A token that says this. Nothing is added or looked at: `iss` and `exp` are the caller's.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "JWT"});
        let said = unsigned(&header, claims);
        let signature = self.0.sk.sign(&said, None::<Noise>);
        format!("{said}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    /// The text of a key set with the public half.
    #[must_use]
    pub fn jwks(&self) -> String {
        let public = BASE64URL_NOPAD.encode(self.0.pk.as_ref());
        let key =
            json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": public});
        json!({"keys": [key]}).to_string()
    }
}

/// The first two parts of a token, the ones that a signature is about.
#[must_use]
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    format!("{}.{}", encode(header), encode(claims))
}

/// These claims with our issuer and an end that no test lives to see, where they say nothing else.
#[must_use]
pub fn valid(claims: &Value) -> Value {
    // Envoy goes by the real clock, and this is the year 2100.
    let mut all = json!({"iss": ISSUER, "exp": 4_102_444_800_u64});
    if let (Some(all), Some(claims)) = (all.as_object_mut(), claims.as_object()) {
        all.extend(claims.clone());
    }
    all
}

/// A `jwt_authn` filter that takes tokens of one key from `Authorization: Bearer`.
#[derive(Clone, Debug)]
pub struct JwtAuthn {
    jwks: String,
    payload: String,
    optional: bool,
}

impl JwtAuthn {
    /// Leaves what it verified in the metadata key `payload`. Requests without a token pass, those
    /// with one that is not good do not.
    #[must_use]
    pub fn new(key: &Key) -> JwtAuthn {
        JwtAuthn {
            jwks: key.jwks(),
            payload: "payload".to_owned(),
            optional: true,
        }
    }

    /// With another metadata key.
    #[must_use]
    pub fn payload(mut self, key: &str) -> JwtAuthn {
        key.clone_into(&mut self.payload);
        self
    }

    /// Without a token there is no way in.
    #[must_use]
    pub fn required(mut self) -> JwtAuthn {
        self.optional = false;
        self
    }

    fn filter(&self) -> Value {
        let shop = json!({"provider_name": "shop"});
        let requires = if self.optional {
            json!({"requires_any": {"requirements": [shop, {"allow_missing": {}}]}})
        } else {
            shop
        };
        json!({"name": FILTER, "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"shop": {
                "issuer": ISSUER,
                "local_jwks": {"inline_string": self.jwks},
                "payload_in_metadata": self.payload,
            }},
            "rules": [{"match": {"prefix": "/"}, "requires": requires}],
        }})
    }
}

impl Bootstrap {
    /// With this check of tokens in front of divvy.
    pub fn with_jwt(self, authn: &JwtAuthn) -> Result<Bootstrap> {
        self.with_http_filter(&authn.filter(), Position::Before("divvy"))
    }
}

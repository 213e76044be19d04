//! Signed JSON Web Tokens, and the configuration of Envoy's `jwt_authn` that verifies them.

use anyhow::Result;
use data_encoding::BASE64URL_NOPAD;
use ed25519_compact::{KeyPair, Noise, Seed};
use serde_json::{Value, json};

use crate::bootstrap::{Bootstrap, Position};

/// The `iss` that [`JwtAuthn`] requires.
pub const ISSUER: &str = "https://login.shop.example.com";

/// The filter's name, which is also its namespace in the dynamic metadata.
pub const FILTER: &str = "envoy.filters.http.jwt_authn";

/// An Ed25519 key, derived from a number.
#[derive(Clone, Debug)]
pub struct Key(KeyPair);

impl Key {
    /// The key for this number.
    #[must_use]
    pub fn number(number: u8) -> Key {
        Key(KeyPair::from_seed(Seed::new([number; Seed::BYTES])))
    }

    /// A token with exactly these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "JWT"});
        let signed = unsigned(&header, claims);
        let signature = self.0.sk.sign(&signed, None::<Noise>);
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    /// The JSON Web Key Set of the public key.
    #[must_use]
    pub fn jwks(&self) -> String {
        let public = BASE64URL_NOPAD.encode(self.0.pk.as_ref());
        let key =
            json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": public});
        json!({"keys": [key]}).to_string()
    }
}

/// The signed part of a token: header and claims.
#[must_use]
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    format!("{}.{}", encode(header), encode(claims))
}

/// These claims, with defaults for `iss` and `exp`.
#[must_use]
pub fn valid(claims: &Value) -> Value {
    // Envoy uses the real clock; this is the year 2100.
    let mut all = json!({"iss": ISSUER, "exp": 4_102_444_800_u64});
    if let (Some(all), Some(claims)) = (all.as_object_mut(), claims.as_object()) {
        all.extend(claims.clone());
    }
    all
}

/// A `jwt_authn` filter that verifies tokens of one key in `Authorization: Bearer`.
#[derive(Clone, Debug)]
pub struct JwtAuthn {
    jwks: String,
    payload: String,
    optional: bool,
}

impl JwtAuthn {
    /// A filter that stores claims under the metadata key `payload`. Requests without a token pass,
    /// requests with an invalid one do not.
    #[must_use]
    pub fn new(key: &Key) -> JwtAuthn {
        JwtAuthn {
            jwks: key.jwks(),
            payload: "payload".to_owned(),
            optional: true,
        }
    }

    /// Sets the metadata key.
    #[must_use]
    pub fn payload(mut self, key: &str) -> JwtAuthn {
        key.clone_into(&mut self.payload);
        self
    }

    /// Rejects requests without a token.
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
    /// Inserts this filter before divvy.
    pub fn with_jwt(self, authn: &JwtAuthn) -> Result<Bootstrap> {
        self.with_http_filter(&authn.filter(), Position::Before("divvy"))
    }
}

//! Signatures in random configurations and requests: signed cookies, and overrides that are valid, old,
//! for others or forged.

use divvy::overrides::OverrideClaims;
use divvy::signature::{KeyPurpose, KeyRing, KeySet};
use serde_json::{Value, json};

use super::{NOW, Random, USERS};

/// The keys in the environment of each VM, unless a test removes them.
pub const TEST_KEYS: &str = "2027a:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8,\
    2026d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

const SECONDS: u64 = NOW / 1_000;

impl Random {
    /// Signs a cookie; sometimes older ones count until an instant, before or after [`NOW`].
    pub(super) fn sign(&mut self, cookie: &mut Value) {
        if self.one_in(2) {
            cookie["signed"] = json!(true);
            if self.one_in(3) {
                let until = ["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"];
                cookie["acceptUnsignedUntil"] = json!(self.pick(&until));
            }
        }
    }

    /// The places of overrides.
    pub(super) fn overrides(&mut self, config: &mut Value) {
        let places = [
            json!({"header": "x-ov"}),
            json!({"cookie": "ov", "query": "ov"}),
            json!({"header": "x-ov", "cookie": "ov", "query": "ov"}),
        ];
        config["overrides"] = places[self.below(places.len())].clone();
        if self.one_in(4) {
            config["overridesAfter"] = json!("2026-12-07T11:59:00Z");
        }
    }

    /// A value with overrides.
    pub(super) fn tokens(&mut self) -> String {
        let tokens: Vec<_> = (0..=self.below(3)).map(|_| self.token()).collect();
        tokens.join("~")
    }

    fn token(&mut self) -> String {
        let from = SECONDS - self.pick(&[0, 30, 3_600, 100_000]);
        let rollout = format!("r{}", self.below(4));
        let claims = OverrideClaims {
            rollout: &rollout,
            version: self.pick(&["v1", "v2", "v2", "v9"]),
            identity: self.one_in(3).then(|| self.pick(&USERS).trim().as_bytes()),
            host: self.one_in(3).then_some("shop.example.com"),
            from,
            to: from + 7_200,
            random: self.bits().to_be_bytes(),
        };
        let purpose = if self.one_in(8) {
            KeyPurpose::Sticky
        } else {
            KeyPurpose::Override
        };
        let token = claims.sign(&test_keys().of(purpose)).unwrap();
        if self.one_in(4) {
            return self.flipped(&token);
        }
        token
    }

    /// A text of ASCII with one changed character.
    ///
    /// # Panics
    /// If the text is empty or not ASCII.
    pub fn flipped(&mut self, text: &str) -> String {
        let place = self.below(text.len());
        let other = self.pick(&["A", "b", "0", "2", ":", "~", "."]);
        let mut text = text.to_owned();
        text.replace_range(place..=place, other);
        text
    }
}

/// The keys in the environment of each VM.
///
/// # Panics
/// Never, because they are valid.
pub fn test_keys() -> KeySet {
    match KeyRing::read(Some(TEST_KEYS.as_bytes())) {
        KeyRing::Known(keys) => keys,
        other => panic!("{other:?}"),
    }
}

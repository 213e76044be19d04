//! Cookies that divvy sets: one with a minted identity, and one for each sticky rollout with the
//! answer of its strategy.
//!
//! Must not depend on policies or on the order of a decision.

mod mint;
mod sticky;

pub use mint::MintedCookie;
pub use sticky::{Memory, Sticky};

use crate::request::CookieId;

/// A cookie to set, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCookie {
    /// The number by which a request is asked for it.
    pub id: CookieId,
    /// Its name.
    pub name: Box<str>,
    /// The attributes behind the value, such as `; Path=/; Secure`.
    pub attributes: Box<str>,
}

impl SetCookie {
    /// The value of a `set-cookie` header that sets it.
    pub fn line(&self, value: &str) -> String {
        [&self.name, "=", value, &self.attributes].concat()
    }
}

/// Whether this line of `cache-control` lets shared caches store the response: then all their
/// clients would get the same cookie.
pub fn is_shared(cache_control: &[u8]) -> bool {
    cache_control.split(|byte| *byte == b',').any(|directive| {
        let name = directive.split(|byte| *byte == b'=').next();
        let name = name.unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(b"public") || name.eq_ignore_ascii_case(b"s-maxage")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_that_is_public_or_has_s_maxage_is_shared() {
        for (line, shared) in [
            ("public", true),
            ("max-age=60, Public", true),
            ("s-maxage=60", true),
            ("S-MaxAge = 60", true),
            ("private, s-maxage=0", true),
            ("", false),
            ("private", false),
            ("max-age=60", false),
            ("no-store", false),
            ("publicity", false),
            ("x=public", false),
        ] {
            assert_eq!(is_shared(line.as_bytes()), shared, "{line}");
        }
    }
}

//! Cookies that divvy gives to clients: one that names a visitor, and one for each sticky
//! rollout that remembers what its strategy said.

mod mint;
mod sticky;

pub use mint::MintedCookie;
pub use sticky::{Memory, Sticky};

use crate::request::CookieId;

/// A cookie to give, with everything but its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCookie {
    /// Under which number it is read.
    pub id: CookieId,
    /// Its name.
    pub name: Box<str>,
    /// What follows the value: `; Path=/; Secure`.
    pub attributes: Box<str>,
}

impl SetCookie {
    /// The value of the `set-cookie` header that gives it.
    pub fn line(&self, value: &str) -> String {
        [&self.name, "=", value, &self.attributes].concat()
    }
}

/// Whether a response with this line of `cache-control` may be kept by a cache and given to
/// others: a cookie in it would make one visitor of all of them.
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

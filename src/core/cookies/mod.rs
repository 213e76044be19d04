//! Cookies that divvy sets: one with a minted identity, and one for each sticky rollout with the
//! answer of its strategy; and which responses may carry them.
//!
//! Must not depend on policies or on the order of a decision.

mod mint;
mod response;
mod signed;
mod sticky;

pub use mint::MintedCookie;
pub use response::ResponseRules;
pub use signed::SignedSticky;
pub use sticky::{Memory, RecalledMemory, Sticky};

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

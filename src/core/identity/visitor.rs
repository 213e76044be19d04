//! The visitor: the sender of one request, whose identity is looked up at most once.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::{Identification, Identity, Origin};
use crate::request::Request;

/// Decides whether a visitor without an identity is given a random one in a cookie.
// Not `Debug`, which would put the formatting of all conditions into the filter: 20 KB.
pub trait MintRule {
    /// Whether this visitor is given an identity. Must not ask for one that is minted.
    fn mints(&self, visitor: &Visitor<'_, '_>) -> bool;
}

/// The sender of a request. Nothing is looked up until a decision needs it.
pub struct Visitor<'a, 'r> {
    identification: Identification<'a>,
    mint: Option<&'a dyn MintRule>,
    request: &'a Request<'r>,
    found: OnceCell<Option<Identity<'a>>>,
    minted: OnceCell<Option<Identity<'a>>>,
}

impl<'a, 'r> Visitor<'a, 'r> {
    /// The sender of this request. `mint`: `None` if no visitor is given an identity.
    pub const fn new(
        request: &'a Request<'r>,
        identification: Identification<'a>,
        mint: Option<&'a dyn MintRule>,
    ) -> Self {
        Self {
            identification,
            mint,
            request,
            found: OnceCell::new(),
            minted: OnceCell::new(),
        }
    }

    /// The same visitor, of whom nothing has been looked up.
    pub const fn unread(&self) -> Self {
        Self::new(self.request, self.identification, self.mint)
    }

    /// The request.
    pub const fn request(&self) -> &'a Request<'r> {
        self.request
    }

    /// The identity, even if it is random or minted.
    pub fn any_identity(&self) -> Option<&[u8]> {
        let identity = self.found().or_else(|| self.minted())?;
        Some(&identity.bytes)
    }

    /// The identity, if the visitor's next request has the same one: carried or minted, never
    /// random.
    pub fn lasting_identity(&self) -> Option<&[u8]> {
        let identity = self.found().or_else(|| self.minted())?;
        (identity.origin != Origin::Random).then_some(&*identity.bytes)
    }

    /// The identity that the request carried, never a random or minted one.
    pub fn carried_identity(&self) -> Option<&[u8]> {
        let identity = self.found()?;
        (identity.origin != Origin::Random).then_some(&*identity.bytes)
    }

    /// The identity that was looked up; `None` if no decision needed one.
    pub fn into_identity(self) -> Option<Identity<'a>> {
        let found = self.found.into_inner().flatten();
        found.or_else(|| self.minted.into_inner().flatten())
    }

    /// Whether the identity was looked for.
    pub fn was_looked_for(&self) -> bool {
        self.found.get().is_some()
    }

    fn found(&self) -> Option<&Identity<'a>> {
        self.found
            .get_or_init(|| self.identification.find(self.request))
            .as_ref()
    }

    fn minted(&self) -> Option<&Identity<'a>> {
        let minted = self.minted.get_or_init(|| {
            if !self.mint?.mints(self) {
                return None;
            }
            let bits = self.request.environment().random_bits()?;
            let uuid = uuid::Builder::from_random_bytes(bits).into_uuid();
            Some(Identity {
                bytes: Cow::Owned(uuid.to_string().into_bytes()),
                origin: Origin::Minted,
            })
        });
        minted.as_ref()
    }
}

//! Who sent a request: somebody who came with an identity, or a visitor who is given one.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::{Condition, Facts};
use crate::assignment::UpstreamDecisions;
use crate::cookies::SetCookie;
use crate::identity::{Identification, Identity, Origin};
use crate::request::Request;

/// How a visitor of whom no source knows one gets an identity.
#[derive(Clone, Debug)]
pub struct Mint {
    /// In which cookie, the last of the sources.
    pub set: SetCookie,
    /// With which requests; with all where nothing is said.
    pub when: Option<Condition>,
}

/// The user, looked for at most once in a request and only if something depends on it.
#[derive(Debug)]
pub struct Who<'a, 'r> {
    identification: &'a Identification,
    mint: Option<&'a Mint>,
    request: &'a Request<'r>,
    carried: OnceCell<Option<Identity<'a>>>,
    minted: OnceCell<Option<Identity<'a>>>,
}

impl<'a, 'r> Who<'a, 'r> {
    /// Whoever sent this request.
    pub const fn sent(
        request: &'a Request<'r>,
        identification: &'a Identification,
        mint: Option<&'a Mint>,
    ) -> Self {
        Self {
            identification,
            mint,
            request,
            carried: OnceCell::new(),
            minted: OnceCell::new(),
        }
    }

    /// The identity, a random one if need be.
    pub fn anybody(&self) -> Option<&[u8]> {
        let identity = self.carried().or_else(|| self.minted())?;
        Some(&identity.bytes)
    }

    /// The identity of somebody who will have the same one with the next request.
    pub fn somebody(&self) -> Option<&[u8]> {
        self.named().or_else(|| match self.carried() {
            Some(_) => None,
            None => Some(&self.minted()?.bytes),
        })
    }

    /// The identity of somebody who came with it. Who has none by now is not given one for
    /// being asked after.
    pub fn named(&self) -> Option<&[u8]> {
        let identity = self.carried()?;
        (identity.origin != Origin::Random).then_some(&*identity.bytes)
    }

    /// What was found, if anybody looked.
    pub fn into_found(self) -> Option<Identity<'a>> {
        let carried = self.carried.into_inner().flatten();
        carried.or_else(|| self.minted.into_inner().flatten())
    }

    fn carried(&self) -> Option<&Identity<'a>> {
        self.carried
            .get_or_init(|| self.identification.find(self.request))
            .as_ref()
    }

    fn minted(&self) -> Option<&Identity<'a>> {
        let mint = self.mint?;
        let minted = self.minted.get_or_init(|| {
            // Such a condition looks at what came with the request, so it cannot lead here.
            let facts = Facts {
                request: self.request,
                who: self,
                decisions: &[],
                upstream: &UpstreamDecisions::new(self.request, None),
            };
            if mint.when.as_ref().is_some_and(|when| !when.holds(&facts)) {
                return None;
            }
            let bits = self.request.outside().random()?;
            let uuid = uuid::Builder::from_random_bytes(bits).into_uuid();
            Some(Identity {
                bytes: Cow::Owned(uuid.to_string().into_bytes()),
                origin: Origin::Minted,
            })
        });
        minted.as_ref()
    }
}

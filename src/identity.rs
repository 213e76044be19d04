//! Who the user is.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::chain::Upstream;
use crate::cookies::SetCookie;
use crate::matching::{Condition, Facts};
use crate::request::{ClaimId, CookieId, HeaderId, QueryId, Request};

/// The longest identity, in bytes; a longer one is unusable.
pub const MAX_BYTES: usize = 256;

/// What stands between the parts of a `concat`: no header, cookie or claim has it.
const SEPARATOR: u8 = 0x1f;

/// Where an identity can stand.
#[derive(Clone, Debug)]
pub enum IdentitySource {
    /// A header; unusable when it comes twice, for which of them is the user?
    Header(HeaderId),
    /// A cookie.
    Cookie(CookieId),
    /// A query parameter.
    Query(QueryId),
    /// A claim of a verified token.
    Claim(ClaimId),
    /// The client's address, of IPv6 the /64.
    SourceIp,
    /// Several of the above together; unusable when one of them is.
    Concat(Vec<Self>),
    /// Drawn for each request: it tells requests apart, but names nobody.
    Random,
}

/// An identity that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// What is hashed.
    pub bytes: Cow<'a, [u8]>,
    /// Where it is from.
    pub origin: Origin,
}

/// Where an identity is from, as far as it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A value that the client or its token gave: a header, cookie, query parameter or
    /// claim.
    Given,
    /// Made from an address, or from several values.
    Made,
    /// A draw.
    Random,
    /// Made up for a visitor who is nobody yet, and given as a cookie.
    Minted,
}

/// How the policy finds out who the user is.
#[derive(Clone, Debug, Default)]
pub struct Identification {
    /// The first that yields a usable value wins.
    pub sources: Vec<IdentitySource>,
    /// Values that name nobody, trimmed.
    pub ignored: Vec<Box<[u8]>>,
    /// How visitors get an identity of whom no source knows one.
    pub mint: Option<Mint>,
}

/// How a visitor gets an identity.
#[derive(Clone, Debug)]
pub struct Mint {
    /// In which cookie, the last of the sources.
    pub set: SetCookie,
    /// With which requests; with all where nothing is said.
    pub when: Option<Condition>,
}

impl Identification {
    /// The identity of the user who sent this request, if there is one to be had.
    pub fn find<'a>(&self, request: &'a Request<'_>) -> Option<Identity<'a>> {
        self.sources.iter().find_map(|source| {
            let bytes = match source {
                IdentitySource::Concat(parts) => self.joined(parts, request)?,
                source => self.usable(source, request)?,
            };
            let origin = match source {
                IdentitySource::Random => Origin::Random,
                IdentitySource::SourceIp | IdentitySource::Concat(_) => Origin::Made,
                _ => Origin::Given,
            };
            Some(Identity { bytes, origin })
        })
    }

    fn joined<'a>(
        &self,
        parts: &[IdentitySource],
        request: &'a Request<'_>,
    ) -> Option<Cow<'a, [u8]>> {
        let mut joined = Vec::new();
        for (nth, part) in parts.iter().enumerate() {
            if nth > 0 {
                joined.push(SEPARATOR);
            }
            joined.extend_from_slice(&self.usable(part, request)?);
        }
        (joined.len() <= MAX_BYTES).then_some(Cow::Owned(joined))
    }

    /// The trimmed value of one source, if it can be somebody.
    fn usable<'a>(
        &self,
        source: &IdentitySource,
        request: &'a Request<'_>,
    ) -> Option<Cow<'a, [u8]>> {
        let value = match source {
            IdentitySource::Header(id) => request.single(*id)?,
            IdentitySource::Cookie(id) => request.cookie(*id)?,
            IdentitySource::Query(id) => request.query_value(*id)?,
            IdentitySource::Claim(id) => request.claim(*id).next()?,
            IdentitySource::SourceIp => {
                let net = request.source()?.identity().into_bytes();
                return (!self.is_ignored(&net)).then_some(Cow::Owned(net));
            }
            IdentitySource::Random => request.random()?,
            // The configuration has none within another.
            IdentitySource::Concat(_) => return None,
        };
        let value = value.trim_ascii();
        let usable = value.len() <= MAX_BYTES && !self.is_ignored(value);
        usable.then_some(Cow::Borrowed(value))
    }

    fn is_ignored(&self, value: &[u8]) -> bool {
        self.ignored
            .iter()
            .any(|ignored| ignored.eq_ignore_ascii_case(value))
    }
}

/// The user, looked for at most once in a request and only if something depends on it.
#[derive(Debug)]
pub struct Who<'a, 'r> {
    identification: &'a Identification,
    request: &'a Request<'r>,
    carried: OnceCell<Option<Identity<'a>>>,
    minted: OnceCell<Option<Identity<'a>>>,
}

impl<'a, 'r> Who<'a, 'r> {
    /// Whoever sent this request.
    pub const fn sent(request: &'a Request<'r>, identification: &'a Identification) -> Self {
        Self {
            identification,
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
        let mint = self.identification.mint.as_ref()?;
        let minted = self.minted.get_or_init(|| {
            // Such a condition looks at what came with the request, so it cannot lead here.
            let facts = Facts {
                request: self.request,
                who: self,
                decisions: &[],
                upstream: &Upstream::sent(self.request, None),
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

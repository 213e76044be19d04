//! Identity sources, ignored identities, and the holdout.

use crate::build::{Build, CookieUse, IdentityKind};
use crate::limits::{MAX_CONCAT, MAX_IDENTITY_SOURCES, MAX_IGNORED};
use crate::registry::ClaimSpec;
use crate::spec::{self, Items};
use crate::values::{no_claim, only_true, percent};
use crate::{cookies, names};
use divvy_core::bucket::{Gate, Key, Purpose};
use divvy_core::cookies::MintedCookie;
use divvy_core::identity::IdentitySource;
use divvy_core::request::ClaimType;
use divvy_json::error::Path;

/// Values that clients send when they have no user.
const IGNORED: [&str; 5] = ["", "anonymous", "null", "undefined", "0"];

const ONE_SOURCE: &str =
    "must have exactly one source: header, cookie, query, jwtClaim, sourceIp, concat or random";

/// The sources of one rollout, in place of those at the top. The identity that `build` knows is
/// theirs from now on.
pub(crate) fn own(
    at: Path<'_>,
    list: Items<'_, spec::IdentitySpec<'_>>,
    build: &mut Build<'_>,
) -> Vec<IdentitySource> {
    if list.is_empty() {
        at.error("is empty: leave it out to use the identity at the top");
    }
    build.has_random = false;
    for (index, source) in list.raw().enumerate() {
        if source.get("mint").is_some() {
            let message = "is possible in the identity at the top only";
            at.index(index).field("mint").error(message);
        }
    }
    let sources = sources_of(at, list, false, build).0;
    if list.is_empty() {
        // One error is enough.
        build.identity = IdentityKind::Lasting;
    }
    sources
}

/// The sources at the top.
pub(crate) fn sources(
    at: Path<'_>,
    list: Option<Items<'_, spec::IdentitySpec<'_>>>,
    build: &mut Build<'_>,
) -> (Vec<IdentitySource>, Option<MintedCookie>) {
    match list {
        Some(list) => sources_of(at, list, true, build),
        None => (Vec::new(), None),
    }
}

fn sources_of(
    at: Path<'_>,
    list: Items<'_, spec::IdentitySpec<'_>>,
    mints: bool,
    build: &mut Build<'_>,
) -> (Vec<IdentitySource>, Option<MintedCookie>) {
    let list = list.at_most(MAX_IDENTITY_SOURCES, "sources", at);
    let count = list.len();
    let random = |source: &IdentitySource| matches!(source, IdentitySource::Random);
    // Who is only now given a cookie may be asked whether they have another identity.
    build.identity = IdentityKind::Lasting;
    let mut mint = None;
    let sources = list.each(at, |at, mut raw| {
        let last = at
            .last_index()
            .is_some_and(|index| index.saturating_add(1) == count);
        if let Some(raw_mint) = raw.mint.take().filter(|_| mints) {
            let place = at.field("mint");
            match &raw.cookie {
                Some(name) => mint = cookies::mint(place, name, &raw_mint, build),
                None => place.error("needs a cookie in the same source"),
            }
            if !last {
                place.error("must be in the last source, because it always yields an identity");
            }
        }
        let source = source(at, &raw, true, build)?;
        build.has_random |= random(&source);
        if random(&source) && !last {
            at.error("must be the last source, because random always yields an identity");
        }
        Some(source)
    });
    // What could not be read may have been anything.
    build.identity = if sources.len() < count || !sources.iter().all(random) {
        IdentityKind::Lasting
    } else if sources.is_empty() {
        IdentityKind::None
    } else {
        IdentityKind::Random
    };
    (sources, mint)
}

/// Compiles one source; `outermost` is false within a `concat`.
fn source(
    at: Path<'_>,
    raw: &spec::IdentitySpec<'_>,
    outermost: bool,
    build: &mut Build<'_>,
) -> Option<IdentitySource> {
    let named = [
        raw.header.is_some(),
        raw.cookie.is_some(),
        raw.query.is_some(),
        raw.jwt_claim.is_some(),
        raw.source_ip.is_some(),
        raw.concat.is_some(),
        raw.random.is_some(),
    ];
    if named.iter().filter(|named| **named).count() != 1 {
        at.error(ONE_SOURCE);
        return None;
    }
    if raw.mint.is_some() {
        at.field("mint").error("is not allowed in a concat");
    }
    if raw.jwt_claim.is_none() {
        no_claim(at, raw.jwt_payload, raw.claim_type);
    }
    let headers = &mut build.headers;
    if let Some(name) = raw.header {
        let id = headers.read_identity(at.field("header"), name)?;
        return Some(IdentitySource::Header(id));
    }
    if let Some(name) = raw.cookie {
        let id = build.cookie(at.field("cookie"), name, CookieUse::Identity)?;
        return Some(IdentitySource::Cookie(id));
    }
    if let Some(key) = raw.query {
        let id = headers.query(at.field("query"), key)?;
        return Some(IdentitySource::Query(id));
    }
    if let Some(path) = raw.jwt_claim {
        let raw = ClaimSpec {
            path,
            payload: raw.jwt_payload,
            kind: raw.claim_type,
        };
        let (id, kind) = headers.claim(at, raw)?;
        if kind == ClaimType::List {
            at.field("type")
                .error("a list is not an identity: write string, number or bool");
        }
        return Some(IdentitySource::Claim(id));
    }
    if let Some(flag) = raw.source_ip {
        only_true(at.field("sourceIp"), flag);
        return Some(IdentitySource::SourceIp);
    }
    if let Some(flag) = raw.random {
        only_true(at.field("random"), flag);
        if !outermost {
            at.field("random").error("is not allowed in a concat");
        }
        return Some(IdentitySource::Random);
    }
    let parts = raw.concat?;
    let at = at.field("concat");
    if !outermost {
        at.error("is a concat in a concat: write its sources into the outer one");
        return None;
    }
    let parts = parts.at_most(MAX_CONCAT, "sources", at);
    if parts.len() < 2 {
        at.error("needs two or more sources");
    }
    let parts = parts.each(at, |at, raw| source(at, &raw, false, build));
    Some(IdentitySource::Concat(parts))
}

pub(crate) fn ignored(at: Path<'_>, list: Option<Items<'_, &str>>) -> Vec<Box<[u8]>> {
    let Some(list) = list else {
        return IGNORED
            .iter()
            .map(|value| value.as_bytes().into())
            .collect();
    };
    let list = list.at_most(MAX_IGNORED, "values", at);
    // Identities are trimmed before they are compared with these.
    list.each(at, |_, value| Some(value.as_bytes().trim_ascii().into()))
}

pub(crate) fn holdout(at: Path<'_>, raw: Option<spec::HoldoutSpec<'_>>) -> Option<Gate> {
    let raw = raw?;
    names::other(at.field("name"), raw.name);
    let share = percent(at.field("percent"), raw.percent)?;
    Some(Gate::new(Key::new(Purpose::Holdout, raw.name), share))
}

//! Cookies that are given to clients.

use crate::build::{Build, CookieUse};
use crate::limits::{MAX_AGE, SAME_SITE};
use crate::spec::{self, AttributesSpec};
use crate::values::{duration, instant};
use crate::{condition, names};
use divvy_core::cookies::{MintedCookie, SetCookie, SignedSticky, Sticky};
use divvy_core::identity::{MintedIdentities, SignedIdentities};
use divvy_core::request::CookieId;
use divvy_core::signature::KeyPurpose;
use divvy_core::strategy::Strategy;
use divvy_json::error::Path;

/// How visitors get an identity in this cookie.
pub(crate) fn mint(
    at: Path<'_>,
    cookie: &str,
    raw: &spec::MintSpec<'_>,
    build: &mut Build<'_>,
) -> Option<MintedCookie> {
    // The source adds the errors of the name.
    let id = build.cookie(Path::SILENT, cookie, CookieUse::Minted);
    let set = given(at, (id, cookie), &raw.attributes);
    let when = match &raw.when {
        Some(when) => Some(condition::compile(at.field("when"), when, 0, build)?),
        None => None,
    };
    let until = accept_unsigned(at, raw.signed, raw.accept_unsigned_until);
    let signed = match raw.signed {
        Some(true) => Some(SignedIdentities {
            keys: build.keys(at.field("signed"), KeyPurpose::Mint)?,
            accept_unsigned_until: until,
        }),
        _ => None,
    };
    let set = set?;
    Some(MintedCookie {
        identities: MintedIdentities {
            cookie: set.id,
            signed,
        },
        set,
        when,
        kept_as: format!("divvy_minted_{cookie}").into(),
        original_url: build.headers.of_envoy("x-envoy-original-url"),
    })
}

/// How clients remember what a rollout's strategy said.
pub(crate) fn sticky(
    at: Path<'_>,
    raw: &spec::StickySpec<'_>,
    (rollout, salt, revision): (&str, &str, &str),
    strategy: Option<&Strategy>,
    build: &mut Build<'_>,
) -> Option<Sticky> {
    if let Some(refusal) = strategy.and_then(|strategy| strategy.behaviour().sticky_refusal()) {
        at.error(refusal);
    } else if build.has_random {
        at.error("is not possible with a random identity, which changes with every request");
    }
    let cookie = raw.cookie;
    let id = build.cookie(at.field("cookie"), cookie, CookieUse::Sticky);
    let set = given(at, (id, cookie), &raw.attributes)?;
    let until = accept_unsigned(at, raw.signed, raw.accept_unsigned_until);
    let signed = match raw.signed {
        Some(true) => Some(Box::new(SignedSticky {
            keys: build.keys(at.field("signed"), KeyPurpose::Sticky)?,
            rollout: rollout.into(),
            max_age: raw.attributes.max_age.and_then(max_age),
            accept_unsigned_until: until,
            minted: build.minted.clone(),
        })),
        _ => None,
    };
    Some(Sticky::new(set, salt, revision, signed))
}

/// Until when values without a signature count.
fn accept_unsigned(at: Path<'_>, signed: Option<bool>, until: Option<&str>) -> Option<u64> {
    let (until, at) = (until?, at.field("acceptUnsignedUntil"));
    if signed != Some(true) {
        at.error("has no effect without signed: true");
    }
    instant(at, until)
}

/// A valid `maxAge` in seconds.
fn max_age(text: &str) -> Option<u64> {
    let age = humantime::parse_duration(text).ok()?;
    Some(age.as_secs())
}

/// A cookie for clients.
fn given(
    at: Path<'_>,
    (id, name): (Option<CookieId>, &str),
    raw: &AttributesSpec<'_>,
) -> Option<SetCookie> {
    let attributes = attributes(at, name, raw);
    Some(SetCookie {
        id: id?,
        name: name.into(),
        attributes: attributes?,
    })
}

/// The attributes behind a cookie's value.
fn attributes(at: Path<'_>, name: &str, raw: &AttributesSpec<'_>) -> Option<Box<str>> {
    let before = at.error_count();
    let path = raw.path.unwrap_or("/");
    let sound = |byte: u8| matches!(byte, b' '..=b'~') && byte != b';';
    if !path.starts_with('/') || !path.bytes().all(sound) {
        at.field("path").error(format_args!(
            "{path:?} is not a cookie path: it must begin with /"
        ));
    }
    let mut text = format!("; Path={path}");
    if let Some(age) = &raw.max_age {
        let age = duration(at.field("maxAge"), age, MAX_AGE);
        text.push_str(&format!("; Max-Age={}", age.unwrap_or_default().as_secs()));
    }
    if let Some(domain) = &raw.domain {
        if !names::is_domain(domain) {
            at.field("domain")
                .error(format_args!("{domain:?} is not a domain"));
        }
        text.push_str("; Domain=");
        text.push_str(domain);
    }
    let same_site = raw.same_site.unwrap_or("Lax");
    if !SAME_SITE.contains(&same_site) {
        at.field("sameSite")
            .unknown_name(same_site, SAME_SITE.into_iter());
    }
    text.push_str("; SameSite=");
    text.push_str(same_site);
    let secure = raw.secure.unwrap_or(true);
    if secure {
        text.push_str("; Secure");
    }
    let http_only = raw.http_only.unwrap_or(true);
    if http_only {
        text.push_str("; HttpOnly");
    }
    let partitioned = raw.partitioned.unwrap_or_default();
    if partitioned {
        text.push_str("; Partitioned");
    }
    // Browsers silently drop a cookie that breaks these rules.
    if !secure && same_site == "None" {
        at.field("secure").error("must be true if sameSite is None");
    }
    if !secure && partitioned {
        at.field("secure")
            .error("must be true if partitioned is true");
    }
    let prefixed = |prefix: &str| {
        let begin = name.get(..prefix.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    };
    let for_name = format!("must be true for the cookie name {name:?}");
    if !secure
        && ["__Secure-", "__Host-", "__Http-"]
            .into_iter()
            .any(prefixed)
    {
        at.field("secure").error(&for_name);
    }
    if !http_only && (prefixed("__Http-") || prefixed("__Host-Http-")) {
        at.field("httpOnly").error(&for_name);
    }
    if prefixed("__Host-") && (raw.domain.is_some() || path != "/") {
        at.error(format_args!(
            "must have no domain and the path / for the cookie name {name:?}"
        ));
    }
    (at.error_count() == before).then(|| text.into())
}

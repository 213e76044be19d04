//! Cookies that are given to clients.

use std::time::Duration;

use super::build::Build;
use super::error::{At, Errors};
use super::shape::{self, Attributes};
use super::values::duration;
use super::{condition, names};
use crate::cookies::{MintedCookie, SetCookie, Sticky};
use crate::policy::Strategy;

const SECOND: Duration = Duration::from_secs(1);
/// Browsers keep no cookie for longer.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// How visitors get an identity in this cookie.
pub(super) fn mint(
    at: At<'_>,
    cookie: &str,
    raw: &shape::Mint<'_>,
    build: &mut Build,
    errors: &mut Errors,
) -> Option<MintedCookie> {
    let set = given(at, at, cookie, &raw.attributes, build, errors);
    let when = match &raw.when {
        Some(when) => Some(condition::compile(
            at.field("when"),
            when,
            0,
            build,
            errors,
        )?),
        None => None,
    };
    Some(MintedCookie { set: set?, when })
}

/// How clients remember what a rollout's strategy said.
pub(super) fn sticky(
    at: At<'_>,
    raw: &shape::Sticky<'_>,
    (salt, revision): (&str, &str),
    strategy: Option<&Strategy>,
    build: &mut Build,
    errors: &mut Errors,
) -> Option<Sticky> {
    match strategy {
        Some(Strategy::BlueGreen { .. }) => {
            errors.add(
                at,
                "has nothing to remember: a blueGreen is the same for everybody",
            );
        }
        Some(Strategy::Follow { .. }) => {
            errors.add(
                at,
                "has nothing to remember: make the rollout sticky that is followed",
            );
        }
        _ if build.draws => {
            let message = "would remember a draw: identity has random, which is anew each time";
            errors.add(at, message);
        }
        _ => {}
    }
    let cookie = raw.cookie;
    let set = given(
        at,
        at.field("cookie"),
        cookie,
        &raw.attributes,
        build,
        errors,
    )?;
    Some(Sticky::new(set, salt, revision))
}

/// A cookie that nothing else gives.
fn given(
    at: At<'_>,
    named: At<'_>,
    name: &str,
    raw: &Attributes<'_>,
    build: &mut Build,
    errors: &mut Errors,
) -> Option<SetCookie> {
    let id = build.headers.cookie(named, name, errors);
    if !build.given_cookies.insert(name.into()) {
        let message = format_args!("the cookie {name:?} is given by something else already");
        errors.add(named, message);
    }
    let attributes = attributes(at, name, raw, errors);
    Some(SetCookie {
        id: id?,
        name: name.into(),
        attributes: attributes?,
    })
}

/// What stands behind a cookie's value.
fn attributes(
    at: At<'_>,
    name: &str,
    raw: &Attributes<'_>,
    errors: &mut Errors,
) -> Option<Box<str>> {
    let before = errors.count();
    let path = raw.path.unwrap_or("/");
    let sound = |byte: u8| matches!(byte, b' '..=b'~') && byte != b';';
    if !path.starts_with('/') || !path.bytes().all(sound) {
        errors.add(
            at.field("path"),
            format_args!("{path:?} is no path of a cookie: it begins with /"),
        );
    }
    let mut text = format!("; Path={path}");
    if let Some(age) = &raw.max_age {
        let age = duration(at.field("maxAge"), age, SECOND..=LONGEST, errors);
        text.push_str(&format!("; Max-Age={}", age.unwrap_or_default().as_secs()));
    }
    if let Some(domain) = &raw.domain {
        if !names::is_domain(domain) {
            errors.add(at.field("domain"), format_args!("{domain:?} is no domain"));
        }
        text.push_str("; Domain=");
        text.push_str(domain);
    }
    let same_site = raw.same_site.unwrap_or("Lax");
    if !["Strict", "Lax", "None"].contains(&same_site) {
        let message = format_args!("{same_site:?} is not one of Strict, Lax, None");
        errors.add(at.field("sameSite"), message);
    }
    text.push_str("; SameSite=");
    text.push_str(same_site);
    let secure = raw.secure.unwrap_or(true);
    if secure {
        text.push_str("; Secure");
    }
    if raw.http_only.unwrap_or(true) {
        text.push_str("; HttpOnly");
    }
    // Browsers drop a cookie that breaks these rules, without a word.
    if !secure && same_site == "None" {
        errors.add(at.field("secure"), "has to be true where sameSite is None");
    }
    let prefixed = |prefix: &str| {
        let begin = name.get(..prefix.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    };
    if !secure && (prefixed("__Secure-") || prefixed("__Host-")) {
        errors.add(
            at.field("secure"),
            format_args!("has to be true for a cookie called {name:?}"),
        );
    }
    if prefixed("__Host-") && (raw.domain.is_some() || path != "/") {
        errors.add(
            at,
            format_args!("a cookie called {name:?} has no domain, and / as its path"),
        );
    }
    (errors.count() == before).then(|| text.into())
}

//! Which responses may carry a cookie of one visitor, by their status and headers.
//!
//! A cache that serves many clients and stores `set-cookie` gives all of them the same cookie.
//! Must not depend on requests.

use std::time::{Duration, SystemTime};

use crate::response::status_code;

/// What the status and the headers of a response say about cookies.
#[derive(Clone, Debug, Default)]
pub struct ResponseRules {
    code: u64,
    grpc: bool,
    /// `cache-control`, for all caches.
    all: Directives,
    /// `cdn-cache-control` and its variants of single networks (RFC 9213).
    networks: Directives,
    /// `surrogate-control`.
    surrogates: Directives,
    /// The latest valid `expires`.
    expires: Option<SystemTime>,
    date: Option<SystemTime>,
}

impl ResponseRules {
    /// Takes one header line into account; names in lower case.
    pub fn read(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":status" => self.code = status_code(value),
            b"content-type" => self.grpc |= is_grpc(value),
            b"cache-control" => self.all.read(value),
            b"surrogate-control" => self.surrogates.read(value),
            b"expires" => self.expires = self.expires.max(http_date(value)),
            b"date" => self.date = self.date.or_else(|| http_date(value)),
            name if name.ends_with(b"cdn-cache-control") => self.networks.read(value),
            _ => {}
        }
    }

    /// Whether the response may carry a cookie. `now`: time since the Unix epoch, asked only if
    /// the answer depends on it.
    pub fn allow_cookies(&self, now: impl FnOnce() -> Option<Duration>) -> bool {
        // A client updates a stored response with the headers of a 304, and a browser never
        // sees a 101 or a gRPC call.
        self.code >= 200 && self.code != 304 && !self.grpc && !self.may_be_shared(now)
    }

    /// Whether a shared cache may store the response, by what the response says (RFC 9111,
    /// section 3). `no-cache` and a `private` with field names do not prevent it: a stored
    /// `set-cookie` is sent again after a 304. The headers for special caches are judged by
    /// their own directives, because such a cache reads no other.
    pub fn may_be_shared(&self, now: impl FnOnce() -> Option<Duration>) -> bool {
        self.all.may_be_shared()
            || self.networks.may_be_shared()
            || self.surrogates.may_be_shared()
            || (!self.all.prevents && self.is_fresh_by_expires(now))
    }

    /// Whether `expires` is later than the response's `date`, or later than now without one.
    /// An `expires` that is not a date is in the past (RFC 9111, section 5.3).
    fn is_fresh_by_expires(&self, now: impl FnOnce() -> Option<Duration>) -> bool {
        let Some(expires) = self.expires else {
            return false;
        };
        let clock = || SystemTime::UNIX_EPOCH.checked_add(now()?);
        // With neither it may be in the future.
        let begin = self.date.or_else(clock);
        begin.is_none_or(|begin| expires > begin)
    }
}

/// What the lines of a `cache-control` or a similar header say.
#[derive(Clone, Copy, Debug, Default)]
struct Directives {
    /// A shared cache may store the response, unless something prevents it.
    allows: bool,
    /// No shared cache may store the response.
    prevents: bool,
}

impl Directives {
    const fn may_be_shared(self) -> bool {
        self.allows && !self.prevents
    }

    fn read(&mut self, line: &[u8]) {
        let (members, is_valid) = members(line);
        for member in members {
            let mut parts = member.splitn(2, |byte| *byte == b'=');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let argument = parts.next();
            // `no-store;a` of surrogate-control is for the cache `a` alone.
            let plain = name.split(|byte| *byte == b';').next().unwrap_or_default();
            let is = |other: &str| plain.trim_ascii().eq_ignore_ascii_case(other.as_bytes());
            self.allows |= is("public")
                || is("s-maxage")
                || (is("max-age") && argument.is_some_and(is_positive));
            self.prevents |= (is("private") || is("no-store"))
                && is_valid
                && argument.is_none()
                && plain.len() == name.len();
        }
    }
}

/// The members of a list, split at the commas outside quoted strings. `false` if a quoted string
/// has no end: caches disagree on such a line, so it is split at every comma.
fn members(line: &[u8]) -> (Vec<&[u8]>, bool) {
    let (mut quoted, mut escaped) = (false, false);
    let members = line.split(|byte| {
        let separates = *byte == b',' && !quoted;
        if *byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && *byte == b'\\' && !escaped;
        separates
    });
    let members = members.collect();
    if quoted {
        return (line.split(|byte| *byte == b',').collect(), false);
    }
    (members, true)
}

/// Whether the number of seconds is above 0. Caches accept it in quotes, above every range, and
/// some with other characters behind the digits.
fn is_positive(seconds: &[u8]) -> bool {
    let seconds = seconds.trim_ascii();
    let seconds = seconds.strip_prefix(b"\"").unwrap_or(seconds).trim_ascii();
    let mut digits = seconds.iter().take_while(|byte| byte.is_ascii_digit());
    digits.any(|digit| *digit != b'0')
}

/// Whether this `content-type` is that of a gRPC call, but not of gRPC-Web.
fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    matches!(rest, Some([] | [b'+' | b';', ..]))
}

fn http_date(value: &[u8]) -> Option<SystemTime> {
    let text = str::from_utf8(value).ok()?;
    httpdate::parse_http_date(text.trim_ascii()).ok()
}

#[cfg(test)]
mod tests;

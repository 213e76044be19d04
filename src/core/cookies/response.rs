//! Which responses may carry a cookie of one visitor, by their status and headers.
//!
//! A cache that serves many clients and stores `set-cookie` gives all of them the same cookie.
//! Must not depend on requests.

use std::time::{Duration, SystemTime};

use crate::response::{ContentKind, status_code};

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
            b"content-type" => self.grpc |= ContentKind::of(value) == ContentKind::Grpc,
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
        if let Some(date) = self.date {
            return expires > date;
        }
        let expires = expires.duration_since(SystemTime::UNIX_EPOCH);
        // Without a clock it may be in the future.
        expires.is_ok_and(|expires| now().is_none_or(|now| expires > now))
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
        let mut string = QuotedString::default();
        line.iter().for_each(|byte| string.read(*byte));
        // Caches disagree on a line with a quoted string that has no end: it is split at every comma.
        let is_valid = !string.quoted;
        string = QuotedString::default();
        let separates = |byte: &u8| {
            string.read(*byte);
            *byte == b',' && !(string.quoted && is_valid)
        };
        for member in line.split(separates) {
            self.read_member(member, is_valid);
        }
    }

    fn read_member(&mut self, member: &[u8], is_valid: bool) {
        let end = |bytes: &[u8], byte| memchr::memchr(byte, bytes).unwrap_or(bytes.len());
        let (whole, argument) = member
            .split_at_checked(end(member, b'='))
            .unwrap_or_default();
        // `no-store;a` of surrogate-control is for the cache `a` alone.
        let (name, parameter) = whole.split_at_checked(end(whole, b';')).unwrap_or_default();
        match &*name.trim_ascii().to_ascii_lowercase() {
            b"public" | b"s-maxage" => self.allows = true,
            b"max-age" => self.allows |= is_positive(argument),
            b"private" | b"no-store" => {
                self.prevents |= is_valid && argument.is_empty() && parameter.is_empty();
            }
            _ => {}
        }
    }
}

/// Whether a byte of a header line is within a quoted string.
#[derive(Default)]
struct QuotedString {
    quoted: bool,
    escaped: bool,
}

impl QuotedString {
    const fn read(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'"' => self.quoted = !self.quoted,
            b'\\' => self.escaped = self.quoted,
            _ => {}
        }
    }
}

/// Whether the number of seconds behind a `=` is above 0. Caches accept it in quotes, above every
/// range, and some with other characters behind the digits.
fn is_positive(argument: &[u8]) -> bool {
    let is_before = |byte: &&u8| matches!(byte, b'=' | b'"' | b' ' | b'\t');
    let digits = argument.iter().skip_while(is_before);
    let mut digits = digits.take_while(|byte| byte.is_ascii_digit());
    digits.any(|digit| *digit != b'0')
}

/// The time of an HTTP date in one of its three forms (RFC 9110, section 5.6.7), read as RFC 3339: a
/// crate for HTTP dates would add 8 KB to the module.
fn http_date(value: &[u8]) -> Option<SystemTime> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let text = str::from_utf8(value).ok()?;
    let mut parts = text.split([' ', ',', '-']).filter(|part| !part.is_empty());
    let [_, first, second, third, fourth] = [(); 5].map(|()| parts.next());
    let is_asctime = first?.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let (day, month, year, time) = if is_asctime {
        (second?, first?, fourth?, third?)
    } else if parts.next()? == "GMT" {
        (first?, second?, third?, fourth?)
    } else {
        return None;
    };
    let place = MONTHS
        .find(month)
        .filter(|place| month.len() == 3 && place % 3 == 0)?;
    let month = place.checked_div(3)?.checked_add(1)?;
    let century = match year.as_bytes() {
        [b'0'..=b'6', _] => "20",
        [_, _] => "19",
        _ => "",
    };
    let date = format!("{century}{year}-{month:02}-{day:0>2}T{time}Z");
    humantime::parse_rfc3339(&date).ok()
}

#[cfg(test)]
mod tests;

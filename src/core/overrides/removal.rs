//! The removal of overrides from the cookies and the query of a request. Must not depend on what a token
//! says.

use super::Overrides;
use crate::request::{HeaderId, Request};

impl Overrides {
    /// Whether the request has the cookie.
    pub fn has_cookie(&self, request: &Request<'_>) -> bool {
        let mut cookies = self.cookie.iter().flat_map(|(id, _)| request.cookies(*id));
        cookies.next().is_some()
    }

    /// Appends the cookies of a request but the override, each behind `; ` if there is something before.
    pub fn write_cookies(&self, request: &Request<'_>, text: &mut Vec<u8>) {
        for line in request.lines(HeaderId::COOKIE) {
            for part in line.split(|byte| *byte == b';') {
                let name = memchr::memchr(b'=', part).and_then(|end| part.get(..end));
                let part = part.trim_ascii();
                if part.is_empty() || name.is_some_and(|name| self.is_cookie(name.trim_ascii())) {
                    continue;
                }
                if !text.is_empty() {
                    text.extend_from_slice(b"; ");
                }
                text.extend_from_slice(part);
            }
        }
    }

    fn is_cookie(&self, name: &[u8]) -> bool {
        let own = self.cookie.as_ref();
        own.is_some_and(|(_, own)| own.as_bytes() == name)
    }

    /// Writes path and query without the parameter. `false` if the request does not have it.
    pub fn write_target(&self, request: &Request<'_>, text: &mut Vec<u8>) -> bool {
        let Some((id, key)) = &self.query else {
            return false;
        };
        let (Some(path), Some(query)) = (request.path(), request.query()) else {
            return false;
        };
        if request.query_value(*id).is_none() {
            return false;
        }
        text.clear();
        text.extend_from_slice(path);
        let is_own = |part: &&[u8]| {
            let end = memchr::memchr(b'=', part).unwrap_or(part.len());
            part.get(..end) == Some(key.as_bytes())
        };
        let others = query.split(|byte| *byte == b'&');
        for (part, separator) in others
            .filter(|part| !is_own(part))
            .zip(std::iter::once(b'?').chain(std::iter::repeat(b'&')))
        {
            text.push(separator);
            text.extend_from_slice(part);
        }
        true
    }
}

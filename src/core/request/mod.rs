//! A borrowed view of a request: the bytes of those headers that the configuration asks for.
//!
//! Must not depend on conditions or policies. What is not in the headers comes from an
//! [`Environment`].

mod address;
mod by_number;
pub mod byte_map;
mod claim;
pub mod cookie;
mod environment;
pub mod host;
mod label;
mod names;
pub mod pairs;
pub mod query;
mod signed;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use smallvec::SmallVec;

pub use address::Address;
use by_number::ByNumber;
pub use claim::{Claim, ClaimType};
pub use environment::{Direction, Empty, Environment};
pub use names::{ClaimId, CookieId, HeaderId, LabelId, Names, QueryId};
pub use pairs::{Malformed, Pairs, serialize_pairs};
pub use signed::CarriedIdentity;

/// A request as decisions see it.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The method, case-sensitive.
    pub method: Option<&'a [u8]>,
    /// Path and query.
    target: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    names: &'a Names,
    /// Few, unless the configuration names many headers.
    lines: SmallVec<[(HeaderId, &'a [u8]); 8]>,
    environment: &'a dyn Environment,
    // Everything below is computed on first use: 60 KB of cookies are parsed once, however many
    // conditions ask for one.
    /// The index of the `?` in `target`.
    mark: OnceCell<Option<usize>>,
    host: OnceCell<Cow<'a, [u8]>>,
    cookies: OnceCell<ByNumber<&'a [u8]>>,
    now: OnceCell<Option<u64>>,
    /// Values that few configurations need, allocated on first use.
    more: OnceCell<Box<More<'a>>>,
}

/// The value of a label, and the index of its line.
#[derive(Clone, Copy, Debug)]
struct Label<'a> {
    line: usize,
    value: &'a [u8],
}

/// Values of a request that few configurations need, computed on first use.
#[derive(Clone, Debug, Default)]
struct More<'a> {
    queries: OnceCell<ByNumber<Cow<'a, [u8]>>>,
    labels: OnceCell<ByNumber<Label<'a>>>,
    claims: OnceCell<Vec<OnceCell<claim::Value>>>,
    source: OnceCell<Option<Address>>,
    peer: OnceCell<Option<Vec<u8>>>,
    random: OnceCell<Option<Box<[u8]>>>,
    /// The minted identity in a cookie.
    minted: OnceCell<Option<CarriedIdentity<'a>>>,
    /// Number of signatures that were verified.
    verified: Cell<u8>,
    /// Number of signatures that were counted without being verified.
    unverified: Cell<u8>,
}

impl<'a> Request<'a> {
    /// A request without headers; [`Request::read_block`] adds them.
    pub fn new(names: &'a Names) -> Self {
        Self {
            method: None,
            target: None,
            authority: None,
            names,
            lines: SmallVec::new(),
            environment: &Empty,
            mark: OnceCell::new(),
            host: OnceCell::new(),
            cookies: OnceCell::new(),
            now: OnceCell::new(),
            more: OnceCell::new(),
        }
    }

    /// The view of a header map in the host's serialization.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn from_block(names: &'a Names, block: &'a [u8]) -> Result<Self, Malformed> {
        let mut request = Self::new(names);
        request.read_block(block)?;
        Ok(request)
    }

    /// Adds the headers of a map in the host's serialization. In place, since a request is
    /// expensive to move.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn read_block(&mut self, block: &'a [u8]) -> Result<(), Malformed> {
        let names = self.names;
        let mut pairs = Pairs::new(block)?;
        while let Some(pair) = pairs.next_if(|length, last| names.may_ask(length, last)) {
            let (name, value) = pair?;
            self.read(name, value);
        }
        Ok(())
    }

    /// The view of a list of headers and pseudo-headers; names in lower case.
    pub fn from_headers(
        names: &'a Names,
        headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Self {
        let mut request = Self::new(names);
        for (name, value) in headers {
            request.read(name, value);
        }
        request
    }

    /// The same request, in this environment.
    #[must_use]
    pub const fn with_environment(mut self, environment: &'a dyn Environment) -> Self {
        self.environment = environment;
        self
    }

    /// The facts that the headers do not contain.
    pub const fn environment(&self) -> &'a dyn Environment {
        self.environment
    }

    /// Adds a header line to the view if the configuration asks for it; names in lower case.
    pub fn read(&mut self, name: &[u8], value: &'a [u8]) {
        if let [b':', name @ ..] = name {
            self.read_pseudo(name, value);
        } else if let Some(id) = self.names.find_header(name) {
            self.lines.push((id, value));
        }
    }

    fn read_pseudo(&mut self, name: &[u8], value: &'a [u8]) {
        match name {
            b"path" => self.target = Some(value),
            b"method" => self.method = Some(value),
            b"authority" => self.authority = Some(value),
            _ => {}
        }
    }

    /// The path before `?`, not decoded; `None` for a CONNECT without path.
    pub fn path(&self) -> Option<&'a [u8]> {
        let target = self.target?;
        target.get(..self.mark().unwrap_or(target.len()))
    }

    /// The query behind `?`, not decoded.
    pub fn query(&self) -> Option<&'a [u8]> {
        self.target?.get(self.mark()?.saturating_add(1)..)
    }

    fn mark(&self) -> Option<usize> {
        let target = self.target?;
        *(self.mark).get_or_init(|| memchr::memchr(b'?', target))
    }

    fn more(&self) -> &More<'a> {
        self.more.get_or_init(Box::default)
    }

    /// The host: lower case, without port or final dot.
    pub fn host(&self) -> Option<&[u8]> {
        let authority = self.authority?;
        Some(self.host.get_or_init(|| host::normalized(authority)))
    }

    /// The header of each line that is kept.
    pub fn header_ids(&self) -> impl Iterator<Item = HeaderId> {
        self.lines.iter().map(|(id, _)| *id)
    }

    /// The values of all lines of a header, in their order.
    pub fn lines(&self, id: HeaderId) -> impl Iterator<Item = &'a [u8]> {
        self.lines
            .iter()
            .filter(move |(line, _)| *line == id)
            .map(|(_, value)| *value)
    }

    /// The value of a header with exactly one line.
    pub fn single(&self, id: HeaderId) -> Option<&'a [u8]> {
        let mut lines = self.lines(id);
        let first = lines.next()?;
        lines.next().is_none().then_some(first)
    }

    /// The value of the first cookie of a name.
    pub fn cookie(&self, id: CookieId) -> Option<&'a [u8]> {
        self.cookies(id).next()
    }

    /// The values of all cookies of a name, in their order, whichever line they are in.
    pub fn cookies(&self, id: CookieId) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let values = self.cookies.get_or_init(|| {
            let mut values = ByNumber::default();
            for (name, value) in self.lines(HeaderId::COOKIE).flat_map(cookie::pairs) {
                if let Some(number) = self.names.cookies.get(name) {
                    values.add(*number, cookie::value(value));
                }
            }
            values
        });
        values.get(id.0).iter().copied()
    }

    /// The percent-decoded value of the first query parameter of a key.
    pub fn query_value(&self, id: QueryId) -> Option<&[u8]> {
        let values = self.more().queries.get_or_init(|| {
            let mut values = ByNumber::default();
            for (key, value) in self.query().into_iter().flat_map(query::pairs) {
                if let Some(number) = self.names.queries.get(key)
                    && values.get(*number).is_empty()
                {
                    values.add(*number, query::decoded(value));
                }
            }
            values
        });
        values.get(id.0).first().map(AsRef::as_ref)
    }

    /// The values of a label: the first of its key in each line of the header.
    pub fn label(&self, id: LabelId) -> impl Iterator<Item = &'a [u8]> {
        let labels = self.more().labels.get_or_init(|| {
            let mut labels = ByNumber::default();
            for (line, (header, text)) in self.lines.iter().enumerate() {
                let Some(keys) = self.names.labels(*header) else {
                    continue;
                };
                for (key, value) in label::pairs(text) {
                    let Some(number) = keys.get(key) else {
                        continue;
                    };
                    let last: Option<&Label<'_>> = labels.get(*number).last();
                    if last.is_none_or(|last| last.line != line) {
                        labels.add(*number, Label { line, value });
                    }
                }
            }
            labels
        });
        labels.get(id.0).iter().map(|label| label.value)
    }

    /// The values of a claim: none, one, or the elements of a list.
    pub fn claim(&self, id: ClaimId) -> impl Iterator<Item = &[u8]> {
        let asked = &self.names.claims;
        let cells = self
            .more()
            .claims
            .get_or_init(|| asked.iter().map(|_| OnceCell::new()).collect());
        let number = usize::try_from(id.0).ok();
        let found = number.and_then(|number| Some((cells.get(number)?, asked.get(number)?)));
        let value = found.map(|(cell, claim)| {
            cell.get_or_init(|| match self.environment.jwt_claim(claim) {
                Some(bytes) => claim::Value::read(bytes, claim.kind),
                None => claim::Value::Missing,
            })
        });
        value.into_iter().flat_map(claim::Value::elements)
    }

    /// The address of the client.
    pub fn source(&self) -> Option<&Address> {
        let source = self.more().source.get_or_init(|| {
            let property = self.environment.source_address()?;
            Address::read(&property)
        });
        source.as_ref()
    }

    /// The URI SAN of the client's verified certificate.
    pub fn peer(&self) -> Option<&[u8]> {
        let peer = &self.more().peer;
        let find = || {
            self.environment
                .peer_uri_san()
                .filter(|uri| !uri.is_empty())
        };
        peer.get_or_init(find).as_deref()
    }

    /// 128 random bits in hexadecimal digits; the same value for the whole request.
    pub fn random(&self) -> Option<&[u8]> {
        let random = self.more().random.get_or_init(|| {
            let bits = u128::from_be_bytes(self.environment.random_bits()?);
            Some(format!("{bits:032x}").into_bytes().into())
        });
        random.as_deref()
    }

    /// The time of the decision in milliseconds since 1970; the same value for the whole request.
    pub fn now(&self) -> Option<u64> {
        *self.now.get_or_init(|| self.environment.now())
    }

    /// Whether this is a CORS preflight: a browser asks what it may send, without the cookies and
    /// headers of the user.
    pub fn is_preflight(&self) -> bool {
        self.method == Some(b"OPTIONS") && self.asks_for_a_method()
    }

    #[cold]
    #[inline(never)]
    fn asks_for_a_method(&self) -> bool {
        let ids = [HeaderId::ORIGIN, HeaderId::ACCESS_CONTROL_REQUEST_METHOD];
        ids.iter()
            .all(|id| self.header_ids().any(|line| line == *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<'a>(list: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        list.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()))
    }

    #[test]
    fn only_headers_that_were_asked_for_are_kept() {
        let mut names = Names::default();
        let user = names.header("x-user");
        let list = [("x-user", "42"), ("x-uber", "no"), ("x-other", "no")];
        let request = Request::from_headers(&names, headers(&list));
        assert_eq!(request.single(user), Some(&b"42"[..]));
        assert_eq!(request.lines.len(), 1);
    }

    #[test]
    fn a_header_that_comes_twice_has_two_lines_and_no_single_value() {
        let mut names = Names::default();
        let user = names.header("x-user");
        let list = [("x-user", "1"), ("x-user", "2")];
        let request = Request::from_headers(&names, headers(&list));
        assert_eq!(request.lines(user).count(), 2);
        assert_eq!(request.single(user), None);
    }

    #[test]
    fn the_path_ends_at_the_first_question_mark() {
        let names = Names::default();
        for (target, path, query) in [
            ("/a/b", "/a/b", None),
            ("/a?", "/a", Some("")),
            ("/a?b?c", "/a", Some("b?c")),
            ("*", "*", None),
        ] {
            let list = [(":path", target)];
            let request = Request::from_headers(&names, headers(&list));
            assert_eq!(request.path(), Some(path.as_bytes()));
            assert_eq!(request.query(), query.map(str::as_bytes));
        }
    }
}

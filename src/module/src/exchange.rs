//! One request and its response in Envoy, in the running hook.

use std::cell::{Cell, RefCell};
use std::ops::Deref;

use divvy::filter::host::{Exchange, HeaderLines, Host, Message, Refused};
use divvy::request::{Claim, Direction, Malformed, Request};
use divvy::response::BodyProgress;

use crate::abi::{self, BorrowedLines, FilterHandle};
use crate::changes::{ChangeKind, HeaderChanges, PresentHeaders};
use crate::claims;
use crate::flags;
use crate::process::EnvoyProcess;
use crate::shared;
use crate::values::{Attribute, HeaderMap};

/// Filter state with the metadata of `jwt_authn`, as JSON.
const CLAIMS: &str = "divvy.jwt";

/// `response.code_details` of a response that the upstream sent.
const VIA_UPSTREAM: &[u8] = b"via_upstream";

/// What a stream is known for beyond its hooks.
#[derive(Debug, Default)]
pub struct StreamFacts {
    /// Its number, from the time that it is asked for.
    pub number: Cell<Option<u32>>,
    /// Details of the response that Envoy or another filter sent.
    pub local_reply: RefCell<Option<Box<[u8]>>>,
}

/// One request and its response, in the running hook. Changes of headers wait in `changes`.
pub struct EnvoyExchange<'a> {
    /// `None` once the stream is gone.
    pub filter: Option<&'a FilterHandle>,
    pub process: &'a EnvoyProcess,
    pub facts: &'a StreamFacts,
    pub changes: &'a RefCell<HeaderChanges>,
}

/// Header lines, borrowed from Envoy.
pub struct EnvoyLines<'a> {
    lines: BorrowedLines<'a>,
    changes: &'a RefCell<HeaderChanges>,
}

impl HeaderLines for EnvoyLines<'_> {
    fn read_into<'a>(&'a self, request: &mut Request<'a>) -> Result<(), Malformed> {
        let mut present = PresentHeaders::default();
        for (name, value) in self.lines.iter() {
            present.add(name);
            request.read(name, value);
        }
        if let Ok(mut changes) = self.changes.try_borrow_mut() {
            changes.note_request(present);
        }
        Ok(())
    }

    fn for_each(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Malformed> {
        self.lines
            .iter()
            .for_each(|(name, value)| each(name, value));
        Ok(())
    }
}

const fn map(message: Message) -> HeaderMap {
    match message {
        Message::Request => HeaderMap::Request,
        Message::Response => HeaderMap::Response,
    }
}

/// Key of filter state with names of headers that divvy filters wrote; `place`: how many did before.
fn chain_key(message: Message, place: usize) -> String {
    match message {
        Message::Request => format!("divvy.request_headers.{place}"),
        Message::Response => format!("divvy.response_headers.{place}"),
    }
}

impl<'a> EnvoyExchange<'a> {
    fn change(
        &self,
        message: Message,
        kind: ChangeKind,
        header: &str,
        value: &[u8],
    ) -> Result<(), Refused> {
        self.filter.ok_or(Refused)?;
        let mut changes = self.changes.try_borrow_mut().map_err(|_| Refused)?;
        changes.push(map(message), kind, header, value);
        Ok(())
    }

    /// What stays the same when Envoy follows a redirect, and differs between requests: connection and
    /// `x-request-id`.
    fn request_id(&self) -> Option<Vec<u8>> {
        let connection = self.number(Attribute::ConnectionId)?;
        let id = self
            .filter?
            .first_line(HeaderMap::Request, b"x-request-id")?;
        Some([&connection.to_le_bytes(), id].concat())
    }

    fn text(&self, attribute: Attribute) -> Option<&'a [u8]> {
        self.filter?.text(attribute)
    }

    fn number(&self, attribute: Attribute) -> Option<u64> {
        self.filter?.number(attribute)
    }

    /// The names that divvy filters of the chain wrote, in the order of the filters.
    fn chain(&self, message: Message) -> impl Iterator<Item = &'a [u8]> {
        let filter = self.filter;
        (0..).map_while(move |place| filter?.state(&chain_key(message, place)))
    }

    /// Details of the response that Envoy or another filter sent, where Envoy has no attribute.
    fn local_details<T>(&self, read: impl FnOnce(Option<&[u8]>) -> T) -> Option<T> {
        let local = self.facts.local_reply.try_borrow().ok()?;
        Some(read(local.as_deref()))
    }
}

impl Exchange for EnvoyExchange<'_> {
    type Lines<'b>
        = EnvoyLines<'b>
    where
        Self: 'b;

    fn lines(&self, message: Message) -> Option<EnvoyLines<'_>> {
        Some(EnvoyLines {
            lines: self.filter?.lines(map(message))?,
            changes: self.changes,
        })
    }

    fn lacks(&self, message: Message, header: &str) -> bool {
        self.filter
            .is_some_and(|filter| filter.first_line(map(message), header.as_bytes()).is_none())
    }

    fn first_line(&self, message: Message, header: &str) -> Option<Vec<u8>> {
        let line = self.filter?.first_line(map(message), header.as_bytes())?;
        Some(line.to_vec())
    }

    fn set(&self, message: Message, header: &str, value: &[u8]) -> Result<(), Refused> {
        self.change(message, ChangeKind::Set, header, value)
    }

    fn add(&self, message: Message, header: &str, value: &[u8]) -> Result<(), Refused> {
        self.change(message, ChangeKind::Add, header, value)
    }

    fn remove(&self, message: Message, header: &str) -> Result<(), Refused> {
        self.change(message, ChangeKind::Remove, header, &[])
    }

    fn chain_headers(&self, message: Message) -> Option<Vec<u8>> {
        let all: Vec<_> = self.chain(message).collect();
        (!all.is_empty()).then(|| all.join(&b'\n'))
    }

    /// Envoy 1.38 does not replace what a stream keeps: each filter has a key of its own.
    fn set_chain_headers(&self, message: Message, names: &[u8]) {
        if let Some(filter) = self.filter {
            let place = self.chain(message).count();
            filter.set_state(&chain_key(message, place), names);
        }
    }

    fn keep(&self, name: &str, value: &[u8]) {
        if let Some(id) = self.request_id() {
            shared::keep(&id, name, value);
        }
    }

    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        shared::kept(&self.request_id()?, name)
    }

    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        self.text(Attribute::PeerUriSan).map(Into::into)
    }

    fn listener_direction(&self) -> Option<Direction> {
        Direction::from_number(self.number(Attribute::ListenerDirection)?)
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        self.text(Attribute::SourceAddress).map(Into::into)
    }

    /// The ABI has no nested metadata: a filter in front keeps it as JSON.
    fn jwt_claim(&self, claim: &Claim) -> Option<Vec<u8>> {
        claims::read(self.filter?.state(CLAIMS)?, claim)
    }

    fn response_code(&self) -> Option<u64> {
        self.number(Attribute::ResponseCode)
    }

    fn is_from_upstream(&self) -> Option<bool> {
        if abi::knows(Attribute::ResponseCodeDetails) {
            return Some(self.text(Attribute::ResponseCodeDetails)? == VIA_UPSTREAM);
        }
        self.local_details(|details| details.is_none())
    }

    fn trailing_grpc_status(&self) -> Option<impl Deref<Target = [u8]>> {
        self.filter?
            .first_line(HeaderMap::ResponseTrailers, b"grpc-status")
    }

    fn response_flags(&self) -> Option<u64> {
        if abi::knows(Attribute::ResponseFlags) {
            return self.number(Attribute::ResponseFlags);
        }
        self.local_details(|details| flags::of(details.unwrap_or_default()))
    }

    fn stream(&self) -> u32 {
        let number = self.facts.number.get();
        let number = number.unwrap_or_else(|| self.process.add_stream());
        self.facts.number.set(Some(number));
        number
    }

    fn body_progress(&self) -> BodyProgress {
        let progress = self.process.body_progress_of(self.stream());
        progress.unwrap_or(BodyProgress {
            finished: false,
            sent: u64::MAX,
        })
    }
}

//! One request and its response in the proxy. Its host calls are in [`super::host`].

use std::ops::Deref;

use super::header_block::HeaderBlock;
use super::host::{self, number, owned, property};
use crate::filter::host::{Exchange, Message, Refused};
use crate::request::{Claim, Direction};
use crate::response::BodyProgress;

/// The stream of the running callback, by its number.
#[derive(Clone, Copy, Debug)]
pub struct ProxyStream(pub u32);

/// The property with the headers that divvy filters wrote. Envoy keeps it in the filter state of the
/// stream, as `wasm.` and this name.
const fn chain_property(message: Message) -> &'static str {
    match message {
        Message::Request => "divvy_request_headers",
        Message::Response => "divvy_response_headers",
    }
}

impl Exchange for ProxyStream {
    type Lines<'a> = HeaderBlock;

    fn lines(&self, message: Message) -> Option<HeaderBlock> {
        host::header_lines(message).map(HeaderBlock)
    }

    /// Costs as much as to remove an absent header, and does not make Envoy select the route
    /// again.
    fn lacks(&self, message: Message, name: &str) -> bool {
        host::lacks_header(message, name)
    }

    fn first_line(&self, message: Message, name: &str) -> Option<Vec<u8>> {
        host::first_line(message, name).map(Into::into)
    }

    fn set(&self, message: Message, name: &str, value: &[u8]) -> Result<(), Refused> {
        host::replace_header(message, name, value)
    }

    fn add(&self, message: Message, name: &str, value: &[u8]) -> Result<(), Refused> {
        host::add_header(message, name, value)
    }

    fn remove(&self, message: Message, name: &str) -> Result<(), Refused> {
        host::remove_header(message, name)
    }

    fn chain_headers(&self, message: Message) -> Option<Vec<u8>> {
        owned(chain_property(message))
    }

    fn set_chain_headers(&self, message: Message, names: &[u8]) {
        host::set_property(chain_property(message), names);
    }

    fn keep(&self, name: &str, value: &[u8]) {
        host::set_property(name, value);
    }

    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        owned(name)
    }

    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        owned("connection\0uri_san_peer_certificate")
    }

    fn listener_direction(&self) -> Option<Direction> {
        Direction::from_number(number("xds\0listener_direction")?)
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        owned("source\0address")
    }

    fn jwt_claim(&self, claim: &Claim) -> Option<Vec<u8>> {
        let mut path = String::from("metadata\0filter_metadata\0envoy.filters.http.jwt_authn");
        for segment in claim.segments() {
            path.push('\0');
            path.push_str(segment);
        }
        owned(&path)
    }

    fn response_code(&self) -> Option<u64> {
        number("response\0code")
    }

    fn is_from_upstream(&self) -> Option<bool> {
        Some(*property("response\0code_details")? == *b"via_upstream")
    }

    fn trailing_grpc_status(&self) -> Option<impl Deref<Target = [u8]>> {
        host::response_trailer("grpc-status")
    }

    fn response_flags(&self) -> Option<u64> {
        number("response\0flags")
    }

    fn stream(&self) -> u32 {
        self.0
    }

    fn body_progress(&self) -> BodyProgress {
        host::body_progress()
    }
}

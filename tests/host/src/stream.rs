//! One request and which of its parts a filter can see in which callback.

use std::collections::HashMap;

use crate::abi::map;
use crate::headers::Headers;

/// The running callback of a stream. Envoy offers each header map only during its own callback,
/// and all of them, read-only, in the log callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
    Log,
}

/// A response sent by the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// Its status code.
    pub code: u32,
}

/// A request and its response so far.
#[derive(Debug)]
pub struct Stream {
    /// `None` until they arrive; a local reply may end the stream before.
    pub request_headers: Option<Headers>,
    /// Trailers of the request, if any.
    pub request_trailers: Option<Headers>,
    /// `None` until they arrive, which may be never.
    pub response_headers: Option<Headers>,
    /// Trailers of the response, if any.
    pub response_trailers: Option<Headers>,
    /// `response.flags`: a bit for each kind of failure.
    pub response_flags: u64,
    /// Set if the filter sent a response, which divvy never does.
    pub local_response: Option<LocalResponse>,
    pub(crate) properties: HashMap<Vec<u8>, Vec<u8>>,
    pub(crate) body: Vec<u8>,
    pub(crate) root: u32,
    pub(crate) phase: Phase,
}

impl Stream {
    pub(crate) fn new(root: u32) -> Self {
        Stream {
            request_headers: None,
            request_trailers: None,
            response_headers: None,
            response_trailers: None,
            response_flags: 0,
            local_response: None,
            properties: HashMap::new(),
            body: Vec::new(),
            root,
            phase: Phase::Idle,
        }
    }

    /// A property that a test or the filter has set.
    pub fn property(&self, path: &[&str]) -> Option<&[u8]> {
        let value = self.properties.get(path.join("\0").as_bytes());
        value.map(Vec::as_slice)
    }

    /// The result of `get_property`; `None`: not found.
    pub(crate) fn lookup(&self, path: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if let Some(value) = self.properties.get(path) {
            out.extend_from_slice(value);
            return Some(());
        }
        let number = match path {
            b"response\0code" => self.response_code()?,
            b"response\0flags" => self.response_flags,
            b"response\0code_details" => {
                self.response_headers.as_ref()?;
                out.extend_from_slice(b"via_upstream");
                return Some(());
            }
            _ => return None,
        };
        out.extend_from_slice(&number.to_le_bytes());
        Some(())
    }

    fn response_code(&self) -> Option<u64> {
        number(self.response_headers.as_ref()?.get(":status")?)
    }

    /// The map for reading, if it is available in this phase.
    pub(crate) fn readable(&self, map: u32) -> Option<&Headers> {
        match (map, self.phase) {
            (map::REQUEST_HEADERS, Phase::RequestHeaders | Phase::Log) => &self.request_headers,
            (map::REQUEST_TRAILERS, Phase::RequestTrailers) => &self.request_trailers,
            (map::RESPONSE_HEADERS, Phase::ResponseHeaders | Phase::Log) => &self.response_headers,
            (map::RESPONSE_TRAILERS, Phase::ResponseTrailers | Phase::Log) => {
                &self.response_trailers
            }
            _ => &None,
        }
        .as_ref()
    }

    /// The map for writing, if it is available in this phase: none in the log callback.
    pub(crate) fn writable(&mut self, map: u32) -> Option<&mut Headers> {
        match (map, self.phase) {
            (map::REQUEST_HEADERS, Phase::RequestHeaders) => self.request_headers.as_mut(),
            (map::REQUEST_TRAILERS, Phase::RequestTrailers) => self.request_trailers.as_mut(),
            (map::RESPONSE_HEADERS, Phase::ResponseHeaders) => self.response_headers.as_mut(),
            (map::RESPONSE_TRAILERS, Phase::ResponseTrailers) => self.response_trailers.as_mut(),
            _ => None,
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

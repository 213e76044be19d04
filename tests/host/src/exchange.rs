//! A whole request and its response, described once and played often.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::headers::Headers;
use crate::stream::Stream;
use crate::vm::{RootId, Trap, Vm};

/// What happens to one stream from its first header to its log line.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// Headers of the request.
    pub request: Headers,
    /// Headers of the response; `None` for a stream that ends without.
    pub response: Option<Headers>,
    /// Trailers of the response.
    pub trailers: Option<Headers>,
    /// `response.flags` when the stream is logged.
    pub flags: u64,
    /// How long the response headers take.
    pub latency: Duration,
    /// Properties of the stream by their paths, whose segments NUL separates.
    pub properties: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Exchange {
    /// A GET that is answered with 200, with the headers that Envoy makes of
    /// one from curl.
    pub fn get(path: &str) -> Self {
        Exchange {
            request: Headers::from([
                (":authority", "shop.example.com"),
                (":path", path),
                (":method", "GET"),
                (":scheme", "http"),
                ("user-agent", "curl/8.5.0"),
                ("accept", "*/*"),
                ("x-forwarded-proto", "http"),
                ("x-request-id", "7e6fb2ad-61bc-4cb5-a6a1-1d6b1a5b7e0f"),
            ]),
            response: None,
            trailers: None,
            flags: 0,
            latency: Duration::from_millis(12),
            properties: BTreeMap::new(),
        }
        .status(200)
    }

    /// A gRPC call that is answered with this status, in the trailers.
    pub fn grpc(path: &str, status: u32) -> Self {
        let mut exchange = Exchange::get(path).header("te", "trailers");
        exchange.request.replace(":method", "POST");
        exchange.request.replace("content-type", "application/grpc");
        let trailers = Headers::from([("grpc-status", status.to_string())]);
        exchange.trailers = Some(trailers);
        exchange.response_header("content-type", "application/grpc")
    }

    /// One more request header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request.add(name, value);
        self
    }

    /// One more property of the stream; the bytes are what the filter gets.
    #[must_use]
    pub fn property(mut self, path: &[&str], value: impl AsRef<[u8]>) -> Self {
        let path = path.join("\0").into_bytes();
        self.properties.insert(path, value.as_ref().to_vec());
        self
    }

    /// The response's status code.
    #[must_use]
    pub fn status(self, code: u16) -> Self {
        self.response_header(":status", code.to_string())
    }

    /// This response header instead of any other of the name.
    #[must_use]
    pub fn response_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let response = self.response.get_or_insert_default();
        response.replace(name, value);
        self
    }

    /// A stream that ends before any response, with these response flags.
    #[must_use]
    pub fn without_response(mut self, flags: u64) -> Self {
        self.response = None;
        self.trailers = None;
        self.flags = flags;
        self
    }
}

impl Vm {
    /// Plays an exchange on a new stream and returns the stream as the filter
    /// left it.
    pub fn exchange(&mut self, root: RootId, exchange: &Exchange) -> Result<Stream, Trap> {
        let id = self.open(root)?;
        let properties = exchange.properties.clone();
        self.stream_mut(id).properties.extend(properties);
        self.request_headers(id, exchange.request.clone(), true)?;
        self.process().clock().advance(exchange.latency);
        if let Some(response) = &exchange.response {
            self.response_headers(id, response.clone(), false)?;
        }
        if let Some(trailers) = &exchange.trailers {
            self.response_trailers(id, trailers.clone())?;
        }
        self.stream_mut(id).response_flags = exchange.flags;
        self.finish(id)
    }
}

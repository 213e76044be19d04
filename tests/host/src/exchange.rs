//! A request with its response, as data.

use std::collections::BTreeMap;
use std::time::Duration;

use divvy_cases::claims;
use divvy_cases::random::RandomRequest;

use crate::headers::Headers;
use crate::stream::Stream;
use crate::vm::{RootId, Trap, Vm};

/// The events of a stream from the request headers to the log callback.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// Headers of the request.
    pub request: Headers,
    /// Headers of the response; `None`: the stream ends without a response.
    pub response: Option<Headers>,
    /// Trailers of the response.
    pub trailers: Option<Headers>,
    /// `response.flags` at the log callback.
    pub flags: u64,
    /// Time from the request headers to the response headers.
    pub latency: Duration,
    /// Properties of the stream by path, whose segments are separated by NUL.
    pub properties: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The request as the host plays it, answered with 200.
impl From<&RandomRequest> for Exchange {
    fn from(sent: &RandomRequest) -> Self {
        let claims = sent.claims.as_ref().map(claims::properties);
        let headers = sent.headers.iter();
        let mut exchange = Self {
            request: headers
                .map(|(name, value)| (name, value))
                .collect::<Headers>(),
            properties: claims.unwrap_or_default(),
            ..Self::default()
        };
        let address = if sent.source.contains(':') {
            format!("[{}]:4711", sent.source)
        } else {
            format!("{}:4711", sent.source)
        };
        exchange = exchange.property(&["source", "address"], address);
        if let Some(peer) = sent.peer {
            exchange = exchange.property(&["connection", "uri_san_peer_certificate"], peer);
        }
        exchange.status(200)
    }
}

impl Exchange {
    /// A GET of curl with response 200, with the headers that Envoy adds.
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

    /// A gRPC call with this status in the response trailers.
    pub fn grpc(path: &str, status: u32) -> Self {
        let mut exchange = Exchange::get(path).header("te", "trailers");
        exchange.request.replace(":method", "POST");
        exchange.request.replace("content-type", "application/grpc");
        let trailers = Headers::from([("grpc-status", status.to_string())]);
        exchange.trailers = Some(trailers);
        exchange.response_header("content-type", "application/grpc")
    }

    /// Adds a request header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request.add(name, value);
        self
    }

    /// Adds a property by its path, such as `["source", "address"]`. Integers are eight bytes,
    /// little-endian.
    #[must_use]
    pub fn property(mut self, path: &[&str], value: impl AsRef<[u8]>) -> Self {
        let path = path.join("\0").into_bytes();
        self.properties.insert(path, value.as_ref().to_vec());
        self
    }

    /// Sets the status code of the response.
    #[must_use]
    pub fn status(self, code: u16) -> Self {
        self.response_header(":status", code.to_string())
    }

    /// Sets a response header.
    #[must_use]
    pub fn response_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let response = self.response.get_or_insert_default();
        response.replace(name, value);
        self
    }

    /// Removes the response; the stream ends with these response flags.
    #[must_use]
    pub fn without_response(mut self, flags: u64) -> Self {
        self.response = None;
        self.trailers = None;
        self.flags = flags;
        self
    }
}

impl Vm {
    /// Runs an exchange on a new stream and returns its final state.
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
        let stream = self.stream_mut(id);
        stream.response_flags = exchange.flags;
        if exchange.response.is_some() {
            // The upstream has sent its last byte.
            let path = b"response\0backend_latency".to_vec();
            stream.properties.entry(path).or_insert_with(|| vec![0; 8]);
        }
        self.finish(id)
    }
}

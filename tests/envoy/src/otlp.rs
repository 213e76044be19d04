//! A collector of trace spans: OTLP over HTTP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use prost::Message;

use crate::server::Server;

/// A running collector. Dropping it ends it.
pub struct Collector {
    server: Server,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Starts a collector that accepts exports at any path.
    pub async fn start() -> Result<Collector> {
        let spans = Arc::new(Mutex::<Vec<Span>>::default());
        let received = Arc::clone(&spans);
        let server = Server::start(move |request| {
            if let Ok(export) = Export::decode(request.into_body()) {
                let resources = export.resources.into_iter();
                let scopes = resources.flat_map(|resource| resource.scopes);
                let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
                received.extend(scopes.flat_map(|scope| scope.spans));
            }
            async { hyper::Response::new(Full::new(Bytes::new())) }
        })
        .await?;
        Ok(Collector { server, spans })
    }

    /// Its address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    /// The spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let spans = self.spans.lock();
        spans.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The part of an export that tests read; numbers are those of the protocol.
#[derive(Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Message)]
struct ResourceSpans {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

/// A span.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
}

impl Span {
    /// The value of an attribute that is text.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<String> {
        let found = self.attributes.iter().find(|pair| pair.key == key)?;
        found.value.as_ref()?.text.clone()
    }
}

//! Clients for what a test or the demo wants to send, and for what no decent client would.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use crate::raw::raw;
pub use crate::raw2::{Fate, raw_http2};

/// Nothing on one machine takes longer than this, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers, in the order of the wire for each name.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers; empty without any.
    pub trailers: HeaderMap,
}

impl Response {
    /// The first header of this name, when it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text, whatever bytes are in it.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {}", self.text()))
    }
}

/// A request with these headers. Values are bytes: `("x-user-id", b"\xff")` can be sent.
pub fn request<V: AsRef<[u8]>>(
    method: &str,
    path: &str,
    headers: &[(&str, V)],
    body: impl Into<Bytes>,
) -> Result<Request<Full<Bytes>>> {
    let method = Method::from_bytes(method.as_bytes())?;
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        request = request.header(name, HeaderValue::from_bytes(value.as_ref())?);
    }
    Ok(request.body(Full::new(body.into()))?)
}

/// An HTTP/1.1 client with one connection, kept alive and made anew when it is gone.
///
/// Requests go one after the other; for load, take several clients.
pub struct Http1 {
    addr: SocketAddr,
    connection: Mutex<Option<http1::SendRequest<Full<Bytes>>>>,
}

impl Http1 {
    /// A client for this address, which connects with the first request.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Http1 {
        Http1 {
            addr,
            connection: Mutex::new(None),
        }
    }

    /// GET without headers of its own.
    pub async fn get(&self, path: &str) -> Result<Response> {
        self.get_with(path, &[] as &[(&str, &str)]).await
    }

    /// GET with these headers.
    pub async fn get_with<V: AsRef<[u8]>>(
        &self,
        path: &str,
        headers: &[(&str, V)],
    ) -> Result<Response> {
        self.send(request("GET", path, headers, Bytes::new())?)
            .await
    }

    /// Any request. The path alone makes a good URI; `host` is added when it is missing.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response> {
        let host = HeaderValue::from_str(&self.addr.to_string())?;
        request.headers_mut().entry("host").or_insert(host);
        timeout(PATIENCE, self.exchange(request))
            .await
            .map_err(|_| anyhow!("no answer from {} in {PATIENCE:?}", self.addr))?
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Response> {
        let mut slot = self.connection.lock().await;
        loop {
            let (mut connection, fresh) = match slot.take() {
                Some(mut kept) => match kept.ready().await {
                    Ok(()) => (kept, false),
                    Err(_) => (self.connect().await?, true),
                },
                None => (self.connect().await?, true),
            };
            match connection.try_send_request(request).await {
                Ok(answer) => {
                    let answer = read(answer).await?;
                    *slot = Some(connection);
                    return Ok(answer);
                }
                Err(mut error) => match error.take_message() {
                    // A kept connection that the server closed meanwhile: nothing was sent yet.
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(error.into_error()).context("the request failed"),
                },
            }
        }
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>> {
        let (connection, driver) = http1::handshake(TokioIo::new(tcp(self.addr).await?)).await?;
        tokio::spawn(driver);
        Ok(connection)
    }
}

impl fmt::Debug for Http1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Http1").field(&self.addr).finish()
    }
}

/// An HTTP/2 client with prior knowledge, for gRPC. Clones share the connection, on which requests
/// go side by side.
#[derive(Clone, Debug)]
pub struct Http2 {
    addr: SocketAddr,
    connection: http2::SendRequest<Full<Bytes>>,
}

impl Http2 {
    /// Connects.
    pub async fn connect(addr: SocketAddr) -> Result<Http2> {
        let io = TokioIo::new(tcp(addr).await?);
        let (connection, driver) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(driver);
        Ok(Http2 { addr, connection })
    }

    /// Any request; its URI may be a path alone.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response> {
        complete(request.uri_mut(), self.addr)?;
        let mut connection = self.connection.clone();
        let exchange = async { read(connection.send_request(request).await?).await };
        timeout(PATIENCE, exchange)
            .await
            .map_err(|_| anyhow!("no answer from {} in {PATIENCE:?}", self.addr))?
    }

    /// The same on a connection of its own, with these trailers behind the body.
    pub async fn send_with_trailers<V: AsRef<[u8]>>(
        &self,
        request: Request<Full<Bytes>>,
        trailers: &[(&str, V)],
    ) -> Result<Response> {
        let mut map = HeaderMap::new();
        for (name, value) in trailers {
            let name = HeaderName::from_bytes(name.as_bytes())?;
            map.append(name, HeaderValue::from_bytes(value.as_ref())?);
        }
        let trailers = std::future::ready(Some(Ok(map)));
        let mut request = request.map(|body| body.with_trailers(trailers));
        complete(request.uri_mut(), self.addr)?;
        let io = TokioIo::new(tcp(self.addr).await?);
        let (mut connection, driver) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(driver);
        let exchange = async { read(connection.send_request(request).await?).await };
        timeout(PATIENCE, exchange)
            .await
            .map_err(|_| anyhow!("no answer from {} in {PATIENCE:?}", self.addr))?
    }

    /// A unary gRPC call: the message gets its frame, and the status is in the trailers (or, of an
    /// answer without a body, in the headers).
    pub async fn grpc(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        message: &[u8],
    ) -> Result<Response> {
        let mut body = vec![0];
        body.extend(u32::try_from(message.len())?.to_be_bytes());
        body.extend(message);
        let mut all = vec![("content-type", "application/grpc"), ("te", "trailers")];
        all.extend(headers);
        self.send(request("POST", path, &all, body)?).await
    }
}

/// What HTTP/2 wants of a URI, where it is a path alone.
fn complete(uri: &mut Uri, addr: SocketAddr) -> Result<()> {
    if uri.authority().is_none() {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *uri = format!("http://{addr}{path}").parse()?;
    }
    Ok(())
}

async fn tcp(addr: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(addr).await;
    let stream = stream.with_context(|| format!("cannot connect to {addr}"))?;
    // Small requests must not wait for the answer to the last one's acknowledgement.
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn read(answer: hyper::Response<hyper::body::Incoming>) -> Result<Response> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.context("the body broke off")?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Response {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.to_bytes(),
        trailers,
    })
}

//! HTTP/1.1, HTTP/2 and gRPC clients, and raw requests that an HTTP library refuses to send.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::client::conn::{http1, http2};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use crate::raw::raw;
pub use crate::raw_http2::{RawOutcome, raw_http2};

/// Timeout of one request and its response.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A complete response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers; values of one name are in the order received.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers; empty if there are none.
    pub trailers: HeaderMap,
}

impl Response {
    /// Reads the body and trailers of a response.
    pub async fn read(response: hyper::Response<hyper::body::Incoming>) -> Result<Response> {
        let (head, body) = response.into_parts();
        let body = body.collect().await;
        let body = body.context("the response body is incomplete")?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
            trailers,
        })
    }

    /// The first header with this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text; invalid UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }
}

/// A request with these headers, whose values may be any bytes, such as `b"\xff"`.
pub fn request<V: AsRef<[u8]>>(
    method: &str,
    path: &str,
    headers: &[(&str, V)],
    body: impl Into<Bytes>,
) -> Result<Request<Full<Bytes>>> {
    let method = Method::from_bytes(method.as_bytes())?;
    let request = Request::builder().method(method).uri(path);
    let mut request = request.body(Full::new(body.into()))?;
    *request.headers_mut() = header_map(headers)?;
    Ok(request)
}

/// The bytes of an HTTP/1.1 WebSocket handshake as this user, for [`raw`].
#[must_use]
pub fn websocket_handshake(path: &str, user: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: shop\r\nx-user-id: {user}\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

fn header_map<V: AsRef<[u8]>>(headers: &[(&str, V)]) -> Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        map.append(name, HeaderValue::from_bytes(value.as_ref())?);
    }
    Ok(map)
}

/// An HTTP/1.1 client with one keep-alive connection, which is reopened when the server closes it.
///
/// Requests are sequential; load needs several clients.
pub struct Http1 {
    addr: SocketAddr,
    connection: Mutex<Option<http1::SendRequest<Full<Bytes>>>>,
}

impl Http1 {
    /// A client for this address. The first request opens the connection.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Http1 {
        Http1 {
            addr,
            connection: Mutex::new(None),
        }
    }

    /// GET without additional headers.
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

    /// Sends any request. Its URI may be a path; `host` is added if it is missing.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response> {
        let host = HeaderValue::from_str(&self.addr.to_string())?;
        request.headers_mut().entry("host").or_insert(host);
        within_timeout(self.addr, self.exchange(request)).await
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Response> {
        let mut slot = self.connection.lock().await;
        loop {
            let (mut connection, new) = match slot.take() {
                Some(mut kept) => match kept.ready().await {
                    Ok(()) => (kept, false),
                    Err(_) => (self.connect().await?, true),
                },
                None => (self.connect().await?, true),
            };
            match connection.try_send_request(request).await {
                Ok(response) => {
                    let response = Response::read(response).await?;
                    *slot = Some(connection);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    // The server closed the kept connection before the request was sent: retry.
                    Some(unsent) if !new => request = unsent,
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

/// An HTTP/2 client with prior knowledge, for gRPC. Clones share one connection; requests are
/// concurrent.
#[derive(Clone, Debug)]
pub struct Http2 {
    addr: SocketAddr,
    connection: http2::SendRequest<Full<Bytes>>,
}

impl Http2 {
    /// Opens the connection.
    pub async fn connect(addr: SocketAddr) -> Result<Http2> {
        let connection = http2_handshake(addr).await?;
        Ok(Http2 { addr, connection })
    }

    /// Sends any request. Its URI may be a path.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response> {
        http2_exchange(self.connection.clone(), self.addr, request).await
    }

    /// Sends a request with trailers on a new connection.
    pub async fn send_with_trailers<V: AsRef<[u8]>>(
        &self,
        request: Request<Full<Bytes>>,
        trailers: &[(&str, V)],
    ) -> Result<Response> {
        let trailers = std::future::ready(Some(Ok(header_map(trailers)?)));
        let request = request.map(|body| body.with_trailers(trailers));
        http2_exchange(http2_handshake(self.addr).await?, self.addr, request).await
    }

    /// A unary gRPC call with a length-prefixed message. `grpc-status` is in the trailers, or in the
    /// headers of a response without a body.
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

type Http2Connection<B> = http2::SendRequest<B>;

async fn http2_handshake<B>(addr: SocketAddr) -> Result<Http2Connection<B>>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let io = TokioIo::new(tcp(addr).await?);
    let (connection, driver) = http2::handshake(TokioExecutor::new(), io).await?;
    tokio::spawn(driver);
    Ok(connection)
}

async fn http2_exchange<B>(
    mut connection: Http2Connection<B>,
    addr: SocketAddr,
    mut request: Request<B>,
) -> Result<Response>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    // HTTP/2 requires scheme and authority.
    let uri = request.uri_mut();
    if uri.authority().is_none() {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *uri = format!("http://{addr}{path}").parse()?;
    }
    within_timeout(addr, async {
        Response::read(connection.send_request(request).await?).await
    })
    .await
}

/// Runs an exchange with this server; after [`TIMEOUT`] the error names the server.
pub(crate) async fn within_timeout<T>(
    addr: SocketAddr,
    exchange: impl Future<Output = Result<T>>,
) -> Result<T> {
    timeout(TIMEOUT, exchange)
        .await
        .map_err(|_| anyhow!("no response from {addr} within {TIMEOUT:?}"))?
}

pub(crate) async fn tcp(addr: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(addr).await;
    let stream = stream.with_context(|| format!("cannot connect to {addr}"))?;
    // Nagle's algorithm delays small requests until earlier ones are acknowledged.
    stream.set_nodelay(true)?;
    Ok(stream)
}

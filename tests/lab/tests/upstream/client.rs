//! The clients: small ones, that show errors as they come.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use divvy_lab::upstream::Upstream;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Whatever went wrong on the way to an answer.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A client on one HTTP/2 connection.
pub type Http2 = http2::SendRequest<Full<Bytes>>;

/// A whole answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    pub trailers: HeaderMap,
}

impl Answer {
    /// A header's value, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// The upstream under test.
pub async fn shop() -> Upstream {
    Upstream::start("v2").await.unwrap()
}

/// A request without a body.
pub fn request(method: Method, target: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(target);
    let request = request.header("host", "shop");
    request.body(Full::default()).unwrap()
}

/// One HTTP/1.1 request on a connection of its own.
pub async fn http1(addr: SocketAddr, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
    let io = TokioIo::new(TcpStream::connect(addr).await?);
    let (mut client, connection) = http1::handshake(io).await?;
    tokio::spawn(connection);
    read(client.send_request(request).await?).await
}

/// [`http1`] for a GET.
pub async fn get(upstream: &Upstream, target: &str) -> Answer {
    let answer = http1(upstream.addr(), request(Method::GET, target)).await;
    answer.unwrap()
}

/// A connection with prior knowledge, and the task that ends with it.
pub async fn connect2(upstream: &Upstream) -> (Http2, JoinHandle<hyper::Result<()>>) {
    let io = TokioIo::new(TcpStream::connect(upstream.addr()).await.unwrap());
    let handshake = http2::handshake(TokioExecutor::new(), io).await;
    let (client, connection) = handshake.unwrap();
    (client, tokio::spawn(connection))
}

/// [`connect2`] where only the client matters.
pub async fn http2(upstream: &Upstream) -> Http2 {
    connect2(upstream).await.0
}

/// A GET on this connection.
pub async fn get2(client: &mut Http2, target: &str) -> Result<Answer, Failure> {
    let request = request(Method::GET, &format!("http://shop{target}"));
    read(client.send_request(request).await?).await
}

/// The response to its end.
pub async fn read(response: hyper::Response<hyper::body::Incoming>) -> Result<Answer, Failure> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.to_bytes().into())?,
        trailers,
    })
}

/// Sends these bytes and returns all that comes back, and how it ended.
pub async fn raw(upstream: &Upstream, bytes: &[u8]) -> (Vec<u8>, io::Result<()>) {
    let mut stream = TcpStream::connect(upstream.addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut received = Vec::new();
    let patience = Duration::from_secs(20);
    let end = tokio::time::timeout(patience, stream.read_to_end(&mut received)).await;
    (received, end.expect("the connection ends").map(|_| ()))
}

/// [`raw`] where the connection ends properly, with text.
pub async fn raw_text(upstream: &Upstream, bytes: &[u8]) -> String {
    let (received, end) = raw(upstream, bytes).await;
    end.unwrap();
    String::from_utf8(received).unwrap()
}

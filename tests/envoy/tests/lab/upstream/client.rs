//! Clients that show how a connection or stream ends.

use std::io;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use divvy_lab::client::{Http1, Response};
use divvy_lab::upstream::Upstream;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A client on one HTTP/2 connection.
pub type Http2 = http2::SendRequest<Full<Bytes>>;

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

/// One HTTP/1.1 request on a new connection.
pub async fn send(upstream: &Upstream, request: Request<Full<Bytes>>) -> Response {
    Http1::new(upstream.addr()).send(request).await.unwrap()
}

/// A GET with HTTP/1.1.
pub async fn get(upstream: &Upstream, target: &str) -> Response {
    send(upstream, request(Method::GET, target)).await
}

/// An HTTP/2 connection, and the task that ends with it.
pub async fn connect(upstream: &Upstream) -> (Http2, JoinHandle<hyper::Result<()>>) {
    let io = TokioIo::new(TcpStream::connect(upstream.addr()).await.unwrap());
    let handshake = http2::handshake(TokioExecutor::new(), io).await;
    let (client, connection) = handshake.unwrap();
    (client, tokio::spawn(connection))
}

/// An HTTP/2 connection.
pub async fn http2(upstream: &Upstream) -> Http2 {
    connect(upstream).await.0
}

/// A GET on this connection.
pub async fn get2(client: &mut Http2, target: &str) -> Result<Response> {
    let request = request(Method::GET, &format!("http://shop{target}"));
    Response::read(client.send_request(request).await?).await
}

/// Sends these bytes. Returns the received bytes and the end of the connection.
pub async fn raw(upstream: &Upstream, bytes: &[u8]) -> (Vec<u8>, io::Result<()>) {
    let mut stream = TcpStream::connect(upstream.addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut received = Vec::new();
    let timeout = Duration::from_secs(20);
    let end = tokio::time::timeout(timeout, stream.read_to_end(&mut received)).await;
    (received, end.expect("the connection ends").map(|_| ()))
}

/// Sends these bytes. Returns the received text; the connection must end without an error.
pub async fn raw_text(upstream: &Upstream, bytes: &[u8]) -> String {
    let (received, end) = raw(upstream, bytes).await;
    end.unwrap();
    String::from_utf8(received).unwrap()
}

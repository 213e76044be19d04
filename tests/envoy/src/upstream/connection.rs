//! Connections: accept loop, TCP resets and the number of bytes sent, which hyper does not offer to
//! handlers.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::knobs::Scope;
use super::shop::Shop;
use super::websocket::WebSocket;

// Limits far above Envoy's defaults.
const MAX_HEADERS: usize = 1_024;
const MAX_HEADER_BYTES: u32 = 1024 * 1024;

/// Accepts connections until it is cancelled, which also closes them.
pub async fn accept(listener: TcpListener, shop: Arc<Shop>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, shop.clone()));
                }
                // Out of file descriptors, most likely: retry later.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shop: Arc<Shop>) {
    // Nagle's algorithm would add to measured latencies. An error means that the connection is
    // closed, which the first read reports.
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(Connection::default());
    let socket = Socket {
        stream,
        connection: connection.clone(),
    };
    let service = service_fn(|request| {
        let (shop, connection) = (shop.clone(), connection.clone());
        async move { shop.serve(request, &connection).await }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_headers(MAX_HEADERS);
    builder.http2().max_header_list_size(MAX_HEADER_BYTES);
    {
        let mut server =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(socket), service));
        loop {
            tokio::select! {
                _ = server.as_mut() => break,
                _ = connection.reset.notified() => return,
                _ = connection.close_after_response.notified() => server.as_mut().graceful_shutdown(),
            }
        }
    }
    // Not in a task of its own, so that it ends with the upstream.
    if let Some(websocket) = connection.take_websocket() {
        websocket.run().await;
    }
}

/// State shared by the handlers of a connection and its socket.
#[derive(Default)]
pub struct Connection {
    written: watch::Sender<u64>,
    is_reset: AtomicBool,
    reset: Notify,
    close_after_response: Notify,
    websocket: Mutex<Option<WebSocket>>,
}

impl Connection {
    /// Number of bytes written to the socket.
    pub fn bytes_written(&self) -> u64 {
        *self.written.borrow()
    }

    /// Waits until this many bytes are written.
    pub async fn wait_until_written(&self, bytes: u64) {
        let mut written = self.written.subscribe();
        // An error is impossible: `self` owns the sender.
        let _ = written.wait_for(|written| *written >= bytes).await;
    }

    /// Resets the connection, or only the stream. The handler must return the error, which hyper
    /// turns into RST_STREAM on HTTP/2.
    pub fn reset(&self, scope: Scope) -> Aborted {
        if scope == Scope::Connection {
            self.is_reset.store(true, Ordering::Release);
            self.reset.notify_one();
        }
        Aborted
    }

    /// Closes the connection after the current response.
    pub fn close_after_response(&self) {
        self.close_after_response.notify_one();
    }

    /// Makes the connection a WebSocket after the current response.
    pub fn set_websocket(&self, websocket: WebSocket) {
        *self.slot() = Some(websocket);
    }

    fn take_websocket(&self) -> Option<WebSocket> {
        self.slot().take()
    }

    fn slot(&self) -> MutexGuard<'_, Option<WebSocket>> {
        self.websocket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of every reset.
#[derive(Debug)]
pub struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reset on request")
    }
}

impl Error for Aborted {}

/// The TCP stream, which counts written bytes and is closed with RST after a reset.
struct Socket {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Socket {
    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.connection
                .written
                .send_modify(|total| *total += bytes as u64);
        }
        written
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.connection.is_reset.load(Ordering::Acquire) {
            // With a linger time of zero the kernel sends RST. An error means that the peer reset
            // first.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.is_reset.load(Ordering::Acquire) {
            // No FIN before the RST.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

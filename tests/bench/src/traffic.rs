//! Clients: the same number of connections for each variant, with sequential requests.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::upstream::{BODY, END, abstract_path};

/// Number of concurrent requests.
pub const CONNECTIONS: usize = 8;
const OK: &[u8] = b"HTTP/1.1 200 ";

/// Requests that are sent repeatedly.
pub type Requests = Arc<[Vec<u8>]>;

/// A connection that is kept alive.
pub struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to a listener of Envoy.
    pub async fn open(socket: &str) -> Result<Connection> {
        let stream = UnixStream::connect(abstract_path(socket)).await;
        Ok(Connection {
            stream: stream.with_context(|| format!("cannot connect to {socket}"))?,
            buffer: Vec::with_capacity(16 * 1024),
        })
    }

    /// Head of the response; any status but 200 is an error.
    pub async fn ask(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "Envoy closed the connection");
            if let Some(end) = memmem::find(&self.buffer, END) {
                ensure!(
                    self.buffer.starts_with(OK),
                    "no 200: {}",
                    String::from_utf8_lossy(&self.buffer)
                );
                if self.buffer.len() >= end + END.len() + BODY.len() {
                    return Ok(&self.buffer[..end]);
                }
            }
        }
    }
}

/// Clients of one variant.
pub struct Clients {
    connections: Vec<Connection>,
    requests: Requests,
}

impl Clients {
    /// Connects all clients.
    pub async fn connect(socket: &str, requests: Requests) -> Result<Clients> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::open(socket).await?);
        }
        Ok(Clients {
            connections,
            requests,
        })
    }

    /// Sends this many requests on each connection, each after the previous response.
    pub async fn send(&mut self, each: usize) -> Result<()> {
        let mut senders = JoinSet::new();
        for (nth, mut connection) in self.connections.drain(..).enumerate() {
            let requests = Arc::clone(&self.requests);
            senders.spawn(async move {
                // Each connection starts with another user.
                let first = nth * requests.len() / CONNECTIONS;
                for request in requests.iter().cycle().skip(first).take(each) {
                    connection.ask(request).await?;
                }
                anyhow::Ok(connection)
            });
        }
        while let Some(sender) = senders.join_next().await {
            self.connections.push(sender??);
        }
        Ok(())
    }
}

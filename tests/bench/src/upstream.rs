//! Upstream with constant responses and a record of the last request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// Body of each response; clients rely on its length.
pub const BODY: &[u8] =
    br#"{"items":[{"sku":"A-1","count":2},{"sku":"B-7","count":1}],"total":4711}"#;
/// Header with the version.
pub const VERSION: &str = "x-shop-version";
pub(crate) const END: &[u8] = b"\r\n\r\n";

/// One version of the service. It listens until it is dropped.
pub struct Upstream {
    last: Arc<Mutex<String>>,
    listening: JoinHandle<()>,
}

impl Upstream {
    /// Listens at a socket in Linux's abstract namespace, which leaves no file behind.
    pub fn start(version: &str, socket: &str) -> Result<Upstream> {
        let listener = UnixListener::bind(abstract_path(socket))
            .with_context(|| format!("cannot listen at {socket}"))?;
        let answer: Arc<[u8]> = answer(version).into();
        let last = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&last);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&seen)));
            }
        });
        Ok(Upstream { last, listening })
    }

    /// Takes the head of the last request.
    pub fn take_last(&self) -> String {
        std::mem::take(&mut lock(&self.last))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Rust's name of the socket `@name`.
pub(crate) fn abstract_path(socket: &str) -> String {
    socket.replacen('@', "\0", 1)
}

fn answer(version: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         cache-control: private, no-store\r\nvary: accept-encoding\r\n{VERSION}: {version}\r\n\r\n",
        BODY.len()
    );
    [head.as_bytes(), BODY].concat()
}

async fn serve(mut stream: UnixStream, answer: Arc<[u8]>, last: Arc<Mutex<String>>) {
    let mut buffer = Vec::with_capacity(16 * 1024);
    // Requests have no bodies, so each ends with its head.
    while stream
        .read_buf(&mut buffer)
        .await
        .is_ok_and(|read| read > 0)
    {
        while let Some(end) = memmem::find(&buffer, END) {
            let head = buffer.drain(..end + END.len());
            let text = String::from_utf8_lossy(head.as_slice()).into_owned();
            drop(head);
            *lock(&last) = text;
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

fn lock(last: &Mutex<String>) -> MutexGuard<'_, String> {
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

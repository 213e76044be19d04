//! The HTTP server: connections, limits and routes.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::access::AccessRules;
use super::answer::{UiResponse, content, text};
use super::file::FollowedFile;
use super::live::LiveFeed;
use super::page::PageFiles;

/// Maximum number of connections. Further ones wait.
const MAX_CONNECTIONS: usize = 128;
/// Maximum number of answers that are computed at once.
const MAX_ANSWERS: usize = 4;
/// Maximum size of the headers of a request, in bytes.
const MAX_HEADERS: usize = 16 << 10;
/// Timeout of request headers, also of an idle connection.
const HEADERS: Duration = Duration::from_secs(10);
/// Maximum age of a connection. Browsers open another one.
const AGE: Duration = Duration::from_secs(120);
/// Time that a response has after that.
const LAST: Duration = Duration::from_secs(10);
/// Maximum length of a rollout's name in a query: a scrape job stands before it.
const MAX_NAME: usize = 1_024;

/// What all connections share.
pub struct UiServer {
    rules: AccessRules,
    page: PageFiles,
    file: FollowedFile,
    live: Arc<LiveFeed>,
    /// Permits for computed answers.
    answers: Semaphore,
}

impl UiServer {
    /// A server of these contents.
    pub fn new(
        rules: AccessRules,
        page: PageFiles,
        file: FollowedFile,
        live: Arc<LiveFeed>,
    ) -> Arc<Self> {
        Arc::new(Self {
            rules,
            page,
            file,
            live,
            answers: Semaphore::new(MAX_ANSWERS),
        })
    }

    /// Accepts connections until the future is dropped.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(Arc::clone(&self).connection(stream, permit));
                }
                // Without free descriptors, accept fails until a connection ends.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, permit: OwnedSemaphorePermit) {
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.respond(request).await) }
        });
        let mut connection = http1::Builder::new();
        connection
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .max_buf_size(MAX_HEADERS);
        let mut connection = pin!(connection.serve_connection(TokioIo::new(stream), service));
        if timeout(AGE, connection.as_mut()).await.is_err() {
            connection.as_mut().graceful_shutdown();
            // A client that does not read has had its time.
            let _ = timeout(LAST, connection).await;
        }
        drop(permit);
    }

    /// Answers a request; its body is not read.
    async fn respond<B>(self: Arc<Self>, request: Request<B>) -> UiResponse {
        let (request, _) = request.into_parts();
        if let Err((status, message)) = self.rules.check(&request) {
            return text(status, message);
        }
        let (asked, uri) = (&request.headers, &request.uri);
        match uri.path() {
            "/api/file" => {
                let answer = |server: &Self| serde_json::to_vec(&server.file.answer());
                self.computed(asked, move |server| answer(server).unwrap_or_default())
                    .await
            }
            "/api/live" => {
                let rollout = rollout(uri.query().unwrap_or_default());
                self.computed(asked, move |server| {
                    server.live.answer(&server.file, rollout.as_deref())
                })
                .await
            }
            path => match self.page.get(path) {
                Some(file) => content(asked, file.media, file.bytes.clone()),
                None => text(StatusCode::NOT_FOUND, "not found"),
            },
        }
    }

    /// JSON that a thread for blocking work computes.
    async fn computed(
        self: &Arc<Self>,
        asked: &HeaderMap,
        answer: impl FnOnce(&Self) -> Vec<u8> + Send + 'static,
    ) -> UiResponse {
        let _permit = self.answers.acquire().await;
        let server = Arc::clone(self);
        match spawn_blocking(move || answer(&server)).await {
            Ok(json) => content(asked, "application/json", Bytes::from(json)),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the answer failed"),
        }
    }
}

/// The rollout that a query asks for.
fn rollout(query: &str) -> Option<String> {
    let mut pairs = query.split('&');
    let name = pairs.find_map(|pair| pair.strip_prefix("rollout="))?;
    let name = percent_decode_str(name).decode_utf8().ok()?;
    (name.len() <= MAX_NAME).then(|| name.into_owned())
}

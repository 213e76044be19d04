//! The HTTPS server: connections, requests, limits, and its end. Knows nothing of Kubernetes.

use std::convert::Infallible;
use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::log::Log;
use super::review::{self, ReviewAnswer};

/// Maximum size of a request body in bytes. The API server accepts objects of 3 MiB.
const MAX_BODY: usize = 8 << 20;
/// Maximum number of connections. Further ones wait.
const MAX_CONNECTIONS: usize = 256;
/// Maximum number of bodies in memory. Further requests wait.
const MAX_REQUESTS: usize = 16;
/// Timeout of the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Timeout of request headers, also of an idle connection. The API server closes idle connections after 90 s.
const HEADERS: Duration = Duration::from_secs(100);
/// Timeout of a request body.
const BODY: Duration = Duration::from_secs(10);
/// Longest wait of a request for its turn: the longest timeout that a webhook may have.
const TURN: Duration = Duration::from_secs(30);
/// Timeout of running requests after the server stopped accepting connections.
const END: Duration = Duration::from_secs(30);

/// The state of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPhase {
    /// Answers everything.
    Serving,
    /// Also, but is not ready: the endpoints of its Service are being removed.
    Draining,
    /// Answers running requests only.
    Ending,
}

/// What all connections share.
#[derive(Debug)]
pub struct Server {
    phase: watch::Receiver<ServerPhase>,
    log: Log,
    is_strict: bool,
    /// Permits for bodies in memory.
    bodies: Arc<Semaphore>,
    /// Permits for the processors.
    processors: Arc<Semaphore>,
    started: Instant,
    /// Second in which a failed connection was last logged.
    logged: AtomicU64,
}

impl Server {
    /// A server that rejects warnings too if `is_strict`.
    pub fn new(phase: watch::Receiver<ServerPhase>, log: Log, is_strict: bool) -> Self {
        let processors = std::thread::available_parallelism();
        Self {
            phase,
            log,
            is_strict,
            bodies: Arc::new(Semaphore::new(MAX_REQUESTS)),
            processors: Arc::new(Semaphore::new(processors.map_or(1, NonZero::get))),
            started: Instant::now(),
            logged: AtomicU64::new(0),
        }
    }

    /// Accepts connections until the phase is [`ServerPhase::Ending`], then waits for running requests.
    pub async fn run(self: Arc<Self>, listener: TcpListener, acceptor: TlsAcceptor) {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut ending = pin!(until_ending(self.phase.clone()));
        loop {
            let next = async {
                let permit = Arc::clone(&connections).acquire_owned().await.ok()?;
                Some((listener.accept().await, permit))
            };
            let next = tokio::select! {
                next = next => next,
                () = &mut ending => break,
            };
            let Some((accepted, permit)) = next else {
                break;
            };
            match accepted {
                Ok((stream, _)) => {
                    let (server, acceptor) = (Arc::clone(&self), acceptor.clone());
                    tokio::spawn(server.connection(stream, acceptor, permit));
                }
                Err(error) => {
                    // Without free descriptors, accept fails until a connection ends.
                    self.connection_failed(&error.to_string());
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
        if timeout(END, connections.acquire_many(all)).await.is_err() {
            self.log.line("some requests did not end in time");
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        permit: OwnedSemaphorePermit,
    ) {
        let mut ending = pin!(until_ending(self.phase.clone()));
        let handshake = tokio::select! {
            handshake = timeout(HANDSHAKE, acceptor.accept(stream)) => handshake,
            () = &mut ending => return,
        };
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.connection_failed(&format!("TLS: {error}")),
            Err(_) => return self.connection_failed("TLS: the handshake timed out"),
        };
        let server = Arc::clone(&self);
        let service = service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.respond(request).await) }
        });
        let mut connection = http1::Builder::new();
        connection
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .max_buf_size(64 << 10);
        let mut connection = pin!(connection.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = ending => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // A client that goes away is not an event.
        drop((ended, permit));
    }

    /// Logs a failed connection, one per second: every client can cause them.
    fn connection_failed(&self, reason: &str) {
        let second = self.started.elapsed().as_secs() + 1;
        if self.logged.swap(second, Ordering::Relaxed) != second {
            self.log.line(&format!("connection failed: {reason}"));
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/healthz" if is_read => text(StatusCode::OK, "ok\n"),
            "/readyz" if is_read => match *self.phase.borrow() {
                ServerPhase::Serving => text(StatusCode::OK, "ok\n"),
                _ => text(StatusCode::SERVICE_UNAVAILABLE, "the server is ending\n"),
            },
            "/check" if request.method() == Method::POST => {
                let answer = self.review(request).await;
                answer.unwrap_or_else(|response| *response)
            }
            "/healthz" | "/readyz" => wrong_method("GET, HEAD"),
            "/check" => wrong_method("POST"),
            _ => text(
                StatusCode::NOT_FOUND,
                "not found: this server has /check, /healthz and /readyz\n",
            ),
        }
    }

    /// Answers a review; the error is the response to one without an answer.
    async fn review(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Box<Response<Full<Bytes>>>> {
        if !is_json(request.headers().get(CONTENT_TYPE)) {
            let message = "content-type is not application/json\n";
            return Err(Box::new(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)));
        }
        if request.body().size_hint().lower() > MAX_BODY as u64 {
            return Err(too_large());
        }
        let _body = turn(&self.bodies).await?;
        let body = Limited::new(request.into_body(), MAX_BODY).collect();
        let body = match timeout(BODY, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
            Ok(Err(_)) => {
                let message = "the body was cut off\n";
                return Err(Box::new(closing(text(StatusCode::BAD_REQUEST, message))));
            }
            Err(_) => {
                let message = "the body did not arrive in time\n";
                let response = text(StatusCode::REQUEST_TIMEOUT, message);
                return Err(Box::new(closing(response)));
            }
        };
        let permit = turn(&self.processors).await?;
        let is_strict = self.is_strict;
        let answer = spawn_blocking(move || {
            let _permit = permit;
            review::answer(&body, is_strict)
        });
        match answer.await {
            Ok(Ok(ReviewAnswer { body, refused })) => {
                if let Some(refused) = refused {
                    self.log.line(&format!("refused {refused}"));
                }
                Ok(json(&body))
            }
            Ok(Err(message)) => {
                let response = text(StatusCode::BAD_REQUEST, &format!("{message}\n"));
                Err(Box::new(response))
            }
            Err(_) => {
                let message = "the check failed\n";
                Err(Box::new(text(StatusCode::INTERNAL_SERVER_ERROR, message)))
            }
        }
    }
}

/// Waits for [`ServerPhase::Ending`].
async fn until_ending(mut phase: watch::Receiver<ServerPhase>) {
    let _ = phase.wait_for(|phase| *phase == ServerPhase::Ending).await;
}

/// Waits for a permit.
async fn turn(
    semaphore: &Arc<Semaphore>,
) -> Result<OwnedSemaphorePermit, Box<Response<Full<Bytes>>>> {
    match timeout(TURN, Arc::clone(semaphore).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => {
            let message = "too many requests at once\n";
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, message);
            let seconds = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, seconds);
            Err(Box::new(closing(response)))
        }
    }
}

fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let value = content_type.and_then(|value| value.to_str().ok());
    let media = value.and_then(|value| value.split(';').next());
    media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

fn too_large() -> Box<Response<Full<Bytes>>> {
    let message = format!("the body has more than {} MiB, the limit\n", MAX_BODY >> 20);
    Box::new(closing(text(StatusCode::PAYLOAD_TOO_LARGE, &message)))
}

fn wrong_method(allowed: &'static str) -> Response<Full<Bytes>> {
    let message = format!("the method is not one of: {allowed}\n");
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &message);
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    response
}

fn text(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let body = Bytes::copy_from_slice(message.as_bytes());
    response(status, "text/plain; charset=utf-8", body)
}

fn json(value: &serde_json::Value) -> Response<Full<Bytes>> {
    let body = Bytes::from(value.to_string());
    response(StatusCode::OK, "application/json", body)
}

fn response(status: StatusCode, media: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let media = HeaderValue::from_static(media);
    response.headers_mut().insert(CONTENT_TYPE, media);
    response
}

/// Ends the connection, of which the rest of the body is not read.
fn closing(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

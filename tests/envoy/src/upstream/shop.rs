//! One version of the shop and the processing of a request: knobs, behaviour, delay, response.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};

use super::answer::{self, Answer};
use super::behaviour::{Behaviour, Fault, Schedule};
use super::body::Body;
use super::connection::{Aborted, Connection};
use super::knobs::{Knobs, Reset, Scope};
use super::websocket::{self, WebSocket};
use super::{grpc, page};

/// State shared by all connections of an upstream.
pub struct Shop {
    version: String,
    version_header: HeaderValue,
    requests: AtomicU64,
    shadows: Mutex<Vec<Shadow>>,
    schedule: Mutex<Schedule>,
}

/// A request that Envoy mirrored to this upstream.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// The method.
    pub method: String,
    /// The host, to which Envoy appends `-shadow`.
    pub host: String,
    /// The headers.
    pub headers: HeaderMap,
}

impl Shop {
    pub fn new(version: &str) -> Result<Shop> {
        Ok(Shop {
            version: version.to_owned(),
            version_header: HeaderValue::from_str(version)
                .with_context(|| format!("version {version:?} is not a header value"))?,
            requests: AtomicU64::new(0),
            shadows: Mutex::default(),
            schedule: Mutex::new(Schedule::new(Behaviour::default())),
        })
    }

    /// The version's name.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The value of `x-shop-version`.
    pub fn version_header(&self) -> HeaderValue {
        self.version_header.clone()
    }

    /// The mirrored requests so far.
    pub fn shadows(&self) -> Vec<Shadow> {
        let shadows = self.shadows.lock();
        shadows.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records the request if it is mirrored.
    fn note_shadow(&self, request: &Request<Incoming>) {
        let authority = request.uri().authority().map(ToString::to_string);
        let host = request
            .headers()
            .get("host")
            .and_then(|host| host.to_str().ok());
        let host = authority
            .or_else(|| host.map(str::to_owned))
            .unwrap_or_default();
        let name = host.split(':').next().unwrap_or_default();
        if name.ends_with("-shadow") {
            let shadow = Shadow {
                method: request.method().to_string(),
                host,
                headers: request.headers().clone(),
            };
            let shadows = self.shadows.lock();
            shadows.unwrap_or_else(PoisonError::into_inner).push(shadow);
        }
    }

    /// Number of requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Sets the behaviour and resets its shares.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.schedule() = Schedule::new(behaviour);
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Responds to a request. The error resets the connection or stream.
    pub async fn serve(
        &self,
        mut request: Request<Incoming>,
        connection: &Arc<Connection>,
    ) -> Result<Response<Body>, Aborted> {
        if request.uri().path() == "/_behave" {
            let (parts, body) = request.into_parts();
            read_body(body).await?;
            let (status, line) = self.handle_behave(&parts.method, parts.uri.query());
            let answer = Answer::text(status, line);
            return Ok(answer.into_response(self, connection, &parts, Knobs::default()));
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.note_shadow(&request);
        let (knobs, error) = match Knobs::from_request(&request) {
            Ok(knobs) => (self.apply_behaviour(&request, knobs), None),
            Err(line) => (Knobs::default(), Some(line)),
        };
        if let Some(Reset {
            scope,
            in_body: false,
        }) = knobs.reset
        {
            wait_before_headers(&knobs).await;
            return Err(connection.reset(scope));
        }
        let upgrades = websocket::is_upgrade(&request) && knobs.status().as_u16() < 400;
        let handshake = (upgrades && error.is_none())
            .then(|| WebSocket::accept(&mut request, knobs.after_echo));
        let (parts, body) = request.into_parts();
        let received = read_body(body).await?;
        wait_before_headers(&knobs).await;
        let answer = match (error, handshake) {
            (Some(line), _) | (None, Some(Err(line))) => {
                Answer::text(StatusCode::BAD_REQUEST, line)
            }
            (None, Some(Ok((websocket, headers)))) => {
                connection.set_websocket(websocket);
                Answer::headers_only(StatusCode::SWITCHING_PROTOCOLS, headers)
            }
            // An HTTP error status simulates a proxy without gRPC support.
            (None, None) if grpc::is_grpc(&parts.headers) && knobs.status().is_success() => {
                grpc::answer(self, &parts, &knobs)
            }
            (None, None) => page::answer(self, &parts, &knobs, &received),
        };
        Ok(answer.into_response(self, connection, &parts, knobs))
    }

    /// Sets the knobs that the request does not set, according to the behaviour.
    fn apply_behaviour(&self, request: &Request<Incoming>, mut knobs: Knobs) -> Knobs {
        let mut schedule = self.schedule();
        if knobs.delay.is_none() && knobs.body_delay.is_none() && schedule.next_is_slow() {
            knobs.delay = Some(schedule.behaviour().delay);
            knobs.body_delay = Some(schedule.behaviour().body_delay);
        }
        if knobs.status.is_none() && knobs.grpc_status.is_none() && knobs.reset.is_none() {
            match schedule.next_fault() {
                Fault::None => {}
                Fault::Error if grpc::is_grpc(request.headers()) => {
                    knobs.grpc_status = Some(schedule.behaviour().grpc_status);
                    knobs.grpc_trailers_only = true;
                }
                Fault::Error => knobs.status = Some(schedule.behaviour().error_status),
                // A reset of the connection would also affect other requests.
                Fault::Reset => {
                    knobs.reset = Some(Reset {
                        scope: Scope::Stream,
                        in_body: false,
                    });
                }
            }
        }
        let has_body = request.method() != Method::HEAD
            && answer::may_have_body(knobs.status())
            && !(grpc::is_grpc(request.headers()) && knobs.grpc_trailers_only)
            && !websocket::is_upgrade(request);
        if let Some(reset) = &mut knobs.reset {
            if request.version() < Version::HTTP_2 {
                reset.scope = Scope::Connection;
            }
            reset.in_body &= has_body;
        }
        knobs
    }

    /// The response of `/_behave`.
    fn handle_behave(&self, method: &Method, query: Option<&str>) -> (StatusCode, String) {
        if method == Method::POST {
            match Behaviour::parse(query) {
                Ok(behaviour) => self.behave(behaviour),
                Err(line) => return (StatusCode::BAD_REQUEST, line),
            }
        } else if method != Method::GET && method != Method::HEAD {
            let line = "GET prints the behaviour, POST changes it";
            return (StatusCode::METHOD_NOT_ALLOWED, line.to_owned());
        }
        (StatusCode::OK, self.schedule().behaviour().to_string())
    }
}

/// Length and trailers of a request body.
pub struct RequestBody {
    /// Length in bytes.
    pub length: u64,
    /// Trailers.
    pub trailers: HeaderMap,
}

/// Reads the body to its end.
async fn read_body(mut body: Incoming) -> Result<RequestBody, Aborted> {
    let mut received = RequestBody {
        length: 0,
        trailers: HeaderMap::new(),
    };
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| Aborted)?.into_data() {
            Ok(data) => received.length += data.len() as u64,
            Err(frame) => received
                .trailers
                .extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok(received)
}

/// Waits for the delay before the headers. Even a timer of zero would take up to 1 ms.
async fn wait_before_headers(knobs: &Knobs) {
    if let Some(delay) = knobs.delay.filter(|delay| !delay.is_zero()) {
        tokio::time::sleep(delay).await;
    }
}

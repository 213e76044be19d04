//! One version of the shop, and the way of a request through it: what it asked for, what the
//! shop's behaviour makes of that, the wait, the answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};

use super::answer::{self, Answer};
use super::behaviour::{Behaviour, Fate, Live};
use super::body::Body;
use super::knobs::{Knobs, Reset, Scope};
use super::websocket::{self, WebSocket};
use super::wire::{Broken, Wire};
use super::{grpc, page};

/// What all connections of one upstream share.
pub struct Shop {
    version: String,
    version_header: HeaderValue,
    requests: AtomicU64,
    shadows: Mutex<Vec<Shadow>>,
    live: Mutex<Live>,
}

/// A copy of a request that went to another version.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// The method.
    pub method: String,
    /// The host, with Envoy's `-shadow`.
    pub host: String,
    /// The headers.
    pub headers: HeaderMap,
}

impl Shop {
    /// A healthy one.
    pub fn new(version: &str) -> Result<Shop> {
        Ok(Shop {
            version: version.to_owned(),
            version_header: HeaderValue::from_str(version)
                .with_context(|| format!("version {version:?} cannot stand in a header"))?,
            requests: AtomicU64::new(0),
            shadows: Mutex::default(),
            live: Mutex::new(Live::new(Behaviour::default())),
        })
    }

    /// Its name.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its name, as every answer carries it.
    pub fn version_header(&self) -> HeaderValue {
        self.version_header.clone()
    }

    /// The copies that have arrived.
    pub fn shadows(&self) -> Vec<Shadow> {
        let shadows = self.shadows.lock();
        shadows.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what came of a copy: Envoy puts `-shadow` behind its host.
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

    /// How many requests have arrived.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Behaves like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.live() = Live::new(behaviour);
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers, late or never as it was told to. The error breaks off the connection or stream.
    pub async fn serve(
        &self,
        mut request: Request<Incoming>,
        wire: &Arc<Wire>,
    ) -> Result<Response<Body>, Broken> {
        if request.uri().path() == "/_behave" {
            let (parts, body) = request.into_parts();
            drain(body).await?;
            let (status, line) = self.obey(&parts.method, parts.uri.query());
            let answer = Answer::text(status, line);
            return Ok(answer.finish(self, wire, &parts, Knobs::default()));
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.note_shadow(&request);
        let (knobs, complaint) = match Knobs::of(&request) {
            Ok(knobs) => (self.settle(&request, knobs), None),
            Err(line) => (Knobs::default(), Some(line)),
        };
        if let Some(Reset {
            scope,
            in_body: false,
        }) = knobs.reset
        {
            wait(&knobs).await;
            return Err(wire.reset(scope));
        }
        let upgrades = websocket::wanted(&request) && knobs.status().as_u16() < 400;
        let handshake = (upgrades && complaint.is_none())
            .then(|| WebSocket::accept(&mut request, knobs.after_echo));
        let (parts, body) = request.into_parts();
        let received = drain(body).await?;
        wait(&knobs).await;
        let answer = match (complaint, handshake) {
            (Some(line), _) | (None, Some(Err(line))) => {
                Answer::text(StatusCode::BAD_REQUEST, line)
            }
            (None, Some(Ok((websocket, headers)))) => {
                wire.becomes(websocket);
                Answer::bare(StatusCode::SWITCHING_PROTOCOLS, headers)
            }
            // A failing HTTP status comes from something that knows nothing of gRPC.
            (None, None) if grpc::asked(&parts.headers) && knobs.status().is_success() => {
                grpc::answer(self, &parts, &knobs)
            }
            (None, None) => page::answer(self, &parts, &knobs, &received),
        };
        Ok(answer.finish(self, wire, &parts, knobs))
    }

    /// Fills in what the request left to the shop's behaviour.
    fn settle(&self, request: &Request<Incoming>, mut knobs: Knobs) -> Knobs {
        let mut live = self.live();
        if knobs.delay.is_none() && knobs.body_delay.is_none() && live.slow() {
            knobs.delay = Some(live.behaviour().delay);
            knobs.body_delay = Some(live.behaviour().body_delay);
        }
        if knobs.status.is_none() && knobs.grpc_status.is_none() && knobs.reset.is_none() {
            match live.fate() {
                Fate::Served => {}
                Fate::Error if grpc::asked(request.headers()) => {
                    knobs.grpc_status = Some(live.behaviour().grpc_status);
                    knobs.grpc_trailers_only = true;
                }
                Fate::Error => knobs.status = Some(live.behaviour().error_status),
                // Shares are counted in requests, so a reset must not take others along.
                Fate::Reset => {
                    knobs.reset = Some(Reset {
                        scope: Scope::Stream,
                        in_body: false,
                    });
                }
            }
        }
        let has_body = request.method() != Method::HEAD
            && answer::may_have_body(knobs.status())
            && !(grpc::asked(request.headers()) && knobs.grpc_trailers_only)
            && !websocket::wanted(request);
        if let Some(reset) = &mut knobs.reset {
            if request.version() < Version::HTTP_2 {
                reset.scope = Scope::Connection;
            }
            reset.in_body &= has_body;
        }
        knobs
    }

    /// `/_behave`.
    fn obey(&self, method: &Method, query: Option<&str>) -> (StatusCode, String) {
        if method == Method::POST {
            match Behaviour::parse(query) {
                Ok(behaviour) => self.behave(behaviour),
                Err(line) => return (StatusCode::BAD_REQUEST, line),
            }
        } else if method != Method::GET && method != Method::HEAD {
            let line = "GET prints the behaviour, POST changes it";
            return (StatusCode::METHOD_NOT_ALLOWED, line.to_owned());
        }
        (StatusCode::OK, self.live().behaviour().to_string())
    }
}

/// What came in a request's body.
pub struct Received {
    /// Its bytes.
    pub length: u64,
    /// What came after them.
    pub trailers: HeaderMap,
}

/// Reads the body to its end without keeping it. If that fails nobody waits for an answer.
async fn drain(mut body: Incoming) -> Result<Received, Broken> {
    let mut received = Received {
        length: 0,
        trailers: HeaderMap::new(),
    };
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| Broken)?.into_data() {
            Ok(data) => received.length += data.len() as u64,
            Err(frame) => received
                .trailers
                .extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok(received)
}

/// Waits before the headers. Without a delay it does not: even a timer of zero would take up
/// to a millisecond.
async fn wait(knobs: &Knobs) {
    if let Some(delay) = knobs.delay.filter(|delay| !delay.is_zero()) {
        tokio::time::sleep(delay).await;
    }
}

//! From what an answer says to the response that a method and its knobs make of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};

use super::body::{self, Body, PIECE, Step};
use super::knobs::Knobs;
use super::shop::Shop;
use super::wire::Wire;

/// What stands in the body.
pub enum Content {
    /// Nothing, not even a length.
    None,
    /// These bytes.
    Bytes(Bytes),
    /// So much filler.
    Fill(u64),
    /// Server-sent events: how many, the text before each number, the pause between two.
    Events(u64, Arc<str>, Duration),
}

/// An answer before it is bent to the request's method and knobs.
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
    trailers: Option<HeaderMap>,
}

impl Answer {
    /// One with a body.
    pub fn new(status: StatusCode, content_type: &'static str, content: Content) -> Answer {
        let content_type = HeaderValue::from_static(content_type);
        Answer {
            status,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, content_type)]),
            content,
            trailers: None,
        }
    }

    /// One line for a terminal.
    pub fn text(status: StatusCode, mut line: String) -> Answer {
        line.push('\n');
        Answer::new(
            status,
            "text/plain; charset=utf-8",
            Content::Bytes(line.into()),
        )
    }

    /// One that is headers only.
    pub fn bare(status: StatusCode, headers: HeaderMap) -> Answer {
        Answer {
            status,
            headers,
            content: Content::None,
            trailers: None,
        }
    }

    /// With these headers too.
    pub fn with_headers(mut self, headers: HeaderMap) -> Answer {
        self.headers.extend(headers);
        self
    }

    /// With these after the body.
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Answer {
        self.trailers = Some(trailers);
        self
    }

    /// The response. Its status is already the one that the knobs ask for.
    pub fn finish(
        self,
        shop: &Shop,
        wire: &Arc<Wire>,
        request: &Parts,
        knobs: Knobs,
    ) -> Response<Body> {
        let mut headers = self.headers;
        headers.insert("x-shop-version", shop.version_header());
        for (name, value) in knobs.headers {
            headers.append(name, value);
        }
        if knobs.close && request.version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        } else if knobs.close {
            wire.last_answer();
        }
        let may_have_body = may_have_body(self.status);
        // Trailers end a body of their own accord, and a body of length zero would be over
        // before it could be reset.
        if let Some(length) = self.content.length()
            && may_have_body
            && self.trailers.is_none()
            && !(length == 0 && knobs.reset.is_some())
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        // The server underneath drops the body of a HEAD on HTTP/1 but sends it on HTTP/2.
        let absent = request.method == Method::HEAD || !may_have_body;
        let body = if absent || matches!(self.content, Content::None) {
            body::empty()
        } else {
            let mut steps = VecDeque::new();
            if let Some(delay) = knobs.body_delay.filter(|delay| !delay.is_zero()) {
                steps.push_back(Step::Wait(delay));
            }
            if let Some(reset) = knobs.reset {
                steps.extend(self.content.half().step());
                steps.push_back(Step::Reset(reset.scope));
            } else {
                steps.extend(self.content.step());
                steps.extend(self.trailers.map(Step::Trailers));
            }
            body::of(steps, wire.clone())
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

impl Content {
    fn length(&self) -> Option<u64> {
        match self {
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::Fill(size) => Some(*size),
            Content::None | Content::Events(..) => None,
        }
    }

    /// What goes out before a reset.
    fn half(self) -> Content {
        match self {
            Content::None => Content::None,
            Content::Bytes(bytes) => {
                let half = (bytes.len() / 2).min(PIECE);
                Content::Bytes(bytes.slice(..half))
            }
            Content::Fill(size) => Content::Fill((size / 2).min(PIECE as u64)),
            Content::Events(count, text, pause) => Content::Events(count.min(1), text, pause),
        }
    }

    fn step(self) -> Option<Step> {
        match self {
            Content::None => None,
            Content::Bytes(bytes) => Some(Step::Data(bytes)),
            Content::Fill(size) => Some(Step::Fill(size)),
            Content::Events(count, text, pause) => Some(Step::Events {
                next: 1,
                last: count,
                text,
                pause,
            }),
        }
    }
}

/// Whether HTTP allows a body with this status.
pub fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status.as_u16(), 204 | 205 | 304)
}

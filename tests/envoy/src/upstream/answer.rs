//! Responses before and after the request's method and knobs are applied.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};

use super::body::{self, Body, PIECE, Step};
use super::connection::Connection;
use super::knobs::Knobs;
use super::shop::Shop;

/// The content of a response body.
pub enum Content {
    /// No body and no content-length.
    None,
    /// These bytes.
    Bytes(Bytes),
    /// This many filler bytes.
    Fill(u64),
    /// Server-sent events: their number, the text before each ID, the pause between two.
    Events(u16, String, Duration),
}

/// A response before the request's method and knobs are applied.
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
    trailers: Option<HeaderMap>,
}

impl Answer {
    /// A response with a body.
    pub fn new(status: StatusCode, content_type: &'static str, content: Content) -> Answer {
        let content_type = HeaderValue::from_static(content_type);
        Answer {
            status,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, content_type)]),
            content,
            trailers: None,
        }
    }

    /// A line of text.
    pub fn text(status: StatusCode, mut line: String) -> Answer {
        line.push('\n');
        Answer::new(
            status,
            "text/plain; charset=utf-8",
            Content::Bytes(line.into()),
        )
    }

    /// A response without a body.
    pub fn headers_only(status: StatusCode, headers: HeaderMap) -> Answer {
        Answer {
            status,
            headers,
            content: Content::None,
            trailers: None,
        }
    }

    /// Adds headers.
    pub fn with_headers(mut self, headers: HeaderMap) -> Answer {
        self.headers.extend(headers);
        self
    }

    /// Sets trailers.
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Answer {
        self.trailers = Some(trailers);
        self
    }

    /// Applies the method and the knobs other than `status`, which [`Answer::new`] receives.
    pub fn into_response(
        self,
        shop: &Shop,
        connection: &Arc<Connection>,
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
            connection.close_after_response();
        }
        let may_have_body = may_have_body(self.status);
        // No content-length with trailers, which end the body themselves, nor with a reset of an empty
        // body, which would be complete before the reset.
        if let Some(length) = self.content.length()
            && may_have_body
            && self.trailers.is_none()
            && !(length == 0 && knobs.reset.is_some())
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        // hyper omits the body for HEAD on HTTP/1 but not on HTTP/2.
        let absent = request.method == Method::HEAD || !may_have_body;
        let body = if absent || matches!(self.content, Content::None) {
            body::empty()
        } else {
            let mut steps = VecDeque::new();
            steps.extend(knobs.body_delay.map(Step::Wait));
            if let Some(reset) = knobs.reset {
                steps.extend(self.content.half().steps());
                steps.push_back(Step::Reset(reset.scope));
            } else {
                steps.extend(self.content.steps());
                steps.extend(self.trailers.map(Step::Trailers));
            }
            body::from_steps(steps, connection.clone())
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

    /// The part that is sent before a reset.
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

    fn steps(self) -> Vec<Step> {
        match self {
            Content::None => Vec::new(),
            Content::Bytes(bytes) => vec![Step::Data(bytes)],
            Content::Fill(size) => vec![Step::Fill(size)],
            Content::Events(count, text, pause) => {
                let events = (1..=count).map(|id| format!("id: {id}\ndata: {text} {id}\n\n"));
                let mut steps: Vec<_> = events
                    .flat_map(|event| [Step::Wait(pause), Step::Data(event.into())])
                    .collect();
                steps.drain(..steps.len().min(1));
                steps
            }
        }
    }
}

/// Whether HTTP allows a body with this status.
pub fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status.as_u16(), 204 | 205 | 304)
}

//! The knobs of one request, from its query and its `x-test-` headers. The [parent module](super)
//! documents them.

use std::time::Duration;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Request, StatusCode};

use super::parse;

/// The kind and position of a reset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reset {
    /// The connection or the stream.
    pub scope: Scope,
    /// After half of the body; otherwise before the headers.
    pub in_body: bool,
}

/// The scope of a reset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scope {
    /// The TCP connection.
    Connection,
    /// One HTTP/2 stream; on HTTP/1 the connection.
    Stream,
}

/// The behaviour of a WebSocket after its first echo.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum AfterEcho {
    /// Continues until the client closes.
    #[default]
    Continue,
    /// Ends the connection without a close frame.
    Drop,
    /// Closes with a close frame.
    Close,
}

/// The knobs that a request sets.
#[derive(Debug, Default, PartialEq)]
pub struct Knobs {
    pub status: Option<StatusCode>,
    pub delay: Option<Duration>,
    pub body_delay: Option<Duration>,
    pub size: Option<u64>,
    pub echo: bool,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub close: bool,
    pub reset: Option<Reset>,
    pub grpc_status: Option<u32>,
    pub grpc_message: Option<HeaderValue>,
    pub grpc_trailers_only: bool,
    pub after_echo: AfterEcho,
    pub count: Option<u16>,
    pub interval: Option<Duration>,
}

impl Knobs {
    /// Parses the knobs. The error is the text of the response.
    pub fn from_request<B>(request: &Request<B>) -> Result<Knobs, String> {
        Knobs::read(request.headers(), request.uri().query())
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or_default()
    }

    fn read(headers: &HeaderMap, query: Option<&str>) -> Result<Knobs, String> {
        let mut knobs = Knobs::default();
        for (name, value) in headers {
            if let Some(key) = name.as_str().strip_prefix("x-test-") {
                knobs.set(key, value.as_bytes())?;
            }
        }
        for (key, value) in parse::pairs(query) {
            // Knobs are ASCII.
            if let Ok(key) = std::str::from_utf8(&key) {
                knobs.set(key, &value)?;
            }
        }
        Ok(knobs)
    }

    fn set(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        match key {
            "status" => self.status = Some(parse::status(key, value)?),
            "delay" => self.delay = Some(parse::duration(key, value)?),
            "body-delay" => self.body_delay = Some(parse::duration(key, value)?),
            "size" => self.size = Some(parse::number(key, value)?),
            "echo" => self.echo = true,
            "header" => self.headers.push(header(key, value)?),
            "close" => self.close = true,
            "reset" => self.reset = Some(reset(key, value)?),
            "grpc-status" => self.grpc_status = Some(parse::number(key, value)?),
            "grpc-message" => self.grpc_message = Some(header_value(key, value)?),
            "grpc-trailers-only" => self.grpc_trailers_only = true,
            "ws" => self.after_echo = after_echo(key, value)?,
            "count" => self.count = Some(parse::number(key, value)?),
            "interval" => self.interval = Some(parse::duration(key, value)?),
            _ => {}
        }
        Ok(())
    }
}

fn reset(key: &str, value: &[u8]) -> Result<Reset, String> {
    let (scope, in_body) = match value {
        b"headers" => (Scope::Connection, false),
        b"body" => (Scope::Connection, true),
        b"stream" => (Scope::Stream, false),
        b"stream-body" => (Scope::Stream, true),
        _ => {
            let wanted = "one of headers, body, stream, stream-body";
            return Err(parse::wrong(key, value, wanted));
        }
    };
    Ok(Reset { scope, in_body })
}

fn after_echo(key: &str, value: &[u8]) -> Result<AfterEcho, String> {
    match value {
        b"drop" => Ok(AfterEcho::Drop),
        b"close" => Ok(AfterEcho::Close),
        _ => Err(parse::wrong(key, value, "one of drop, close")),
    }
}

fn header(key: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || parse::wrong(key, value, "a header such as name:value");
    let colon = value.iter().position(|b| *b == b':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(&value[..colon]).map_err(|_| wrong())?;
    // hyper sets these headers itself and panics if they contradict its framing.
    if [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE].contains(&name) {
        let wanted = "a header that can be added: it is part of the framing";
        return Err(parse::wrong(key, value, wanted));
    }
    let value = header_value(key, value[colon + 1..].trim_ascii())?;
    Ok((name, value))
}

fn header_value(key: &str, value: &[u8]) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(value).map_err(|_| parse::wrong(key, value, "a header's value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Knobs, String> {
        Knobs::read(&HeaderMap::new(), Some(query))
    }

    #[test]
    fn the_query_takes_precedence_over_headers() {
        let mut headers = HeaderMap::new();
        headers.append("x-test-grpc-status", HeaderValue::from_static("5"));
        headers.append("x-test-delay", HeaderValue::from_static("1s"));
        let knobs = Knobs::read(&headers, Some("grpc-status=14")).unwrap();
        assert_eq!(knobs.grpc_status, Some(14));
        assert_eq!(knobs.delay, Some(Duration::from_secs(1)));
    }

    #[test]
    fn unknown_keys_are_ignored() {
        assert_eq!(read("uid=%FF&%FF=1&=&&x&%zz=%"), read(""));
    }

    #[test]
    fn an_invalid_value_is_an_error_that_names_the_knob() {
        for (query, key) in [
            ("status=abc", "status"),
            ("status=101", "status"),
            ("size=-1", "size"),
            ("delay=5", "delay"),
            ("reset=trailers", "reset"),
            ("reset", "reset"),
            ("ws=reset", "ws"),
            ("header=novalue", "header"),
            ("header=:", "header"),
            ("header=a:b%0d%0ac:d", "header"),
            ("header=Content-Length:5", "header"),
            ("grpc-status=ok", "grpc-status"),
            ("grpc-message=%0a", "grpc-message"),
        ] {
            let error = read(query).unwrap_err();
            assert!(error.starts_with(&format!("{key}: \"")), "{query}: {error}");
        }
    }
}

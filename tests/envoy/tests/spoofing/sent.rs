//! Forged requests and their expected effects.

use std::fmt;
use std::net::SocketAddr;

use anyhow::Result;
use divvy_lab::client::{Http2, RawOutcome, Response, raw, raw_http2, request};

use crate::spoofing::what::{HOST, What};

/// The expected effect of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// The decision of the honest spelling.
    With,
    /// The decision without the header.
    Without,
    /// The decision of this user.
    User(Vec<u8>),
    /// No rollout matches.
    Undecided,
    /// Honest or undecided, whichever fits the path that the upstream receives: versions of Envoy
    /// differ.
    AsRead,
    /// Envoy itself answers with this status.
    Refused(u16),
    /// Envoy itself redirects the client to this path.
    Redirected(&'static str),
    /// Envoy itself closes the connection.
    Closed,
}

/// A request.
#[derive(Clone, Debug)]
pub enum Sent {
    /// These bytes.
    Http1(Http1),
    /// Fields that a library sends, after those of every request.
    Http2 { fields: Fields, trailers: Fields },
    /// Fields that no library sends.
    Malformed(Fields),
}

/// Names and values.
pub type Fields = Vec<(String, Vec<u8>)>;

/// The parts of an HTTP/1.1 request.
#[derive(Clone, Debug)]
pub struct Http1 {
    pub method: &'static str,
    pub target: String,
    pub host: String,
    pub lines: Vec<Vec<u8>>,
    /// The bytes after the headers.
    pub rest: Vec<u8>,
}

impl Http1 {
    /// GET /checkout with these lines and the line of the row.
    pub fn of(what: &What, lines: &[Vec<u8>]) -> Http1 {
        let beside = what.beside.map(|line| line.as_bytes().to_vec());
        Http1 {
            method: "GET",
            target: "/checkout".to_owned(),
            host: HOST.to_owned(),
            lines: lines.iter().cloned().chain(beside).collect(),
            rest: Vec::new(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        // The forged lines come first: one that begins with white space must not continue another.
        for line in &self.lines {
            bytes.extend([line, &b"\r\n"[..]].concat());
        }
        bytes.extend(format!("host: {}\r\nx-test-echo: yes\r\n\r\n", self.host).bytes());
        bytes.extend(&self.rest);
        bytes
    }
}

/// The result of a request.
#[derive(Debug)]
pub enum Outcome {
    /// An answer.
    Answer(Box<Response>),
    /// The request was malformed: the error.
    Http2(RawOutcome),
}

impl Sent {
    /// Sends it on a new connection.
    pub async fn send(&self, addr: SocketAddr) -> Result<Outcome> {
        match self {
            Sent::Http1(request) => {
                let answer = raw(addr, &request.bytes()).await?;
                Ok(Outcome::Answer(Box::new(answer)))
            }
            Sent::Http2 { fields, trailers } => {
                let client = Http2::connect(addr).await?;
                let uri = format!("http://{HOST}/checkout");
                let mut all = vec![("x-test-echo", &b"yes"[..])];
                all.extend(borrowed(fields));
                let answer = if trailers.is_empty() {
                    client.send(request("GET", &uri, &all, "")?).await
                } else {
                    let request = request("POST", &uri, &all, "body")?;
                    client
                        .send_with_trailers(request, &borrowed(trailers))
                        .await
                };
                Ok(Outcome::Answer(Box::new(answer?)))
            }
            Sent::Malformed(fields) => {
                let mut all = [
                    (":method", "GET"),
                    (":scheme", "http"),
                    (":authority", HOST),
                    (":path", "/checkout"),
                ]
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
                .to_vec();
                all.extend(fields.iter().cloned());
                Ok(Outcome::Http2(raw_http2(addr, &all).await?))
            }
        }
    }
}

fn borrowed(fields: &Fields) -> Vec<(&str, &[u8])> {
    let pairs = fields.iter().map(|(name, value)| (&**name, &**value));
    pairs.collect()
}

/// A line as a field of HTTP/2.
pub fn field(line: &[u8]) -> (String, Vec<u8>) {
    let text = String::from_utf8_lossy(line);
    let (name, value) = text.split_once(": ").unwrap_or((&text, ""));
    (name.to_owned(), value.as_bytes().to_vec())
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sent::Http1(request) => write!(f, "{}", request.bytes().escape_ascii()),
            Sent::Http2 { fields, trailers } => write!(f, "HTTP/2 {fields:?} {trailers:?}"),
            Sent::Malformed(fields) => write!(f, "HTTP/2 {fields:?}"),
        }
    }
}

//! HTTP/2 requests field by field, for what an HTTP library refuses to send.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Context, Result, anyhow, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::PATIENCE;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const END_STREAM_AND_HEADERS: u8 = 0x5;
const STREAM: u32 = 1;

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It was answered with this status; 0 where the status is not one of the seven that have a
    /// place in HPACK's static table.
    Answered(u16),
    /// Its stream was reset, for this reason.
    Reset(u32),
    /// Its connection was ended, for this reason.
    GoneAway(u32),
    /// Its connection was closed without a word.
    Closed,
}

/// Sends these fields as the headers of one request without a body, on a connection of its own.
/// Nothing is added or put right: the pseudo-headers are the caller's.
pub async fn raw_http2<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    addr: SocketAddr,
    fields: &[(N, V)],
) -> Result<Fate> {
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal without indexing, whose name is a literal too.
        block.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
            block.push(length.context("a field of 127 bytes or more")?);
            block.extend(text);
        }
    }
    let mut request = PREFACE.to_vec();
    request.extend(frame(SETTINGS, 0, 0, &[])?);
    request.extend(frame(HEADERS, END_STREAM_AND_HEADERS, STREAM, &block)?);
    let exchange = async {
        let stream = TcpStream::connect(addr).await;
        let mut stream = stream.with_context(|| format!("cannot connect to {addr}"))?;
        stream.write_all(&request).await?;
        fate(&mut stream).await
    };
    timeout(PATIENCE, exchange)
        .await
        .map_err(|_| anyhow!("no answer from {addr} in {PATIENCE:?}"))?
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<Vec<u8>> {
    let [high, length @ ..] = u32::try_from(payload.len())?.to_be_bytes();
    ensure!(high == 0, "a frame of 16 MiB or more");
    let mut frame = length.to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    Ok(frame)
}

async fn fate(stream: &mut TcpStream) -> Result<Fate> {
    loop {
        let mut head = [0; 9];
        match stream.read_exact(&mut head).await {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Fate::Closed),
            read => read?,
        };
        let [l1, l2, l3, kind, _flags, s1, s2, s3, s4] = head;
        let length = u32::from_be_bytes([0, l1, l2, l3]);
        let mut payload = vec![0; usize::try_from(length)?];
        stream.read_exact(&mut payload).await?;
        let ours = u32::from_be_bytes([s1, s2, s3, s4]) == STREAM;
        match kind {
            HEADERS if ours => return Ok(Fate::Answered(status(&payload))),
            RST_STREAM if ours => return Ok(Fate::Reset(reason(&payload, 0)?)),
            GOAWAY => return Ok(Fate::GoneAway(reason(&payload, 4)?)),
            _ => {}
        }
    }
}

/// The status, which stands first. A server may resize its dynamic table before that.
fn status(block: &[u8]) -> u16 {
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let first = block.iter().find(|byte| **byte & 0xe0 != 0x20);
    let place = first.and_then(|byte| byte.checked_sub(0x88));
    place.map_or(0, |place| {
        STATIC.get(usize::from(place)).copied().unwrap_or(0)
    })
}

fn reason(payload: &[u8], at: usize) -> Result<u32> {
    let bytes = payload.get(at..at + 4).context("a frame is too short")?;
    Ok(u32::from_be_bytes(bytes.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Upstream;

    const GOOD: [(&str, &str); 4] = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "shop"),
        (":path", "/"),
    ];

    async fn ask(more: &[(&str, &str)]) -> Fate {
        let upstream = Upstream::start("v1").await.unwrap();
        let fields = [&GOOD[..], more].concat();
        raw_http2(upstream.addr(), &fields).await.unwrap()
    }

    #[tokio::test]
    async fn a_good_request_is_answered() {
        assert_eq!(ask(&[("x-user-id", "u")]).await, Fate::Answered(200));
        assert_eq!(ask(&[("x-test-status", "400")]).await, Fate::Answered(400));
        assert_eq!(ask(&[("x-test-status", "418")]).await, Fate::Answered(0));
    }

    #[tokio::test]
    async fn a_malformed_request_goes_out_as_it_is_and_is_refused() {
        const PROTOCOL_ERROR: u32 = 1;
        let fate = ask(&[("X-User-Id", "u")]).await;
        assert_eq!(fate, Fate::GoneAway(PROTOCOL_ERROR));
        let fate = ask(&[("connection", "close")]).await;
        assert_eq!(fate, Fate::Reset(PROTOCOL_ERROR));
    }
}

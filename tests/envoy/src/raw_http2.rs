//! HTTP/2 requests given as fields, for requests that an HTTP library refuses to send.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{tcp, within_timeout};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const END_STREAM_AND_HEADERS: u8 = 0x5;
const STREAM: u32 = 1;

/// The outcome of a raw HTTP/2 request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RawOutcome {
    /// A response with this status; 0 if HPACK's static table does not contain the status.
    Response(u16),
    /// `RST_STREAM` with this error code.
    Reset(u32),
    /// `GOAWAY` with this error code.
    GoAway(u32),
    /// The server closed the connection without a frame for the request.
    Closed,
}

/// Sends these fields, pseudo-headers included, verbatim as one request without a body on a new
/// connection.
pub async fn raw_http2<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    addr: SocketAddr,
    fields: &[(N, V)],
) -> Result<RawOutcome> {
    let mut block = Vec::new();
    for (name, value) in fields {
        // HPACK: literal field without indexing, literal name.
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
    within_timeout(addr, async {
        let mut stream = tcp(addr).await?;
        stream.write_all(&request).await?;
        outcome(&mut stream).await
    })
    .await
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

async fn outcome(stream: &mut TcpStream) -> Result<RawOutcome> {
    loop {
        let mut head = [0; 9];
        match stream.read_exact(&mut head).await {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Ok(RawOutcome::Closed);
            }
            read => read?,
        };
        let [l1, l2, l3, kind, _flags, s1, s2, s3, s4] = head;
        let length = u32::from_be_bytes([0, l1, l2, l3]);
        let mut payload = vec![0; usize::try_from(length)?];
        stream.read_exact(&mut payload).await?;
        let ours = u32::from_be_bytes([s1, s2, s3, s4]) == STREAM;
        match kind {
            HEADERS if ours => return Ok(RawOutcome::Response(status(&payload))),
            RST_STREAM if ours => return Ok(RawOutcome::Reset(error_code(&payload, 0)?)),
            GOAWAY => return Ok(RawOutcome::GoAway(error_code(&payload, 4)?)),
            _ => {}
        }
    }
}

/// The status, which is the first field; updates of the dynamic table's size may precede it.
fn status(block: &[u8]) -> u16 {
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let first = block.iter().find(|byte| **byte & 0xe0 != 0x20);
    let index = first.and_then(|byte| byte.checked_sub(0x88));
    index
        .and_then(|index| STATIC.get(usize::from(index)))
        .map_or(0, |status| *status)
}

fn error_code(payload: &[u8], at: usize) -> Result<u32> {
    let bytes = payload.get(at..at + 4).context("a frame is too short")?;
    Ok(u32::from_be_bytes(bytes.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Upstream;

    const VALID: [(&str, &str); 4] = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "shop"),
        (":path", "/"),
    ];

    async fn send(more: &[(&str, &str)]) -> RawOutcome {
        let upstream = Upstream::start("v1").await.unwrap();
        let fields = [&VALID[..], more].concat();
        raw_http2(upstream.addr(), &fields).await.unwrap()
    }

    #[tokio::test]
    async fn the_status_of_a_valid_request_is_returned() {
        assert_eq!(send(&[("x-user-id", "u")]).await, RawOutcome::Response(200));
        assert_eq!(
            send(&[("x-test-status", "400")]).await,
            RawOutcome::Response(400)
        );
        assert_eq!(
            send(&[("x-test-status", "418")]).await,
            RawOutcome::Response(0)
        );
    }

    #[tokio::test]
    async fn a_malformed_request_is_sent_verbatim() {
        const PROTOCOL_ERROR: u32 = 1;
        let upper_case = send(&[("X-User-Id", "u")]).await;
        assert_eq!(upper_case, RawOutcome::GoAway(PROTOCOL_ERROR));
        let connection = send(&[("connection", "close")]).await;
        assert_eq!(connection, RawOutcome::Reset(PROTOCOL_ERROR));
    }
}

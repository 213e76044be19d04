//! HTTP/1 requests given as bytes, for requests that an HTTP library refuses to send.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::client::{Response, tcp, within_timeout};

/// Sends these bytes verbatim on a new connection and reads one response.
pub async fn raw(addr: SocketAddr, bytes: &[u8]) -> Result<Response> {
    within_timeout(addr, async {
        let mut stream = tcp(addr).await?;
        let (reader, mut writer) = stream.split();
        // A server may respond and close before it has read everything: a write error counts only
        // without a response.
        let sent = writer.write_all(bytes).await;
        let mut reader = BufReader::new(reader);
        match response(&mut reader, bytes.starts_with(b"HEAD ")).await {
            Ok(response) => Ok(response),
            Err(error) => Err(sent.err().map_or(error, Into::into)),
        }
    })
    .await
}

type Reader<'a> = BufReader<tokio::net::tcp::ReadHalf<'a>>;

async fn response(reader: &mut Reader<'_>, to_head: bool) -> Result<Response> {
    let (status, headers) = loop {
        let head = head(reader).await?;
        // Interim responses such as 100 precede the final one; 101 is final.
        if head.0 >= 200 || head.0 == 101 {
            break head;
        }
    };
    let mut trailers = HeaderMap::new();
    let chunked = headers
        .get("transfer-encoding")
        .is_some_and(|value| value == "chunked");
    let body = if to_head || status < 200 || status == 204 || status == 304 {
        Vec::new()
    } else if chunked {
        let body = chunks(reader).await?;
        trailers = fields(reader).await?;
        body
    } else if let Some(length) = headers.get("content-length") {
        let mut body = vec![0; length.to_str()?.parse()?];
        let read = reader.read_exact(&mut body).await;
        read.context("the response body is incomplete")?;
        body
    } else {
        let mut body = Vec::new();
        reader.read_to_end(&mut body).await?;
        body
    };
    Ok(Response {
        status,
        headers,
        body: Bytes::from(body),
        trailers,
    })
}

async fn head(reader: &mut Reader<'_>) -> Result<(u16, HeaderMap)> {
    let line = line(reader).await?;
    let line = String::from_utf8_lossy(&line);
    let status = line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5)?.parse().ok())
        .with_context(|| format!("not a status line: {line:?}"))?;
    Ok((status, fields(reader).await?))
}

async fn fields(reader: &mut Reader<'_>) -> Result<HeaderMap> {
    let mut fields = HeaderMap::new();
    loop {
        let line = line(reader).await?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .context("a header has no colon")?;
        fields.append(
            HeaderName::from_bytes(&line[..colon])?,
            HeaderValue::from_bytes(line[colon + 1..].trim_ascii())?,
        );
    }
}

async fn chunks(reader: &mut Reader<'_>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(reader).await?;
        let size = String::from_utf8_lossy(&size);
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
            .with_context(|| format!("not a chunk size: {size:?}"))?;
        if size == 0 {
            return Ok(body);
        }
        let start = body.len();
        body.resize(start + size, 0);
        let read = reader.read_exact(&mut body[start..]).await;
        read.context("the response body is incomplete")?;
        ensure!(
            line(reader).await?.is_empty(),
            "a chunk is longer than its size"
        );
    }
}

async fn line(reader: &mut Reader<'_>) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).await?;
    if line.pop() != Some(b'\n') {
        bail!("the server closed the connection without a response");
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Sends `request` to a server that accepts one connection and sends `response`.
    async fn exchange(request: &'static [u8], response: &'static [u8]) -> Result<Response> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut received = vec![0; request.len()];
            stream.read_exact(&mut received).await?;
            assert_eq!(received, request);
            stream.write_all(response).await
        });
        let response = raw(addr, request).await;
        server.await??;
        response
    }

    #[tokio::test]
    async fn invalid_utf8_is_sent_and_received_unchanged() {
        let sent =
            b"HTTP/1.1 200 OK\r\nx-odd: \xff\r\nX-Odd: two\r\ncontent-length: 2\r\n\r\n\xfe!";
        let response = exchange(b"GET / HTTP/1.1\r\nX-User-Id: \xff\r\n\r\n", sent)
            .await
            .unwrap();
        assert_eq!(response.status, 200);
        let odd: Vec<_> = response.headers.get_all("x-odd").iter().collect();
        assert_eq!(odd, [&b"\xff"[..], b"two"]);
        assert_eq!(&response.body[..], b"\xfe!");
    }

    #[tokio::test]
    async fn body_framings_are_read() {
        let chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\
            transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: 1\r\n\r\n";
        let response = exchange(b"x", chunked).await.unwrap();
        assert_eq!(response.text(), "abcde");
        assert_eq!(response.trailers["t"], "1");
        let until_close = exchange(b"x", b"HTTP/1.1 200 OK\r\n\r\nrest").await;
        assert_eq!(until_close.unwrap().text(), "rest");
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
        assert_eq!(exchange(b"HEAD / ", head).await.unwrap().text(), "");
        let error = exchange(b"x", b"").await.unwrap_err().to_string();
        assert!(error.contains("without a response"), "{error}");
    }
}

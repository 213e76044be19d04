//! Requests byte by byte, for what an HTTP library refuses to send.

use std::net::SocketAddr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{PATIENCE, Response};

/// Sends these bytes on a connection of their own and reads one answer. Nothing is added: the
/// request line, `Host` and the empty line are the caller's.
pub async fn raw(addr: SocketAddr, bytes: &[u8]) -> Result<Response> {
    let exchange = async {
        let stream = TcpStream::connect(addr).await;
        let mut stream = stream.with_context(|| format!("cannot connect to {addr}"))?;
        let (reader, mut writer) = stream.split();
        // The server may answer and close before it has read everything; that answer counts.
        let sent = writer.write_all(bytes).await;
        let mut reader = BufReader::new(reader);
        match answer(&mut reader, bytes.starts_with(b"HEAD ")).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(sent.err().map_or(error, Into::into)),
        }
    };
    timeout(PATIENCE, exchange)
        .await
        .map_err(|_| anyhow!("no answer from {addr} in {PATIENCE:?}"))?
}

type Reader<'a> = BufReader<tokio::net::tcp::ReadHalf<'a>>;

async fn answer(reader: &mut Reader<'_>, to_head: bool) -> Result<Response> {
    let (status, headers) = loop {
        let head = head(reader).await?;
        // 100 Continue and its like come before the answer; 101 is one.
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
        reader
            .read_exact(&mut body)
            .await
            .context("the body broke off")?;
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
        .with_context(|| format!("no status line: {line:?}"))?;
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
            .with_context(|| format!("no size of a chunk: {size:?}"))?;
        if size == 0 {
            return Ok(body);
        }
        let start = body.len();
        body.resize(start + size, 0);
        reader
            .read_exact(&mut body[start..])
            .await
            .context("the body broke off")?;
        ensure!(
            line(reader).await?.is_empty(),
            "a chunk is longer than it said"
        );
    }
}

async fn line(reader: &mut Reader<'_>) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).await?;
    if line.pop() != Some(b'\n') {
        bail!("the server closed the connection without an answer");
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

    /// Answers one connection with these bytes, whatever is asked.
    async fn ask(request: &'static [u8], answer: &'static [u8]) -> Result<Response> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut asked = vec![0; request.len()];
            stream.read_exact(&mut asked).await?;
            assert_eq!(asked, request);
            stream.write_all(answer).await
        });
        let response = raw(addr, request).await;
        server.await??;
        response
    }

    #[tokio::test]
    async fn bytes_go_out_and_come_back_as_they_are() {
        let answer =
            b"HTTP/1.1 200 OK\r\nx-odd: \xff\r\nX-Odd: two\r\ncontent-length: 2\r\n\r\n\xfe!";
        let response = ask(b"GET / HTTP/1.1\r\nX-User-Id: \xff\r\n\r\n", answer)
            .await
            .unwrap();
        assert_eq!(response.status, 200);
        let odd: Vec<_> = response.headers.get_all("x-odd").iter().collect();
        assert_eq!(odd, [&b"\xff"[..], b"two"]);
        assert_eq!(&response.body[..], b"\xfe!");
    }

    #[tokio::test]
    async fn chunks_trailers_and_interim_answers_are_read() {
        let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\
            transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: 1\r\n\r\n";
        let response = ask(b"x", answer).await.unwrap();
        assert_eq!(response.text(), "abcde");
        assert_eq!(response.trailers["t"], "1");
    }

    #[tokio::test]
    async fn a_body_may_end_with_the_connection_or_not_be_there() {
        let response = ask(b"x", b"HTTP/1.1 200 OK\r\n\r\nrest").await.unwrap();
        assert_eq!(response.text(), "rest");
        let response = ask(b"HEAD / ", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await;
        assert_eq!(response.unwrap().text(), "");
    }

    #[tokio::test]
    async fn no_answer_is_an_error_that_says_so() {
        let error = ask(b"x", b"").await.unwrap_err().to_string();
        assert!(error.contains("without an answer"), "{error}");
    }
}

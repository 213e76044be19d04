//! Responses to plain HTTP requests: pages, the echo, events.

use hyper::StatusCode;
use hyper::header::{HOST, HeaderMap};
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::answer::{Answer, Content};
use super::knobs::Knobs;
use super::shop::{RequestBody, Shop};

/// The response for the request's path.
pub fn answer(shop: &Shop, request: &Parts, knobs: &Knobs, received: &RequestBody) -> Answer {
    let status = knobs.status();
    if let Some(size) = knobs.size {
        return Answer::new(status, "application/octet-stream", Content::Fill(size));
    }
    match request.uri.path() {
        path if path == "/echo" || knobs.echo => {
            let echo = format!("{}\n", echo(shop, request, received));
            Answer::new(status, "application/json", Content::Bytes(echo.into()))
        }
        "/events" => {
            let text = format!("shop {}: event", shop.version());
            let pause = knobs.interval.unwrap_or_default();
            let events = Content::Events(knobs.count.unwrap_or(3), text, pause);
            Answer::new(status, "text/event-stream", events)
        }
        _ => Answer::text(status, line(shop, request, status)),
    }
}

/// The line of text that is a page.
pub fn line(shop: &Shop, request: &Parts, status: StatusCode) -> String {
    let page = match request.uri.path().trim_matches('/') {
        "" => "home".to_owned(),
        // Escapes control characters, which a terminal would interpret.
        path => path.as_bytes().escape_ascii().to_string(),
    };
    let version = shop.version();
    if status.is_success() {
        format!("shop {version}: {page}")
    } else {
        format!("shop {version}: {page}: {status}")
    }
}

fn echo(shop: &Shop, request: &Parts, received: &RequestBody) -> Value {
    // The authority of HTTP/2 or of an absolute target, else the host header.
    let host = match request.uri.authority() {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => request.headers.get(HOST).map(|host| host.as_bytes()),
    };
    let path = request.uri.path_and_query().map(|path| path.as_str());
    json!({
        "version": shop.version(),
        "protocol": format!("{:?}", request.version),
        "method": request.method.as_str(),
        "host": host.map(readable),
        "path": path.map(|path| readable(path.as_bytes())),
        "headers": lines(&request.headers),
        "trailers": lines(&received.trailers),
        "body_length": received.length,
    })
}

fn lines(headers: &HeaderMap) -> Vec<[String; 2]> {
    headers
        .iter()
        .map(|(name, value)| [name.as_str().to_owned(), readable(value.as_bytes())])
        .collect()
}

/// Any bytes as text; different bytes are different text.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!(r"\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn bytes_that_are_not_utf8_are_escaped_unambiguously() {
        assert_eq!(readable("grün".as_bytes()), "grün");
        assert_eq!(readable(b"a\xffb\xc3"), r"a\xffb\xc3");
        assert_eq!(readable(br"a\xff"), r"a\\xff");
        assert_eq!(readable(b""), "");
    }
}

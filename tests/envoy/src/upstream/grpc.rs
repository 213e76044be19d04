//! gRPC responses: for every method one message with one string.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use super::answer::{Answer, Content};
use super::knobs::Knobs;
use super::page;
use super::shop::Shop;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether the content type is gRPC's.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// A message with the status in the trailers, or only headers with the status.
pub fn answer(shop: &Shop, request: &Parts, knobs: &Knobs) -> Answer {
    let status = knobs.status();
    let mut verdict = HeaderMap::new();
    verdict.insert(
        GRPC_STATUS,
        HeaderValue::from(knobs.grpc_status.unwrap_or(0)),
    );
    if let Some(message) = &knobs.grpc_message {
        verdict.insert(GRPC_MESSAGE, message.clone());
    }
    let answer = |content| Answer::new(status, "application/grpc", content);
    if knobs.grpc_trailers_only {
        return answer(Content::None).with_headers(verdict);
    }
    let text = page::line(shop, request, status);
    answer(Content::Bytes(message(&text))).with_trailers(verdict)
}

/// A length-prefixed, uncompressed message: protobuf with this string as field 1.
fn message(text: &str) -> Bytes {
    let mut protobuf = vec![0x0a];
    let mut length = text.len();
    while length >= 0x80 {
        protobuf.push(length as u8 | 0x80);
        length >>= 7;
    }
    protobuf.push(length as u8);
    protobuf.extend(text.as_bytes());
    let mut message = vec![0];
    message.extend((protobuf.len() as u32).to_be_bytes());
    message.extend(protobuf);
    message.into()
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn the_length_of_a_long_text_takes_two_bytes() {
        let text = "x".repeat(300);
        let message = message(&text);
        assert_eq!(
            &message[..8],
            [0, 0, 0, 1, 0x2f, 0x0a, 0b1010_1100, 0b0000_0010]
        );
        assert_eq!(&message[8..], text.as_bytes());
    }
}

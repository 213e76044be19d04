//! The responses with their headers. Must not depend on where their content comes from.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::file::hash;

/// Scripts, workers, styles and requests of this server alone; the core of divvy is WebAssembly. The
/// page's own rule `divvy` allows its worker; no other text becomes a script.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types divvy";

/// Headers of all responses.
const HEADERS: [(HeaderName, &str); 8] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    // A browser asks each time; an unchanged answer is a 304.
    (CACHE_CONTROL, "no-cache"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    ),
];

/// A response of the server.
pub type UiResponse = Response<Full<Bytes>>;

/// A message for people.
pub fn text(status: StatusCode, message: &str) -> UiResponse {
    let bytes = Bytes::from(format!("{message}\n"));
    let mut response = respond(status, "text/plain; charset=utf-8", bytes);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let methods = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// Content with an entity tag: 304 if the client has it.
pub fn content(asked: &HeaderMap, media: &'static str, bytes: Bytes) -> UiResponse {
    let tag = format!("\"{:016x}\"", hash(&bytes));
    let known = asked.get_all(IF_NONE_MATCH).iter();
    let is_known = known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| one.trim().trim_start_matches("W/") == tag);
    let mut response = match is_known {
        true => respond(StatusCode::NOT_MODIFIED, media, Bytes::new()),
        false => respond(StatusCode::OK, media, bytes),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn respond(status: StatusCode, media: &'static str, bytes: Bytes) -> UiResponse {
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

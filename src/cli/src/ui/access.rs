//! Which requests the server answers: those of its own pages. Must not depend on what it answers with.
//!
//! A page of another site can make a browser send requests here. Its name may lead to this address (DNS rebinding), so
//! `Host` decides; the site that sends is in `Origin` and `Sec-Fetch-Site`.

use std::net::{IpAddr, SocketAddr};

use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode};

/// Why a request is refused: status and message.
pub type RequestRefusal = (StatusCode, &'static str);

/// The names under which the server is reached.
#[derive(Clone, Debug)]
pub struct AccessRules {
    /// Whether other machines can connect.
    is_open: bool,
    /// Names of hosts beside addresses and `localhost`, in lower case.
    names: Vec<String>,
}

impl AccessRules {
    /// The rules of a server that listens on this address and is reached by these names.
    pub fn new(listen: SocketAddr, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase());
        Self {
            is_open: !listen.ip().is_loopback(),
            names: names.collect(),
        }
    }

    /// Whether the server answers this request.
    pub fn check(&self, request: &Parts) -> Result<(), RequestRefusal> {
        let host = single(request, "host")
            .map_err(|()| {
                (
                    StatusCode::BAD_REQUEST,
                    "the request has several Host headers",
                )
            })?
            .ok_or((StatusCode::BAD_REQUEST, "the request has no Host header"))?;
        let foreign = (
            StatusCode::MISDIRECTED_REQUEST,
            "the Host header is not an address of this server: --host adds a name",
        );
        if !self.is_own(host) {
            return Err(foreign);
        }
        // A request line with a whole URL.
        if let Some(authority) = request.uri.authority()
            && !self.is_own(authority.as_str())
        {
            return Err(foreign);
        }
        let site = (
            StatusCode::FORBIDDEN,
            "the request is that of another site, by its header Origin or Sec-Fetch-Site",
        );
        match single(request, "origin") {
            Ok(None) => {}
            Ok(Some(origin)) if is_origin_of(origin, host) => {}
            _ => return Err(site),
        }
        // A link from another site may open the page, in a window of its own.
        let opens = header(request, "sec-fetch-mode") == Some("navigate")
            && header(request, "sec-fetch-dest") == Some("document")
            && !request.uri.path().starts_with("/api/");
        match single(request, "sec-fetch-site") {
            Ok(None | Some("same-origin" | "none")) => {}
            Ok(Some(_)) if opens => {}
            _ => return Err(site),
        }
        match request.method {
            Method::GET | Method::HEAD => Ok(()),
            _ => Err((
                StatusCode::METHOD_NOT_ALLOWED,
                "the method is not one of: GET, HEAD",
            )),
        }
    }

    /// Whether a host with its port is this server. The port is not compared: a tunnel may have another one.
    fn is_own(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        if host.contains('@') {
            return false;
        }
        let name = authority.host().to_ascii_lowercase();
        if name == "localhost" || self.names.contains(&name) {
            return true;
        }
        // No other site has an address as its name.
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let address = address.parse::<IpAddr>();
        address.is_ok_and(|address| self.is_open || address.is_loopback())
    }
}

/// The only value of a header; an error if there are several, or if it is not text.
fn single<'r>(request: &'r Parts, name: &str) -> Result<Option<&'r str>, ()> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        _ => Err(()),
    }
}

fn header<'r>(request: &'r Parts, name: &str) -> Option<&'r str> {
    single(request, name).unwrap_or_default()
}

/// Whether an origin is that of the host, in front of which TLS may end.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let origin = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn status(rules: &AccessRules, method: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri("/api/live");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        rules
            .check(&parts)
            .map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn only_hosts_of_this_server_are_answered() {
        let listen = |text: &str| text.parse::<SocketAddr>().unwrap();
        let own = AccessRules::new(listen("127.0.0.1:1"), &["Divvy.Test".to_owned()]);
        let open = AccessRules::new(listen("0.0.0.0:1"), &[]);
        for (host, of_own, of_open) in [
            ("127.0.0.1:1", 200, 200),
            ("localhost", 200, 200),
            ("LOCALHOST:9", 200, 200),
            ("[::1]:1", 200, 200),
            ("127.9.9.9", 200, 200),
            ("divvy.test:80", 200, 421),
            ("10.0.0.7:1", 421, 200),
            ("[2001:db8::1]", 421, 200),
            ("evil.example", 421, 421),
            ("localhost.evil.example", 421, 421),
            ("127.0.0.1.evil.example", 421, 421),
            ("evil.example@127.0.0.1", 421, 421),
            ("127.0.0.1:1@evil.example", 421, 421),
            ("0x7f.1", 421, 421),
            ("2130706433", 421, 421),
            ("[::1", 421, 421),
            ("localhost, localhost", 421, 421),
            ("", 421, 421),
        ] {
            assert_eq!(status(&own, "GET", &[("host", host)]), of_own, "{host}");
            assert_eq!(status(&open, "GET", &[("host", host)]), of_open, "{host}");
        }
        assert_eq!(status(&own, "GET", &[]), 400);
        let two = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(status(&own, "GET", &two), 400);
    }

    #[test]
    fn requests_of_other_sites_and_other_methods_are_refused() {
        let rules = AccessRules::new("127.0.0.1:1".parse().unwrap(), &[]);
        let host = ("host", "localhost:1");
        for (method, header, expected) in [
            ("GET", ("origin", "http://localhost:1"), 200),
            ("GET", ("origin", "https://localhost:1"), 200),
            ("GET", ("origin", "http://localhost:2"), 403),
            ("GET", ("origin", "http://127.0.0.1:1"), 403),
            ("GET", ("origin", "null"), 403),
            ("GET", ("origin", "http://evil.example"), 403),
            ("GET", ("origin", "localhost:1"), 403),
            ("GET", ("sec-fetch-site", "same-origin"), 200),
            ("GET", ("sec-fetch-site", "none"), 200),
            ("GET", ("sec-fetch-site", "same-site"), 403),
            ("GET", ("sec-fetch-site", "cross-site"), 403),
            ("HEAD", ("accept", "*/*"), 200),
            ("POST", ("accept", "*/*"), 405),
            ("OPTIONS", ("accept", "*/*"), 405),
            ("CONNECT", ("accept", "*/*"), 405),
        ] {
            assert_eq!(
                status(&rules, method, &[host, header]),
                expected,
                "{header:?}"
            );
        }
    }
}

//! Responses of a healthy upstream.

use divvy_lab::client::{self, Response};
use divvy_lab::upstream::Upstream;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use serde_json::{Value, json};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::{get, get2, http2, raw_text, request, send, shop};

#[tokio::test]
async fn every_page_names_the_version() {
    let upstream = shop().await;
    for (path, line) in [
        ("/", "shop v2: home\n"),
        ("/checkout", "shop v2: checkout\n"),
        ("/search/shoes?uid=%FF&q=a+b", "shop v2: search/shoes\n"),
        (
            "/checkout?status=503",
            "shop v2: checkout: 503 Service Unavailable\n",
        ),
    ] {
        let response = get(&upstream, path).await;
        assert_eq!(response.body, line);
        assert_eq!(response.header("x-shop-version"), Some("v2"));
    }
    assert_eq!(upstream.requests(), 4);
}

#[tokio::test]
async fn knobs_set_status_size_and_headers() {
    let upstream = shop().await;
    let target = "/?status=418&size=100000&header=set-cookie:a=1&header=set-cookie:%20b=%252&uid=7";
    let response = get(&upstream, target).await;
    assert_eq!(response.status, 418);
    assert_eq!(response.body.len(), 100_000);
    assert_eq!(response.header("content-length"), Some("100000"));
    let cookies: Vec<_> = response.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=%2"]);

    let no_content = get(&upstream, "/?status=204&size=5").await;
    assert_eq!((no_content.status, no_content.body.len()), (204, 0));

    let invalid = get(&upstream, "/?status=5O3").await;
    assert_eq!(invalid.status, 400);
    let error = "status: \"5O3\" is not a status from 200 to 599\n";
    assert_eq!(invalid.body, error);
    assert_eq!(invalid.header("x-shop-version"), Some("v2"));
}

#[tokio::test]
async fn the_echo_contains_the_request_as_received() {
    let upstream = shop().await;
    let echo = raw_text(&upstream,
        b"POST /echo?uid=%FF HTTP/1.1\r\nHost: Shop\r\nX-User-Id: a\xff\\\r\nx-user-id: \xc3\xbc\r\n\
          connection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 7\r\n\r\n",
    )
    .await;
    let (_, body) = echo.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap(),
        json!({
            "version": "v2",
            "protocol": "HTTP/1.1",
            "method": "POST",
            "host": "Shop",
            "path": "/echo?uid=%FF",
            "headers": [
                ["host", "Shop"],
                ["x-user-id", r"a\xff\\"],
                ["x-user-id", "ü"],
                ["connection", "close"],
                ["transfer-encoding", "chunked"],
            ],
            "trailers": [["x-sum", "7"]],
            "body_length": 5,
        })
    );
    let mut client = http2(&upstream).await;
    let echo = get2(&mut client, "/echo").await.unwrap().json().unwrap();
    assert_eq!(echo["protocol"], "HTTP/2.0");
    assert_eq!(echo["host"], "shop");
}

#[tokio::test]
async fn the_http2_client_sends_trailers_and_any_host() {
    let upstream = shop().await;
    let client = client::Http2::connect(upstream.addr()).await.unwrap();
    let target = "http://shop.example.com/checkout?echo";
    let request = client::request("POST", target, &[("x-a", "1")], "abc").unwrap();
    let trailers = [("x-sum", b"7\xff")];
    let echo = client.send_with_trailers(request, &trailers).await.unwrap();
    let echo = echo.json().unwrap();
    assert_eq!(echo["host"], "shop.example.com");
    assert_eq!(echo["path"], "/checkout?echo");
    assert_eq!(echo["trailers"], json!([["x-sum", r"7\xff"]]));
    assert_eq!(echo["body_length"], 3);
    // Without an authority in the URI, the host is the address.
    let request = client::request("GET", "/echo", &[] as &[(&str, &str)], "").unwrap();
    let echo = client.send(request).await.unwrap().json().unwrap();
    assert_eq!(echo["host"], upstream.addr().to_string());
}

#[tokio::test]
async fn large_headers_and_large_bodies_are_accepted() {
    let upstream = shop().await;
    let body = Full::from(vec![b'x'; 3_000_000]);
    let value = "v".repeat(60_000);
    let long = Request::post("/echo").header("x-long", &value).body(body);
    let echo = send(&upstream, long.unwrap()).await.json().unwrap();
    let host = upstream.addr().to_string();
    let length = ["content-length", "3000000"];
    let expected = json!([["x-long", value], ["host", host], length]);
    assert_eq!(echo["headers"], expected);
    assert_eq!(echo["body_length"], 3_000_000);

    let mut client = http2(&upstream).await;
    let long = Request::get("http://shop/echo").header("x-long", &value);
    let response = client.send_request(long.body(Full::default()).unwrap());
    let echo = Response::read(response.await.unwrap()).await.unwrap();
    assert!(echo.text().contains(&value));
}

#[tokio::test]
async fn events_are_streamed() {
    let upstream = shop().await;
    let response = get(&upstream, "/events?count=2&interval=5ms").await;
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    let events = "id: 1\ndata: shop v2: event 1\n\nid: 2\ndata: shop v2: event 2\n\n";
    assert_eq!(response.body, events);
    let default = get(&upstream, "/events").await.text();
    assert_eq!(default.matches("data:").count(), 3);
    assert_eq!(get(&upstream, "/events?count=0").await.body, "");

    let mut client = http2(&upstream).await;
    let slow = request(Method::GET, "http://shop/events?interval=60m");
    let mut body = client.send_request(slow).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "id: 1\ndata: shop v2: event 1\n\n");
}

#[tokio::test]
async fn http_1_0_and_head_requests_are_served() {
    let upstream = shop().await;
    let response = raw_text(&upstream, b"GET /checkout HTTP/1.0\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.0 200 OK\r\n"), "{response}");
    assert!(
        response.ends_with("\r\n\r\nshop v2: checkout\n"),
        "{response}"
    );

    let request = request(Method::HEAD, "http://shop/checkout");
    let http1 = send(&upstream, request.clone()).await;
    let http2 = http2(&upstream).await.send_request(request).await;
    let http2 = Response::read(http2.unwrap()).await.unwrap();
    for head in [http1, http2] {
        assert_eq!(head.header("content-length"), Some("18"));
        assert_eq!(head.body, "");
    }
}

#[tokio::test]
async fn malformed_requests_do_not_stop_the_upstream() {
    let upstream = shop().await;
    for request in [
        &b"\x16\x03\x01\x02\x00\x01\xff\xff\xff\xff\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"CONNECT shop:443 HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"GET /?status=200&reset=&%&&&=&size=99999999999999999999 HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nconnection: close\r\nx-test-header: a\xff\r\n\r\n",
        b"POST / HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame\r\n\r\n\0\0\0\0\0\0\0\0\0",
    ] {
        let mut stream = TcpStream::connect(upstream.addr()).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
        assert_eq!(get(&upstream, "/").await.status, 200, "{}", request.escape_ascii());
    }
}

#[tokio::test]
async fn a_port_is_in_use_until_the_upstream_is_stopped() {
    let first = shop().await;
    let addr = first.addr();
    let error = Upstream::start_on("v3", addr).await.err().unwrap();
    let expected = format!("port {} on 127.0.0.1 is in use", addr.port());
    assert!(error.to_string().starts_with(&expected), "{error}");
    let mut idle = TcpStream::connect(addr).await.unwrap();
    first.stop().await;
    assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0, "closed");
    let second = Upstream::start_on("v3", addr).await.unwrap();
    assert_eq!(get(&second, "/").await.body, "shop v3: home\n");
    drop(second);
    let error = Upstream::start("v\n3").await.err().unwrap();
    let expected = r#"version "v\n3" is not a header value"#;
    assert_eq!(error.to_string(), expected);
}

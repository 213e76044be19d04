//! What it answers when nothing is wrong.

use divvy_lab::client;
use divvy_lab::upstream::Upstream;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use serde_json::{Value, json};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::{get, get2, http1, http2, raw_text, read, request, shop};

#[tokio::test]
async fn every_page_says_which_version_of_the_shop_answers() {
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
        let answer = get(&upstream, path).await;
        assert_eq!(answer.body, line);
        assert_eq!(answer.header("x-shop-version"), "v2");
    }
    assert_eq!(upstream.requests(), 4);
}

#[tokio::test]
async fn status_size_and_headers_are_the_requests_to_choose() {
    let upstream = shop().await;
    let target = "/?status=418&size=100000&header=set-cookie:a=1&header=set-cookie:%20b=%252&uid=7";
    let answer = get(&upstream, target).await;
    assert_eq!(answer.status, 418);
    assert_eq!(answer.body.len(), 100_000);
    assert_eq!(answer.header("content-length"), "100000");
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=%2"]);

    let no_content = get(&upstream, "/?status=204&size=5").await;
    assert_eq!((no_content.status, no_content.body.len()), (204, 0));
}

#[tokio::test]
async fn a_knob_that_does_not_parse_is_refused_and_not_taken_for_health() {
    let upstream = shop().await;
    let answer = get(&upstream, "/?status=5O3").await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        "status: \"5O3\" is not a status from 200 to 599\n"
    );
    assert_eq!(answer.header("x-shop-version"), "v2");
}

#[tokio::test]
async fn the_echo_shows_the_request_as_it_arrived() {
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
    let echo = get2(&mut client, "/echo").await.unwrap().body;
    let echo: Value = serde_json::from_str(&echo).unwrap();
    assert_eq!(echo["protocol"], "HTTP/2.0");
    assert_eq!(echo["host"], "shop");
}

#[tokio::test]
async fn the_lab_sends_trailers_to_any_host_and_any_path_can_be_an_echo() {
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
    // A path alone goes to the address.
    let request = client::request("GET", "/echo", &[] as &[(&str, &str)], "").unwrap();
    let echo = client.send(request).await.unwrap().json().unwrap();
    assert_eq!(echo["host"], upstream.addr().to_string());
}

#[tokio::test]
async fn large_headers_and_large_bodies_are_taken_whole() {
    let upstream = shop().await;
    let body = Full::from(vec![b'x'; 3_000_000]);
    let value = "v".repeat(60_000);
    let long = Request::post("/echo").header("x-long", &value).body(body);
    let answer = http1(upstream.addr(), long.unwrap()).await.unwrap();
    let echo: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        echo["headers"],
        json!([["x-long", value], ["content-length", "3000000"]])
    );
    assert_eq!(echo["body_length"], 3_000_000);

    let mut client = http2(&upstream).await;
    let long = Request::get("http://shop/echo").header("x-long", &value);
    let answer = client
        .send_request(long.body(Full::default()).unwrap())
        .await;
    assert!(read(answer.unwrap()).await.unwrap().body.contains(&value));
}

#[tokio::test]
async fn events_come_one_by_one_as_a_stream() {
    let upstream = shop().await;
    let answer = get(&upstream, "/events?count=2&interval=5ms").await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(
        answer.body,
        "id: 1\ndata: shop v2: event 1\n\nid: 2\ndata: shop v2: event 2\n\n"
    );
    assert_eq!(
        get(&upstream, "/events")
            .await
            .body
            .matches("data:")
            .count(),
        3
    );
    assert_eq!(get(&upstream, "/events?count=0").await.body, "");

    let mut client = http2(&upstream).await;
    let slow = request(Method::GET, "http://shop/events?interval=60m");
    let mut body = client.send_request(slow).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "id: 1\ndata: shop v2: event 1\n\n");
}

#[tokio::test]
async fn old_clients_and_head_requests_are_served() {
    let upstream = shop().await;
    let answer = raw_text(&upstream, b"GET /checkout HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nshop v2: checkout\n"), "{answer}");

    let head = http1(upstream.addr(), request(Method::HEAD, "/checkout"))
        .await
        .unwrap();
    assert_eq!(
        (head.header("content-length"), head.body.as_str()),
        ("18", "")
    );
    let mut client = http2(&upstream).await;
    let response = client
        .send_request(request(Method::HEAD, "http://shop/checkout"))
        .await;
    let head = read(response.unwrap()).await.unwrap();
    assert_eq!(
        (head.header("content-length"), head.body.as_str()),
        ("18", "")
    );
}

#[tokio::test]
async fn odd_input_leaves_it_serving() {
    let upstream = shop().await;
    for odd in [
        &b"\x16\x03\x01\x02\x00\x01\xff\xff\xff\xff\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"CONNECT shop:443 HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"GET /?status=200&reset=&%&&&=&size=99999999999999999999 HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nconnection: close\r\nx-test-header: a\xff\r\n\r\n",
        b"POST / HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame\r\n\r\n\0\0\0\0\0\0\0\0\0",
    ] {
        let mut stream = TcpStream::connect(upstream.addr()).await.unwrap();
        stream.write_all(odd).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
        assert_eq!(get(&upstream, "/").await.status, 200, "{}", odd.escape_ascii());
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_and_a_stopped_one_is_free() {
    let first = shop().await;
    let addr = first.addr();
    let error = Upstream::start_on("v3", addr)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.starts_with(&format!("port {} on 127.0.0.1 is in use", addr.port())),
        "{error}"
    );
    let mut idle = TcpStream::connect(addr).await.unwrap();
    first.stop().await;
    assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0, "cut with it");
    let second = Upstream::start_on("v3", addr).await.unwrap();
    assert_eq!(get(&second, "/").await.body, "shop v3: home\n");
    drop(second);
    let error = Upstream::start("v\n3").await.err().unwrap();
    assert_eq!(
        error.to_string(),
        r#"version "v\n3" cannot stand in a header"#
    );
}

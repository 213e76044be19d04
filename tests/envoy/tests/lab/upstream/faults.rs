//! Delays, resets, and shares of requests.

use std::io;
use std::time::{Duration, Instant};

use divvy_lab::upstream::{Behaviour, StatusCode};
use http_body_util::BodyExt as _;
use hyper::Method;

use super::client::{connect, get, get2, http2, raw, raw_text, request, send, shop};

#[tokio::test]
async fn a_delay_precedes_the_headers_and_a_body_delay_the_body() {
    let upstream = shop().await;
    for target in ["/?delay=50ms", "/?body-delay=50ms"] {
        let start = Instant::now();
        assert_eq!(get(&upstream, target).await.body, "shop v2: home\n");
        assert!(start.elapsed() >= Duration::from_millis(50), "{target}");
    }
    // The headers do not wait for the delayed body.
    let mut client = http2(&upstream).await;
    let late = request(Method::GET, "http://shop/?body-delay=60m");
    assert_eq!(client.send_request(late).await.unwrap().status(), 200);
}

#[tokio::test]
async fn close_ends_the_connection_after_the_response() {
    let upstream = shop().await;
    let response = raw_text(&upstream, b"GET /?close HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    assert!(response.contains("connection: close\r\n"), "{response}");

    let (mut client, connection) = connect(&upstream).await;
    assert_eq!(get2(&mut client, "/?close").await.unwrap().status, 200);
    connection.await.unwrap().unwrap(); // closed by GOAWAY, without an error
}

#[tokio::test]
async fn a_reset_before_the_body_is_a_tcp_reset_without_a_response() {
    let upstream = shop().await;
    let requests = [
        "GET /?reset=headers HTTP/1.1\r\nhost: shop\r\n\r\n",
        // Without a response body, a reset in the body is one before the headers.
        "HEAD /?reset=body HTTP/1.1\r\nhost: shop\r\n\r\n",
        "GET /?reset=body&status=204 HTTP/1.1\r\nhost: shop\r\n\r\n",
        "GET /?reset=body HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ];
    for request in requests {
        let (received, end) = raw(&upstream, request.as_bytes()).await;
        assert_eq!(received, b"", "{request}");
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
    assert_eq!(upstream.requests(), 4);
}

#[tokio::test]
async fn reset_body_is_a_tcp_reset_after_half_of_the_body() {
    let upstream = shop().await;
    for (target, sent) in [
        ("/checkout?reset=body", 9),
        ("/?size=1000&reset=stream-body", 500),
        ("/?size=9000000&reset=body", 16 * 1024),
        ("/?size=0&reset=body", 0),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: shop\r\n\r\n");
        let (received, end) = raw(&upstream, head.as_bytes()).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(received.starts_with(b"HTTP/1.1 200 OK\r\n"), "{target}");
        let head = received.windows(4).position(|end| end == b"\r\n\r\n");
        assert_eq!(received.len() - head.unwrap() - 4, sent, "{target}");
    }
}

#[tokio::test]
async fn on_http2_a_stream_reset_keeps_the_connection_and_a_tcp_reset_closes_it() {
    let upstream = shop().await;
    let mut client = http2(&upstream).await;
    assert!(get2(&mut client, "/?reset=stream").await.is_err());

    let cut = request(Method::GET, "http://shop/?reset=stream-body&size=1000");
    let mut body = client.send_request(cut).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.len(), 500);
    assert!(body.frame().await.unwrap().is_err());

    assert_eq!(get2(&mut client, "/").await.unwrap().status, 200);
    assert!(get2(&mut client, "/?reset=headers").await.is_err());
    assert!(get2(&mut client, "/").await.is_err());

    let mut client = http2(&upstream).await;
    assert!(get2(&mut client, "/?reset=body&size=1000").await.is_err());
    assert!(get2(&mut client, "/").await.is_err());
}

// With several threads, because a reset could be sent before the bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_streams_are_each_reset_after_half_of_their_body() {
    let upstream = shop().await;
    let client = http2(&upstream).await;
    for _ in 0..10 {
        let mut bodies = Vec::new();
        for _ in 0..10 {
            let mut client = client.clone();
            bodies.push(tokio::spawn(async move {
                let cut = request(Method::GET, "http://shop/?reset=stream-body&size=1000");
                let mut body = client.send_request(cut).await.unwrap().into_body();
                let mut received = 0;
                while let Some(Ok(frame)) = body.frame().await {
                    received += frame.into_data().unwrap().len();
                }
                received
            }));
        }
        for body in bodies {
            assert_eq!(body.await.unwrap(), 500);
        }
    }
}

#[tokio::test]
async fn an_error_share_of_five_percent_is_five_of_a_hundred_concurrent_requests() {
    let upstream = shop().await;
    upstream.behave(Behaviour {
        error_percent: 5.0,
        error_status: StatusCode::BAD_GATEWAY,
        ..Behaviour::default()
    });
    let requests = (0..100).map(|_| get(&upstream, "/"));
    let responses = futures_util::future::join_all(requests).await;
    let failed = responses.iter().filter(|response| response.status == 502);
    assert_eq!(failed.count(), 5);
    assert_eq!(upstream.requests(), 100);
}

#[tokio::test]
async fn shares_of_errors_and_resets_are_both_exact() {
    let upstream = shop().await;
    upstream.behave(Behaviour {
        error_percent: 10.0,
        reset_percent: 4.0,
        ..Behaviour::default()
    });
    let mut client = http2(&upstream).await;
    let (mut failed, mut reset) = (0, 0);
    for _ in 0..100 {
        match get2(&mut client, "/").await {
            Ok(response) => failed += usize::from(response.status == 503),
            Err(_) => reset += 1,
        }
        // A request with its own status is excluded from the shares.
        assert_eq!(get2(&mut client, "/?status=201").await.unwrap().status, 201);
    }
    assert_eq!((failed, reset), (10, 4));
}

#[tokio::test]
async fn a_post_replaces_the_behaviour() {
    let upstream = shop().await;
    let post = async |target| {
        let response = send(&upstream, request(Method::POST, target)).await;
        (response.status, response.text())
    };
    let healthy = "errors=0&status=503&grpc-status=14&resets=0&delay=0ms&body-delay=0ms&slow=100\n";
    let broken =
        "errors=50&status=500&grpc-status=14&resets=0&delay=20ms&body-delay=0ms&slow=100\n";
    assert_eq!(get(&upstream, "/_behave").await.body, healthy);
    let changed = post("/_behave?errors=50&status=500&delay=20ms").await;
    assert_eq!(changed, (200, broken.to_owned()));
    let start = Instant::now();
    assert_eq!(get(&upstream, "/").await.status, 200);
    assert_eq!(get(&upstream, "/").await.status, 500);
    assert!(start.elapsed() >= Duration::from_millis(40));

    let (status, line) = post("/_behave?eror=5").await;
    assert_eq!(status, 400);
    assert!(line.starts_with("eror: not one of errors,"), "{line}");
    assert_eq!(get(&upstream, "/_behave").await.body, broken);
    assert_eq!(post("/_behave").await, (200, healthy.to_owned()));
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn a_delay_applies_to_its_share_of_the_requests() {
    let upstream = shop().await;
    upstream.behave(Behaviour {
        delay: Duration::from_secs(3_600),
        slow_percent: 25.0,
        ..Behaviour::default()
    });
    for _ in 0..3 {
        assert_eq!(get(&upstream, "/").await.status, 200);
    }
    // The fourth is delayed by an hour; one with its own delay is excluded from the share.
    assert_eq!(get(&upstream, "/?delay=0").await.status, 200);
    let slow = tokio::time::timeout(Duration::from_millis(50), get(&upstream, "/"));
    assert!(slow.await.is_err());
}

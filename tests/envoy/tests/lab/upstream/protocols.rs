//! gRPC and WebSocket.

use divvy_lab::client::Response;
use divvy_lab::upstream::{Behaviour, Upstream};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::Request;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};

use super::client::{Http2, http2, shop};

async fn call(client: &mut Http2, knobs: &[(&str, &str)]) -> Response {
    let mut request = Request::post("http://shop/shop.Shop/Buy")
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers");
    for (name, value) in knobs {
        request = request.header(*name, *value);
    }
    let message = Full::from(&b"\0\0\0\0\0"[..]);
    let response = client.send_request(request.body(message).unwrap()).await;
    Response::read(response.unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_grpc_response_has_one_message_and_its_status_in_the_trailers() {
    let upstream = shop().await;
    let mut client = http2(&upstream).await;
    let response = call(&mut client, &[]).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/grpc"));
    assert_eq!(response.header("x-shop-version"), Some("v2"));
    assert_eq!(response.body, "\0\0\0\0\x18\n\x16shop v2: shop.Shop/Buy");
    assert_eq!(response.trailers["grpc-status"], "0");
    assert!(!response.headers.contains_key("grpc-status"));

    let knobs = [
        ("x-test-grpc-status", "5"),
        ("x-test-grpc-message", "no such shoe"),
    ];
    let response = call(&mut client, &knobs).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.trailers["grpc-status"], "5");
    assert_eq!(response.trailers["grpc-message"], "no such shoe");

    let knobs = [
        ("x-test-grpc-status", "13"),
        ("x-test-grpc-trailers-only", ""),
    ];
    let response = call(&mut client, &knobs).await;
    assert_eq!(
        (response.status, response.header("grpc-status")),
        (200, Some("13"))
    );
    assert!(response.trailers.is_empty() && response.body.is_empty());
}

#[tokio::test]
async fn a_failed_grpc_request_of_the_share_has_http_200_and_a_grpc_status() {
    let upstream = shop().await;
    upstream.behave(Behaviour {
        error_percent: 50.0,
        ..Behaviour::default()
    });
    let mut client = http2(&upstream).await;
    assert_eq!(call(&mut client, &[]).await.trailers["grpc-status"], "0");
    let failed = call(&mut client, &[]).await;
    assert_eq!(
        (failed.status, failed.header("grpc-status")),
        (200, Some("14"))
    );
    let unavailable = call(&mut client, &[("x-test-status", "503")]).await;
    assert_eq!(unavailable.status, 503);
}

type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

async fn websocket(upstream: &Upstream, path: &str) -> tungstenite::Result<Socket> {
    let stream = TcpStream::connect(upstream.addr()).await.unwrap();
    let (socket, response) =
        tokio_tungstenite::client_async(format!("ws://shop{path}"), stream).await?;
    assert_eq!(response.headers()["x-shop-version"], "v2");
    Ok(socket)
}

#[tokio::test]
async fn a_websocket_echoes_until_the_client_closes_it() {
    let upstream = shop().await;
    let mut socket = websocket(&upstream, "/chat").await.unwrap();
    for message in [
        Message::text("grüezi"),
        Message::binary(vec![0xff; 100_000]),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_close());
    assert!(socket.next().await.is_none());
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn the_server_closes_a_websocket_with_or_without_a_close_frame() {
    let upstream = shop().await;
    for (path, closes) in [("/chat?ws=close", true), ("/chat?ws=drop", false)] {
        let mut socket = websocket(&upstream, path).await.unwrap();
        socket.send(Message::text("bye")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("bye"));
        match socket.next().await.unwrap() {
            Ok(message) => assert!(closes && message.is_close(), "{path}"),
            Err(_) => assert!(!closes, "{path}"),
        }
        assert!(!closes || socket.next().await.is_none(), "{path}");
    }

    let refused = websocket(&upstream, "/chat?status=503").await.unwrap_err();
    assert!(matches!(refused, tungstenite::Error::Http(response) if response.status() == 503));
}

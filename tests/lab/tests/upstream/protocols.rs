//! gRPC and WebSocket.

use divvy_lab::upstream::{Behaviour, Upstream};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::Request;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};

use super::client::{Answer, Http2, http2, read, shop};

async fn call(client: &mut Http2, knobs: &[(&str, &str)]) -> Answer {
    let mut request = Request::post("http://shop/shop.Shop/Buy")
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers");
    for (name, value) in knobs {
        request = request.header(*name, *value);
    }
    let message = Full::from(&b"\0\0\0\0\0"[..]);
    let response = client.send_request(request.body(message).unwrap()).await;
    read(response.unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_grpc_call_gets_one_message_and_its_status_in_the_trailers() {
    let upstream = shop().await;
    let mut client = http2(&upstream).await;
    let answer = call(&mut client, &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/grpc");
    assert_eq!(answer.header("x-shop-version"), "v2");
    assert_eq!(answer.body, "\0\0\0\0\x18\n\x16shop v2: shop.Shop/Buy");
    assert_eq!(answer.trailers["grpc-status"], "0");
    assert!(!answer.headers.contains_key("grpc-status"));

    let knobs = [
        ("x-test-grpc-status", "5"),
        ("x-test-grpc-message", "no such shoe"),
    ];
    let answer = call(&mut client, &knobs).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.trailers["grpc-status"], "5");
    assert_eq!(answer.trailers["grpc-message"], "no such shoe");

    let knobs = [
        ("x-test-grpc-status", "13"),
        ("x-test-grpc-trailers-only", ""),
    ];
    let answer = call(&mut client, &knobs).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "13"));
    assert!(answer.trailers.is_empty() && answer.body.is_empty());
}

#[tokio::test]
async fn a_grpc_call_that_fails_by_the_share_is_http_200_with_a_grpc_status() {
    let upstream = shop().await;
    upstream.behave(Behaviour {
        error_percent: 50.0,
        ..Behaviour::default()
    });
    let mut client = http2(&upstream).await;
    assert_eq!(call(&mut client, &[]).await.trailers["grpc-status"], "0");
    let failed = call(&mut client, &[]).await;
    assert_eq!((failed.status, failed.header("grpc-status")), (200, "14"));
    assert_eq!(
        call(&mut client, &[("x-test-status", "503")]).await.status,
        503
    );
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
async fn a_websocket_echoes_and_closes_when_the_client_does() {
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
async fn the_server_ends_a_websocket_with_or_without_a_close_frame() {
    let upstream = shop().await;
    let mut socket = websocket(&upstream, "/chat?ws=close").await.unwrap();
    socket.send(Message::text("bye")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("bye"));
    assert!(socket.next().await.unwrap().unwrap().is_close());
    assert!(socket.next().await.is_none());

    let mut socket = websocket(&upstream, "/chat?ws=drop").await.unwrap();
    socket.send(Message::text("bye")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("bye"));
    assert!(socket.next().await.unwrap().is_err());

    let refused = websocket(&upstream, "/chat?status=503").await.unwrap_err();
    assert!(matches!(refused, tungstenite::Error::Http(answer) if answer.status() == 503));
}

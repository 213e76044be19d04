//! WebSockets: handshake and echo.

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use hyper::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Version};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::knobs::AfterEcho;

/// A connection that becomes a WebSocket after the response to the handshake.
pub struct WebSocket {
    upgrade: OnUpgrade,
    after_echo: AfterEcho,
}

/// Whether the request is a WebSocket handshake.
pub fn is_upgrade(request: &Request<Incoming>) -> bool {
    let token = request.headers().get(UPGRADE).map(HeaderValue::as_bytes);
    request.version() == Version::HTTP_11
        && token.is_some_and(|token| token.eq_ignore_ascii_case(b"websocket"))
}

impl WebSocket {
    /// Takes over the request's connection. Returns the headers of the 101 response; the error is the
    /// text of the response.
    pub fn accept(
        request: &mut Request<Incoming>,
        after_echo: AfterEcho,
    ) -> Result<(WebSocket, HeaderMap), String> {
        let key = request
            .headers()
            .get(SEC_WEBSOCKET_KEY)
            .ok_or("a WebSocket needs a sec-websocket-key")?;
        if request.headers().get(SEC_WEBSOCKET_VERSION) != Some(&HeaderValue::from_static("13")) {
            return Err("sec-websocket-version is not 13".to_owned());
        }
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
            .map_err(|error| error.to_string())?;
        let headers = HeaderMap::from_iter([
            (CONNECTION, HeaderValue::from_static("upgrade")),
            (UPGRADE, HeaderValue::from_static("websocket")),
            (SEC_WEBSOCKET_ACCEPT, accept),
        ]);
        let websocket = WebSocket {
            upgrade: hyper::upgrade::on(request),
            after_echo,
        };
        Ok((websocket, headers))
    }

    /// Echoes messages until either side closes the connection.
    pub async fn run(self) {
        let Ok(upgraded) = self.upgrade.await else {
            return; // the client disconnected before the 101
        };
        let io = TokioIo::new(upgraded);
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        // tungstenite answers pings and close frames. After a close frame of either side, reading
        // completes the closing handshake and then ends.
        while let Some(Ok(message)) = socket.next().await {
            if !(message.is_text() || message.is_binary()) {
                continue;
            }
            if socket.send(message).await.is_err() {
                return;
            }
            match self.after_echo {
                AfterEcho::Continue => {}
                AfterEcho::Drop => return,
                AfterEcho::Close => {
                    if socket.close(None).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

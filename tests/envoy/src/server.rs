//! A small HTTP/1.1 server, for roles that the shop does not play.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A running server. Dropping it ends it with all connections.
pub struct Server {
    /// Its address.
    pub addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Starts a server that answers each request with what `handle` returns.
    pub async fn start<H, A>(handle: H) -> Result<Server>
    where
        H: Fn(Request<Bytes>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let handle = Arc::new(handle);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let handle = Arc::clone(&handle);
                let service = service_fn(move |request: Request<Incoming>| {
                    let handle = Arc::clone(&handle);
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await;
                        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                        Ok::<_, Infallible>(handle(Request::from_parts(head, body)).await)
                    }
                });
                connections.spawn(async move {
                    let server = hyper::server::conn::http1::Builder::new();
                    // An error ends the connection, which its client reports.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Server {
            addr,
            _tasks: tasks,
        })
    }
}

//! An HTTP/3 client.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3_quinn::{BidiStream, OpenStreams};
use hyper::Request;
use hyper::header::{HeaderName, HeaderValue};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::client::{Response, within_timeout};

/// The name in the server's certificate.
pub const SERVER: &str = "shop.example.com";

/// A client with one connection.
pub struct Http3 {
    addr: SocketAddr,
    requests: SendRequest<OpenStreams, Bytes>,
    _endpoint: Endpoint,
}

impl Http3 {
    /// Opens the connection. `authority`: the certificate authority of the server, as PEM.
    pub async fn connect(addr: SocketAddr, authority: &str) -> Result<Http3> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let mut endpoint = Endpoint::client(([127, 0, 0, 1], 0).into())?;
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(
            QuicClientConfig::try_from(tls)?,
        )));
        let connecting = endpoint.connect(addr, SERVER)?;
        let connection = within_timeout(addr, async { Ok(connecting.await?) }).await?;
        let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
        tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        Ok(Http3 {
            addr,
            requests,
            _endpoint: endpoint,
        })
    }

    /// Sends a request with this body, and returns the stream of its response; dropping it cancels
    /// the request.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<RequestStream<BidiStream<Bytes>, Bytes>> {
        let uri = format!("https://{SERVER}{path}");
        let mut request = Request::builder().method(method).uri(uri).body(())?;
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes())?;
            request
                .headers_mut()
                .append(name, HeaderValue::from_str(value)?);
        }
        let mut stream = self.requests.clone().send_request(request).await?;
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body)).await?;
        }
        stream.finish().await?;
        Ok(stream)
    }

    /// Sends a request with this body, and reads the response.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        within_timeout(self.addr, async {
            let mut stream = self.open(method, path, headers, body).await?;
            let head = stream.recv_response().await.context("no response")?;
            let mut body = Vec::new();
            while let Some(mut piece) = stream.recv_data().await? {
                body.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
            }
            let trailers = stream.recv_trailers().await?.unwrap_or_default();
            Ok(Response {
                status: head.status().as_u16(),
                headers: head.headers().clone(),
                body: body.into(),
                trailers,
            })
        })
        .await
    }
}

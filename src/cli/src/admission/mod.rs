//! `divvy admission`: an HTTPS server that the Kubernetes API server asks whether to accept an object with a divvy
//! configuration.
//!
//! The verdict is that of `divvy check`. One of `review` and `verdict` is the protocol, the other the check;
//! `server` and `certificate` are HTTP and TLS.

mod certificate;
mod log;
mod review;
mod server;
mod verdict;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use certificate::ServerCertificate;
use clap::Args;
use log::Log;
use rustls::ServerConfig;
use server::{Server, ServerPhase};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::limits;
use crate::output::Format;

/// Stack of a thread in bytes: the main thread, on which `divvy check` runs, has as much.
const STACK: usize = 8 << 20;
/// Time between two looks at the files of the certificate.
const REFRESH: Duration = Duration::from_secs(1);
/// Timeout of what still runs in other threads at the end.
const LAST: Duration = Duration::from_secs(1);

/// Arguments of `divvy admission`.
#[derive(Args, Debug)]
#[command(after_help = "\
The Kubernetes API server asks POST /check about each change of an object that a
ValidatingWebhookConfiguration selects. An object with a configuration that the filter would refuse
is refused with the messages of divvy check; warnings are shown by kubectl. GET /healthz and
GET /readyz are for probes. istio/admission has the manifests.

The files of the certificate are read again when they change. SIGTERM ends the server: it is no
longer ready, answers for the time of --drain, then completes the requests that it has.

Examples:
  divvy admission --certificate tls.crt --key tls.key
  divvy admission --listen 127.0.0.1:9443 --certificate tls.crt --key tls.key --strict")]
pub struct AdmissionArgs {
    /// Address and port
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9443")]
    pub listen: SocketAddr,
    /// Certificate chain of the server, in PEM
    #[arg(long, value_name = "FILE")]
    pub certificate: PathBuf,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Refuses configurations with warnings too
    #[arg(long)]
    pub strict: bool,
    /// Time after SIGTERM in which new connections are accepted
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = limits::drain)]
    pub drain: Duration,
}

/// Runs the verb.
pub fn run(args: &AdmissionArgs, format: Format) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(STACK)
        .enable_all()
        .build()?;
    let result = runtime.block_on(serve(args, Log(format)));
    runtime.shutdown_timeout(LAST);
    result.map(|()| ExitCode::SUCCESS)
}

async fn serve(args: &AdmissionArgs, log: Log) -> Result<()> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = ServerCertificate::read(&args.certificate, &args.key, Arc::clone(&provider))?;
    let certificate = Arc::new(certificate);
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&certificate) as Arc<_>);
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| args.listen.to_string())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    log.line(&format!("listening on https://{}", listener.local_addr()?));
    let (phase, observed) = watch::channel(ServerPhase::Serving);
    let refreshing = tokio::spawn(refresh(certificate, log));
    let server = Arc::new(Server::new(observed, log, args.strict));
    let running = tokio::spawn(server.run(listener, TlsAcceptor::from(Arc::new(config))));
    tokio::select! {
        _ = terminate.recv() => {
            log.line("SIGTERM: draining");
            phase.send_replace(ServerPhase::Draining);
            tokio::select! {
                () = sleep(args.drain) => {}
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ = interrupt.recv() => {}
    }
    log.line("ending");
    phase.send_replace(ServerPhase::Ending);
    running.await?;
    refreshing.abort();
    Ok(())
}

/// Reads the certificate again when its files change. Logs each error once.
async fn refresh(certificate: Arc<ServerCertificate>, log: Log) {
    let mut last = String::new();
    loop {
        sleep(REFRESH).await;
        match certificate.refresh() {
            Ok(true) => log.line("the certificate was replaced"),
            Ok(false) => {}
            Err(error) => {
                let error = format!("the previous certificate stays: {error:#}");
                if error != last {
                    log.line(&error);
                }
                last = error;
                continue;
            }
        }
        last.clear();
    }
}

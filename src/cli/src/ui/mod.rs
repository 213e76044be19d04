//! `divvy ui`: an HTTP server on loopback with the page, what running proxies do, and a file.
//!
//! It only reads. What the proxies do is what `divvy top` shows.

mod access;
mod answer;
mod file;
mod history;
mod live;
mod page;
mod server;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::limits;
use crate::output::Format;
use crate::top::MetricsSource;
use access::AccessRules;
use file::FollowedFile;
use live::LiveFeed;
use page::PageFiles;
pub use server::UiServer;

/// Version of the format of `/api/live` and `/api/file`.
const FORMAT: u32 = 1;
/// Stack of a thread in bytes: the main thread, on which `divvy check` runs, has as much.
const STACK: usize = 8 << 20;

/// Arguments of `divvy ui`.
#[derive(Args, Debug)]
#[command(after_help = "\
Opens no port but --listen, and changes nothing: neither proxies nor FILE. Everyone who can connect
to the port reads FILE and the names in the configuration; there is no login. SIGTERM and Ctrl-C end
the server.

Examples:
  divvy ui envoy/divvy.yaml
  divvy ui --admin http://10.0.0.1:9901 --admin http://10.0.0.2:9901 canary.yaml
  divvy ui --prometheus http://127.0.0.1:9090 --job divvy-gateway
  divvy ui --listen 127.0.0.1:8080 --page target/page")]
pub struct UiArgs {
    /// Configuration to show as it changes on disk, in any form that divvy check accepts
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Name of the plugin, if FILE has several configurations
    #[arg(long, value_name = "NAME", requires = "file")]
    pub plugin: Option<String>,
    /// Admin interface of an Envoy, or the whole URL of its metrics; may be given several times
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901")]
    pub admin: Vec<String>,
    /// Asks the Prometheus at this URL, which scrapes the proxies
    #[arg(long, value_name = "URL", conflicts_with = "admin")]
    pub prometheus: Option<String>,
    /// Only the proxies of this scrape job of the Prometheus
    #[arg(long, requires = "prometheus")]
    pub job: Option<String>,
    /// Time over which the Prometheus counts requests, errors and durations
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = limits::interval, requires = "prometheus")]
    pub window: Duration,
    /// Time between two looks at the proxies; Envoy updates its histograms every five seconds
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = limits::interval)]
    pub every: Duration,
    /// Address and port of the server
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9909")]
    pub listen: SocketAddr,
    /// Name under which browsers reach the server, beside localhost; may be given several times
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Folder of the page, if it is not part of this program
    #[arg(long, value_name = "DIR")]
    pub page: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &UiArgs, format: Format) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(STACK)
        .enable_all()
        .build()?;
    let result = runtime.block_on(until_ended(args, format));
    // A thread may still wait for a proxy.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

async fn until_ended(args: &UiArgs, format: Format) -> Result<()> {
    let server = server(args)?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| args.listen.to_string())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    announce(listener.local_addr()?, format)?;
    tokio::select! {
        () = server.run(listener) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The server of these arguments, for a listener. It looks at the proxies until it is dropped.
pub fn server(args: &UiArgs) -> Result<Arc<UiServer>> {
    let page = PageFiles::find(args.page.as_deref())?;
    let (source, name) = match &args.prometheus {
        Some(url) => (
            MetricsSource::prometheus(url, args.job.as_deref(), args.window)?,
            format!("Prometheus at {url}"),
        ),
        None => (
            MetricsSource::addresses(args.admin.clone()),
            args.admin.join(", "),
        ),
    };
    let file = FollowedFile::new(args.file.clone(), args.plugin.clone());
    let live = LiveFeed::start(source, name, args.every);
    let rules = AccessRules::new(args.listen, &args.host);
    Ok(UiServer::new(rules, page, file, live))
}

fn announce(address: SocketAddr, format: Format) -> Result<()> {
    let url = format!("http://{address}");
    if !address.ip().is_loopback() {
        let note = "other machines can connect, and there is no login";
        writeln!(anstream::stderr(), "divvy ui: {address}: {note}")?;
    }
    let mut out = anstream::stdout();
    match format {
        Format::Json => writeln!(out, "{}", json!({"url": url}))?,
        Format::Text | Format::Markdown => {
            writeln!(out, "The page is at {url} (Ctrl-C ends the server)")?;
        }
    }
    out.flush()?;
    Ok(())
}

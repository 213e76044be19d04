//! `divvy top`: traffic, shares and guardrails of running proxies.
//!
//! Reads `/stats/prometheus` of Envoys, given by address or by a selector of pods, or asks a Prometheus; adds up their
//! counters, and compares their configurations, shares and states.

mod forward;
mod prometheus;
mod scrape;
mod show;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::limits;
use crate::output::{Format, exit_code};
use forward::{Forwards, PodSelection};
use prometheus::PrometheusApi;
use scrape::{ProxyAddress, Scrape, printable};
pub use view::{FleetView, ProxyView, RolloutView, VersionView, names};

/// Arguments of `divvy top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  divvy top
  divvy top http://10.0.0.1:9901 http://10.0.0.2:9901
  divvy top --prometheus http://127.0.0.1:9090 --job divvy-gateway
  divvy top --selector istio=ingressgateway --namespace istio-system
  divvy top --once --output json | jq '.rollouts[].versions[].seen'

Exit code with --once: 1 if a proxy does not answer or has no valid configuration, if proxies have
different configurations or shares, if a guardrail holds a version back, or if an alert of divvy fires.")]
pub struct TopArgs {
    /// Admin interfaces of Envoys, or whole URLs of their metrics
    #[arg(default_value = "http://127.0.0.1:9901")]
    urls: Vec<String>,
    /// Asks the Prometheus at this URL, which scrapes the proxies
    #[arg(long, value_name = "URL", conflicts_with_all = ["urls", "selector"])]
    prometheus: Option<String>,
    /// Only the proxies of this scrape job of the Prometheus
    #[arg(long, requires = "prometheus")]
    job: Option<String>,
    /// Time over which the Prometheus counts requests, errors and durations
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = limits::interval, requires = "prometheus")]
    window: Duration,
    /// Labels of pods, to which kubectl forwards a port
    #[arg(long, conflicts_with = "urls")]
    selector: Option<String>,
    /// Namespace of these pods; without it, that of kubectl's context
    #[arg(long, requires = "selector")]
    namespace: Option<String>,
    /// Port of the metrics in these pods: 15090 is that of Istio's proxies
    #[arg(long, default_value = "15090", requires = "selector")]
    port: u16,
    /// Prints once and exits: the counts since the proxies started, or those of --window
    #[arg(long)]
    once: bool,
    /// Time between two updates; Envoy updates its histograms every five seconds
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = limits::interval)]
    every: Duration,
}

/// Where the metrics come from.
pub struct MetricsSource(MetricsOrigin);

/// The last scrapes, with which counters are compared.
#[derive(Default)]
pub struct LastScrapes(Option<(Instant, Vec<Scrape>)>);

enum MetricsOrigin {
    Addresses(Vec<String>),
    Pods(Forwards),
    Prometheus(PrometheusApi, Duration),
}

/// Simultaneous scrapes.
const SCRAPES: usize = 16;

/// Runs the verb: once, or until the process is ended.
pub fn run(args: &TopArgs, format: Format) -> Result<ExitCode> {
    let source = MetricsSource::new(args)?;
    let mut before = LastScrapes::default();
    if args.once {
        let view = source.view(&mut before)?;
        print(&view, true, format)?;
        return Ok(exit_code(!view.findings().is_empty()));
    }
    let mut answered = false;
    loop {
        match source.view(&mut before) {
            Ok(view) => print(&view, false, format)?,
            // A source that answered before can come back.
            Err(error) if answered => writeln!(anstream::stderr(), "{error:#}")?,
            Err(error) => return Err(error),
        }
        answered = true;
        sleep(args.every);
    }
}

/// The counts of proxies since they started. A URL is that of an admin interface or of metrics.
pub fn look(urls: &[String]) -> FleetView {
    FleetView::new(&scrape_all(&named(urls)), None)
}

/// What a Prometheus knows about its proxies, or those of one job. `window` is that of rates.
pub fn look_at_prometheus(url: &str, job: Option<&str>, window: Duration) -> Result<FleetView> {
    let sample = PrometheusApi::new(url, job)?.look(window)?;
    Ok(FleetView::of_fleet(sample))
}

impl MetricsSource {
    fn new(args: &TopArgs) -> Result<Self> {
        if let Some(url) = &args.prometheus {
            return Self::prometheus(url, args.job.as_deref(), args.window);
        }
        let Some(selector) = &args.selector else {
            return Ok(Self::addresses(args.urls.clone()));
        };
        let pods = PodSelection {
            selector: selector.clone(),
            namespace: args.namespace.clone(),
            port: args.port,
        };
        Ok(Self(MetricsOrigin::Pods(Forwards::new(pods)?)))
    }

    /// Proxies by the URLs of their admin interfaces or metrics.
    pub fn addresses(urls: Vec<String>) -> Self {
        Self(MetricsOrigin::Addresses(urls))
    }

    /// A Prometheus, or one of its scrape jobs. `window` is that of rates.
    pub fn prometheus(url: &str, job: Option<&str>, window: Duration) -> Result<Self> {
        let api = PrometheusApi::new(url, job)?;
        Ok(Self(MetricsOrigin::Prometheus(api, window)))
    }

    /// The view now. The first one of proxies shows all counts since they started.
    pub fn view(&self, before: &mut LastScrapes) -> Result<FleetView> {
        let now = Instant::now();
        let scrapes = match &self.0 {
            MetricsOrigin::Prometheus(api, window) => {
                return Ok(FleetView::of_fleet(api.look(*window)?));
            }
            MetricsOrigin::Addresses(urls) => scrape_all(&named(urls)),
            MetricsOrigin::Pods(forwards) => scrape_all(&forwards.ports()?),
        };
        let since = before.0.as_ref();
        let since = since.map(|(then, scrapes)| (now - *then, scrapes.as_slice()));
        let view = FleetView::new(&scrapes, since);
        before.0 = Some((now, scrapes));
        Ok(view)
    }
}

/// Scrapes all proxies, some at a time.
fn scrape_all(proxies: &[ProxyAddress]) -> Vec<Scrape> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    let scrape = |proxy: &ProxyAddress| match &proxy.metrics {
        Ok(url) => {
            let mut scrape = Scrape::get(&agent, url);
            scrape.url = printable(&proxy.name);
            scrape
        }
        Err(error) => Scrape::failed(&proxy.name, error),
    };
    let mut scrapes = Vec::new();
    for some in proxies.chunks(SCRAPES) {
        thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|one| scope.spawn(|| scrape(one))).collect();
            let results = threads.into_iter().map(thread::ScopedJoinHandle::join);
            scrapes.extend(results.flatten());
        });
    }
    scrapes
}

/// The proxies at these addresses.
fn named(urls: &[String]) -> Vec<ProxyAddress> {
    let urls = urls.iter().map(|url| metrics_url(url));
    urls.map(|url| ProxyAddress {
        name: url.clone(),
        metrics: Ok(url),
    })
    .collect()
}

/// The view with its findings, as JSON.
#[derive(serde::Serialize)]
struct PrintedView<'v> {
    #[serde(flatten)]
    view: &'v FleetView,
    findings: Vec<String>,
}

fn print(view: &FleetView, once: bool, format: Format) -> Result<()> {
    let mut out = anstream::stdout();
    if format == Format::Json {
        let findings = view.findings();
        let printed = PrintedView { view, findings };
        writeln!(out, "{}", serde_json::to_string(&printed)?)?;
        return Ok(());
    }
    let replaces = !once && io::stdout().is_terminal();
    if replaces {
        // Moves the cursor home and clears the screen.
        write!(out, "\x1b[H\x1b[2J")?;
    }
    write!(out, "{}", show::text(view))?;
    if !once && !replaces {
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}

/// The URL of the metrics; an address without a path is that of an admin interface.
fn metrics_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    match rest.split_once('/') {
        Some((_, path)) if !path.is_empty() => format!("{scheme}://{rest}"),
        _ => format!("{scheme}://{}/stats/prometheus", rest.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::metrics_url;

    #[test]
    fn an_address_without_a_path_is_that_of_an_admin_interface() {
        for (given, url) in [
            ("localhost:9901", "http://localhost:9901/stats/prometheus"),
            ("http://a:1/", "http://a:1/stats/prometheus"),
            ("http://a:1/metrics?x=y", "http://a:1/metrics?x=y"),
        ] {
            assert_eq!(metrics_url(given), url);
        }
    }
}

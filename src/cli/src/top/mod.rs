//! `divvy top`: traffic, shares and guardrails of running proxies.
//!
//! Reads `/stats/prometheus` of one or more Envoys, adds up their counters, and compares their
//! configurations.

mod scrape;
mod show;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::limits;
use crate::output::{Format, exit_code};
use scrape::Scrape;
pub use view::{FleetView, ProxyView, RolloutView, VersionView};

/// Arguments of `divvy top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  divvy top
  divvy top http://10.0.0.1:9901 http://10.0.0.2:9901
  divvy top --once --output json | jq '.rollouts[].versions[].seen'

Exit code with --once: 1 if a proxy does not answer or has no valid configuration, if proxies have
different configurations, or if a guardrail holds a version back.")]
pub struct TopArgs {
    /// Admin interfaces of Envoys, or whole URLs of their metrics
    #[arg(default_value = "http://127.0.0.1:9901")]
    urls: Vec<String>,
    /// Prints the counts since the proxies started, and exits
    #[arg(long)]
    once: bool,
    /// Time between two updates; Envoy updates its histograms every five seconds
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = limits::interval)]
    every: Duration,
}

/// Runs the verb: once, or until the process is ended.
pub fn run(args: &TopArgs, format: Format) -> Result<ExitCode> {
    if args.once {
        let view = look(&args.urls);
        print(&view, true, format)?;
        return Ok(exit_code(!view.findings().is_empty()));
    }
    let scrape = scraper(&args.urls);
    let mut before: Option<(Instant, Vec<Scrape>)> = None;
    loop {
        let now = Instant::now();
        let scrapes = scrape();
        let since = before.as_ref();
        let since = since.map(|(then, scrapes)| (now - *then, scrapes.as_slice()));
        // The first view has no earlier one to compare with, so it shows all counts.
        print(&FleetView::new(&scrapes, since), false, format)?;
        before = Some((now, scrapes));
        sleep(args.every);
    }
}

/// The counts of proxies since they started. A URL is that of an admin interface or of metrics.
pub fn look(urls: &[String]) -> FleetView {
    FleetView::new(&scraper(urls)(), None)
}

/// Scrapes all proxies each time it is called.
fn scraper(urls: &[String]) -> impl Fn() -> Vec<Scrape> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    let urls: Vec<_> = urls.iter().map(|url| metrics_url(url)).collect();
    move || urls.iter().map(|url| Scrape::get(&agent, url)).collect()
}

fn print(view: &FleetView, once: bool, format: Format) -> Result<()> {
    let mut out = anstream::stdout();
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string(view)?)?;
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

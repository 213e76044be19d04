//! `divvy top`: what proxies do right now, by what they count.
//!
//! One or more Envoys are asked for their `/stats/prometheus`, every five seconds, as often as
//! Envoy brings its histograms up to date; what they count is added up, and their configurations are compared.

mod sample;
mod show;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{Format, Outcome};
use sample::Sample;
pub use view::{Proxy, Rollout, Version, View};

/// What one or more proxies do: shares in force and seen, requests, latency, guardrail.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  divvy top
  divvy top http://10.0.0.1:9901 http://10.0.0.2:9901
  divvy top --once --output json | jq '.rollouts[].versions[].seen'

Exit code with --once: 1 if a proxy does not answer or has no valid configuration, if they have
different ones, or if a guardrail holds a version back.")]
pub struct Top {
    /// The admin interfaces of Envoys, or whole URLs of their metrics
    #[arg(default_value = "http://127.0.0.1:9901")]
    urls: Vec<String>,
    /// Prints what was counted since the proxies started, and ends
    #[arg(long)]
    once: bool,
    /// How often they are asked
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    every: Duration,
}

/// Shows it: once, or until somebody ends it.
pub fn run(args: &Top, format: Format) -> Result<Outcome> {
    if args.once {
        let view = look(&args.urls);
        print(&view, true, format)?;
        return Ok(Outcome::findings(!view.findings().is_empty()));
    }
    let ask = asking(&args.urls);
    let mut before: Option<(Instant, Vec<Sample>)> = None;
    loop {
        let now = Instant::now();
        let samples = ask();
        let since = before
            .as_ref()
            .map(|(then, samples)| (now - *then, samples.as_slice()));
        let view = View::of(&samples, since);
        // The first look has nothing to compare with, and shows what was counted so far.
        print(&view, false, format)?;
        before = Some((now, samples));
        sleep(args.every);
    }
}

/// What proxies have counted since they started; each is an admin interface, or a whole URL of
/// metrics.
pub fn look(urls: &[String]) -> View {
    View::of(&asking(urls)(), None)
}

/// Asks them all, whenever it is called.
fn asking(urls: &[String]) -> impl Fn() -> Vec<Sample> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    let urls: Vec<_> = urls.iter().map(|url| address(url)).collect();
    move || urls.iter().map(|url| Sample::of(&agent, url)).collect()
}

fn print(view: &View, once: bool, format: Format) -> Result<()> {
    let mut out = anstream::stdout();
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string(view)?)?;
        return Ok(());
    }
    if !once && io::stdout().is_terminal() {
        // Home, and nothing below: one frame takes the place of the other.
        write!(out, "\x1b[H\x1b[2J")?;
    }
    write!(out, "{}", show::text(view))?;
    if !once && !io::stdout().is_terminal() {
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}

/// Where the metrics are: an address alone is that of an admin interface.
fn address(url: &str) -> String {
    let url = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    let path = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'));
    match path {
        Some((_, path)) if !path.is_empty() => url,
        _ => format!("{}/stats/prometheus", url.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_alone_is_that_of_an_admin_interface() {
        for (given, asked) in [
            ("localhost:9901", "http://localhost:9901/stats/prometheus"),
            ("http://a:1/", "http://a:1/stats/prometheus"),
            ("http://a:1/metrics?x=y", "http://a:1/metrics?x=y"),
        ] {
            assert_eq!(address(given), asked);
        }
    }
}

//! `make check`: whether a real Envoy accepts configurations, in one line each.
//!
//! Uses free ports, so it also works while `make run` is running. Reads files as `divvy check` does.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use divvy_cli::source::{self, Content, FoundConfig, LineIndex, SourceError, SourceFile};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::envoy::{Binary, Envoy, Options, Push};
use divvy_lab::plugin::Plugin;
use divvy_lab::workspace_root;

const FILTER: &str = "target/divvy.wasm";

/// Tests whether Envoy accepts configurations.
///
/// ENVOY names the Envoy to run; the default is the one that `make envoy` fetched.
#[derive(Debug, Parser)]
#[command(name = "divvy-verdict")]
struct Args {
    /// Files, folders, or - for standard input, in any form that divvy check accepts
    #[arg(value_name = "FILE|DIR|-", default_value = "envoy/divvy.yaml")]
    files: Vec<PathBuf>,
}

/// A configuration, or why there is none.
struct Candidate {
    /// File, and the plugin where the file has several.
    name: String,
    configuration: Result<String, String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("divvy-verdict: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Prints a line for each configuration. Whether all are accepted.
async fn run(args: &Args) -> Result<bool> {
    let candidates = candidates(args)?;
    let filter = workspace_root().join(FILTER);
    ensure!(filter.exists(), "{FILTER} does not exist: run `make build`");
    let binary = Binary::find()?;
    let version = binary.version.clone();
    let plugin = Plugin::load("envoy/plugin.yaml")?.with_configuration("{}");
    // The lab replaces the ports of the bootstrap by free ones.
    let bootstrap = Bootstrap::load("envoy/edge.yaml")?
        .with_listener_port("edge", 0)?
        .with_admin_port(0)
        .with_plugin(plugin.clone());
    let envoy = Envoy::start(&binary, &bootstrap, &Options::default()).await?;
    let mut all = true;
    for candidate in candidates {
        let name = candidate.name;
        let refusal = match candidate.configuration {
            Ok(text) => refusal(&envoy, &plugin, &text).await?,
            Err(reason) => Some(reason),
        };
        match refusal {
            None => println!("accepted by Envoy {version}: {name}"),
            Some(reason) => {
                all = false;
                println!("refused by Envoy {version}: {name}: {reason}");
            }
        }
    }
    envoy.stop().await;
    Ok(all)
}

/// Why Envoy refuses a configuration; `None` if it accepts it.
async fn refusal(envoy: &Envoy, plugin: &Plugin, configuration: &str) -> Result<Option<String>> {
    let pushed = plugin.clone().with_configuration(configuration);
    Ok(match envoy.push(&pushed).await? {
        Push::Accepted | Push::Unchanged => None,
        Push::Refused { reasons } => Some(reasons.join("; ")),
    })
}

/// The configurations in the files.
fn candidates(args: &Args) -> Result<Vec<Candidate>> {
    let set = source::read_all(&args.files)?;
    let mut all = Vec::new();
    for file in &set.files {
        match file.content() {
            Content::Documents(documents) => {
                let found = file.find(&documents);
                let is_one = found.len() == 1;
                all.extend(
                    found
                        .into_iter()
                        .map(|found| candidate(file, found, is_one)),
                );
            }
            Content::Error(error) => all.push(refused(file, &error)),
            Content::Foreign(_) => {}
        }
    }
    let names = args.files.iter().map(|file| file.display().to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    ensure!(!all.is_empty(), "{names}: contains no divvy configuration");
    Ok(all)
}

fn candidate(
    file: &SourceFile,
    found: Result<FoundConfig, SourceError>,
    is_one: bool,
) -> Candidate {
    let found = match found {
        Ok(found) => found,
        Err(error) => return refused(file, &error),
    };
    let plugin = found.names.first().filter(|_| !is_one);
    let plugin = plugin.map_or_else(String::new, |plugin| format!(", plugin {plugin}"));
    let text = String::from_utf8(found.bytes).context("is not UTF-8");
    Candidate {
        name: format!("{}{plugin}", file.name),
        configuration: text.map_err(|error| error.to_string()),
    }
}

fn refused(file: &SourceFile, error: &SourceError) -> Candidate {
    let (line, column) = LineIndex::new(&file.text).position(error.offset);
    Candidate {
        name: format!("{}:{line}:{column}", file.name),
        configuration: Err(error.message.clone()),
    }
}

//! The plugin file: what Envoy discovers (ECDS) and reloads when it is moved into place.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use minijinja::context;

use super::input::{Input, InputArgs};
use crate::manifest::json;
use crate::manifest::template::{comment, fill, indented, lines};
use crate::place::write_atomically;

const TEMPLATE: &str = include_str!("templates/plugin.yaml");

/// Arguments of `divvy render plugin`.
#[derive(Args, Debug)]
#[command(after_help = "\
Envoy watches the folder of the plugin file for files that are moved there, so a change takes effect
with --into, without a restart.

Examples:
  divvy render plugin envoy/divvy.yaml --wasm target/divvy.wasm
  divvy render plugin envoy/divvy.yaml --into target/plugin.yaml")]
pub struct PluginArgs {
    /// The configuration.
    #[command(flatten)]
    pub input: InputArgs,
    /// The filter and its name.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Writes the file by a rename in its folder, which is what Envoy's watch sees
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,
}

/// The filter and its name.
#[derive(Args, Clone, Debug)]
pub struct FilterArgs {
    /// Name of the plugin and of the HTTP filter: unique in one Envoy, because divvy stores its state under it
    #[arg(long, value_name = "NAME", default_value = "divvy", value_parser = name)]
    pub name: String,
    /// Path of the filter as Envoy opens it
    #[arg(long, value_name = "FILE", default_value = "divvy.wasm")]
    pub wasm: String,
}

/// A name that is not empty and has no control characters.
pub(super) fn name(text: &str) -> Result<String, String> {
    match text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        true => Err("is not a name without white space".to_owned()),
        false => Ok(text.to_owned()),
    }
}

pub(super) fn run(args: &PluginArgs) -> Result<()> {
    let text = text(
        &args.input.load()?,
        &args.filter,
        &args.input.config.display().to_string(),
    )?;
    match &args.into {
        Some(file) => write_atomically(file, &text),
        None => Ok(anstream::stdout().lock().write_all(text.as_bytes())?),
    }
}

/// The plugin file of a configuration from the file of this name.
pub(super) fn text(input: &Input, filter: &FilterArgs, source: &str) -> Result<String> {
    let configuration = indented(&json::write(&input.node), 12);
    fill(
        TEMPLATE,
        context! {
            name => filter.name.as_str(),
            wasm => filter.wasm.as_str(),
            source => comment(source),
            configuration => lines(configuration),
            needs_keys => input.needs_keys(),
        },
    )
}

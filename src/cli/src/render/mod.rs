//! `divvy render`: everything that Envoy, Istio or Envoy Gateway needs around a configuration.

mod envoy;
mod gateway;
mod gateway_routes;
mod input;
mod istio;
mod plugin;
mod routed;
mod services;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::output::Format;

/// Arguments of `divvy render`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  divvy render plugin envoy/divvy.yaml
  divvy render envoy envoy/divvy.yaml
  divvy render istio --gateway shop envoy/divvy.yaml
  divvy render envoy-gateway --gateway shop envoy/divvy.yaml")]
pub struct RenderArgs {
    /// What to produce.
    #[command(subcommand)]
    pub what: Rendering,
}

/// What to produce.
#[derive(Debug, Subcommand)]
pub enum Rendering {
    /// The plugin file that Envoy watches (ECDS): the configuration as JSON, and the filter
    Plugin(plugin::PluginArgs),
    /// A bootstrap of Envoy, and the plugin file
    Envoy(envoy::EnvoyArgs),
    /// Resources of Istio: WasmPlugin, EnvoyFilter, VirtualService, DestinationRule, Telemetry
    Istio(istio::IstioArgs),
    /// Resources of Envoy Gateway: EnvoyExtensionPolicy, ClientTrafficPolicy, EnvoyProxy, HTTPRoute
    EnvoyGateway(gateway::EnvoyGatewayArgs),
}

/// Runs the verb.
pub fn run(args: &RenderArgs, format: Format) -> Result<ExitCode> {
    if format == Format::Json {
        bail!(
            "render prints YAML, which is what Envoy and kubectl read: --output json has no effect here"
        );
    }
    match &args.what {
        Rendering::Plugin(args) => plugin::run(args)?,
        Rendering::Envoy(args) => envoy::run(args)?,
        Rendering::Istio(args) => istio::run(args)?,
        Rendering::EnvoyGateway(args) => gateway::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

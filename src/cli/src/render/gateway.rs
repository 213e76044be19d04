//! Resources of Envoy Gateway around a configuration, in one stream.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use divvy::policy::HeaderRole;
use minijinja::{Value, context};

use super::gateway_routes;
use super::input::{Input, InputArgs};
use super::istio::{gateway, label};
use super::plugin::name;
use crate::manifest::template::{fill, lines, texts};
use crate::place::write_atomically;

const POLICY: &str = include_str!("templates/extension-policy.yaml");
const TRAFFIC: &str = include_str!("templates/client-traffic.yaml");
const PROXY: &str = include_str!("templates/envoy-proxy.yaml");

/// Arguments of `divvy render envoy-gateway`.
#[derive(Args, Debug)]
#[command(after_help = "\
Each target of a version is a Service, or a Backend of Envoy Gateway, of that name. The policies and the
EnvoyProxy are for the Gateway, in its namespace; the Gateway has to name the EnvoyProxy.

Examples:
  divvy render envoy-gateway --gateway shop --namespace shop envoy/gateway/config.yaml
  divvy render envoy-gateway --gateway shop envoy/divvy.yaml | divvy check --strict -
  divvy render envoy-gateway --gateway infra/shop -n shop --backend v2=checkout-v2:8080 envoy/divvy.yaml")]
pub struct EnvoyGatewayArgs {
    /// The configuration.
    #[command(flatten)]
    pub input: InputArgs,
    /// The Gateway object that clients use, as NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME", value_parser = gateway)]
    pub gateway: String,
    /// Namespace of the services and their routes, and of the Gateway if it has no other
    #[arg(long, short, value_name = "NAME", default_value = "default", value_parser = label)]
    pub namespace: String,
    /// Kind of the objects that routes refer to
    #[arg(long, value_enum, default_value_t)]
    pub backend_kind: BackendKind,
    /// Port of the Services
    #[arg(long, value_name = "PORT", default_value = "8080", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// The object of a target, as v2=checkout-v2 or v2=checkout-v2:8080; by default it has the target's name
    #[arg(long = "backend", value_name = "TARGET=NAME", value_parser = backend)]
    pub backends: Vec<(String, BackendName)>,
    /// The image of the filter; append its digest in production
    #[arg(long, value_name = "IMAGE", default_value = concat!("registry.example.com/divvy:", env!("CARGO_PKG_VERSION")), value_parser = name)]
    pub image: String,
    /// Address of the filter on a web server, instead of an image
    #[arg(long, value_name = "URL", conflicts_with = "image", value_parser = url)]
    pub wasm_url: Option<String>,
    /// SHA-256 checksum of the filter on the web server, which Envoy Gateway verifies
    #[arg(long, value_name = "HEX", requires = "wasm_url", value_parser = sha256)]
    pub wasm_sha256: Option<String>,
    /// Name of the objects and of the plugin: divvy stores its state under it
    #[arg(long, value_name = "NAME", default_value = "divvy", value_parser = label)]
    pub name: String,
    /// Writes the resources to a file
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,
}

/// Kind of the objects that routes refer to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BackendKind {
    /// Services of Kubernetes
    #[default]
    Service,
    /// Backends of Envoy Gateway, which have the address themselves
    Backend,
}

/// The object of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendName {
    /// Its name.
    pub name: String,
    /// Its port, if it is another than that of all.
    pub port: Option<u16>,
}

/// `TARGET=NAME` or `TARGET=NAME:PORT`.
fn backend(text: &str) -> Result<(String, BackendName), String> {
    let parts = text.rsplit_once('=');
    let (target, place) = parts.ok_or("is not TARGET=NAME, such as v2=checkout-v2")?;
    let (name, port) = match place.rsplit_once(':') {
        Some((name, port)) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (name, Some(port.ok_or("is not TARGET=NAME:PORT")?))
        }
        None => (place, None),
    };
    let name = label(name)?;
    Ok((target.to_owned(), BackendName { name, port }))
}

fn url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("http://")
        .or(text.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() => name(text),
        _ => Err("is not an address with http:// or https://".to_owned()),
    }
}

fn sha256(text: &str) -> Result<String, String> {
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("is not a SHA-256 checksum of 64 hexadecimal digits".to_owned()),
    }
}

impl EnvoyGatewayArgs {
    /// Namespace and name of the Gateway.
    pub(super) fn gateway(&self) -> (&str, &str) {
        let parts = self.gateway.split_once('/');
        parts.unwrap_or((&self.namespace, &self.gateway))
    }
}

pub(super) fn run(args: &EnvoyGatewayArgs) -> Result<()> {
    let text = text(args)?;
    match &args.into {
        Some(file) => write_atomically(file, &text),
        None => Ok(anstream::stdout().lock().write_all(text.as_bytes())?),
    }
}

/// All resources, separated by `---`.
fn text(args: &EnvoyGatewayArgs) -> Result<String> {
    let input = args.input.load()?;
    let mut documents = vec![
        policy(args, &input)?,
        filled(
            TRAFFIC,
            args,
            context! { stripped => texts(&input.stripped()) },
        )?,
        proxy(args, &input)?,
    ];
    documents.extend(gateway_routes::documents(args, &input)?);
    Ok(documents.join("---\n"))
}

/// A template with the names of the objects and these values.
fn filled(template: &'static str, args: &EnvoyGatewayArgs, values: Value) -> Result<String> {
    let (namespace, gateway) = args.gateway();
    let names = context! { name => args.name.as_str(), namespace => namespace, gateway => gateway };
    fill(template, context! { ..values, ..names })
}

fn policy(args: &EnvoyGatewayArgs, input: &Input) -> Result<String> {
    let code = match args.wasm_url {
        Some(_) => "HTTP",
        None => "Image",
    };
    filled(
        POLICY,
        args,
        context! {
            code => code,
            url => args.wasm_url.as_ref().unwrap_or(&args.image).as_str(),
            sha256 => args.wasm_sha256.as_deref(),
            configuration => lines(input.lines(8)),
            needs_keys => input.needs_keys(),
        },
    )
}

fn proxy(args: &EnvoyGatewayArgs, input: &Input) -> Result<String> {
    let is_logged = input.header(HeaderRole::Assignment).is_some();
    filled(
        PROXY,
        args,
        context! {
            is_logged => is_logged,
            assignment_operator => input.log_operator(HeaderRole::Assignment),
            unit_operator => input.log_operator(HeaderRole::Unit),
        },
    )
}

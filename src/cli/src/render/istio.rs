//! Resources of Istio around a configuration, in one stream.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use divvy::policy::HeaderRole;
use minijinja::{Value, context};

use super::input::{Input, InputArgs};
use super::plugin::name;
use super::services::{self, Service};
use crate::manifest::template::{comment, fill, lines, texts};
use crate::manifest::{ManifestNode, object, yaml};
use crate::place::write_atomically;

const PLUGIN: &str = include_str!("templates/wasm-plugin.yaml");
const STRIP: &str = include_str!("templates/strip.yaml");
const TELEMETRY: &str = include_str!("templates/telemetry.yaml");

/// Arguments of `divvy render istio`.
#[derive(Args, Debug)]
#[command(after_help = "\
At a gateway, which is the default, divvy decides about requests from outside the mesh. In the sidecars
of callers it decides about their calls to a service. In the sidecars of a service it decides nothing: it
checks whose decisions arrive (`trust`), and there are no routes.

Examples:
  divvy render istio --gateway shop --namespace shop envoy/examples/mixed.yaml
  divvy render istio --gateway shop envoy/divvy.yaml | divvy check --strict -
  divvy render istio --at callers --selector app=checkout --namespace shop envoy/examples/mixed.yaml")]
pub struct IstioArgs {
    /// The configuration.
    #[command(flatten)]
    pub input: InputArgs,
    /// Where divvy runs
    #[arg(long, value_enum, default_value_t)]
    pub at: MeshPlace,
    /// The Gateway object that clients use, as NAME or NAMESPACE/NAME; required at a gateway
    #[arg(long, value_name = "NAME", value_parser = gateway)]
    pub gateway: Option<String>,
    /// Namespace of the services and their routes
    #[arg(long, short, value_name = "NAME", default_value = "default", value_parser = label)]
    pub namespace: String,
    /// Namespace of the gateway's pods
    #[arg(long, value_name = "NAME", default_value = "istio-system", value_parser = label)]
    pub gateway_namespace: String,
    /// Label of the pods with divvy, as app=checkout; istio=ingressgateway at a gateway
    #[arg(long, value_name = "KEY=VALUE", value_parser = selector)]
    pub selector: Option<(String, String)>,
    /// Host of a rollout's service, as checkout=checkout.shop.svc.cluster.local; by default its name in the namespace
    #[arg(long = "service", value_name = "ROLLOUT=HOST", value_parser = service)]
    pub services: Vec<(String, String)>,
    /// Each version is a Service with the name of its target, instead of a subset
    #[arg(long)]
    pub version_services: bool,
    /// The image of the filter; append its digest in production
    #[arg(long, value_name = "IMAGE", default_value = concat!("registry.example.com/divvy:", env!("CARGO_PKG_VERSION")), value_parser = name)]
    pub image: String,
    /// Name of the plugin: divvy stores its state under it
    #[arg(long, value_name = "NAME", value_parser = label)]
    pub name: Option<String>,
    /// Writes the resources to a file
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,
    /// Name of the access log provider in the mesh configuration
    #[arg(long, value_name = "NAME", default_value = "divvy", value_parser = name)]
    pub log_provider: String,
}

/// Where divvy runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MeshPlace {
    /// In a gateway
    #[default]
    Gateway,
    /// In the sidecars of the callers of a service
    Callers,
    /// In the sidecars of a service
    Service,
}

/// A name of Kubernetes: lower-case letters, digits, dots and dashes.
pub(super) fn label(text: &str) -> Result<String, String> {
    let is_edge = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = text.as_bytes();
    let is_inner =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(byte);
    match bytes.len() <= 253
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(is_inner)
    {
        true => Ok(text.to_owned()),
        false => Err("is not a name of Kubernetes: lower-case letters, digits, - and .".to_owned()),
    }
}

pub(super) fn gateway(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((namespace, name)) => Ok(format!("{}/{}", label(namespace)?, label(name)?)),
        None => label(text),
    }
}

fn selector(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("is not KEY=VALUE, such as app=checkout")?;
    Ok((name(key)?, name(value)?))
}

fn service(text: &str) -> Result<(String, String), String> {
    let (rollout, host) = text.split_once('=').ok_or("is not ROLLOUT=HOST")?;
    Ok((rollout.to_owned(), label(host)?))
}

pub(super) fn run(args: &IstioArgs) -> Result<()> {
    let text = text(args)?;
    match &args.into {
        Some(file) => write_atomically(file, &text),
        None => Ok(anstream::stdout().lock().write_all(text.as_bytes())?),
    }
}

/// All resources, separated by `---`.
fn text(args: &IstioArgs) -> Result<String> {
    let input = args.input.load()?;
    let selector = match (&args.selector, args.at) {
        (Some(selector), _) => selector.clone(),
        (None, MeshPlace::Gateway) => ("istio".to_owned(), "ingressgateway".to_owned()),
        (None, _) => bail!(
            "--selector is required: the label of the pods whose sidecars run divvy, such as app=checkout"
        ),
    };
    let mut documents = vec![
        plugin(args, &input, &selector)?,
        strip(args, &input, &selector)?,
    ];
    if args.at != MeshPlace::Service {
        let services = services::of(args, &input)?;
        documents.extend(routes(args, &input, &services)?);
    }
    if let Some(header) = input.header(HeaderRole::Assignment) {
        documents.push(telemetry(args, &selector, &header)?);
    }
    Ok(documents.join("---\n"))
}

impl IstioArgs {
    fn plugin_name(&self) -> &str {
        let default = match self.at {
            MeshPlace::Gateway => "divvy",
            MeshPlace::Callers => "divvy-outbound",
            MeshPlace::Service => "divvy-inbound",
        };
        self.name.as_deref().unwrap_or(default)
    }

    /// The namespace of the pods with divvy.
    fn own_namespace(&self) -> &str {
        match self.at {
            MeshPlace::Gateway => &self.gateway_namespace,
            MeshPlace::Callers | MeshPlace::Service => &self.namespace,
        }
    }
}

fn labels((key, value): &(String, String)) -> Value {
    lines(yaml::flow(&object([(&**key, (&**value).into())])))
}

fn plugin(args: &IstioArgs, input: &Input, selector: &(String, String)) -> Result<String> {
    fill(
        PLUGIN,
        context! {
            at => format!("{:?}", args.at),
            name => args.plugin_name(),
            namespace => args.own_namespace(),
            selector => labels(selector),
            requests => comment(match args.at {
                MeshPlace::Gateway => "Requests from outside the mesh. For plugins, a gateway is a client of the mesh.",
                MeshPlace::Callers => "Requests of the application beside the sidecar.",
                MeshPlace::Service => "Requests to the application beside the sidecar.",
            }),
            mode => if args.at == MeshPlace::Service { "SERVER" } else { "CLIENT" },
            url => format!("oci://{}", args.image),
            configuration => lines(input.lines(4)),
            needs_keys => input.needs_keys(),
        },
    )
}

fn strip(args: &IstioArgs, input: &Input, selector: &(String, String)) -> Result<String> {
    fill(
        STRIP,
        context! {
            name => format!("{}-strip", args.plugin_name()),
            namespace => args.own_namespace(),
            selector => labels(selector),
            listener => match args.at {
                MeshPlace::Gateway => "GATEWAY",
                MeshPlace::Callers => "SIDECAR_OUTBOUND",
                MeshPlace::Service => "SIDECAR_INBOUND",
            },
            is_edge => args.at == MeshPlace::Gateway,
            stripped => texts(&input.stripped()),
        },
    )
}

fn telemetry(args: &IstioArgs, selector: &(String, String), header: &str) -> Result<String> {
    fill(
        TELEMETRY,
        context! {
            name => args.plugin_name(),
            namespace => args.own_namespace(),
            selector => labels(selector),
            provider => args.log_provider.as_str(),
            header => header,
        },
    )
}

/// The VirtualServices and DestinationRules.
fn routes(args: &IstioArgs, input: &Input, services: &[Service]) -> Result<Vec<String>> {
    if services.is_empty() {
        return Ok(Vec::new());
    }
    let route_header = input.header_or_default(HeaderRole::Route);
    let mirror_header = input.header(HeaderRole::Mirror);
    let mut all =
        services::virtual_services(args, services, &route_header, mirror_header.as_deref())?;
    all.extend(services::destination_rules(args, services));
    Ok(all.iter().map(document).collect())
}

fn document((comment, resource): &(String, ManifestNode)) -> String {
    let mut text = String::new();
    for line in comment.lines() {
        text += &format!("# {line}\n");
    }
    text + &yaml::document(resource)
}

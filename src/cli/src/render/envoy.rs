//! A bootstrap of Envoy with divvy, and the plugin file beside it.

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use divvy::policy::HeaderRole;
use minijinja::{Value, context};

use super::input::{Input, InputArgs};
use super::plugin::{self, FilterArgs};
use super::routed::{self, PathOperand, PathTest, RouteScope, Routed, escaped};
use crate::manifest::template::{comment, fill, node, texts};
use crate::manifest::{ManifestNode, list, object};
use crate::place::write_atomically;

const TEMPLATE: &str = include_str!("templates/envoy.yaml");
/// The port of the first upstream without an address.
const FIRST_PORT: u16 = 9101;
/// The name of the only cluster if no rollout has targets.
const SERVICE: &str = "service";
/// The options of a cluster for HTTP/2.
const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Arguments of `divvy render envoy`.
#[derive(Args, Debug)]
#[command(after_help = "\
Each target of a version is a cluster. Without --into, both files are printed, to look at them.

Examples:
  divvy render envoy envoy/divvy.yaml --wasm /etc/envoy/divvy.wasm | divvy check --strict -
  divvy render envoy envoy/divvy.yaml --into target/ --upstream v2=checkout-v2.internal:8080")]
pub struct EnvoyArgs {
    /// The configuration.
    #[command(flatten)]
    pub input: InputArgs,
    /// The filter and its name.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Writes the bootstrap and plugin.yaml to this folder
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
    /// Name of the bootstrap in the folder
    #[arg(long, value_name = "NAME", default_value = "envoy.yaml", value_parser = file_name)]
    pub bootstrap: String,
    /// Replaces a bootstrap that differs
    #[arg(long, requires = "into")]
    pub force: bool,
    /// Address on which clients connect; the port alone is on 127.0.0.1
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10000", value_parser = endpoint)]
    pub listen: Endpoint,
    /// Address of the admin interface: every client that reaches it can stop the proxy
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901", value_parser = endpoint)]
    pub admin: Endpoint,
    /// Address of a target, as v1=10.0.0.1:8080; without it, 127.0.0.1 with the ports from 9101
    #[arg(long = "upstream", value_name = "TARGET=ADDRESS", value_parser = upstream)]
    pub upstreams: Vec<(String, Endpoint)>,
    /// Versions speak HTTP/2 without TLS, as gRPC needs
    #[arg(long)]
    pub http2: bool,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or IP address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

fn file_name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && !text.contains(['/', '\\']) && !text.starts_with('.');
    match is_name && !text.chars().any(char::is_control) && text != "plugin.yaml" {
        true => Ok(text.to_owned()),
        false => Err("is not the name of a file beside plugin.yaml".to_owned()),
    }
}

/// `host:port`, `[::1]:port`, or a port.
fn endpoint(text: &str) -> Result<Endpoint, String> {
    let message = || "is not an address: write host:port, [IPv6]:port or a port".to_owned();
    let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
    let port = port.parse().ok().filter(|port| *port != 0);
    let host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(inner) => inner
            .parse::<std::net::Ipv6Addr>()
            .map_err(|_| message())?
            .to_string(),
        None => host.to_owned(),
    };
    let is_host = |host: &str| {
        let is_label = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        host.parse::<IpAddr>().is_ok() || (!host.is_empty() && host.chars().all(is_label))
    };
    match port {
        Some(port) if is_host(&host) => Ok(Endpoint { host, port }),
        _ => Err(message()),
    }
}

fn upstream(text: &str) -> Result<(String, Endpoint), String> {
    let parts = text.rsplit_once('=');
    let (target, address) = parts.ok_or("is not TARGET=ADDRESS, such as v2=10.0.0.2:8080")?;
    Ok((target.to_owned(), endpoint(address)?))
}

pub(super) fn run(args: &EnvoyArgs) -> Result<()> {
    let input = args.input.load()?;
    let source = args.input.config.display().to_string();
    let bootstrap = bootstrap(args, &input, &source)?;
    let plugin = plugin::text(&input, &args.filter, &source)?;
    let Some(folder) = &args.into else {
        let mut out = anstream::stdout().lock();
        out.write_all(bootstrap.as_bytes())?;
        writeln!(out, "---")?;
        out.write_all(plugin.as_bytes())?;
        return Ok(());
    };
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let file = folder.join(&args.bootstrap);
    let is_other = fs::read(&file).is_ok_and(|known| known != bootstrap.as_bytes());
    if is_other && !args.force {
        bail!(
            "{} exists and differs: --force replaces it; `divvy render plugin --into` changes the configuration alone",
            file.display()
        );
    }
    write_atomically(&file, &bootstrap)?;
    write_atomically(&folder.join("plugin.yaml"), &plugin)?;
    if !Path::new(&args.filter.wasm).exists() {
        anstream::eprintln!(
            "divvy: {} does not exist here: an Envoy that starts without the filter answers 500; --wasm FILE names it",
            args.filter.wasm
        );
    } else {
        anstream::eprintln!("start it with: envoy -c {}", file.display());
    }
    Ok(())
}

fn bootstrap(args: &EnvoyArgs, input: &Input, source: &str) -> Result<String> {
    let rollouts = routed::rollouts(&input.policy, &input.raw);
    let mut targets: Vec<&str> = Vec::new();
    for target in rollouts.iter().flat_map(|rollout| &rollout.targets) {
        if !targets.contains(&&**target) {
            targets.push(target);
        }
    }
    if targets.is_empty() {
        targets.push(SERVICE);
    }
    if let Some((unknown, _)) = args
        .upstreams
        .iter()
        .find(|(name, _)| !targets.contains(&&**name))
    {
        bail!(
            "--upstream {unknown}: is not a target of this configuration; it has {}",
            targets.join(", ")
        );
    }
    let clusters = targets.iter().zip(FIRST_PORT..).map(|(target, port)| {
        let mut given = args.upstreams.iter().rev();
        let given = given.find(|(name, _)| name == target);
        let local = Endpoint {
            host: "127.0.0.1".to_owned(),
            port,
        };
        cluster(
            target,
            given.map_or(&local, |(_, endpoint)| endpoint),
            args.http2,
        )
    });
    let folder = args.into.clone().unwrap_or_else(|| PathBuf::from("."));
    let plugin = folder.join("plugin.yaml");
    let place = |endpoint: &Endpoint| {
        let text = match endpoint.host.contains(':') {
            true => format!("[{}]:{}", endpoint.host, endpoint.port),
            false => format!("{}:{}", endpoint.host, endpoint.port),
        };
        context! { host => endpoint.host.as_str(), port => u32::from(endpoint.port), text => comment(&text) }
    };
    let text = |path: &Path| Value::from(path.display().to_string());
    fill(
        TEMPLATE,
        context! {
            bootstrap => comment(&folder.join(&args.bootstrap).display().to_string()),
            source => comment(source),
            listen => place(&args.listen),
            admin => place(&args.admin),
            name => args.filter.name.as_str(),
            plugin => text(&plugin),
            folder => text(&folder),
            stripped => texts(&input.stripped()),
            route_header => input.header_or_default(HeaderRole::Route),
            mirror_header => input.header_or_default(HeaderRole::Mirror),
            assignment_operator => input.log_operator(HeaderRole::Assignment),
            unit_operator => input.log_operator(HeaderRole::Unit),
            stable_routes => node(&list(stable_routes(&rollouts, targets[0])), 24),
            clusters => node(&list(clusters), 4),
        },
    )
}

fn cluster(name: &str, endpoint: &Endpoint, http2: bool) -> ManifestNode {
    let address = object([
        ("address", (&*endpoint.host).into()),
        ("port_value", u64::from(endpoint.port).into()),
    ]);
    let address = object([("address", object([("socket_address", address)]))]);
    let endpoints = list([object([("endpoint", address)])]);
    let assignment = object([
        ("cluster_name", name.into()),
        ("endpoints", list([object([("lb_endpoints", endpoints)])])),
    ]);
    let mut cluster = object([
        ("name", name.into()),
        ("connect_timeout", "1s".into()),
        ("per_connection_buffer_limit_bytes", 32_768.into()),
    ]);
    if endpoint.host.parse::<IpAddr>().is_err() {
        cluster = cluster.with("type", "STRICT_DNS");
    }
    if http2 {
        let http2 = object([("http2_protocol_options", object([]))]);
        let options = object([
            ("@type", format!("type.googleapis.com/{OPTIONS}").into()),
            ("explicit_http_config", http2),
        ]);
        cluster = cluster.with(
            "typed_extension_protocol_options",
            object([(OPTIONS, options)]),
        );
    }
    cluster.with("load_assignment", assignment)
}

/// The routes of requests without a decision: to stable of the rollout that they belong to, then to that of the first.
fn stable_routes(rollouts: &[Routed], fallback: &str) -> Vec<ManifestNode> {
    let last = rollouts.first().map_or(fallback, |rollout| &rollout.stable);
    let mut routes = Vec::new();
    if rollouts.iter().any(|rollout| rollout.stable != last) {
        for rollout in rollouts {
            let scopes = rollout.scopes.iter().flat_map(conditions);
            routes.extend(scopes.map(|condition| {
                let name = format!("stable-{}", rollout.name);
                stable_route(&name, condition, &rollout.stable)
            }));
        }
    }
    routes.push(stable_route(
        "stable",
        object([("prefix", "/".into())]),
        last,
    ));
    routes
}

fn stable_route(name: &str, condition: ManifestNode, cluster: &str) -> ManifestNode {
    object([
        ("name", name.into()),
        ("match", condition),
        (
            "route",
            object([("cluster", cluster.into()), ("timeout", "60s".into())]),
        ),
    ])
}

/// The match of a route for an entry of `match`; several if it has several paths.
fn conditions(scope: &RouteScope) -> Vec<ManifestNode> {
    let mut headers = Vec::new();
    let regex = |pattern: String| object([("safe_regex", object([("regex", pattern.into())]))]);
    let either = |patterns: Vec<String>| regex(patterns.join("|"));
    if !scope.hosts.is_empty() {
        // With or without a port.
        let hosts = scope
            .hosts
            .iter()
            .map(|host| match host.strip_prefix("*.") {
                Some(below) => format!(r"[^:]+\.{}(:\d+)?", escaped(below)),
                None => format!(r"{}(:\d+)?", escaped(host)),
            });
        let test = either(hosts.map(|host| format!("(?i){host}")).collect());
        headers.push(object([
            ("name", ":authority".into()),
            ("string_match", test),
        ]));
    }
    if !scope.methods.is_empty() {
        let test = either(scope.methods.iter().map(|method| escaped(method)).collect());
        headers.push(object([("name", ":method".into()), ("string_match", test)]));
    }
    let paths = paths(scope.path.as_ref());
    let with_headers = paths.into_iter().map(|path| match headers.is_empty() {
        true => path,
        false => path.with("headers", list(headers.clone())),
    });
    with_headers.collect()
}

fn paths(path: Option<&PathTest>) -> Vec<ManifestNode> {
    let Some(path) = path else {
        return vec![object([("prefix", "/".into())])];
    };
    let regex = |pattern: &str| object([("safe_regex", object([("regex", pattern.into())]))]);
    let cased = |test: ManifestNode| match path.ignores_case {
        true => test.with("case_sensitive", false),
        false => test,
    };
    match &path.operand {
        PathOperand::Exact(paths) => {
            let tests = paths
                .iter()
                .map(|path| object([("path", (&**path).into())]));
            tests.map(cased).collect()
        }
        PathOperand::Prefix(prefix) => {
            // Envoy's refuses a slash at its end, below which everything is.
            let test = match prefix.strip_suffix('/') {
                Some(_) => object([("prefix", (&**prefix).into())]),
                None => object([("path_separated_prefix", (&**prefix).into())]),
            };
            vec![cased(test)]
        }
        PathOperand::Regex(pattern) if path.ignores_case => vec![regex(&format!("(?i){pattern}"))],
        PathOperand::Regex(pattern) => vec![regex(pattern)],
    }
}

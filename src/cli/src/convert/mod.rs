//! `divvy convert`: from the routes and releases of other systems to a configuration.
//!
//! One module per source reads its resources into routes ([`route`]) and makes rollouts of them ([`group`]). The
//! resources are read as trees, not as the types of crates such as `k8s-openapi` and `gateway-api`: those have no
//! lines for messages and drop fields that they do not know, which have to be reported and kept in the new routes.

mod argo;
mod argo_steps;
pub mod choice;
mod condition;
mod draft;
mod duration;
mod envoy;
mod envoy_match;
mod envoy_routes;
mod flagger;
mod flagger_routes;
mod gateway_api;
mod gateway_match;
mod group;
mod ingress;
mod ingress_routes;
mod input;
mod istio;
pub mod note;
mod route;
mod versions;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::limits;
use crate::manifest::{ManifestNode, object, yaml};
use crate::output::{Format, print_json};
use crate::source::tree::{SourceNode, YamlVersion};
use crate::source::{self};
use choice::{Choices, IdentityChoice};
use draft::RolloutDraft;
use group::{Grouped, RouteList};
use input::Resource;
use note::{ConversionNote, Loss, NoteLog};

/// The header that selects a version, by its default name.
const ROUTE_HEADER: &str = "x-divvy-route";

/// Arguments of `divvy convert`.
#[derive(Args, Debug)]
#[command(after_help = "\
Reads Istio's VirtualService, HTTPRoute and GRPCRoute of the Gateway API, Envoy's routes with weighted_clusters or
runtime_fraction, Argo's Rollout, Flagger's Canary and canaries of ingress-nginx, from files, folders, standard input
and lists (`kubectl get -o yaml`). Related documents are read together. Prints the configuration and, with --routes, the new routes; on standard error one line for
each field of the source that is not converted exactly.

Exit code 0: all is exact; 1: something is approximate; 2: something is not converted, or the command failed.

Examples:
  divvy convert --identity header:x-user-id src/cli/tests/convert/istio/two-weights.yaml
  divvy convert --random --routes src/cli/tests/convert/istio/two-weights.yaml")]
pub struct ConvertArgs {
    /// Files, folders, or - for standard input
    #[arg(required = true, value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Where the user's identity is: header:NAME, cookie:NAME, query:NAME or jwt:CLAIM; the first that has one counts
    #[arg(long, value_name = "SOURCE", required_unless_present = "random")]
    pub identity: Vec<IdentityChoice>,
    /// Draws a version for each request, as weights do; with --identity only for requests without one
    #[arg(long)]
    pub random: bool,
    /// Begin of the first step of a release, such as 2026-12-01T09:00:00Z
    #[arg(long, value_name = "INSTANT", value_parser = limits::instant)]
    pub start: Option<String>,
    /// Name of the stable version; by default the one with the largest weight
    #[arg(long, value_name = "VERSION")]
    pub stable: Option<String>,
    /// Namespace of resources that do not name one
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Also prints the new routes
    #[arg(long)]
    pub routes: bool,
}

/// What was converted.
#[derive(Debug, Default)]
struct Converted {
    rollouts: Vec<RolloutDraft>,
    routes: Vec<ManifestNode>,
    /// Number of resources that were read.
    sources: usize,
}

impl Converted {
    /// The names of the rollouts.
    fn names(&self) -> BTreeSet<String> {
        let names = self.rollouts.iter().map(|draft| draft.name.clone());
        names.collect()
    }

    /// An error if no rollout has a version of this name.
    fn require_version(&self, name: &str) -> Result<()> {
        let versions = self.rollouts.iter().flat_map(|draft| &draft.versions);
        let versions: BTreeSet<_> = versions.map(String::as_str).collect();
        if !versions.contains(name) {
            let all = versions.into_iter().collect::<Vec<_>>().join(", ");
            bail!("--stable {name}: no rollout has a version of this name; there are: {all}");
        }
        Ok(())
    }

    fn add(&mut self, rollouts: impl IntoIterator<Item = RolloutDraft>) {
        self.rollouts.extend(rollouts);
    }

    /// Puts rollouts with more specific hosts first, since they own the route header first.
    fn sort(&mut self) {
        self.rollouts.sort_by_key(|draft| {
            let hosts = draft.scopes.iter();
            let hosts = hosts.flat_map(|scope| match scope.get("hosts") {
                Some(ManifestNode::List(hosts)) => hosts.clone(),
                // For every host.
                _ => vec!["*".into()],
            });
            let least = hosts.map(|host| match host {
                ManifestNode::Text(host) if !host.starts_with('*') => (0, 0),
                ManifestNode::Text(host) if host.len() > 1 => (1, usize::MAX - host.len()),
                _ => (2, 0),
            });
            least.max().unwrap_or((2, 0))
        });
    }

    /// Joins rollouts for the same requests that decide alike, and notes the others: only the first of them chooses
    /// routes. Releases without routes are then left out.
    fn separate(&mut self, log: &NoteLog) {
        let mut kept: Vec<RolloutDraft> = Vec::new();
        for draft in std::mem::take(&mut self.rollouts) {
            let Some(first) = kept.iter_mut().find(|first| draft.is_behind(first)) else {
                kept.push(draft);
                continue;
            };
            if draft.scopes == first.scopes && draft.decides_as(first) {
                first.comment = format!("{}\n{}", first.comment, draft.comment);
                continue;
            }
            let (file, line, field) = draft.place.clone();
            let has_routes = !draft.link.kind.is_empty();
            let reason = format!(
                "rollout {} has the same requests and chooses their routes: convert them apart{}",
                first.name,
                if has_routes {
                    ""
                } else {
                    ", or give the routes of both"
                }
            );
            log.add(ConversionNote {
                file,
                line,
                field,
                loss: Loss::Impossible,
                reason,
            });
            if has_routes {
                kept.push(draft);
            }
        }
        self.rollouts = kept;
    }

    /// Notes what the rollouts lose, and the routes that stay as they are.
    fn note_parts(
        resource: &Resource<'_>,
        (title, field): (&str, &str),
        given: &RouteList<'_>,
        grouped: &Grouped,
    ) {
        let origin = resource.origin;
        for index in &grouped.used {
            for note in &given.routes[*index].notes {
                origin.log.add(note.clone());
            }
        }
        for (index, loss, reason) in &grouped.kept {
            let route = &given.routes[*index];
            let path = format!("{title}: {}.{field}", route.path);
            let path = path.trim_end_matches('.');
            origin.note_at(route.offset, path, *loss, reason.as_str());
        }
    }
}

/// What `divvy convert` prints.
#[derive(Debug)]
pub struct ConvertReport {
    /// The configuration.
    pub configuration: ManifestNode,
    /// The new routes: the documents that had routes, and those of releases.
    pub routes: Vec<ManifestNode>,
    /// What is not exact, by file and line.
    pub notes: Vec<ConversionNote>,
}

/// Converts the resources of these files.
pub fn convert(files: &[PathBuf], choices: &Choices) -> Result<ConvertReport> {
    let set = source::read_all(files)?;
    let log = NoteLog::default();
    let files = input::documents(&set, &log);
    let mut converted = Converted::default();
    let resources = input::resources(&files, &log);
    // Releases change the weights of routes, so the routes come first.
    for resource in &resources {
        let is_read = routes_of(resource, choices, &mut converted);
        converted.sources += usize::from(is_read);
    }
    for resource in &resources {
        let is_read = release_of(resource, &resources, choices, &mut converted);
        converted.sources += usize::from(is_read);
    }
    ingress_routes::http_routes(&resources, &mut converted);
    converted.sort();
    converted.separate(&log);
    if converted.sources == 0 && log.is_empty() {
        bail!(
            "the files have no resource that divvy convert reads: divvy convert --help lists them"
        );
    }
    if let Some(stable) = &choices.stable {
        converted.require_version(stable)?;
    }
    let configuration = draft::configuration(choices.identity(), &converted.rollouts);
    let json = crate::manifest::json::write(&configuration);
    divvy::config::parse(json.as_bytes())
        .context("the configuration would be invalid, so nothing is written")?;
    let mut notes = log.into_notes();
    notes.sort_by(|one, two| (&one.file, one.line).cmp(&(&two.file, two.line)));
    Ok(ConvertReport {
        configuration,
        routes: converted.routes,
        notes,
    })
}

/// Runs the verb.
pub fn run(args: &ConvertArgs, format: Format) -> Result<ExitCode> {
    let choices = Choices {
        identity: args.identity.clone(),
        random: args.random,
        start: args.start.clone(),
        stable: args.stable.clone(),
        namespace: args.namespace.clone(),
    };
    let report = convert(&args.files, &choices)?;
    print(args, format, &report)?;
    let worst = report.notes.iter().map(|note| note.loss).max();
    Ok(ExitCode::from(match worst {
        Some(Loss::Impossible) => 2,
        Some(Loss::Approximate) => 1,
        Some(Loss::LeftInPlace) | None => 0,
    }))
}

/// Converts a resource of routes, if it is one.
fn routes_of(resource: &Resource<'_>, choices: &Choices, converted: &mut Converted) -> bool {
    match (resource.group(), resource.kind) {
        ("networking.istio.io", "VirtualService") => {
            istio::virtual_service(resource, choices, converted);
        }
        ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute") => {
            gateway_api::route(resource, choices, converted);
        }
        (_, "" | "EnvoyFilter") => return envoy::document(resource, choices, converted),
        _ => return false,
    }
    true
}

/// Converts a resource of a release, if it is one.
fn release_of(
    resource: &Resource<'_>,
    all: &[Resource<'_>],
    choices: &Choices,
    converted: &mut Converted,
) -> bool {
    match (resource.group(), resource.kind) {
        ("argoproj.io", "Rollout") => argo::rollout(resource, choices, converted),
        ("flagger.app", "Canary") => flagger::canary(resource, choices, converted),
        ("networking.k8s.io" | "extensions", "Ingress") => {
            return ingress::canary(resource, all, converted);
        }
        _ => return false,
    }
    true
}

fn print(args: &ConvertArgs, format: Format, report: &ConvertReport) -> Result<()> {
    let ConvertReport {
        configuration,
        routes,
        notes,
    } = report;
    let mut out = anstream::stdout().lock();
    let routes = if args.routes { &routes[..] } else { &[] };
    if format == Format::Json {
        let value = |node: &ManifestNode| -> Result<Value> {
            Ok(serde_json::from_str(&crate::manifest::json::write(node))?)
        };
        let routes: Result<Vec<_>> = routes.iter().map(value).collect();
        let report = json!({
            "configuration": value(configuration)?, "routes": routes?, "notes": notes,
        });
        return print_json(&report, &mut out);
    }
    let all = std::iter::once(configuration).chain(routes);
    write!(out, "{}", yaml::documents(all))?;
    let mut error = anstream::stderr().lock();
    for note in notes {
        let ConversionNote {
            file,
            line,
            field,
            loss,
            reason,
        } = note;
        writeln!(error, "{file}:{line}: {field}: {}: {reason}", loss.name())?;
    }
    Ok(())
}

/// A node of a Kubernetes resource.
fn manifest_of(node: &SourceNode) -> ManifestNode {
    ManifestNode::of(node, YamlVersion::V11)
}

/// File, line and name of a resource.
fn place_of(resource: &Resource<'_>) -> (String, usize, String) {
    let line = resource.origin.line(resource.node.start);
    (resource.origin.file.to_owned(), line, resource.title())
}

/// Where a resource is, for the comment above its rollout.
fn origin_of(resource: &Resource<'_>) -> String {
    let line = resource.origin.line(resource.node.start);
    format!("{}, {}:{line}", resource.title(), resource.origin.file)
}

/// A resource with another value of a field of its `spec`.
fn with_spec_field(node: &SourceNode, field: &str, value: ManifestNode) -> ManifestNode {
    let mut resource = without_server_fields(node);
    if let ManifestNode::Map(entries) = &mut resource
        && let Some(spec) = entries.iter_mut().find(|entry| entry.key == "spec")
        && let ManifestNode::Map(fields) = &mut spec.value
    {
        for entry in fields.iter_mut().filter(|entry| entry.key == field) {
            entry.value = value.clone();
        }
    }
    resource
}

/// A resource without the fields that the API server writes.
fn without_server_fields(node: &SourceNode) -> ManifestNode {
    let own = [
        "creationTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
        "uid",
    ];
    let entries = node.entries().iter().filter(|entry| entry.key != "status");
    let entries = entries.map(|entry| {
        let value = match &*entry.key {
            "metadata" => {
                let fields = entry.value.entries().iter();
                let fields = fields.filter(|field| !own.contains(&&*field.key));
                object(fields.map(|field| (&*field.key, manifest_of(&field.value))))
            }
            _ => manifest_of(&entry.value),
        };
        (&*entry.key, value)
    });
    object(entries)
}

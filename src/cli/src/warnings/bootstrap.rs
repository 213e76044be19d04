//! What divvy requires of an Envoy: `node`, `stats_tags`, the wasm file, the extension's name, the order of filters
//! and the two routes.

use std::fs;
use std::path::Path;

use super::Examined;
use super::kind::Kind;
use super::routes::route_header;
use super::surroundings::{Bootstrap, HttpFilter, Manager, Route, Surroundings};
use super::warning::{FilePlace, Warning};
use crate::source::{Carrier, EnvoyPlugin};

/// The tags that turn parts of metric names into labels.
const TAGS: [&str; 5] = [
    "divvy_rollout",
    "divvy_version",
    "divvy_reason",
    "divvy_class",
    "divvy_plugin",
];
/// Filters that take the trailers of a gRPC response away, by a part of their name or type.
const TAKES_TRAILERS: [&str; 4] = [
    "grpc_web",
    "grpc_http1_bridge",
    "grpc_http1_reverse_bridge",
    "connect_grpc_bridge",
];

/// The connection managers that run a plugin.
pub(super) fn managers_of<'s>(
    one: &'s Examined,
    plugin: &'s EnvoyPlugin,
    surroundings: &'s Surroundings,
) -> impl Iterator<Item = &'s Manager> {
    surroundings.managers.iter().filter(|manager| {
        let mut filters = manager.filters.iter();
        filters.any(|filter| runs(one, plugin, filter))
    })
}

fn runs(one: &Examined, plugin: &EnvoyPlugin, filter: &HttpFilter) -> bool {
    let is_inline = filter.place.file == one.file && filter.plugin == Some(plugin.start);
    let is_discovered =
        filter.discovered.is_some() && plugin.extension.as_ref() == Some(&filter.name);
    is_inline || is_discovered
}

pub(super) fn find(all: &[Examined], surroundings: &Surroundings, found: &mut Vec<Warning>) {
    let mut seen: Vec<FilePlace> = Vec::new();
    for manager in &surroundings.managers {
        let position = manager.filters.iter().position(|filter| {
            let is_named = filter.discovered.is_some() && filter.name.contains("divvy");
            is_named || all.iter().any(|one| is_of(one, filter))
        });
        let Some(position) = position else { continue };
        let ours = &manager.filters[position];
        for filter in &manager.filters[position + 1..] {
            trailers(filter, found);
        }
        if let Some(bootstrap) = &manager.bootstrap
            && !seen.contains(&bootstrap.place)
        {
            seen.push(bootstrap.place);
            requirements(bootstrap, ours, found);
        }
        let headers = all.iter().filter(|one| is_of(one, ours));
        for header in headers.filter_map(|one| route_header(&one.policy)) {
            default_routes(manager, header, surroundings, found);
        }
    }
    for one in all {
        if let Carrier::Envoy(plugin) = &one.found.carrier {
            extension(one, plugin, surroundings, found);
            if !surroundings.is_remote {
                wasm_file(one, plugin, found);
            }
        }
    }
}

fn is_of(one: &Examined, filter: &HttpFilter) -> bool {
    match &one.found.carrier {
        Carrier::Envoy(plugin) => runs(one, plugin, filter),
        _ => false,
    }
}

fn requirements(bootstrap: &Bootstrap, ours: &HttpFilter, found: &mut Vec<Warning>) {
    if ours.discovered.is_some() && !bootstrap.has_node {
        let message = "node.id or node.cluster is missing, which Envoy requires for extension discovery: it does not \
                       start unless --service-node and --service-cluster are given";
        found.push(Warning::in_file(
            Kind::NoNode,
            bootstrap.place,
            "node",
            message,
        ));
    }
    let missing = TAGS
        .iter()
        .filter(|tag| !bootstrap.tags.iter().any(|known| known == *tag));
    let missing: Vec<_> = missing.copied().collect();
    if !missing.is_empty() {
        let message = format!(
            "no stats_tags for {}: these labels stay inside the names of metrics; copy stats_config from envoy/edge.yaml",
            missing.join(", ")
        );
        let path = "stats_config.stats_tags";
        found.push(Warning::in_file(
            Kind::NoStatsTags,
            bootstrap.place,
            path,
            message,
        ));
    }
}

fn trailers(filter: &HttpFilter, found: &mut Vec<Warning>) {
    let is_one = |text: &str| TAKES_TRAILERS.iter().any(|name| text.contains(name));
    if is_one(&filter.name) || is_one(&filter.kind) {
        let message = format!(
            "{} stands behind divvy and takes the trailers of gRPC responses away, so divvy cannot see whether a call \
             failed: put it in front of divvy",
            filter.name
        );
        found.push(Warning::in_file(
            Kind::HiddenTrailers,
            filter.place,
            "http_filters",
            message,
        ));
    }
}

fn default_routes(
    manager: &Manager,
    header: &str,
    surroundings: &Surroundings,
    found: &mut Vec<Warning>,
) {
    for group in &manager.groups {
        let routes = surroundings.routes.iter();
        let routes: Vec<&Route> = routes.filter(|route| route.group == *group).collect();
        let by_cluster = |route: &&Route| route.cluster_header.as_deref() == Some(header);
        let Some(deciding) = routes.iter().find(|route| route.reads(header)) else {
            continue;
        };
        let open = |route: &&&Route| route.accepts(header, None);
        let message = if let Some(all) = routes.iter().filter(|route| by_cluster(route)).find(open)
        {
            let message = format!(
                "the route with cluster_header also takes requests without {header}, for which there is no cluster: add \
                 {{name: {header}, present_match: true}} to its headers, and a route to stable behind it"
            );
            (all.place, message)
        } else if routes
            .iter()
            .any(|route| open(&route) && !by_cluster(route))
        {
            continue;
        } else {
            let message = format!(
                "no route takes requests without {header}, so Envoy answers 404 to those without a decision: add a route \
                 to stable behind it"
            );
            (deciding.place, message)
        };
        let (place, message) = message;
        if !found.iter().any(|one| one.message == message) {
            found.push(Warning::in_file(
                Kind::NoDefaultRoute,
                place,
                "routes",
                message,
            ));
        }
    }
}

/// A file of extensions whose name no filter asks for.
fn extension(
    one: &Examined,
    plugin: &EnvoyPlugin,
    surroundings: &Surroundings,
    found: &mut Vec<Warning>,
) {
    let Some(name) = &plugin.extension else {
        return;
    };
    let filters = surroundings
        .managers
        .iter()
        .flat_map(|manager| &manager.filters);
    let discovered: Vec<_> = filters
        .filter_map(|filter| Some((filter, filter.discovered.as_deref()?)))
        .collect();
    if discovered.iter().any(|(filter, _)| filter.name == *name) {
        return;
    }
    let base = |path: &str| Some(Path::new(path).file_name()?.to_owned());
    let same_file = discovered
        .iter()
        .find(|(_, path)| base(path).is_some() && base(path) == base(&one.file_name));
    if let Some((filter, _)) = same_file {
        let message = format!(
            "the extension is named {name:?}, and the filter that reads this file asks for {:?}: Envoy answers 500 to \
             everyone; write the same name in both",
            filter.name
        );
        let offset = one.found.offsets.in_file(0);
        let place = FilePlace {
            file: one.file,
            offset: plugin.place.unwrap_or(offset),
        };
        found.push(Warning::in_file(
            Kind::OtherExtension,
            place,
            "name",
            message,
        ));
    }
}

/// A wasm file that this machine would have and does not.
fn wasm_file(one: &Examined, plugin: &EnvoyPlugin, found: &mut Vec<Warning>) {
    let Some((name, offset)) = &plugin.wasm else {
        return;
    };
    let path = Path::new(name);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The folder may be one of another machine, or that of a build that has not run.
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    if path.exists() {
        return;
    }
    let others = entries.flatten().map(|entry| entry.path());
    let mut others = others.filter(|other| other.extension().is_some_and(|end| end == "wasm"));
    let other = others.next();
    let is_build_folder = folder.join("CACHEDIR.TAG").exists() || folder.ends_with("target");
    if other.is_none() && is_build_folder {
        return;
    }
    let hint = other.map_or_else(String::new, |other| {
        format!(
            "; the folder has {}",
            other.file_name().unwrap_or_default().to_string_lossy()
        )
    });
    let message = format!(
        "{name} does not exist{hint}: an Envoy that starts without the filter answers 500 to everyone, while /ready \
         says LIVE"
    );
    let place = FilePlace {
        file: one.file,
        offset: *offset,
    };
    let field = "vm_config.code.local.filename";
    found.push(Warning::in_file(Kind::NoWasmFile, place, field, message));
}

//! The services of rollouts on Istio: their routes and subsets.

use anyhow::{Result, bail};

use super::input::Input;
use super::istio::{IstioArgs, MeshPlace};
use super::routed::{self, PathOperand, RouteScope, Routed, escaped};
use crate::manifest::istio::{destination, destination_rule, route, virtual_service, with_headers};
use crate::manifest::{ManifestNode, list, object};

const ROUTES: &str = "The routes from which divvy chooses: it writes a target into the route header. Each route removes that header\n\
     after the choice. All other requests, and every request if divvy is not running, get stable. A version that\n\
     hangs fails after the timeout; Istio has none by default.";

/// A resource with the comment above it.
pub(super) type Commented = (String, ManifestNode);

/// A rollout that routes, and its service.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub rollout: Routed,
    /// The host of the service in the mesh.
    pub host: String,
    /// The hosts by which clients call it.
    pub hosts: Vec<String>,
}

/// A DestinationRule.
struct SubsetRule {
    name: String,
    host: String,
    /// Names with the values of the label.
    subsets: Vec<(String, String)>,
}

/// The services of a configuration.
pub(super) fn of(args: &IstioArgs, input: &Input) -> Result<Vec<Service>> {
    let rollouts = routed::rollouts(&input.policy, &input.raw);
    let known = |name: &str| rollouts.iter().any(|rollout| rollout.name == name);
    if let Some((unknown, _)) = args.services.iter().find(|(name, _)| !known(name)) {
        let names: Vec<_> = rollouts.iter().map(|rollout| &*rollout.name).collect();
        bail!(
            "--service {unknown}: is not a rollout with targets; there are {}",
            names.join(", ")
        );
    }
    if args.at == MeshPlace::Gateway && args.gateway.is_none() && !rollouts.is_empty() {
        bail!("--gateway is required: the name of the Gateway object that clients use");
    }
    let mut all: Vec<Service> = Vec::new();
    for rollout in rollouts {
        let mut given = args.services.iter().rev();
        let given = given.find(|(name, _)| *name == rollout.name);
        // Rollouts that a route cannot tell apart are about one service.
        let same = |earlier: &&Service| {
            let mut targets = rollout.targets.iter();
            earlier.rollout.scopes == rollout.scopes
                && targets.any(|target| earlier.rollout.targets.contains(target))
        };
        let host = match (given, all.iter().find(same)) {
            (Some((_, host)), _) => host.clone(),
            (None, Some(earlier)) => earlier.host.clone(),
            (None, None) => {
                let name = resource_name(&rollout.name);
                format!("{name}.{}.svc.cluster.local", args.namespace)
            }
        };
        let hosts = match args.at {
            MeshPlace::Gateway => client_hosts(&rollout.scopes),
            _ => vec![host.clone()],
        };
        all.push(Service {
            rollout,
            host,
            hosts,
        });
    }
    Ok(all)
}

/// The hosts of all entries of `match`.
fn client_hosts(scopes: &[RouteScope]) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for scope in scopes {
        if scope.hosts.is_empty() {
            return vec!["*".to_owned()];
        }
        for host in &scope.hosts {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
    }
    match hosts.is_empty() {
        true => vec!["*".to_owned()],
        false => hosts,
    }
}

/// The name of a rollout as one of Kubernetes, which has no underscores.
pub(super) fn resource_name(rollout: &str) -> String {
    let name = rollout.replace('_', "-");
    name.trim_end_matches(['-', '.']).to_owned()
}

/// The name of a service by its host.
fn first_label(host: &str) -> String {
    host.split('.').next().unwrap_or(host).to_owned()
}

/// The subset of a target: a DNS label.
fn subset(target: &str) -> String {
    let lower = target.to_ascii_lowercase();
    let name = lower.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    name.trim_matches('-').to_owned()
}

/// Where a target is.
fn place_of(args: &IstioArgs, service: &Service, target: &str) -> ManifestNode {
    let parts: Vec<&str> = target.split('|').collect();
    // Istio's own name of a cluster.
    if let ["outbound", port, subset, host] = parts[..] {
        let subset = Some(subset).filter(|subset| !subset.is_empty());
        return destination(host, subset, port.parse().ok());
    }
    match args.version_services {
        true if target.contains('.') => destination(target, None, None),
        true => destination(
            &format!("{target}.{}.svc.cluster.local", args.namespace),
            None,
            None,
        ),
        false => destination(&service.host, Some(&subset(target)), None),
    }
}

/// One DestinationRule for each service with subsets.
pub(super) fn destination_rules(args: &IstioArgs, services: &[Service]) -> Vec<Commented> {
    let mut rules: Vec<SubsetRule> = Vec::new();
    for service in services {
        for target in &service.rollout.targets {
            let place = place_of(args, service, target);
            let text = |key: &str| match place.get(key) {
                Some(ManifestNode::Text(text)) => Some(text.clone()),
                _ => None,
            };
            let (Some(host), Some(subset)) = (text("host"), text("subset")) else {
                continue;
            };
            // The label is what the version is called: the subset of Istio's own name of a cluster.
            let label = if target.contains('|') {
                subset.clone()
            } else {
                target.clone()
            };
            let index = match rules.iter().position(|rule| rule.host == host) {
                Some(known) => known,
                None => {
                    rules.push(SubsetRule {
                        name: first_label(&host),
                        host,
                        subsets: Vec::new(),
                    });
                    rules.len() - 1
                }
            };
            let subsets = &mut rules[index].subsets;
            if subsets.iter().all(|(known, _)| *known != subset) {
                subsets.push((subset, label));
            }
        }
    }
    let rules = rules.iter().map(|rule| {
        let comment = "The versions: pods by their label `version`.".to_owned();
        let names = (&*rule.name, &*args.namespace);
        (comment, destination_rule(names, &rule.host, &rule.subsets))
    });
    rules.collect()
}

/// One VirtualService for each set of hosts.
pub(super) fn virtual_services(
    args: &IstioArgs,
    services: &[Service],
    route_header: &str,
    mirror_header: Option<&str>,
) -> Result<Vec<Commented>> {
    let mut groups: Vec<Vec<&Service>> = Vec::new();
    for service in services {
        match groups
            .iter_mut()
            .find(|group| group[0].hosts == service.hosts)
        {
            Some(group) => group.push(service),
            None => groups.push(vec![service]),
        }
    }
    let mut all = Vec::new();
    for group in groups {
        let first = group[0];
        let mut writer = RouteWriter {
            args,
            route_header,
            mirror_header,
            names_rollouts: group.len() > 1,
            names_hosts: first.hosts.len() > 1,
            routes: Vec::new(),
            taken: Vec::new(),
        };
        for service in &group {
            writer.decided(service)?;
        }
        if writer.names_rollouts {
            for service in &group {
                writer.stable(service)?;
            }
        }
        let stable = place_of(args, first, &first.rollout.stable);
        writer
            .routes
            .push(route("stable", Vec::new(), route_header, stable));
        let gateways: Vec<String> = match args.at {
            MeshPlace::Gateway => args.gateway.iter().cloned().collect(),
            _ => vec!["mesh".to_owned()],
        };
        let name = first_label(&first.host);
        let names = (&*name, &*args.namespace);
        let resource = virtual_service(names, &first.hosts, &gateways, writer.routes);
        all.push((ROUTES.to_owned(), resource));
    }
    Ok(all)
}

/// Writes the routes of one VirtualService.
struct RouteWriter<'a> {
    args: &'a IstioArgs,
    route_header: &'a str,
    mirror_header: Option<&'a str>,
    /// Whether routes compare `match` of their rollout, because several rollouts share the hosts.
    names_rollouts: bool,
    /// Whether routes compare hosts.
    names_hosts: bool,
    routes: Vec<ManifestNode>,
    /// Conditions with their destination and rollout.
    taken: Vec<(Vec<ManifestNode>, ManifestNode, String)>,
}

impl RouteWriter<'_> {
    /// The routes of requests with a decision. Those with a copy come first.
    fn decided(&mut self, service: &Service) -> Result<()> {
        let rollout = &service.rollout;
        if let (Some(mirror), Some(header)) = (&rollout.mirror, self.mirror_header) {
            for target in rollout.targets.iter().filter(|target| *target != mirror) {
                let headers = [(self.route_header, &**target), (header, &**mirror)];
                let name = format!("{target}-copied-to-{mirror}");
                let copies = list([object([(
                    "destination",
                    place_of(self.args, service, mirror),
                )])]);
                self.add(service, &name, &headers, target, Some(copies))?;
            }
        }
        for target in &rollout.targets {
            if *target != rollout.stable || self.names_rollouts {
                self.add(
                    service,
                    target,
                    &[(self.route_header, target)],
                    target,
                    None,
                )?;
            }
        }
        Ok(())
    }

    /// The route of requests of a rollout without a decision.
    fn stable(&mut self, service: &Service) -> Result<()> {
        match service.rollout.scopes.is_empty() {
            true => Ok(()),
            false => self.add(service, "stable", &[], &service.rollout.stable, None),
        }
    }

    fn add(
        &mut self,
        service: &Service,
        name: &str,
        headers: &[(&str, &str)],
        target: &str,
        copies: Option<ManifestNode>,
    ) -> Result<()> {
        let place = place_of(self.args, service, target);
        let scopes = &service.rollout.scopes;
        let mut matches: Vec<ManifestNode> = match self.names_rollouts && !scopes.is_empty() {
            true => scopes
                .iter()
                .flat_map(|scope| conditions(scope, self.names_hosts))
                .collect(),
            false => vec![object([])],
        };
        if !headers.is_empty() {
            matches = matches
                .into_iter()
                .map(|entry| with_headers(entry, headers))
                .collect();
        }
        if let Some((_, known, other)) = self.taken.iter().find(|(taken, ..)| *taken == matches) {
            if *known != place {
                bail!(
                    "{} and {other} have the target {target:?} for different services, and no hosts, path or methods in \
                     match by which a route could tell them apart: give them different targets",
                    service.rollout.name
                );
            }
            return Ok(());
        }
        self.taken
            .push((matches.clone(), place.clone(), service.rollout.name.clone()));
        let name = match self.names_rollouts {
            true => format!("{}-{name}", service.rollout.name),
            false => name.to_owned(),
        };
        let route = route(&name, matches, self.route_header, place);
        self.routes.push(route.with_some("mirrors", copies));
        Ok(())
    }
}

/// The match entries of a route for an entry of `match`; several if it has several paths.
fn conditions(scope: &RouteScope, names_hosts: bool) -> Vec<ManifestNode> {
    let text = |operator: &str, value: &str| object([(operator, value.into())]);
    let mut base = object([]);
    if names_hosts && !scope.hosts.is_empty() {
        let hosts = scope
            .hosts
            .iter()
            .map(|host| match host.strip_prefix("*.") {
                Some(below) => format!(r"[^:]+\.{}(:\d+)?", escaped(below)),
                None => format!(r"{}(:\d+)?", escaped(host)),
            });
        let pattern = hosts.collect::<Vec<_>>().join("|");
        base = base.with("authority", text("regex", &format!("(?i)({pattern})")));
    }
    match scope.methods.as_slice() {
        [] => {}
        [method] => base = base.with("method", text("exact", method)),
        methods => {
            let all: Vec<_> = methods.iter().map(|method| escaped(method)).collect();
            base = base.with("method", text("regex", &all.join("|")));
        }
    }
    let Some(path) = &scope.path else {
        return vec![base];
    };
    let cased = |entry: ManifestNode| match path.ignores_case {
        true => entry.with("ignoreUriCase", true),
        false => entry,
    };
    let uri = |operator: &str, value: &str| base.clone().with("uri", text(operator, value));
    match &path.operand {
        PathOperand::Exact(paths) => {
            let entries = paths.iter().map(|path| cased(uri("exact", path)));
            entries.collect()
        }
        PathOperand::Prefix(prefix) if prefix.ends_with('/') => vec![cased(uri("prefix", prefix))],
        // A prefix of divvy ends at a segment.
        PathOperand::Prefix(prefix) => vec![
            cased(uri("exact", prefix)),
            cased(uri("prefix", &format!("{prefix}/"))),
        ],
        PathOperand::Regex(pattern) if path.ignores_case => {
            vec![uri("regex", &format!("(?i){pattern}"))]
        }
        PathOperand::Regex(pattern) => vec![uri("regex", pattern)],
    }
}

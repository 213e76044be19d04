//! Configurations in Kubernetes resources.

use divvy::signature::VARIABLE;

use super::{
    Carrier, FoundConfig, PassedKeys, Search, is_config, lists_keys, names_divvy, names_of,
};
use crate::source::file::Given;
use crate::source::tree::{SourceNode, YamlVersion};

/// The workloads that a resource selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Its namespace; empty if the file does not say.
    pub namespace: String,
    /// Labels of the pods; empty for all.
    pub labels: Vec<(String, String)>,
    /// Names and kinds of what it is attached to instead.
    pub targets: Vec<(String, String)>,
    /// `CLIENT`, `SERVER`, or empty for both.
    pub mode: String,
    /// Whether it selects an ingress gateway.
    pub is_gateway: bool,
    /// Whether it is for Envoy Gateway rather than Istio.
    pub is_envoy_gateway: bool,
}

impl Search<'_> {
    /// A Kubernetes resource.
    pub(super) fn resource(&mut self, kind: &str, resource: &SourceNode) {
        if kind.ends_with("List") {
            for item in resource
                .get("items")
                .into_iter()
                .flat_map(SourceNode::elements)
            {
                self.document(item);
            }
            return;
        }
        let spec = resource.get("spec");
        let plugin = match kind {
            "WasmPlugin" => spec,
            "TrafficExtension" => resource.at(&["spec", "wasm"]).or(spec),
            "EnvoyExtensionPolicy" => {
                let plugins = resource.at(&["spec", "wasm"]);
                for plugin in plugins.into_iter().flat_map(SourceNode::elements) {
                    self.gateway_plugin(resource, plugin);
                }
                return;
            }
            // An EnvoyFilter contains Envoy's configuration. The documents of a ConfigMap are searched by themselves.
            _ => {
                self.plugins(resource);
                return;
            }
        };
        let (Some(spec), Some(plugin)) = (spec, plugin) else {
            return;
        };
        // A Kustomize patch is not complete without its base.
        if plugin.get("url").is_none() && self.given == Given::InFolder {
            return;
        }
        let names = [
            resource.at(&["metadata", "name"]),
            plugin.get("pluginName"),
            plugin.get("url"),
        ];
        let carrier = Workload::new(resource, spec);
        self.configuration(plugin, "pluginConfig", &names, (carrier, keys(plugin)));
    }

    /// An element of `wasm` in Envoy Gateway's EnvoyExtensionPolicy.
    fn gateway_plugin(&mut self, resource: &SourceNode, plugin: &SourceNode) {
        let names = [
            plugin.get("name"),
            plugin.get("rootID"),
            resource.at(&["metadata", "name"]),
            plugin.at(&["code", "image", "url"]),
            plugin.at(&["code", "http", "url"]),
        ];
        let spec = resource.get("spec").unwrap_or(resource);
        let carrier = Workload {
            is_envoy_gateway: true,
            ..Workload::new(resource, spec)
        };
        let keys = match lists_keys(plugin.at(&["env", "hostKeys"])) {
            true => PassedKeys::Host,
            false => PassedKeys::Absent,
        };
        self.configuration(plugin, "config", &names, (carrier, keys));
    }

    fn configuration(
        &mut self,
        plugin: &SourceNode,
        field: &str,
        names: &[Option<&SourceNode>],
        (workload, keys): (Workload, PassedKeys),
    ) {
        match plugin.get(field) {
            Some(config) if names_divvy(names) || is_config(config) => {
                // The addresses of the image are not names.
                let names = names_of(&names[..names.len().min(3)]);
                let is_name = |name: &String| !name.contains("://");
                let names = names.into_iter().filter(is_name).collect();
                let carrier = Carrier::Workload(workload);
                let found = self.written(config, YamlVersion::V11, names, carrier);
                self.found.push(Ok(FoundConfig { keys, ..found }));
            }
            None if names_divvy(names) => {
                let message = format!("{field} is missing, so the configuration is empty");
                self.error(plugin, &message);
            }
            _ => {}
        }
    }
}

/// The keys of a plugin of Istio. A patch without `url` is not the whole plugin.
fn keys(plugin: &SourceNode) -> PassedKeys {
    let variables = plugin.at(&["vmConfig", "env"]);
    let mut variables = variables.map_or(&[][..], SourceNode::elements).iter();
    let text = |node: &SourceNode, field: &str| {
        let text = node.get(field).and_then(SourceNode::text);
        text.unwrap_or_default().to_owned()
    };
    match variables.find(|variable| text(variable, "name") == VARIABLE) {
        Some(variable) if text(variable, "valueFrom") == "HOST" => PassedKeys::Host,
        Some(_) => PassedKeys::Written,
        None if plugin.get("url").is_none() => PassedKeys::Unknown,
        None => PassedKeys::Absent,
    }
}

impl Workload {
    /// The workloads that a resource with this `spec` selects.
    pub fn new(resource: &SourceNode, spec: &SourceNode) -> Self {
        let text = |node: Option<&SourceNode>| {
            let text = node.and_then(SourceNode::text);
            text.unwrap_or_default().to_owned()
        };
        let labels = spec
            .at(&["selector", "matchLabels"])
            .or(spec.at(&["workloadSelector", "labels"]));
        let labels = labels.map_or(&[][..], SourceNode::entries);
        let labels = labels
            .iter()
            .map(|label| (label.key.clone(), text(Some(&label.value))));
        let labels: Vec<_> = labels.collect();
        let targets = spec.get("targetRefs").into_iter();
        let targets = targets
            .flat_map(SourceNode::elements)
            .chain(spec.get("targetRef"));
        let targets = targets.map(|target| (text(target.get("name")), text(target.get("kind"))));
        let targets: Vec<_> = targets.collect();
        let modes = spec.get("match").into_iter().flat_map(SourceNode::elements);
        let mut modes: Vec<_> = modes.map(|entry| text(entry.get("mode"))).collect();
        modes.dedup();
        let is_gateway = targets.iter().any(|(_, kind)| kind == "Gateway")
            || labels.iter().any(|(key, value)| {
                key == "gateway.networking.k8s.io/gateway-name"
                    || (key == "istio" && value.ends_with("gateway"))
                    || (key == "app" && value.starts_with("istio-") && value.ends_with("gateway"))
            });
        Self {
            namespace: text(resource.at(&["metadata", "namespace"])),
            labels,
            targets,
            mode: match modes.as_slice() {
                [mode] if mode != "CLIENT_AND_SERVER" => mode.clone(),
                _ => String::new(),
            },
            is_gateway,
            is_envoy_gateway: false,
        }
    }
}

//! Every shipped overlay, built as Kustomize builds it, passes `divvy check --strict`. `tests/istio` applies the builds of
//! kubectl itself.

use std::fs;
use std::path::Path;

use crate::common::{divvy, file, json_with, root, text};
use divvy_cli::source::tree::YamlVersion;
use divvy_cli::source::{Content, read_all};
use serde_json::{Value, json};

/// The resources of a file.
fn resources(path: &Path) -> Vec<Value> {
    let set = read_all(&[path.to_owned()]).unwrap();
    let Content::Documents(documents) = set.files[0].content() else {
        panic!("{}", path.display());
    };
    let json = documents
        .iter()
        .map(|document| document.root.to_json(YamlVersion::V11));
    json.map(|json| serde_json::from_str(&json).unwrap())
        .collect()
}

/// A JSON merge patch: lists and scalars are replaced, objects merged.
fn patch(into: &mut Value, from: &Value) {
    match (into.as_object_mut(), from.as_object()) {
        (Some(into), Some(from)) => {
            for (key, value) in from {
                patch(into.entry(key).or_insert(Value::Null), value);
            }
        }
        _ => *into = from.clone(),
    }
}

fn build(folder: &Path) -> Vec<Value> {
    let kustomization = &resources(&folder.join("kustomization.yaml"))[0];
    let list = |field: &str| kustomization[field].as_array().cloned().unwrap_or_default();
    let mut built = Vec::new();
    for resource in list("resources") {
        let path = folder.join(resource.as_str().unwrap());
        built.extend(if path.is_dir() {
            build(&path)
        } else {
            resources(&path)
        });
    }
    for one in list("patches") {
        for change in resources(&folder.join(one["path"].as_str().unwrap())) {
            let same = |resource: &&mut Value| {
                ["/kind", "/metadata/name", "/metadata/namespace"]
                    .iter()
                    .all(|place| resource.pointer(place) == change.pointer(place))
            };
            patch(built.iter_mut().find(same).unwrap(), &change);
        }
    }
    built
}

#[test]
fn every_built_overlay_passes_the_strict_check() {
    let mut overlays = 0;
    for folder in fs::read_dir(root().join("istio/overlays")).unwrap() {
        let folder = folder.unwrap().path();
        let built = build(&folder);
        let stream: Vec<_> = built.iter().map(Value::to_string).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": built});
        for text in [stream.join("\n---\n"), list.to_string()] {
            let report = json_with(&text, &["check", "--strict", "-"]);
            assert_eq!(
                report["findings"],
                json!([]),
                "{}: {report:#}",
                folder.display()
            );
            assert_ne!(report["configurations"], 0, "{}", folder.display());
        }
        overlays += 1;
    }
    assert!(overlays >= 5, "{overlays}");
}

/// What `divvy render istio` writes for a WasmPlugin, from its configuration and its place.
fn rendered(plugin: &Value) -> Vec<Value> {
    let config = file(".json", &plugin["spec"]["pluginConfig"].to_string());
    let labels = plugin["spec"]["selector"]["matchLabels"]
        .as_object()
        .unwrap();
    let (key, value) = labels.iter().next().unwrap();
    let selector = format!("{key}={}", value.as_str().unwrap());
    let name = plugin["metadata"]["name"].as_str().unwrap();
    let at = match (&*selector, plugin["spec"]["match"][0]["mode"].as_str()) {
        ("istio=ingressgateway", _) => "gateway",
        (_, Some("SERVER")) => "service",
        _ => "callers",
    };
    let words = [
        "render",
        "istio",
        config.to_str().unwrap(),
        "--at",
        at,
        "--selector",
        &selector,
    ];
    let names = ["--namespace", "shop", "--gateway", "shop", "--name", name];
    // The gateway of the shipped files serves the checkout.
    let rollouts = plugin["spec"]["pluginConfig"]["rollouts"]
        .as_array()
        .unwrap()
        .iter();
    let service = |rollout: &Value| {
        format!(
            "{}=checkout.shop.svc.cluster.local",
            rollout["name"].as_str().unwrap()
        )
    };
    let services: Vec<_> = rollouts.map(service).collect();
    let services = services
        .iter()
        .filter(|_| at == "gateway")
        .flat_map(|service| ["--service", service]);
    let words = words
        .into_iter()
        .chain(names)
        .chain(services)
        .collect::<Vec<_>>();
    let output = text(&divvy(&words));
    resources(&file(".yaml", &output))
}

/// The patches of EnvoyFilters: their listeners, with what they set and the headers that they remove.
fn patches(resources: &[Value]) -> Vec<(Value, Value, Vec<Value>)> {
    let filters = resources.iter().filter(|one| one["kind"] == "EnvoyFilter");
    let all =
        filters.flat_map(|filter| filter["spec"]["configPatches"].as_array().unwrap().clone());
    let all = all.map(|mut patch| {
        let config = &mut patch["patch"]["value"]["typed_config"];
        let place = "/early_header_mutation_extensions/0/typed_config/mutations";
        let removed = config.pointer_mut(place).unwrap().take();
        let removed = removed.as_array().unwrap().clone();
        (patch["match"]["context"].clone(), patch, removed)
    });
    all.collect()
}

/// `make bless` cannot write the overlays: each is a Kustomize patch of one shared base, with comments and fields for
/// readers (guardrail, traffic policy, two plugins), and `render` writes whole resources of one configuration. So
/// `render` runs on the configuration of each plugin here, and each built overlay has to have what it writes.
#[test]
fn every_overlay_has_the_resources_that_render_writes_for_its_plugins() {
    let mut compared = 0;
    for folder in fs::read_dir(root().join("istio/overlays")).unwrap() {
        let folder = folder.unwrap().path();
        let built = build(&folder);
        let shipped_patches = patches(&built);
        for plugin in built.iter().filter(|one| one["kind"] == "WasmPlugin") {
            let rendered = rendered(plugin);
            for resource in &rendered {
                if resource["kind"] == "EnvoyFilter" {
                    continue;
                }
                let same = |one: &&Value| {
                    one["kind"] == resource["kind"] && one["metadata"] == resource["metadata"]
                };
                match built.iter().find(same) {
                    Some(shipped) => {
                        // Outlier detection and the like are up to the service.
                        let mut shipped = shipped.clone();
                        if shipped["kind"] == "DestinationRule" {
                            shipped["spec"]
                                .as_object_mut()
                                .unwrap()
                                .remove("trafficPolicy");
                        }
                        assert_eq!(&shipped, resource, "{}", folder.display());
                        compared += 1;
                    }
                    // Sidecars log what the mesh says.
                    None => assert_eq!(
                        resource["kind"],
                        "Telemetry",
                        "{}: {resource:#}",
                        folder.display()
                    ),
                }
            }
            for (context, patch, removed) in patches(&rendered) {
                let mut shipped = shipped_patches.iter();
                let (_, other, kept) = shipped.find(|(known, ..)| *known == context).unwrap();
                assert_eq!(*other, patch, "{}", folder.display());
                // Those of other overlays too.
                assert!(
                    removed.iter().all(|header| kept.contains(header)),
                    "{}: {removed:?}",
                    folder.display()
                );
                compared += 1;
            }
        }
    }
    assert!(compared >= 25, "{compared}");
}

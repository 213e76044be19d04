//! Every shipped overlay, built as Kustomize builds it, passes `divvy check --strict`. `tests/istio` applies the builds of
//! kubectl itself.

use std::fs;
use std::path::Path;

use crate::common::{json_with, root};
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
                ["kind", "metadata"].iter().all(|key| match *key {
                    "kind" => resource["kind"] == change["kind"],
                    _ => resource["metadata"]["name"] == change["metadata"]["name"],
                })
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

//! The shipped files of the native module are those of the filter, but for what they say of the module.

use std::fs;

use anyhow::{Result, ensure};
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::workspace_root;
use serde_json::Value;

/// Lines of `envoy/edge.yaml`, and what stands in `envoy/module.yaml` in their place.
const DIFFERENCES: [(&str, &str); 7] = [
    (
        "# A complete edge proxy with divvy, for Envoy 1.36 to 1.40:\n#\n#   envoy -c envoy/edge.yaml\n",
        "# A complete edge proxy with divvy as a native module, for Envoy 1.38 to 1.40 on Linux:\n#\n#   \
         ENVOY_DYNAMIC_MODULES_SEARCH_PATH=target envoy -c envoy/module.yaml\n",
    ),
    (
        "# Made by `divvy render envoy` from envoy/divvy.yaml.\n",
        "# The same as envoy/edge.yaml but for the filter and `layered_runtime`. envoy/docs/MODULE.md\n\
         # says when to use which.\n",
    ),
    ("path: envoy/plugin.yaml", "path: envoy/module-plugin.yaml"),
    (
        "rename it to plugin.yaml. Kubernetes replaces a ConfigMap in\n                          # this \
         way too.",
        "rename it to module-plugin.yaml. Kubernetes replaces a\n                          # ConfigMap \
         in this way too.",
    ),
    (
        "type_urls: [type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm]",
        "type_urls: [type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter]",
    ),
    (
        "# Metrics of wasm filters begin with",
        "# The metrics of the module begin with",
    ),
    (
        "# divvy's counters are named\n",
        "# Without it, names on /stats/prometheus begin with `envoy_wasmcustom_`.\nlayered_runtime:\n  layers:\n    \
         - name: static\n      static_layer: \
         {envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix: true}\n\n\
         # divvy's counters are named\n",
    ),
];

fn read(file: &str) -> Result<String> {
    Ok(fs::read_to_string(workspace_root().join(file))?)
}

#[test]
fn the_proxy_with_the_module_is_the_shipped_proxy() -> Result<()> {
    let mut expected = read("envoy/edge.yaml")?;
    for (filter, module) in DIFFERENCES {
        ensure!(expected.matches(filter).count() == 1, "{filter}");
        expected = expected.replace(filter, module);
    }
    let file = workspace_root().join("envoy/module.yaml");
    if std::env::var_os("DIVVY_BLESS").is_some() {
        fs::write(&file, &expected)?;
    }
    assert_eq!(fs::read_to_string(&file)?, expected);
    Ok(())
}

#[test]
fn the_configuration_of_the_module_is_the_shipped_one() -> Result<()> {
    let parsed = |file| -> Result<Value> {
        let resource: Value = serde_json::from_str(&from_yaml_or_json(&read(file)?)?)?;
        Ok(resource["resources"][0]["typed_config"].clone())
    };
    let filter = parsed("envoy/plugin.yaml")?;
    let module = parsed("envoy/module-plugin.yaml")?;
    ensure!(filter["config"]["configuration"]["value"].is_string());
    assert_eq!(module["filter_config"], filter["config"]["configuration"]);
    assert_eq!(module["filter_name"], filter["config"]["name"]);
    Ok(())
}

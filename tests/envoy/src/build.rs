//! The two builds of the filter: WebAssembly, as the shipped files name it, and the native module.

use serde_json::{Value, json};

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const MODULE: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
/// Envoy looks for native modules in this directory.
pub const SEARCH_PATH: &str = "ENVOY_DYNAMIC_MODULES_SEARCH_PATH";

/// Without it, names on `/stats/prometheus` begin with `envoy_wasmcustom_`.
const STRIP_NAMESPACE: &str = "envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix";

const JWT_AUTHN: &str = "envoy.filters.http.jwt_authn";
/// The ABI has no nested metadata, so the module reads the claims from a filter state.
const CLAIMS: &str = "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn)%";

/// The build of the filter in an Envoy of the lab.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Build {
    /// `target/divvy.wasm`.
    Wasm,
    /// `target/libdivvy.so`. It replaces the WebAssembly module in every bootstrap and plugin file that
    /// the lab writes. Environment variables of VMs become those of Envoy.
    Module,
}

impl Default for Build {
    /// The native module with `FILTER=module`.
    fn default() -> Build {
        match std::env::var("FILTER").as_deref() {
            Ok("module") => Build::Module,
            Ok("" | "wasm") | Err(_) => Build::Wasm,
            Ok(other) => panic!("FILTER={other} is not a build of the filter: wasm or module"),
        }
    }
}

impl Build {
    /// The path of the file in the workspace.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Build::Wasm => "target/divvy.wasm",
            Build::Module => "target/libdivvy.so",
        }
    }

    /// What stands in Envoy's log between its own prefix and the colon before a message of a plugin.
    #[must_use]
    pub fn log_mark(self, plugin: &str) -> String {
        match self {
            Build::Wasm => format!("wasm log {plugin}"),
            Build::Module => format!("] {plugin}"),
        }
    }

    /// Replaces each WebAssembly filter in a bootstrap or a resource by the filter of this build.
    /// Returns the environment variables of the VMs that were replaced.
    pub fn put_into(self, json: &mut Value) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        if self == Build::Module {
            replace(json, &mut variables);
            if json["static_resources"].is_object() {
                let layer = json!({"name": "module", "static_layer": {STRIP_NAMESPACE: true}});
                let node = json["node"]["id"].as_str().unwrap_or_default();
                variables.push(("DIVVY_NODE_ID".to_owned(), node.to_owned()));
                match json["layered_runtime"]["layers"].as_array_mut() {
                    Some(layers) => layers.push(layer),
                    None => json["layered_runtime"] = json!({"layers": [layer]}),
                }
            }
        }
        variables
    }
}

fn replace(json: &mut Value, variables: &mut Vec<(String, String)>) {
    match json {
        Value::String(text) if text == WASM => *text = MODULE.to_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, variables)),
        Value::Object(fields) if fields.get("@type").is_some_and(|is| is == WASM) => {
            let config = fields.get("config").cloned().unwrap_or_default();
            let values = &config["vm_config"]["environment_variables"]["key_values"];
            let values = values.as_object().into_iter().flatten();
            variables.extend(values.map(|(name, value)| {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), value)
            }));
            *json = module(&config);
        }
        Value::Object(fields) => {
            for value in fields.values_mut() {
                replace(value, variables);
            }
            let filters = fields.get_mut("http_filters").and_then(Value::as_array_mut);
            pass_claims(filters.unwrap_or(&mut Vec::new()));
        }
        _ => {}
    }
}

/// Puts a filter behind `jwt_authn` that hands its claims to the module.
fn pass_claims(filters: &mut Vec<Value>) {
    let Some(at) = filters
        .iter()
        .position(|filter| filter["name"] == JWT_AUTHN)
    else {
        return;
    };
    filters.insert(
        at + 1,
        json!({"name": "claims", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [{
                "object_key": "divvy.jwt", "factory_key": "envoy.string",
                "format_string": {"text_format_source": {"inline_string": CLAIMS}},
            }],
        }}),
    );
}

/// The filter of the native module for a `PluginConfig` of the WebAssembly filter.
fn module(config: &Value) -> Value {
    let file = config["vm_config"]["code"]["local"]["filename"].as_str();
    let file = file.unwrap_or_default();
    // Another file than the built filter is one that does not exist.
    let name = match file.ends_with(Build::Wasm.file()) {
        true => "divvy",
        false => file,
    };
    let mut filter = json!({
        "@type": MODULE,
        "dynamic_module_config": {
            // The regular expressions of `stats_tags` are those of the WebAssembly filter.
            "name": name, "do_not_close": true, "metrics_namespace": "wasmcustom",
        },
        "filter_name": config["name"],
    });
    if config["configuration"].is_object() {
        filter["filter_config"] = config["configuration"].clone();
    }
    filter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Plugin;

    #[test]
    fn the_module_gets_name_and_configuration_and_envoy_the_variables() {
        let mut plugin = Plugin::load("envoy/plugin.yaml")
            .unwrap()
            .with_configuration("{}")
            .with_env("DIVVY_STRICT", "1");
        let mut tree =
            json!([{"type_urls": [WASM], "f": {"@type": WASM, "config": plugin.config()}}]);
        let unchanged = tree.clone();
        assert!(Build::Wasm.put_into(&mut tree).is_empty());
        assert_eq!(tree, unchanged);
        let variables = Build::Module.put_into(&mut tree);
        assert_eq!(variables, [("DIVVY_STRICT".to_owned(), "1".to_owned())]);
        let filter = json!({
            "@type": MODULE,
            "dynamic_module_config":
                {"name": "divvy", "do_not_close": true, "metrics_namespace": "wasmcustom"},
            "filter_name": "divvy",
            "filter_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "{}"},
        });
        assert_eq!(tree, json!([{"type_urls": [MODULE], "f": filter}]));
    }
}

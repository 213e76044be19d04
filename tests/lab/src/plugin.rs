//! The file in which Envoy discovers the filter (ECDS), and how a new one is moved into place.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

pub use crate::yaml::from_yaml_or_json;

/// One Wasm filter with its configuration, as Envoy discovers it.
#[derive(Clone, PartialEq, Debug)]
pub struct Plugin {
    resource: Value,
}

impl Plugin {
    /// Reads an ECDS file. A relative path, that of the filter in it included, starts at the root
    /// of the workspace, wherever the caller runs.
    pub fn load(path: impl AsRef<Path>) -> Result<Plugin> {
        let path = crate::workspace_root().join(path);
        let mut file = crate::yaml::load(&path)?;
        let resource = file
            .pointer_mut("/resources/0")
            .map(Value::take)
            .unwrap_or_default();
        let config = &resource["typed_config"]["config"];
        ensure!(
            resource["name"].is_string()
                && config["vm_config"].is_object()
                && config["configuration"].is_object(),
            "{}: its first resource is no Wasm filter with a configuration",
            path.display()
        );
        let plugin = Plugin { resource };
        Ok(match plugin.wasm() {
            Some(wasm) => {
                let wasm = crate::workspace_root().join(wasm);
                plugin.with_wasm(wasm)
            }
            None => plugin,
        })
    }

    /// The name by which Envoy discovers it and divvy keeps its state.
    #[must_use]
    pub fn name(&self) -> &str {
        self.resource["name"].as_str().unwrap_or_default()
    }

    /// The text of the divvy configuration.
    #[must_use]
    pub fn configuration(&self) -> &str {
        let configuration = &self.resource["typed_config"]["config"]["configuration"];
        configuration["value"].as_str().unwrap_or_default()
    }

    fn wasm(&self) -> Option<&str> {
        let vm = &self.resource["typed_config"]["config"]["vm_config"];
        vm["code"]["local"]["filename"].as_str()
    }

    /// With another name, as the second divvy of one Envoy needs it.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Plugin {
        self.resource["name"] = json!(name);
        self.config()["name"] = json!(name);
        self.config()["root_id"] = json!(name);
        self
    }

    /// With this divvy configuration: JSON, but nothing here looks at it.
    #[must_use]
    pub fn with_configuration(mut self, text: &str) -> Plugin {
        self.config()["configuration"]["value"] = json!(text);
        self
    }

    /// With the filter in this file.
    #[must_use]
    pub fn with_wasm(mut self, path: impl AsRef<Path>) -> Plugin {
        let code = json!({"local": {"filename": path.as_ref()}});
        self.config()["vm_config"]["code"] = code;
        self
    }

    /// With another of Envoy's failure policies: `FAIL_OPEN`, `FAIL_CLOSED`, `FAIL_RELOAD`.
    #[must_use]
    pub fn with_failure_policy(mut self, policy: &str) -> Plugin {
        self.config()["failure_policy"] = json!(policy);
        self
    }

    /// With a variable in the environment of the VM.
    #[must_use]
    pub fn with_env(mut self, key: &str, value: &str) -> Plugin {
        self.config()["vm_config"]["environment_variables"]["key_values"][key] = json!(value);
        self
    }

    /// Envoy's `PluginConfig`, for what has no method here.
    pub fn config(&mut self) -> &mut Value {
        &mut self.resource["typed_config"]["config"]
    }

    /// Writes the file beside `path` and moves it into place, since Envoy sees moves only. Returns
    /// the fresh `version_info` under which Envoy will know it.
    pub fn publish(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = path.as_ref();
        let version = fresh_version();
        let file = json!({"version_info": version, "resources": [self.resource]});
        let text = serde_json::to_vec_pretty(&file)?;
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{version}"));
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(version)
    }
}

/// What no earlier call in this process, and hardly one in another, has returned.
fn fresh_version() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!(
        "{}-{}",
        now.as_micros(),
        CALLS.fetch_add(1, Ordering::Relaxed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Plugin {
        Plugin::load("envoy/plugin.yaml").unwrap()
    }

    #[test]
    fn the_shipped_plugin_holds_the_shipped_configuration() {
        let yaml = fs::read_to_string(crate::workspace_root().join("envoy/divvy.yaml")).unwrap();
        let yaml: Value = serde_json::from_str(&from_yaml_or_json(&yaml).unwrap()).unwrap();
        let plugin: Value = serde_json::from_str(shipped().configuration()).unwrap();
        assert_eq!(
            plugin, yaml,
            "envoy/plugin.yaml and envoy/divvy.yaml differ"
        );
    }

    #[test]
    fn every_change_lands_where_envoy_looks_for_it() {
        let mut plugin = shipped()
            .with_name("second")
            .with_wasm("/x/divvy.wasm")
            .with_failure_policy("FAIL_CLOSED")
            .with_env("DIVVY_STRICT", "1")
            .with_configuration("{}");
        assert_eq!(plugin.name(), "second");
        assert_eq!(plugin.configuration(), "{}");
        let config = plugin.config();
        assert_eq!(config["name"], "second");
        assert_eq!(config["failure_policy"], "FAIL_CLOSED");
        assert_eq!(
            config["vm_config"]["code"]["local"]["filename"],
            "/x/divvy.wasm"
        );
        let env = &config["vm_config"]["environment_variables"]["key_values"];
        assert_eq!(env["DIVVY_STRICT"], "1");
    }

    #[test]
    fn a_file_that_is_no_plugin_says_so() {
        let error = Plugin::load("envoy/divvy.yaml").unwrap_err().to_string();
        assert!(error.contains("no Wasm filter"), "{error}");
        let error = Plugin::load("envoy/none.yaml").unwrap_err().to_string();
        assert!(error.contains("envoy/none.yaml"), "{error}");
    }
}

//! The file from which Envoy discovers the filter (ECDS), and its atomic replacement.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::build::Build;
pub use crate::yaml::from_yaml_or_json;

/// An ECDS resource: a Wasm filter with its configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Plugin {
    resource: Value,
    build: Build,
}

impl Plugin {
    /// Reads an ECDS file. Relative paths, also the one of the filter in it, start at the root of the
    /// workspace.
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
            "{}: its first resource is not a Wasm filter with a configuration",
            path.display()
        );
        let plugin = Plugin {
            resource,
            build: Build::default(),
        };
        let wasm = plugin.wasm().map(|wasm| crate::workspace_root().join(wasm));
        Ok(match wasm {
            Some(wasm) => plugin.with_wasm(wasm),
            None => plugin,
        })
    }

    /// The name, under which Envoy discovers it and divvy stores its state.
    #[must_use]
    pub fn name(&self) -> &str {
        self.resource["name"].as_str().unwrap_or_default()
    }

    /// The divvy configuration's text.
    #[must_use]
    pub fn configuration(&self) -> &str {
        let configuration = &self.resource["typed_config"]["config"]["configuration"];
        configuration["value"].as_str().unwrap_or_default()
    }

    fn wasm(&self) -> Option<&str> {
        let vm = &self.resource["typed_config"]["config"]["vm_config"];
        vm["code"]["local"]["filename"].as_str()
    }

    /// Sets the build that its file names.
    #[must_use]
    pub fn with_build(mut self, build: Build) -> Plugin {
        self.build = build;
        self
    }

    /// The build that its file names.
    #[must_use]
    pub fn build(&self) -> Build {
        self.build
    }

    /// Environment variables of Envoy that take the place of those of a VM.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        self.build.put_into(&mut self.resource.clone())
    }

    /// Sets the name; each divvy in one Envoy needs its own.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Plugin {
        self.resource["name"] = json!(name);
        self.config()["name"] = json!(name);
        self.config()["root_id"] = json!(name);
        self
    }

    /// Sets the divvy configuration, without validation.
    #[must_use]
    pub fn with_configuration(mut self, text: &str) -> Plugin {
        self.config()["configuration"]["value"] = json!(text);
        self
    }

    /// Sets the path of the filter.
    #[must_use]
    pub fn with_wasm(mut self, path: impl AsRef<Path>) -> Plugin {
        let code = json!({"local": {"filename": path.as_ref()}});
        self.config()["vm_config"]["code"] = code;
        self
    }

    /// Sets Envoy's failure policy: `FAIL_OPEN`, `FAIL_CLOSED` or `FAIL_RELOAD`.
    #[must_use]
    pub fn with_failure_policy(mut self, policy: &str) -> Plugin {
        self.config()["failure_policy"] = json!(policy);
        self
    }

    /// Sets an environment variable of the VM.
    #[must_use]
    pub fn with_env(mut self, key: &str, value: &str) -> Plugin {
        self.config()["vm_config"]["environment_variables"]["key_values"][key] = json!(value);
        self
    }

    /// Envoy's `PluginConfig`, for changes without a method.
    pub fn config(&mut self) -> &mut Value {
        &mut self.resource["typed_config"]["config"]
    }

    /// Replaces the file at `path` by a rename, because Envoy watches renames only. Returns its unique
    /// `version_info`.
    pub fn publish(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = path.as_ref();
        let version = unique_version();
        let mut resource = self.resource.clone();
        self.build.put_into(&mut resource);
        let file = json!({"version_info": version, "resources": [resource]});
        let text = serde_json::to_vec_pretty(&file)?;
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{version}"));
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(version)
    }
}

fn unique_version() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    format!("{}-{call}", now.as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Plugin {
        Plugin::load("envoy/plugin.yaml").unwrap()
    }

    #[test]
    fn the_shipped_plugin_contains_the_shipped_configuration() {
        let yaml = fs::read_to_string(crate::workspace_root().join("envoy/divvy.yaml")).unwrap();
        let yaml: Value = serde_json::from_str(&from_yaml_or_json(&yaml).unwrap()).unwrap();
        let plugin: Value = serde_json::from_str(shipped().configuration()).unwrap();
        assert_eq!(plugin, yaml, "envoy/plugin.yaml is not envoy/divvy.yaml");
    }

    #[test]
    fn every_setter_changes_the_field_that_envoy_reads() {
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
        let vm = &config["vm_config"];
        assert_eq!(vm["code"]["local"]["filename"], "/x/divvy.wasm");
        let env = &vm["environment_variables"]["key_values"];
        assert_eq!(env["DIVVY_STRICT"], "1");
    }

    #[test]
    fn a_file_that_is_not_a_plugin_is_an_error_that_names_it() {
        let error = Plugin::load("envoy/divvy.yaml").unwrap_err().to_string();
        assert!(error.contains("not a Wasm filter"), "{error}");
        let error = Plugin::load("envoy/none.yaml").unwrap_err().to_string();
        assert!(error.contains("envoy/none.yaml"), "{error}");
    }
}

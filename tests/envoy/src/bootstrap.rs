//! A shipped bootstrap with ports, upstreams and plugins replaced. Everything else runs as shipped.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::plugin::Plugin;

const CONNECTION_MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// The position of an additional HTTP filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position<'a> {
    /// Before the filter with this name.
    Before(&'a str),
    /// After the filter with this name.
    After(&'a str),
}

/// An Envoy bootstrap and its plugins.
#[derive(Clone, PartialEq, Debug)]
pub struct Bootstrap {
    json: Value,
    plugins: Vec<Plugin>,
}

impl Bootstrap {
    /// Reads a bootstrap; a relative path starts at the root of the workspace. Listeners and the admin
    /// interface get free ports. Histograms are merged on each admin request instead of every 5 s.
    pub fn load(path: impl AsRef<Path>) -> Result<Bootstrap> {
        let path = crate::workspace_root().join(path);
        let mut bootstrap = Bootstrap {
            json: crate::yaml::load(&path)?,
            plugins: Vec::new(),
        };
        for listener in list(&mut bootstrap.json["static_resources"]["listeners"]) {
            listener["address"]["socket_address"]["port_value"] = json!(0);
        }
        bootstrap.json["stats_flush_on_admin"] = json!(true);
        Ok(bootstrap.with_admin_port(0))
    }

    /// Sets the admin interface's port on 127.0.0.1; 0: a free one.
    #[must_use]
    pub fn with_admin_port(mut self, port: u16) -> Bootstrap {
        let address = json!({"address": "127.0.0.1", "port_value": port});
        self.json["admin"]["address"]["socket_address"] = address;
        self
    }

    /// Sets the port of a listener; 0: a free one.
    pub fn with_listener_port(mut self, name: &str, port: u16) -> Result<Bootstrap> {
        let listener = named(&mut self.json["static_resources"]["listeners"], name)?;
        listener["address"]["socket_address"]["port_value"] = json!(port);
        Ok(self)
    }

    /// Sets the only endpoint of a cluster.
    pub fn with_upstream(mut self, cluster: &str, upstream: SocketAddr) -> Result<Bootstrap> {
        let cluster = named(&mut self.json["static_resources"]["clusters"], cluster)?;
        cluster["load_assignment"]["endpoints"] = json!([{"lb_endpoints": [{"endpoint": {"address":
            {"socket_address": {"address": upstream.ip(), "port_value": upstream.port()}}}}]}]);
        Ok(self)
    }

    /// Uses the client's protocol for upstreams, as gRPC requires. The shipped file uses HTTP/1.1.
    #[must_use]
    pub fn with_downstream_protocol(mut self) -> Bootstrap {
        const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        for cluster in list(&mut self.json["static_resources"]["clusters"]) {
            cluster["typed_extension_protocol_options"] = json!({OPTIONS: {
                "@type": format!("type.googleapis.com/{OPTIONS}"),
                "use_downstream_protocol_config":
                    {"http_protocol_options": {}, "http2_protocol_options": {}},
            }});
        }
        self
    }

    /// Adds the plugin for the HTTP filter that discovers its name. [`crate::envoy::Envoy::start`]
    /// writes its file.
    #[must_use]
    pub fn with_plugin(mut self, plugin: Plugin) -> Bootstrap {
        self.plugins.retain(|other| other.name() != plugin.name());
        self.plugins.push(plugin);
        self
    }

    /// Inserts an HTTP filter into every connection manager.
    pub fn with_http_filter(mut self, filter: &Value, position: Position<'_>) -> Result<Bootstrap> {
        let (name, offset) = match position {
            Position::Before(name) => (name, 0),
            Position::After(name) => (name, 1),
        };
        self.each_filter_list(|filters| {
            let at = filters
                .iter()
                .position(|filter| filter["name"] == name)
                .with_context(|| format!("there is no HTTP filter {name:?}"))?;
            filters.insert(at + offset, filter.clone());
            Ok(())
        })?;
        Ok(self)
    }

    /// Inserts a second divvy, discovered by the name of `plugin`.
    pub fn with_second_plugin(self, plugin: Plugin, position: Position<'_>) -> Result<Bootstrap> {
        let filter = json!({"name": plugin.name(), "config_discovery": {
            "config_source": {"path_config_source": {}},
            "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
        }});
        Ok(self
            .with_http_filter(&filter, position)?
            .with_plugin(plugin))
    }

    /// Removes an HTTP filter.
    pub fn without_http_filter(mut self, name: &str) -> Result<Bootstrap> {
        self.each_filter_list(|filters| {
            filters.retain(|filter| filter["name"] != name);
            Ok(())
        })?;
        Ok(self)
    }

    /// Removes access logs, for load tests: the lab keeps all output of Envoy in memory.
    pub fn without_access_log(mut self) -> Result<Bootstrap> {
        for manager in self.connection_managers()? {
            manager["access_log"] = json!([]);
        }
        Ok(self)
    }

    /// The configurations of the connection managers, for changes without a method.
    pub fn connection_managers(&mut self) -> Result<Vec<&mut Value>> {
        let managers: Vec<_> = list(&mut self.json["static_resources"]["listeners"])
            .iter_mut()
            .flat_map(|listener| list(&mut listener["filter_chains"]))
            .flat_map(|chain| list(&mut chain["filters"]))
            .filter(|filter| filter["name"] == CONNECTION_MANAGER)
            .map(|filter| &mut filter["typed_config"])
            .collect();
        ensure!(
            !managers.is_empty(),
            "the bootstrap has no HTTP connection manager"
        );
        Ok(managers)
    }

    /// The bootstrap, for changes without a method.
    pub fn json(&mut self) -> &mut Value {
        &mut self.json
    }

    pub(crate) fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// The bootstrap with plugin files in `dir`.
    pub(crate) fn render(&self, dir: &Path) -> Result<Value> {
        let mut bootstrap = self.clone();
        for plugin in &self.plugins {
            let mut found = false;
            bootstrap.each_filter_list(|filters| {
                for filter in filters {
                    if filter["name"] == plugin.name() && filter["config_discovery"].is_object() {
                        found = true;
                        let source = &mut filter["config_discovery"]["config_source"];
                        source["path_config_source"] = json!({
                            "path": plugin_file(dir, plugin.name()),
                            "watched_directory": {"path": dir},
                        });
                    }
                }
                Ok(())
            })?;
            let name = plugin.name();
            ensure!(
                found,
                "no HTTP filter of the bootstrap discovers a plugin named {name:?}"
            );
        }
        Ok(bootstrap.json)
    }

    /// The addresses with a fixed port that Envoy will listen on.
    pub(crate) fn fixed_addresses(&mut self) -> Vec<SocketAddr> {
        let admin = self.json["admin"]["address"]["socket_address"].clone();
        list(&mut self.json["static_resources"]["listeners"])
            .iter()
            .map(|listener| &listener["address"]["socket_address"])
            .chain([&admin])
            .filter_map(|address| {
                let port = u16::try_from(address["port_value"].as_u64()?).ok()?;
                let ip = address["address"].as_str()?.parse().ok()?;
                (port != 0).then_some(SocketAddr::new(ip, port))
            })
            .collect()
    }

    fn each_filter_list(
        &mut self,
        mut change: impl FnMut(&mut Vec<Value>) -> Result<()>,
    ) -> Result<()> {
        for manager in self.connection_managers()? {
            let filters = manager["http_filters"].as_array_mut();
            change(filters.context("a connection manager has no http_filters")?)?;
        }
        Ok(())
    }
}

/// The plugin's file in `dir`. Envoy derives the format from the extension.
pub(crate) fn plugin_file(dir: &Path, name: &str) -> std::path::PathBuf {
    dir.join(format!("{name}.json"))
}

fn list(value: &mut Value) -> &mut [Value] {
    value.as_array_mut().map_or(&mut [], Vec::as_mut_slice)
}

fn named<'a>(items: &'a mut Value, name: &str) -> Result<&'a mut Value> {
    list(items)
        .iter_mut()
        .find(|item| item["name"] == name)
        .ok_or_else(|| anyhow!("the bootstrap has no listener or cluster named {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge() -> Bootstrap {
        Bootstrap::load("envoy/edge.yaml").unwrap()
    }

    fn filters(bootstrap: &mut Bootstrap) -> Vec<String> {
        let managers = bootstrap.connection_managers().unwrap();
        list(&mut managers.into_iter().next().unwrap()["http_filters"])
            .iter()
            .map(|filter| filter["name"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn ports_are_free_ones_unless_set() {
        assert_eq!(edge().fixed_addresses(), []);
        let fixed = edge().with_admin_port(9).with_listener_port("edge", 10);
        let addresses = fixed.unwrap().fixed_addresses();
        let ports: Vec<_> = addresses.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [10, 9]);
    }

    #[test]
    fn filters_are_inserted_before_or_after_another() {
        let rbac = json!({"name": "rbac"});
        let insert = |position| edge().with_http_filter(&rbac, position);
        let router = "envoy.filters.http.router";
        let mut before = insert(Position::Before("divvy")).unwrap();
        assert_eq!(filters(&mut before), ["rbac", "divvy", router]);
        let mut after = insert(Position::After("divvy")).unwrap();
        assert_eq!(filters(&mut after), ["divvy", "rbac", router]);
        let error = insert(Position::After("none")).unwrap_err().to_string();
        assert_eq!(error, "there is no HTTP filter \"none\"");
    }

    #[test]
    fn plugins_are_discovered_in_the_run_directory() {
        let plugin = Plugin::load("envoy/plugin.yaml").unwrap();
        let second = plugin.clone().with_name("second");
        let both = edge()
            .with_plugin(plugin.clone())
            .with_second_plugin(second, Position::After("divvy"));
        let text = both.unwrap().render(Path::new("/run")).unwrap().to_string();
        assert!(text.contains("\"/run/divvy.json\""), "{text}");
        assert!(text.contains("\"/run/second.json\""), "{text}");
        let unknown = edge().with_plugin(plugin.with_name("unknown"));
        let error = unknown.render(Path::new("/run")).unwrap_err().to_string();
        assert!(error.contains("named \"unknown\""), "{error}");
    }

    #[test]
    fn an_unknown_cluster_is_an_error() {
        let result = edge().with_upstream("v9", ([127, 0, 0, 1], 1).into());
        let error = result.unwrap_err().to_string();
        assert!(error.contains("\"v9\""), "{error}");
    }
}

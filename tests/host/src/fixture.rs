//! Configurations, users and queries that the tests of the filter share.

use serde_json::{Value, json};

use crate::{Exchange, Module, Process, RootId, Stream, Vm};

/// Name of the plugin, which labels gauges and keys of shared data.
pub const PLUGIN: &str = "shop";
/// Root id of the plugin.
pub const ROOT_ID: &str = "divvy";
/// A user who gets v2 from [`canary`].
pub const CANARY_USER: &str = "user-3";

/// A configuration with an identity header, two header rules, a canary of 25 %, route and
/// assignment headers.
pub fn canary() -> Value {
    json!({
        "version": "1",
        "identity": [{"header": "x-user-id"}],
        "rollouts": [{
            "name": "checkout",
            "versions": [{"name": "v1"}, {"name": "v2"}],
            "stable": "v1",
            "target": "{version}",
            "rules": [
                {"name": "testers", "when": {"header": "x-canary", "exact": "true"}, "use": "v2"},
                {"name": "staff", "when": {"header": "x-role", "exact": "staff"}, "use": "v2"},
            ],
            "strategy": {"canary": {"version": "v2", "weight": 25}},
        }],
    })
}

/// An invalid configuration: the version of the canary does not exist.
pub fn broken() -> Value {
    let mut broken = canary();
    broken["rollouts"][0]["strategy"]["canary"]["version"] = json!("v3");
    broken
}

/// [`canary`] with this weight of v2 in percent.
pub fn weighted(weight: u32) -> Value {
    let mut configuration = canary();
    configuration["rollouts"][0]["strategy"]["canary"]["weight"] = json!(weight);
    configuration
}

/// Starts a VM of this process without a configuration.
///
/// # Panics
/// If the filter does not start.
pub fn start(process: &Process) -> Vm {
    Vm::start(&Module::filter(), process).unwrap()
}

/// Starts a VM of this process with this configuration.
///
/// # Panics
/// If the filter traps or refuses it.
pub fn configured(process: &Process, configuration: &Value) -> (Vm, RootId) {
    let mut vm = start(process);
    let root = accept(&mut vm, configuration);
    (vm, root)
}

/// Gives a VM a configuration that it must accept.
///
/// # Panics
/// If the filter traps or refuses it.
pub fn accept(vm: &mut Vm, configuration: &Value) -> RootId {
    let configured = vm
        .configure(ROOT_ID, PLUGIN, configuration.to_string())
        .unwrap();
    assert!(configured.accepted, "refused: {:#?}", vm.log());
    configured.root
}

/// Gives a VM a configuration. Returns whether it is accepted, and its root.
///
/// # Panics
/// If the filter traps.
pub fn offer(vm: &mut Vm, configuration: &Value) -> (bool, RootId) {
    let bytes = configuration.to_string();
    let configured = vm.configure(ROOT_ID, PLUGIN, bytes).unwrap();
    (configured.accepted, configured.root)
}

/// A gauge with the label of the plugin.
pub fn plugin_gauge(process: &Process, metric: &str) -> Option<u64> {
    process.gauged(metric, &[("divvy_plugin", PLUGIN)])
}

/// The gauge `divvy_config_inert`.
pub fn inert(process: &Process) -> Option<u64> {
    plugin_gauge(process, "divvy_config_inert")
}

/// The gauge of the share of a version, in millionths.
pub fn weight(process: &Process, rollout: &str, version: &str) -> Option<u64> {
    let labels = [("divvy_rollout", rollout), ("divvy_version", version)];
    process.gauged("divvy_weight_ppm", &labels)
}

/// A request with this user id.
pub fn from_user(user: &str) -> Exchange {
    Exchange::get("/checkout/cart").header("x-user-id", user)
}

/// The route header of a request.
pub fn route(stream: &Stream) -> Option<String> {
    stream.request_headers.as_ref()?.text("x-divvy-route")
}

/// The unit header of a request.
pub fn unit(stream: &Stream) -> Option<String> {
    stream.request_headers.as_ref()?.text("x-divvy-unit")
}

/// The assignment header of a request.
pub fn assignment(stream: &Stream) -> Option<String> {
    stream.request_headers.as_ref()?.text("x-divvy-assignment")
}

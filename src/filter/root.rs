//! Takes configurations: in force, inert or refused.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::active::Active;
use super::host;
use super::marks::Marks;
use super::metrics::Gauges;
use super::stream::Stream;
use crate::config::{self, Errors};
use crate::output;

/// Switches running inert off: for CI, and for people who want their proxy not to start.
const STRICT: &str = "DIVVY_STRICT";
/// How often an inert filter says what is wrong.
const REMINDER_MILLIS: u32 = 60_000;
const NANOS_PER_REMINDER: u64 = 60_000_000_000;
/// How many errors are logged; the rest is counted.
const LOGGED_ERRORS: usize = 100;

/// One configuration of one plugin. Streams hold on to what they began with.
pub struct Root {
    state: Rc<State>,
}

/// What a root shares with its streams.
pub struct State {
    id: u32,
    plugin: Box<str>,
    gauges: Rc<Gauges>,
    pub active: Active,
    fingerprint: u32,
    /// What is wrong with the configuration that was accepted all the same.
    inert: Option<Errors>,
}

impl State {
    /// Makes the gauges tell of this configuration, if they do not yet.
    ///
    /// Called for each stream, since Envoy can go back to an earlier configuration's
    /// root without configuring it again; new streams are how a root learns of it.
    pub fn show_gauges(&self) {
        if self.gauges.are_of(self.id) {
            return;
        }
        let plugin = [("divvy_plugin", &*self.plugin)];
        let weights = self.active.policy.rollouts.iter().flat_map(|rollout| {
            let shares = rollout.shares();
            rollout.versions.iter().zip(0..).map(move |(version, id)| {
                let share = shares
                    .iter()
                    .find(|(of, _)| of.0 == id)
                    .map_or(0, |(_, share)| share.ppm());
                let name = output::weight_series(&rollout.name, &version.name);
                (name, u64::from(share))
            })
        });
        let own = [
            ("divvy_config_hash", u64::from(self.fingerprint)),
            ("divvy_config_inert", u64::from(self.inert.is_some())),
        ];
        let own = own.map(|(metric, value)| (output::series(&plugin, metric), value));
        self.gauges.show(self.id, weights.chain(own));
    }
}

impl Root {
    pub fn new(id: u32) -> Self {
        Self {
            state: Rc::new(State {
                id,
                plugin: "".into(),
                gauges: Gauges::of(""),
                active: Active::default(),
                fingerprint: 0,
                inert: None,
            }),
        }
    }

    fn take(&mut self, active: Active, bytes: &[u8], plugin: &str, inert: Option<Errors>) {
        self.state = Rc::new(State {
            id: self.state.id,
            plugin: plugin.into(),
            gauges: Gauges::of(plugin),
            active,
            fingerprint: config::fingerprint(bytes),
            inert,
        });
        self.state.show_gauges();
    }

    /// Whether to accept an invalid configuration and do nothing by it.
    fn runs_inert(marks: &Marks, bytes: u128) -> bool {
        if std::env::var_os(STRICT).is_some_and(|value| value == "1") {
            return false;
        }
        marks.was_inert(bytes) || !marks.was_accepted()
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let Ok(bytes) = host::configuration(size) else {
            log::error!("the proxy does not hand over the configuration");
            return false;
        };
        let plugin = host::property("plugin_name").unwrap_or_default();
        let plugin = String::from_utf8_lossy(&plugin);
        let marks = Marks::new(&plugin);
        match config::parse(&bytes) {
            Ok(policy) => {
                marks.accepted();
                self.take(Active::new(policy), &bytes, &plugin, None);
                let policy = &self.state.active.policy;
                log::info!(
                    "configuration {:?} is in force: {} rollouts, hash {:08x}",
                    policy.version,
                    policy.rollouts.len(),
                    self.state.fingerprint,
                );
                true
            }
            Err(errors) => {
                let hash = hash_of(&bytes);
                if Self::runs_inert(&marks, hash) {
                    // Every worker comes by here: one of them tells.
                    if marks.inert(hash) {
                        report(
                            "this proxy starts without a valid configuration and serves stable",
                            &errors,
                        );
                    }
                    self.take(
                        Active::new(config::inert(&bytes)),
                        &bytes,
                        &plugin,
                        Some(errors),
                    );
                    host::tick_every(REMINDER_MILLIS);
                    true
                } else {
                    report("the configuration is refused", &errors);
                    false
                }
            }
        }
    }

    fn on_tick(&mut self) {
        let state = &self.state;
        let Some(errors) = &state.inert else { return };
        // A root that was followed by another ticks on while a stream of it lives.
        if !state.gauges.are_of(state.id) {
            return;
        }
        let now = host::realtime_nanos().unwrap_or_default();
        let minute = now.checked_div(NANOS_PER_REMINDER).unwrap_or_default();
        if Marks::new(&state.plugin).my_turn(minute) {
            report(
                "this proxy has no valid configuration and serves stable",
                errors,
            );
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(Rc::clone(&self.state))))
    }
}

fn hash_of(bytes: &[u8]) -> u128 {
    let mut reader = bytes;
    // Reading from a slice cannot fail.
    murmur3::murmur3_x64_128(&mut reader, 0).unwrap_or_default()
}

/// Logs what is wrong, a line for each error.
fn report(what: &str, errors: &Errors) {
    let count = errors.iter().count();
    let plural = if count == 1 { "" } else { "s" };
    log::error!("{what}: {count} error{plural}");
    for error in errors.iter().take(LOGGED_ERRORS) {
        log::error!("{error}");
    }
    if count > LOGGED_ERRORS {
        log::error!("and {} more", count.saturating_sub(LOGGED_ERRORS));
    }
}

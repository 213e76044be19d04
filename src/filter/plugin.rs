//! A plugin of one VM: takes configurations, which are put in force, run inert or refused.

use std::rc::Rc;
use std::time::Duration;

use super::active::ActivePolicy;
use super::configuration::{Configuration, report};
use super::host::Host;
use super::marks::Marks;
use super::vm::Vm;
use crate::config::{self, Errors};
use crate::signature::{KeyRing, VARIABLE};

/// Environment variable that switches running inert off: for CI, and for users who want
/// their proxy not to start.
const STRICT: &str = "DIVVY_STRICT";
/// Interval of ticks, at which gauges are kept current and an inert plugin repeats its
/// errors.
const TICK: Duration = Duration::from_secs(5);
/// Interval of ticks if versions are watched: the delay between evidence and verdict.
const WATCH_TICK: Duration = Duration::from_secs(1);

const REFUSED: &str = "the configuration is refused, the last good one stays in force";
const NO_BYTES: &str = "the configuration is empty, as after a plugin file was cut off: write {} for a \
                        configuration without rollouts, on Istio rollouts: []";
const NOT_ON_A_GATEWAY: &str = "trust.workload has no effect on a gateway, which gets requests from \
                                clients: remove it, or name the peers in trust.principals";

/// One plugin in one VM. A request keeps the configuration that it began with.
pub struct Plugin<H> {
    vm: Rc<Vm<H>>,
    current: Rc<Configuration<H>>,
    /// Earlier configurations that still have open requests, whose outcomes count as well.
    earlier: Vec<Rc<Configuration<H>>>,
}

impl<H: Host> Plugin<H> {
    /// A plugin without a configuration: it decides nothing.
    pub fn new(vm: Rc<Vm<H>>) -> Self {
        let active = ActivePolicy::default();
        Self {
            current: Rc::new(Configuration::new(Rc::clone(&vm), "", 0, active, None)),
            earlier: Vec::new(),
            vm,
        }
    }

    /// The configuration for a request that begins now.
    pub const fn current(&self) -> &Rc<Configuration<H>> {
        &self.current
    }

    /// Takes a configuration. Whether it is in force now.
    pub fn configure(&mut self, plugin: &str, bytes: &[u8]) -> bool {
        let vm = Rc::clone(&self.vm);
        let marks = Marks::new(&vm.host, plugin);
        let digest = config::digest(bytes);
        // A plugin file that was cut off must not end the split.
        if bytes.is_empty() && marks.was_accepted() && !marks.has_started_empty() {
            log::error!("{REFUSED}: 1 error");
            log::error!("{NO_BYTES}");
            return false;
        }
        let keys = KeyRing::read(vm.host.variable(VARIABLE).as_deref());
        match config::parse_with(bytes, &keys) {
            Ok(mut policy) => {
                if bytes.is_empty() {
                    marks.set_started_empty();
                }
                marks.set_accepted();
                if let Some(mint) = &policy.mint {
                    vm.host.keep_through_redirects(&mint.kept_as);
                }
                let node = vm.host.node_id().filter(|_| policy.inheritance.is_some());
                if policy.set_node(&node.unwrap_or_default()) {
                    log::warn!("{NOT_ON_A_GATEWAY}");
                }
                let active = ActivePolicy::new(&vm, policy, keys.ids());
                self.replace(plugin, digest, active, None);
                let policy = &self.current.active.policy;
                log::info!(
                    "configuration {:?} is in force: rollouts: {}, hash: {:08x}",
                    policy.version,
                    policy.rollouts.len(),
                    policy.fingerprint,
                );
                if bytes.is_empty() {
                    log::warn!(
                        "the configuration is empty: without rollouts only Envoy's routes decide"
                    );
                }
                if plugin.is_empty() && !self.current.watch.is_empty() {
                    log::warn!(
                        "the plugin has no name: counts and verdicts are shared with any other \
                         plugin of this proxy that has none, so give it one"
                    );
                }
                true
            }
            Err(errors) if self.runs_inert(&marks, digest) => {
                // All workers accept it, and the first one logs the errors.
                if marks.set_inert(digest) {
                    report(
                        "this proxy starts without a valid configuration and serves stable",
                        &errors,
                    );
                }
                let active = ActivePolicy::new(&vm, config::inert(bytes), &[]);
                self.replace(plugin, digest, active, Some(errors));
                true
            }
            Err(errors) => {
                let what = if marks.was_accepted() {
                    REFUSED
                } else {
                    "the configuration is refused, and there is no other"
                };
                report(what, &errors);
                false
            }
        }
    }

    /// Periodic work.
    pub fn on_tick(&mut self) {
        self.flush_earlier();
        self.current.on_tick();
    }

    /// Merges what was counted: this plugin gets no more requests.
    pub fn end(&mut self) {
        self.flush_earlier();
        self.current.flush();
    }

    fn replace(&mut self, plugin: &str, digest: u128, active: ActivePolicy, inert: Option<Errors>) {
        let vm = Rc::clone(&self.vm);
        vm.plugins.set(Marks::new(&vm.host, plugin).add_plugin());
        let next = Rc::new(Configuration::new(vm, plugin, digest, active, inert));
        let before = std::mem::replace(&mut self.current, next);
        self.earlier.push(before);
        self.flush_earlier();
        self.current.show_gauges();
        let watches = !self.current.watch.is_empty() || self.current.reach.watches();
        let interval = if watches { WATCH_TICK } else { TICK };
        self.vm.host.tick_every(interval);
    }

    /// Merges the outcomes of requests that began with an earlier configuration, and drops
    /// those configurations that have no open request.
    fn flush_earlier(&mut self) {
        self.earlier.retain(|configuration| {
            configuration.flush();
            Rc::strong_count(configuration) > 1
        });
    }

    /// Whether to accept an invalid configuration without deciding anything.
    fn runs_inert(&self, marks: &Marks<'_, H>, digest: u128) -> bool {
        self.vm.host.variable(STRICT).as_deref() != Some(b"1")
            && (marks.was_inert(digest) || !marks.was_accepted())
    }
}

//! Takes configurations: in force, inert or refused.

use std::rc::Rc;

use super::active::Active;
use super::host;
use super::marks::Marks;
use super::state::{State, report};
use crate::config::{self, Errors};

/// Switches running inert off: for CI, and for people who want their proxy not to start.
const STRICT: &str = "DIVVY_STRICT";
/// How often a root looks after its gauges and, if it is inert, says so.
const TICK_MILLIS: u32 = 5_000;
/// The same where versions are watched: so long a bad one is let be at most, once there is
/// evidence.
const WATCH_MILLIS: u32 = 1_000;

/// One configuration of one plugin. Streams hold on to what they began with.
pub struct Root {
    state: Rc<State>,
    /// What it had before, where it was configured more than once, while streams hold on to
    /// that: what comes of them counts as well.
    before: Vec<Rc<State>>,
}

impl Root {
    pub fn new() -> Self {
        Self {
            state: Rc::new(State::new("", 0, Active::default(), None)),
            before: Vec::new(),
        }
    }

    fn take(&mut self, plugin: &str, digest: u128, active: Active, inert: Option<Errors>) {
        let next = Rc::new(State::new(plugin, digest, active, inert));
        self.before.push(std::mem::replace(&mut self.state, next));
        self.flush_before();
        self.state.show_gauges();
        host::tick_every(if self.state.watch.is_empty() {
            TICK_MILLIS
        } else {
            WATCH_MILLIS
        });
    }

    /// Hands over what came of streams that began with an earlier configuration of this
    /// root, and lets go of those that have none left.
    fn flush_before(&mut self) {
        self.before.retain(|state| {
            state.flush();
            Rc::strong_count(state) > 1
        });
    }

    /// Whether to accept an invalid configuration and do nothing by it.
    fn runs_inert(marks: &Marks, digest: u128) -> bool {
        if host::environment_says(STRICT, "1") {
            return false;
        }
        marks.was_inert(digest) || !marks.was_accepted()
    }

    /// Hands over what was counted: nothing comes to this root any more.
    pub fn end(&mut self) {
        self.flush_before();
        self.state.flush();
    }

    /// Takes a configuration of so many bytes. Whether it is in force now.
    pub fn configure(&mut self, size: usize) -> bool {
        let Ok(bytes) = host::configuration(size) else {
            log::error!("the proxy does not hand over the configuration");
            return false;
        };
        let plugin = host::property("plugin_name").unwrap_or_default();
        let plugin = String::from_utf8_lossy(&plugin);
        let marks = Marks::new(&plugin);
        let digest = config::digest(&bytes);
        match config::parse(&bytes) {
            Ok(policy) => {
                marks.accepted();
                self.take(&plugin, digest, Active::new(policy), None);
                let policy = &self.state.active.policy;
                log::info!(
                    "configuration {:?} is in force: rollouts: {}, hash: {:08x}",
                    policy.version,
                    policy.rollouts.len(),
                    policy.fingerprint,
                );
                if bytes.is_empty() {
                    log::warn!(
                        "it is empty: nothing is split, and everybody goes where the routes say"
                    );
                }
                if plugin.is_empty() && !self.state.watch.is_empty() {
                    log::warn!(
                        "the plugin has no name: counts and verdicts are shared with any other \
                         plugin of this proxy that has none, so give it one"
                    );
                }
                true
            }
            Err(errors) if Self::runs_inert(&marks, digest) => {
                // Every worker comes by here: one of them tells.
                if marks.inert(digest) {
                    report(
                        "this proxy starts without a valid configuration and serves stable",
                        &errors,
                    );
                }
                let active = Active::new(config::inert(&bytes));
                self.take(&plugin, digest, active, Some(errors));
                true
            }
            Err(errors) => {
                let what = if marks.was_accepted() {
                    "the configuration is refused, the last good one stays in force"
                } else {
                    "the configuration is refused, and there is no other"
                };
                report(what, &errors);
                false
            }
        }
    }

    /// What has to be done from time to time.
    pub fn tick(&mut self) {
        self.flush_before();
        self.state.tick();
    }

    /// What a stream that begins now goes by.
    pub const fn state(&self) -> &Rc<State> {
        &self.state
    }
}

//! What the process remembers of the configurations that it accepted.
//!
//! A proxy that starts with a refused configuration answers 500 to everyone, whatever its
//! fail strategy: a push that running pods ignore would break every pod that starts later.
//! So a process that never accepted a valid configuration accepts an invalid one and runs
//! inert, which serves stable. Afterwards it refuses invalid ones, and Envoy keeps the last
//! good one in force.
//!
//! The marks are in shared data, since the main thread and each worker have a VM of their
//! own. Their keys contain the plugin's name, since all plugins use the same shared data.

use super::host::{Host, SharedKey};
use crate::guardrail::shared_data::{Change, update};

/// Marks of one plugin.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'a, H> {
    host: &'a H,
    plugin: &'a str,
}

impl<'a, H: Host> Marks<'a, H> {
    pub const fn new(host: &'a H, plugin: &'a str) -> Self {
        Self { host, plugin }
    }

    /// Notes that the process accepted a valid configuration.
    pub fn set_accepted(&self) {
        self.host.set_shared(&self.key("accepted", ""), b"1");
    }

    /// Whether the process accepted a valid configuration.
    pub fn was_accepted(&self) -> bool {
        self.host.shared(&self.key("accepted", "")).is_some()
    }

    /// Notes that the process started with a configuration of zero bytes.
    pub fn set_started_empty(&self) {
        self.host.set_shared(&self.key("empty", ""), b"1");
    }

    /// Whether the process started with a configuration of zero bytes. As Envoy caches the main
    /// thread's verdict, it then accepts zero bytes as long as it lives.
    pub fn has_started_empty(&self) -> bool {
        self.host.shared(&self.key("empty", "")).is_some()
    }

    /// Adds this plugin to those of the process. Their number.
    pub fn add_plugin(&self) -> usize {
        let key = plugins_key();
        let number = update(&mut SharedKey::new(self.host, &key), |before| {
            let mut names = before.unwrap_or_default().to_vec();
            let name = self.plugin.as_bytes();
            let is_new = names_in(&names).all(|known| known != name);
            if is_new {
                names.extend_from_slice(name);
                names.push(SEPARATOR);
            }
            Change {
                result: names_in(&names).count(),
                value: is_new.then_some(names),
            }
        });
        number.unwrap_or(1)
    }

    /// Notes that the configuration with this digest was accepted inert. `true` for the
    /// first VM that does.
    pub fn set_inert(&self, digest: u128) -> bool {
        self.replace(&self.inert_key(digest), b"1")
            .is_none_or(|first| first)
    }

    /// Whether the configuration with this digest was accepted inert. Envoy caches the main
    /// thread's verdict per configuration, so it must not change while the process lives.
    pub fn was_inert(&self, digest: u128) -> bool {
        self.host.shared(&self.inert_key(digest)).is_some()
    }

    /// Whether this VM is the one that repeats a message in this period.
    pub fn is_turn(&self, period: u64) -> bool {
        // Compared for equality, because the clock may have been set back.
        let turn = self.replace(&self.key("said", ""), &period.to_le_bytes());
        turn == Some(true)
    }

    /// Writes a value. Whether it was another one before; `None` if it was not written.
    fn replace(&self, key: &str, value: &[u8]) -> Option<bool> {
        update(&mut SharedKey::new(self.host, key), |before| {
            let differs = before != Some(value);
            Change {
                value: differs.then(|| value.into()),
                result: differs,
            }
        })
    }

    fn inert_key(&self, digest: u128) -> Box<str> {
        self.key("inert", &format!("{digest:032x}"))
    }

    fn key(&self, what: &str, which: &str) -> Box<str> {
        key(self.plugin, what, which)
    }
}

/// Number of plugins of the process.
pub fn plugins(host: &impl Host) -> usize {
    let names = host.shared(&plugins_key());
    names.map_or(1, |(names, _)| names_in(&names).count())
}

/// Behind the name of each plugin of the process.
const SEPARATOR: u8 = 0;

fn names_in(names: &[u8]) -> impl Iterator<Item = &[u8]> {
    names
        .split_inclusive(|byte| *byte == SEPARATOR)
        .map(|name| name.strip_suffix(&[SEPARATOR]).unwrap_or(name))
}

fn plugins_key() -> Box<str> {
    key("", "plugins", "")
}

/// Key in shared data of something that belongs to one plugin.
pub fn key(plugin: &str, what: &str, which: &str) -> Box<str> {
    format!("divvy/{plugin}/{what}/{which}").into()
}

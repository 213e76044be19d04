//! What the process remembers of its configurations.
//!
//! A proxy that starts with a configuration that its filter refuses answers 500 to
//! everyone, whatever the fail strategy says: the push that running pods shrug off would
//! break every pod that is scaled up. So a process that never had a valid configuration
//! accepts an invalid one and runs inert, which serves stable. Once it had a valid one,
//! it refuses invalid ones, and Envoy keeps the last good one in force.
//!
//! The marks are in shared data, since the main thread and each worker have a VM of
//! their own, and go by the plugin's name, since all plugins share one space.

use super::host::{self, Swapped};

/// The marks of one plugin.
#[derive(Clone, Debug)]
pub struct Marks {
    plugin: Box<str>,
}

impl Marks {
    pub fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.into(),
        }
    }

    /// Notes that the process has had a valid configuration.
    pub fn accepted(&self) {
        set(&self.key("accepted", ""));
    }

    /// Whether it has.
    pub fn was_accepted(&self) -> bool {
        host::shared(&self.key("accepted", "")).is_some()
    }

    /// Notes that these bytes were accepted inert. `true` for whoever is the first.
    pub fn inert(&self, configuration: u128) -> bool {
        let key = self.key("inert", &format!("{configuration:032x}"));
        let first = host::shared(&key).is_none();
        set(&key);
        first
    }

    /// Whether these bytes were. Envoy caches the main thread's verdict by the bytes, so
    /// it must not change while the process lives.
    pub fn was_inert(&self, configuration: u128) -> bool {
        let key = self.key("inert", &format!("{configuration:032x}"));
        host::shared(&key).is_some()
    }

    /// Whether it falls to this VM to say something again: to one of them, once a
    /// period.
    pub fn my_turn(&self, period: u64) -> bool {
        let key = self.key("said", "");
        let now = period.to_le_bytes();
        let before = host::shared(&key);
        // 0 would overwrite what another VM has just written. For a key that is not there
        // the host takes any other number.
        let cas = before.as_ref().map_or(u32::MAX, |(_, cas)| *cas);
        let said = before.and_then(|(value, _)| (*value).try_into().ok().map(u64::from_le_bytes));
        // Not "before this period": the clock may have been set back.
        said != Some(period) && host::swap_shared(&key, &now, cas) == Ok(Swapped::Yes)
    }

    fn key(&self, what: &str, which: &str) -> Box<str> {
        key(&self.plugin, what, which)
    }
}

/// The name of something that all VMs of the process share about a plugin.
pub fn key(plugin: &str, what: &str, which: &str) -> Box<str> {
    format!("divvy/{plugin}/{what}/{which}").into()
}

fn set(key: &str) {
    // To overwrite is right: the mark is the same whoever sets it. When the host refuses
    // there is no memory, and each VM decides as if it were the first.
    let _ = host::swap_shared(key, b"1", 0);
}

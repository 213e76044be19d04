//! The file with the configuration, as it is on disk now. Must not depend on the server.
//!
//! It is opened by its path each time, so a file that an editor replaces is followed like one that it writes in place.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use divvy::policy::Policy;
use serde::Serialize;

use crate::environment::GivenEnvironment;
use crate::output::percent;
use crate::source::{LoadedConfig, read_text};

/// Maximum size of the file in bytes: the page shows all of it. A configuration has at most 1 MiB.
const MAX_TEXT: usize = 4 << 20;

/// The answer of `/api/file`.
#[derive(Debug, Serialize)]
pub struct FileAnswer {
    /// Version of this format.
    pub format: u32,
    /// Path of the file, as it was given; `None` without a file.
    pub name: Option<String>,
    /// Content of the file.
    pub text: Option<String>,
    /// Why there is no content.
    pub error: Option<String>,
}

/// What the file says about the proxies.
#[derive(Debug, Default, Serialize)]
pub struct FileConfiguration {
    /// Fingerprint of its configuration, which proxies report as `divvy_config_hash`.
    pub hash: Option<String>,
    /// Why it has no configuration: see `divvy check`.
    pub error: Option<String>,
}

/// The last configuration that was read, with the hash of its text.
type Compiled = Option<(u64, Result<Policy, String>)>;

/// A file that may be absent, unreadable or not valid at any time.
#[derive(Debug)]
pub struct FollowedFile {
    path: Option<PathBuf>,
    plugin: Option<String>,
    compiled: Mutex<Compiled>,
}

impl FollowedFile {
    /// Follows this file. `plugin`: which of several configurations.
    pub fn new(path: Option<PathBuf>, plugin: Option<String>) -> Self {
        Self {
            path,
            plugin,
            compiled: Mutex::default(),
        }
    }

    /// The file now.
    pub fn answer(&self) -> FileAnswer {
        let text = self.path.as_deref().map(read);
        let (text, error) = match text {
            None => (None, None),
            Some(Ok(text)) => (Some(text), None),
            Some(Err(error)) => (None, Some(format!("{error:#}"))),
        };
        FileAnswer {
            format: super::FORMAT,
            name: self.path.as_ref().map(|path| path.display().to_string()),
            text,
            error,
        }
    }

    /// The configuration of the file now, and the shares in percent that it gives the versions of a rollout at this
    /// time.
    pub fn configured(
        &self,
        rollout: Option<&str>,
        now: u64,
    ) -> (FileConfiguration, BTreeMap<String, f64>) {
        let Some(path) = &self.path else {
            return Default::default();
        };
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => return (failed(format!("{error:#}")), BTreeMap::new()),
        };
        let hash = hash(text.as_bytes());
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.as_ref().is_none_or(|(of, _)| *of != hash) {
            *compiled = Some((
                hash,
                self.compile(&text).map_err(|error| format!("{error:#}")),
            ));
        }
        match compiled.as_ref() {
            Some((_, Ok(policy))) => {
                let file = FileConfiguration {
                    hash: Some(format!("{:08x}", policy.fingerprint)),
                    error: None,
                };
                (
                    file,
                    rollout.map_or_else(BTreeMap::new, |rollout| shares(policy, rollout, now)),
                )
            }
            Some((_, Err(error))) => (failed(error.clone()), BTreeMap::new()),
            None => Default::default(),
        }
    }

    fn compile(&self, text: &str) -> Result<Policy> {
        let found = LoadedConfig::find_in(text, self.plugin.as_deref())?;
        Ok(LoadedConfig::of(&found.0, &found.1)?.policy)
    }
}

fn failed(error: String) -> FileConfiguration {
    FileConfiguration {
        hash: None,
        error: Some(error),
    }
}

fn read(path: &Path) -> Result<String> {
    ensure!(path.as_os_str() != "-", "standard input cannot be followed");
    let text = read_text(path)?;
    ensure!(
        text.len() <= MAX_TEXT,
        "{}: has more than {} MiB, the limit of the page",
        path.display(),
        MAX_TEXT >> 20
    );
    Ok(text)
}

/// `rollout`: its name, behind the scrape job if there are several.
fn shares(policy: &Policy, rollout: &str, now: u64) -> BTreeMap<String, f64> {
    let rollout = rollout.rsplit('/').next().unwrap_or_default();
    let all = policy.shares(&GivenEnvironment::at(now));
    let found = policy
        .rollouts
        .iter()
        .zip(all)
        .find(|(one, _)| *one.name == *rollout);
    let Some((rollout, shares)) = found else {
        return BTreeMap::new();
    };
    let mut named = BTreeMap::new();
    for version in &rollout.versions {
        named.insert(version.name.to_string(), 0.0);
    }
    for (version, share) in shares {
        if let Some(version) = rollout.version(version) {
            named.insert(version.name.to_string(), percent(share));
        }
    }
    named
}

/// A hash of content, for entity tags: a change must have another one.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

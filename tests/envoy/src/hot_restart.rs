//! Hot restart: another Envoy takes over from a running one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The part of an Envoy in a hot restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HotRestart {
    /// None. Hot restart reserves shared memory, which concurrent Envoys would contend for.
    #[default]
    Disabled,
    /// Another Envoy can take over from this one.
    First,
    /// This Envoy takes over.
    Next {
        /// What all have in common: [`super::envoy::Envoy::base_id`] of the first one.
        base_id: u32,
        /// How many were before this one.
        epoch: u32,
        /// Time in seconds after which the one before ends.
        parent_shutdown: u32,
        /// Time in seconds in which the one before closes its connections.
        drain: u32,
    },
}

const BASE_ID_FILE: &str = "base-id";

impl HotRestart {
    pub(crate) fn arguments(self, dir: &Path) -> Vec<String> {
        let path = dir.join(BASE_ID_FILE).display().to_string();
        let arguments: &[&str] = match self {
            HotRestart::Disabled => &["--disable-hot-restart"],
            HotRestart::First => &["--use-dynamic-base-id", "--base-id-path", &path],
            HotRestart::Next {
                base_id,
                epoch,
                parent_shutdown,
                drain,
            } => &[
                "--restart-epoch",
                &epoch.to_string(),
                "--base-id",
                &base_id.to_string(),
                "--parent-shutdown-time-s",
                &parent_shutdown.to_string(),
                "--drain-time-s",
                &drain.to_string(),
            ],
        };
        arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect()
    }
}

/// The base ID that an Envoy has written to its directory.
pub(crate) fn base_id(dir: &Path) -> Result<u32> {
    let path = dir.join(BASE_ID_FILE);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(text.trim().parse()?)
}

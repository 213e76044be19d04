//! A new plugin file and what Envoy said of it.
//!
//! Seen on Envoy 1.36 and 1.40: `config_reload` grows for a refused push as well; only
//! `update_rejected` (a bad plugin), `update_failure` (a bad file) and `config_fail` (either) tell.
//! And a plugin that equals the one which Envoy looked at last counts as a success without a look,
//! even if that last one was refused.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bootstrap::plugin_file;
use crate::envoy::{Envoy, START};
use crate::plugin::Plugin;
use crate::poll::Patience;

/// What Envoy said of a plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Push {
    /// It is in force, on every worker.
    Accepted,
    /// It equals the one in force, so Envoy did not look at it.
    Unchanged,
    /// The last good one stays in force.
    Refused {
        /// What the filter logged as errors, or else what Envoy said.
        reasons: Vec<String>,
    },
}

/// What Envoy looked at last.
pub(crate) struct Seen {
    plugin: Plugin,
    verdict: Push,
}

impl Seen {
    pub(crate) fn new(plugin: Plugin, verdict: Push) -> Seen {
        Seen { plugin, verdict }
    }
}

impl Envoy {
    /// Moves a plugin into place and waits until Envoy has taken or refused it. The bootstrap must
    /// have had a plugin of this name.
    pub async fn push(&self, plugin: &Plugin) -> Result<Push> {
        let name = plugin.name();
        let mut plugins = self.plugins.lock().await;
        let seen = plugins.get_mut(name);
        let seen = seen.with_context(|| format!("the bootstrap has no plugin named {name:?}"))?;
        let same = seen.plugin == *plugin;

        let mark = self.log_mark();
        let before = Counts::read(self, name).await?;
        let version = plugin.publish(plugin_file(self.dir.path(), name))?;
        let what = format!("Envoy's word on the plugin {name}");
        let mut patience = Patience::new(&what, START);
        let refused = loop {
            let now = Counts::read(self, name).await?;
            if now.refusals > before.refusals {
                break true;
            }
            // The reload is counted when all workers have it.
            if now.version == version && (same || now.reloads > before.reloads) {
                break false;
            }
            patience.pause().await?;
        };

        if refused {
            let reasons = self.reasons(mark, name).await?;
            *seen = Seen::new(plugin.clone(), Push::Refused { reasons });
        } else if !same {
            *seen = Seen::new(plugin.clone(), Push::Accepted);
        } else if seen.verdict == Push::Accepted {
            return Ok(Push::Unchanged);
        }
        Ok(seen.verdict.clone())
    }

    /// What Envoy said of the plugin of this name that it looked at last: after the start, of the
    /// one in the bootstrap.
    pub async fn verdict(&self, name: &str) -> Result<Push> {
        match self.plugins.lock().await.get(name) {
            Some(seen) => Ok(seen.verdict.clone()),
            None => bail!("the bootstrap has no plugin named {name:?}"),
        }
    }

    async fn reasons(&self, mark: usize, name: &str) -> Result<Vec<String>> {
        // The last that Envoy says of it, so that everything else is in the log before.
        let last = self
            .wait_for_log_since(mark, |line| refusal(line).is_some(), Duration::from_secs(5))
            .await?;
        let said = reasons(&self.log_since(mark), name);
        Ok(match refusal(&last) {
            Some(refusal) if said.is_empty() => vec![refusal.to_owned()],
            _ => said,
        })
    }
}

/// What became of the plugin with which Envoy was started.
pub(crate) async fn first_verdict(envoy: &Envoy, name: &str) -> Result<Push> {
    let what = format!("Envoy's word on the first plugin {name}");
    let mut patience = Patience::new(&what, START);
    let refused = loop {
        let now = Counts::read(envoy, name).await?;
        if now.refusals > 0 || !now.version.is_empty() {
            break now.refusals > 0;
        }
        patience.pause().await?;
    };
    Ok(match refused {
        true => Push::Refused {
            reasons: envoy.reasons(0, name).await?,
        },
        false => Push::Accepted,
    })
}

struct Counts {
    refusals: u64,
    reloads: u64,
    version: String,
}

impl Counts {
    async fn read(envoy: &Envoy, name: &str) -> Result<Counts> {
        let prefix = format!("extension_config_discovery.http_filter.{name}.");
        let stats = envoy.text_stats(&prefix).await?;
        let text = |stat: &str| stats.get(&format!("{prefix}{stat}")).map(String::as_str);
        let number = |stat: &str| text(stat).and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Counts {
            refusals: number("update_rejected") + number("update_failure"),
            reloads: number("config_reload"),
            version: text("version_text")
                .unwrap_or_default()
                .trim_matches('"')
                .to_owned(),
        })
    }
}

/// The filter's own errors, as `[…][error][wasm] […] wasm log divvy: <this>`.
fn reasons(lines: &[String], name: &str) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for line in lines {
        let serious = line.contains("[error]") || line.contains("[critical]");
        let said = line
            .split_once("wasm log ")
            .and_then(|(_, said)| said.strip_prefix(name));
        // Behind the name comes the root id, where it is another.
        let said = said.and_then(|said| said.split_once(": "));
        if let (true, Some((_, reason))) = (serious, said)
            && !reasons.iter().any(|known| known == reason)
        {
            reasons.push(reason.to_owned());
        }
    }
    reasons
}

/// The part behind the colon of `Filesystem config update rejected: …`, or `… failure: …`.
fn refusal(line: &str) -> Option<&str> {
    let (_, said) = line.split_once("Filesystem config update ")?;
    said.strip_prefix("rejected: ")
        .or_else(|| said.strip_prefix("failure: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_the_errors_of_the_filter_each_once() {
        let lines = [
            "[t][1][info][wasm] [context.cc:1151] wasm log divvy: configured",
            "[t][1][error][wasm] [context.cc:1157] wasm log divvy: rollouts[0].name: missing",
            "[t][2][error][wasm] [context.cc:1157] wasm log divvy root: rollouts[0].name: missing",
            "[t][1][error][wasm] [context.cc:1157] wasm log other: not ours",
            "[t][1][error][wasm] [wasm.cc:104] Wasm VM failed",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(reasons(&lines, "divvy"), ["rollouts[0].name: missing"]);
    }

    #[test]
    fn the_line_that_ends_a_refusal_is_known() {
        let line = "[warning][config] [f.cc:81] Filesystem config update rejected: Unable to …";
        assert_eq!(refusal(line), Some("Unable to …"));
        let line = "[warning][config] [f.cc:128] Filesystem config update failure: in x: y";
        assert_eq!(refusal(line), Some("in x: y"));
        assert_eq!(refusal("Filesystem config update accepted"), None);
    }
}

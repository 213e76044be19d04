//! Publishes plugin files and reads Envoy's verdict from its statistics and log.
//!
//! Observed with Envoy 1.36 and 1.40: `config_reload` also counts refused updates; only
//! `update_rejected` (invalid plugin), `update_failure` (invalid file) and `config_fail` (either)
//! identify a refusal. A plugin equal to the previous one counts as a success without validation,
//! even if the previous one was refused.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bootstrap::plugin_file;
use crate::envoy::{Envoy, START_TIMEOUT};
use crate::plugin::Plugin;
use crate::poll::Backoff;

/// Envoy's verdict on a plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Push {
    /// It is active on every worker.
    Accepted,
    /// It equals the active one; Envoy did not validate it.
    Unchanged,
    /// The previous valid one stays active.
    Refused {
        /// The errors that the filter logged, or else Envoy's own error.
        reasons: Vec<String>,
    },
}

/// The plugin that Envoy validated last.
pub(crate) struct LastPush {
    plugin: Plugin,
    verdict: Push,
}

impl LastPush {
    pub(crate) fn new(plugin: Plugin, verdict: Push) -> LastPush {
        LastPush { plugin, verdict }
    }
}

impl Envoy {
    /// Publishes a plugin and waits for Envoy's verdict. The bootstrap must contain a plugin with this
    /// name.
    pub async fn push(&self, plugin: &Plugin) -> Result<Push> {
        let name = plugin.name();
        let mut plugins = self.plugins.lock().await;
        let last = plugins.get_mut(name);
        let last = last.with_context(|| format!("the bootstrap has no plugin named {name:?}"))?;
        let same = last.plugin == *plugin;

        let mark = self.log_mark();
        let before = Counts::read(self, name).await?;
        let version = plugin.publish(plugin_file(self.dir.path(), name))?;
        let what = format!("Envoy's verdict on plugin {name}");
        let mut backoff = Backoff::new(&what, START_TIMEOUT);
        let refused = loop {
            let now = Counts::read(self, name).await?;
            if now.refusals > before.refusals {
                break true;
            }
            // The reload is counted when it is active on all workers.
            if now.version == version && (same || now.reloads > before.reloads) {
                break false;
            }
            backoff.pause().await?;
        };

        if refused {
            let reasons = self.reasons(mark, plugin).await?;
            *last = LastPush::new(plugin.clone(), Push::Refused { reasons });
        } else if !same {
            *last = LastPush::new(plugin.clone(), Push::Accepted);
        } else if last.verdict == Push::Accepted {
            return Ok(Push::Unchanged);
        }
        Ok(last.verdict.clone())
    }

    /// Envoy's verdict on the plugin of this name that it validated last; after the start, the one of
    /// the bootstrap.
    pub async fn verdict(&self, name: &str) -> Result<Push> {
        match self.plugins.lock().await.get(name) {
            Some(last) => Ok(last.verdict.clone()),
            None => bail!("the bootstrap has no plugin named {name:?}"),
        }
    }

    async fn reasons(&self, mark: usize, plugin: &Plugin) -> Result<Vec<String>> {
        let log_mark = plugin.build().log_mark(plugin.name());
        // This line is the last one about a refusal; the filter's errors precede it.
        let end = self
            .wait_for_log_since(mark, |line| refusal(line).is_some(), Duration::from_secs(5))
            .await?;
        let errors = filter_errors(&self.log_since(mark), &log_mark);
        Ok(match refusal(&end) {
            Some(refusal) if errors.is_empty() => vec![refusal.to_owned()],
            _ => errors,
        })
    }
}

/// Envoy's verdict on a plugin of the bootstrap.
pub(crate) async fn first_verdict(envoy: &Envoy, plugin: &Plugin) -> Result<Push> {
    let name = plugin.name();
    let what = format!("Envoy's verdict on the first plugin {name}");
    let mut backoff = Backoff::new(&what, START_TIMEOUT);
    let refused = loop {
        let now = Counts::read(envoy, name).await?;
        if now.refusals > 0 || !now.version.is_empty() {
            break now.refusals > 0;
        }
        backoff.pause().await?;
    };
    Ok(match refused {
        true => Push::Refused {
            reasons: envoy.reasons(0, plugin).await?,
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

/// The distinct errors of a plugin: `[…][error][wasm] […] wasm log divvy: <error>`.
fn filter_errors(lines: &[String], log_mark: &str) -> Vec<String> {
    let mut errors: Vec<String> = Vec::new();
    for line in lines {
        let is_error = line.contains("[error]") || line.contains("[critical]");
        let message = line
            .split_once(log_mark)
            // A root ID that differs from the name precedes the colon.
            .and_then(|(_, message)| message.split_once(": "));
        if let (true, Some((_, error))) = (is_error, message)
            && !errors.iter().any(|known| known == error)
        {
            errors.push(error.to_owned());
        }
    }
    errors
}

/// The reason in `Filesystem config update rejected: <reason>` or `… failure: <reason>`.
fn refusal(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("Filesystem config update ")?;
    rest.strip_prefix("rejected: ")
        .or_else(|| rest.strip_prefix("failure: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_filter_are_listed_once() {
        let lines = [
            "[t][1][info][wasm] [context.cc:1151] wasm log divvy: configured",
            "[t][1][error][wasm] [context.cc:1157] wasm log divvy: rollouts[0].name: missing",
            "[t][2][error][wasm] [context.cc:1157] wasm log divvy root: rollouts[0].name: missing",
            "[t][1][error][wasm] [context.cc:1157] wasm log other: of another plugin",
            "[t][1][error][wasm] [wasm.cc:104] Wasm VM failed",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(
            filter_errors(&lines, "wasm log divvy"),
            ["rollouts[0].name: missing"]
        );
    }

    #[test]
    fn the_reason_of_a_refusal_is_read() {
        let line = "[warning][config] [f.cc:81] Filesystem config update rejected: Unable to …";
        assert_eq!(refusal(line), Some("Unable to …"));
        let line = "[warning][config] [f.cc:128] Filesystem config update failure: in x: y";
        assert_eq!(refusal(line), Some("in x: y"));
        assert_eq!(refusal("Filesystem config update accepted"), None);
    }
}

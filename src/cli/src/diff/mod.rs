//! `divvy diff`: the users who change version when one configuration replaces another.

mod notes;
mod units;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use divvy::policy::RolloutId;
use divvy::strategy::StrategyBehaviour;
use serde::Serialize;
use serde_json::Value;

use crate::environment::{GivenEnvironment, time_or_now};
use crate::limits;
use crate::output::{Format, exit_code, percent, print_json};
use crate::palette::BOLD;
use crate::population::{Population, RequestTemplate};
use crate::raw::{salt, text};
use crate::source::{LoadedConfig, PassedKeys};

/// Arguments of `divvy diff`.
#[derive(Args, Debug)]
#[command(after_help = "\
Both configurations decide about the same users. Each user sends one request that matches the
rollout but none of its rules. The minimum is the share of users who must change version to reach
the new shares; more than that means that users are assigned again at random.

Exit code 0; 1 if more than --max-moved percent of a rollout's users change version.

Examples:
  divvy diff envoy/divvy.yaml envoy/plugin.yaml
  divvy diff envoy/divvy.yaml envoy/plugin.yaml --output markdown --max-moved 5")]
pub struct DiffArgs {
    /// The current configuration
    pub old: PathBuf,
    /// The configuration that replaces it
    pub new: PathBuf,
    /// Name of the plugin, if a file has several configurations
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
    /// Number of users
    #[arg(long, default_value_t = 100_000, value_name = "NUMBER", value_parser = limits::users)]
    pub users: usize,
    /// The users: seq, uuid, or a file with one user a line
    #[arg(long, default_value = "seq", value_name = "seq|uuid|FILE")]
    pub population: String,
    /// Time of the decisions, for canaries that grow over time; now by default
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Exit code 1 if more than this percentage of a rollout's users change version
    #[arg(long, value_name = "PERCENT", value_parser = limits::percent)]
    pub max_moved: Option<f64>,
}

/// The changes of all rollouts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffReport {
    /// Number of users.
    pub users: usize,
    /// Changes that affect all rollouts.
    pub notes: Vec<String>,
    /// In the order of the new configuration, followed by removed rollouts.
    pub rollouts: Vec<RolloutChange>,
}

/// The change of one rollout.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutChange {
    /// Name in the new configuration; in the old one for a removed rollout.
    pub rollout: String,
    /// `same`, `changed`, `renamed`, `new` or `gone`.
    pub status: &'static str,
    /// Users who change version, in percent.
    pub moved_percent: f64,
    /// Users who must change version to reach the new shares, in percent.
    pub minimum_percent: f64,
    /// The users who change version, by old and new version.
    pub moves: Vec<VersionMove>,
    /// The users who keep their version.
    pub stays: Vec<VersionUsers>,
    /// Other changes that affect users.
    pub notes: Vec<String>,
}

/// The users who change from one version to another.
#[derive(Clone, Debug, Serialize)]
pub struct VersionMove {
    /// Version in the old configuration.
    pub from: String,
    /// Version in the new configuration.
    pub to: String,
    /// Number of users.
    pub users: usize,
    /// The same in percent of all users.
    pub percent: f64,
}

/// The users of a version.
#[derive(Clone, Debug, Serialize)]
pub struct VersionUsers {
    /// Name of the version.
    pub version: String,
    /// Number of users.
    pub users: usize,
}

/// Runs the verb.
pub fn run(args: &DiffArgs, format: Format) -> Result<ExitCode> {
    let now = time_or_now(args.at.as_deref())?;
    let read = |path| {
        let (file, found) = LoadedConfig::find(path, args.plugin.as_deref())?;
        let config = LoadedConfig::of(&file, &found)?;
        Ok::<_, anyhow::Error>((config, found.keys))
    };
    let [old, new] = [read(&args.old)?, read(&args.new)?];
    let [old, new] = [&old, &new].map(|(config, keys)| Side {
        config,
        keys: *keys,
    });
    let users = Population::read(&args.population, 1)?.users(args.users);
    // Both configurations decide.
    let rollouts = old.config.rollouts().len();
    let rollouts = rollouts.saturating_add(new.config.rollouts().len());
    limits::refuse_endless(users.len(), rollouts)?;
    let report = report(old, new, &users, now);
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => print_json(&report, &mut out)?,
        Format::Markdown => markdown(&report, &mut out)?,
        Format::Text => show(&report, &mut out)?,
    }
    let limit = args.max_moved.unwrap_or(f64::INFINITY);
    let mut changes = report.rollouts.iter();
    Ok(exit_code(
        changes.any(|change| change.moved_percent > limit),
    ))
}

/// One of the two configurations.
#[derive(Clone, Copy)]
struct Side<'c> {
    config: &'c LoadedConfig,
    /// How its plugin gets the keys of signatures.
    keys: PassedKeys,
}

/// A rollout in one of the two configurations.
#[derive(Clone, Copy)]
struct Located<'c> {
    config: &'c LoadedConfig,
    index: usize,
}

impl<'c> Located<'c> {
    fn raw(self) -> &'c Value {
        &self.config.rollouts()[self.index]
    }

    fn name(self) -> &'c str {
        text(self.raw(), "name")
    }

    fn strategy(self) -> &'c dyn StrategyBehaviour {
        let rollout = &self.config.policy.rollouts[self.index];
        rollout.strategy.behaviour()
    }

    /// The share of each version in percent.
    fn shares(self, now: u64) -> BTreeMap<&'c str, f64> {
        let policy = &self.config.policy;
        let all = policy.shares(&GivenEnvironment::at(now));
        let rollout = &policy.rollouts[self.index];
        let named = all[self.index].iter().filter_map(|(version, share)| {
            let name = &*rollout.version(*version)?.name;
            Some((name, percent(*share)))
        });
        named.collect()
    }

    fn version(self, template: &RequestTemplate, user: &str) -> Option<&'c str> {
        let policy = &self.config.policy;
        let id = RolloutId(u16::try_from(self.index).ok()?);
        let version = template.decide(policy, user, |outcome| {
            let mut decisions = outcome.decisions.iter();
            let decision = decisions.find(|decision| decision.rollout == id)?;
            Some(decision.version)
        });
        Some(&*policy.rollout(id)?.version(version?)?.name)
    }
}

fn report(before: Side<'_>, after: Side<'_>, users: &[String], now: u64) -> DiffReport {
    let [old, new] = [before.config, after.config];
    let unpaired = |rollout: &Value, status| RolloutChange {
        rollout: text(rollout, "name").to_owned(),
        status,
        ..RolloutChange::default()
    };
    let find = |config: &LoadedConfig, name: &str| {
        let mut rollouts = config.rollouts().iter();
        rollouts.position(|rollout| text(rollout, "name") == name)
    };
    let mut rollouts = Vec::new();
    let mut paired = Vec::new();
    for (index, rollout) in new.rollouts().iter().enumerate() {
        // A rollout with the same salt under another name assigns the same users.
        let renamed = |other: &Value| {
            salt(other) == salt(rollout) && find(new, text(other, "name")).is_none()
        };
        let was = find(old, text(rollout, "name"));
        let was = was.or_else(|| old.rollouts().iter().position(renamed));
        let Some(was) = was else {
            let mut added = unpaired(rollout, "new");
            added.notes.extend(notes::copies(rollout.get("mirror")));
            rollouts.push(added);
            continue;
        };
        paired.push(was);
        let [was, is] = [(old, was), (new, index)].map(|(config, index)| Located { config, index });
        rollouts.push(change(was, is, users, now));
    }
    for (index, rollout) in old.rollouts().iter().enumerate() {
        if !paired.contains(&index) {
            rollouts.push(unpaired(rollout, "gone"));
        }
    }
    DiffReport {
        users: users.len(),
        notes: notes::of_configuration(before, after),
        rollouts,
    }
}

fn change(before: Located<'_>, after: Located<'_>, users: &[String], now: u64) -> RolloutChange {
    let templates =
        [before, after].map(|side| RequestTemplate::new(&side.config.raw, side.raw(), Some(now)));
    let mut moves: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut stays: BTreeMap<&str, usize> = BTreeMap::new();
    for user in users {
        let from = before.version(&templates[0], user);
        let to = after.version(&templates[1], user);
        match from.zip(to) {
            Some((from, to)) if from != to => *moves.entry((from, to)).or_default() += 1,
            Some((from, _)) => *stays.entry(from).or_default() += 1,
            None => {}
        }
    }
    let percent = |number: usize| 100.0 * number as f64 / users.len().max(1) as f64;
    let moved: usize = moves.values().sum();
    let [shares, new_shares] = [before.shares(now), after.shares(now)];
    // Users whom a version loses must move to another one.
    let lost = shares.iter().map(|(name, share)| {
        let remaining = new_shares.get(name).copied().unwrap_or_default();
        (share - remaining).max(0.0)
    });
    let status = if before.name() != after.name() {
        "renamed"
    } else if before.raw() == after.raw() && moved == 0 {
        "same"
    } else {
        "changed"
    };
    let moves = moves.into_iter().map(|((from, to), users)| VersionMove {
        from: from.to_owned(),
        to: to.to_owned(),
        users,
        percent: percent(users),
    });
    let stays = stays.into_iter().map(|(version, users)| VersionUsers {
        version: version.to_owned(),
        users,
    });
    RolloutChange {
        rollout: after.name().to_owned(),
        status,
        moved_percent: percent(moved),
        minimum_percent: lost.fold(0.0, |sum, lost| sum + lost),
        moves: moves.collect(),
        stays: stays.collect(),
        notes: notes::of_rollout(before, after),
    }
}

fn show(report: &DiffReport, out: &mut impl Write) -> io::Result<()> {
    for note in &report.notes {
        writeln!(out, "{note}")?;
    }
    for change in &report.rollouts {
        let name = &change.rollout;
        write!(out, "{BOLD}{name}{BOLD:#}: {}", change.status)?;
        if !matches!(change.status, "new" | "gone") {
            let (moved, minimum) = (change.moved_percent, change.minimum_percent);
            let text = format!("{moved:.3} % of the users change version (minimum {minimum:.3} %)");
            write!(out, ", {text}")?;
        }
        writeln!(out)?;
        for one in &change.moves {
            let VersionMove { from, to, .. } = one;
            let (percent, users) = (one.percent, one.users);
            let all = report.users;
            writeln!(out, "  {from} → {to}: {percent:.3} % ({users} of {all})")?;
        }
        for note in &change.notes {
            writeln!(out, "  {note}")?;
        }
    }
    if report.rollouts.is_empty() {
        writeln!(out, "no rollouts")?;
    }
    Ok(())
}

fn markdown(report: &DiffReport, out: &mut impl Write) -> io::Result<()> {
    let columns = "| rollout | | users who change version | minimum | from → to | notes |";
    writeln!(out, "{columns}\n|---|---|---|---|---|---|")?;
    for change in &report.rollouts {
        let RolloutChange {
            rollout, status, ..
        } = change;
        let (moved, minimum) = (change.moved_percent, change.minimum_percent);
        let moves = change.moves.iter();
        let moves = moves.map(|one| format!("{} → {}: {:.3} %", one.from, one.to, one.percent));
        let moves = moves.collect::<Vec<_>>().join("<br>");
        let notes = change.notes.join("<br>");
        writeln!(
            out,
            "| `{rollout}` | {status} | {moved:.3} % | {minimum:.3} % | {moves} | {notes} |"
        )?;
    }
    for note in &report.notes {
        writeln!(out, "\n{note}")?;
    }
    writeln!(out, "\nOf {} users.", report.users)
}

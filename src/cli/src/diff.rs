//! `divvy diff`: what happens if this is merged?

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use anstyle::Style;
use anyhow::{Context as _, Result};
use clap::Args;
use divvy::outside::Outside;
use divvy::policy::{Policy, RolloutId};
use serde::Serialize;
use serde_json::Value;

use crate::explain::ask::{self, Known};
use crate::population::{Population, Visitor};
use crate::{Format, Outcome, explain, source};

/// Says who changes version when one configuration follows another
#[derive(Args, Debug)]
#[command(after_help = "\
Both are asked about the same users, each with a request that the rollout looks at and no rule
asks for. The minimum is what has to move for the new shares: more than that means that users
were dealt out afresh.

Exit code 0; 1 if a rollout moves more than --max-moved.

Examples:
  divvy diff envoy/divvy.yaml envoy/plugin.yaml
  divvy diff envoy/divvy.yaml envoy/plugin.yaml --output markdown --max-moved 5")]
pub struct Diff {
    /// The configuration that is in force
    pub old: PathBuf,
    /// The one that is to follow it
    pub new: PathBuf,
    /// How many users are asked
    #[arg(long, default_value_t = 100_000, value_name = "NUMBER")]
    pub users: usize,
    /// Who they are: seq, uuid, or a file with one a line
    #[arg(long, default_value = "seq", value_name = "seq|uuid|FILE")]
    pub population: String,
    /// When, for canaries that grow by the clock; now by default
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// More moved users than so many percent are a finding
    #[arg(long, value_name = "PERCENT")]
    pub max_moved: Option<f64>,
}

/// What becomes of all rollouts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many users were asked.
    pub users: usize,
    /// In the order of the new configuration, then those that are gone.
    pub rollouts: Vec<Change>,
}

/// What becomes of a rollout.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Its name.
    pub rollout: String,
    /// `same`, `changed`, `renamed`, `new` or `gone`.
    pub status: &'static str,
    /// How many users change version, in percent.
    pub moved_percent: f64,
    /// How many have to, for the new shares.
    pub minimum_percent: f64,
    /// From which version to which.
    pub moves: Vec<Move>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// Users who change from one version to another.
#[derive(Clone, Debug, Serialize)]
pub struct Move {
    /// From which.
    pub from: String,
    /// To which.
    pub to: String,
    /// How many, of those who were asked.
    pub users: usize,
    /// In percent.
    pub percent: f64,
}

/// One of the two configurations.
struct Side {
    policy: Policy,
    raw: Value,
    known: Known,
}

impl Side {
    fn read(path: &std::path::Path, now: u64) -> Result<Self> {
        let (file, found) = source::only(path)?;
        let policy = divvy::config::parse(&found.bytes);
        let policy = policy.with_context(|| format!("{}: see divvy check", file.name))?;
        let known = Known {
            now: Some(now),
            ..Known::default()
        };
        let raw = serde_json::from_slice(&found.bytes).unwrap_or_default();
        Ok(Self { policy, raw, known })
    }

    fn rollouts(&self) -> &[Value] {
        let list = self.raw.get("rollouts").and_then(Value::as_array);
        list.map_or(&[], Vec::as_slice)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.rollouts()
            .iter()
            .position(|rollout| text(rollout, "name") == name)
    }

    /// The shares of a rollout's versions, by name.
    fn shares(&self, nth: usize) -> BTreeMap<String, f64> {
        let all = self.policy.shares(&self.known as &dyn Outside);
        let rollout = &self.policy.rollouts[nth];
        let named = all[nth].iter().filter_map(|(version, share)| {
            let name = &rollout.version(*version)?.name;
            Some((name.to_string(), f64::from(share.ppm()) / 1e4))
        });
        named.collect()
    }

    fn version(&self, visitor: &Visitor, nth: usize, user: &str) -> Option<String> {
        let id = RolloutId(u16::try_from(nth).ok()?);
        visitor.decide(&self.policy, user, |outcome| {
            let decision = outcome
                .decisions
                .iter()
                .find(|decision| decision.rollout == id)?;
            let version = self.policy.rollout(id)?.version(decision.version)?;
            Some(version.name.to_string())
        })
    }
}

/// Runs it.
pub fn run(args: &Diff, format: Format) -> Result<Outcome> {
    let now = match &args.at {
        Some(time) => ask::time(time)?,
        None => explain::now()?,
    };
    let sides = [Side::read(&args.old, now)?, Side::read(&args.new, now)?];
    let population = Population::read(&args.population, 1)?;
    let users: Vec<_> = population.users(population.most(args.users)).collect();
    let report = report(&sides, &users, now);
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        Format::Markdown => markdown(&report, &mut out)?,
        Format::Text => show(&report, &mut out)?,
    }
    let most = args.max_moved.unwrap_or(f64::INFINITY);
    Ok(Outcome::findings(
        report
            .rollouts
            .iter()
            .any(|change| change.moved_percent > most),
    ))
}

fn report([old, new]: &[Side; 2], users: &[String], now: u64) -> Report {
    let mut rollouts = Vec::new();
    let mut taken = Vec::new();
    for (nth, rollout) in new.rollouts().iter().enumerate() {
        let name = text(rollout, "name");
        // Of another name, but with the same salt, it is the same draw.
        let renamed = || {
            let mut all = old.rollouts().iter();
            all.position(|other| {
                salt(other) == salt(rollout) && new.find(text(other, "name")).is_none()
            })
        };
        let before = old.find(name).or_else(renamed);
        let Some(before) = before else {
            rollouts.push(alone(name, "new"));
            continue;
        };
        taken.push(before);
        rollouts.push(change([(old, before), (new, nth)], users, now));
    }
    for (nth, rollout) in old.rollouts().iter().enumerate() {
        if !taken.contains(&nth) {
            rollouts.push(alone(text(rollout, "name"), "gone"));
        }
    }
    Report {
        users: users.len(),
        rollouts,
    }
}

fn alone(name: &str, status: &'static str) -> Change {
    Change {
        rollout: name.to_owned(),
        status,
        moved_percent: 0.0,
        minimum_percent: 0.0,
        moves: Vec::new(),
        notes: Vec::new(),
    }
}

fn change(
    [(old, before), (new, after)]: [(&Side, usize); 2],
    users: &[String],
    now: u64,
) -> Change {
    let (was, is) = (&old.rollouts()[before], &new.rollouts()[after]);
    let visitor = Visitor::of(&new.raw, is, Some(now));
    let former = Visitor::of(&old.raw, was, Some(now));
    let mut moves: BTreeMap<(String, String), usize> = BTreeMap::new();
    for user in users {
        let [from, to] = [
            old.version(&former, before, user),
            new.version(&visitor, after, user),
        ];
        if let (Some(from), Some(to)) = (from, to)
            && from != to
        {
            *moves.entry((from, to)).or_default() += 1;
        }
    }
    let percent = |number: usize| 100.0 * number as f64 / users.len().max(1) as f64;
    let moved: usize = moves.values().sum();
    let [shares, future] = [old.shares(before), new.shares(after)];
    // What each version loses has to go somewhere.
    let lost = shares
        .iter()
        .map(|(name, share)| (share - future.get(name).copied().unwrap_or_default()).max(0.0));
    let status = match (text(was, "name") == text(is, "name"), was == is) {
        (false, _) => "renamed",
        (true, true) if moved == 0 => "same",
        _ => "changed",
    };
    Change {
        rollout: text(is, "name").to_owned(),
        status,
        moved_percent: percent(moved),
        minimum_percent: lost.fold(0.0, |sum, lost| sum + lost),
        moves: moves
            .into_iter()
            .map(|((from, to), users)| Move {
                from,
                to,
                users,
                percent: percent(users),
            })
            .collect(),
        notes: notes(was, is, &old.raw, &new.raw),
    }
}

fn notes(was: &Value, is: &Value, old: &Value, new: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    let [name, former] = [is, was].map(|rollout| text(rollout, "name"));
    if name != former {
        notes.push(format!("was {former}"));
    }
    let [salt, before] = [is, was].map(salt);
    if salt != before {
        notes.push(format!(
            "re-randomised: the salt was {before}, and is {salt}"
        ));
    }
    for key in ["layer", "holdout"] {
        let of = |rollout: &Value, config: &Value| match key {
            "layer" => rollout.pointer("/strategy/abTest/layer/name").cloned(),
            _ => rollout
                .pointer("/strategy/abTest")
                .and(config.pointer("/holdout/name"))
                .cloned(),
        };
        let (before, after) = (of(was, old), of(is, new));
        if let (Some(before), Some(after)) = (before, after)
            && before != after
        {
            notes.push(format!("another {key}: {before} was {after}"));
        }
    }
    if old.get("identity") != new.get("identity") {
        notes
            .push("identity changed: who is asked for in another place is another user".to_owned());
    }
    if text(was, "revision") != text(is, "revision") {
        notes.push("another revision: sticky cookies and trips are forgotten".to_owned());
    }
    for (key, what) in [
        ("match", "looks at other requests"),
        ("rules", "other rules"),
    ] {
        if was.get(key) != is.get(key) {
            notes.push(what.to_owned());
        }
    }
    match [was, is].map(|rollout| rollout.get("enabled") != Some(&Value::Bool(false))) {
        [true, false] => notes.push("switched off".to_owned()),
        [false, true] => notes.push("switched on".to_owned()),
        _ => {}
    }
    notes
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn salt(rollout: &Value) -> &str {
    match text(rollout, "salt") {
        "" => text(rollout, "name"),
        salt => salt,
    }
}

fn show(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let bold = Style::new().bold();
    for change in &report.rollouts {
        let name = &change.rollout;
        write!(out, "{bold}{name}{bold:#}: {}", change.status)?;
        if !matches!(change.status, "new" | "gone") {
            let (moved, least) = (change.moved_percent, change.minimum_percent);
            write!(
                out,
                ", {moved:.3} % of the users move (minimum {least:.3} %)"
            )?;
        }
        writeln!(out)?;
        for Move {
            from,
            to,
            users,
            percent,
        } in &change.moves
        {
            writeln!(
                out,
                "  {from} → {to}: {percent:.3} % ({users} of {})",
                report.users
            )?;
        }
        for note in &change.notes {
            writeln!(out, "  {note}")?;
        }
    }
    if report.rollouts.is_empty() {
        writeln!(out, "there are no rollouts")?;
    }
    Ok(())
}

fn markdown(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| rollout | | users who move | minimum | from → to | notes |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for change in &report.rollouts {
        let Change {
            rollout,
            status,
            moved_percent,
            minimum_percent,
            ..
        } = change;
        let moves = change.moves.iter().map(
            |Move {
                 from, to, percent, ..
             }| { format!("{from} → {to}: {percent:.3} %") },
        );
        let moves = moves.collect::<Vec<_>>().join("<br>");
        let notes = change.notes.join("<br>");
        writeln!(
            out,
            "| `{rollout}` | {status} | {moved_percent:.3} % | {minimum_percent:.3} % | {moves} | {notes} |"
        )?;
    }
    writeln!(out, "\nOf {} users.", report.users)
}

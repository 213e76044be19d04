//! What many users get, held against what the configuration says.

use divvy::decision::Reason;
use divvy::outside::Outside;
use divvy::policy::{Policy, Rollout, RolloutId, Strategy};
use serde::Serialize;
use serde_json::Value;

use super::statistics::{interval, p_value};
use crate::explain::ask::Known;
use crate::population::Visitor;

/// Below this a difference between shares is no chance.
pub const MISMATCH: f64 = 0.001;
/// Nobody looks at more pairs of experiments.
const MOST_PAIRS: usize = 190;

/// The shares of a rollout.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shares {
    /// Its name.
    pub rollout: String,
    /// How many users it decided about, rules aside.
    pub users: usize,
    /// How many a rule decided about.
    pub by_rule: usize,
    /// Its versions.
    pub versions: Vec<Seen>,
    /// How likely a difference like that between what is seen and meant is by chance.
    pub p_value: f64,
    /// Whether it is no chance: a sample-ratio mismatch.
    pub mismatch: bool,
}

/// What a version got.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Its name.
    pub version: String,
    /// How many users.
    pub users: usize,
    /// In percent.
    pub percent: f64,
    /// Where the share lies, with 95 % certainty, in percent.
    pub interval: (f64, f64),
    /// What the configuration says, in percent.
    pub meant: f64,
}

/// Two experiments, and the users whom both have.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overlap {
    /// The rollouts.
    pub rollouts: [String; 2],
    /// How many users are in both, in percent.
    pub percent: f64,
    /// How many would be if they had nothing to do with each other, in percent.
    pub by_chance: f64,
    /// How likely a connection like that between their versions is by chance, among those who
    /// are in both.
    pub p_value: f64,
}

/// What each user got in each rollout: 255 for nothing, or by a rule.
pub struct Sample {
    columns: Vec<Column>,
}

struct Column {
    versions: Vec<u8>,
    enrolled: Vec<bool>,
    by_rule: usize,
}

const NONE: u8 = u8::MAX;

/// Asks all users, for each rollout with requests that it looks at; `tick` hears of each.
pub fn sample(
    policy: &Policy,
    raw: &Value,
    users: &[String],
    now: u64,
    mut tick: impl FnMut(),
) -> Sample {
    let written = raw
        .get("rollouts")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let mut columns: Vec<_> = policy
        .rollouts
        .iter()
        .map(|_| Column {
            versions: vec![NONE; users.len()],
            enrolled: vec![false; users.len()],
            by_rule: 0,
        })
        .collect();
    // One request for all rollouts that look at the same ones.
    let mut groups: Vec<(Visitor, Vec<usize>)> = Vec::new();
    for (nth, rollout) in written.iter().enumerate() {
        let visitor = Visitor::of(raw, rollout, Some(now));
        match groups.iter_mut().find(|(other, _)| other.is_like(&visitor)) {
            Some((_, group)) => group.push(nth),
            None => groups.push((visitor, vec![nth])),
        }
    }
    for (visitor, group) in &groups {
        for (number, user) in users.iter().enumerate() {
            tick();
            visitor.decide(policy, user, |outcome| {
                for decision in &outcome.decisions {
                    let nth = usize::from(decision.rollout.0);
                    if !group.contains(&nth) {
                        continue;
                    }
                    let Some(column) = columns.get_mut(nth) else {
                        continue;
                    };
                    if decision.reason == Reason::Rule {
                        column.by_rule += 1;
                        continue;
                    }
                    column.versions[number] = u8::try_from(decision.version.0).unwrap_or(NONE);
                    let rollout = &policy.rollouts[nth];
                    column.enrolled[number] = match rollout.strategy {
                        Strategy::Canary { .. } => decision.version != rollout.stable,
                        _ => decision.reason == Reason::Split,
                    };
                }
            });
        }
    }
    Sample { columns }
}

impl Sample {
    /// What the rollouts' versions got.
    pub fn shares(&self, policy: &Policy, now: u64) -> Vec<Shares> {
        let known = Known {
            now: Some(now),
            ..Known::default()
        };
        let meant = policy.shares(&known as &dyn Outside);
        let all = policy.rollouts.iter().zip(&self.columns).zip(meant);
        all.map(|((rollout, column), meant)| {
            let users = column
                .versions
                .iter()
                .filter(|version| **version != NONE)
                .count();
            let mut versions = Vec::new();
            let (mut chi_square, mut degrees) = (0.0, 0_usize);
            for (number, version) in (0..).zip(&rollout.versions) {
                let seen = column
                    .versions
                    .iter()
                    .filter(|of| u16::from(**of) == number)
                    .count();
                let share = meant.iter().find(|(of, _)| of.0 == number);
                let share = share.map_or(0.0, |(_, share)| f64::from(share.ppm()) / 1e6);
                let expected = share * users as f64;
                if expected > 0.0 {
                    chi_square += (seen as f64 - expected).powi(2) / expected;
                    degrees += 1;
                } else if seen > 0 {
                    chi_square = f64::INFINITY;
                }
                let (from, to) = interval(seen, users);
                versions.push(Seen {
                    version: version.name.to_string(),
                    users: seen,
                    percent: 100.0 * seen as f64 / users.max(1) as f64,
                    interval: (100.0 * from, 100.0 * to),
                    meant: 100.0 * share,
                });
            }
            let p_value = match chi_square.is_finite() {
                true => p_value(chi_square, degrees.saturating_sub(1)),
                false => 0.0,
            };
            Shares {
                rollout: rollout.name.to_string(),
                users,
                by_rule: column.by_rule,
                versions,
                p_value,
                mismatch: p_value < MISMATCH,
            }
        })
        .collect()
    }

    /// How the experiments overlap, pair by pair.
    pub fn overlaps(&self, policy: &Policy) -> Vec<Overlap> {
        let draws = |rollout: &Rollout| rollout.enabled && rollout.strategy.needs_identity();
        let experiments: Vec<_> = policy
            .numbered()
            .filter(|(_, rollout)| draws(rollout))
            .collect();
        let mut overlaps = Vec::new();
        for (nth, one) in experiments.iter().enumerate() {
            for other in &experiments[nth + 1..] {
                if overlaps.len() < MOST_PAIRS {
                    overlaps.extend(self.overlap(*one, *other));
                }
            }
        }
        overlaps
    }

    fn overlap(
        &self,
        (one, first): (RolloutId, &Rollout),
        (other, second): (RolloutId, &Rollout),
    ) -> Option<Overlap> {
        let columns = [one, other].map(|id| self.columns.get(usize::from(id.0)));
        let [Some(one), Some(other)] = columns else {
            return None;
        };
        let mut table = vec![vec![0_usize; second.versions.len()]; first.versions.len()];
        let (mut all, mut both, mut in_one, mut in_other) = (0_usize, 0_usize, 0_usize, 0_usize);
        for nth in 0..one.versions.len() {
            let (row, column) = (one.versions[nth], other.versions[nth]);
            if row == NONE || column == NONE {
                continue;
            }
            all += 1;
            let enrolled = [one.enrolled[nth], other.enrolled[nth]];
            in_one += usize::from(enrolled[0]);
            in_other += usize::from(enrolled[1]);
            both += usize::from(enrolled == [true, true]);
            // Of canaries stable is an answer as well; of tests only the arms are.
            let canary =
                [first, second].map(|rollout| matches!(rollout.strategy, Strategy::Canary { .. }));
            if (enrolled[0] || canary[0]) && (enrolled[1] || canary[1]) {
                table[usize::from(row)][usize::from(column)] += 1;
            }
        }
        let share = |number: usize| number as f64 / all.max(1) as f64;
        Some(Overlap {
            rollouts: [first, second].map(|rollout| rollout.name.to_string()),
            percent: 100.0 * share(both),
            by_chance: 100.0 * share(in_one) * share(in_other),
            p_value: independence(&table),
        })
    }
}

/// How likely the rows and columns of a table are as connected as this by chance.
fn independence(table: &[Vec<usize>]) -> f64 {
    let rows: Vec<usize> = table.iter().map(|row| row.iter().sum()).collect();
    let columns: Vec<usize> = (0..table.first().map_or(0, Vec::len))
        .map(|nth| table.iter().map(|row| row[nth]).sum())
        .collect();
    let all = rows.iter().sum::<usize>() as f64;
    let mut chi_square = 0.0;
    for (row, of_row) in table.iter().zip(&rows) {
        for (seen, of_column) in row.iter().zip(&columns) {
            let expected = *of_row as f64 * *of_column as f64 / all;
            if expected > 0.0 {
                chi_square += (*seen as f64 - expected).powi(2) / expected;
            }
        }
    }
    let filled = |sums: &[usize]| {
        sums.iter()
            .filter(|sum| **sum > 0)
            .count()
            .saturating_sub(1)
    };
    p_value(chi_square, filled(&rows) * filled(&columns))
}

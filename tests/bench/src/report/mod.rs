//! Results as tables and as JSON.

mod json;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::latency::{Load, Waits};
use crate::rounds::Plan;
use crate::starts::{Memory, Start};
use crate::statistics::{Estimate, Row, Verdict, estimate};
use crate::variants::{Goal, Group, UNIT};

/// All results.
pub struct Report {
    /// Environment and extent.
    pub run: Run,
    /// One row per variant.
    pub rows: Vec<Row>,
    /// Latencies; empty if not measured.
    pub latency: Vec<(&'static str, Vec<Waits>)>,
    /// Costs of starts; empty if not measured.
    pub starts: Vec<Start>,
    /// Memory of VMs.
    pub memory: Vec<Memory>,
}

/// Environment of a run.
pub struct Run {
    /// Version of Envoy.
    pub version: String,
    /// Name and number of processors.
    pub processor: String,
    /// Whether Envoy's worker had its own processor.
    pub alone: bool,
    /// Extent of the measurement.
    pub plan: Plan,
    /// Total CPU time without a filter in microseconds per request.
    pub native: Estimate,
    /// Load of the latency measurement.
    pub load: Option<Load>,
}

impl Report {
    /// Tables by the names of their parts in a page.
    #[must_use]
    pub fn tables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("run", self.run()),
            ("paths", self.paths()),
            ("module", self.module()),
            ("references", self.references()),
            ("features", self.features()),
            ("latency", self.latency()),
            ("starts", self.starts()),
        ]
    }

    /// All tables as one page.
    #[must_use]
    pub fn page(&self) -> String {
        let headings = [
            "divvy: the cost of a request",
            "",
            "As the native module",
            "What it is held against",
            "What each feature adds to the full path",
            "Latency at half load",
            "Starts and memory",
        ];
        let mut page = String::new();
        for ((_, table), heading) in self.tables().into_iter().zip(headings) {
            if !heading.is_empty() {
                page += &format!("## {heading}\n\n");
            }
            page += &table;
            page.push('\n');
        }
        page + &self.other_build()
    }

    /// The paths with another build; empty if there is none.
    fn other_build(&self) -> String {
        let mut lines = String::new();
        for row in self.of(Group::OtherBuild) {
            let Estimate { low, median, high } = row.times_beyond;
            writeln!(
                lines,
                "| {} | {} | {} | {median:.2} ({low:.2}–{high:.2}) |",
                row.variant.name,
                figures(row),
                by_hand(row)
            )
            .unwrap_or_default();
        }
        if lines.is_empty() {
            return lines;
        }
        format!(
            "## Another build\n\n| path | µs | ratio | 95 % | by hand | times that | times this build |\n\
             |---|--:|--:|--:|--:|--:|--:|\n{lines}"
        )
    }

    fn run(&self) -> String {
        let Run {
            version,
            processor,
            alone,
            plan,
            native,
            ..
        } = &self.run;
        let place = if *alone {
            "a processor of its own"
        } else {
            "no processor of its own"
        };
        format!(
            "Envoy {version}, one worker with {place}; {processor}. Medians of {} paired rounds, \
             {} requests of each variant in each; 95 % intervals. A request without any filter \
             took {:.1} µs of the worker, the empty SDK filter {:.2} µs more.\n",
            plan.rounds,
            plan.requests,
            native.median,
            self.unit()
        )
    }

    fn unit(&self) -> f64 {
        let mut rows = self.rows.iter();
        let unit = rows.find(|row| row.variant.id == UNIT);
        unit.map_or(f64::NAN, |row| row.cost.median)
    }

    fn paths(&self) -> String {
        let mut table = "| path | µs | ratio | 95 % | goals | | by hand | divvy, times that |\n\
                         |---|--:|--:|--:|---|---|--:|--:|\n"
            .to_owned();
        for row in self.of(Group::Path) {
            let goals: Vec<_> = row.goals.iter().map(|goal| self.goal(row, goal)).collect();
            let (goals, verdicts): (Vec<_>, Vec<_>) = goals.into_iter().unzip();
            writeln!(
                table,
                "| {} | {} | {} | {} | {} |",
                row.variant.name,
                figures(row),
                goals.join("; "),
                verdicts.join("; "),
                by_hand(row)
            )
            .unwrap_or_default();
        }
        table
    }

    /// The paths as the native module.
    fn module(&self) -> String {
        let mut table =
            "| path | µs | ratio | 95 % | times wasm | goals | |\n|---|--:|--:|--:|--:|---|---|\n"
                .to_owned();
        for row in self.of(Group::Module) {
            let goals = row.goals.iter().map(|goal| self.goal(row, goal));
            let (goals, verdicts): (Vec<_>, Vec<_>) = goals.unzip();
            let Estimate { low, median, high } = row.times_beyond;
            writeln!(
                table,
                "| {} | {} | {median:.2} ({low:.2}–{high:.2}) | {} | {} |",
                row.variant.name,
                figures(row),
                goals.join("; "),
                verdicts.join("; "),
            )
            .unwrap_or_default();
        }
        table
    }

    /// A goal and its verdict. The ratio to the hand-written twin has its own column.
    fn goal(&self, row: &Row, goal: &(Goal, Estimate, Verdict)) -> (String, String) {
        let (goal, ratio, verdict) = goal;
        let verdict = word(*verdict);
        let at_most = trimmed(goal.at_most);
        if row.variant.by_hand == Some(goal.than) {
            return (format!("≤ {at_most} × by hand"), verdict.to_owned());
        }
        let mut rows = self.rows.iter();
        let other = rows.find(|row| row.variant.id == goal.than);
        let other = other.map_or(goal.than, |row| row.variant.name);
        let short = other
            .split(": ")
            .next()
            .unwrap_or(other)
            .trim_start_matches("… and ");
        let short = match goal.than {
            "one_by_path" | "module_one_by_path" => "with one",
            _ => short,
        };
        (
            format!(
                "≤ {at_most} × {short}: {:.2} ({:.2}–{:.2})",
                ratio.median, ratio.low, ratio.high
            ),
            verdict.to_owned(),
        )
    }

    fn references(&self) -> String {
        let mut table = "| | µs | ratio | 95 % |\n|---|--:|--:|--:|\n".to_owned();
        for row in self.of(Group::Reference) {
            writeln!(table, "| {} | {} |", row.variant.name, figures(row)).unwrap_or_default();
        }
        table
    }

    fn features(&self) -> String {
        let mut table = "| feature | µs | ratio | 95 % |\n|---|--:|--:|--:|\n".to_owned();
        for row in self.of(Group::Feature) {
            let Estimate { low, median, high } = row.added_ratio;
            writeln!(
                table,
                "| {} | {:+.2} | {median:+.2} | {low:+.2} to {high:+.2} |",
                row.variant.name, row.added.median
            )
            .unwrap_or_default();
        }
        table
    }

    fn latency(&self) -> String {
        let Some((load, (_, native))) = self.run.load.zip(self.latency.first()) else {
            return "Not measured in this run.\n".to_owned();
        };
        let mut table = format!(
            "{:.0} requests a second, which keeps the worker half busy without a filter; medians of \
             {} rounds.\n\n| | p50, µs | over native | p99, µs | over native |\n|---|--:|--:|--:|--:|\n",
            load.rate,
            native.len()
        );
        for (name, waits) in &self.latency {
            let of = |pick: fn(&Waits) -> f64| {
                let own: Vec<_> = waits.iter().map(pick).collect();
                let over: Vec<_> = own
                    .iter()
                    .zip(native)
                    .map(|(own, native)| own - pick(native))
                    .collect();
                let Estimate { low, median, high } = estimate(&over);
                let own = estimate(&own).median;
                format!("{own:.0} | {median:+.0} ({low:+.0} to {high:+.0})")
            };
            let (p50, p99) = (of(|waits| waits.p50), of(|waits| waits.p99));
            writeln!(table, "| {name} | {p50} | {p99} |").unwrap_or_default();
        }
        table
    }

    fn starts(&self) -> String {
        if self.starts.is_empty() {
            return "Not measured in this run.\n".to_owned();
        }
        let mut table = "| start | each worker, ms | 95 % | goal | | main thread, ms |\n\
                         |---|--:|--:|--:|---|--:|\n"
            .to_owned();
        for start in &self.starts {
            let Start {
                name,
                worker,
                goal,
                main,
            } = start;
            let at_most = Goal {
                than: "",
                at_most: *goal,
            };
            writeln!(
                table,
                "| {name} | {:.1} | {:.1}–{:.1} | < {goal} | {} | {:.1} |",
                worker.median,
                worker.low,
                worker.high,
                word(Verdict::of(&at_most, worker)),
                main.median
            )
            .unwrap_or_default();
        }
        table += "\n| memory of the process per worker | MiB | goal | |\n|---|--:|--:|---|\n";
        for Memory { name, per_vm, goal } in &self.memory {
            let verdict = if per_vm < goal {
                Verdict::Met
            } else {
                Verdict::Missed
            };
            let (per_vm, goal) = (per_vm / 1024.0, goal / 1024.0);
            let verdict = word(verdict);
            writeln!(table, "| {name} | {per_vm:.1} | < {goal} | {verdict} |").unwrap_or_default();
        }
        table
    }

    fn of(&self, group: Group) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |row| row.variant.group == group)
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Close => "within the interval",
        Verdict::Missed => "**missed**",
    }
}

fn figures(row: &Row) -> String {
    let Estimate { low, median, high } = row.ratio;
    format!("{:.2} | {median:.2} | {low:.2}–{high:.2}", row.cost.median)
}

fn by_hand(row: &Row) -> String {
    let Some((Estimate { low, median, high }, ratio)) = &row.by_hand else {
        return " | ".to_owned();
    };
    format!("{:.2} | {median:.2} ({low:.2}–{high:.2})", ratio.median)
}

fn trimmed(number: f64) -> String {
    format!("{number:.2}")
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

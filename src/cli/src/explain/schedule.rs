//! The schedule of a canary that grows over time: its steps, their begins by the clock, and gates.

use std::time::{Duration, UNIX_EPOCH};

use divvy::guardrail::{Plan, ScheduledStep, Until};
use serde::Serialize;
use serde_json::Value;

use crate::raw::{list, text};

/// One step of a canary.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepSchedule {
    /// Begin of the step, an RFC 3339 instant; `None` behind a gate that is not passed.
    pub begins: Option<String>,
    /// Whether the begin waited for the end of a pause.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub after_pause: bool,
    /// Share of the canary in percent.
    pub weight: f64,
    /// Duration of the step, `None` for a gate and for the last step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Name of the gate at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// Instant at which the gate is passed, if `passed` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed: Option<String>,
    /// Whether this is the step of the clock at the time of the request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub current: bool,
}

/// The steps of a rollout's canary; empty without `steps` and `ramp`. `raw` is the rollout as the
/// configuration writes it, `now` the time in milliseconds since 1970.
pub fn of(plan: Option<&Plan>, raw: &Value, now: Option<u64>) -> Vec<StepSchedule> {
    let Some(ramp) = plan.and_then(Plan::ramp) else {
        return Vec::new();
    };
    let current = now.and_then(|now| ramp.step(now));
    let written = list(&raw["strategy"]["canary"], "steps");
    let count = ramp.schedule().count();
    let steps = ramp.schedule().enumerate();
    let steps = steps.map(|(index, step)| {
        let is_last = index.saturating_add(1) == count;
        let gate = written.get(index).map(|step| text(step, "gate"));
        let gate = gate.filter(|gate| !gate.is_empty());
        StepSchedule {
            begins: step.begin.map(instant),
            after_pause: step.is_delayed,
            weight: f64::from(step.step.weight.ppm()) / 1e4,
            hold: hold(&step).filter(|_| !is_last),
            gate: gate.map(str::to_owned),
            passed: match step.step.until {
                Until::Gate(passed) => passed.map(instant),
                Until::Hold(_) => None,
            },
            current: current == Some(index),
        }
    });
    steps.collect()
}

fn hold(step: &ScheduledStep) -> Option<String> {
    match step.step.until {
        Until::Hold(hold) => Some(humantime::format_duration(hold).to_string()),
        Until::Gate(_) => None,
    }
}

fn instant(millis: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(millis));
    // No configuration has an instant after the year 9999, but holds may add up to one.
    let latest = Duration::from_secs(253_402_300_799);
    let time = time.filter(|_| Duration::from_millis(millis) <= latest);
    time.map_or_else(
        || "after the year 9999".to_owned(),
        |time| humantime::format_rfc3339_seconds(time).to_string(),
    )
}

/// Maximum steps in the text output before and after the current one.
const BEFORE: usize = 3;
const AFTER: usize = 8;

/// The steps around the current one as lines of text.
pub(super) fn lines(steps: &[StepSchedule]) -> Vec<String> {
    let current = steps.iter().position(|step| step.current);
    let first = current.unwrap_or(0).saturating_sub(BEFORE);
    let end = current.unwrap_or(0).saturating_add(AFTER).min(steps.len());
    let mut lines = Vec::new();
    if first > 0 {
        lines.push(format!("{first} earlier steps"));
    }
    let shown = steps.iter().skip(first).take(end.saturating_sub(first));
    lines.extend(shown.map(line));
    let left = steps.len().saturating_sub(end);
    if let Some(last) = steps.last().filter(|_| left > 0) {
        lines.push(format!("{left} later steps; the last: {}", line(last)));
    }
    lines
}

fn line(step: &StepSchedule) -> String {
    let begins = match &step.begins {
        Some(begins) if step.after_pause => format!("from {begins}, after a pause"),
        Some(begins) => format!("from {begins}"),
        None => "after a gate that is not passed".to_owned(),
    };
    let end = match (&step.hold, &step.gate, &step.passed) {
        (Some(hold), _, _) => format!(", for {hold}"),
        (None, Some(gate), Some(passed)) => format!(", until gate {gate}, passed at {passed}"),
        (None, Some(gate), None) => format!(", until gate {gate}, which is not passed"),
        (None, None, _) => String::new(),
    };
    let now = if step.current { " (now)" } else { "" };
    format!("{} % {begins}{end}{now}", step.weight)
}

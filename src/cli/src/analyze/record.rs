//! What a line means: an exposure, an outcome, a request. Must not depend on files or threads.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use divvy::assignment;
use divvy::decision::Reason;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::arms::TestArms;
use super::fields::{FieldKeys, LineValue, LineValues, LogField};
use super::goal::Goal;

/// Maximum amount of a value, either sign: the square of a sum of many stays finite.
const MAX_VALUE: f64 = 1e15;
/// Maximum duration of a request in milliseconds: a month.
const MAX_DURATION: f64 = 31.0 * 86_400_000.0;
/// Maximum length of a unit in bytes.
const MAX_UNIT: usize = 256;
/// Counters of requests cannot be analyzed.
const METRICS: &str = "is a metric, and metrics count requests: those of one user are not independent, so that a test \
    of their numbers finds differences where there are none. Use the access log, which has units";

/// What a line says of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LineRecord {
    /// The unit.
    pub unit: u64,
    /// Time in milliseconds since 1970.
    pub time: i64,
    /// The arm, if a strategy assigned it here.
    pub arm: Option<u8>,
    /// A bit for each goal that it is an outcome of.
    pub goals: u16,
    /// The amount.
    pub value: f64,
    /// Whether the request failed; `None` without a response.
    pub failed: Option<bool>,
    /// Duration of the request in milliseconds.
    pub duration: Option<f32>,
}

/// A line that is no record.
#[derive(Debug)]
pub enum LineSkip {
    /// It cannot be parsed: why.
    Malformed(String),
    /// It has no unit.
    NoUnit,
    /// It names a version that is not an arm.
    OtherVersion,
    /// It is not about this rollout and these goals.
    Unrelated,
}

/// Reads lines.
#[derive(Debug)]
pub struct LineReader<'a> {
    /// The keys of the values.
    pub keys: FieldKeys,
    /// The arms.
    pub arms: &'a TestArms,
    /// The goals.
    pub goals: &'a [Goal],
    /// Lines from this time on count, up to before the second one.
    pub window: (i64, i64),
    /// Whether the amounts of outcomes are read.
    pub with_values: bool,
}

impl LineReader<'_> {
    /// Reads a line of an access log. `name` gets the name of a unit that is a name and no hash.
    pub fn log_line(
        &self,
        line: &[u8],
        name: impl FnMut(u64, &str),
    ) -> Result<LineRecord, LineSkip> {
        let values = self.keys.read(line);
        let values = values.map_err(|error| match is_metric(line) {
            true => LineSkip::Malformed(METRICS.to_owned()),
            false => LineSkip::Malformed(error.to_string()),
        })?;
        let code = values.get(LogField::Code).number().unwrap_or_default();
        let code = if (0.0..600.0).contains(&code) {
            code as u16
        } else {
            0
        };
        let method = values.get(LogField::Method).text().unwrap_or_default();
        let path = values.get(LogField::Path).text().unwrap_or_default();
        let mut goals = 0;
        for (number, goal) in self.goals.iter().enumerate() {
            goals |= u16::from(goal.counts(method, path, code)) << number;
        }
        let arm = match self.arm(&values) {
            Err(skip @ LineSkip::Malformed(_)) => return Err(skip),
            arm => arm,
        };
        let mut record = self.record(&values, goals, arm.is_ok(), name)?;
        match arm {
            Ok(arm) => {
                record.arm = Some(arm);
                // The client went away before a response.
                let answered = code > 0;
                record.failed = answered.then_some(code >= 500 && code != 501);
                let duration = values.get(LogField::Duration).number();
                let duration =
                    duration.filter(|time| answered && (0.0..=MAX_DURATION).contains(time));
                record.duration = duration.map(|time| time as f32);
            }
            Err(skip) if goals == 0 => return Err(skip),
            Err(_) => {}
        }
        Ok(record)
    }

    /// Reads an event: unit, time, goal and value.
    pub fn event(
        &self,
        values: &LineValues<'_>,
        name: impl FnMut(u64, &str),
    ) -> Result<LineRecord, LineSkip> {
        let given = values.get(LogField::Goal).text();
        let given = given.ok_or_else(|| LineSkip::Malformed("has no goal".to_owned()))?;
        let mut goals = 0;
        for (number, goal) in self.goals.iter().enumerate() {
            goals |= u16::from(goal.name == given) << number;
        }
        self.record(values, goals, false, name)
    }

    /// The part that both kinds of lines have.
    fn record(
        &self,
        values: &LineValues<'_>,
        goals: u16,
        is_exposure: bool,
        mut name: impl FnMut(u64, &str),
    ) -> Result<LineRecord, LineSkip> {
        let malformed = |text: String| LineSkip::Malformed(text);
        let time = instant(values.get(LogField::Time));
        let time = time.ok_or_else(|| {
            let key = self.keys.key(LogField::Time);
            malformed(format!(
                "{key} is not a time such as 2026-12-01T09:00:00.250Z"
            ))
        })?;
        let number;
        let text = match values.get(LogField::Unit) {
            LineValue::Number(value) => {
                number = value.to_string();
                Some(&*number)
            }
            value => value.text(),
        };
        let text = text
            .and_then(|text| unit_of(text, self.arms))
            .ok_or(LineSkip::NoUnit)?;
        if text.len() > MAX_UNIT {
            return Err(malformed(format!(
                "the unit has more than {MAX_UNIT} bytes"
            )));
        }
        if (goals == 0 && !is_exposure) || !(self.window.0..self.window.1).contains(&time) {
            return Err(LineSkip::Unrelated);
        }
        let mut value = 0.0;
        if self.with_values && goals != 0 {
            let given = values.get(LogField::Value);
            let known = given.number().filter(|value| value.abs() <= MAX_VALUE);
            value = match (known, given) {
                (Some(value), _) => value,
                (None, LineValue::Absent) => 0.0,
                (None, _) => {
                    let key = self.keys.key(LogField::Value);
                    return Err(malformed(format!(
                        "{key} is not a number from -1e15 to 1e15"
                    )));
                }
            };
        }
        let unit = unit_key(text);
        if !is_hash(text) {
            name(unit, text);
        }
        Ok(LineRecord {
            unit,
            time,
            arm: None,
            goals,
            value,
            failed: None,
            duration: None,
        })
    }

    /// The arm that a strategy assigned, here or in an upstream proxy.
    fn arm(&self, values: &LineValues<'_>) -> Result<u8, LineSkip> {
        let text = values.get(LogField::Assignment).text();
        let text = text.ok_or(LineSkip::Unrelated)?;
        let members = assignment::dictionary(text.as_bytes());
        let Some(members) = members else {
            let key = self.keys.key(LogField::Assignment);
            return Err(LineSkip::Malformed(format!("{key} is not an assignment")));
        };
        let member = members
            .iter()
            .find(|member| *member.key == *self.arms.rollout);
        let member = member.ok_or(LineSkip::Unrelated)?;
        if !matches!(member.reason, Some(Reason::Split | Reason::Sticky)) {
            return Err(LineSkip::Unrelated);
        }
        let version = member.version.as_deref().unwrap_or_default();
        self.arms.arm(version).ok_or(LineSkip::OtherVersion)
    }
}

/// The unit of the rollout in a value such as `0123456789abcdef;checkout=fedcba9876543210`, where `none` stands for an
/// identity that the request does not have.
fn unit_of<'t>(text: &'t str, arms: &TestArms) -> Option<&'t str> {
    const NONE: &str = "none";
    let (head, parameters) = text.split_once(';').unwrap_or((text, ""));
    if !is_hash(head) && !matches!(head, "" | NONE) {
        return (!arms.own_unit).then_some(text);
    }
    let unit = if arms.own_unit {
        let mut parameters = parameters
            .split(';')
            .filter_map(|pair| pair.split_once('='));
        parameters.find(|(name, _)| *name == arms.rollout)?.1
    } else {
        head
    };
    Some(unit).filter(|unit| !matches!(*unit, "" | NONE))
}

/// Whether a line is one of Prometheus' text format.
fn is_metric(line: &[u8]) -> bool {
    ["# TYPE ", "# HELP ", "divvy_", "envoy_"]
        .iter()
        .any(|begin| line.starts_with(begin.as_bytes()))
}

/// Whether a unit is 16 hexadecimal digits.
fn is_hash(text: &str) -> bool {
    let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 16 && text.bytes().all(is_digit)
}

/// The number of a unit: its 16 hexadecimal digits, or the hash of another name.
fn unit_key(text: &str) -> u64 {
    let number = u64::from_str_radix(text, 16).ok();
    number.filter(|_| is_hash(text)).unwrap_or_else(|| {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        hasher.finish()
    })
}

/// Milliseconds since 1970 of an instant of RFC 3339, or of seconds or milliseconds since 1970.
fn instant(value: &LineValue<'_>) -> Option<i64> {
    if let LineValue::Text(text) = value
        && let Ok(time) = OffsetDateTime::parse(text, &Rfc3339)
    {
        return i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok();
    }
    let number = value
        .number()
        .filter(|number| (0.0..1e13).contains(number))?;
    // 1e11 seconds are in the year 5138, 1e11 milliseconds in 1973.
    let millis = if number < 1e11 { number * 1e3 } else { number };
    Some(millis as i64)
}

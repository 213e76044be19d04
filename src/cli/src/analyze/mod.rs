//! `divvy analyze`: results of an A/B test, by units, from access logs and events.
//!
//! Nothing here counts requests as independent: they are not, since a user sends many. The reader of assignments and the
//! configuration are those of the filter.

mod args;
pub mod arms;
mod events;
mod export;
pub mod fields;
pub mod goal;
pub mod intake;
mod latency;
pub mod ledger;
mod lines;
mod plan;
mod plot;
pub mod record;
pub mod report;
mod show;
pub mod statistics;
pub mod timeline;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::environment::time_or_now;
use crate::output::{Format, exit_code, print_json};
use crate::source::LoadedConfig;
pub use args::AnalyzeArgs;
use arms::TestArms;
use events::EventForm;
use fields::{FieldKeys, LogField};
use goal::{Goal, MAX_GOALS};
use intake::{LineCounts, ParsedBlock, UnitNames};
use ledger::UnitLedger;
use lines::LineBlock;
use plan::TestPlan;
use record::{LineReader, LineSkip};
use report::AnalysisReport;
use statistics::Confidence;

/// Runs the verb.
pub fn run(args: &AnalyzeArgs, format: Format) -> Result<ExitCode> {
    let confidence = args.confidence();
    let mut out = anstream::stdout().lock();
    if args.plan {
        let plan = TestPlan::new(&args.planned, confidence)?;
        match format {
            Format::Json => print_json(&plan, &mut out)?,
            Format::Text | Format::Markdown => plan.show(&mut out)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let analysis = Analysis::read(args)?;
    let report = analysis.report(confidence);
    if let Some(path) = &args.plot {
        plot::draw(path, &report)?;
    }
    if let Some(path) = &args.exposures {
        export::write(path, &analysis.ledger, &analysis.names, &analysis.arms)?;
    }
    match format {
        Format::Json => print_json(&report, &mut out)?,
        Format::Text | Format::Markdown => show::report(&report, &mut out)?,
    }
    Ok(exit_code(report.sample_ratio.mismatch))
}

/// The results of the logs and events that the arguments name.
pub fn report(args: &AnalyzeArgs) -> Result<AnalysisReport> {
    Ok(Analysis::read(args)?.report(args.confidence()))
}

/// The units of all files.
struct Analysis {
    arms: TestArms,
    goals: Vec<Goal>,
    with_values: bool,
    ledger: UnitLedger,
    names: UnitNames,
    lines: LineCounts,
    events: Option<LineCounts>,
}

impl Analysis {
    fn read(args: &AnalyzeArgs) -> Result<Self> {
        let config = args.config.as_deref().context("--config is missing")?;
        let rollout = args.rollout.as_deref().context("--rollout is missing")?;
        let stdin = args
            .logs
            .iter()
            .chain(&args.events)
            .map(|path| path.as_path());
        let stdin = stdin
            .chain([config])
            .filter(|path| path.as_os_str() == "-")
            .count();
        ensure!(
            stdin <= 1,
            "only one of the files can be standard input (-)"
        );
        let goals = args.goal.iter().map(|text| Goal::parse(text));
        let goals = goals.collect::<Result<Vec<_>>>()?;
        ensure!(goals.len() <= MAX_GOALS, "more than {MAX_GOALS} goals");
        let config = LoadedConfig::read(config, args.plugin.as_deref())?;
        let mut keys = FieldKeys::default().with(&args.fields)?;
        if let Some(value) = &args.value {
            keys = keys.with(&[format!("value={value}")])?;
        }
        let window = window(args)?;
        let arms = |times| TestArms::of(&config, rollout, args.control.as_deref(), times);
        // The split at the first and the last time, which are known only after the logs: of a canary that grows.
        let whole = (
            window.0.max(0).unsigned_abs(),
            window.1.min(MOST).unsigned_abs(),
        );
        let with_values = args.value.is_some();
        let reader = LineReader {
            keys,
            arms: &arms((whole.1, whole.1))?,
            goals: &goals,
            window,
            with_values,
        };
        let mut ledger = UnitLedger::new(reader.arms.names.len(), goals.len(), with_values);
        let mut names = UnitNames::default();
        let keep_names = args.exposures.is_some();
        let lines = intake::read(
            &args.logs,
            &mut ledger,
            &mut names,
            &|file, block, parsed| {
                parse(file, block, parsed, |line, _, parsed| {
                    reader
                        .log_line(line, |unit, name| keep(keep_names, parsed, unit, name))
                        .map(Some)
                });
            },
        )?;
        let mut events = (!args.events.is_empty()).then(LineCounts::default);
        for file in &args.events {
            ensure!(
                file.as_os_str() != "-",
                "--events needs a file: only logs are read from standard input"
            );
            let form = EventForm::of(file, &reader.keys)?;
            let file = std::slice::from_ref(file);
            let counts = intake::read(file, &mut ledger, &mut names, &|file, block, parsed| {
                parse(file, block, parsed, |line, number, parsed| {
                    let Some(values) = form.read(line, number)? else {
                        return Ok(None);
                    };
                    reader
                        .event(&values, |unit, name| keep(keep_names, parsed, unit, name))
                        .map(Some)
                });
            })?;
            if let Some(events) = &mut events {
                events.add(counts);
            }
        }
        refuse_nothing(&lines, &ledger, &reader)?;
        let exposed = ledger
            .exposed()
            .map(|unit| unit.exposed.max(0).unsigned_abs());
        let times = exposed.fold(None, |times: Option<(u64, u64)>, time| {
            Some(times.map_or((time, time), |(first, last)| {
                (first.min(time), last.max(time))
            }))
        });
        let times = times.context("all units were seen in two arms")?;
        Ok(Self {
            arms: arms(times)?,
            with_values,
            ledger,
            names,
            lines,
            events,
            goals,
        })
    }

    fn report(&self, confidence: Confidence) -> AnalysisReport {
        let how = (self.with_values, confidence);
        let (lines, events) = (self.lines.clone(), self.events.clone());
        AnalysisReport::new(&self.ledger, &self.arms, &self.goals, how, lines, events)
    }
}

/// The end of the year 9999 in milliseconds since 1970.
const MOST: i64 = 253_402_300_799_999;

/// The times of `--since` and `--until` in milliseconds since 1970.
fn window(args: &AnalyzeArgs) -> Result<(i64, i64)> {
    let time = |text: &Option<String>| {
        text.as_deref()
            .map(|text| time_or_now(Some(text)))
            .transpose()
    };
    let (since, until) = (time(&args.since)?, time(&args.until)?);
    let number = |time: Option<u64>, without| time.map_or(Ok(without), i64::try_from);
    let window = (number(since, 0)?, number(until, MOST)?);
    ensure!(window.0 < window.1, "--since is not before --until");
    Ok(window)
}

/// Parses the lines of a block.
fn parse(
    file: &str,
    block: &LineBlock,
    parsed: &mut ParsedBlock,
    mut line: impl FnMut(&[u8], u64, &mut ParsedBlock) -> Result<Option<record::LineRecord>, LineSkip>,
) {
    if block.too_long {
        let error = format!("is longer than {} bytes", lines::BLOCK);
        return parsed.add((file, block.first), Err(LineSkip::Malformed(error)));
    }
    let mut begin = 0;
    let ends = memchr::memchr_iter(b'\n', &block.bytes).chain([block.bytes.len()]);
    for (number, end) in (block.first..).zip(ends) {
        let text = &block.bytes[begin..end];
        begin = end + 1;
        if text.trim_ascii().is_empty() {
            continue;
        }
        match line(text, number, parsed) {
            Ok(None) => {}
            Ok(Some(record)) => parsed.add((file, number), Ok(record)),
            Err(skip) => parsed.add((file, number), Err(skip)),
        }
    }
}

fn keep(keep: bool, parsed: &mut ParsedBlock, unit: u64, name: &str) {
    if keep {
        parsed.names.push((unit, name.into()));
    }
}

/// Refuses logs from which nothing follows, with what to configure.
fn refuse_nothing(lines: &LineCounts, ledger: &UnitLedger, reader: &LineReader<'_>) -> Result<()> {
    if lines.read == 0 {
        bail!("the logs are empty");
    }
    if let Some(first) = lines
        .first_unparsed
        .as_ref()
        .filter(|_| lines.unparsed == lines.read)
    {
        let (file, line, error) = (&first.file, first.line, &first.error);
        bail!("no line of the logs can be parsed: {file}:{line}: {error}");
    }
    if ledger.exposed().next().is_some() {
        return Ok(());
    }
    let rollout = &reader.arms.rollout;
    if lines.without_unit > 0 && lines.used == 0 {
        let key = reader.keys.key(LogField::Unit);
        let own = match reader.arms.own_unit {
            true => format!(
                ", with a parameter {rollout}, since the rollout has an identity of its own"
            ),
            false => String::new(),
        };
        bail!(
            "no line has a unit in {key:?}{own}: add `unit: x-divvy-unit` to `headers` of the configuration and \
             `{key}: \"%REQ(X-DIVVY-UNIT)%\"` to the format of the access log, or name the key of a user with \
             --fields unit=KEY; requests without units cannot be analyzed, since those of one user are not independent"
        );
    }
    if ledger.crossed() > 0 {
        bail!(
            "all {} units of {rollout} were seen in two arms",
            ledger.crossed()
        );
    }
    let (read, without, others) = (lines.read, lines.without_unit, lines.other_versions);
    bail!(
        "no line has an exposure of {rollout}, a decision with the reason split or sticky: of {read} lines {without} \
         have no unit and {others} a version that is not an arm"
    )
}

/// An instant as text, from milliseconds since 1970.
fn instant_text(millis: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    let text = time.ok().and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| millis.to_string())
}

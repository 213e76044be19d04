//! Lines into units: a thread that reads, threads that parse, and this one, which adds up, in the order of the lines.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::{Result, anyhow};
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::ledger::UnitLedger;
use super::lines::{self, LineBlock};
use super::record::{LineRecord, LineSkip};
use crate::progress::Progress;

/// Blocks that wait for a thread.
const QUEUE: usize = 2;
/// Maximum number of threads that parse.
const MAX_THREADS: usize = 16;

/// Numbers of lines.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineCounts {
    /// All lines that are not empty.
    pub read: u64,
    /// Those that cannot be parsed.
    pub unparsed: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_unparsed: Option<UnparsedLine>,
    /// Those without a unit, among those that can be parsed.
    pub without_unit: u64,
    /// Those whose version is not an arm of the configuration.
    pub other_versions: u64,
    /// Exposures and outcomes.
    pub used: u64,
}

/// A line that cannot be parsed.
#[derive(Clone, Debug, Serialize)]
pub struct UnparsedLine {
    /// Path of the file.
    pub file: String,
    /// Its number, from 1.
    pub line: u64,
    /// Why.
    pub error: String,
}

/// What a thread made of a block.
#[derive(Debug, Default)]
pub struct ParsedBlock {
    /// Exposures and outcomes.
    pub records: Vec<LineRecord>,
    /// Numbers of its lines.
    pub counts: LineCounts,
    /// Names of units that are no hash.
    pub names: Vec<(u64, Box<str>)>,
}

impl ParsedBlock {
    /// Adds a line, and whether it is a record.
    pub fn add(&mut self, place: (&str, u64), line: Result<LineRecord, LineSkip>) {
        self.counts.read += 1;
        match line {
            Ok(record) => {
                self.counts.used += 1;
                self.records.push(record);
            }
            Err(LineSkip::Malformed(error)) => {
                self.counts.unparsed += 1;
                self.counts
                    .first_unparsed
                    .get_or_insert_with(|| UnparsedLine {
                        file: place.0.to_owned(),
                        line: place.1,
                        error,
                    });
            }
            Err(LineSkip::NoUnit) => self.counts.without_unit += 1,
            Err(LineSkip::OtherVersion) => self.counts.other_versions += 1,
            Err(LineSkip::Unrelated) => {}
        }
    }
}

impl LineCounts {
    /// Adds the numbers of later lines.
    pub fn add(&mut self, other: Self) {
        self.read += other.read;
        self.unparsed += other.unparsed;
        self.without_unit += other.without_unit;
        self.other_versions += other.other_versions;
        self.used += other.used;
        self.first_unparsed = self.first_unparsed.take().or(other.first_unparsed);
    }
}

/// Names of units that are no hash.
pub type UnitNames = FxHashMap<u64, Box<str>>;

/// Reads files into a ledger. `parse` gets the name of a file, its blocks and their results.
pub fn read(
    files: &[PathBuf],
    ledger: &mut UnitLedger,
    names: &mut UnitNames,
    parse: &(impl Fn(&str, &LineBlock, &mut ParsedBlock) + Sync),
) -> Result<LineCounts> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(MAX_THREADS);
    let titles: Vec<_> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let done = Arc::new(AtomicU64::new(0));
    let mut bar = Progress::new(lines::size(files));
    let mut counts = LineCounts::default();
    thread::scope(|scope| {
        let mut inputs: Vec<SyncSender<LineBlock>> = Vec::new();
        let mut outputs: Vec<Receiver<ParsedBlock>> = Vec::new();
        for _ in 0..threads {
            let (input, blocks) = sync_channel::<LineBlock>(QUEUE);
            let (results, output) = sync_channel(QUEUE);
            inputs.push(input);
            outputs.push(output);
            let titles = &titles;
            scope.spawn(move || {
                for block in blocks {
                    let mut parsed = ParsedBlock::default();
                    parse(&titles[block.file], &block, &mut parsed);
                    if results.send(parsed).is_err() {
                        break;
                    }
                }
            });
        }
        let progress = done.clone();
        let reading = scope.spawn(move || {
            let mut number = 0;
            lines::read(files, &progress, |block| {
                let input = &inputs[number % inputs.len()];
                number += 1;
                input.send(block).is_ok()
            })
        });
        // The first closed channel is the one of the block behind the last.
        for output in outputs.iter().cycle() {
            let Ok(parsed) = output.recv() else { break };
            for record in &parsed.records {
                ledger.add(record);
            }
            names.extend(parsed.names);
            counts.add(parsed.counts);
            bar.show(done.load(Ordering::Relaxed));
        }
        bar.finish();
        reading
            .join()
            .map_err(|_| anyhow!("the thread that reads has ended"))?
    })?;
    Ok(counts)
}

//! `--exposures`: the first exposure of each unit as CSV. Must not depend on results.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::arms::TestArms;
use super::instant_text;
use super::intake::UnitNames;
use super::ledger::UnitLedger;

/// Writes the exposures in the order of their time.
pub fn write(path: &Path, ledger: &UnitLedger, names: &UnitNames, arms: &TestArms) -> Result<()> {
    let title = path.display().to_string();
    // A pipe would wait for its reader.
    if path.exists() && !path.is_file() {
        bail!("{title}: is not a regular file");
    }
    let mut units: Vec<_> = ledger.exposed().collect();
    units.sort_unstable_by_key(|unit| (unit.exposed, unit.unit));
    let write = || -> Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        writeln!(out, "timestamp,unit_id,experiment_id,variation_id")?;
        for unit in units {
            let name = match names.get(&unit.unit) {
                Some(name) => cell(name),
                None => format!("{:016x}", unit.unit),
            };
            let (time, version) = (instant_text(unit.exposed), &arms.names[unit.arm]);
            writeln!(out, "{time},{name},{},{version}", arms.rollout)?;
        }
        Ok(out.flush()?)
    };
    write().context(title)
}

/// A cell, quoted if it has to be. A cell that begins like a formula is only a name here: it is not changed.
fn cell(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

//! Events that clients or services report, as lines of JSON or CSV. Must not depend on access logs.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::{Result, bail};
use csv_core::{ReadRecordResult, Reader as CsvCore};

use super::fields::{FieldKeys, LineValue, LineValues, LogField};
use super::record::LineSkip;
use crate::analyze::lines;

/// Maximum number of columns.
const MAX_COLUMNS: usize = 64;
const FIELDS: [LogField; 4] = [
    LogField::Unit,
    LogField::Time,
    LogField::Goal,
    LogField::Value,
];

/// The form of a file of events.
#[derive(Debug)]
pub enum EventForm {
    /// Lines of JSON.
    Json(FieldKeys),
    /// Lines of CSV behind a header: the column of each field.
    Csv(Vec<(LogField, usize)>),
}

impl EventForm {
    /// Reads the first line of a file.
    pub fn of(file: &PathBuf, keys: &FieldKeys) -> Result<Self> {
        let name = file.display();
        let mut first = Vec::new();
        lines::read(
            std::slice::from_ref(file),
            &std::sync::Arc::default(),
            |block| {
                let line = block.bytes.split(|byte| *byte == b'\n').next();
                first = line.unwrap_or_default().to_vec();
                false
            },
        )?;
        if first.trim_ascii_start().starts_with(b"{") {
            return Ok(Self::Json(keys.clone()));
        }
        let mut columns = Vec::new();
        let known = cells(&first, |nth, cell| {
            let field = FIELDS
                .into_iter()
                .find(|field| keys.key(*field) == cell.trim());
            columns.extend(field.map(|field| (field, nth)));
        });
        let has = |wanted| columns.iter().any(|(field, _)| *field == wanted);
        let missing = FIELDS[..3].iter().find(|field| !has(**field));
        match (known, missing) {
            (Some(()), None) => Ok(Self::Csv(columns)),
            (None, _) => bail!("{name}: is neither lines of JSON nor CSV"),
            (_, Some(field)) => {
                bail!(
                    "{name}: the first line has no column {:?}: write unit,time,goal,value",
                    keys.key(*field)
                )
            }
        }
    }

    /// The values of a line; `None` for the header.
    pub fn read<'l>(
        &self,
        line: &'l [u8],
        number: u64,
    ) -> Result<Option<LineValues<'l>>, LineSkip> {
        match self {
            Self::Json(keys) => match keys.read(line) {
                Ok(values) => Ok(Some(values)),
                Err(error) => Err(LineSkip::Malformed(error.to_string())),
            },
            Self::Csv(_) if number == 1 => Ok(None),
            Self::Csv(columns) => {
                let mut values = LineValues::default();
                let read = cells(line, |nth, cell| {
                    for (field, _) in columns.iter().filter(|(_, column)| *column == nth) {
                        let cell = Cow::Owned(cell.trim().to_owned());
                        values.set(*field, LineValue::Text(cell));
                    }
                });
                read.ok_or_else(|| LineSkip::Malformed("is not a line of CSV".to_owned()))?;
                if values.get(LogField::Value).text().is_none() {
                    values.set(LogField::Value, LineValue::Absent);
                }
                Ok(Some(values))
            }
        }
    }
}

/// Calls `each` for the cells of a line of CSV. A quoted cell ends on its line.
fn cells(line: &[u8], mut each: impl FnMut(usize, &str)) -> Option<()> {
    let mut text = vec![0; line.len() + 1];
    let mut ends = [0; MAX_COLUMNS];
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let mut reader = CsvCore::new();
    let (first, read, written, ended) = reader.read_record(line, &mut text, &mut ends);
    // The end of the input ends a record without a line break.
    let ended = if first == ReadRecordResult::Record {
        ended
    } else {
        match reader.read_record(&line[read..], &mut text[written..], &mut ends[ended..]) {
            (ReadRecordResult::Record, _, _, more) => ended + more,
            _ => return None,
        }
    };
    let mut begin = 0;
    for (nth, end) in ends[..ended].iter().enumerate() {
        each(nth, std::str::from_utf8(text.get(begin..*end)?).ok()?);
        begin = *end;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<Vec<String>> {
        let mut all = Vec::new();
        cells(line.as_bytes(), |_, cell| all.push(cell.to_owned()))?;
        Some(all)
    }

    #[test]
    fn cells_may_be_quoted_and_empty() {
        assert_eq!(split("a,b"), Some(vec!["a".into(), "b".into()]));
        assert_eq!(
            split("a,,\"b, \"\"c\"\"\","),
            Some(vec!["a".into(), "".into(), "b, \"c\"".into(), "".into()])
        );
        assert_eq!(split("a,b\r"), Some(vec!["a".into(), "b".into()]));
        assert_eq!(split(&",".repeat(MAX_COLUMNS)), None);
    }
}

//! Reads files, gzip and standard input as blocks of whole lines, with bounded memory. Must not depend on their content.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use flate2::bufread::MultiGzDecoder;

use crate::source;

/// Size of a block in bytes, and the maximum length of a line.
pub const BLOCK: usize = 1 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Whole lines of a file.
#[derive(Debug, Default)]
pub struct LineBlock {
    /// Index of the file.
    pub file: usize,
    /// Number of the first line, from 1.
    pub first: u64,
    /// The lines.
    pub bytes: Vec<u8>,
    /// Whether it stands for one line that is longer than a block, instead of `bytes`.
    pub too_long: bool,
}

/// Reads the files in their order and gives each block to `each`, until that says `false`.
pub fn read(
    files: &[PathBuf],
    done: &Arc<AtomicU64>,
    mut each: impl FnMut(LineBlock) -> bool,
) -> Result<()> {
    for (number, path) in files.iter().enumerate() {
        let mut blocks = Blocks::open(path, number, done)?;
        while let Some(block) = blocks.next().with_context(|| blocks.fault())? {
            if !each(block) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The blocks of a file.
struct Blocks {
    name: String,
    file: usize,
    input: Box<dyn Read + Send>,
    is_gzip: bool,
    line: u64,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
    at_end: bool,
}

impl Blocks {
    fn open(path: &Path, file: usize, done: &Arc<AtomicU64>) -> Result<Self> {
        let name = path.display().to_string();
        let input: Box<dyn Read + Send> = match path.as_os_str() == "-" {
            true => Box::new(io::stdin()),
            false => Box::new(source::open(path).with_context(|| name.clone())?),
        };
        let counted = CountedReader {
            input,
            done: done.clone(),
        };
        let mut input = BufReader::with_capacity(BLOCK, counted);
        let begin = input.fill_buf().with_context(|| name.clone())?;
        let is_gzip = begin.starts_with(&GZIP);
        let input: Box<dyn Read + Send> = match is_gzip {
            true => Box::new(MultiGzDecoder::new(input)),
            false => Box::new(input),
        };
        Ok(Self {
            name,
            file,
            input,
            is_gzip,
            line: 1,
            rest: Vec::new(),
            at_end: false,
        })
    }

    /// What an error of the input means.
    fn fault(&self) -> String {
        let (name, line) = (&self.name, self.line);
        match self.is_gzip {
            true => format!("{name}: the gzip data is cut off or damaged behind line {line}"),
            false => name.clone(),
        }
    }

    fn next(&mut self) -> io::Result<Option<LineBlock>> {
        if self.at_end {
            return Ok(None);
        }
        let mut bytes = std::mem::take(&mut self.rest);
        let room = (BLOCK - bytes.len()) as u64;
        (&mut self.input).take(room).read_to_end(&mut bytes)?;
        let first = self.line;
        if bytes.len() < BLOCK {
            self.at_end = true;
        } else if let Some(end) = memchr::memrchr(b'\n', &bytes) {
            self.rest = Vec::with_capacity(BLOCK);
            self.rest.extend_from_slice(&bytes[end + 1..]);
            bytes.truncate(end + 1);
        } else {
            self.skip_line(bytes)?;
            self.line += 1;
            return Ok(Some(LineBlock {
                file: self.file,
                first,
                bytes: Vec::new(),
                too_long: true,
            }));
        }
        self.line += memchr::memchr_iter(b'\n', &bytes).count() as u64;
        Ok(Some(LineBlock {
            file: self.file,
            first,
            bytes,
            too_long: false,
        }))
    }

    /// Skips up to the end of a line; `buffer` is used again.
    fn skip_line(&mut self, mut buffer: Vec<u8>) -> io::Result<()> {
        loop {
            buffer.clear();
            (&mut self.input)
                .take(BLOCK as u64 / 2)
                .read_to_end(&mut buffer)?;
            if buffer.is_empty() {
                self.at_end = true;
                return Ok(());
            }
            if let Some(end) = memchr::memchr(b'\n', &buffer) {
                buffer.drain(..=end);
                self.rest = buffer;
                return Ok(());
            }
        }
    }
}

/// Counts the bytes that were read, compressed if they are.
struct CountedReader<R> {
    input: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for CountedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let number = self.input.read(buffer)?;
        self.done.fetch_add(number as u64, Ordering::Relaxed);
        Ok(number)
    }
}

/// The size of all files in bytes; `None` with standard input.
pub fn size(files: &[PathBuf]) -> Option<u64> {
    let size = |path: &PathBuf| {
        File::open(path)
            .ok()?
            .metadata()
            .ok()
            .map(|data| data.len())
    };
    let mut all = files.iter();
    let is_file = !files
        .iter()
        .any(|path| path.as_os_str() == "-" || !path.is_file());
    is_file.then(|| all.try_fold(0, |sum, path| Some(sum + size(path)?)))?
}

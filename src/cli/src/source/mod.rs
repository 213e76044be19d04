//! Files, and divvy's configurations in them.
//!
//! A configuration stands in a file of its own (YAML or JSON), in a Kubernetes resource, or
//! in what Envoy reads, where it is JSON text inside YAML. Whatever is found keeps its
//! places: an error is about a line that somebody can go to.

mod embedded;
mod find;
mod json;
mod lines;
pub mod tree;
mod yaml;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result, bail};

pub use embedded::Mapping;
pub use find::{Found, Trouble};
pub use lines::Lines;
use tree::Node;

/// What is no YAML or JSON, and where.
#[derive(Clone, Debug)]
pub struct Syntax {
    /// Where, in bytes from the beginning.
    pub at: usize,
    /// What.
    pub message: String,
}

impl Syntax {
    fn new(at: usize, message: &str) -> Self {
        Self {
            at,
            message: message.to_owned(),
        }
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct File {
    /// What it is called, for messages.
    pub name: String,
    /// What is in it.
    pub text: String,
    /// Whether somebody named it, rather than the folder that it is in.
    pub named: bool,
}

impl File {
    /// Its documents.
    pub fn documents(&self) -> Result<Vec<Node>, Syntax> {
        let text = &self.text;
        if !text.trim_start().starts_with('{') {
            return yaml::read(text);
        }
        // A YAML flow mapping begins like JSON, and may be meant.
        json::read(text)
            .map(|document| vec![document])
            .or_else(|error| yaml::read(text).map_err(|_| error))
    }

    /// The configurations in it, and what cannot be one.
    pub fn find(&self) -> Result<Vec<Result<Found, Trouble>>, Syntax> {
        Ok(find::all(self, &self.documents()?))
    }
}

/// Reads files, all files of folders, and `-`, which is the standard input.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            read_folder(path, &mut files)?;
            if files.len() == before {
                bail!("{}: no .yaml, .yml or .json file in it", path.display());
            }
        } else {
            files.push(read(path, true)?);
        }
    }
    Ok(files)
}

/// Reads one file, or the standard input.
pub fn read(path: &Path, named: bool) -> Result<File> {
    let name = path.display().to_string();
    let bytes = if name == "-" {
        let mut bytes = Vec::new();
        io::stdin()
            .read_to_end(&mut bytes)
            .context("the standard input")?;
        bytes
    } else {
        fs::read(path).with_context(|| name.clone())?
    };
    let text = String::from_utf8(bytes)
        .ok()
        .with_context(|| format!("{name}: is not UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').to_owned();
    Ok(File { name, text, named })
}

fn read_folder(folder: &Path, files: &mut Vec<File>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(|| folder.display().to_string())?.path());
    }
    paths.sort();
    for path in paths {
        let hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_dir() && !path.is_symlink() && !hidden {
            read_folder(&path, files)?;
        } else if !hidden && matches!(ending, Some("yaml" | "yml" | "json")) {
            files.push(read(&path, false)?);
        }
    }
    Ok(())
}

/// The only configuration of a file, for the verbs that are about one.
pub fn only(path: &Path) -> Result<(File, Found)> {
    let file = read(path, true)?;
    let lines = Lines::new(&file.text);
    let placed = |at: usize, message: &str| {
        let (line, column) = lines.position(at);
        anyhow::anyhow!("{}:{line}:{column}: {message}", file.name)
    };
    let found = file
        .find()
        .map_err(|error| placed(error.at, &error.message))?;
    let mut found = found.into_iter();
    let (first, further) = (found.next(), found.next());
    let found = match (first, further) {
        (Some(found), None) => found.map_err(|error| placed(error.at, &error.message))?,
        (None, _) => bail!("{}: no divvy configuration in it", file.name),
        _ => bail!(
            "{}: several divvy configurations in it, and one is meant",
            file.name
        ),
    };
    drop(lines);
    Ok((file, found))
}

//! Files, and the documents and configurations in them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result, anyhow, bail};

use super::error::SourceError;
use super::find::{self, FoundConfig};
use super::lines::LineIndex;
use super::tree::SourceNode;
use super::{json, yaml};

/// The content of a file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Path of the file, `-` for standard input.
    pub name: String,
    /// Content of the file.
    pub text: String,
    /// Whether the path was an argument, rather than that of a folder around the file.
    pub named: bool,
}

impl SourceFile {
    /// The YAML or JSON documents.
    pub fn documents(&self) -> Result<Vec<SourceNode>, SourceError> {
        let text = &self.text;
        if !text.trim_start().starts_with('{') {
            return yaml::read(text);
        }
        // A YAML flow mapping also starts with a brace.
        let document = json::read(text);
        let documents = document.map(|document| vec![document]);
        documents.or_else(|error| yaml::read(text).map_err(|_| error))
    }

    /// The configurations in these documents; an error for each one that Envoy or Istio would
    /// not pass on to the filter.
    pub fn find(&self, documents: &[SourceNode]) -> Vec<Result<FoundConfig, SourceError>> {
        find::all(&self.text, self.named, documents)
    }

    /// The only configuration.
    pub(super) fn single(&self) -> Result<FoundConfig> {
        let name = &self.name;
        let placed = |error: SourceError| {
            let (line, column) = LineIndex::new(&self.text).position(error.offset);
            anyhow!("{name}:{line}:{column}: {}", error.message)
        };
        let documents = self.documents().map_err(placed)?;
        let mut found = self.find(&documents).into_iter();
        match (found.next(), found.next()) {
            (Some(found), None) => found.map_err(placed),
            (None, _) => bail!("{name}: contains no divvy configuration"),
            _ => bail!("{name}: contains several divvy configurations; only one is allowed here"),
        }
    }
}

/// Reads files, all files of folders, and `-`, which is standard input.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            read_folder(path, &mut files)?;
            if files.len() == before {
                bail!("{}: contains no .yaml, .yml or .json file", path.display());
            }
        } else {
            files.push(read(path, true)?);
        }
    }
    Ok(files)
}

pub(super) fn read(path: &Path, named: bool) -> Result<SourceFile> {
    let name = path.display().to_string();
    let bytes = if name == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().read_to_end(&mut bytes);
        read.context("standard input")?;
        bytes
    } else {
        fs::read(path).with_context(|| name.clone())?
    };
    let text = String::from_utf8(bytes).ok();
    let text = text.with_context(|| format!("{name}: is not UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').to_owned();
    Ok(SourceFile { name, text, named })
}

fn read_folder(folder: &Path, files: &mut Vec<SourceFile>) -> Result<()> {
    let context = || folder.display().to_string();
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        paths.push(entry.with_context(context)?.path());
    }
    paths.sort();
    for path in paths {
        let name = path.file_name();
        let hidden = name.is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() && !path.is_symlink() && !hidden {
            read_folder(&path, files)?;
        } else if !hidden && matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(read(&path, false)?);
        }
    }
    Ok(())
}

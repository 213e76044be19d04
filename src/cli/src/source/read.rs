//! Reads files, folders and standard input. Must not depend on the formats of files.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result, bail};

use super::error::SourceError;
use super::file::{Given, SourceFile};

/// Maximum size of a file in bytes: a bundle of many resources. A configuration has at most 1 MiB.
const MAX_BYTES: u64 = 32 << 20;

/// The files that the arguments name.
#[derive(Debug, Default)]
pub struct SourceSet {
    /// Files with their content.
    pub files: Vec<SourceFile>,
    /// Files of folders that were not read, with the reason.
    pub skipped: Vec<SkippedFile>,
    /// Folders among the arguments.
    pub folders: Vec<String>,
}

/// A file that was not checked.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SkippedFile {
    /// Path of the file.
    pub file: String,
    /// Why it was not checked.
    pub reason: String,
}

/// Reads files, all files of folders, and `-`, which is standard input.
pub fn read_all(paths: &[PathBuf]) -> Result<SourceSet> {
    let mut set = SourceSet::default();
    let mut seen = Vec::new();
    for path in paths {
        if path.is_dir() {
            set.folders.push(path.display().to_string());
            read_folder(path, &mut set, &mut seen)?;
        } else if is_new(path, &mut seen) {
            let given = match paths {
                [_] => Given::Alone,
                _ => Given::AmongOthers,
            };
            set.files.push(read(path, given)?);
        }
    }
    Ok(set)
}

/// Whether the file was not read before, also by another path.
fn is_new(path: &Path, seen: &mut Vec<PathBuf>) -> bool {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let is_new = !seen.contains(&path);
    seen.push(path);
    is_new
}

pub(super) fn read(path: &Path, given: Given) -> Result<SourceFile> {
    let name = path.display().to_string();
    let bytes = read_bytes(path).with_context(|| name.clone())?;
    let Ok(text) = String::from_utf8(bytes) else {
        bail!("{name}: is not UTF-8");
    };
    Ok(SourceFile::new(name, text, given))
}

/// The bytes of a file, or of standard input for `-`. Refuses what may never end: a named pipe without a writer, and
/// a device.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        let read = io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes);
        read.context("standard input")?;
    } else {
        let file = open(path)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        bail!("has more than {} MiB, the limit", MAX_BYTES >> 20);
    }
    Ok(bytes)
}

/// The text of a file that is not a configuration.
pub fn read_text(path: &Path) -> Result<String> {
    let name = path.display().to_string();
    let bytes = read_bytes(path).with_context(|| name.clone())?;
    String::from_utf8(bytes).with_context(|| format!("{name}: is not UTF-8"))
}

/// Opens a regular file, or a pipe that the shell has connected, as for `<(command)`.
pub fn open(path: &Path) -> Result<fs::File> {
    let of_shell = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"];
    let is_connected = of_shell
        .iter()
        .any(|place| path.to_string_lossy().starts_with(place));
    if !is_connected && !fs::metadata(path)?.is_file() {
        bail!("is not a regular file: write its content to one, or pipe it to `-`");
    }
    Ok(fs::File::open(path)?)
}

fn read_folder(folder: &Path, set: &mut SourceSet, seen: &mut Vec<PathBuf>) -> Result<()> {
    let context = || folder.display().to_string();
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        paths.push(entry.with_context(context)?.path());
    }
    paths.sort();
    let is_chart = paths.iter().any(|path| path.ends_with("Chart.yaml"));
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_folder = path.is_dir();
        if name.starts_with('.') || (is_folder && path.is_symlink()) {
            continue;
        }
        if is_folder {
            if is_chart && name == "templates" {
                let reason = "are Helm templates: check the output of `helm template`";
                set.skip(&path, reason);
            } else if let Err(error) = read_folder(&path, set, seen) {
                // The others are checked.
                let error = error.root_cause().to_string();
                set.files.push(SourceFile::unreadable(&path, &error));
            }
        } else if matches!(extension, Some("yaml" | "yml" | "json")) && is_new(&path, seen) {
            match read(&path, Given::InFolder) {
                Ok(file) => set.files.push(file),
                Err(error) => {
                    let reason = match error.root_cause().downcast_ref::<io::Error>() {
                        Some(error) if leads_nowhere(&path, error) => {
                            "is a link to a file that does not exist".to_owned()
                        }
                        Some(error) => {
                            let file = SourceFile::unreadable(&path, &error.to_string());
                            set.files.push(file);
                            continue;
                        }
                        None => error.root_cause().to_string(),
                    };
                    set.skip(&path, &reason);
                }
            }
        }
    }
    Ok(())
}

/// Whether a path has no file at its end: it vanished, or is a link to nothing, below a file or in a circle of links.
fn leads_nowhere(path: &Path, error: &io::Error) -> bool {
    let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
    error.kind() == io::ErrorKind::NotFound || (path.is_symlink() && !is_denied)
}

impl SourceSet {
    /// Adds a file that another one names, if it exists here and is not among them.
    pub fn add_named(&mut self, path: &Path) {
        let Ok(real) = fs::canonicalize(path) else {
            return;
        };
        let is_known =
            |file: &SourceFile| fs::canonicalize(&file.name).is_ok_and(|known| known == real);
        if !self.files.iter().any(is_known)
            && let Ok(file) = read(path, Given::AmongOthers)
        {
            self.files.push(file);
        }
    }

    /// Records a file that is not checked.
    pub fn skip(&mut self, path: &Path, reason: &str) {
        self.skipped.push(SkippedFile {
            file: path.display().to_string(),
            reason: reason.to_owned(),
        });
    }
}

impl SourceFile {
    /// A file or folder below a folder that cannot be read: the others are checked.
    fn unreadable(path: &Path, error: &str) -> Self {
        let error = SourceError::new(0, format!("cannot be read: {error}"));
        Self {
            error: Some(error),
            ..Self::new(path.display().to_string(), String::new(), Given::InFolder)
        }
    }
}

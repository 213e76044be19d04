//! The files of the page, in memory. Must not depend on the server.
//!
//! They come from the binary (feature `page`) or from a folder. Requests never reach the file system, so no path of a
//! request can leave the folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use hyper::body::Bytes;

use crate::source;

/// Maximum number of files.
const MAX_FILES: usize = 1_000;
/// Maximum depth of folders.
const MAX_DEPTH: usize = 8;

/// What the server adds to the page: by it the page knows that there is a server.
const MARK: &str = "<meta name=\"divvy-server\" content=\"1\">";

/// A file of the page.
#[derive(Clone, Debug)]
pub struct PageFile {
    /// Its media type.
    pub media: &'static str,
    /// Its content.
    pub bytes: Bytes,
}

/// The files by their path, without the first slash.
#[derive(Debug)]
pub struct PageFiles(BTreeMap<String, PageFile>);

impl PageFiles {
    /// The page in this folder, else the one in the binary, else one beside it.
    pub fn find(folder: Option<&Path>) -> Result<Self> {
        if let Some(folder) = folder {
            return Self::read(folder);
        }
        if let Some(files) = embedded() {
            return Self::new(files);
        }
        let folders = beside(&env::current_exe().unwrap_or_default());
        match folders
            .iter()
            .find(|folder| folder.join("index.html").is_file())
        {
            Some(folder) => Self::read(folder),
            None => bail!(
                "this divvy was built without the page, which the program of a release contains: `make page` writes it to target/page, and --page DIR says where it is"
            ),
        }
    }

    fn read(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        read_folder(folder, "", 0, &mut files).with_context(|| folder.display().to_string())?;
        Self::new(files).with_context(|| folder.display().to_string())
    }

    fn new(files: BTreeMap<String, Bytes>) -> Result<Self> {
        let mut files: BTreeMap<_, _> = files
            .into_iter()
            .map(|(path, bytes)| {
                let media = media(&path);
                (path, PageFile { media, bytes })
            })
            .collect();
        let index = files.get_mut("index.html").context("has no index.html")?;
        let text = std::str::from_utf8(&index.bytes).context("index.html is not UTF-8")?;
        let (before, after) = text
            .split_once("<head>")
            .context("index.html has no <head>")?;
        index.bytes = Bytes::from(format!("{before}<head>{MARK}{after}"));
        Ok(Self(files))
    }

    /// The file of a path of a URL.
    pub fn get(&self, path: &str) -> Option<&PageFile> {
        let path = path.strip_prefix('/')?;
        self.0
            .get(if path.is_empty() { "index.html" } else { path })
    }
}

/// Where the page may be: in `target` of the repository, and where a package has it.
fn beside(program: &Path) -> Vec<PathBuf> {
    let folder = program.parent().unwrap_or(Path::new("."));
    ["page", "../page", "../share/divvy/page"]
        .iter()
        .map(|place| folder.join(place))
        .collect()
}

fn read_folder(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut BTreeMap<String, Bytes>,
) -> Result<()> {
    ensure!(
        depth < MAX_DEPTH,
        "has more than {MAX_DEPTH} levels of folders"
    );
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
            continue;
        };
        let (path, kind) = (format!("{prefix}{name}"), entry.file_type()?);
        if kind.is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), depth + 1, files)?;
        } else if kind.is_file() {
            ensure!(files.len() < MAX_FILES, "has more than {MAX_FILES} files");
            let bytes = source::read_bytes(&entry.path()).with_context(|| path.clone())?;
            files.insert(path, Bytes::from(bytes));
        }
    }
    Ok(())
}

/// The media types of a page's files.
fn media(path: &str) -> &'static str {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(feature = "page")]
fn embedded() -> Option<BTreeMap<String, Bytes>> {
    use rust_embed::RustEmbed;

    #[derive(RustEmbed)]
    #[folder = "../../target/page"]
    struct EmbeddedPage;

    let bytes = |path: &str| match EmbeddedPage::get(path)?.data {
        std::borrow::Cow::Borrowed(bytes) => Some(Bytes::from_static(bytes)),
        std::borrow::Cow::Owned(bytes) => Some(Bytes::from(bytes)),
    };
    let files = EmbeddedPage::iter().filter_map(|path| Some((path.to_string(), bytes(&path)?)));
    Some(files.collect())
}

#[cfg(not(feature = "page"))]
fn embedded() -> Option<BTreeMap<String, Bytes>> {
    None
}

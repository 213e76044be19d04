//! A file, and the documents and configurations in it.

use anyhow::{Result, anyhow, bail};

use super::document::{SourceDocument, embedded};
use super::embedded::OffsetMap;
use super::error::SourceError;
use super::find::{self, FoundConfig};
use super::lines::{LineIndex, LinedText};
use super::tree::{SourceNode, YamlVersion};
use super::{json, merge, yaml};

/// The content of a file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Path of the file, `-` for standard input.
    pub name: String,
    /// Content of the file.
    pub text: String,
    /// How the arguments named it.
    pub given: Given,
    /// Why it could not be read.
    pub error: Option<SourceError>,
}

/// How the arguments named a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// As the only argument.
    Alone,
    /// With other arguments.
    AmongOthers,
    /// By a folder around it, which also contains files that are not divvy's.
    InFolder,
}

/// The documents of a file, or why it has none.
#[derive(Debug)]
pub enum Content {
    /// Its documents; empty if it has only comments.
    Documents(Vec<SourceDocument>),
    /// A file that is not divvy's, with the reason why it is skipped.
    Foreign(String),
    /// A file that may be divvy's and cannot be read.
    Error(SourceError),
}

impl SourceFile {
    /// A file with this text.
    pub fn new(name: String, text: String, given: Given) -> Self {
        // The filter refuses a byte order mark in JSON; YAML may have one.
        let is_json = is_json(&name);
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) if !is_json => rest.to_owned(),
            _ => text,
        };
        Self {
            name,
            text,
            given,
            error: None,
        }
    }

    /// The documents of the file, also those in the texts of ConfigMaps.
    pub fn content(&self) -> Content {
        if let Some(error) = &self.error {
            return Content::Error(error.clone());
        }
        let roots = match self.roots() {
            Ok(roots) => roots,
            Err(error) => return self.unread(error),
        };
        let mut documents = Vec::new();
        let text = LinedText::new(&self.text);
        for root in roots {
            if root.is_null() {
                continue;
            }
            let document = SourceDocument::new(text.clone(), root, OffsetMap::From(0));
            let inner = embedded(&document);
            documents.push(document);
            for inner in inner {
                match inner {
                    Ok(inner) => documents.push(inner),
                    Err(error) => return Content::Error(error),
                }
            }
        }
        Content::Documents(documents)
    }

    /// The YAML or JSON documents.
    fn roots(&self) -> Result<Vec<SourceNode>, SourceError> {
        parse(&self.text, is_json(&self.name))
    }

    /// A file that is neither YAML nor JSON.
    fn unread(&self, error: SourceError) -> Content {
        let is_template = self.text.contains("{{");
        let message = match is_template {
            true => "is a template: check what it renders, such as the output of `helm template`",
            false => &error.message,
        };
        if self.given != Given::InFolder || (!is_template && mentions_divvy(&self.text)) {
            let message = message.to_owned();
            return Content::Error(SourceError { message, ..error });
        }
        let line = LineIndex::new(&self.text).position(error.offset).0;
        Content::Foreign(match is_template {
            true => message.to_owned(),
            false => format!("line {line} is {message}"),
        })
    }

    /// The configurations in these documents; an error for each one that Envoy or Istio would
    /// not pass on to the filter.
    pub fn find(&self, documents: &[SourceDocument]) -> Vec<Result<FoundConfig, SourceError>> {
        find::all(self.given, documents)
    }

    /// The only configuration, or the one of this name.
    pub(super) fn single(&self, plugin: Option<&str>) -> Result<FoundConfig> {
        let name = &self.name;
        let placed = |error: SourceError| {
            let (line, column) = LineIndex::new(&self.text).position(error.offset);
            anyhow!("{name}:{line}:{column}: {}", error.message)
        };
        let documents = match self.content() {
            Content::Documents(documents) => documents,
            Content::Error(error) => return Err(placed(error)),
            Content::Foreign(reason) => bail!("{name}: {reason}"),
        };
        let mut found = self.find(&documents);
        let names = |found: &[Result<FoundConfig, SourceError>]| {
            let all = found.iter().flatten();
            let all = all.map(|found| found.names.first().map_or("(no name)", String::as_str));
            all.collect::<Vec<_>>().join(", ")
        };
        if let Some(plugin) = plugin {
            let all = names(&found);
            found.retain(|found| {
                let found = found.as_ref().ok();
                found.is_some_and(|found| found.names.iter().any(|name| name == plugin))
            });
            if found.is_empty() {
                bail!("{name}: has no configuration of the plugin {plugin:?}; it has: {all}");
            }
        }
        let several = found.len() > 1;
        let all = names(&found);
        match found.into_iter().next() {
            None => bail!("{name}: contains no divvy configuration"),
            Some(_) if several => {
                bail!(
                    "{name}: contains several divvy configurations: choose one with --plugin: {all}"
                )
            }
            Some(found) => found.map_err(placed),
        }
    }
}

/// Parses a text as JSON alone, or as YAML or JSON.
pub(super) fn parse(text: &str, is_json: bool) -> Result<Vec<SourceNode>, SourceError> {
    if is_json && !text.trim().is_empty() {
        return Ok(vec![json::read(text)?]);
    }
    if text.trim_start().starts_with('{')
        && let Ok(document) = json::read(text)
    {
        return Ok(vec![document]);
    }
    let mut roots = yaml::read(text).map_err(|error| {
        // A YAML flow mapping also starts with a brace.
        match text.trim_start().starts_with('{') {
            true => json::read(text).err().unwrap_or(error),
            false => error,
        }
    })?;
    for root in &mut roots {
        let version = match is_resource(root) {
            true => YamlVersion::V11,
            false => YamlVersion::V12,
        };
        merge::resolve(root, version);
    }
    Ok(roots)
}

/// Whether a document is a Kubernetes resource.
pub(super) fn is_resource(root: &SourceNode) -> bool {
    root.get("kind").is_some() && root.get("apiVersion").is_some()
}

fn is_json(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".json")
}

/// Whether a text that cannot be parsed seems to be a configuration of divvy.
pub(super) fn mentions_divvy(text: &str) -> bool {
    text.contains("divvy")
        || text.lines().any(|line| {
            let line = line.trim_start_matches([' ', '-', '"', '\'', '{', '\u{feff}']);
            line.starts_with("rollouts:") || line.starts_with("rollouts\":")
        })
}

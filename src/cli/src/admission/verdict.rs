//! What `divvy check` says about one Kubernetes object. Must not depend on HTTP; reads no files, because the object is
//! that of a stranger.

use divvy::config;

use crate::near;
use crate::source::{Content, FoundConfig, Given, SourceFile};
use crate::warnings::{self, Examined, Surroundings};

/// The findings of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Number of configurations in the object, valid or not.
    pub configurations: usize,
    /// Why the filter would refuse a configuration.
    pub errors: Vec<String>,
    /// Warnings about valid configurations.
    pub warnings: Vec<String>,
}

/// Examines an object, which is JSON text. The filter's own compiler decides.
pub fn examine(name: &str, json: String) -> Verdict {
    let file = SourceFile::new(name.to_owned(), json, Given::AmongOthers);
    let mut verdict = Verdict::default();
    let documents = match file.content() {
        Content::Documents(documents) => documents,
        Content::Error(error) => {
            verdict.errors.push(error.message);
            return verdict;
        }
        Content::Foreign(_) => return verdict,
    };
    let mut surroundings = Surroundings {
        is_remote: true,
        ..Surroundings::default()
    };
    surroundings.add(0, &documents);
    let found = file.find(&documents);
    verdict.configurations = found.len();
    let is_single = found.len() == 1;
    let mut examined = Vec::new();
    for found in found {
        match found {
            Err(error) => verdict.errors.push(error.message),
            Ok(found) => examined.extend(compile(&file, found, is_single, &mut verdict)),
        }
    }
    for one in &examined {
        let label = label(&one.found, is_single);
        let found = warnings::find(one, &surroundings, None);
        let lines = found.iter().map(|warning| label.clone() + &shown(warning));
        verdict.warnings.extend(lines);
    }
    let around = warnings::find_around(&examined, &surroundings);
    verdict.warnings.extend(around.iter().map(shown));
    verdict
}

fn compile(
    file: &SourceFile,
    found: FoundConfig,
    is_single: bool,
    verdict: &mut Verdict,
) -> Option<Examined> {
    match config::parse(&found.bytes) {
        Ok(policy) => Some(Examined {
            file: 0,
            file_name: file.name.clone(),
            policy,
            raw: serde_json::from_slice(&found.bytes).unwrap_or_default(),
            found,
        }),
        Err(errors) => {
            let label = label(&found, is_single);
            for error in errors.iter() {
                let hint = near::suggestion(&error.kind);
                let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
                let (place, message) = (placed(&error.path), &error.message);
                let line = format!("{label}{place}: {message}{hint}");
                verdict.errors.push(line);
            }
            if errors.further() > 0 {
                let more = format!("{label}and {} more", errors.further());
                verdict.errors.push(more);
            }
            None
        }
    }
}

fn shown(warning: &warnings::Warning) -> String {
    let (place, message) = (placed(&warning.path), &warning.message);
    format!("{place}: {message} [{}]", warning.kind.name())
}

/// The path of a finding, as `divvy check` prints it.
fn placed(path: &str) -> &str {
    match path {
        "" => "configuration",
        path => path,
    }
}

/// Names one of several configurations.
fn label(found: &FoundConfig, is_single: bool) -> String {
    match found.names.first() {
        Some(name) if !is_single => format!("{name}: "),
        _ => String::new(),
    }
}

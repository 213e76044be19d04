//! Examines the given files: each configuration by itself, then all files together.

use std::path::Path;

use divvy::config;
use divvy::signature::KeyRing;

use super::log::{Entry, FindingLog};
use crate::finding::Finding;
use crate::source::{
    Content, FoundConfig, Given, SkippedFile, SourceDocument, SourceFile, SourceSet,
};
use crate::warnings::{self, Examined, Kind, Surroundings, WarningPlace};

/// Maximum number of configurations, each of which is compared with all others.
const MAX_CONFIGURATIONS: usize = 10_000;

/// What was found.
#[derive(Debug)]
pub(super) struct Examination {
    /// Number of files that were read.
    pub files: usize,
    /// Number of configurations, valid or not.
    pub configurations: usize,
    /// Errors and warnings, by file.
    pub findings: Vec<Finding>,
    /// Files that were not checked.
    pub skipped: Vec<SkippedFile>,
}

/// Examines all files.
pub(super) fn all(mut set: SourceSet, rps: Option<f64>, keys: &KeyRing) -> Examination {
    let mut log = FindingLog::default();
    let mut documents: Vec<Vec<SourceDocument>> = Vec::new();
    let mut skipped = std::mem::take(&mut set.skipped);
    // Files that a bootstrap names are added to the end.
    while let Some(file) = set.files.get(documents.len()) {
        let content = match file.content() {
            Content::Documents(documents) => documents,
            Content::Foreign(reason) => {
                skip(&mut skipped, file, reason);
                Vec::new()
            }
            Content::Error(error) => {
                log.add(file, Entry::error(error.offset, "", error.message));
                Vec::new()
            }
        };
        for path in content.iter().filter_map(discovered) {
            set.add_named(Path::new(&path));
        }
        documents.push(content);
    }
    let mut surroundings = Surroundings::default();
    for (index, documents) in documents.iter().enumerate() {
        surroundings.add(index, documents);
    }
    let mut examined = Vec::new();
    let mut without = Vec::new();
    let mut configurations = 0;
    for (index, (file, documents)) in set.files.iter().zip(&documents).enumerate() {
        let found = file.find(documents);
        configurations += found.len();
        if configurations > MAX_CONFIGURATIONS {
            let message = format!(
                "there are more than {MAX_CONFIGURATIONS} configurations up to here, the limit: check fewer files at a time"
            );
            log.add(file, Entry::error(0, "", message));
            break;
        }
        if found.is_empty() {
            without.push(index);
        }
        for found in found {
            match found {
                Err(error) => log.add(file, Entry::error(error.offset, "", error.message)),
                Ok(found) => examined.extend(compile((index, file), found, keys, &mut log)),
            }
        }
    }
    for index in without {
        let (file, documents) = (&set.files[index], &documents[index]);
        no_configuration(
            file,
            documents,
            (configurations, index),
            &surroundings,
            &mut log,
            &mut skipped,
        );
    }
    if configurations == 0 && log.findings.is_empty() {
        for folder in &set.folders {
            log.add_whole(folder, "the folder contains no divvy configuration");
        }
    }
    for one in &examined {
        for warning in warnings::find(one, &surroundings, rps) {
            add_warning(&set, Some(one), warning, &mut log);
        }
    }
    for warning in warnings::find_around(&examined, &surroundings) {
        add_warning(&set, None, warning, &mut log);
    }
    let mut findings = log.findings;
    let order = |finding: &Finding| {
        let mut files = set.files.iter();
        files.position(|file| file.name == finding.file)
    };
    // Of one file, the errors of each configuration stay together.
    findings.sort_by_key(order);
    Examination {
        files: set.files.len(),
        configurations,
        findings,
        skipped,
    }
}

fn skip(skipped: &mut Vec<SkippedFile>, file: &SourceFile, reason: impl Into<String>) {
    skipped.push(SkippedFile {
        file: file.name.clone(),
        reason: reason.into(),
    });
}

fn compile(
    (index, file): (usize, &SourceFile),
    found: FoundConfig,
    keys: &KeyRing,
    log: &mut FindingLog,
) -> Option<Examined> {
    match config::parse_with(&found.bytes, keys) {
        Ok(policy) => Some(Examined {
            file: index,
            file_name: file.name.clone(),
            policy,
            raw: serde_json::from_slice(&found.bytes).unwrap_or_default(),
            found,
        }),
        Err(errors) => {
            for error in errors.iter() {
                log.add_error(file, &found, error);
            }
            if errors.further() > 0 {
                let message = format!("and {} more", errors.further());
                log.add(file, Entry::error(found.offset_of("", None), "", message));
            }
            None
        }
    }
}

fn add_warning(
    set: &SourceSet,
    one: Option<&Examined>,
    warning: warnings::Warning,
    log: &mut FindingLog,
) {
    let (file, offset) = match (warning.place, one) {
        (WarningPlace::File(place), _) => (place.file, place.offset),
        (WarningPlace::Configuration, Some(one)) => {
            (one.file, one.found.offset_of(&warning.path, None))
        }
        (WarningPlace::Configuration, None) => return,
    };
    let entry = Entry::warning(warning.kind, offset, &warning.path, warning.message);
    log.add(&set.files[file], entry);
}

/// A file without a configuration: a finding if it was to have one.
fn no_configuration(
    file: &SourceFile,
    documents: &[SourceDocument],
    (configurations, index): (usize, usize),
    surroundings: &Surroundings,
    log: &mut FindingLog,
    skipped: &mut Vec<SkippedFile>,
) {
    let is_reported = log.findings.iter().any(|finding| finding.file == file.name);
    if file.given == Given::InFolder {
        if documents.iter().any(is_patch) {
            let reason = "is a Kustomize patch: check the output of `kustomize build`";
            skip(skipped, file, reason);
        }
        return;
    }
    if is_reported || skipped.iter().any(|skipped| skipped.file == file.name) {
        return;
    }
    if documents.is_empty() {
        let message =
            "the input is empty: there is no configuration to check; {} is one without rollouts";
        log.add(file, Entry::error(0, "", message));
        return;
    }
    if configurations > 0 {
        // Given for its routes or clusters, or by a pattern such as *.yaml.
        return;
    }
    // With config_discovery Envoy reads the filter from another file.
    if let Some(path) = documents.iter().find_map(discovered) {
        let message = format!(
            "reads the configuration from {path}, which does not exist here: check both files together"
        );
        let entry = Entry::warning(Kind::ConfigurationElsewhere, 0, "config_discovery", message);
        log.add(file, entry);
        return;
    }
    let mut message = "the file contains no divvy configuration".to_owned();
    if let Some((_, name)) = surroundings
        .other_splits
        .iter()
        .find(|(file, _)| *file == index)
    {
        message += &format!(
            "; {name} splits traffic by itself: envoy/docs/MIGRATING.md shows the rollout and the routes that replace it, \
             and `divvy check` reads the file with the WasmPlugin together with this one"
        );
    }
    log.add(file, Entry::error(0, "", message));
}

/// Whether a document is a patch of a plugin, which is not complete without its base.
fn is_patch(document: &SourceDocument) -> bool {
    let root = &document.root;
    let kind = root.get("kind").and_then(|kind| kind.text());
    let spec = root.get("spec");
    match kind {
        Some("WasmPlugin") => spec.is_some_and(|spec| spec.get("url").is_none()),
        Some("TrafficExtension") => {
            let wasm = root.at(&["spec", "wasm"]);
            wasm.is_some_and(|wasm| wasm.get("url").is_none())
        }
        _ => false,
    }
}

/// The path of the file from which a Wasm filter is discovered.
fn discovered(document: &SourceDocument) -> Option<String> {
    let mut path = None;
    document.root.walk(&mut |node| {
        let Some(discovery) = node.get("config_discovery") else {
            return;
        };
        let file = discovery.at(&["config_source", "path_config_source", "path"]);
        let name = file.and_then(|file| file.text()).unwrap_or("PLUGIN.yaml");
        path.get_or_insert_with(|| name.to_owned());
    });
    path
}

//! Merge keys: `<<` puts the entries of other objects into an object. Must not depend on files.

use super::tree::{NodeKind, SourceEntry, SourceNode, YamlVersion};

/// Replaces the merge keys of a document by the entries that they stand for.
///
/// An entry that the object itself has counts, as the specification says. Kubernetes differs: of equal keys the
/// last one counts, so entries that stand before the merge key are replaced.
pub fn resolve(node: &mut SourceNode, version: YamlVersion) {
    match &mut node.kind {
        NodeKind::Scalar(_) => {}
        NodeKind::List(elements) => {
            for element in elements {
                resolve(element, version);
            }
        }
        NodeKind::Map(entries) => {
            for entry in entries.iter_mut() {
                resolve(&mut entry.value, version);
            }
            if entries.iter().any(is_merge) {
                merge(entries, version);
            }
        }
    }
}

fn is_merge(entry: &SourceEntry) -> bool {
    entry.key == "<<" && entry.is_plain
}

fn merge(entries: &mut Vec<SourceEntry>, version: YamlVersion) {
    let all = std::mem::take(entries);
    // Own keys that stand anywhere, for the rule of the specification.
    let own: Vec<String> = all
        .iter()
        .filter(|entry| !is_merge(entry))
        .map(|entry| entry.key.clone())
        .collect();
    // Each entry with whether it was merged.
    let mut merged: Vec<(SourceEntry, bool)> = Vec::new();
    for entry in all {
        if !is_merge(&entry) {
            // An own entry replaces a merged one, and is a duplicate of another own one.
            merged.retain(|(known, is_merged)| !is_merged || known.key != entry.key);
            merged.push((entry, false));
            continue;
        }
        let start = entry.start;
        for mut added in others(entry.value) {
            // The position of an error is that of the merge key.
            added.start = start;
            match version {
                YamlVersion::V12 if own.contains(&added.key) => {}
                _ => {
                    merged.retain(|(known, _)| known.key != added.key);
                    merged.push((added, true));
                }
            }
        }
    }
    entries.extend(merged.into_iter().map(|(entry, _)| entry));
}

/// The entries of an object or of several objects, of which the first counts.
fn others(value: SourceNode) -> Vec<SourceEntry> {
    match value.kind {
        NodeKind::Map(entries) => entries,
        NodeKind::List(elements) => {
            let mut all: Vec<SourceEntry> = Vec::new();
            for entry in elements.into_iter().flat_map(others) {
                if all.iter().all(|known| known.key != entry.key) {
                    all.push(entry);
                }
            }
            all
        }
        NodeKind::Scalar(_) => Vec::new(),
    }
}

//! Adds a passed gate to a file by inserting text at one place. All other bytes stay; the new text is read again, and
//! refused if anything else has another value.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::gates::OpenGate;
use crate::manifest::json::quoted;
use crate::manifest::yaml::scalar;
use crate::source::tree::{SourceEntry, SourceNode, YamlVersion};
use crate::source::{Content, FoundConfig, SourceFile};

/// A file before and after.
#[derive(Debug)]
pub(super) struct Edited {
    pub old: String,
    pub new: String,
}

/// A text that is inserted.
struct Insertion {
    offset: usize,
    text: String,
}

/// Adds the gate to `passed`.
pub(super) fn pass(
    file: &SourceFile,
    found: &FoundConfig,
    gate: &OpenGate,
    at: &str,
) -> Result<Edited> {
    let tree = found.tree.as_ref().context("it is not YAML or JSON")?;
    let rollouts = tree.get("rollouts").map_or(&[][..], SourceNode::elements);
    let canary = rollouts
        .get(gate.index)
        .and_then(|rollout| rollout.at(&["strategy", "canary"]));
    let canary = canary.context("it has no canary there")?;
    let place = PlacesInFile {
        text: &file.text,
        found,
    };
    let insertion = match canary.get("passed") {
        Some(passed) => place.element(passed, gate, at),
        None => place.entry(canary, gate, at),
    };
    let insertion = insertion
        .context("its text is folded, encoded or written by an alias: add the gate by hand")?;
    let (before, after) = file
        .text
        .split_at_checked(insertion.offset)
        .context("it has another encoding")?;
    let new = [before, &insertion.text, after].concat();
    verify(file, found, &new, gate, at).context("add the gate by hand")?;
    Ok(Edited {
        old: file.text.clone(),
        new,
    })
}

/// Finds places in a file.
struct PlacesInFile<'f> {
    text: &'f str,
    found: &'f FoundConfig,
}

impl PlacesInFile<'_> {
    fn in_file(&self, offset: usize) -> usize {
        self.found.offsets.in_file(offset)
    }

    /// The text of the file from an offset of the configuration.
    fn from(&self, offset: usize) -> Option<&str> {
        self.text.get(self.in_file(offset)..)
    }

    /// The start of the line of an offset in the file.
    fn line_start(&self, offset: usize) -> Option<usize> {
        Some(
            self.text
                .get(..offset)?
                .rfind('\n')
                .map_or(0, |end| end + 1),
        )
    }

    /// A new line behind the one of an offset in the file.
    fn line_behind(&self, offset: usize, line: &str) -> Option<Insertion> {
        let rest = self.text.get(offset..)?;
        let end = offset + rest.find('\n').unwrap_or(rest.len());
        let is_windows = self.text.get(..end)?.ends_with('\r');
        let offset = if is_windows { end - 1 } else { end };
        let text = match is_windows {
            true => format!("\r\n{line}"),
            false => format!("\n{line}"),
        };
        Some(Insertion { offset, text })
    }

    /// The end of a node in the file, without white space.
    fn end(&self, node: &SourceNode) -> Option<usize> {
        // The last byte of the node, because an offset behind it may be in another line of the file.
        let end = self.in_file(node.end.checked_sub(1)?) + 1;
        Some(self.text.get(..end)?.trim_end().len())
    }

    /// Adds `passed` behind `steps`.
    fn entry(&self, canary: &SourceNode, gate: &OpenGate, at: &str) -> Option<Insertion> {
        let steps = canary.entries().iter().find(|entry| entry.key == "steps")?;
        let is_json = self.from(steps.start)?.starts_with('"');
        let entry = passed(is_json, &format!("[{}]", element(is_json, gate, at)));
        let end = self.end(&steps.value)?;
        let key = self.in_file(steps.start);
        let line = self.line_start(key)?;
        let indent = self.text.get(line..key)?;
        if self.from(canary.start)?.starts_with('{') {
            // In a line of its own if `steps` is.
            let is_own = indent.trim().is_empty() && !indent.is_empty();
            let text = match is_own {
                true => format!(",\n{indent}{entry}"),
                false => format!(", {entry}"),
            };
            return Some(Insertion { offset: end, text });
        }
        let indent = " ".repeat(indent.chars().count());
        self.line_behind(end, &format!("{indent}{entry}"))
    }

    /// Adds an element to the list.
    fn element(&self, list: &SourceNode, gate: &OpenGate, at: &str) -> Option<Insertion> {
        let is_json = |node: &SourceNode| {
            let mut keys = node.entries().iter().map(|entry: &SourceEntry| entry.start);
            keys.next()
                .and_then(|key| self.from(key))
                .is_some_and(|text| text.starts_with('"'))
        };
        let is_flow = self.from(list.start)?.starts_with('[');
        let Some(last) = list.elements().last() else {
            // Whether the keys have quotes is unknown; both readers accept them.
            let text = element(true, gate, at);
            let offset = self.in_file(list.start) + 1;
            return is_flow.then_some(Insertion { offset, text });
        };
        let new = element(is_json(last), gate, at);
        let end = self.end(last)?;
        let start = self.in_file(last.start);
        let line = self.line_start(start)?;
        let before = self.text.get(line..start)?;
        if is_flow {
            let is_own = before.trim().is_empty() && !before.is_empty();
            let text = match is_own {
                true => format!(",\n{before}{new}"),
                false => format!(", {new}"),
            };
            return Some(Insertion { offset: end, text });
        }
        (before.trim() == "-").then_some(())?;
        self.line_behind(end, &format!("{before}{new}"))
    }
}

fn passed(is_json: bool, list: &str) -> String {
    match is_json {
        true => format!("\"passed\": {list}"),
        false => format!("passed: {list}"),
    }
}

fn element(is_json: bool, gate: &OpenGate, at: &str) -> String {
    let at = quoted(at);
    match is_json {
        true => format!("{{\"gate\": {}, \"at\": {at}}}", quoted(&gate.name)),
        false => format!("{{gate: {}, at: {at}}}", scalar(&gate.name)),
    }
}

/// An error if the new text has anything else than the added gate.
fn verify(
    file: &SourceFile,
    found: &FoundConfig,
    new: &str,
    gate: &OpenGate,
    at: &str,
) -> Result<()> {
    let changed = SourceFile {
        text: new.to_owned(),
        ..file.clone()
    };
    let (before, after) = (Values::of(file)?, Values::of(&changed)?);
    let same_counts = before.documents.len() == after.documents.len()
        && before.configs.len() == after.configs.len();
    // A document in the text of another one differs by itself and as this text.
    let mut documents = before.documents.iter().zip(&after.documents);
    if !same_counts || documents.any(|(old, new)| differences(old, new) > 1) {
        bail!("the new text would change another value too");
    }
    let expected = expected(&found.bytes, gate, at)?;
    let pairs = before.configs.iter().zip(&after.configs);
    let mut changed = pairs.filter(|(old, new)| old != new);
    match (changed.next(), changed.next()) {
        (Some((_, new)), None) if *new == expected => {}
        _ => bail!("the new text would have another configuration"),
    }
    divvy::config::parse(expected.to_string().as_bytes())?;
    Ok(())
}

/// What a file contains.
struct Values {
    /// Its documents, also those in the texts of a ConfigMap.
    documents: Vec<Value>,
    /// Its configurations.
    configs: Vec<Value>,
}

impl Values {
    fn of(file: &SourceFile) -> Result<Self> {
        let Content::Documents(documents) = file.content() else {
            bail!("the new text cannot be read");
        };
        let parsed = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
        let json = documents
            .iter()
            .map(|document| document.root.to_json(YamlVersion::V11));
        let configs = file.find(&documents).into_iter().flatten();
        Ok(Self {
            documents: json.map(|json| parsed(json.as_bytes())).collect(),
            configs: configs.map(|config| parsed(&config.bytes)).collect(),
        })
    }
}

/// Number of values that are added, removed or changed.
fn differences(old: &Value, new: &Value) -> usize {
    match (old, new) {
        (Value::Array(old), Value::Array(new)) => {
            let pairs = old.iter().zip(new);
            let changed: usize = pairs.map(|(old, new)| differences(old, new)).sum();
            changed + old.len().abs_diff(new.len())
        }
        (Value::Object(old), Value::Object(new)) => {
            let kept = old
                .iter()
                .filter_map(|(key, old)| Some((old, new.get(key)?)));
            let changed: usize = kept.clone().map(|(old, new)| differences(old, new)).sum();
            changed + (old.len() - kept.clone().count()) + (new.len() - kept.count())
        }
        (old, new) => usize::from(old != new),
    }
}

/// The configuration with the gate.
fn expected(bytes: &[u8], gate: &OpenGate, at: &str) -> Result<Value> {
    let mut config: Value = serde_json::from_slice(bytes)?;
    let canary = config.pointer_mut(&format!("/rollouts/{}/strategy/canary", gate.index));
    let canary = canary.and_then(Value::as_object_mut).context("no canary")?;
    let list = canary.entry("passed").or_insert_with(|| json!([]));
    let list = list.as_array_mut().context("passed is not a list")?;
    list.push(json!({"gate": gate.name, "at": at}));
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::super::gates;
    use super::*;
    use crate::source::LoadedConfig;

    /// A resource with anchors, quotes, comments and texts of more than one byte per character.
    const RICH: &str = "\
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: divvy, labels: {a: \"é\\n\"}}
spec:
  pluginConfig:
    identity: [{random: true}]   # 😀
    rollouts:
    - &r
      name: a
      versions: [{name: 'v1'}, {name: v2}]
      stable: v1
      strategy:
        canary: {version: v2, start: \"2026-12-01T09:00:00Z\", steps:
          [{weight: 5, gate: qa}, {weight: 100}]}
    - {<<: *r, name: b}
  url: >-
    oci://a/divvy
";

    /// Passes the first gate that waits, if the text has a valid configuration with one.
    fn pass_in(text: &str) -> Option<Result<Edited>> {
        let (file, found) = LoadedConfig::find_in(text, None).ok()?;
        let config = LoadedConfig::of(&file, &found).ok()?;
        let gate = gates::choose(&config.raw, Some("a"), None).ok()?;
        Some(pass(&file, &found, &gate, "2026-12-01T12:00:00Z"))
    }

    #[test]
    fn every_text_is_changed_at_one_place_or_refused() {
        // The second rollout has the steps of the first one.
        assert!(pass_in(RICH).unwrap().is_err());
        let single = RICH.replace("    - {<<: *r, name: b}\n", "");
        let (mut changed, mut refused) = (0, 0);
        for place in single.char_indices().map(|(place, _)| place) {
            let (before, after) = single.split_at(place);
            let rest = after.chars().next().map_or(0, char::len_utf8);
            let mut texts = vec![[before, &after[rest..]].concat()];
            let added = [
                "\n", "\r\n", " ", "#", "- ", "'", "\"", "[", "}", ",", ": ", "&a ", "é",
                "\u{feff}",
            ];
            texts.extend(added.map(|added| [before, added, after].concat()));
            for text in texts {
                match pass_in(&text) {
                    None => {}
                    Some(Err(_)) => refused += 1,
                    Some(Ok(edited)) => {
                        changed += 1;
                        assert_eq!(edited.new.matches("passed").count(), 1, "{}", edited.new);
                        assert!(edited.new.len() > edited.old.len());
                    }
                }
            }
        }
        assert!(changed > 1_000, "{changed}");
        println!("{changed} changed, {refused} refused");
    }
}

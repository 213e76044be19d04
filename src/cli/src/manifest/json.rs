//! Nodes as JSON that people can read: what fits into a line is in one line.

use super::node::ManifestNode;

/// Maximum length of a line in characters.
const WIDTH: usize = 100;

/// The text of a node, without a line break at its end. Comments are left out.
pub fn write(node: &ManifestNode) -> String {
    let mut text = String::new();
    block(node, 0, 0, &mut text);
    text
}

/// The text of a node in one line.
pub fn inline(node: &ManifestNode) -> String {
    match node {
        ManifestNode::Text(text) => quoted(text),
        ManifestNode::Literal(text) => text.clone(),
        ManifestNode::List(elements) => {
            let all: Vec<_> = elements.iter().map(inline).collect();
            format!("[{}]", all.join(", "))
        }
        ManifestNode::Map(entries) => {
            let all = entries.iter();
            let all = all.map(|entry| format!("{}: {}", quoted(&entry.key), inline(&entry.value)));
            format!("{{{}}}", all.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Writes a node at this indentation; `before` characters stand in front of it in its line.
fn block(node: &ManifestNode, indent: usize, before: usize, text: &mut String) {
    let short = inline(node);
    // One character for the comma behind it.
    if indent + before + short.chars().count() < WIDTH || node.is_empty() {
        text.push_str(&short);
        return;
    }
    let mut items: Vec<(String, &ManifestNode)> = Vec::new();
    let [open, close] = match node {
        ManifestNode::List(elements) => {
            items.extend(elements.iter().map(|element| (String::new(), element)));
            ['[', ']']
        }
        ManifestNode::Map(entries) => {
            let keyed = entries.iter();
            items.extend(keyed.map(|entry| (format!("{}: ", quoted(&entry.key)), &entry.value)));
            ['{', '}']
        }
        ManifestNode::Text(_) | ManifestNode::Literal(_) => {
            text.push_str(&short);
            return;
        }
    };
    text.push(open);
    let last = items.len().saturating_sub(1);
    for (index, (key, value)) in items.into_iter().enumerate() {
        text.push('\n');
        text.push_str(&" ".repeat(indent + 2));
        text.push_str(&key);
        block(value, indent + 2, key.chars().count(), text);
        if index < last {
            text.push(',');
        }
    }
    text.push('\n');
    text.push_str(&" ".repeat(indent));
    text.push(close);
}

/// The text as a JSON string, which is a YAML string with the same value too: characters that YAML treats as line
/// breaks or does not allow are escaped.
pub fn quoted(text: &str) -> String {
    // A string always serializes.
    let json = serde_json::to_string(text).unwrap_or_default();
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        let is_odd = character.is_control()
            || matches!(
                character,
                '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
            );
        match is_odd {
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::node::{list, object};
    use super::*;

    #[test]
    fn long_lines_are_broken_and_short_ones_are_not() {
        let long = "x".repeat(90);
        let node = object([
            ("a", list([1.into(), object([("b", "c".into())])])),
            ("d", list([(&*long).into(), "\u{2028}".into()])),
        ]);
        let expected = format!(
            "{{\n  \"a\": [1, {{\"b\": \"c\"}}],\n  \"d\": [\n    \"{long}\",\n    \"\\u2028\"\n  ]\n}}"
        );
        assert_eq!(write(&node), expected);
        serde_json::from_str::<serde_json::Value>(&expected).unwrap();
    }
}

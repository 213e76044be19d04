//! JSON documents as trees with positions.

use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::de::IgnoredAny;

use super::error::SourceError;
use super::lines::LineIndex;
use super::tree::{NodeKind, Quoting, SourceEntry, SourceNode, SourceScalar};

/// Reads the document of a text. serde_json, which the filter uses, decides what is valid.
pub fn read(text: &str) -> Result<SourceNode, SourceError> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        let text_of_error = error.to_string();
        let position = format!(" at line {} column {}", error.line(), error.column());
        let reason = text_of_error
            .strip_suffix(&*position)
            .unwrap_or(&text_of_error);
        let mark = match text.starts_with('\u{feff}') {
            true => "; the file begins with a byte order mark",
            false => "",
        };
        let message = format!("not JSON: {reason}{mark}");
        return Err(SourceError::new(
            LineIndex::new(text).offset(error.line(), error.column()),
            message,
        ));
    }
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
    let value = parsed.ok().and_then(|parsed| parsed.value);
    let value = value.ok_or_else(|| SourceError::new(0, "JSON without positions"))?;
    Ok(node(value))
}

fn node(value: Value<'_>) -> SourceNode {
    let range = value.range();
    let scalar = |text: String, quoting| {
        NodeKind::Scalar(SourceScalar {
            text,
            quoting,
            end: range.end,
        })
    };
    let kind = match value {
        Value::StringLit(text) => scalar(text.value.into_owned(), Quoting::Quoted),
        Value::NumberLit(number) => scalar(number.value.to_owned(), Quoting::Plain),
        Value::BooleanLit(flag) => scalar(flag.value.to_string(), Quoting::Plain),
        Value::NullKeyword(_) => scalar("null".to_owned(), Quoting::Plain),
        Value::Array(list) => NodeKind::List(list.elements.into_iter().map(node).collect()),
        Value::Object(object) => {
            let entries = object.properties.into_iter().map(|property| SourceEntry {
                start: property.name.range().start,
                is_plain: false,
                key: match property.name {
                    ObjectPropName::String(text) => text.value.into_owned(),
                    ObjectPropName::Word(word) => word.value.to_owned(),
                },
                value: node(property.value),
            });
            NodeKind::Map(entries.collect())
        }
    };
    SourceNode {
        start: range.start,
        end: range.end,
        kind,
    }
}

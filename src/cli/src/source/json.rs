//! JSON documents as trees with positions.

use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::de::IgnoredAny;

use super::tree::{Kind, Member, Node, Scalar, Style};
use super::{Lines, Syntax};

/// The document of a text. What is JSON and what is not says the reader that divvy has too.
pub fn read(text: &str) -> Result<Node, Syntax> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Err(Syntax {
            at: Lines::new(text).offset(error.line(), error.column()),
            message: format!("not JSON: {error}"),
        });
    }
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
    let value = parsed.ok().and_then(|parsed| parsed.value);
    let value = value.ok_or_else(|| Syntax::new(0, "not JSON that can be placed"))?;
    Ok(node(value))
}

fn node(value: Value<'_>) -> Node {
    let range = value.range();
    let scalar = |text: String, style| {
        Kind::Scalar(Scalar {
            text,
            style,
            end: range.end,
        })
    };
    let kind = match value {
        Value::StringLit(text) => scalar(text.value.into_owned(), Style::Quoted),
        Value::NumberLit(number) => scalar(number.value.to_owned(), Style::Plain),
        Value::BooleanLit(flag) => scalar(flag.value.to_string(), Style::Plain),
        Value::NullKeyword(_) => scalar("null".to_owned(), Style::Plain),
        Value::Array(list) => Kind::List(list.elements.into_iter().map(node).collect()),
        Value::Object(object) => {
            let members = object.properties.into_iter().map(|property| {
                let start = property.name.range().start;
                let key = match property.name {
                    ObjectPropName::String(text) => text.value.into_owned(),
                    ObjectPropName::Word(word) => word.value.to_owned(),
                };
                let value = node(property.value);
                Member { key, start, value }
            });
            Kind::Map(members.collect())
        }
    };
    Node {
        start: range.start,
        kind,
    }
}

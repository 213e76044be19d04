//! Writes configurations in several forms, and records the position of each value and key, to
//! compare with the positions that `check` reports.

use std::collections::BTreeMap;

use serde_json::Value;

/// Line and column, from 1.
pub type LineColumn = (usize, usize);

/// A text with the positions of its values and keys by their paths.
#[derive(Default)]
pub struct Written {
    pub text: String,
    pub values: BTreeMap<String, LineColumn>,
    pub keys: BTreeMap<String, LineColumn>,
}

impl Written {
    /// A text before the configuration.
    pub fn after(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ..Self::default()
        }
    }

    fn here(&self) -> LineColumn {
        let line = self.text.matches('\n').count() + 1;
        let column = self
            .text
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        (line, column)
    }

    fn below(path: &str, key: &str) -> String {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    }

    /// Appends block YAML with each key and each element in a line of its own.
    pub fn yaml(&mut self, value: &Value, path: &str, indent: usize) {
        let gap = format!("\n{}", " ".repeat(indent));
        self.values.insert(path.to_owned(), self.here());
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (nth, (key, value)) in map.iter().enumerate() {
                    if nth > 0 {
                        self.text.push_str(&gap);
                    }
                    let below = Self::below(path, key);
                    self.keys.insert(below.clone(), self.here());
                    self.text.push_str(&format!("{key:?}:"));
                    let nested = value.as_object().is_some_and(|map| !map.is_empty())
                        || value.as_array().is_some_and(|list| !list.is_empty());
                    self.text.push_str(&if nested {
                        format!("{gap}  ")
                    } else {
                        " ".to_owned()
                    });
                    self.yaml(value, &below, indent + 2);
                }
            }
            Value::Array(list) if !list.is_empty() => {
                for (nth, value) in list.iter().enumerate() {
                    if nth > 0 {
                        self.text.push_str(&gap);
                    }
                    self.text.push_str("- ");
                    self.yaml(value, &format!("{path}[{nth}]"), indent + 2);
                }
            }
            scalar => self.text.push_str(&scalar.to_string()),
        }
    }

    /// Appends JSON in several lines with this indentation.
    pub fn json(&mut self, value: &Value, path: &str, indent: usize) {
        let gap = format!("\n{}", " ".repeat(indent));
        self.values.insert(path.to_owned(), self.here());
        match value {
            Value::Object(map) => {
                self.text.push('{');
                for (nth, (key, value)) in map.iter().enumerate() {
                    self.text.push_str(if nth > 0 { "," } else { "" });
                    self.text.push_str(&format!("{gap}  "));
                    let below = Self::below(path, key);
                    self.keys.insert(below.clone(), self.here());
                    self.text.push_str(&format!("{key:?}: "));
                    self.json(value, &below, indent + 2);
                }
                self.text.push_str(&format!("{gap}}}"));
            }
            Value::Array(list) => {
                self.text.push('[');
                for (nth, value) in list.iter().enumerate() {
                    self.text.push_str(if nth > 0 { ", " } else { "" });
                    self.json(value, &format!("{path}[{nth}]"), indent);
                }
                self.text.push(']');
            }
            scalar => self.text.push_str(&scalar.to_string()),
        }
    }

    /// The position of an error: of the unknown key, of the value, or of the object around a
    /// missing value.
    pub fn place(&self, path: &str, message: &str) -> LineColumn {
        if let Some(rest) = message.strip_prefix("unknown field `") {
            let key = rest.split('`').next().unwrap();
            return self.keys[&Self::below(path, key)];
        }
        let mut path = path;
        loop {
            if let Some(place) = self.values.get(path) {
                return *place;
            }
            path = &path[..path.rfind(['.', '[']).unwrap_or(0)];
        }
    }
}

//! The JSON Schema of the types that a configuration is read into. Not in the filter.

use serde_json::{Map, Value, json};

use crate::items::{Items, OneOrMany};
use crate::spec::ConfigSpec;

/// The JSON Schema (2020-12) of a configuration: fields, their types, and which are required.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let whole = <ConfigSpec<'_> as Describe>::describe(&mut definitions);
    let mut schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema"});
    if let (Some(schema), Value::Object(whole)) = (schema.as_object_mut(), whole) {
        schema.extend(whole);
        schema.insert("$defs".to_owned(), definitions.into());
    }
    schema
}

/// A type with a JSON Schema.
pub(crate) trait Describe {
    /// Whether a field of this type must be present.
    const REQUIRED: bool = true;

    /// The schema. Schemas of objects are added to the definitions.
    fn describe(definitions: &mut Map<String, Value>) -> Value;
}

impl Describe for &str {
    fn describe(_: &mut Map<String, Value>) -> Value {
        json!({"type": "string"})
    }
}

impl Describe for bool {
    fn describe(_: &mut Map<String, Value>) -> Value {
        json!({"type": "boolean"})
    }
}

impl Describe for f64 {
    fn describe(_: &mut Map<String, Value>) -> Value {
        json!({"type": "number"})
    }
}

impl<T: Describe> Describe for Option<T> {
    const REQUIRED: bool = false;

    fn describe(definitions: &mut Map<String, Value>) -> Value {
        T::describe(definitions)
    }
}

impl<T: Describe> Describe for Box<T> {
    fn describe(definitions: &mut Map<String, Value>) -> Value {
        T::describe(definitions)
    }
}

impl<T: Describe> Describe for Items<'_, T> {
    fn describe(definitions: &mut Map<String, Value>) -> Value {
        json!({"type": "array", "items": T::describe(definitions)})
    }
}

impl Describe for OneOrMany<'_> {
    fn describe(_: &mut Map<String, Value>) -> Value {
        json!({"anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}},
        ]})
    }
}

/// A reference to the definition of an object, which is added the first time.
pub(crate) fn object(
    name: &str,
    definitions: &mut Map<String, Value>,
    fields: impl FnOnce(&mut FieldSchemas<'_>),
) -> Value {
    // The definition of `CanarySpec` is `Canary`.
    let name = name.strip_suffix("Spec").unwrap_or(name);
    if !definitions.contains_key(name) {
        // The placeholder ends the recursion: a condition can contain conditions.
        definitions.insert(name.to_owned(), Value::Null);
        let mut found = FieldSchemas {
            definitions,
            properties: Map::new(),
            required: Vec::new(),
        };
        fields(&mut found);
        let mut schema = json!({
            "type": "object",
            "properties": found.properties,
            "additionalProperties": false,
        });
        if !found.required.is_empty()
            && let Some(schema) = schema.as_object_mut()
        {
            schema.insert("required".to_owned(), found.required.into());
        }
        definitions.insert(name.to_owned(), schema);
    }
    json!({"$ref": format!("#/$defs/{name}")})
}

/// The fields of an object.
pub(crate) struct FieldSchemas<'d> {
    definitions: &'d mut Map<String, Value>,
    properties: Map<String, Value>,
    required: Vec<Value>,
}

impl FieldSchemas<'_> {
    /// One more field.
    pub(crate) fn add<T: Describe>(&mut self, key: &str) {
        let schema = T::describe(self.definitions);
        self.properties.insert(key.to_owned(), schema);
        if T::REQUIRED {
            self.required.push(key.into());
        }
    }
}

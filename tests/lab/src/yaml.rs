//! YAML as people write it, as the JSON that Envoy and divvy read.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

/// The JSON text of a divvy configuration that was written as YAML or as JSON.
///
/// JSON goes through byte for byte: what is wrong with it beyond its syntax, a key that comes twice
/// for one, is for the filter to say. Errors name line and column.
pub fn from_yaml_or_json(text: &str) -> Result<String> {
    if text.trim_start().starts_with('{') {
        match serde_json::from_str::<Value>(text) {
            Ok(_) => return Ok(text.to_owned()),
            // A YAML flow mapping begins like JSON, and may be meant.
            Err(error) => match yaml(text) {
                Ok(value) => return render(&value),
                Err(_) => return Err(anyhow!("not JSON: {error}")),
            },
        }
    }
    render(&yaml(text).map_err(|error| anyhow!("not YAML: {error}"))?)
}

/// Reads a YAML or JSON file.
pub(crate) fn load(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    yaml(&text).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn yaml(text: &str) -> Result<Value, String> {
    // Only `true` and `false` are booleans: `in: [de, no]` means Norway.
    let options = serde_saphyr::options! { strict_booleans: true };
    // One line each: these go into a terminal, beside what Envoy says.
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| error.without_snippet().to_string())
}

fn render(value: &Value) -> Result<String> {
    // An empty file, or one of comments only, is an empty configuration, which divvy accepts.
    let empty = Value::Object(serde_json::Map::new());
    let value = if value.is_null() { &empty } else { value };
    Ok(serde_json::to_string_pretty(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_becomes_json_and_keeps_numbers_strings_and_lists_as_they_are() {
        let text =
            "# why\na: [1, 2.5, '3', \"null\", null, true, no]\nb: {c: 30s, d: \"{version}\"}\n";
        let value: Value = serde_json::from_str(&from_yaml_or_json(text).unwrap()).unwrap();
        let expected = serde_json::json!({
            "a": [1, 2.5, "3", "null", null, true, "no"],
            "b": {"c": "30s", "d": "{version}"},
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn json_goes_through_byte_for_byte() {
        let text = "\n{ \"a\":1,  \"a\": 2.0 }\n";
        assert_eq!(from_yaml_or_json(text).unwrap(), text);
    }

    #[test]
    fn nothing_but_comments_is_the_empty_configuration() {
        assert_eq!(from_yaml_or_json("# soon\n").unwrap(), "{}");
    }

    #[test]
    fn errors_are_one_line_that_names_the_line() {
        for (text, kind) in [
            ("{\n \"a\": 1,\n \"b\" 2\n}", "not JSON"),
            ("a: 1\nb: 2\nc: [1, 2\n", "not YAML"),
            ("a: 1\nb: 2\na: 3\n", "not YAML"),
        ] {
            let error = from_yaml_or_json(text).unwrap_err().to_string();
            assert!(error.starts_with(kind), "{error}");
            assert!(error.contains("line 3"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_largest_configuration_that_divvy_takes_is_no_problem() {
        let list = "- {name: r, versions: [{name: v1}, {name: v2}], stable: v1, strategy: {canary: {version: v2, weight: 5}}}\n";
        let value = yaml(&list.repeat(9_000)).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 9_000);
    }
}

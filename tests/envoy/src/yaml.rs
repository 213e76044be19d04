//! Conversion of YAML to the JSON that Envoy and divvy read.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

/// The JSON text of a divvy configuration in YAML or JSON. JSON is returned unchanged, so that the
/// filter reports errors such as duplicate keys. Syntax errors name line and column.
pub fn from_yaml_or_json(text: &str) -> Result<String> {
    if text.trim_start().starts_with('{') {
        match serde_json::from_str::<Value>(text) {
            Ok(_) => return Ok(text.to_owned()),
            // A YAML flow mapping also starts with a brace.
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
    // Only `true` and `false` are booleans: in `in: [de, no]`, `no` is a string.
    let options = serde_saphyr::options! { strict_booleans: true };
    // Without a snippet an error is one line.
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| error.without_snippet().to_string())
}

fn render(value: &Value) -> Result<String> {
    // An empty file is an empty configuration, which divvy accepts.
    let empty = Value::Object(serde_json::Map::new());
    let value = if value.is_null() { &empty } else { value };
    Ok(serde_json::to_string_pretty(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_types_are_kept_in_json() {
        let text =
            "# why\na: [1, 2.5, '3', \"null\", null, true, no]\nb: {c: 30s, d: \"{version}\"}\n";
        let value: Value = serde_json::from_str(&from_yaml_or_json(text).unwrap()).unwrap();
        let expected = serde_json::json!({
            "a": [1, 2.5, "3", "null", null, true, "no"],
            "b": {"c": "30s", "d": "{version}"},
        });
        assert_eq!(value, expected);
        assert_eq!(from_yaml_or_json("# soon\n").unwrap(), "{}");
    }

    #[test]
    fn json_is_unchanged() {
        let text = "\n{ \"a\":1,  \"a\": 2.0 }\n";
        assert_eq!(from_yaml_or_json(text).unwrap(), text);
    }

    #[test]
    fn errors_are_one_line_and_name_the_line_of_the_input() {
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
    fn the_largest_configuration_that_divvy_accepts_is_read() {
        let list = "- {name: r, versions: [{name: v1}, {name: v2}], stable: v1, strategy: {canary: {version: v2, weight: 5}}}\n";
        let value = yaml(&list.repeat(9_000)).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 9_000);
    }
}

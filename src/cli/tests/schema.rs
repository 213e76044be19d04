//! The JSON Schema accepts what divvy accepts, and refuses what has the wrong shape.

use std::fs;
use std::path::{Path, PathBuf};

use divvy::config::{self, ErrorKind};
use divvy_cli::schema::{refinements, schema};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

#[test]
fn the_committed_copy_equals_the_schema() {
    let path = root().join("envoy/divvy.schema.json");
    let now = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("DIVVY_BLESS").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "envoy/divvy.schema.json differs from divvy schema: \
         make bless"
    );
}

#[test]
fn every_field_has_a_description_and_every_restriction_has_a_field() {
    let schema = schema();
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        for (field, property) in definition["properties"].as_object().unwrap() {
            let description = property["description"].as_str().unwrap_or_default();
            assert!(description.len() > 10, "{name}.{field}: {description:?}");
            assert!(
                !description.contains(['`', '*']) && !description.contains("]("),
                "{description}"
            );
        }
    }
    let bare = config::schema();
    for (object, field, _) in refinements() {
        let definition = &bare["$defs"][object];
        assert!(definition.is_object(), "{object}");
        assert!(
            field.is_empty() || definition["properties"][field].is_object(),
            "{object}.{field}"
        );
    }
}

#[test]
fn the_schema_accepts_every_valid_configuration() {
    let validator = validator();
    let valid = fs::read_to_string(root().join("tests/cases/valid.json")).unwrap();
    assert!(validator.is_valid(&serde_json::from_str(&valid).unwrap()));
    let groups = divvy_cases::groups();
    assert!(groups.len() > 100, "{}", groups.len());
    for group in groups {
        let errors: Vec<_> = validator
            .iter_errors(&group.config)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{}: {errors:?}", group.name);
    }
}

#[test]
fn the_schema_refuses_configurations_with_a_wrong_shape() {
    let validator = validator();
    let mut shapes = 0;
    for (config, error) in divvy_cases::broken() {
        let errors = config::parse(config.to_string().as_bytes()).unwrap_err();
        let kind = &errors.iter().next().unwrap().kind;
        if matches!(
            kind,
            ErrorKind::UnknownField { .. } | ErrorKind::MissingField | ErrorKind::WrongType
        ) {
            assert!(!validator.is_valid(&config), "{error}: {config}");
            shapes += 1;
        }
    }
    assert!(shapes >= 20, "{shapes}");
    for broken in [
        r#"{"identity": [{"heder": "x"}]}"#,
        r#"{"identity": "x"}"#,
        r#"{"holdout": {"name": "a"}}"#,
        r#"{"holdout": {"name": "a", "percent": 101}}"#,
        r#"{"rollouts": [{"name": "a"}]}"#,
        r#"{"rollouts": [{"name": "A", "versions": [{"name": "v1"}], "stable": "v1", "strategy": {"blueGreen": {"active": "v1"}}}]}"#,
        r#"{"rollouts": [{"name": "a", "versions": [{"name": "v1"}], "stable": "v1", "strategy": {}}]}"#,
        r#"{"rollouts": [{"name": "a", "versions": [{"name": "v1"}], "stable": "v1", "strategy": {"canary": {"version": "v1", "weight": "5"}}}]}"#,
        r#"{"trust": {"workload": false}}"#,
    ] {
        let config: Value = serde_json::from_str(broken).unwrap();
        assert!(!validator.is_valid(&config), "{broken}");
    }
}

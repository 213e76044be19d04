//! The JSON Schema accepts what divvy accepts, and refuses what has the wrong shape.

use std::fs;
use std::path::{Path, PathBuf};

use divvy::config::{self, ErrorKind};
use divvy_cli::schema::{refinements, schema};
use serde_json::{Value, json};

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

/// The schema of an environment variable of the VM. Everyone who can read a WasmPlugin could sign with keys in it.
fn variable() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "value": {"type": "string"},
            "valueFrom": {"enum": ["INLINE", "HOST"]},
        },
        "if": {"properties": {"name": {"const": "DIVVY_KEYS"}}},
        "then": {"required": ["valueFrom"], "properties": {"valueFrom": {"const": "HOST"}, "value": false}},
    })
}

/// The schema of the chart's values: those of the chart, and the schema of a configuration.
fn values() -> Value {
    let mut schema = schema();
    let configuration = schema["$ref"].take();
    let text = |says: &str| json!({"type": "string", "description": says});
    let one_of = |words: &[&str], says: &str| json!({"enum": words, "description": says});
    let object = |properties: Value, says: &str| json!({"type": "object", "additionalProperties": false, "properties": properties, "description": says});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let switch = json!({"type": "boolean"});
    let image = object(
        json!({
            "name": text("Registry and repository, without a tag."),
            "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$", "description": "Digest of the image."},
            "pullPolicy": one_of(&["IfNotPresent", "Always"], "When a proxy pulls the image."),
            "pullSecret": text("Name of a Secret for the registry."),
        }),
        "The image of the filter, by digest.",
    );
    let telemetry = object(
        json!({"enabled": switch, "logProvider": text("Name of the access log provider in the mesh configuration.")}),
        "The access log and the trace tag with the decision.",
    );
    let routes = object(
        json!({
            "enabled": switch,
            "gateway": text("The Gateway object that clients use, as NAME or NAMESPACE/NAME."),
            "namespace": text("Namespace of the services and their routes."),
            "services": texts,
        }),
        "VirtualServices and DestinationRules for rollouts with targets.",
    );
    let own = json!({
        "image": image,
        "at": one_of(&["gateway", "callers", "service"], "Where divvy runs."),
        "selector": texts,
        "name": text("Name of the plugin, under which divvy stores its state."),
        "failStrategy": one_of(&["", "FAIL_OPEN", "FAIL_CLOSE", "FAIL_RELOAD"], "What happens without the filter."),
        "env": {"type": "array", "items": variable(), "description": "Environment of the filter's VM."},
        "telemetry": telemetry,
        "routes": routes,
        "configuration": {"$ref": configuration},
        // Helm adds it to the values of a chart that is a part of another one.
        "global": {"type": "object"},
    });
    json!({
        "$schema": schema["$schema"].take(),
        "$defs": schema["$defs"].take(),
        "title": "Values of the chart of divvy",
        "type": "object",
        "required": ["image", "at", "configuration"],
        "additionalProperties": false,
        "properties": own,
    })
}

#[test]
fn the_chart_has_the_schema_of_a_configuration_and_the_version_of_the_package() {
    let chart = root().join("istio/chart");
    let now = serde_json::to_string_pretty(&values()).unwrap() + "\n";
    let path = chart.join("values.schema.json");
    if std::env::var_os("DIVVY_BLESS").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "istio/chart/values.schema.json differs from divvy schema: make bless"
    );
    let about = fs::read_to_string(chart.join("Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(about.contains(&format!("\nversion: {version}\n")));
    assert!(about.contains(&format!("\nappVersion: \"{version}\"\n")));
}

#[test]
fn the_schema_of_the_chart_refuses_what_divvy_refuses() {
    let validator = jsonschema::draft202012::new(&values()).unwrap();
    let mut good = json!({
        "image": {"digest": format!("sha256:{:064}", 0)}, "at": "gateway", "configuration": {"rollouts": []},
        "env": [{"name": "DIVVY_STRICT", "value": "1"}, {"name": "DIVVY_KEYS", "valueFrom": "HOST"}],
    });
    assert!(validator.is_valid(&good));
    for (place, wrong) in [
        ("/image", json!({"tag": "0.1.0"})),
        ("/image", json!({"digest": "sha256:1"})),
        ("/at", json!("sidecar")),
        ("/env", json!([{"name": "A", "val": "1"}])),
        ("/env", json!([{"name": "A", "value": 1}])),
        ("/env", json!([{"name": "DIVVY_KEYS", "value": "2027a:A"}])),
        (
            "/env",
            json!([{"name": "DIVVY_KEYS", "valueFrom": "HOST", "value": "2027a:A"}]),
        ),
        ("/configuration", json!({"rolouts": []})),
        ("/configuration", json!({"rollouts": [{"name": "a"}]})),
    ] {
        let old = std::mem::replace(good.pointer_mut(place).unwrap(), wrong);
        assert!(!validator.is_valid(&good), "{good}");
        *good.pointer_mut(place).unwrap() = old;
    }
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

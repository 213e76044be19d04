//! `divvy schema`: the JSON Schema of a configuration, for editors.
//!
//! Fields and types are those that the filter reads. Descriptions come from the tables of the
//! reference pages. Ranges and lists of words are added here.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use crate::print_json;

const PAGES: [&str; 4] = [
    include_str!("../../../envoy/docs/CONFIGURATION.md"),
    include_str!("../../../envoy/docs/CONDITIONS.md"),
    include_str!("../../../envoy/docs/STRATEGIES.md"),
    include_str!("../../../envoy/docs/PEOPLE.md"),
];

/// Prints the JSON Schema of a configuration, for editors and other programs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  divvy schema > target/divvy.schema.json

With this first line in a configuration, VS Code with the YAML extension completes and checks it:
  # yaml-language-server: $schema=divvy.schema.json")]
pub struct SchemaArgs {}

/// Runs the verb.
pub fn run(_: &SchemaArgs) -> Result<ExitCode> {
    print_json(&schema(), &mut anstream::stdout())?;
    Ok(ExitCode::SUCCESS)
}

/// The schema with descriptions and ranges.
pub fn schema() -> Value {
    let mut schema = divvy::config::schema();
    if let Some(top) = schema.as_object_mut() {
        top.insert("title".into(), json!("A configuration of divvy"));
    }
    for page in PAGES {
        describe(&mut schema, page);
    }
    // The operators of a path in `match` are those of a condition.
    let condition = schema["$defs"]["Condition"]["properties"].clone();
    if let Some(operators) = schema["$defs"]["Operator"]["properties"].as_object_mut() {
        for (name, operator) in operators {
            operator["description"] = condition[name]["description"].clone();
        }
    }
    for (object, field, more) in refinements() {
        let of = &mut schema["$defs"][object];
        let place = match field {
            "" => of,
            field => &mut of["properties"][field],
        };
        if let (Some(place), Value::Object(more)) = (place.as_object_mut(), more) {
            place.extend(more);
        }
    }
    schema
}

/// Adds the descriptions in the tables of a page.
fn describe(schema: &mut Value, page: &str) {
    let mut place = None;
    for line in page.lines() {
        if let Some(comment) = line.strip_prefix("<!-- ") {
            let comment = comment.trim_end_matches(" -->");
            place = comment.split_once(": ").map(|(_, place)| place.to_owned());
            continue;
        }
        let cells: Vec<_> = cells(line);
        let [_, field, says, range, default, ..] = &*cells else {
            continue;
        };
        let Some(place) = &place else { continue };
        let field = field.trim_matches('`');
        let object = object_at(schema, place);
        let property = object.and_then(|object| object.get_mut("properties")?.get_mut(field));
        if let Some(property) = property {
            let text = format!(
                "{}. Range: {}. Default: {}.",
                plain(says),
                plain(range),
                plain(default)
            );
            property["description"] = text.into();
        }
    }
}

/// The cells of a table row, in which bars are escaped.
fn cells(line: &str) -> Vec<String> {
    if !line.starts_with('|') {
        return Vec::new();
    }
    let line = line.replace("\\|", "\u{0}");
    let cells = line.split('|');
    cells
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

/// The definition of the object at a place of a configuration, such as `/rollouts/0/expose`.
fn object_at<'s>(schema: &'s mut Value, place: &str) -> Option<&'s mut Value> {
    let mut name = name_of(schema.get("$ref")?)?;
    for segment in place.split('/').filter(|segment| !segment.is_empty()) {
        let definition = &schema["$defs"][&name];
        // An index follows the name of its list.
        if segment.parse::<usize>().is_ok() {
            continue;
        }
        let property = definition["properties"].get(segment)?;
        let next = property
            .get("$ref")
            .or_else(|| property["items"].get("$ref"));
        name = name_of(next?)?;
    }
    schema["$defs"].get_mut(&name)
}

fn name_of(reference: &Value) -> Option<String> {
    let name = reference.as_str()?.strip_prefix("#/$defs/")?;
    Some(name.to_owned())
}

/// Text without Markdown: the text of links, no backticks and stars.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        let link = after.split_once("](").and_then(|(words, target)| {
            let (_, after) = target.split_once(')')?;
            Some((words, after))
        });
        match link {
            // A list in an example is not a link.
            Some((words, after)) if !words.contains(['[', ']']) => {
                plain.push_str(words);
                rest = after;
            }
            _ => {
                plain.push('[');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain.replace(['`', '*'], "")
}

/// Restrictions beyond the types: object, field (empty for the object itself), and keywords.
pub fn refinements() -> Vec<(&'static str, &'static str, Value)> {
    const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
    let percent = || json!({"minimum": 0, "maximum": 100});
    let name = || json!({"pattern": NAME});
    let yes = || json!({"const": true});
    let one = || json!({"minProperties": 1, "maxProperties": 1});
    let same_site = || json!({"enum": ["Strict", "Lax", "None"]});
    let mut all = vec![
        ("Config", "rollouts", json!({"maxItems": 1_000})),
        ("Config", "identity", json!({"maxItems": 16})),
        ("Config", "ignoreIdentities", json!({"maxItems": 100})),
        ("Identity", "concat", json!({"minItems": 2, "maxItems": 8})),
        (
            "Identity",
            "type",
            json!({"enum": ["string", "number", "bool"]}),
        ),
        ("Trust", "", json!({"minProperties": 1})),
        (
            "Trust",
            "principals",
            json!({"minItems": 1, "maxItems": 100}),
        ),
        (
            "Rollout",
            "name",
            json!({"pattern": "^[a-z][a-z0-9._-]{0,63}$"}),
        ),
        (
            "Rollout",
            "revision",
            json!({"pattern": "^[A-Za-z0-9._-]{0,64}$"}),
        ),
        (
            "Rollout",
            "metrics",
            json!({"enum": ["responses", "requests", "off"]}),
        ),
        (
            "Rollout",
            "versions",
            json!({"minItems": 1, "maxItems": 32}),
        ),
        ("Rollout", "rules", json!({"maxItems": 64})),
        ("Rollout", "match", json!({"minItems": 1})),
        ("Strategy", "", one()),
        (
            "Arm",
            "weight",
            json!({"type": "integer", "minimum": 0, "maximum": 1_000_000}),
        ),
        ("Guardrail", "", json!({"minProperties": 1})),
        (
            "Guardrail",
            "onBreach",
            json!({"enum": ["rollback", "freeze", "observe"]}),
        ),
        (
            "Guardrail",
            "minRequests",
            json!({"type": "integer", "minimum": 1, "maximum": 100_000}),
        ),
        (
            "Guardrail",
            "consecutiveErrors",
            json!({"type": "integer", "minimum": 1, "maximum": 100_000}),
        ),
        (
            "LatencyLimit",
            "quantile",
            json!({"minimum": 0.5, "maximum": 0.999}),
        ),
        (
            "LatencyLimit",
            "timesStable",
            json!({"minimum": 1.01, "maximum": 100}),
        ),
        (
            "Condition",
            "type",
            json!({"enum": ["string", "number", "bool", "list"]}),
        ),
        ("Condition", "all", json!({"minItems": 1})),
        ("Condition", "any", json!({"minItems": 1})),
        ("Expose", "", json!({"minProperties": 1})),
        ("Mint", "sameSite", same_site()),
        ("Sticky", "sameSite", same_site()),
        ("Mirror", "methods", json!({"minItems": 1})),
        ("Trust", "workload", yes()),
    ];
    for (object, field) in [
        ("Holdout", "percent"),
        ("Rule", "percent"),
        ("Mirror", "percent"),
        ("Canary", "weight"),
        ("Step", "weight"),
        ("Ramp", "from"),
        ("Ramp", "by"),
        ("Ramp", "to"),
        ("Ramp", "then"),
        ("AbTest", "traffic"),
        ("Layer", "from"),
        ("Layer", "to"),
        ("ErrorLimit", "max"),
        ("ErrorLimit", "overStable"),
    ] {
        all.push((object, field, percent()));
    }
    for (object, field) in [
        ("Holdout", "name"),
        ("Rollout", "salt"),
        ("Version", "name"),
        ("Rule", "name"),
        ("Layer", "name"),
    ] {
        all.push((object, field, name()));
    }
    for field in ["sourceIp", "random"] {
        all.push(("Identity", field, yes()));
    }
    for field in ["path", "method", "host", "sourceIp", "identity"] {
        all.push(("Condition", field, yes()));
    }
    all
}

//! `divvy schema`: the JSON Schema of a configuration, for editors.
//!
//! Fields and types are those that the filter reads. Descriptions come from the tables of the
//! reference pages. Ranges and lists of words are added here.

use std::ops::RangeInclusive;
use std::process::ExitCode;

use anyhow::Result;
use divvy::config::limits;
use serde_json::{Value, json};

use crate::output::print_json;

const PAGES: [&str; 4] = [
    include_str!("../../../envoy/docs/CONFIGURATION.md"),
    include_str!("../../../envoy/docs/CONDITIONS.md"),
    include_str!("../../../envoy/docs/STRATEGIES.md"),
    include_str!("../../../envoy/docs/PEOPLE.md"),
];

/// Arguments of `divvy schema`.
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

/// A time of day.
const TIME_OF_DAY: &str = "([01][0-9]|2[0-3]):[0-5][0-9]";

/// Restrictions beyond the types: object, field (empty for the object itself), and keywords.
pub fn refinements() -> Vec<(&'static str, &'static str, Value)> {
    let pattern = |pattern: &str| json!({"pattern": format!("^{pattern}$")});
    let at_most = |count: usize| json!({"maxItems": count});
    let between = |least: usize, most: usize| json!({"minItems": least, "maxItems": most});
    let whole = |range: &RangeInclusive<u32>| {
        let (least, most) = (range.start(), range.end());
        json!({"type": "integer", "minimum": least, "maximum": most})
    };
    // A whole bound is written without a decimal point.
    let shown = |bound: f64| match bound.fract() {
        0.0 => json!(bound as u64),
        _ => json!(bound),
    };
    let real = |range: &RangeInclusive<f64>| json!({"minimum": shown(*range.start()), "maximum": shown(*range.end())});
    let one_of = |words: &[&str]| json!({"enum": words});
    let one_of_numbers = |numbers: &[u32]| json!({"enum": numbers});
    let seed = || {
        let (least, most) = (limits::SDK_SEED.start(), limits::SDK_SEED.end());
        json!({"type": "integer", "minimum": *least as i64, "maximum": *most as i64})
    };
    let yes = || json!({"const": true});
    let not_empty = || json!({"minItems": 1});
    let some_field = || json!({"minProperties": 1});
    let mut all = vec![
        ("Config", "rollouts", at_most(limits::MAX_ROLLOUTS)),
        ("Config", "identity", at_most(limits::MAX_IDENTITY_SOURCES)),
        ("Config", "ignoreIdentities", at_most(limits::MAX_IGNORED)),
        ("Identity", "concat", between(2, limits::MAX_CONCAT)),
        ("Identity", "type", one_of(&limits::CLAIM_TYPES[..3])),
        ("Trust", "", some_field()),
        ("Trust", "principals", between(1, limits::MAX_PRINCIPALS)),
        ("Rollout", "name", pattern(limits::ROLLOUT_NAME)),
        ("Rollout", "revision", pattern(limits::REVISION)),
        ("Rollout", "metrics", one_of(&limits::METRICS)),
        ("Rollout", "versions", between(1, limits::MAX_VERSIONS)),
        ("Rollout", "rules", at_most(limits::MAX_RULES)),
        ("Rollout", "match", not_empty()),
        (
            "Rollout",
            "identity",
            between(1, limits::MAX_IDENTITY_SOURCES),
        ),
        (
            "Rule",
            "",
            json!({"oneOf": [{"required": ["use"]}, {"required": ["split"]}]}),
        ),
        ("Rule", "split", between(1, limits::MAX_VERSIONS)),
        ("Strategy", "weighted", between(1, limits::MAX_VERSIONS)),
        (
            "Strategy",
            "",
            json!({"minProperties": 1, "maxProperties": 1}),
        ),
        ("Hash", "", json!({"minProperties": 1, "maxProperties": 1})),
        (
            "Unleash",
            "rollout",
            json!({"type": "integer", "minimum": 0, "maximum": 100}),
        ),
        (
            "GrowthBook",
            "hashVersion",
            one_of_numbers(&limits::HASH_VERSIONS),
        ),
        ("GrowthBook", "coverage", real(&limits::COVERAGE)),
        (
            "LaunchDarkly",
            "",
            json!({"oneOf": [{"required": ["flag", "salt"]}, {"required": ["seed"]}]}),
        ),
        ("LaunchDarkly", "seed", seed()),
        ("Split", "seed", seed()),
        ("Canary", "pauses", between(1, limits::MAX_PAUSES)),
        ("Pause", "", some_field()),
        (
            "Pause",
            "days",
            json!({"minItems": 1, "uniqueItems": true, "items": {"type": "string", "enum": limits::DAYS}}),
        ),
        ("Pause", "from", pattern(TIME_OF_DAY)),
        ("Pause", "to", pattern(TIME_OF_DAY)),
        ("Arm", "weight", whole(&limits::WEIGHT)),
        ("Guardrail", "", some_field()),
        ("Guardrail", "onBreach", one_of(&limits::ON_BREACH)),
        ("Guardrail", "minRequests", whole(&limits::REQUESTS)),
        ("Guardrail", "consecutiveErrors", whole(&limits::REQUESTS)),
        ("LatencyLimit", "quantile", real(&limits::QUANTILE)),
        ("LatencyLimit", "timesStable", real(&limits::TIMES_STABLE)),
        ("Condition", "type", one_of(&limits::CLAIM_TYPES)),
        ("Condition", "all", not_empty()),
        ("Condition", "any", not_empty()),
        ("Expose", "", some_field()),
        ("Mint", "sameSite", one_of(&limits::SAME_SITE)),
        ("Sticky", "sameSite", one_of(&limits::SAME_SITE)),
        ("Mirror", "methods", not_empty()),
        ("Trust", "workload", yes()),
        ("Trust", "from", one_of(&limits::TRUST_FROM)),
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
        ("PostHog", "rollout"),
        ("Layer", "from"),
        ("Layer", "to"),
        ("ErrorLimit", "max"),
        ("ErrorLimit", "overStable"),
    ] {
        all.push((object, field, real(&limits::PERCENT)));
    }
    for (object, field) in [
        ("Holdout", "name"),
        ("Rollout", "salt"),
        ("Version", "name"),
        ("Rule", "name"),
        ("Layer", "name"),
        ("Step", "gate"),
        ("Passed", "gate"),
        ("Headers", "baggage"),
    ] {
        all.push((object, field, pattern(limits::NAME)));
    }
    for (object, field) in [
        ("Unleash", "groupId"),
        ("GrowthBook", "seed"),
        ("PostHog", "key"),
        ("LaunchDarkly", "flag"),
        ("LaunchDarkly", "salt"),
        ("Optimizely", "experiment"),
        ("Flagd", "flag"),
    ] {
        let length = json!({"minLength": 1, "maxLength": limits::MAX_SDK_KEY});
        all.push((object, field, length));
    }
    for field in ["sourceIp", "random"] {
        all.push(("Identity", field, yes()));
    }
    for field in ["path", "method", "host", "sourceIp", "peer", "identity"] {
        all.push(("Condition", field, yes()));
    }
    all
}

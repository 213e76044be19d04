//! The configuration reference (`CONFIGURATION.md`, `CONDITIONS.md`, `STRATEGIES.md` and `PEOPLE.md` of `envoy/docs/`)
//! is complete and correct: every field has a row and every row a field, each example is accepted,
//! and each mistake gives the message beside it.
//!
//! Above each table of fields a comment says to which place of the page's configuration it belongs:
//! `<!-- at: /rollouts/0 -->` where examples and mistakes are put among what is there, and
//! `<!-- as: /rollouts/0/match/0 -->` where they take its place, or fill it. `/` is the whole.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::{fs, io};

use anyhow::{Context, Result, bail, ensure};
use divvy::config;
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::workspace_root;
use serde_json::{Value, json};

const COLUMNS: [&str; 6] = [
    "field",
    "what it says",
    "range",
    "default",
    "example",
    "a mistake and its message",
];

/// A table of fields.
struct Table {
    /// The JSON pointer of its fields in the configuration of the page.
    place: String,
    /// Whether its examples replace the value there.
    replaces: bool,
    rows: Vec<Row>,
}

struct Row {
    field: String,
    examples: Vec<String>,
    /// The mistake and its message.
    mistakes: Vec<(String, String)>,
}

struct Page {
    /// The configuration that the examples are put into.
    base: Value,
    tables: Vec<Table>,
}

impl Page {
    fn read() -> Result<Page> {
        let read = |page| fs::read_to_string(workspace_root().join("envoy/docs").join(page));
        let pages = [
            "CONFIGURATION.md",
            "CONDITIONS.md",
            "STRATEGIES.md",
            "PEOPLE.md",
        ]
        .map(read);
        let text = pages.into_iter().collect::<io::Result<String>>()?;
        let base = text
            .split("```yaml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let base = from_yaml_or_json(base.context("the page has a configuration")?)?;
        Ok(Page {
            base: serde_json::from_str(&base)?,
            tables: tables(&text)?,
        })
    }
}

fn tables(text: &str) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    let mut lines = text.lines();
    let mut place = None;
    while let Some(line) = lines.next() {
        if let Some(comment) = line.strip_prefix("<!-- ") {
            let comment = comment.strip_suffix(" -->").context(line.to_owned())?;
            let (how, at) = comment.split_once(": ").context(line.to_owned())?;
            ensure!(how == "at" || how == "as", "{line}");
            place = Some((how == "as", at.trim_end_matches('/').to_owned()));
        } else if line.starts_with("| field |") {
            ensure!(cells(line) == COLUMNS, "{line}");
            let (replaces, place) = place.take().context(format!("no place: {line}"))?;
            let rows = lines.by_ref().skip(1);
            let rows = rows.take_while(|line| line.starts_with('|'));
            tables.push(Table {
                rows: rows.map(row).collect::<Result<_>>()?,
                place,
                replaces,
            });
        }
    }
    Ok(tables)
}

fn row(line: &str) -> Result<Row> {
    let cells = cells(line);
    ensure!(cells.len() == COLUMNS.len(), "other columns: {line}");
    ensure!(cells.iter().all(|cell| !cell.is_empty()), "empty: {line}");
    let [field, .., examples, mistakes] = &*cells else {
        bail!("{line}");
    };
    let (examples, mistakes) = (code(examples), code(mistakes));
    ensure!(!examples.is_empty(), "no example: {line}");
    ensure!(
        !mistakes.is_empty() && mistakes.len() % 2 == 0,
        "no mistakes with a message each: {line}"
    );
    let pairs = mistakes.chunks_exact(2);
    Ok(Row {
        field: code(field).pop().context(line.to_owned())?,
        examples,
        mistakes: pairs
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect(),
    })
}

/// The cells of a row. A `|` in one is escaped.
fn cells(line: &str) -> Vec<String> {
    const BAR: &str = "\u{0}";
    let line = line.replace("\\|", BAR);
    let inner = line.trim().trim_matches('|');
    let cells = inner.split('|');
    cells
        .map(|cell| cell.trim().replace(BAR, "|"))
        .collect::<Vec<_>>()
}

/// The text between backticks: one, or several if the text contains one.
fn code(mut text: &str) -> Vec<String> {
    let mut spans = Vec::new();
    while let Some(start) = text.find('`') {
        let rest = &text[start..];
        let ticks = &rest[..rest.len() - rest.trim_start_matches('`').len()];
        let rest = &rest[ticks.len()..];
        let Some(end) = rest.find(ticks) else { break };
        let span = match ticks.len() {
            1 => &rest[..end],
            _ => rest[..end].trim(),
        };
        spans.push(span.to_owned());
        text = &rest[end + ticks.len()..];
    }
    spans
}

/// The fields in a cell.
fn fields(fragment: &str) -> Result<Value> {
    let object = from_yaml_or_json(&format!("{{{fragment}}}"));
    Ok(serde_json::from_str(&object.context(fragment.to_owned())?)?)
}

/// The configuration with this fragment at the place of a table.
fn with(base: &Value, table: &Table, fragment: &str) -> Result<Value> {
    let given = fields(fragment)?;
    let mut config = base.clone();
    if table.replaces && config.pointer(&table.place).is_none() {
        let (parent, field) = table.place.rsplit_once('/').context("a field")?;
        if config.pointer(parent).is_none() {
            let (outer, name) = parent.rsplit_once('/').context("a field")?;
            let outer = config.pointer_mut(outer).context(table.place.clone())?;
            outer[name] = json!({});
        }
        let parent = config.pointer_mut(parent).context(table.place.clone())?;
        parent[field] = json!({});
    }
    let place = config.pointer_mut(&table.place);
    let place = place.with_context(|| format!("{} is no place", table.place))?;
    if table.replaces {
        *place = given;
    } else if let (Value::Object(there), Value::Object(given)) = (place, given) {
        there.extend(given);
    } else {
        bail!("{} is no object", table.place);
    }
    Ok(config)
}

/// All errors of a configuration, one per line.
fn errors_of(configuration: &Value) -> String {
    let parsed = config::parse(configuration.to_string().as_bytes());
    parsed
        .err()
        .map(|errors| errors.to_string())
        .unwrap_or_default()
}

/// The configuration of the page itself, and with each of its examples.
fn accepted(page: &Page) -> Result<Vec<Value>> {
    let mut all = vec![page.base.clone()];
    for table in &page.tables {
        for example in table.rows.iter().flat_map(|row| &row.examples) {
            all.push(with(&page.base, table, example)?);
        }
    }
    Ok(all)
}

#[test]
fn every_example_is_accepted_and_every_mistake_gives_its_message() -> Result<()> {
    let page = Page::read()?;
    assert_eq!(errors_of(&page.base), "");
    let mut wrong = Vec::new();
    for table in &page.tables {
        for row in &table.rows {
            let examples = row.examples.iter().map(|example| (example, ""));
            let mistakes = row
                .mistakes
                .iter()
                .map(|(mistake, message)| (mistake, &**message));
            for (fragment, message) in examples.chain(mistakes) {
                let errors = errors_of(&with(&page.base, table, fragment)?);
                if errors != message {
                    wrong.push(format!("{fragment}\n  page:  {message}\n  divvy: {errors}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn examples_and_mistakes_contain_the_field_of_their_row() -> Result<()> {
    for table in Page::read()?.tables {
        for row in &table.rows {
            let mistakes = row.mistakes.iter().map(|(mistake, _)| mistake);
            for fragment in row.examples.iter().chain(mistakes) {
                let about = fields(fragment)?.get(&row.field).is_some();
                assert!(about, "{}: {fragment}", row.field);
            }
        }
    }
    Ok(())
}

#[test]
fn the_tables_have_exactly_the_fields_that_divvy_knows() -> Result<()> {
    let page = Page::read()?;
    let mut rows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for table in &page.tables {
        let fields = rows.entry(kind(&table.place)).or_default();
        for row in &table.rows {
            let new = fields.insert(row.field.clone());
            assert!(new, "{} stands twice for {}", row.field, table.place);
        }
    }
    let mut objects = BTreeMap::new();
    for config in accepted(&page)? {
        for place in places(&config) {
            if let Entry::Vacant(new) = objects.entry(kind(&place)) {
                new.insert(known(&config, &place).context(place)?);
            }
        }
    }
    for (object, mut known) in objects {
        // The operators of a condition serve the path of a `match` as well.
        let (described, operators) = match object.strip_prefix("/rollouts/*/match/*/path") {
            Some("") => ("/rollouts/*/rules/*/when".to_owned(), true),
            Some(below) => (format!("/rollouts/*/rules/*/when{below}"), false),
            None => (object.clone(), false),
        };
        let described = rows
            .get(&described)
            .with_context(|| format!("no table for {object}"))?;
        if operators {
            known.extend(described.iter().cloned());
        }
        assert_eq!(*described, known, "{object}");
    }
    Ok(())
}

/// All objects in a configuration, as JSON pointers.
fn places(config: &Value) -> Vec<String> {
    fn walk(value: &Value, place: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.push(place.to_owned());
                for (key, value) in map {
                    walk(value, &format!("{place}/{key}"), found);
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    walk(value, &format!("{place}/{index}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(config, "", &mut found);
    found
}

/// The kind of the object at a place: elements of a list are of one kind, and so are nested
/// conditions and identities.
fn kind(place: &str) -> String {
    let segments = place.split('/').map(|segment| {
        let index = segment.parse::<usize>().is_ok();
        if index { "*" } else { segment }
    });
    let mut kind = segments.collect::<Vec<_>>().join("/") + "/";
    // All conditions, arms and identity sources are of one kind each.
    for (place, same) in [
        ("/rollouts/*/identity/", "/identity/"),
        ("/identity/*/mint/when/", "/rollouts/*/rules/*/when/"),
        ("/match/*/when/", "/rules/*/when/"),
        ("/rules/*/split/", "/strategy/abTest/split/"),
        ("/strategy/weighted/", "/strategy/abTest/split/"),
    ] {
        kind = kind.replace(place, same);
    }
    for nested in ["/all/*/", "/any/*/", "/not/", "/concat/*/"] {
        kind = kind.replace(nested, "/");
    }
    kind.trim_end_matches('/').to_owned()
}

/// The fields of an object, from the error about an unknown field.
fn known(config: &Value, place: &str) -> Result<BTreeSet<String>> {
    let mut config = config.clone();
    config.pointer_mut(place).context("a place")?["nonsense"] = json!(1);
    let errors = errors_of(&config);
    let (_, known) = errors
        .split_once("unknown field `nonsense`, expected ")
        .context(errors.clone())?;
    let known = known.lines().next().unwrap_or_default();
    Ok(known
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect())
}

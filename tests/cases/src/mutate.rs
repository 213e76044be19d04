//! Changes to a configuration that leave it JSON, and mostly a configuration.
//!
//! What may stand where is learned from valid examples: a value is swapped for one that
//! stood under the same key elsewhere, an object gets a field that objects in its place
//! have. So a feature that comes with rows in the case tables is fuzzed from that day on.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use fastrand::Rng;
use serde_json::{Map, Number, Value};

/// Changes a configuration, or `None` if the bytes are no JSON.
#[must_use]
pub fn mutated(config: &[u8], seed: u64) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(config).ok()?;
    let mut random = Rng::with_seed(seed);
    for _ in 0..random.usize(1..=4) {
        change(&mut value, &mut random);
    }
    Some(value.to_string().into_bytes())
}

fn change(config: &mut Value, random: &mut Rng) {
    let mut nodes = Vec::new();
    list(config, "", String::new(), &mut nodes);
    let (pointer, kind) = nodes.swap_remove(random.usize(..nodes.len()));
    // A name that stands somewhere else in it, as references do.
    let strings: Vec<_> = nodes
        .iter()
        .filter_map(|(pointer, _)| config.pointer(pointer)?.as_str())
        .map(str::to_owned)
        .collect();
    let elsewhere = random.choice(strings);
    let Some(node) = config.pointer_mut(&pointer) else {
        return;
    };
    match (random.u8(..10), node) {
        (0..4, Value::Object(map)) => add_field(map, &kind, random),
        (4..6, Value::Object(map)) => {
            let keys: Vec<_> = map.keys().cloned().collect();
            if let Some(key) = random.choice(keys) {
                map.remove(&key);
            }
        }
        (0..6, Value::Array(items)) => change_list(items, &kind, random),
        (0..3, node @ Value::String(_)) if elsewhere.is_some() => {
            *node = elsewhere.map_or(Value::Null, Value::String);
        }
        (3..5, Value::String(text)) => change_text(text, random),
        (0..5, Value::Bool(flag)) => *flag = !*flag,
        (0..5, node @ Value::Number(_)) => *node = number(random),
        (9, node) => *node = LEARNED.any(random),
        (_, node) => {
            if let Some(other) = LEARNED.of_kind(&kind, random) {
                *node = other;
            }
        }
    }
}

fn add_field(map: &mut Map<String, Value>, kind: &str, random: &mut Rng) {
    let fields = LEARNED.fields.get(kind);
    if let Some((key, value)) = fields.and_then(|fields| random.choice(fields)) {
        map.insert(key.clone(), value.clone());
    }
}

fn change_list(items: &mut Vec<Value>, kind: &str, random: &mut Rng) {
    let len = items.len();
    match random.u8(..4) {
        0 if len > 0 => drop(items.remove(random.usize(..len))),
        1 if len > 0 => items.push(items[random.usize(..len)].clone()),
        2 if len > 0 => items.swap(random.usize(..len), random.usize(..len)),
        _ => items.extend(LEARNED.of_kind(&format!("{kind}[]"), random)),
    }
}

fn change_text(text: &mut String, random: &mut Rng) {
    const PARTS: [&str; 16] = [
        "", " ", ".", "-", "*", "/", ";", "=", ",", "\"", "%", "\0", "ÿ", "é", "A", "0",
    ];
    let part = PARTS[random.usize(..PARTS.len())];
    let boundaries: Vec<_> = (0..=text.len())
        .filter(|at| text.is_char_boundary(*at))
        .collect();
    let at = boundaries[random.usize(..boundaries.len())];
    match random.u8(..4) {
        0 => text.truncate(at),
        1 => *text = part.to_owned(),
        2 => *text = text.repeat(random.usize(2..40).min(1 + 600 / text.len().max(1))),
        _ => text.insert_str(at, part),
    }
}

fn number(random: &mut Rng) -> Value {
    let edges = [
        0.0, -0.0, 0.0001, 0.00001, 0.5, 1.0, 50.0, 99.9999, 100.0, 100.0001, 1e6, -1.0, 1e300,
    ];
    let wholes = [
        0,
        1,
        2,
        50,
        99,
        100,
        101,
        1_000_000,
        1_000_001,
        u64::from(u32::MAX) + 1,
        u64::MAX,
    ];
    match random.u8(..3) {
        0 => Value::from(edges[random.usize(..edges.len())]),
        1 => Value::from(wholes[random.usize(..wholes.len())]),
        _ => Number::from_f64(f64::from(random.u32(..=1_000_000)) / 1e4)
            .map_or(Value::Null, Value::Number),
    }
}

/// All nodes: where they stand, and of what kind that makes them, which is the key they
/// stand under, with `[]` for each list in between.
fn list(value: &Value, kind: &str, pointer: String, nodes: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                list(child, key, format!("{pointer}/{escaped}"), nodes);
            }
        }
        Value::Array(items) => {
            for (index, child) in items.iter().enumerate() {
                list(
                    child,
                    &format!("{kind}[]"),
                    format!("{pointer}/{index}"),
                    nodes,
                );
            }
        }
        _ => {}
    }
    nodes.push((pointer, kind.to_owned()));
}

/// What stands where in valid configurations.
#[derive(Default)]
struct Learned {
    values: BTreeMap<String, Vec<Value>>,
    fields: BTreeMap<String, Vec<(String, Value)>>,
}

static LEARNED: LazyLock<Learned> = LazyLock::new(|| {
    let mut learned = Learned::default();
    let groups: Value = serde_json::from_str(crate::DECISIONS).expect("the table is JSON");
    for group in groups.as_array().expect("the table is a list") {
        learned.learn(&group["config"]);
    }
    for whole in [crate::RICH, crate::VALID] {
        learned.learn(&serde_json::from_str(whole).expect("it is JSON"));
    }
    learned
});

impl Learned {
    fn learn(&mut self, config: &Value) {
        let mut nodes = Vec::new();
        list(config, "", String::new(), &mut nodes);
        for (pointer, kind) in nodes {
            let Some(value) = config.pointer(&pointer) else {
                continue;
            };
            if let Value::Object(map) = value {
                let fields = self.fields.entry(kind.clone()).or_default();
                for field in map.clone() {
                    if !fields.contains(&field) {
                        fields.push(field);
                    }
                }
            }
            let values = self.values.entry(kind).or_default();
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
    }

    fn of_kind(&self, kind: &str, random: &mut Rng) -> Option<Value> {
        random.choice(self.values.get(kind)?).cloned()
    }

    fn any(&self, random: &mut Rng) -> Value {
        let kinds = random.choice(self.values.values());
        kinds
            .and_then(|values| random.choice(values).cloned())
            .unwrap_or(Value::Null)
    }
}

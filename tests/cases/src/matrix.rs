//! Every source with every operator: matching, other, absent and hostile values.

use serde_json::{Value, json};

use crate::source::Source;
use crate::{Case, Group, Kind};

use Source::{
    Cookie, Header, Host, Identity, JwtClaim, Label, Method, Path, Peer, Query, SourceIp,
};

const SOURCES: [Source; 11] = [
    Header, Cookie, Query, Label, JwtClaim, Path, Method, Host, SourceIp, Peer, Identity,
];

/// An operator with matching and other values.
struct Row {
    name: &'static str,
    operator: Value,
    passing: &'static [&'static str],
    failing: &'static [&'static str],
}

const fn row(
    name: &'static str,
    operator: Value,
    passing: &'static [&'static str],
    failing: &'static [&'static str],
) -> Row {
    Row {
        name,
        operator,
        passing,
        failing,
    }
}

/// Operators for most sources. No hostile value contains a matching one.
fn texts() -> Vec<Row> {
    vec![
        row(
            "exact",
            json!({"exact": "ab1"}),
            &["ab1"],
            &["ab12", "ab", "AB1", ""],
        ),
        row(
            "prefix",
            json!({"prefix": "ab"}),
            &["ab", "ab/x"],
            &["xab", "a", "AB"],
        ),
        row(
            "suffix",
            json!({"suffix": "b1"}),
            &["b1", "ab1"],
            &["b1x", "1", "B1"],
        ),
        row(
            "contains",
            json!({"contains": "ab1"}),
            &["ab1", "xab1x"],
            &["a-b1", "AB1"],
        ),
        row(
            "in",
            json!({"in": ["x", "ab1"]}),
            &["x", "ab1"],
            &["ab", "y", "X"],
        ),
        row(
            "regex",
            json!({"regex": "[a-c]+[0-9]"}),
            &["ab1", "c0"],
            &["ab", "xab1", "ab1x", "AB1"],
        ),
        any_case("exact", json!("aB1"), &["Ab1", "AB1", "ab1"], &["ab2"]),
        any_case("prefix", json!("aB"), &["AB/x", "ab"], &["xab"]),
        any_case("suffix", json!("B1"), &["xb1", "xB1"], &["b1x"]),
        any_case("contains", json!("aB1"), &["xAb1x"], &["a-b1"]),
        any_case("in", json!(["x", "aB1"]), &["X", "Ab1"], &["ab"]),
        any_case("regex", json!("[a-c]+[0-9]"), &["aB1"], &["dB1"]),
    ]
}

fn any_case(
    name: &'static str,
    operand: Value,
    passing: &'static [&'static str],
    failing: &'static [&'static str],
) -> Row {
    row(
        name,
        json!({name: operand, "ignoreCase": true}),
        passing,
        failing,
    )
}

/// Operators that do not compare text, for all sources that can have such values.
fn others() -> Vec<Row> {
    vec![
        row(
            "semver",
            json!({"semver": ">=2.3, <3"}),
            &["2.3", "v2.9.1", "2.10.0"],
            &["3", "2.2.9", "2.4.0-beta", "x"],
        ),
        row(
            "range",
            json!({"range": {"min": 10, "max": 20}}),
            &["10", "15.5"],
            &["20", "9.9", "1e1", "x"],
        ),
        row(
            "cidr",
            json!({"cidr": ["10.0.0.0/8", "2001:db8::/32"]}),
            &["10.1.2.3"],
            &["11.0.0.1", "10.1.2", "x"],
        ),
    ]
}

fn addresses() -> Vec<Row> {
    vec![
        row(
            "exact",
            json!({"exact": "10.1.2.3"}),
            &["10.1.2.3"],
            &["10.1.2.4"],
        ),
        row(
            "exact",
            json!({"exact": "2001:DB8:0::1"}),
            &["2001:db8::1"],
            &["2001:db8::2"],
        ),
        row(
            "prefix",
            json!({"prefix": "10."}),
            &["10.1.2.3"],
            &["11.1.2.3"],
        ),
        row(
            "suffix",
            json!({"suffix": ".3"}),
            &["10.1.2.3"],
            &["10.1.2.4"],
        ),
        row(
            "contains",
            json!({"contains": ".2."}),
            &["10.1.2.3"],
            &["10.1.3.3"],
        ),
        row(
            "in",
            json!({"in": ["10.1.2.3", "::1"]}),
            &["10.1.2.3"],
            &["10.1.2.4"],
        ),
        row(
            "regex",
            json!({"regex": "10(\\.\\d+){3}"}),
            &["10.1.2.3"],
            &["11.1.2.3"],
        ),
        any_case(
            "contains",
            json!(":DB8:"),
            &["2001:db8::1"],
            &["2001:db9::1"],
        ),
        row("semver", json!({"semver": ">=0"}), &[], &["10.1.2.3"]),
        row("range", json!({"range": {"min": 0}}), &[], &["10.1.2.3"]),
        row(
            "cidr",
            json!({"cidr": ["10.0.0.0/8", "2001:db8::/32"]}),
            &["10.1.2.3", "2001:db8:ffff::1", "::ffff:10.1.2.3"],
            &["11.0.0.1", "2001:db9::1", "::ffff:11.0.0.1"],
        ),
    ]
}

const HOSTILE: [&str; 12] = [
    "ÿþ",
    "--1",
    "%",
    "%zz",
    "\"",
    "[[[[(",
    "1.2.3.4.5.6",
    "::::",
    "v",
    "=",
    ",,,",
    "\u{80}",
];

/// All groups of the matrix.
pub fn groups() -> Vec<Group> {
    SOURCES.into_iter().flat_map(groups_of).collect()
}

fn groups_of(source: Source) -> Vec<Group> {
    let mut rows = match source {
        SourceIp => addresses(),
        _ => texts().into_iter().chain(others()).collect(),
    };
    rows.push(row("present", json!({"present": true}), &[], &[]));
    rows.push(row("missing", json!({"present": false}), &[], &[]));
    rows.into_iter().map(|row| group(source, &row)).collect()
}

fn group(source: Source, row: &Row) -> Group {
    let shaped = |value: &str| source.shape(value);
    let mut cases = Vec::new();
    let mut add = |value: Option<&str>, holds: bool, kind: Kind| {
        let mut case = value.map_or_else(Case::default, |value| source.carry(value));
        let (version, reason) = if holds {
            ("v2", "rule")
        } else {
            ("v1", "active")
        };
        case.route = Some(version.to_owned());
        case.assignment = Some(format!("checkout={version};reason={reason}"));
        case.kind = kind;
        cases.push(case);
    };
    for value in row.passing.iter().filter_map(|value| shaped(value)) {
        // A path is not a number, a version or an address; a host has no capitals.
        let plain = source != Path || !matches!(row.name, "semver" | "range" | "cidr");
        add(Some(&value), plain, Kind::Ordinary);
    }
    for value in row.failing.iter().filter_map(|value| shaped(value)) {
        add(
            Some(&value),
            source == Host && row.operator_of(&value),
            Kind::Ordinary,
        );
    }
    let kind = if source.is_in_every_request() {
        Kind::Impossible
    } else {
        Kind::Ordinary
    };
    add(None, row.name == "missing", kind);
    let long = "9".repeat(3_000);
    for value in HOSTILE.into_iter().chain([&*long]) {
        let Some(value) = shaped(value) else { continue };
        // An identity of more than 256 bytes is unusable.
        let there = source != Identity || value.len() <= 256;
        let holds = match row.name {
            "present" => there,
            "missing" => !there,
            _ => false,
        };
        add(Some(&value), holds, Kind::Hostile);
    }
    let case = if row.operator.get("ignoreCase").is_some() {
        ", in any case"
    } else {
        ""
    };
    Group {
        name: format!("{source:?} × {}{case}", row.name),
        config: configuration(source, &row.operator),
        keys: None,
        cases,
    }
}

impl Row {
    /// Whether a value of the failing ones passes once it is in lower case, as hosts are.
    fn operator_of(&self, value: &str) -> bool {
        let lower = value.to_ascii_lowercase();
        lower != value && self.passing.contains(&lower.as_str())
    }
}

fn configuration(source: Source, operator: &Value) -> Value {
    let mut when = source.written();
    let operands = source.operands(operator);
    when.as_object_mut().expect("an object").extend(operands);
    json!({
        "identity": [{"header": "x-user-id"}],
        "ignoreIdentities": [],
        "rollouts": [{
            "name": "checkout",
            "target": "{version}",
            "versions": [{"name": "v1"}, {"name": "v2"}],
            "stable": "v1",
            "rules": [{"name": "r", "when": when, "use": "v2"}],
            "strategy": {"blueGreen": {"active": "v1"}},
        }],
    })
}

//! The structure of the sources: sizes of files; of `src/` also names of types and dependencies
//! between modules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Maximum number of lines of a file.
const MAX_LINES: usize = 400;

/// Each module of the filter with the modules that it may use, all of which stand above it. `core`
/// holds all but `json`, `config`, `filter` and `wasm`.
const MODULES: [(&str, &str); 20] = [
    ("bucket", ""),
    ("decision", ""),
    ("response", ""),
    ("guardrail", "bucket response"),
    ("unreachable", "guardrail response"),
    ("json", ""),
    ("signature", ""),
    ("request", "decision guardrail signature"),
    ("assignment", "decision request"),
    ("identity", "request signature"),
    ("overrides", "identity request signature"),
    ("condition", "assignment decision identity json request"),
    (
        "cookies",
        "assignment bucket condition decision identity request response signature",
    ),
    (
        "strategy",
        "bucket condition cookies decision guardrail request",
    ),
    (
        "policy",
        "assignment bucket condition cookies decision guardrail identity overrides request signature strategy unreachable",
    ),
    (
        "config",
        "assignment bucket condition cookies guardrail identity json overrides policy request signature strategy",
    ),
    (
        "decide",
        "assignment condition cookies decision guardrail identity overrides policy request strategy",
    ),
    (
        "output",
        "assignment cookies decide decision identity overrides policy request response signature",
    ),
    (
        "filter",
        "config cookies decide decision guardrail output policy request response signature unreachable",
    ),
    ("wasm", "filter guardrail request response"),
];

/// A source file without comments and unit tests.
struct Source {
    path: PathBuf,
    text: String,
    code: String,
}

/// The sources of the filter and of the command line.
fn sources() -> Vec<Source> {
    sources_in("src")
}

fn sources_in(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_owned();
                let code = code(&path, &text);
                sources.push(Source { path, text, code });
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

fn code(path: &Path, text: &str) -> String {
    if path.iter().any(|part| {
        ["test.rs", "tests.rs", "tests"]
            .map(AsRef::as_ref)
            .contains(&part)
    }) {
        return String::new();
    }
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn word(text: &str) -> &str {
    let mut words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.next().unwrap_or_default()
}

#[test]
fn every_file_is_short_and_begins_with_what_it_is() {
    for source in ["src", "tests", "envoy"].into_iter().flat_map(sources_in) {
        let (path, text) = (source.path.display(), &source.text);
        assert!(text.starts_with("//!"), "{path} does not begin with //!");
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{path} has {lines} lines");
    }
}

#[test]
fn every_type_name_exists_once() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for line in source.code.lines() {
            let item = line.trim_start();
            // `pub(crate)` and the like.
            let item = match item.strip_prefix("pub") {
                Some(rest) if rest.starts_with('(') => {
                    rest.split_once(") ").map_or("", |(_, item)| item)
                }
                Some(rest) => rest.trim_start(),
                None => item,
            };
            let name = ["struct ", "enum ", "trait ", "union "]
                .iter()
                .find_map(|keyword| item.strip_prefix(keyword));
            // A macro has `$name`.
            if let Some(name) = name.filter(|name| !word(name).is_empty()) {
                let places = places.entry(word(name).to_owned()).or_default();
                places.push(source.path.display().to_string());
            }
        }
    }
    assert!(places.len() > 200, "{} types", places.len());
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "{places:#?}");
}

#[test]
fn the_crates_of_the_filter_have_the_same_lints() {
    let lints = [
        "Cargo.toml",
        "src/core/Cargo.toml",
        "src/config/Cargo.toml",
        "src/json/Cargo.toml",
    ]
    .map(|path| {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let (_, lints) = text.split_once("\n[lints.clippy]\n").unwrap();
        lints.split("\n\n").next().unwrap().trim_end().to_owned()
    });
    assert!(lints.iter().all(|table| *table == lints[0]), "{lints:#?}");
}

#[test]
fn modules_use_only_those_below_them() {
    for (at, (module, uses)) in MODULES.iter().enumerate() {
        for used in uses.split(' ').filter(|used| !used.is_empty()) {
            let below = MODULES[..at].iter().any(|(name, _)| *name == used);
            assert!(
                below,
                "{module} may use {used}, which does not stand above it"
            );
        }
    }
    let mut wrong = Vec::new();
    for source in sources() {
        let path = source.path.strip_prefix("core").unwrap_or(&source.path);
        let first = path.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if ["cli", "lib", "module"].contains(&module) || source.path.starts_with("wasm/slim") {
            continue;
        }
        let row = MODULES.iter().find(|(name, _)| *name == module);
        let (_, uses) = row.unwrap_or_else(|| panic!("{module} is not in the table"));
        // `crate::{a, b}` is not used, so each path names its module. Two modules are crates of their
        // own, whose `crate` are their files.
        let root = match module {
            "config" | "json" => "divvy_core::",
            _ => "crate::",
        };
        let json = source.code.contains("divvy_json::").then_some("json");
        for used in source.code.split(root).skip(1).map(word).chain(json) {
            if used != module && !uses.split(' ').any(|allowed| allowed == used) {
                wrong.push(format!("{} uses {used}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "not in the table: {wrong:#?}");
}

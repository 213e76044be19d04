//! Runs the binary.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Runs divvy in the root of the repository with this standard input.
pub fn divvy_with(input: &str, args: &[&str]) -> Output {
    run(input, &root(), args)
}

/// Runs divvy in this folder.
pub fn divvy_in(folder: &Path, args: &[&str]) -> Output {
    run("", folder, args)
}

fn run(input: &str, folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_divvy"));
    command.args(args).current_dir(folder);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read standard input closes it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub fn divvy(args: &[&str]) -> Output {
    divvy_with("", args)
}

/// Standard output. Asserts that the command printed some, or no error.
pub fn text(output: &Output) -> String {
    let complaint = complaint(output);
    assert!(
        !output.stdout.is_empty() || complaint.is_empty(),
        "{complaint}"
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The output with `--output json`.
pub fn json_with(input: &str, args: &[&str]) -> Value {
    let output = divvy_with(input, &[args, &["--output", "json"]].concat());
    let text = text(&output);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{args:?}: {error}: {text}{}", complaint(&output));
    })
}

pub fn json(args: &[&str]) -> Value {
    json_with("", args)
}

/// A file that is deleted when the path is dropped.
pub fn file(ending: &str, text: &str) -> tempfile::TempPath {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.into_temp_path()
}

//! What envoy/docs/CLI.md, EXPERIMENT.md and MIGRATING.md show equals the output of the commands, and the version is the
//! same wherever it is shipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::root;

/// The commands in the console blocks of a page, each with its output there.
fn consoles(page: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let blocks = page.split("```console\n").skip(1);
    for line in blocks
        .filter_map(|rest| rest.split("```").next())
        .flat_map(str::lines)
    {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((_, output))) => *output += &format!("{line}\n"),
            (None, None) => panic!("{line:?} is not the output of a command"),
        }
    }
    commands
}

#[test]
fn every_command_of_the_pages_prints_the_output_that_the_page_shows() {
    for page in [
        "envoy/docs/CLI.md",
        "envoy/docs/EXPERIMENT.md",
        "envoy/docs/MIGRATING.md",
    ] {
        commands_of(page);
    }
}

fn commands_of(page: &str) {
    let page = fs::read_to_string(root().join(page)).unwrap();
    let commands = consoles(&page);
    assert!(!commands.is_empty(), "no commands");
    let binary = Path::new(env!("CARGO_BIN_EXE_divvy")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let scratch = tempfile::tempdir().unwrap();
    for (command, expected) in commands {
        let command = command.replace("target/", &format!("{}/", scratch.path().display()));
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &command])
            .current_dir(root())
            .env("PATH", &path);
        let output = shell.output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "{command}"
        );
    }
}

/// The files below a folder, or the file itself.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.flat_map(|entry| files(&entry.path())).collect()
}

#[test]
fn images_and_pages_name_the_version_of_the_package() {
    let version = env!("CARGO_PKG_VERSION");
    let mut found = 0;
    for place in ["README.md", "RELEASING.md", "SECURITY.md", "envoy", "istio"] {
        for file in files(&root().join(place)) {
            let is_shipped = |extension| extension == "md" || extension == "yaml";
            if !file.extension().is_some_and(is_shipped) {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            for image in [
                "registry.example.com/divvy:",
                "registry.example.com/divvy-cli:",
            ] {
                for (at, _) in text.match_indices(image) {
                    let tag = &text[at + image.len()..];
                    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
                    let tag = tag.split(|letter| !is_part(letter)).next();
                    assert_eq!(tag, Some(version), "{}", file.display());
                    found += 1;
                }
            }
        }
    }
    assert!(found > 10, "{found}");
    let read = |file: &str| fs::read_to_string(root().join(file)).unwrap();
    let minor = version.rsplit_once('.').unwrap().0;
    assert!(read("README.md").contains(&format!("(Version {minor}, ")));
    let heading = format!("\n## {version} - ");
    assert!(read("CHANGELOG.md").contains(&heading), "{heading}");
}

//! What envoy/docs/CLI.md, EXPERIMENT.md and MIGRATING.md show equals the output of the commands.

use std::path::Path;
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
    let page = std::fs::read_to_string(root().join(page)).unwrap();
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

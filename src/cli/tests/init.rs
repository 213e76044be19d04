//! `divvy init`: every combination of flags gives a configuration that passes the strict check.

use std::io::Cursor;

use clap::Parser as _;
use divvy_cli::init::{InitArgs, Questions};
use divvy_cli::{Cli, Verb};

use crate::common::{complaint, divvy, json_with, text};

const SOURCES: [&[&str]; 6] = [
    &["--identity", "header:x-user-id"],
    &["--identity", "cookie:shop_user"],
    &["--identity", "query:uid", "--identity", "jwt:sub"],
    &["--random"],
    &["--identity", "header:x-user-id", "--random"],
    &["--identity", "header:true"],
];

#[test]
fn every_combination_of_flags_passes_the_strict_check() {
    let versions: [&[&str]; 4] = [
        &["--versions", "v1,v2"],
        &["--versions", "blue,green", "--stable", "green"],
        &["--versions", "a,b,c"],
        // Texts that YAML would take for something else.
        &["--versions", "1,no", "--name", "null"],
    ];
    for source in SOURCES {
        for versions in versions {
            for platform in ["envoy", "istio"] {
                let flags = ["init", "--platform", platform, "--weight", "0.5"];
                let output = divvy(&[&flags, source, versions].concat());
                let configuration = text(&output);
                let report = json_with(&configuration, &["check", "--strict", "-"]);
                assert_eq!(report["findings"], serde_json::json!([]), "{configuration}");
                let commented = configuration
                    .lines()
                    .filter(|line| line.contains("# "))
                    .count();
                assert!(commented > 15, "{configuration}");
                // Commented alternatives are valid too.
                assert!(configuration.contains(&format!("divvy render {platform}")));
            }
        }
    }
}

#[test]
fn the_commented_alternatives_are_valid() {
    let configuration = text(&divvy(&[
        "init",
        "--random",
        "--versions",
        "v1,v2",
        "--platform",
        "envoy",
    ]));
    let mut alternatives = 0;
    for field in ["# canary: ", "# blueGreen: ", "# guardrail: ", "# match: "] {
        let lines = configuration.lines().map(|line| {
            let is_current = line.trim_start().starts_with("canary: ");
            match line.contains(field) {
                true => line.replacen("# ", "", 1),
                // A strategy is exactly one.
                false if is_current && !field.starts_with("# g") && !field.starts_with("# m") => {
                    String::new()
                }
                false => line.to_owned(),
            }
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        let report = json_with(&text, &["check", "-"]);
        assert_eq!(report["errors"], 0, "{field}: {report:#}");
        alternatives += usize::from(text != configuration);
    }
    assert_eq!(alternatives, 4);
}

#[test]
fn mistakes_and_missing_flags_have_messages() {
    for (args, message) in [
        (
            &["init"][..],
            "there is no terminal to ask in, and these flags are missing: --identity (or --random), --versions, --platform",
        ),
        (
            &["init", "--random", "--versions", "a,b"],
            "missing: --platform. For example: divvy init",
        ),
        (&["init", "--identity", "x-user-id"], "write header:NAME"),
        (&["init", "--identity", "header:"], "write header:NAME"),
        (
            &["init", "--random", "--platform", "envoy", "--versions", "a"],
            "two versions are required",
        ),
        (
            &[
                "init",
                "--random",
                "--platform",
                "envoy",
                "--versions",
                "a,a",
            ],
            "two versions are required",
        ),
        (
            &[
                "init",
                "--random",
                "--platform",
                "envoy",
                "--versions",
                "a,b",
                "--stable",
                "c",
            ],
            "--stable c: is not one of the versions a, b",
        ),
        (
            &[
                "init",
                "--random",
                "--platform",
                "envoy",
                "--versions",
                "a,b c",
            ],
            "\"b c\" is not a valid name",
        ),
        (
            &[
                "init",
                "--random",
                "--platform",
                "envoy",
                "--versions",
                "a,b\nrules: []",
            ],
            "is not a valid name",
        ),
        (
            &[
                "init",
                "--random",
                "--platform",
                "envoy",
                "--versions",
                "a,b",
                "--name",
                "A",
            ],
            "rollouts[0].name: ",
        ),
        (
            &[
                "init",
                "--identity",
                "header:x.y",
                "--platform",
                "envoy",
                "--versions",
                "a,b",
            ],
            "contains a dot",
        ),
        (
            &[
                "init",
                "--random",
                "--platform",
                "envoy",
                "--versions",
                "a,b",
                "--weight",
                "101",
            ],
            "is not a number from 0 to 100",
        ),
        (
            &[
                "init",
                "--random",
                "--platform",
                "envoy",
                "--versions",
                "a,b",
                "--into",
                "README.md",
            ],
            "README.md exists",
        ),
        (
            &[
                "init",
                "--random",
                "--platform",
                "envoy",
                "--versions",
                "a,b",
                "--output",
                "json",
            ],
            "--output json has no effect here",
        ),
    ] {
        let output = divvy(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let found = complaint(&output);
        assert!(found.contains(message), "{args:?}: {found}");
        assert!(output.stdout.is_empty());
    }
}

fn init(args: &[&str]) -> InitArgs {
    let cli = Cli::try_parse_from([&["divvy", "init"], args].concat()).unwrap();
    match cli.verb {
        Verb::Init(args) => args,
        _ => panic!(),
    }
}

#[test]
fn answers_have_the_effect_of_flags_and_wrong_ones_are_asked_again() {
    let mut asked = init(&[]);
    let answers = "shop\nheader\ncookie:id, random\nv1\nblue,green\nred\ngreen\nk8s\nistio\n";
    let mut out = Vec::new();
    asked
        .ask(&mut Questions::new(Cursor::new(answers), &mut out))
        .unwrap();
    let given = init(&[
        "--name",
        "shop",
        "--identity",
        "cookie:id",
        "--random",
        "--versions",
        "blue,green",
        "--stable",
        "green",
        "--platform",
        "istio",
    ]);
    assert_eq!(format!("{asked:?}"), format!("{given:?}"));
    let out = String::from_utf8(out).unwrap();
    for message in [
        "\"header\": write header:NAME",
        "\"v1\": two versions are required",
        "\"red\": is not one of blue, green",
        "\"k8s\": is not envoy or istio",
    ] {
        assert!(out.contains(message), "{out}");
    }

    // Only what is missing is asked, and an empty answer stands for the default.
    let mut asked = init(&["--identity", "header:x", "--name", "a"]);
    let mut out = Vec::new();
    asked
        .ask(&mut Questions::new(Cursor::new("\n\n\n"), &mut out))
        .unwrap();
    let given = init(&[
        "--identity",
        "header:x",
        "--name",
        "a",
        "--versions",
        "v1,v2",
        "--stable",
        "v1",
        "--platform",
        "envoy",
    ]);
    assert_eq!(format!("{asked:?}"), format!("{given:?}"));
    let mut out = Vec::new();
    let error = init(&[])
        .ask(&mut Questions::new(Cursor::new("a\n"), &mut out))
        .unwrap_err();
    assert_eq!(error.to_string(), "no answer");
}

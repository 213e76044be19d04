//! `divvy ui`: what it answers, what it refuses, and the file that it follows.

mod lab;
mod refused;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::admission::lab::eventually;
use crate::common::{complaint, divvy, root};
use lab::{SILENT, Ui};

#[test]
fn the_page_and_its_files_are_served_with_a_strict_policy() {
    let ui = Ui::start(&[]);
    let index = ui.get("/");
    let marked = "<head><meta name=\"divvy-server\" content=\"1\"><title>";
    assert!(index.body.contains(marked), "{index:?}");
    assert_eq!(ui.get("/index.html").body, index.body);
    let script = ui.get("/inner/a.js");
    assert_eq!((script.status, script.body.as_str()), (200, "1"));
    for (path, status, media) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/inner/a.js", 200, "text/javascript; charset=utf-8"),
        ("/api/live", 200, "application/json"),
        ("/api/file", 200, "application/json"),
        ("/none", 404, "text/plain; charset=utf-8"),
    ] {
        let answer = ui.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), Some(media), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval';",
            "style-src 'self';",
            "connect-src 'self';",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "deny"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-cache"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let head = ui.request("HEAD", "/inner/a.js", "host: localhost\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let tag = script.header("etag").unwrap();
    let known = format!("host: localhost\r\nif-none-match: \"x\", W/{tag}\r\n");
    assert_eq!(ui.request("GET", "/inner/a.js", &known).status, 304);
}

#[test]
fn the_file_is_followed_through_replacement_absence_and_errors() {
    let canary = |weight: u32| {
        format!(
            "identity: [{{header: x-user-id}}]\nrollouts:\n- name: checkout\n  versions: [{{name: v1}}, {{name: v2}}]\n  \
             stable: v1\n  strategy: {{canary: {{version: v2, weight: {weight}}}}}\n"
        )
    };
    let ui = Ui::start(&["canary.yaml"]);
    let absent = ui.get_file();
    assert_eq!(absent["name"], "canary.yaml");
    assert_eq!(absent["text"], Value::Null);
    let error = absent["error"].as_str().unwrap();
    assert!(error.starts_with("canary.yaml: No such file"), "{error}");

    ui.write("canary.yaml", &canary(5));
    let first = ui.get("/api/file");
    assert_eq!(first.json()["text"], canary(5).as_str());
    let tag = first.header("etag").unwrap().to_owned();
    let unless = format!("host: localhost\r\nif-none-match: {tag}\r\n");
    assert_eq!(ui.request("GET", "/api/file", &unless).status, 304);
    let file = &ui.get("/api/live").json()["file"];
    assert!(
        file["hash"].is_string() && file["error"].is_null(),
        "{file}"
    );

    // As kubectl, git and editors replace a file; of the same length, within a second.
    ui.write("new.yaml", &canary(6));
    let path = |name: &str| ui.folder.path().join(name);
    fs::rename(path("new.yaml"), path("canary.yaml")).unwrap();
    let second = ui.request("GET", "/api/file", &unless);
    assert_eq!(second.json()["text"], canary(6).as_str());
    assert_ne!(ui.get("/api/live").json()["file"]["hash"], file["hash"]);
    // In place.
    ui.write("canary.yaml", "rollouts: [");
    assert_eq!(ui.get_file()["text"], "rollouts: [");
    let broken = &ui.get("/api/live").json()["file"];
    assert!(
        broken["hash"].is_null() && broken["error"].is_string(),
        "{broken}"
    );

    for (kind, message) in [
        ("large", "has more than 4 MiB"),
        ("bytes", "is not UTF-8"),
        ("folder", "is not a regular file"),
    ] {
        fs::remove_file(path("canary.yaml")).unwrap();
        match kind {
            "large" => fs::write(path("canary.yaml"), " ".repeat((4 << 20) + 1)).unwrap(),
            "bytes" => fs::write(path("canary.yaml"), [0xff]).unwrap(),
            _ => fs::create_dir(path("canary.yaml")).unwrap(),
        }
        let answer = ui.get_file();
        let error = answer["error"].as_str().unwrap();
        assert!(
            error.contains(message) && answer["text"].is_null(),
            "{kind}: {error}"
        );
    }
    fs::remove_dir(path("canary.yaml")).unwrap();
    ui.write("canary.yaml", &canary(7));
    assert_eq!(ui.get_file()["text"], canary(7).as_str());
}

#[test]
fn a_proxy_that_does_not_answer_is_named_with_its_error() {
    let ui = Ui::start(&["--admin", "127.0.0.1:2"]);
    let live = eventually("look at the proxies", || {
        let live = ui.get("/api/live").json();
        live["time"].is_u64().then_some(live)
    });
    assert_eq!(live["format"], 1);
    assert_eq!(live["every"], 100);
    for (index, port) in [1, 2].into_iter().enumerate() {
        let proxy = &live["proxies"][index];
        let url = format!("http://127.0.0.1:{port}/stats/prometheus");
        assert_eq!(proxy["url"], url.as_str());
        assert!(proxy["error"].is_string(), "{proxy}");
        let finding = live["findings"][index].as_str().unwrap();
        assert!(finding.starts_with(&format!("{url} does not answer: ")));
        assert_eq!(live["events"][index]["kind"], "silent");
    }
    let nothing = &ui.get_file();
    assert_eq!(
        (&nothing["name"], &nothing["error"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn a_prometheus_that_does_not_answer_is_an_error_and_the_server_goes_on() {
    let ui = Ui::start_with(&["--prometheus", SILENT, "--job", "edge"]);
    let live = eventually("look at Prometheus", || {
        let live = ui.get("/api/live").json();
        live["error"].is_string().then_some(live)
    });
    let error = live["error"].as_str().unwrap();
    assert!(
        error.starts_with("http://127.0.0.1:1 does not answer"),
        "{error}"
    );
    assert_eq!(live["source"], "Prometheus at 127.0.0.1:1");
    assert_eq!(live["time"], Value::Null);
    let both = divvy(&["ui", "--prometheus", SILENT, "--admin", SILENT]);
    assert_eq!(both.status.code(), Some(2));
    assert!(complaint(&both).contains("cannot be used with"), "{both:?}");
}

#[test]
fn a_program_without_the_page_says_so() {
    let empty = tempfile::tempdir().unwrap();
    let output = divvy(&["ui", "--page", empty.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        complaint(&output).contains("has no index.html"),
        "{output:?}"
    );
    // Far from a folder with a page. A link, because a copy can be open for writing in the child of another test.
    let built = Path::new(env!("CARGO_BIN_EXE_divvy"));
    let folder = tempfile::tempdir_in(built.parent().unwrap()).unwrap();
    fs::create_dir(folder.path().join("bin")).unwrap();
    let program = folder.path().join("bin/divvy");
    fs::hard_link(built, &program).unwrap();
    if cfg!(not(feature = "page")) {
        let output = Command::new(program)
            .args(["ui", "--listen", "127.0.0.1:0"])
            .current_dir(root())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let message = "divvy: this divvy was built without the page, which the program of a release contains: `make page` writes it to target/page, and --page DIR says where it is\n";
        assert_eq!(complaint(&output), message);
    }
}

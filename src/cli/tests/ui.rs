//! `divvy ui`: what it answers, what it refuses, and the file that it follows.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::admission::lab::eventually;
use crate::common::{complaint, divvy, root};

const PATIENCE: Duration = Duration::from_secs(30);
const INDEX: &str = "<!doctype html><html><head><title>p</title></head></html>";
/// No process listens on this port, and no other test can get it.
const SILENT: &str = "127.0.0.1:1";

/// A running server with a page of two files.
struct Ui {
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

/// A response.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// In lower case.
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Ui {
    /// With a proxy that does not answer.
    fn start(args: &[&str]) -> Self {
        Self::start_with(&[&["--admin", SILENT], args].concat())
    }

    fn start_with(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page");
        fs::create_dir_all(page.join("inner")).unwrap();
        fs::write(page.join("index.html"), INDEX).unwrap();
        fs::write(page.join("inner/a.js"), "1").unwrap();
        fs::write(folder.path().join("secret.txt"), "secret").unwrap();
        std::os::unix::fs::symlink("../secret.txt", page.join("link.txt")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_divvy"));
        command
            .args(["ui", "--listen", "127.0.0.1:0", "--every", "100ms"])
            .args(["--output", "json", "--page"])
            .arg(&page)
            .args(args)
            .current_dir(folder.path())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let url: Value = serde_json::from_str(&line).unwrap();
        let url = url["url"].as_str().unwrap();
        let port = url.strip_prefix("http://127.0.0.1:").unwrap();
        let port = port.parse().unwrap();
        Self {
            folder,
            port,
            child,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The response to these bytes, on a connection of its own; `None` if it is closed without one.
    fn send(&self, bytes: &[u8]) -> Option<Answer> {
        let mut stream = self.connect();
        // The server may refuse a request before it has all of it.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some(Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        })
    }

    fn request(&self, method: &str, path: &str, headers: &str) -> Answer {
        let head = format!("{method} {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
        let answer = self.send(head.as_bytes());
        answer.unwrap_or_else(|| panic!("no answer to {head:?}"))
    }

    fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "host: localhost\r\n")
    }

    fn get_file(&self) -> Value {
        self.get("/api/file").json()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
fn foreign_hosts_sites_and_methods_are_refused_for_every_path() {
    let ui = Ui::start(&["--host", "divvy.test"]);
    for path in ["/", "/inner/a.js", "/api/live", "/api/file", "/none"] {
        for (method, headers, status) in [
            ("GET", "host: evil.example\r\n", 421),
            ("GET", "host: 127.0.0.1.evil.example\r\n", 421),
            ("GET", "host: 10.0.0.1\r\n", 421),
            ("GET", "", 400),
            ("GET", "host: localhost\r\nhost: evil.example\r\n", 400),
            (
                "GET",
                "host: localhost\r\norigin: http://evil.example\r\n",
                403,
            ),
            ("GET", "host: localhost\r\norigin: null\r\n", 403),
            (
                "GET",
                "host: localhost\r\nsec-fetch-site: cross-site\r\n",
                403,
            ),
            (
                "GET",
                "host: localhost\r\nsec-fetch-site: same-site\r\n",
                403,
            ),
            ("POST", "host: localhost\r\ncontent-length: 0\r\n", 405),
            ("PUT", "host: localhost\r\ncontent-length: 0\r\n", 405),
            ("DELETE", "host: localhost\r\n", 405),
            ("OPTIONS", "host: localhost\r\n", 405),
            ("TRACE", "host: localhost\r\n", 405),
            ("X", "host: localhost\r\n", 405),
        ] {
            let answer = ui.request(method, path, headers);
            assert_eq!(answer.status, status, "{method} {path} {headers:?}");
            assert!(answer.header("content-security-policy").is_some());
            let allow = (status == 405).then_some("get, head");
            assert_eq!(answer.header("allow"), allow, "{method}");
        }
    }
    assert_eq!(ui.request("GET", "/", "host: divvy.test\r\n").status, 200);
    let link = "host: localhost\r\nsec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: ";
    let request = |path, dest| ui.request("GET", path, &format!("{link}{dest}\r\n"));
    assert_eq!(
        request("/", "document").status,
        200,
        "a link opens the page"
    );
    assert_eq!(request("/", "iframe").status, 403);
    assert_eq!(request("/api/file", "document").status, 403);
    let whole = ui.request("GET", "http://evil.example/api/file", "host: localhost\r\n");
    assert_eq!(whole.status, 421);
}

#[test]
fn no_path_leaves_the_page() {
    let ui = Ui::start(&[]);
    for path in [
        "/../secret.txt",
        "/inner/../../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/..\\secret.txt",
        "/link.txt",
        "//etc/passwd",
        "/inner",
        "/inner/",
        "/index.html/",
        "/\u{0}",
        "/%00",
        "/api/",
        "/api/file/x",
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = ui.send(request.as_bytes());
        let answer = answer.unwrap_or_else(|| panic!("{path:?}"));
        assert!([400, 404].contains(&answer.status), "{path:?}: {answer:?}");
        assert!(!answer.body.contains("secret"), "{path:?}: {answer:?}");
    }
}

#[test]
fn hostile_requests_get_an_error_and_the_server_goes_on() {
    let ui = Ui::start(&[]);
    let long = "a".repeat(200_000);
    let many = "x: y\r\n".repeat(5_000);
    for bytes in [
        format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"),
        "GET / HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET  / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}".to_owned(),
        "\u{0}".repeat(70_000),
        "GET * HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: \u{e9}\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: localhost\r\norigin: \u{e9}\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\ncontent-length: 1\r\n\r\n"
            .to_owned(),
        "CONNECT evil.example:80 HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
    ] {
        let bytes = bytes.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1);
        let answer = ui.send(bytes.as_bytes());
        let start: String = bytes.chars().take(40).collect();
        let is_error = answer.as_ref().is_none_or(|answer| answer.status >= 400);
        assert!(is_error, "{start:?}: {answer:?}");
    }
    for query in [
        "rollout=%ff",
        "rollout=%",
        &format!("rollout={long:.2000}"),
        "&&=&rollout",
    ] {
        let answer = ui.get(&format!("/api/live?{query}"));
        assert_eq!(answer.json()["rollout"], Value::Null, "{query}");
    }
    // A body is not read; what follows it is not a request.
    let smuggled = "GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 35\r\n\r\nGET /api/file HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = ui.send(smuggled.as_bytes()).unwrap();
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("HTTP/1.1"), "{answer:?}");
    assert_eq!(ui.get("/").status, 200);
}

#[test]
fn slow_clients_are_cut_off_and_others_are_served() {
    let ui = Ui::start(&[]);
    // Not complete, byte by byte, without reading.
    let mut slow: Vec<_> = (0..100).map(|_| ui.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: ").unwrap();
    }
    let start = Instant::now();
    assert_eq!(ui.get("/").status, 200);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    // More than the server accepts at once: they go after the timeout of headers.
    let idle: Vec<_> = (0..100).map(|_| ui.connect()).collect();
    assert_eq!(ui.get("/").status, 200);
    let mut closed = 0;
    for mut stream in slow {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        closed += 1;
    }
    assert_eq!((closed, idle.len()), (100, 100));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
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
    // Far from a folder with a page.
    let program = empty.path().join("bin/divvy");
    fs::create_dir(empty.path().join("bin")).unwrap();
    fs::copy(Path::new(env!("CARGO_BIN_EXE_divvy")), &program).unwrap();
    if cfg!(not(feature = "page")) {
        let output = Command::new(program)
            .args(["ui", "--listen", "127.0.0.1:0"])
            .current_dir(root())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let message = "divvy: this divvy was built without the page: `make page` writes it to target/page, and --page DIR says where it is\n";
        assert_eq!(complaint(&output), message);
    }
}

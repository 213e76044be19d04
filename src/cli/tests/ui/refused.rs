//! Requests that no page of this server sends.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{PATIENCE, Ui};

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

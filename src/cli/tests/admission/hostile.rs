//! Requests that no API server sends.

use std::time::Duration;

use serde_json::json;

use super::lab::{Client, Server, canary, eventually, plugin, review};

const JSON: &str = "content-type: application/json\r\n";

#[test]
fn every_bad_request_gets_a_status_and_a_reason() {
    let server = Server::start(&[]);
    let valid = review(&plugin(&canary(20))).to_string();
    let other_version = valid.replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1");
    let other_kind = valid.replace("AdmissionReview", "Pod");
    let without_uid = valid.replace("\"uid\":", "\"id\":");
    let number = valid.replace("\"705ab4f5-6393-11e8-b7cc-42010a800002\"", "7");
    let cut_off = &valid[..valid.len() / 2];
    let deep = "[".repeat(100_000);
    for (method, path, headers, body, status, reason) in [
        (
            "POST",
            "/check",
            JSON,
            "",
            400,
            "the body is not an AdmissionReview: EOF while parsing",
        ),
        (
            "POST",
            "/check",
            JSON,
            "null",
            400,
            "the body is not an AdmissionReview: invalid type: null",
        ),
        ("POST", "/check", JSON, "[]", 400, "the body is "),
        (
            "POST",
            "/check",
            JSON,
            "{}",
            400,
            "the body is \"\" of \"\": this server answers AdmissionReview of ",
        ),
        (
            "POST",
            "/check",
            JSON,
            cut_off,
            400,
            "the body is not an AdmissionReview: EOF while parsing",
        ),
        (
            "POST",
            "/check",
            JSON,
            "\u{0}\u{1}",
            400,
            "the body is not an AdmissionReview: expected value",
        ),
        (
            "POST",
            "/check",
            JSON,
            &deep,
            400,
            "the body is not an AdmissionReview: ",
        ),
        (
            "POST",
            "/check",
            JSON,
            &other_version,
            400,
            "the body is \"AdmissionReview\" of \"admission.k8s.io/v1beta1\"",
        ),
        (
            "POST",
            "/check",
            JSON,
            &other_kind,
            400,
            "the body is \"Pod\" of ",
        ),
        (
            "POST",
            "/check",
            JSON,
            &without_uid,
            400,
            "request.uid is not a text of 1 to 128 bytes",
        ),
        (
            "POST",
            "/check",
            JSON,
            &number,
            400,
            "the body is not an AdmissionReview: invalid type: integer `7`",
        ),
        (
            "POST",
            "/check",
            "",
            &valid,
            415,
            "content-type is not application/json",
        ),
        (
            "POST",
            "/check",
            "content-type: text/plain\r\n",
            &valid,
            415,
            "content-type is not application/json",
        ),
        (
            "POST",
            "/check",
            "content-type: \u{e9}\r\n",
            &valid,
            415,
            "content-type is not application/json",
        ),
        (
            "GET",
            "/check",
            "",
            "",
            405,
            "the method is not one of: POST",
        ),
        (
            "DELETE",
            "/healthz",
            "",
            "",
            405,
            "the method is not one of: GET, HEAD",
        ),
        (
            "POST",
            "/",
            JSON,
            &valid,
            404,
            "not found: this server has /check, /healthz and /readyz",
        ),
        ("GET", "/check/../healthz", "", "", 404, "not found: "),
        ("GET", "/healthz", "", "", 200, "ok"),
        ("GET", "/readyz?verbose", "", "", 200, "ok"),
    ] {
        let mut client = server.connect().unwrap();
        let response = client.request(method, path, headers, body.as_bytes());
        let case = format!("{method} {path} {headers:?} {response:?}");
        assert_eq!(response.status, status, "{case}");
        assert!(response.body.starts_with(reason), "{case}");
    }
    let with_charset = "content-type: Application/JSON; charset=utf-8\r\n";
    let mut client = server.connect().unwrap();
    let response = client.request("POST", "/check", with_charset, valid.as_bytes());
    assert_eq!(response.status, 200, "{response:?}");
}

#[test]
fn an_object_that_is_too_deep_is_refused_with_a_message() {
    let server = Server::start(&[]);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let body = review(&plugin(&json!("DEEP"))).to_string();
        let response = server
            .connect()
            .unwrap()
            .post(body.replace("\"DEEP\"", &deep).as_bytes());
        assert_eq!(response.status, 200, "{response:?}");
        let answer: serde_json::Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(answer["response"]["allowed"], false);
        let message = answer["response"]["status"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("the object cannot be read: recursion limit exceeded"),
            "{message}"
        );
    }
}

#[test]
fn a_body_above_8_mib_is_refused_whether_or_not_its_length_is_given() {
    let server = Server::start(&[]);
    let message = "the body has more than 8 MiB, the limit\n";
    let mut client = server.connect().unwrap();
    client.send(b"POST /check HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n").unwrap();
    let response = client.receive().unwrap();
    assert_eq!((response.status, &*response.body), (413, message));
    assert!(response.head.contains("connection: close"), "{response:?}");
    let mut client = server.connect().unwrap();
    client.send(b"POST /check HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..129 {
        if client.send(&chunk).is_err() {
            break;
        }
    }
    let response = client.receive().unwrap();
    assert_eq!((response.status, &*response.body), (413, message));
    assert_eq!(server.ask(&plugin(&canary(20)))["allowed"], true);
}

#[test]
fn clients_that_send_no_request_do_not_keep_others_waiting() {
    let server = Server::start(&[]);
    let silent: Vec<Client> = (0..100).map(|_| server.connect().unwrap()).collect();
    // Without TLS.
    let plain: Vec<_> = (0..50)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap())
        .collect();
    assert_eq!(server.ask(&plugin(&canary(20)))["allowed"], true);
    drop((silent, plain));
    // Its bytes are no handshake.
    let mut plain = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    std::io::Write::write_all(&mut plain, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    server.line("connection failed: TLS: ");
}

#[test]
fn requests_above_the_limit_wait_for_their_turn() {
    let server = Server::start(&[]);
    let body = review(&plugin(&canary(20))).to_string();
    let length = body.len();
    let head = format!("POST /check HTTP/1.1\r\nhost: a\r\n{JSON}content-length: {length}\r\n\r\n");
    // Bodies of which the last byte is missing.
    let mut slow: Vec<Client> = (0..16)
        .map(|_| {
            let mut client = server.connect().unwrap();
            client.send(head.as_bytes()).unwrap();
            client.send(&body.as_bytes()[..length - 1]).unwrap();
            client
        })
        .collect();
    let mut waiting = server.connect().unwrap();
    waiting
        .send(&[head.as_bytes(), body.as_bytes()].concat())
        .unwrap();
    // Probes have no turn to wait for.
    let mut probe = server.connect().unwrap();
    assert_eq!(probe.request("GET", "/healthz", "", b"").status, 200);
    assert!(waiting.is_silent_for(Duration::from_millis(500)));
    for client in &mut slow {
        client.send(&body.as_bytes()[body.len() - 1..]).unwrap();
        assert_eq!(client.receive().unwrap().status, 200);
    }
    assert_eq!(waiting.receive().unwrap().status, 200);
}

#[test]
fn files_that_an_object_names_are_not_read() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.yaml");
    std::fs::write(&secret, "rollouts: [{name: SECRET}]").unwrap();
    std::fs::write(folder.path().join("SECRET.wasm"), "").unwrap();
    let path = secret.display().to_string();
    let wasm = folder.path().join("absent.wasm").display().to_string();
    let discovery =
        json!({"config_discovery": {"config_source": {"path_config_source": {"path": path}}}});
    let envoy = json!({
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": canary(20).to_string()},
        "vm_config": {"code": {"local": {"filename": wasm}}},
    });
    for text in [discovery, envoy] {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a.json": text.to_string()},
        });
        let answer = server.ask(&object);
        assert_eq!(answer["allowed"], true);
        assert!(!answer.to_string().contains("SECRET"), "{answer}");
    }
}

#[test]
fn bytes_of_the_request_do_not_break_lines_of_the_log() {
    let server = Server::start(&[]);
    let mut review = review(&plugin(&canary(500)));
    review["request"]["name"] = "a\nrefused b\u{1b}[31m".into();
    let answer = server.connect().unwrap().review(&review);
    assert_eq!(answer["allowed"], false);
    let line = server.line("refused WasmPlugin istio-system/a refused b [31m: rollouts[0]");
    assert!(!line.contains('\u{1b}'));
}

#[test]
fn the_server_answers_after_many_connections_were_cut_off() {
    let server = Server::start(&[]);
    for round in 0..300 {
        let mut client = server.connect().unwrap();
        let part = &b"POST /check HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"[..];
        client
            .send(&part[..part.len() * (round % 4) / 3])
            .unwrap_or_default();
    }
    eventually("answer", || {
        let answer = server.connect().ok()?.review(&review(&plugin(&canary(20))));
        (answer["allowed"] == true).then_some(())
    });
}

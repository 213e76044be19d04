//! The certificate, and the end of the server.

use std::fs;

use super::lab::{Server, canary, certify, eventually, plugin, review};
use crate::common::{complaint, divvy};

#[test]
fn a_new_certificate_is_served_without_a_restart() {
    let server = Server::start(&[]);
    let review = review(&plugin(&canary(20)));
    let mut kept = server.connect().unwrap();
    assert_eq!(kept.review(&review)["allowed"], true);
    certify(server.folder.path());
    server.line("the certificate was replaced");
    // The client trusts the new certificate only.
    let mut client = server.connect().unwrap();
    assert_eq!(client.review(&review)["allowed"], true);
    // Open connections continue.
    assert_eq!(kept.review(&review)["allowed"], true);
}

#[test]
fn a_certificate_that_cannot_be_used_leaves_the_previous_one_in_place() {
    let server = Server::start(&[]);
    let path = |name: &str| server.folder.path().join(name);
    let certificate = fs::read(path("tls.crt")).unwrap();
    let key = fs::read(path("tls.key")).unwrap();
    let other = tempfile::tempdir().unwrap();
    certify(other.path());
    let foreign = fs::read(other.path().join("tls.key")).unwrap();
    for (name, content, reason) in [
        ("tls.key", Some(&foreign[..]), "cannot be used together"),
        ("tls.key", Some(b"none"), "contains no private key"),
        ("tls.key", None, "No such file"),
    ] {
        match content {
            Some(content) => fs::write(path(name), content).unwrap(),
            None => fs::remove_file(path(name)).unwrap(),
        }
        let line = server.line(reason);
        assert!(line.contains("the previous certificate stays: "), "{line}");
        assert_eq!(server.ask(&plugin(&canary(20)))["allowed"], true);
    }
    // The same pair again, then another one.
    fs::write(path("tls.key"), key).unwrap();
    fs::write(path("tls.crt"), certificate).unwrap();
    certify(server.folder.path());
    eventually("connection with the last certificate", || {
        server.connect().ok()
    });
}

#[test]
fn the_server_does_not_start_without_a_usable_certificate() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("empty"), "").unwrap();
    for (certificate, key, reason) in [
        ("absent", "tls.key", "absent: No such file or directory"),
        ("empty", "tls.key", "empty: contains no certificate"),
        ("tls.crt", "tls.crt", "tls.crt: contains no private key"),
        ("tls.crt", ".", ".: is not a regular file"),
    ] {
        let (certificate, key) = (path(certificate), path(key));
        let output = divvy(&[
            "admission",
            "--listen",
            "127.0.0.1:0",
            "--certificate",
            &certificate,
            "--key",
            &key,
        ]);
        assert_eq!(output.status.code(), Some(2));
        let complaint = complaint(&output);
        assert!(complaint.contains(reason), "{complaint}");
    }
}

#[test]
fn after_sigterm_the_server_is_not_ready_answers_what_it_has_and_ends() {
    let mut server = Server::start(&["--drain", "500ms"]);
    let body = review(&plugin(&canary(20))).to_string();
    let mut busy = server.connect().unwrap();
    let length = body.len();
    let head = format!(
        "POST /check HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    busy.send(head.as_bytes()).unwrap();
    let idle = server.connect().unwrap();
    server.signal(libc::SIGTERM);
    server.line("SIGTERM: draining");
    // New connections are accepted for the time of --drain.
    let mut probe = server.connect().unwrap();
    let ready = probe.request("GET", "/readyz", "", b"");
    assert_eq!(
        (ready.status, &*ready.body),
        (503, "the server is ending\n")
    );
    let mut late = server.connect().unwrap();
    assert_eq!(late.post(body.as_bytes()).status, 200);
    server.line("ending");
    // A connection that is being accepted when the port closes is reset.
    eventually("refused connection", || {
        let error = server.connect().err()?;
        error.to_string().contains("refused").then_some(())
    });
    busy.send(body.as_bytes()).unwrap();
    let response = busy.receive().unwrap();
    assert_eq!(response.status, 200);
    assert!(response.head.contains("connection: close"), "{response:?}");
    drop(idle);
    assert_eq!(server.exit().code(), Some(0));
}

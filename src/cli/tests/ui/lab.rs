//! A running server and its clients.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

pub const PATIENCE: Duration = Duration::from_secs(30);
const INDEX: &str = "<!doctype html><html><head><title>p</title></head></html>";
/// No process listens on this port, and no other test can get it.
pub const SILENT: &str = "127.0.0.1:1";

/// A running server with a page of two files.
pub struct Ui {
    pub folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Ui {
    /// With a proxy that does not answer.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(&[&["--admin", SILENT], args].concat())
    }

    pub fn start_with(args: &[&str]) -> Self {
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

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The response to these bytes, on a connection of its own; `None` if it is closed without one.
    pub fn send(&self, bytes: &[u8]) -> Option<Answer> {
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

    pub fn request(&self, method: &str, path: &str, headers: &str) -> Answer {
        let head = format!("{method} {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
        let answer = self.send(head.as_bytes());
        answer.unwrap_or_else(|| panic!("no answer to {head:?}"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "host: localhost\r\n")
    }

    pub fn get_file(&self) -> Value {
        self.get("/api/file").json()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A running server and its clients.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::common::root;

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a condition has a value.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "no {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Writes a new certificate and its key into a folder.
pub fn certify(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    let key = made.signing_key.serialize_pem();
    fs::write(folder.join("tls.key"), key).unwrap();
}

/// A running server.
pub struct Server {
    pub folder: tempfile::TempDir,
    pub port: u16,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path());
        let mut command = Command::new(env!("CARGO_BIN_EXE_divvy"));
        command
            .args(["admission", "--listen", "127.0.0.1:0"])
            .arg("--certificate")
            .arg(folder.path().join("tls.crt"))
            .arg("--key")
            .arg(folder.path().join("tls.key"))
            .args(args)
            .current_dir(root())
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let written = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                written.lock().unwrap().push(line);
            }
        });
        let mut server = Self {
            folder,
            port: 0,
            child,
            log,
        };
        let listening = server.line("listening on https://127.0.0.1:");
        server.port = listening.rsplit(':').next().unwrap().parse().unwrap();
        server
    }

    /// Waits for a line of the log that contains this text.
    pub fn line(&self, text: &str) -> String {
        eventually(&format!("line with {text:?}"), || {
            let log = self.log.lock().unwrap();
            log.iter().find(|line| line.contains(text)).cloned()
        })
    }

    /// A client that trusts the certificate in the folder.
    pub fn connect(&self) -> Result<Client, std::io::Error> {
        let mut roots = RootCertStore::empty();
        let pem = self.folder.path().join("tls.crt");
        roots
            .add(CertificateDer::from_pem_file(pem).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Client { stream })
    }

    /// The response of the server to an object, on a connection of its own.
    pub fn ask(&self, object: &Value) -> Value {
        self.connect().unwrap().review(&review(object))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).unwrap();
        // SAFETY: the process is a child that was not waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Waits for the end of the process.
    pub fn exit(&mut self) -> ExitStatus {
        eventually("end of the process", || self.child.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to the server.
pub struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Header lines in lower case.
    pub head: String,
    pub body: String,
}

impl Client {
    /// Sends a request whose headers end with its length.
    pub fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n"
        );
        let sent = [head.as_bytes(), body].concat();
        // The server may refuse a large body before it has all of it.
        let _ = self.send(&sent);
        self.receive().unwrap()
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    pub fn receive(&mut self) -> std::io::Result<Response> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| {
            let value = line.strip_prefix("content-length: ")?;
            value.parse().ok()
        });
        let mut body = vec![0; length.unwrap()];
        self.stream.read_exact(&mut body)?;
        Ok(Response {
            status: head[9..12].parse().unwrap(),
            body: String::from_utf8(body).unwrap(),
            head,
        })
    }

    pub fn post(&mut self, body: &[u8]) -> Response {
        self.request("POST", "/check", "content-type: application/json\r\n", body)
    }

    /// Whether the server sends nothing for this time.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        let socket = &self.stream.sock;
        socket.set_read_timeout(Some(time)).unwrap();
        let read = self.stream.read(&mut [0]);
        self.stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
        read.is_err()
    }

    /// The response in the answer to a review.
    pub fn review(&mut self, review: &Value) -> Value {
        let response = self.post(review.to_string().as_bytes());
        assert_eq!(response.status, 200, "{response:?}");
        let answer: Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        answer["response"].clone()
    }
}

/// The review of an object that is created.
pub fn review(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE",
            "namespace": object["metadata"]["namespace"], "name": object["metadata"]["name"],
            "userInfo": {"username": "alice"}, "object": object, "oldObject": null,
        },
    })
}

/// A WasmPlugin with a configuration.
pub fn plugin(config: &Value) -> Value {
    json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "metadata": {"name": "divvy", "namespace": "istio-system", "labels": {"divvy": "configuration"}},
        "spec": {"url": "oci://registry.example.com/divvy:1", "pluginConfig": config},
    })
}

/// A configuration with a canary at this weight.
pub fn canary(weight: u32) -> Value {
    json!({
        "identity": [{"header": "x-user-id"}],
        "rollouts": [{
            "name": "checkout", "target": "{version}",
            "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
            "strategy": {"canary": {"version": "v2", "weight": weight}},
        }],
    })
}

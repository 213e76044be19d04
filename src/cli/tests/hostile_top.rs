//! `divvy top` with answers of a proxy or a Prometheus that are not what they should be: it ends in time, with
//! bounded memory, and what a terminal would obey is not printed.

use std::fmt::Write as _;
use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

/// Virtual memory of the process, in KiB: an answer may have 64 MiB, and 200,000 series.
const MEMORY: u32 = 700_000;
/// Timeout of an answer, and a busy machine.
const TIME: Duration = Duration::from_secs(25);
const OK: &str = "HTTP/1.1 200 OK\r\n";
/// Repeats this text until the client goes away.
struct Endless(&'static str);

/// What a server does with each of its connections.
type Answer = fn(&mut TcpStream) -> std::io::Result<()>;

/// A server on a new port, until the end of the test.
fn server(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = answer(&mut stream);
            });
        }
    });
    address
}

impl Endless {
    fn write(self, stream: &mut TcpStream) -> std::io::Result<()> {
        let text = self.0.repeat(1 + 65_536 / self.0.len());
        loop {
            stream.write_all(text.as_bytes())?;
        }
    }
}

fn body(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    write!(stream, "{OK}content-length: {}\r\n\r\n", body.len())?;
    stream.write_all(body)
}

fn top(arguments: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_divvy");
    let script = format!("ulimit -v {MEMORY}; exec {program} top --once {arguments}");
    let start = Instant::now();
    let output = Command::new("sh")
        .args(["-c", &script])
        // Otherwise escape sequences are removed from all that is printed.
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(start.elapsed() < TIME, "{arguments}: {:?}", start.elapsed());
    // Not an abort for want of memory, nor a panic.
    let expected = if arguments.contains("--prometheus") {
        2
    } else {
        1
    };
    assert_eq!(
        output.status.code(),
        Some(expected),
        "{arguments}: {output:?}"
    );
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8(text.clone()).expect("UTF-8");
        assert!(!text.contains("panicked"), "{text}");
        let obeyed = without_styles(&text);
        let obeyed = obeyed.chars().find(|one| one.is_control() && *one != '\n');
        assert_eq!(obeyed, None, "{arguments}: {text:?}");
    }
    output
}

/// Without the colours that divvy prints: ESC, digits and semicolons, m.
fn without_styles(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.trim_start_matches(|one: char| one.is_ascii_digit() || one == ';');
        match end.strip_prefix('m') {
            Some(rest) => plain.push_str(rest),
            None => write!(plain, "\x1b[{part}").unwrap(),
        }
    }
    plain
}

#[test]
fn answers_of_a_proxy_that_do_not_end_or_are_too_large_are_errors() {
    let cases: [(&str, Answer, &[&str]); 9] = [
        (
            "series without end",
            |stream| {
                write!(stream, "{OK}\r\n")?;
                Endless("divvy_a{x=\"y\"} 1\n").write(stream)
            },
            &["more than 200000 series of divvy"],
        ),
        (
            "large labels without end",
            |stream| {
                write!(stream, "{OK}\r\n")?;
                let line = format!("divvy_a{{x=\"{}\"}} 1\n", "y".repeat(10_000));
                Endless(line.leak()).write(stream)
            },
            &["limit", "timeout"],
        ),
        (
            "other series without end",
            |stream| {
                write!(stream, "{OK}\r\n")?;
                Endless("envoy_a 1\n").write(stream)
            },
            &["limit", "timeout"],
        ),
        (
            "a line without end",
            |stream| {
                write!(stream, "{OK}\r\n")?;
                Endless("divvy_a").write(stream)
            },
            &["limit", "timeout"],
        ),
        (
            "headers without end",
            |stream| {
                write!(stream, "{OK}")?;
                Endless("a: b\r\n").write(stream)
            },
            &["header"],
        ),
        (
            "a byte at a time",
            |stream| {
                write!(stream, "{OK}\r\n")?;
                loop {
                    stream.write_all(b"d")?;
                    thread::sleep(Duration::from_millis(100));
                }
            },
            &["timeout"],
        ),
        (
            "silence",
            |_| {
                thread::sleep(TIME);
                Ok(())
            },
            &["timeout"],
        ),
        (
            "redirects without end",
            |stream| {
                write!(
                    stream,
                    "HTTP/1.1 302 Found\r\nlocation: /\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                )
            },
            &["redirect"],
        ),
        (
            "not HTTP",
            |stream| stream.write_all(b"\x1b[2J\0\xff\xfe\r\n\r\n"),
            &["does not answer"],
        ),
    ];
    let checks: Vec<_> = cases
        .into_iter()
        .map(|(name, answer, expected)| {
            thread::spawn(move || {
                let output = top(&format!("http://{}/", server(answer)));
                let text = String::from_utf8(output.stdout).unwrap();
                assert!(text.contains("does not answer"), "{name}: {text}");
                let is_expected = expected.iter().any(|part| text.contains(part));
                assert!(is_expected, "{name}: {text}");
            })
        })
        .collect();
    for check in checks {
        check.join().unwrap();
    }
}

#[test]
fn bytes_of_a_proxy_are_not_obeyed_by_the_terminal() {
    let binary: Answer = |stream| {
        let mut bytes: Vec<u8> = (0..=255_u8).cycle().take(1 << 20).collect();
        bytes.extend(b"\ndivvy_requests_total{divvy_rollout=\"a\xff\xfe\"} 1\n");
        body(stream, &bytes)
    };
    let output = top(&format!("http://{}/", server(binary)));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("has no divvy metrics"), "{text}");

    let escapes: Answer = |stream| {
        let name = "\x1b[2J\x1b]0;title\x07\u{9b}31m\r\u{202e}txt";
        let long = "n".repeat(10_000);
        let text = format!(
            "divvy_config_hash{{divvy_plugin=\"{name}\"}} 7\n\
             divvy_weight_ppm{{divvy_rollout=\"{name}\",divvy_version=\"{name}\"}} -1e300\n\
             divvy_requests_total{{divvy_rollout=\"{name}\",divvy_version=\"{long}\",divvy_reason=\"{name}\"}} 1e999\n\
             divvy_requests_total{{divvy_rollout=\"{name}\",divvy_version=\"{long}\",divvy_reason=\"{name}\"}} 1e300\n\
             divvy_responses_total{{divvy_rollout=\"{name}\",divvy_version=\"{name}\",divvy_class=\"{name}\"}} NaN\n\
             divvy_request_duration_ms_bucket{{divvy_rollout=\"a\",divvy_version=\"b\",le=\"{name}\"}} 3\n\
             divvy_request_duration_ms_bucket{{divvy_rollout=\"a\",divvy_version=\"b\",le=\"-5\"}} -3\n\
             divvy_guardrail_state{{divvy_rollout=\"{name}\",divvy_version=\"{name}\"}} 2\n\
             divvy_step_waiting{{divvy_rollout=\"{name}\"}} 1\n"
        );
        body(stream, text.as_bytes())
    };
    let address = server(escapes);
    for format in ["", "--output json "] {
        let output = top(&format!("{format}http://{address}/"));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("title"), "{text}");
        assert!(!text.contains('\u{202e}'), "{text}");
        assert!(!text.contains(&"n".repeat(300)), "a long name is printed");
    }
}

#[test]
fn answers_that_are_not_those_of_a_prometheus_are_errors() {
    let cases: [(&str, Answer, &str); 7] = [
        (
            "binary",
            |stream| body(stream, b"\0\xff\x1b[2J"),
            "is not a Prometheus",
        ),
        (
            "text",
            |stream| body(stream, b"\"\x1b[2J\""),
            "is not a Prometheus",
        ),
        (
            "nested",
            |stream| body(stream, "[".repeat(1 << 20).as_bytes()),
            "is not a Prometheus",
        ),
        (
            "another type",
            |stream| {
                body(stream, b"{\"status\": \"success\", \"data\": {\"result\": [{\"metric\": {}, \"value\": [\"\\u001b[2J\", 1]}]}}")
            },
            "is not a Prometheus",
        ),
        (
            "series without end",
            |stream| {
                write!(
                    stream,
                    "{OK}\r\n{{\"status\": \"success\", \"data\": {{\"result\": ["
                )?;
                Endless("{\"metric\": {\"a\": \"\"}, \"value\": [0, \"1\"]},").write(stream)
            },
            "cannot read the answer",
        ),
        (
            "many series",
            |stream| {
                let series = "{\"metric\":{\"a\":\"\"},\"value\":[0,\"1\"]},".repeat(1_000_000);
                let text = format!("{{\"status\":\"success\",\"data\":{{\"result\":[{series}");
                body(stream, text.as_bytes())
            },
            "at most 200000 series",
        ),
        (
            "an error with escape sequences",
            |stream| {
                body(
                    stream,
                    b"{\"status\": \"error\", \"error\": \"\\u001b]0;title\\u0007\"}",
                )
            },
            "title",
        ),
    ];
    for (name, answer, expected) in cases {
        let output = top(&format!("--prometheus http://{}", server(answer)));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(expected), "{name}: {text}");
    }
}

//! The access log of the shipped bootstrap: each request is one line of JSON with the keys that
//! `divvy analyze` reads, whatever bytes a client sends.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use divvy_lab::client::raw;
use serde_json::{Value, json};

use crate::setup::{Edge, PATIENCE, all_users_get, configuration, rollout_with, with};

const KEYS: [&str; 10] = [
    "assignment",
    "cluster",
    "code",
    "duration",
    "flags",
    "method",
    "path",
    "request_id",
    "time",
    "unit",
];

/// The checkout gets v2; other paths match no rollout.
async fn edge() -> Result<Edge> {
    let scope = json!({"match": [{"path": {"prefix": "/checkout"}}]});
    let rollout = rollout_with("checkout", all_users_get("v2"), scope);
    let headers = json!({"headers": {"route": "x-divvy-route", "assignment": "x-divvy-assignment", "unit": "x-divvy-unit"}});
    Edge::start(&with(configuration(&[rollout]), headers)).await
}

/// Sends a request with a mark in its user agent, then another one, and returns the lines up to that.
async fn lines_of(edge: &Edge, target: &[u8], headers: &[&[u8]]) -> Result<Vec<Value>> {
    let mark = edge.envoy.log_mark();
    for (target, headers) in [(target, headers), (&b"/end"[..], &[][..])] {
        let mut request = [
            b"POST ",
            target,
            b" HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\nconnection: close\r\n",
        ]
        .concat();
        for line in headers {
            request.extend_from_slice(line);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        raw(edge.addr, &request).await?;
    }
    let end = |line: &str| line.starts_with('{') && line.contains("\"/end\"");
    edge.envoy.wait_for_log_since(mark, end, PATIENCE).await?;
    // What is not of Envoy's own log, which goes to stderr with a time in brackets.
    let lines = edge.envoy.log_since(mark).into_iter();
    let lines = lines.filter(|line| !line.starts_with('[') && !line.is_empty());
    let parsed = lines.map(|line| {
        // Bytes that are not UTF-8 would have been replaced.
        ensure!(!line.contains('\u{fffd}'), "{line}");
        serde_json::from_str(&line).with_context(|| line.clone())
    });
    let mut lines = parsed.collect::<Result<Vec<Value>>>()?;
    lines.retain(|line| line["path"] != "/end");
    Ok(lines)
}

#[tokio::test]
async fn a_line_has_the_keys_and_types_of_the_contract() -> Result<()> {
    let edge = edge().await?;
    let lines = lines_of(&edge, b"/checkout?uid=secret", &[b"x-user-id: 42"]).await?;
    let [line] = &lines[..] else {
        anyhow::bail!("{lines:?}");
    };
    let keys: BTreeSet<_> = line.as_object().context("an object")?.keys().collect();
    ensure!(keys.iter().eq(KEYS.iter()), "{keys:?}");
    let time = line["time"].as_str().context("a time")?;
    // 2026-11-30T09:50:08.123Z
    let form: String = time
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    assert_eq!(form, "0000-00-00T00:00:00.000Z");
    assert_eq!(
        (&line["method"], &line["path"]),
        (&json!("POST"), &json!("/checkout"))
    );
    assert_eq!(
        (&line["code"], &line["cluster"]),
        (&json!(200), &json!("v2"))
    );
    ensure!(
        line["duration"].is_u64() && line["request_id"].is_string(),
        "{line}"
    );
    assert_eq!(line["assignment"], "checkout=v2;reason=active");
    // The key `u:42`.
    assert_eq!(line["unit"], "4062ccb68a58f0ae");

    // A goal that no rollout decides about is a line of the same user.
    let goal = lines_of(&edge, b"/order", &[b"x-user-id: 42"]).await?;
    assert_eq!(
        (&goal[0]["unit"], &goal[0]["assignment"]),
        (&line["unit"], &Value::Null)
    );
    let none = lines_of(&edge, b"/order", &[b"x-divvy-unit: 0123456789abcdef"]).await?;
    assert_eq!(none[0]["unit"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn no_bytes_of_a_client_break_a_line_or_add_one() -> Result<()> {
    let edge = edge().await?;
    type Case = (
        &'static [u8],
        &'static [&'static [u8]],
        Option<&'static str>,
    );
    let cases: [Case; 9] = [
        (b"/a\"b", &[], Some("/a%22b")),
        (b"/a%22%0a%7b%7d%0d", &[], Some("/a%22%0a%7b%7d%0d")),
        (b"/a<>&", &[], None),
        (b"/a\xff\xc3\x28", &[], None),
        (b"/a\tb", &[], None),
        (b"/a\x01b", &[], None),
        (
            b"/checkout",
            &[
                b"x-user-id: \"},{\"unit\":\"0\xff",
                b"x-divvy-assignment: checkout=\"\xff\\\"\n",
                b"x-divvy-unit: \"\xff",
                b"x-request-id: \"\xff\\",
            ],
            Some("/checkout"),
        ),
        (b"/checkout", &[b"x-request-id: a\r\n {\"unit\": 1}"], None),
        // Envoy keeps the path before a rewrite there; of a client it is a lie.
        (
            b"/checkout",
            &[b"x-envoy-original-path: /order"],
            Some("/checkout"),
        ),
    ];
    for (target, headers, path) in cases {
        let lines = lines_of(&edge, target, headers).await?;
        ensure!(lines.len() == 1, "{lines:?}");
        if let Some(path) = path {
            assert_eq!(
                lines[0]["path"],
                path,
                "{:?}",
                String::from_utf8_lossy(target)
            );
        }
    }
    Ok(())
}

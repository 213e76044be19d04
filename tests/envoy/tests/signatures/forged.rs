//! Forged cookies and overrides: no version is chosen, no byte of them is logged, and the
//! application does not see an override.

use std::collections::HashSet;

use crate::setup::{Edge, Setup, assignment_of, seen_upstream, served_by};
use anyhow::{Context, Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::{Response, raw};
use serde_json::{Value, json};

use super::{IDENTITY, NEW, OLD, STICKY, checked, example};
use crate::signatures::signer::{HOUR, Signer, flipped};

const HOST: &str = "shop.example.com";
/// The name of the header, cookie and query parameter with overrides.
const OVERRIDE: &str = "divvy_override";
const HEADER: &str = "x-divvy-override";
/// A user of stable.
const USER: &str = "1";
const ALONE: &str = "checkout=v1;reason=split";
/// Parts of a text that are as long as this are not equal by chance.
const WINDOW: usize = 10;

/// The edge with overrides in all three places, and a second access log with the query.
async fn edge() -> Result<(Edge, Value)> {
    let mut configuration = example()?;
    configuration["overrides"] = json!({"header": HEADER, "cookie": OVERRIDE, "query": OVERRIDE});
    let whole_path = |mut bootstrap: Bootstrap| {
        for manager in bootstrap.connection_managers()? {
            let log = manager["access_log"]
                .as_array_mut()
                .context("an access log")?;
            let mut second = log[0].clone();
            second["typed_config"]["log_format"] =
                json!({"text_format_source": {"inline_string": "whole path %REQ(:PATH)%\n"}});
            log.push(second);
        }
        Ok(bootstrap)
    };
    let setup = Setup::new(&configuration)?.keys(&format!("{NEW},{OLD}"));
    let edge = setup
        .bootstrap(whole_path)?
        .log("wasm:trace")
        .start()
        .await?;
    Ok((edge, configuration))
}

/// What a client sends beside its identity.
#[derive(Clone, Debug, Default)]
struct Sent {
    /// The forged value.
    value: Vec<u8>,
    lines: Vec<Vec<u8>>,
    query: Vec<u8>,
}

impl Sent {
    fn line(name: &str, value: &[u8]) -> Sent {
        Sent {
            value: value.to_vec(),
            lines: vec![[name.as_bytes(), b": ", value].concat()],
            query: Vec::new(),
        }
    }

    fn cookie(name: &str, value: &[u8]) -> Sent {
        let line = Sent::line("cookie", &[name.as_bytes(), b"=", value].concat());
        Sent {
            value: value.to_vec(),
            ..line
        }
    }

    /// An override in one of three places.
    fn token(place: usize, value: &[u8]) -> Sent {
        match place % 3 {
            0 => Sent::line(HEADER, value),
            1 => Sent::cookie(OVERRIDE, value),
            _ => Sent {
                value: value.to_vec(),
                lines: Vec::new(),
                query: [b"?a=1&", OVERRIDE.as_bytes(), b"=", value].concat(),
            },
        }
    }

    /// Sends it, with these lines.
    async fn send(&self, edge: &Edge, lines: &[&str]) -> Result<Response> {
        let mut request = [b"GET /echo", &*self.query, b" HTTP/1.1\r\nhost: "].concat();
        request.extend(format!("{HOST}\r\nconnection: close\r\n").bytes());
        let own = lines.iter().map(|line| line.as_bytes());
        for line in own.chain(self.lines.iter().map(Vec::as_slice)) {
            request.extend([line, &b"\r\n"[..]].concat());
        }
        request.extend(b"\r\n");
        let answer = raw(edge.addr, &request).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer)
    }
}

/// Parts of texts, by which a longer text that contains some of them is found.
#[derive(Default)]
struct Parts(HashSet<Vec<u8>>);

impl Parts {
    fn add(&mut self, text: &[u8]) {
        self.0.extend(text.windows(WINDOW).map(<[u8]>::to_vec));
    }

    fn in_text(&self, text: &str) -> Option<String> {
        let mut parts = text.as_bytes().windows(WINDOW);
        let found = parts.find(|part| self.0.contains(*part))?;
        Some(String::from_utf8_lossy(found).into_owned())
    }
}

/// Stops Envoy. An error if its log or access log has a part of these texts.
async fn logged_nothing_of(edge: Edge, parts: &Parts, requests: usize) -> Result<()> {
    let lines = edge.envoy.stop().await;
    let paths = lines
        .iter()
        .filter(|line| line.starts_with("whole path /echo"));
    ensure!(paths.count() == requests, "the access log is not complete");
    for line in &lines {
        let found = parts.in_text(line);
        ensure!(found.is_none(), "{found:?} was sent, and is in: {line}");
    }
    Ok(())
}

/// Everything that a client can make of signatures which it has seen, and a sentence about each.
fn forgeries(configuration: &Value) -> Result<Vec<(String, Sent)>> {
    let owner = Signer::new(configuration, NEW)?;
    let stranger = Signer::new(configuration, &NEW.replace("ICEi", "ICEj"))?;
    let unknown = Signer::new(configuration, &NEW.replace("2027a", "2028a"))?;
    let mut other = configuration.clone();
    other["rollouts"][0]["name"] = json!("search");
    other["rollouts"][0]["salt"] = json!("checkout");
    let other = Signer::new(&other, NEW)?;
    let now = owner.now;
    let uuid = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

    let good = owner.sticky(now, None)?;
    let mut all: Vec<(String, Sent)> = Vec::new();
    let mut sticky = |why: &str, value: &[u8]| {
        all.push((
            format!("a sticky cookie {why}"),
            Sent::cookie(STICKY, value),
        ))
    };
    for value in flipped(&good, false) {
        sticky("with a changed byte", &value);
    }
    sticky(
        "of another key with that id",
        stranger.sticky(now, None)?.as_bytes(),
    );
    sticky("of an unknown key", unknown.sticky(now, None)?.as_bytes());
    sticky("of another rollout", other.sticky(now, None)?.as_bytes());
    sticky(
        "that is older than maxAge",
        owner.sticky(now - 31 * 24 * HOUR, None)?.as_bytes(),
    );
    sticky(
        "of another visitor",
        owner.sticky(now, Some(uuid))?.as_bytes(),
    );
    sticky("without a signature", b"1:10257418:v2:0");
    sticky("of an override", owner.token(|_| {})?.as_bytes());

    let good = owner.token(|_| {})?;
    let mut place = 0;
    let mut token = |why: &str, value: &[u8]| {
        place += 1;
        all.push((format!("an override {why}"), Sent::token(place, value)));
    };
    for value in flipped(&good, true) {
        token("with a changed byte", &value);
    }
    for _ in 0..3 {
        token(
            "of another key with that id",
            stranger.token(|_| {})?.as_bytes(),
        );
        token("of an unknown key", unknown.token(|_| {})?.as_bytes());
        token(
            "of another rollout",
            owner.token(|claims| claims.rollout = "search")?.as_bytes(),
        );
        token(
            "of an unknown version",
            owner.token(|claims| claims.version = "v9")?.as_bytes(),
        );
        token(
            "for another host",
            owner
                .token(|claims| claims.host = Some("beta.example.com"))?
                .as_bytes(),
        );
        token(
            "for another identity",
            owner
                .token(|claims| claims.identity = Some(b"secret-person"))?
                .as_bytes(),
        );
        token(
            "that has ended",
            owner
                .token(|claims| {
                    claims.from -= 2 * HOUR;
                    claims.to = now - 1;
                })?
                .as_bytes(),
        );
        token(
            "that has not begun",
            owner
                .token(|claims| {
                    claims.from += HOUR;
                    claims.to += HOUR;
                })?
                .as_bytes(),
        );
        token(
            "for more than a day",
            owner
                .token(|claims| claims.to = now + 25 * HOUR)?
                .as_bytes(),
        );
    }
    // 16 signatures are verified.
    let bad: Vec<_> = flipped(&good, true).into_iter().rev().take(16).collect();
    let many = [bad.join(&b'~'), good.into_bytes()].join(&b'~');
    for _ in 0..3 {
        token("behind 16 others", &many);
    }
    Ok(all)
}

#[tokio::test]
async fn forged_cookies_and_overrides_choose_nothing_and_are_not_logged() -> Result<()> {
    let (edge, configuration) = edge().await?;
    let owner = Signer::new(&configuration, NEW)?;
    let user = format!("x-user-id: {USER}");
    let user = [&*user];

    // What the forgeries are made from is valid.
    let good = owner.token(|_| {})?;
    let sticky = Sent::cookie(STICKY, owner.sticky(owner.now, None)?.as_bytes());
    let mut valid = vec![("checkout=v2;reason=sticky", sticky)];
    for place in 0..3 {
        valid.push((
            "checkout=v2;reason=override",
            Sent::token(place, good.as_bytes()),
        ));
    }
    let mut parts = Parts::default();
    for (decision, sent) in &valid {
        let answer = sent.send(&edge, &user).await?;
        assert_eq!(assignment_of(&answer), Some(*decision), "{sent:?}");
        parts.add(&sent.value);
    }
    ensure!(parts.in_text(&format!("a line with {good}")).is_some());

    let forgeries = forgeries(&configuration)?;
    ensure!(forgeries.len() > 400, "{}", forgeries.len());
    for (why, sent) in &forgeries {
        let answer = sent.send(&edge, &user).await?;
        let got = (assignment_of(&answer), served_by(&answer));
        ensure!(got == (Some(ALONE), Some("v1")), "{why}: {got:?} {sent:?}");
        // The application sees no override, in whichever place.
        let echo = answer.text();
        ensure!(seen_upstream(&answer, HEADER)?.is_empty(), "{why}: {echo}");
        ensure!(!echo.contains(OVERRIDE), "{why}: {echo}");
        parts.add(&sent.value);
    }
    let metrics = edge.metrics().await?;
    let ok = ["sticky", "override"].map(|purpose| checked(&metrics, purpose, "ok"));
    assert_eq!(ok, [1, 3]);
    for result in ["bad", "expired", "unknown_key"] {
        for purpose in ["sticky", "override"] {
            ensure!(
                checked(&metrics, purpose, result) > 0,
                "{purpose}: {result}"
            );
        }
    }
    logged_nothing_of(edge, &parts, valid.len() + forgeries.len()).await
}

#[tokio::test]
async fn a_forged_identity_is_a_new_visitor_and_is_not_logged() -> Result<()> {
    let (edge, configuration) = edge().await?;
    let uuid = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
    let good = Signer::new(&configuration, NEW)?.identity(uuid)?;
    let stranger = Signer::new(&configuration, &NEW.replace("ICEi", "ICEj"))?;
    let mut forged = flipped(&good, false);
    forged.push(stranger.identity(uuid)?.into_bytes());
    forged.push(uuid.into());
    let mut parts = Parts::default();
    let sent = Sent::cookie(IDENTITY, good.as_bytes());
    let answer = sent.send(&edge, &[]).await?;
    ensure!(given(&answer, IDENTITY).is_none(), "{answer:?}");
    parts.add(&sent.value);
    for value in &forged {
        let answer = Sent::cookie(IDENTITY, value).send(&edge, &[]).await?;
        let new = given(&answer, IDENTITY).with_context(|| format!("{value:?} is valid"))?;
        ensure!(!new.starts_with(uuid), "{value:?} gives {new}");
        parts.add(value);
    }
    let metrics = edge.metrics().await?;
    assert_eq!(checked(&metrics, "mint", "ok"), 1);
    let refused = ["bad", "unknown_key"].map(|result| checked(&metrics, "mint", result));
    ensure!(refused.iter().all(|count| *count > 0), "{refused:?}");
    logged_nothing_of(edge, &parts, forged.len() + 1).await
}

/// The value of a cookie of a response.
fn given(answer: &Response, name: &str) -> Option<String> {
    let begin = format!("{name}=");
    let lines = answer.headers.get_all("set-cookie").iter();
    let mut values = lines.filter_map(|line| line.to_str().ok()?.strip_prefix(&begin));
    Some(values.next()?.split(';').next()?.to_owned())
}

//! The spoofing table: each header and cookie that the shipped edge reads or writes, forged in
//! twelve ways. A header that divvy writes has no effect and does not reach the upstream as
//! sent; one that it reads has the effect of its honest spelling or none.

use std::sync::Arc;

use crate::setup::{Edge, Setup, assignment_of, seen_upstream, served_by};
use anyhow::{Context, Result, anyhow, bail, ensure};
use divvy::policy::Policy;
use divvy::request::{Request, host};
use divvy::{config, decide, output};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::{RawOutcome, Response};
use divvy_lab::plugin::Plugin;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use sent::{Expected, Http1, Outcome, Sent};
use ways::WAYS;
use what::{HOST, Kind, WHATS, What};

mod sent;
mod ways;
mod what;

/// An edge, and the facts that the assertions need.
struct Court {
    edge: Edge,
    policy: Policy,
    /// Whether the rollout names a host.
    named: bool,
}

fn shipped() -> Result<Value> {
    let plugin = Plugin::load("envoy/plugin.yaml")?;
    Ok(serde_json::from_str(plugin.configuration())?)
}

impl Court {
    async fn start(configuration: &Value, named: bool) -> Result<Court> {
        Court::start_with(configuration, named, Ok).await
    }

    async fn start_with(
        configuration: &Value,
        named: bool,
        change: impl FnOnce(Bootstrap) -> Result<Bootstrap>,
    ) -> Result<Court> {
        let policy = config::parse(configuration.to_string().as_bytes());
        Ok(Court {
            edge: Setup::new(configuration)?
                .bootstrap(change)?
                .start()
                .await?,
            policy: policy.map_err(|errors| anyhow!("{errors}"))?,
            named,
        })
    }

    /// The library's decision for this user.
    fn decision_of(&self, user: &[u8]) -> Option<String> {
        let headers = [
            (&b":path"[..], &b"/checkout"[..]),
            (b":method", b"GET"),
            (b":authority", HOST.as_bytes()),
            (b"x-user-id", user),
        ];
        let request = Request::from_headers(&self.policy.names, headers);
        let outcome = decide::decide(&self.policy, &request);
        output::assignment(&self.policy, &outcome.decisions)
    }

    /// Sends the honest request with and without the header or cookie: the two allowed effects.
    /// Returns the number of requests.
    async fn control(&self, what: &What) -> Result<u64> {
        for (lines, decision) in [(vec![what.line()], what.with), (Vec::new(), what.without)] {
            let sent = Sent::Http1(Http1::of(what, &lines));
            let Outcome::Answer(answer) = sent.send(self.edge.addr).await? else {
                unreachable!("HTTP/1 is answered");
            };
            let effect = self.effect(what, &answer, Some(decision));
            effect.with_context(|| format!("the control of {}: {sent}", what.name))?;
        }
        Ok(2)
    }

    /// Sends one forged request. Returns whether it reached an upstream.
    async fn judge(&self, what: &What, sent: &Sent, expected: &Expected) -> Result<bool> {
        let answer = match sent.send(self.edge.addr).await? {
            Outcome::Answer(answer) => answer,
            Outcome::Http2(outcome) => {
                let closed = matches!(
                    outcome,
                    RawOutcome::Closed | RawOutcome::GoAway(_) | RawOutcome::Reset(_)
                );
                ensure!(closed && *expected == Expected::Closed, "{outcome:?}");
                return Ok(false);
            }
        };
        let user;
        let decision = match expected {
            Expected::With => Some(what.with),
            Expected::Without => Some(what.without),
            Expected::Undecided => None,
            Expected::AsRead => self.concerns_checkout(&answer)?.then_some(what.with),
            Expected::User(name) => {
                user = self.decision_of(name);
                Some(user.as_deref().context("every user has a version")?)
            }
            Expected::Refused(status) => {
                ensure!(answer.status == *status, "{answer:?}");
                return Ok(false);
            }
            Expected::Redirected(path) => {
                let location = (answer.status, answer.header("location"));
                ensure!(location == (307, Some(path)), "{answer:?}");
                return Ok(false);
            }
            Expected::Closed => bail!("{answer:?}"),
        };
        self.effect(what, &answer, decision)?;
        Ok(true)
    }

    /// The only assertion about a response: client and upstream see this decision, and no forged
    /// value.
    fn effect(&self, what: &What, answer: &Response, decision: Option<&str>) -> Result<()> {
        ensure!(answer.status == 200, "{answer:?}");
        ensure!(
            assignment_of(answer) == decision,
            "{:?}",
            assignment_of(answer)
        );
        let version = decision.and_then(|decision| decision.get("checkout=".len()..)?.get(..2));
        ensure!(
            served_by(answer) == Some(version.unwrap_or("v1")),
            "{answer:?}"
        );
        let concerned = self.concerns_checkout(answer)?;
        ensure!(concerned == decision.is_some(), "{}", answer.text());

        let assignment = seen_upstream(answer, "x-divvy-assignment")?;
        ensure!(assignment.iter().eq(decision), "{assignment:?}");
        for name in ["x-divvy-route", "x-divvy-mirror"] {
            let seen = seen_upstream(answer, name)?;
            ensure!(seen.is_empty(), "{name}: {seen:?}");
        }
        if what.kind == Kind::Written {
            let seen = seen_upstream(answer, what.name)?;
            ensure!(!seen.iter().any(|seen| seen == what.value), "{seen:?}");
        }
        let echo = answer.json()?;
        ensure!(echo["trailers"] == json!([]), "{echo}");
        let names = echo["headers"].as_array().into_iter().flatten();
        let mut names = names.filter_map(|line| line[0].as_str());
        ensure!(!names.any(|name| name.contains('_')), "{echo}");
        Ok(())
    }

    /// Whether the upstream receives a request for the checkout (of the shop).
    fn concerns_checkout(&self, answer: &Response) -> Result<bool> {
        let echo = answer.json()?;
        let path = echo["path"].as_str().context("no path")?;
        let path = path.split('?').next().unwrap_or_default();
        let path = percent_decoded(path);
        let rest = path.strip_prefix(b"/checkout");
        let checkout = matches!(rest, Some([] | [b'/', ..]));
        let host = host::normalized(echo["host"].as_str().unwrap_or_default().as_bytes());
        Ok(checkout && (!self.named || *host == *HOST.as_bytes()))
    }
}

fn percent_decoded(path: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after
            .get(..2)
            .and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        (rest, _) = match code {
            Some(byte) if *first == b'%' => (&after[2..], decoded.push(byte)),
            _ => (after, decoded.push(*first)),
        };
    }
    decoded
}

/// The number of concurrent requests. Envoy takes a second to close a connection.
const ABREAST: usize = 64;

/// Fills the whole table. The error lists all differences.
async fn fill(court: Court) -> Result<()> {
    let court = Arc::new(court);
    let turns = Arc::new(Semaphore::new(ABREAST));
    let (mut cells, mut tries, mut reached) = (0, JoinSet::new(), 0);
    for what in WHATS {
        reached += court.control(&what).await?;
        for way in WAYS {
            let requests = (way.tries)(&what, court.named);
            cells += usize::from(!requests.is_empty());
            for (sent, expected) in requests {
                let (court, turns) = (court.clone(), turns.clone());
                tries.spawn(async move {
                    let _turn = turns.acquire().await;
                    let verdict = court.judge(&what, &sent, &expected).await;
                    let cell = format!("{} by {}", what.name, way.name);
                    verdict.map_err(|why| format!("{cell}: not {expected:?}: {why:#}\n  {sent}"))
                });
            }
        }
    }
    assert_eq!(cells, WHATS.len() * 12, "every cell has a request");
    let mut wrong = Vec::new();
    while let Some(verdict) = tries.join_next().await {
        match verdict? {
            Ok(arrived) => reached += u64::from(arrived),
            Err(why) => wrong.push(why),
        }
    }
    wrong.sort();
    ensure!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // A request that Envoy refused reached no upstream.
    let upstreams = court.edge.upstreams.values();
    let served: u64 = upstreams.map(|upstream| upstream.requests()).sum();
    ensure!(
        served == reached,
        "{served} requests reached an upstream, not {reached}"
    );
    Ok(())
}

#[tokio::test]
async fn forged_headers_and_cookies_have_no_additional_effect_on_the_shipped_edge() -> Result<()> {
    fill(Court::start(&shipped()?, false).await?).await
}

#[tokio::test]
async fn forged_headers_and_cookies_have_no_additional_effect_with_a_named_host() -> Result<()> {
    let mut configuration = shipped()?;
    let entry = configuration.pointer_mut("/rollouts/0/match/0");
    entry.context("the shipped rollout has a match")?["hosts"] = json!([HOST]);
    fill(Court::start(&configuration, true).await?).await
}

/// The shipped edge with another value in this field of its connection manager; an error if every
/// request of this way still has an allowed effect.
async fn opens(field: &str, weak: Value, way: &str) -> Result<()> {
    let weaken = |mut edge: Bootstrap| {
        for manager in edge.connection_managers()? {
            ensure!(!manager[field].is_null(), "{field} is not shipped");
            manager[field] = weak.clone();
        }
        Ok(edge)
    };
    let court = Court::start_with(&shipped()?, false, weaken).await?;
    let wrong = fill(court).await.err().context("nothing is wrong")?;
    let wrong = format!("{wrong:#}");
    ensure!(wrong.contains(&format!("by {way}: ")), "{field}: {wrong}");
    Ok(())
}

/// Proof that the table can fail, and that the shipped file needs each of these fields.
#[tokio::test]
async fn without_the_protections_of_the_edge_the_table_detects_the_open_ways() -> Result<()> {
    let unchanged = json!("KEEP_UNCHANGED");
    tokio::try_join!(
        opens("common_http_protocol_options", json!({}), "underscores"),
        opens("normalize_path", json!(false), "encoded paths"),
        opens("merge_slashes", json!(false), "double slashes"),
        opens(
            "path_with_escaped_slashes_action",
            unchanged,
            "encoded paths"
        ),
    )?;
    Ok(())
}

#[test]
fn the_table_has_a_row_for_every_header_and_cookie_of_the_shipped_files() -> Result<()> {
    assert_eq!(what::forged(), what::named_by(&shipped()?));
    // Reserved headers are removed before the first filter.
    let mut written: Vec<_> = WHATS
        .iter()
        .filter(|what| what.kind == Kind::Written)
        .map(|what| json!({"remove": what.name}))
        .collect();
    for manager in Bootstrap::load("envoy/edge.yaml")?.connection_managers()? {
        let removed = manager["early_header_mutation_extensions"].as_array();
        let removed = removed.into_iter().flatten().next();
        let removed = removed.context("the shipped file removes them")?;
        let removed = removed["typed_config"]["mutations"].as_array();
        let mut removed = removed.context("a list")?.clone();
        for list in [&mut written, &mut removed] {
            list.sort_by_key(Value::to_string);
        }
        assert_eq!(written, removed);
    }
    Ok(())
}

//! Requests that are not text. With this failure policy a trapped filter answers 503 to every
//! request until Envoy restarts. Each request gets a response and a decision, is counted once, and
//! does not affect the next one.

use crate::setup::{
    Counts, Edge, REQUESTS, Setup, assignment_of, canary, configuration, rollout_with, served_by,
};
use anyhow::{Context, Result};
use divvy::decide::decide;
use divvy::decision::Decision;
use divvy::{config, output, policy::Policy, request::Request};
use divvy_lab::client::{Http2, Response, request};
use serde_json::{Value, json};

use Visitor::{NoIdentity, Tester, User};

/// The identity that the filter must find in a request.
#[derive(Clone, Copy, Debug)]
enum Visitor {
    User(&'static [u8]),
    NoIdentity,
    /// A user whom the rule matches.
    Tester,
}

/// Path, header lines, and the user.
type Case = (Vec<u8>, Vec<Vec<u8>>, Visitor);

const LONG: usize = 60_000;

fn long(before: &[u8], filling: &[u8]) -> Vec<u8> {
    let mut line = before.to_vec();
    line.extend(filling.iter().cycle().take(LONG));
    line
}

fn headers() -> Vec<Case> {
    let case = |lines: &[&[u8]], visitor| -> Case {
        let lines = lines.iter().map(|line| line.to_vec()).collect();
        (b"/".to_vec(), lines, visitor)
    };
    let many = |line: &str| vec![line.as_bytes().to_vec(); 80];
    let mut beta_at_last = many("x-ring: no");
    beta_at_last.push(b"x-ring: beta".to_vec());
    vec![
        case(&[], NoIdentity),
        case(&[b"x-user-id: \xff"], User(b"\xff")),
        case(&[b"x-user-id: \xc3\x28\xf0\x9f"], User(b"\xc3\x28\xf0\x9f")),
        case(
            &[b"x-user-id: \x80\x81 \xfe\xff"],
            User(b"\x80\x81 \xfe\xff"),
        ),
        case(&[b"x-user-id:"], NoIdentity),
        case(&[b"x-user-id: \t "], NoIdentity),
        case(&[b"x-user-id: \t\xff\t "], User(b"\xff")),
        case(&[b"x-user-id: \xff", b"x-user-id: \xff"], NoIdentity),
        case(&[b"x-user-id: a", b"X-User-Id: b"], NoIdentity),
        case(
            &[b"x-user-id: a", b"x-user-id: b", b"cookie: user=\xfe"],
            User(b"\xfe"),
        ),
        case(
            &[&[b"x-user-id: ", &[0xff; 256][..]].concat()],
            User(&[0xff; 256]),
        ),
        case(&[&[b"x-user-id: ", &[0xff; 257][..]].concat()], NoIdentity),
        case(&[&long(b"x-user-id: ", b"\xff")], NoIdentity),
        case(
            &[&long(b"x-ring: ", b"\xfe\xff"), b"x-user-id: u"],
            User(b"u"),
        ),
        case(&[&long(b"x-other: ", b"\xff"), b"x-user-id: u"], User(b"u")),
        (b"/".to_vec(), many("x-user-id: u"), NoIdentity),
        (b"/".to_vec(), many("x-other: \u{7ff}"), NoIdentity),
        (b"/".to_vec(), beta_at_last, Tester),
        case(&[b"x-ring: \xff", b"x-ring:", b"x-ring: beta"], Tester),
        case(&[b"x-ring: \xffcanary\xfe"], Tester),
        case(&[b"x-ring: beta\xff", b"x-user-id: u"], User(b"u")),
    ]
}

fn cookies() -> Vec<Case> {
    let case = |lines: &[&[u8]], visitor| -> Case {
        let lines = lines.iter().map(|line| [b"cookie:", *line].concat());
        (b"/".to_vec(), lines.collect(), visitor)
    };
    vec![
        case(&[b"user=\xff"], User(b"\xff")),
        case(&[b"\xff=\xfe; user=\xff\xfe"], User(b"\xff\xfe")),
        case(&[b"user=\"\xff\""], User(b"\xff")),
        case(&[b""], NoIdentity),
        case(&[b" ;;;=;=\xff;user;;"], NoIdentity),
        case(&[b"user="], NoIdentity),
        case(&[b"user=\xff; user=b"], User(b"\xff")),
        case(&[b"a=1", b"user=\xff", b"user=b"], User(b"\xff")),
        case(&[b"", b"", b"user=u"], User(b"u")),
        case(&[b"ring=\xff", b"ring=beta"], NoIdentity),
        case(&[b"a=\xff; ring=dogfood"], Tester),
        case(&[&long(b"user=", b"\xff")], NoIdentity),
        case(&[&long(b"user=u; a=", b"\xff")], User(b"u")),
        case(&[&long(b"", b";"), b"user=u"], User(b"u")),
        case(&[&long(b"", b"a=;"), b"user=u"], User(b"u")),
        case(&[&long(b"", b"="), b"user=u"], User(b"u")),
    ]
}

fn paths() -> Vec<Case> {
    let case = |path: &[u8], visitor| -> Case { (path.to_vec(), Vec::new(), visitor) };
    vec![
        case(b"/%FF", NoIdentity),
        case(b"/%ff%fe%80/?uid=u", User(b"u")),
        case(b"/%?uid=u", User(b"u")),
        case(b"/%4?uid=u", User(b"u")),
        case(b"/%zz%?uid=u", User(b"u")),
        case(b"/a;b=c/%FF.beta", Tester),
        case(b"/?uid=%FF", User(b"\xff")),
        case(b"/?uid=%ff%00%FE", User(b"\xff\x00\xfe")),
        case(b"/?uid=%", User(b"%")),
        case(b"/?uid=%F", User(b"%F")),
        case(b"/?uid=%FG%zz%", User(b"%FG%zz%")),
        case(b"/?uid=%%FF", User(b"%\xff")),
        case(b"/?uid=", NoIdentity),
        case(b"/?uid", NoIdentity),
        case(b"/?uid=%20%09", NoIdentity),
        case(b"/?&&=&=%FF&%FF=&uid=u&uid=v", User(b"u")),
        case(b"/?uid=a?b/c", User(b"a?b/c")),
        case(b"/?ring=%FF&ring=beta", NoIdentity),
        case(b"/?x=%FF&ring=%62eta", Tester),
        case(&long(b"/?uid=", b"%FF"), NoIdentity),
        case(&long(b"/?uid=u&", b"%"), User(b"u")),
        case(&long(b"/?", b"&=%"), NoIdentity),
        case(&long(b"/", b"%FF"), NoIdentity),
        case(&long(b"/a", b"a"), NoIdentity),
    ]
}

/// Two rollouts: one reads every kind of source, one has a scope.
fn reading_everything() -> Value {
    let when = json!({"any": [
        {"header": "x-ring", "exact": "beta"},
        {"header": "x-ring", "contains": "canary"},
        {"cookie": "ring", "in": ["beta", "dogfood"]},
        {"query": "ring", "exact": "beta"},
        {"all": [{"not": {"header": "x-none", "present": true}}, {"path": true, "suffix": ".beta"}]},
        {"host": true, "suffix": ".beta"},
        {"method": true, "exact": "BETA"},
    ]});
    let rules = json!({"rules": [{"name": "testers", "when": when, "use": "v3"}]});
    let matched = json!({"match": [
        {"hosts": ["nowhere.example.com"]},
        {"path": {"prefix": "/"}, "methods": ["GET"]},
    ]});
    let mut configuration = configuration(&[
        rollout_with("one", canary(50.0), rules),
        rollout_with("two", canary(50.0), matched),
    ]);
    configuration["identity"] =
        json!([{"header": "x-user-id"}, {"cookie": "user"}, {"query": "uid"}]);
    configuration["ignoreIdentities"] = json!([""]);
    configuration
}

/// An edge with one worker, so that no other VM can hide a trap, and its counts so far.
struct Watched {
    edge: Edge,
    policy: Policy,
    counted: Counts,
}

impl Watched {
    async fn start() -> Result<Watched> {
        let configuration = reading_everything();
        let setup = Setup::new(&configuration)?.workers(1);
        let fragile = setup.plugin(|plugin| plugin.with_failure_policy("FAIL_CLOSED"));
        Ok(Watched {
            edge: fragile.start().await?,
            policy: config::parse(configuration.to_string().as_bytes())?,
            counted: Counts::new(),
        })
    }

    /// The library's decision for a plain request of the same user.
    fn expected(&self, visitor: Visitor) -> Vec<Decision> {
        let mut headers = vec![(&b":path"[..], &b"/"[..]), (b":method", b"GET")];
        match visitor {
            User(user) => headers.push((b"x-user-id", user)),
            NoIdentity => {}
            Tester => headers.push((b"x-ring", b"beta")),
        }
        decide(
            &self.policy,
            &Request::from_headers(&self.policy.names, headers),
        )
        .decisions
        .to_vec()
    }

    /// Asserts the response for this user, and that each rollout has counted exactly one more
    /// request.
    async fn assert_decided(
        &mut self,
        answer: &Response,
        visitor: Visitor,
        what: &str,
    ) -> Result<()> {
        let decisions = self.expected(visitor);
        assert_eq!(answer.status, 200, "{what}");
        assert_eq!(
            served_by(answer),
            output::route(&self.policy, &decisions),
            "{what}"
        );
        let assignment = output::assignment(&self.policy, &decisions);
        assert_eq!(assignment_of(answer), assignment.as_deref(), "{what}");
        for decision in decisions {
            let rollout = self.policy.rollout(decision.rollout).context("a rollout")?;
            let version = rollout.version(decision.version).context("a version")?;
            let labels = [&*rollout.name, &*version.name, decision.reason.name()];
            *(self.counted.entry(labels.map(str::to_owned).to_vec())).or_default() += 1;
        }
        let counts = self.edge.counts(REQUESTS).await?;
        assert_eq!(counts, self.counted, "{what}");
        Ok(())
    }

    async fn assert_all(&mut self, cases: Vec<Case>) -> Result<()> {
        for (path, lines, visitor) in cases {
            let answer = self.edge.raw_get(&path, &lines).await;
            let what = shown(&path, &lines, visitor);
            let answer = answer.with_context(|| what.clone())?;
            self.assert_decided(&answer, visitor, &what).await?;
        }
        self.assert_alive().await
    }

    /// Asserts that a plain request is still decided.
    async fn assert_alive(&mut self) -> Result<()> {
        let answer = self.edge.get_as("alice", "/").await?;
        self.assert_decided(&answer, User(b"alice"), "afterwards")
            .await
    }
}

/// A case as text for a failed assertion; long ones are cut.
fn shown(path: &[u8], lines: &[Vec<u8>], visitor: Visitor) -> String {
    let cut = |bytes: &[u8]| format!("{}", bytes[..bytes.len().min(60)].escape_ascii());
    let lines: Vec<_> = lines.iter().take(3).map(|line| cut(line)).collect();
    format!("{} {lines:?} by {visitor:?}", cut(path))
}

#[tokio::test]
async fn headers_of_any_bytes_are_decided_and_counted_once() -> Result<()> {
    Watched::start().await?.assert_all(headers()).await
}

#[tokio::test]
async fn cookies_of_any_bytes_are_decided_and_counted_once() -> Result<()> {
    Watched::start().await?.assert_all(cookies()).await
}

#[tokio::test]
async fn paths_and_queries_with_any_escapes_are_decided_and_counted_once() -> Result<()> {
    Watched::start().await?.assert_all(paths()).await
}

#[tokio::test]
async fn bytes_over_http2_are_decided_and_counted_once() -> Result<()> {
    let mut watched = Watched::start().await?;
    let client = Http2::connect(watched.edge.addr).await?;
    // HTTP/2 encodes bytes above 0x7f in four bytes each, and Envoy would close the connection.
    let long = [&[0xfe; 100][..], &[b'u'; LONG - 100]].concat();
    type Lines<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(Lines<'_>, Visitor); 7] = [
        (&[("x-user-id", b"\xff")], User(b"\xff")),
        (&[("x-user-id", b"")], NoIdentity),
        (
            &[("x-user-id", b"\xff"), ("x-user-id", b"\xff")],
            NoIdentity,
        ),
        (&[("x-user-id", &long)], NoIdentity),
        (
            &[("cookie", b"a=\xff"), ("cookie", b"user=\xfe")],
            User(b"\xfe"),
        ),
        (&[("cookie", &long), ("cookie", b"user=u")], User(b"u")),
        (&[("x-ring", b"\xff"), ("x-ring", b"beta")], Tester),
    ];
    for (headers, visitor) in cases {
        let answer = client.send(request("GET", "/", headers, "")?).await?;
        watched
            .assert_decided(&answer, visitor, &format!("{visitor:?} over HTTP/2"))
            .await?;
    }
    watched.assert_alive().await
}

/// Requests that Envoy rejects never reach the filter and are not counted.
#[tokio::test]
async fn what_envoy_refuses_is_not_counted() -> Result<()> {
    let mut watched = Watched::start().await?;
    let too_long = long(b"x-other: ", b"a").repeat(2);
    for (path, line, status) in [
        (&b"/\xff"[..], &b"x-user-id: u"[..], 400),
        (b"/?uid=\xff", b"x-user-id: u", 400),
        (b"/%00", b"x-user-id: u", 400),
        (b"/%2Fa", b"x-user-id: u", 307),
        (b"/", b"x-user-id: \0", 400),
        (b"/", b"\xff: u", 400),
        (b"/", &too_long, 431),
    ] {
        let answer = watched.edge.raw_get(path, &[line]).await?;
        assert_eq!(
            answer.status,
            status,
            "{}",
            shown(path, &[line.to_vec()], NoIdentity)
        );
        assert_eq!(assignment_of(&answer), None);
    }
    watched.assert_alive().await
}

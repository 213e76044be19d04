//! The ways in: what a client sends to get a version, for each row of the first table in
//! `envoy/docs/WHO_CAN_CHOOSE.md`, where it is open, and behind what closes it.

mod people;
mod signatures;

use serde_json::{Value, json};

pub use signatures::now;

use crate::build::{blue_green, rollout, with};
use crate::{Case, Group, bytes};

const KEYS: &str = "2027a:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";
const USER: &str = "11111111-1111-4111-8111-111111111111";
/// Cookies that are signed with [`KEYS`]: both users, and v2 of the rollout for any client or the first user.
const SIGNED_USER: &str = "11111111-1111-4111-8111-111111111111.2027a.-Wq14575Z3RV2hJoPHLImA";
const SIGNED_OTHER: &str = "22222222-2222-4222-8222-222222222222.2027a.ccsImKPuFYQUW4Qq-79rxQ";
const SIGNED_V2: &str = "2:2027a:10257418:v2:0:htls0:lHsWYNkF0VDVum44rFgKcg";
const SIGNED_V2_OF_USER: &str = "2:2027a:10257418:v2:0:htls0:8nCnYJ0kNfVIvF-RCLHivw";
const UNSIGNED_V2: &str = "1:10257418:v2:0";
const PEER: &str = "spiffe://mesh/ns/edge/sa/gateway";

/// The rows without a decision, and the tests that show them.
pub const ELSEWHERE: [(&str, &str); 1] = [(
    "requests that fail on purpose, within a version that it has",
    "tests/envoy/tests/guardrail",
)];

/// A row: its first cell, and groups of requests that it names.
#[derive(Clone, Debug)]
pub struct Way {
    /// The first cell, as Markdown.
    pub row: &'static str,
    /// The variants: open, closed.
    pub groups: Vec<Group>,
}

/// A configuration with the rollout `checkout`, which gives v1 to all.
fn config(fields: &Value, top: &Value) -> Value {
    let checkout = rollout("checkout", &["v1", "v2"], &blue_green("v1"));
    with(json!({"rollouts": [with(checkout, fields)]}), top)
}

/// The same with a canary by user, which user `1` and both minted users do not get.
fn split(fields: &Value, top: &Value) -> Value {
    let half = json!({"canary": {"version": "v2", "weight": 50}});
    let fields = with(json!({"strategy": half}), fields);
    config(&fields, top)
}

/// A rule for v2.
fn rule(when: &Value) -> Value {
    json!({"rules": [{"name": "r", "when": when, "use": "v2"}]})
}

/// A request: its headers and the decision, as `v1 active`.
fn case(headers: &[(&str, &str)], decision: &str) -> Case {
    let (version, reason) = decision.split_once(' ').expect("version and reason");
    let headers = headers.iter();
    Case {
        headers: headers
            .map(|(name, value)| (bytes(name), bytes(value)))
            .collect(),
        route: Some(version.to_owned()),
        assignment: Some(format!("checkout={version};reason={reason}")),
        ..Case::default()
    }
}

fn cookie(value: &str, decision: &str) -> Case {
    case(&[("cookie", value)], decision)
}

/// Requests to a configuration without keys.
fn open(variant: &str, config: Value, cases: Vec<Case>) -> Group {
    Group {
        name: variant.to_owned(),
        config,
        keys: None,
        cases,
    }
}

/// Requests to a configuration with [`KEYS`].
fn signed(variant: &str, config: Value, cases: Vec<Case>) -> Group {
    Group {
        keys: Some(KEYS.to_owned()),
        ..open(variant, config, cases)
    }
}

/// All rows but [`ELSEWHERE`].
///
/// # Panics
/// When an override cannot be signed.
#[must_use]
pub fn ways() -> Vec<Way> {
    let way = |row, groups| Way { row, groups };
    vec![
        way(
            "the route header (`x-divvy-route`) or the mirror header",
            written(),
        ),
        way(
            "the assignment header, labels of `expose`, a member of `baggage`",
            carried(),
        ),
        way("mutual TLS as a peer in `trust.principals`", peers()),
        way(
            "a header, cookie or query parameter that a rule reads",
            rules(),
        ),
        way(
            "an identity by header, cookie or query",
            people::identities(),
        ),
        way("a minted cookie of another form", people::minted()),
        way("no cookie, again and again", people::nothing()),
        way(
            "an address by `X-Forwarded-For` (`sourceIp`)",
            people::addresses(),
        ),
        way("a sticky cookie", signatures::sticky()),
        way(
            "the sticky cookie of another user",
            signatures::of_another_user(),
        ),
        way("an [override](#overrides)", signatures::overrides()),
        way(
            "`OPTIONS` as a [preflight](PEOPLE.md#cors-preflights)",
            preflights(),
        ),
        way("a `traceparent`, other headers", others()),
    ]
}

fn written() -> Vec<Group> {
    let forged = [("x-divvy-route", "v2"), ("x-divvy-mirror", "v2")];
    let untargeted = json!({"match": [{"path": {"prefix": "/checkout"}}]});
    let unmatched = Case {
        route: None,
        assignment: None,
        ..case(&forged, "v1 none")
    };
    vec![open(
        "removed or replaced on every request",
        config(&untargeted, &json!({})),
        vec![
            case(
                &[&[(":path", "/checkout")][..], &forged].concat(),
                "v1 active",
            ),
            unmatched,
        ],
    )]
}

fn carried() -> Vec<Group> {
    let forged = [
        ("x-divvy-assignment", "checkout=v2;reason=split"),
        ("x-group", "v2"),
        ("x-label", "version=v2"),
        ("baggage", "divvy=checkout%3Dv2%3Breason%3Dsplit"),
    ];
    let expose =
        json!({"expose": {"group": "x-group", "label": {"header": "x-label", "key": "version"}}});
    let trusting = json!({
        "headers": {"route": "x-divvy-route", "assignment": "x-divvy-assignment", "baggage": "divvy"},
        "trust": {"principals": [PEER], "from": "baggage"},
    });
    vec![
        open(
            "without trust",
            config(&expose, &json!({})),
            vec![case(&forged, "v1 active")],
        ),
        open(
            "with trust in a peer that the client is not",
            config(&expose, &trusting),
            vec![case(&forged, "v1 active")],
        ),
    ]
}

fn peers() -> Vec<Group> {
    let trust = json!({"trust": {"principals": [PEER]}});
    let from = |peer: &str, decision: &str| Case {
        peer: Some(peer.to_owned()),
        ..case(
            &[("x-divvy-assignment", "checkout=v2;reason=split")],
            decision,
        )
    };
    vec![open(
        "the peer that is named, and others",
        config(&json!({}), &trust),
        vec![
            from(PEER, "v2 inherited;upstream=split"),
            from("spiffe://mesh/ns/edge/sa/other", "v1 active"),
            from("spiffe://other/ns/edge/sa/gateway", "v1 active"),
        ],
    )]
}

fn rules() -> Vec<Group> {
    let any = json!({"any": [
        {"header": "x-test", "exact": "1"}, {"cookie": "test", "exact": "1"}, {"query": "test", "exact": "1"},
    ]});
    let forged = [(":path", "/?test=1"), ("x-test", "1"), ("cookie", "test=1")];
    let claim = json!({"jwtClaim": "role", "exact": "tester"});
    let claiming = |role: &str, decision: &str| Case {
        claims: Some(json!({"role": role})),
        ..case(&forged, decision)
    };
    let peer = json!({"peer": true, "exact": PEER});
    vec![
        open(
            "open",
            config(&rule(&any), &json!({})),
            forged.map(|line| case(&[line], "v2 rule")).to_vec(),
        ),
        open(
            "closed by a claim",
            config(&rule(&claim), &json!({})),
            vec![
                case(&forged, "v1 active"),
                case(
                    &[("role", "tester"), (":path", "/?role=tester")],
                    "v1 active",
                ),
                claiming("guest", "v1 active"),
                claiming("tester", "v2 rule"),
            ],
        ),
        open(
            "closed by a peer",
            config(&rule(&peer), &json!({})),
            vec![
                case(
                    &[
                        ("peer", PEER),
                        (
                            "x-forwarded-client-cert",
                            "URI=spiffe://mesh/ns/edge/sa/gateway",
                        ),
                    ],
                    "v1 active",
                ),
                Case {
                    peer: Some(PEER.to_owned()),
                    ..case(&[], "v2 rule")
                },
            ],
        ),
        signed(
            "closed by an override in place of the rule",
            config(
                &json!({}),
                &json!({"overrides": {"header": "x-test", "cookie": "test", "query": "test"}}),
            ),
            vec![case(&forged, "v1 active")],
        ),
    ]
}

/// A rule that says whether this is the identity.
fn is(user: &str) -> Value {
    rule(&json!({"identity": true, "exact": user}))
}

fn preflights() -> Vec<Group> {
    let sources = json!({"identity": [{"header": "x-user-id"}]});
    let sent = [
        (":method", "OPTIONS"),
        ("origin", "https://shop.example.com"),
        ("access-control-request-method", "GET"),
        ("x-user-id", USER),
        ("x-test", "1"),
    ];
    let held = |value: &str, decision: &str| {
        let cookie = format!("got={value}");
        case(&[&sent[..], &[("cookie", &cookie)]].concat(), decision)
    };
    let sticky = |sticky: Value| split(&json!({"sticky": sticky}), &sources);
    vec![
        open(
            "its headers are none of a user",
            config(&is(USER), &sources),
            vec![case(&sent[3..], "v2 rule"), case(&sent, "v1 active")],
        ),
        open(
            "its sticky cookie counts",
            sticky(json!({"cookie": "got"})),
            vec![held(UNSIGNED_V2, "v2 no_identity")],
        ),
        signed(
            "its sticky cookie counts with a signature",
            sticky(json!({"cookie": "got", "signed": true})),
            vec![
                held(UNSIGNED_V2, "v1 no_identity"),
                held(SIGNED_V2, "v2 no_identity"),
            ],
        ),
    ]
}

fn others() -> Vec<Group> {
    let sources = json!({"identity": [{"header": "x-user-id"}]});
    let sent = [
        ("x-user-id", "1"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        ("x-divvy-version", "checkout=v2;reason=split"),
        ("x-version", "v2"),
    ];
    vec![open(
        "they choose nothing",
        split(&json!({}), &sources),
        vec![case(&sent, "v1 split")],
    )]
}

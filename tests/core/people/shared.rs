//! Request headers that divvy shares with others: labels of `expose`, the member of `baggage`, and an
//! identity header that clients send.

use super::*;
use divvy::assignment::baggage;
use serde_json::json;

const GATEWAY: &str = "spiffe://cluster.local/ns/istio-system/sa/gateway";

/// The lines of one header that the upstream receives, joined by `|`; and whether baggage was full.
fn received(
    world: &World,
    policy: &Policy,
    name: &str,
    headers: &[(&str, &str)],
) -> (Option<String>, bool) {
    let pairs = headers.iter();
    let pairs = pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let request = Request::from_headers(&policy.names, pairs).with_environment(world);
    let outcome = decide::decide(policy, &request);
    let lines = headers.iter().filter(|(header, _)| *header == name);
    let mut lines: Vec<String> = lines.map(|(_, value)| (*value).to_owned()).collect();
    let mut changes = 0;
    let full =
        output::change_request(
            policy,
            &request,
            &outcome,
            &mut Vec::new(),
            |change| match change {
                HeaderChange::Set(header, value) if header == name => {
                    lines = vec![String::from_utf8(value.to_owned()).unwrap()];
                    changes += 1;
                }
                HeaderChange::Remove(header) if header == name => {
                    lines.clear();
                    changes += 1;
                }
                _ => {}
            },
        );
    assert!(changes <= 1, "{name} is changed {changes} times");
    ((!lines.is_empty()).then(|| lines.join("|")), full)
}

fn upstream(policy: &Policy, name: &str, headers: &[(&str, &str)]) -> Option<String> {
    received(&World::default(), policy, name, headers).0
}

fn lines<'h>(name: &'h str, values: &[&'h str]) -> Vec<(&'h str, &'h str)> {
    values.iter().map(|value| (name, *value)).collect()
}

/// Two rollouts that write into one header; only the first needs its path.
fn labelled() -> Policy {
    let label = |key: &str| json!({"expose": {"label": {"header": "X-Traffic-Label", "key": key}}});
    let shop = build::with(
        label("version"),
        &json!({"match": [{"path": {"prefix": "/shop"}}]}),
    );
    let mut search = rollout(&json!({"blueGreen": {"active": "v1"}}), &label("search"));
    search["name"] = json!("search");
    policy(&json!({"rollouts": [rollout(&canary(100.0), &shop), search]}))
}

#[test]
fn a_label_of_the_version_stands_beside_the_labels_of_others() {
    let policy = labelled();
    for (sent, shop, elsewhere) in [
        (&[][..], "version=v2;search=v1", "search=v1"),
        (&[""], "version=v2;search=v1", "search=v1"),
        (
            &["env=gray;tenant=7"],
            "env=gray;tenant=7;version=v2;search=v1",
            "env=gray;tenant=7;search=v1",
        ),
        // A client's own label is replaced or removed, wherever it is and however often.
        (
            &["version=v9;env=gray; version = v8 ;search=x"],
            "env=gray;version=v2;search=v1",
            "env=gray;search=v1",
        ),
        (&["version=v9"], "version=v2;search=v1", "search=v1"),
        // Malformed pairs and other keys stay as they came, with their white space.
        (
            &["a; =b;;version;Version=1;versions=2;x=a,version=3"],
            "a; =b;;version;Version=1;versions=2;x=a,version=3;version=v2;search=v1",
            "a; =b;;version;Version=1;versions=2;x=a,version=3;search=v1",
        ),
        (
            &["env=gray;"],
            "env=gray;version=v2;search=v1",
            "env=gray;search=v1",
        ),
        (
            &[" env = gray ; b=1 "],
            "env = gray ; b=1 ;version=v2;search=v1",
            "env = gray ; b=1 ;search=v1",
        ),
        // Several lines become one.
        (
            &["env=gray", "version=v9;tenant=7", "version=v8"],
            "env=gray;tenant=7;version=v2;search=v1",
            "env=gray;tenant=7;search=v1",
        ),
    ] {
        for (path, expected) in [("/shop", shop), ("/", elsewhere)] {
            let headers = [&[(":path", path)][..], &lines("x-traffic-label", sent)].concat();
            let seen = upstream(&policy, "x-traffic-label", &headers);
            assert_eq!(seen.as_deref(), Some(expected), "{path} {sent:?}");
        }
    }
}

#[test]
fn labels_of_several_headers_are_written_into_their_own() {
    let labelled = |(name, header, key): (&str, &str, &str)| {
        let label = json!({"expose": {"label": {"header": header, "key": key}}});
        let mut rollout = rollout(&canary(100.0), &label);
        rollout["name"] = json!(name);
        rollout
    };
    let rollouts = [
        ("a", "x-one", "a"),
        ("b", "x-two", "b"),
        ("c", "x-one", "c"),
    ];
    let policy = policy(&json!({"rollouts": rollouts.map(labelled)}));
    for (header, expected) in [("x-one", "k=1;a=v2;c=v2"), ("x-two", "k=1;b=v2")] {
        let seen = upstream(&policy, header, &[(header, "k=1")]);
        assert_eq!(seen.as_deref(), Some(expected));
    }
}

#[test]
fn labels_are_only_touched_where_there_is_something_to_say() {
    let scoped = json!({
        "match": [{"path": {"prefix": "/shop"}}],
        "expose": {"label": {"header": "x-label", "key": "version"}},
    });
    let policy = policy(&json!({"rollouts": [rollout(&canary(100.0), &scoped)]}));
    let preflight = [
        (":path", "/shop"),
        (":method", "OPTIONS"),
        ("origin", "https://a.example"),
        ("access-control-request-method", "GET"),
    ];
    for (sent, expected) in [
        (&[][..], None),
        (&["env=gray", " a = 1 "][..], Some("env=gray| a = 1 ")),
        (&["version=v9"], None),
        (&["version=v9", "env=gray"], Some("env=gray")),
    ] {
        for request in [&[(":path", "/")][..], &preflight] {
            let headers = [request, &lines("x-label", sent)].concat();
            let seen = upstream(&policy, "x-label", &headers);
            assert_eq!(seen.as_deref(), expected, "{headers:?}");
        }
    }
}

#[test]
fn the_first_rollout_that_decides_writes_a_label_that_several_have() {
    let label = json!({"expose": {"label": {"header": "x-label", "key": "version"}}});
    let narrow = build::with(
        label.clone(),
        &json!({"match": [{"path": {"prefix": "/a"}}]}),
    );
    let mut second = rollout(&json!({"blueGreen": {"active": "v1"}}), &label);
    second["name"] = json!("second");
    let policy = policy(&json!({"rollouts": [rollout(&canary(100.0), &narrow), second]}));
    for (path, expected) in [("/a", "version=v2"), ("/b", "version=v1")] {
        let seen = upstream(&policy, "x-label", &[(":path", path)]);
        assert_eq!(seen.as_deref(), Some(expected));
    }
}

fn with_baggage(fields: &Value) -> Policy {
    let headers =
        json!({"route": "x-divvy-route", "assignment": "x-divvy-assignment", "baggage": "divvy"});
    let config = json!({"headers": headers, "identity": [{"header": "x-user-id"}]});
    policy(&build::with(config, fields))
}

const V2: &str = "divvy=checkout%3Dv2%3Breason%3Dsplit";

#[test]
fn the_assignment_is_a_member_of_baggage() {
    let scoped = json!({"match": [{"path": {"prefix": "/shop"}}]});
    let policy = with_baggage(&json!({"rollouts": [rollout(&canary(100.0), &scoped)]}));
    for (sent, others) in [
        (&[][..], ""),
        (&["divvy=checkout%3Dv9"], ""),
        (&["a=1;p;q=2, b = x%20y "], "a=1;p;q=2, b = x%20y "),
        (&["a=1,divvy=x,b=2", "divvy = y;p", "c=3"], "a=1,b=2,c=3"),
        (&["%64ivvy=x, +divvy=y,a=divvy"], "a=divvy"),
        (&["divvy", "divvy2=1"], "divvy2=1"),
    ] {
        let mut members = sent
            .iter()
            .flat_map(|line| baggage::members(line.as_bytes()));
        let is_forged = members.any(|member| baggage::is_named(member, "divvy"));
        for path in ["/shop", "/"] {
            let headers = [&[(":path", path)][..], &lines("baggage", sent)].concat();
            let seen = upstream(&policy, "baggage", &headers);
            let expected = match (path, others) {
                ("/shop", "") => Some(V2.to_owned()),
                ("/shop", others) => Some(format!("{others},{V2}")),
                (_, "") => None,
                // Without a decision and without a forged member, nothing changes.
                _ if !is_forged => Some(sent.join("|")),
                (_, others) => Some(others.to_owned()),
            };
            let same = |value: Option<String>| value.map(|value| value.trim().to_owned());
            assert_eq!(same(seen), same(expected), "{path} {sent:?}");
        }
    }
}

#[test]
fn an_assignment_without_room_in_baggage_is_left_out_and_counted() {
    let policy = with_baggage(&json!({"rollouts": [rollout(&canary(100.0), &json!({}))]}));
    let many = |count: usize| vec!["a=1"; count].join(",");
    let long = |bytes: usize| format!("a={}", "x".repeat(bytes - 2));
    let free = 8_192 - V2.len() - 1;
    for (others, fits) in [
        (many(63), true),
        (many(64), false),
        (long(free), true),
        (long(free + 1), false),
    ] {
        // A forged member is removed in any case, and does not take the place of the true one.
        for forged in ["", ",divvy=x"] {
            let sent = format!("{others}{forged}");
            let (seen, full) =
                received(&World::default(), &policy, "baggage", &[("baggage", &sent)]);
            let expected = if fits {
                format!("{others},{V2}")
            } else {
                others.clone()
            };
            assert_eq!(seen, Some(expected), "{} bytes", sent.len());
            assert_eq!(full, !fits);
        }
    }
}

#[test]
fn a_trusted_sender_may_send_decisions_in_baggage() {
    let config = |from: &str| {
        with_baggage(&json!({
            "trust": {"principals": [GATEWAY], "from": from},
            "rollouts": [rollout(&canary(0.0), &json!({}))],
        }))
    };
    let baggage = config("baggage");
    let header = config("assignment");
    let gateway = World {
        peer: Some(GATEWAY),
        ..World::default()
    };
    let own = "checkout=v1;reason=split";
    let inherited = "checkout=v2;reason=inherited;upstream=split";
    let member = ("baggage", "a=1,divvy=checkout%3Dv2%3Breason%3Dsplit");
    let assignment = ("x-divvy-assignment", "checkout=v2;reason=split");
    for (policy, world, sent, expected) in [
        (&baggage, &gateway, &[member][..], inherited),
        (&baggage, &gateway, &[assignment], own),
        (&baggage, &World::default(), &[member], own),
        (&header, &gateway, &[member], own),
        (&header, &gateway, &[assignment], inherited),
        // As Python's libraries write it, with a property.
        (
            &baggage,
            &gateway,
            &[("baggage", "divvy=a%3Dx%2C+checkout%3Dv2;p")],
            "checkout=v2;reason=inherited, a=x",
        ),
        (
            &baggage,
            &gateway,
            &[("baggage", "divvy=checkout%3Dv3")],
            "checkout=v3",
        ),
        // Hostile input is ignored as a whole.
        (&baggage, &gateway, &[member, ("baggage", "divvy=x")], own),
        (&baggage, &gateway, &[("baggage", "divvy=%00%ff%zz%")], own),
        (&baggage, &gateway, &[("baggage", "divvy=")], own),
        (&baggage, &gateway, &[("baggage", "divvy")], own),
    ] {
        let (seen, full) = received(world, policy, "x-divvy-assignment", sent);
        assert_eq!(seen.as_deref(), Some(expected), "{sent:?}");
        assert!(!full);
        // The member always says the same as the header.
        let (seen, _) = received(world, policy, "baggage", sent);
        let seen = seen.unwrap_or_default();
        let mut encoded = Vec::new();
        baggage::encode(expected.as_bytes(), &mut encoded);
        let encoded = format!("divvy={}", String::from_utf8(encoded).unwrap());
        assert_eq!(seen.trim_start_matches("a=1,"), encoded);
    }
}

#[test]
fn the_identity_header_has_the_identity_of_the_rollout_that_owns_the_route() {
    let config = |own: &str, split: f64| {
        let fields = json!({"identity": [{"header": own}, {"query": "tenant"}], "match": [{"path": {"prefix": "/shop"}}]});
        let mut all = rollout(&canary(split), &json!({}));
        all["name"] = json!("all");
        policy(&json!({
            "headers": {"route": "x-divvy-route", "identity": "x-gray-id"},
            "identity": [{"header": "x-user-id"}],
            "rollouts": [rollout(&canary(50.0), &fields), all],
        }))
    };
    let user = ("x-user-id", "alice");
    for (own, split, path, sent, expected) in [
        (
            "x-tenant",
            50.0,
            "/shop",
            ("x-tenant", "acme"),
            Some("acme"),
        ),
        ("x-tenant", 50.0, "/shop", ("x-other", ""), None),
        ("x-tenant", 50.0, "/", ("x-tenant", "acme"), Some("alice")),
        // It is the tenant of the first rollout, in and out.
        (
            "x-gray-id",
            50.0,
            "/shop?tenant=t",
            ("x-gray-id", "acme"),
            Some("acme"),
        ),
        (
            "x-gray-id",
            50.0,
            "/shop?tenant=t",
            ("x-gray-id", "null"),
            Some("t"),
        ),
        ("x-gray-id", 50.0, "/", ("x-gray-id", "acme"), Some("alice")),
        // The second looks for none, so what came stays.
        ("x-gray-id", 100.0, "/", ("x-gray-id", "acme"), Some("acme")),
        ("x-tenant", 100.0, "/", ("x-gray-id", "forged"), None),
    ] {
        let policy = config(own, split);
        let seen = upstream(&policy, "x-gray-id", &[(":path", path), user, sent]);
        assert_eq!(seen.as_deref(), expected, "{own} {split} {path} {sent:?}");
    }
}

#[test]
fn an_identity_header_that_is_also_read_says_which_identity_counted() {
    let config = |strategy: Value| {
        policy(&json!({
            "headers": {"route": "x-divvy-route", "identity": "X-Gray-Id"},
            "identity": [{"header": "x-gray-id"}, {"query": "grayid"}, {"cookie": "gray"}, {"sourceIp": true}],
            "rollouts": [rollout(&strategy, &json!({"match": [{"path": {"prefix": "/shop"}}]}))],
        }))
    };
    let [asks, asks_not] = [config(canary(50.0)), config(canary(100.0))];
    for (sent, path, expected) in [
        (&["alice"][..], "/shop", Some("alice")),
        (&["  alice "], "/shop?grayid=bob", Some("alice")),
        (&[], "/shop?grayid=bob", Some("bob")),
        (&["null"], "/shop?grayid=bob", Some("bob")),
        (&["a", "b"], "/shop?grayid=bob", Some("bob")),
        // No identity, or one that no header carries: the client's value did not count.
        (&["null"], "/shop", None),
        (&["a", "b"], "/shop", None),
        // None was looked for: what the client sent stays.
        (&["a", "b"], "/", Some("a|b")),
        (&["null"], "/", Some("null")),
    ] {
        let headers = [&[(":path", path)][..], &lines("x-gray-id", sent)].concat();
        let seen = upstream(&asks, "x-gray-id", &headers);
        assert_eq!(seen.as_deref(), expected, "{path} {sent:?}");
        let unread = upstream(&asks_not, "x-gray-id", &headers);
        let kept = (!sent.is_empty()).then(|| sent.join("|"));
        assert_eq!(unread, kept, "{path} {sent:?}");
    }
}

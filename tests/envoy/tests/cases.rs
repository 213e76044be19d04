//! The tables of `tests/cases` through a real Envoy: its normalization of requests changes no
//! decision, claims come in tokens that a real `jwt_authn` verifies, and addresses from a proxy that
//! Envoy trusts.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::setup::Setup;
use anyhow::{Result, bail};
use divvy_cases::{Case, Kind, groups};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::raw;
use divvy_lab::jwt::{JwtAuthn, Key, valid};
use serde_json::json;

/// The cases that Envoy changes before the filter sees them, with their decisions.
const CHANGED_BY_ENVOY: [(&str, &str); 2] = [
    // Normalized to `/a` by the shipped file.
    (
        "condition: path exact: :path: /%61",
        "checkout=v2;reason=rule",
    ),
    // Every HTTP request has a method: GET here.
    ("match: methods: ", "checkout=v1;reason=active"),
];

/// Responds with the headers that the filter wrote, because the tables have more targets than there
/// are clusters.
fn with_decision_headers(mut bootstrap: Bootstrap) -> Result<Bootstrap> {
    let line = |name: &str| {
        let value = format!("%REQ(x-divvy-{name})%");
        json!({"header": {"key": format!("x-seen-{name}"), "value": value}})
    };
    for manager in bootstrap.connection_managers()? {
        // The client's address is the one that the proxy in front states.
        manager["xff_num_trusted_hops"] = json!(1);
        let host = &mut manager["route_config"]["virtual_hosts"][0];
        host["response_headers_to_add"] = json!([line("route"), line("assignment"), line("unit")]);
        host["routes"] = json!([{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]);
    }
    Ok(bootstrap)
}

#[tokio::test]
async fn every_case_of_the_tables_has_its_decision() -> Result<()> {
    let nothing_yet = json!({"version": "nothing yet"});
    let key = Key::number(1);
    let (mut decided, mut refused, mut changed, mut wrong) = (0, 0, Vec::new(), Vec::new());
    // An environment with other keys is that of another Envoy.
    let mut edges = BTreeMap::new();
    for group in groups() {
        let edge = match edges.entry(group.keys.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let keys = group.keys.unwrap_or_default();
                let setup = Setup::new(&nothing_yet)?
                    .plugin(|plugin| plugin.with_env("DIVVY_KEYS", &keys))
                    .bootstrap(with_decision_headers)?
                    .bootstrap(|bootstrap| bootstrap.with_jwt(&JwtAuthn::new(&key)))?;
                new.insert(setup.start().await?)
            }
        };
        edge.put(&group.config).await?;
        for case in group.cases {
            // Client certificates have a test of their own.
            if case.kind == Kind::Impossible || case.peer.is_some() {
                continue;
            }
            let answer = raw(edge.addr, &request(&case, &key)?).await?;
            let what = format!("{}: {}", group.name, case.described());
            let seen = ["x-seen-route", "x-seen-assignment", "x-seen-unit"]
                .map(|name| answer.header(name));
            let expected = [&case.route, &case.assignment, &case.unit].map(Option::as_deref);
            let known = CHANGED_BY_ENVOY.iter().find(|(known, _)| *known == what);
            match known {
                Some((known, assignment)) if seen[1] == Some(assignment) => changed.push(*known),
                _ if seen == expected && answer.status == 200 => decided += 1,
                _ if answer.status == 400 && may_be_refused(&case) => refused += 1,
                _ => wrong.push(format!(
                    "{what}: {} {seen:?}, expected {expected:?}",
                    answer.status
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(changed, CHANGED_BY_ENVOY.map(|(known, _)| known));
    println!("{decided} decided, {refused} refused by Envoy");
    assert!(decided > 2_500, "only {decided} cases, {refused} refused");
    Ok(())
}

/// Envoy itself answers 400 to invalid bytes, unknown methods and tunnels.
fn may_be_refused(case: &Case) -> bool {
    const KNOWN: [&[u8]; 7] = [
        b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH",
    ];
    let method = case.headers.iter().find(|(name, _)| name == b":method");
    let odd = method.is_some_and(|(_, method)| !KNOWN.contains(&&**method));
    odd || case.kind == Kind::Hostile
}

/// The request of a case, as bytes.
fn request(case: &Case, key: &Key) -> Result<Vec<u8>> {
    let (mut method, mut path, mut host) = (&b"GET"[..], &b"/"[..], &b"shop"[..]);
    let mut lines = Vec::new();
    for (name, value) in &case.headers {
        match &**name {
            b":method" => method = value,
            b":path" => path = value,
            b":authority" => host = value,
            [b':', ..] => bail!("{name:?} is no header of a request"),
            _ => lines.extend([name, &b": "[..], value, b"\r\n"].concat()),
        }
    }
    if let Some(source) = &case.source {
        lines.extend(format!("x-forwarded-for: {source}\r\n").into_bytes());
    }
    if let Some(claims) = &case.claims {
        let token = key.sign(&valid(claims));
        lines.extend(format!("authorization: Bearer {token}\r\n").into_bytes());
    }
    let first = [method, b" ", path, b" HTTP/1.1\r\nhost: ", host, b"\r\n"].concat();
    Ok([&*first, &lines, b"content-length: 0\r\n\r\n"].concat())
}

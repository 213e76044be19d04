//! `tests/cases/decisions.json`, the table that the library is tested with, through a real Envoy:
//! what Envoy does to a request before the filter sees it changes no decision.

use anyhow::{Context, Result, bail};
use divvy_envoy_tests::Setup;
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::raw;
use serde_json::{Value, json};

/// The cases that are others by the time the filter sees them, with what is decided then.
const CHANGED_BY_ENVOY: [(&str, &str); 2] = [
    // Normalised to `/a`, as the shipped file asks for.
    (
        r#""condition: path exact": [[":path","/%61"]]"#,
        "checkout=v2;reason=rule",
    ),
    // There is no request without a method: here it is a GET.
    (r#""match: methods": []"#, "checkout=v1;reason=active"),
];

/// Methods are upper case, and nobody has asked for tunnels: Envoy answers 400 by itself.
fn refused_by_envoy(method: &str) -> bool {
    method == "CONNECT" || method.contains(|c: char| !c.is_ascii_uppercase())
}

/// Answers every request with what the filter made of it, for there are more targets in the table
/// than clusters.
fn telling(mut bootstrap: Bootstrap) -> Result<Bootstrap> {
    let tell = |name: &str| {
        let value = format!("%REQ(x-divvy-{name})%");
        json!({"header": {"key": format!("x-seen-{name}"), "value": value}})
    };
    for manager in bootstrap.connection_managers()? {
        let host = &mut manager["route_config"]["virtual_hosts"][0];
        host["response_headers_to_add"] = json!([tell("route"), tell("assignment")]);
        host["routes"] = json!([{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]);
    }
    Ok(bootstrap)
}

#[tokio::test]
async fn every_case_of_the_table_is_decided_as_it_says() -> Result<()> {
    let table: Value = serde_json::from_str(include_str!("../../cases/decisions.json"))?;
    let nothing_yet = json!({"version": "nothing yet"});
    let edge = Setup::new(&nothing_yet)?
        .bootstrap(telling)?
        .start()
        .await?;
    let (mut cases, mut refused, mut changed, mut wrong) = (0, 0, Vec::new(), Vec::new());
    for group in table.as_array().context("no list")? {
        edge.put(&group["config"]).await?;
        for case in group["cases"].as_array().context("no cases")? {
            cases += 1;
            let answer = raw(edge.addr, &request(&case["headers"])?).await?;
            let what = format!("{}: {}", group["name"], case["headers"]);
            let seen = ["x-seen-route", "x-seen-assignment"].map(|name| answer.header(name));
            let meant = ["route", "assignment"].map(|name| case[name].as_str());
            let known = CHANGED_BY_ENVOY.iter().find(|(known, _)| *known == what);
            match known {
                Some((known, assignment)) if seen[1] == Some(assignment) => changed.push(*known),
                _ if seen == meant && answer.status == 200 => {}
                _ if refused_by_envoy(method(case)) && answer.status == 400 => refused += 1,
                _ => wrong.push(format!(
                    "{what}: {} {seen:?} where {meant:?} is meant",
                    answer.status
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(changed, CHANGED_BY_ENVOY.map(|(known, _)| known));
    assert!(
        cases > 200 + refused,
        "only {cases} cases, {refused} refused"
    );
    Ok(())
}

fn method(case: &Value) -> &str {
    let headers = case["headers"].as_array().into_iter().flatten();
    let mut methods = headers.filter(|header| header[0] == ":method");
    methods
        .find_map(|method| method[1].as_str())
        .unwrap_or("GET")
}

/// The request of a case, as bytes. A character of the table is a byte, so `ÿ` is 0xff.
fn request(headers: &Value) -> Result<Vec<u8>> {
    let latin1 = |text: &Value| -> Result<Vec<u8>> {
        let text = text.as_str().context("no text")?;
        text.chars().map(|c| Ok(u8::try_from(c)?)).collect()
    };
    let (mut method, mut path, mut host) = (b"GET".to_vec(), b"/".to_vec(), b"shop".to_vec());
    let mut lines = Vec::new();
    for pair in headers.as_array().context("no list")? {
        let (name, value) = (latin1(&pair[0])?, latin1(&pair[1])?);
        match &*name {
            b":method" => method = value,
            b":path" => path = value,
            b":authority" => host = value,
            [b':', ..] => bail!("{pair} is no header of a request"),
            _ => lines.extend([&*name, b": ", &value, b"\r\n"].concat()),
        }
    }
    let first = [
        &*method,
        b" ",
        &path,
        b" HTTP/1.1\r\nhost: ",
        &host,
        b"\r\n",
    ]
    .concat();
    Ok([&*first, &lines, b"content-length: 0\r\n\r\n"].concat())
}

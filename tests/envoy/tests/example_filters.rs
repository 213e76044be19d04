//! The examples that need another filter in front of divvy, with the filter from their comment: the
//! country comes from the client's address and claims from verified tokens, never from headers that
//! a client sends.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::setup::{Edge, Setup, assignment_of, served_by};
use anyhow::{Context, Result};
use divvy_lab::bootstrap::Position;
use divvy_lab::jwt::{Key, valid};
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::workspace_root;
use serde_json::{Value, json};

/// The YAML blocks in the comment that begin so; each is a list of one element.
fn commented(text: &str, beginning: &str) -> Result<Value> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("#      "))
        .skip_while(|line| !line.starts_with(beginning));
    let mut block = String::new();
    for line in lines {
        if !block.is_empty() && line.starts_with('-') {
            break;
        }
        block += &format!("{line}\n");
    }
    let list: Value = serde_json::from_str(&from_yaml_or_json(&block)?)?;
    Ok(list[0].clone())
}

fn read(example: &str) -> Result<String> {
    let path = format!("envoy/examples/{example}.yaml");
    Ok(fs::read_to_string(workspace_root().join(path))?)
}

/// An edge with this example and this filter in front of divvy.
fn setup(example: &str, filter: &Value) -> Result<Setup> {
    let configuration = serde_json::from_str(&from_yaml_or_json(&read(example)?)?)?;
    Setup::new(&configuration)?
        .bootstrap(|bootstrap| bootstrap.with_http_filter(filter, Position::Before("divvy")))
}

/// An edge for geo.yaml, with or without stripping, and a database with this network.
async fn geo(name: &str, network: u8, country: &str, strips: bool) -> Result<Edge> {
    let text = read("geo")?;
    let strip = commented(&text, "- remove: ")?;
    let mut geoip = commented(&text, "- name: envoy.filters.http.geoip")?;
    let path = geoip.pointer_mut("/typed_config/provider/typed_config/city_db_path");
    *path.context("a path of the database")? = json!(database(name, network, country)?);
    let setup = setup("geo", &geoip)?.bootstrap(|mut bootstrap| {
        for manager in bootstrap.connection_managers()? {
            let mutations = "/early_header_mutation_extensions/0/typed_config/mutations";
            let mutations = manager.pointer_mut(mutations);
            let mutations = mutations.and_then(Value::as_array_mut);
            if strips {
                mutations.context("mutations")?.push(strip.clone());
            }
        }
        Ok(bootstrap)
    })?;
    setup.start().await
}

/// Sends each value as x-geo-country, and one request without it; returns the versions.
async fn versions(edge: &Edge) -> Result<Vec<String>> {
    let mut versions = Vec::new();
    for claimed in [None, Some("DE"), Some("FR")] {
        let headers: Vec<_> = claimed
            .map(|claimed| ("x-geo-country", claimed))
            .into_iter()
            .collect();
        let answer = edge.client.get_with("/", &headers).await?;
        let version = served_by(&answer).context("no version answered")?;
        let reason = assignment_of(&answer).context("the response has no assignment")?;
        versions.push(format!("{version} {reason}"));
    }
    Ok(versions)
}

#[tokio::test]
async fn the_country_comes_from_the_address_not_from_the_client() -> Result<()> {
    let at_home = geo("home", 127, "DE", true).await?;
    assert_eq!(versions(&at_home).await?, ["v2 checkout=v2;reason=rule"; 3]);
    let abroad = geo("abroad", 127, "FR", true).await?;
    let stable = ["v1 checkout=v1;reason=split"; 3];
    assert_eq!(versions(&abroad).await?, stable);
    // The filter does not find the address and writes nothing; the client's header is removed.
    let unknown = geo("unknown", 126, "DE", true).await?;
    assert_eq!(versions(&unknown).await?, stable);
    // The reason why the comment has both.
    let trusting = geo("trusting", 126, "DE", false).await?;
    assert_eq!(versions(&trusting).await?[1], "v2 checkout=v2;reason=rule");
    Ok(())
}

/// The assignment for this token and user; "" sends none.
async fn decision(edge: &Edge, token: &str, user: &str) -> Result<(u16, String)> {
    let token = format!("Bearer {token}");
    let mut headers = vec![("x-user-id", user), ("authorization", &token)];
    headers.retain(|(_, value)| !value.is_empty() && *value != "Bearer ");
    let answer = edge.client.get_with("/", &headers).await?;
    Ok((
        answer.status,
        assignment_of(&answer).unwrap_or_default().to_owned(),
    ))
}

#[tokio::test]
async fn only_verified_claims_count() -> Result<()> {
    let mut authn = commented(&read("jwt-claim")?, "- name: envoy.filters.http.jwt_authn")?;
    let jwks = authn.pointer_mut("/typed_config/providers/shop/local_jwks");
    *jwks.context("a key set")? = json!({"inline_string": Key::number(1).jwks()});
    let edge = setup("jwt-claim", &authn)?.start().await?;
    let token = |claims: Value| Key::number(1).sign(&valid(&claims));
    let admin = json!({"sub": "1", "realm": {"roles": ["author", "admin"]}});
    let author = json!({"sub": "1", "realm": {"roles": ["author", "administrator"]}});
    for (token, user, status, decided) in [
        (
            token(json!({"sub": "1", "plan": "beta"})),
            "",
            200,
            "checkout=v2;reason=rule",
        ),
        (
            token(json!({"sub": "1", "plan": "beta!"})),
            "",
            200,
            "checkout=v1;reason=split",
        ),
        (token(admin), "", 200, "checkout=v2;reason=rule"),
        (token(author), "", 200, "checkout=v1;reason=split"),
        (
            token(json!({"plan": 7})),
            "",
            200,
            "checkout=v1;reason=no_identity",
        ),
        (String::new(), "", 200, "checkout=v1;reason=no_identity"),
        // Signed by another key: jwt_authn responds.
        (
            Key::number(2).sign(&valid(&json!({"sub": "1", "plan": "beta"}))),
            "2",
            401,
            "",
        ),
    ] {
        let expected = (status, decided.to_owned());
        assert_eq!(decision(&edge, &token, user).await?, expected, "{token}");
    }
    // The claim is the identity, before the header; equal names are one user.
    let mut decisions = BTreeSet::new();
    for user in (1..=40).map(|user| user.to_string()) {
        let by_header = decision(&edge, "", &user).await?;
        let by_claim = decision(&edge, &token(json!({"sub": user})), "another user").await?;
        assert_eq!(by_claim, by_header, "{user}");
        decisions.insert(by_claim.1);
    }
    let both = ["checkout=v1;reason=split", "checkout=v2;reason=split"];
    assert_eq!(decisions.iter().collect::<Vec<_>>(), both);
    Ok(())
}

/// Writes a database in MaxMind's format (specification version 2.0) with one network:
/// `first`.0.0.0/8.
fn database(name: &str, first: u8, country: &str) -> Result<PathBuf> {
    const NODES: u32 = 8;
    let mut file = Vec::new();
    // A node per bit: one side continues, the other ends, which is the number of nodes.
    for node in 0..NODES {
        let on = match node + 1 {
            // After the tree: 16 zero bytes, then the data.
            NODES => NODES + 16,
            next => next,
        };
        let bit = first >> (7 - node) & 1;
        let sides = if bit == 0 { [on, NODES] } else { [NODES, on] };
        for side in sides {
            file.extend_from_slice(&side.to_be_bytes()[1..]);
        }
    }
    file.extend([0; 16]);
    map(&mut file, 1);
    text(&mut file, "country");
    map(&mut file, 1);
    text(&mut file, "iso_code");
    text(&mut file, country);

    file.extend(b"\xab\xcd\xefMaxMind.com");
    map(&mut file, 9);
    for (key, kind, value) in [
        ("binary_format_major_version", 5, 2),
        ("binary_format_minor_version", 5, 0),
        ("ip_version", 5, 4),
        ("record_size", 5, 24),
        ("node_count", 6, NODES),
    ] {
        text(&mut file, key);
        // Numbers of kind 5 have two bytes, of kind 6 four.
        let bytes = &value.to_be_bytes()[if kind == 5 { 2 } else { 0 }..];
        file.push(kind << 5 | bytes.len() as u8);
        file.extend(bytes);
    }
    text(&mut file, "build_epoch");
    file.extend([4, 2, 0, 0, 0, 1]);
    text(&mut file, "database_type");
    text(&mut file, "City");
    text(&mut file, "description");
    map(&mut file, 0);
    text(&mut file, "languages");
    file.extend([0, 4]);

    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("geo-{name}.mmdb"));
    fs::write(&path, file)?;
    Ok(path)
}

fn map(file: &mut Vec<u8>, pairs: u8) {
    file.push(7 << 5 | pairs);
}

fn text(file: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 29, "longer texts have a longer head");
    file.push(2 << 5 | text.len() as u8);
    file.extend(text.bytes());
}

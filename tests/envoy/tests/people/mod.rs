//! Minted identities, sticky cookies and mirrors on a real Envoy.

mod cached;
mod minted;
mod mirror;
mod passes;
mod preflight;
mod sessions;
mod sticky;

use crate::setup::{Edge, assignment_of, configuration, rollout_with, with};
use anyhow::{Context, Result};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::{Http1, Response};
use divvy_lab::envoy::{Binary, Envoy, Options};
use serde_json::{Value, json};

/// A configuration of one rollout, `checkout`, that mints the cookie `divvy_id`.
fn minting(strategy: Value, further: Value) -> Value {
    let identity =
        json!([{"header": "x-user-id"}, {"cookie": "divvy_id", "mint": {"maxAge": "30d"}}]);
    let rollouts = [rollout_with("checkout", strategy, further)];
    with(configuration(&rollouts), json!({"identity": identity}))
}

/// A proxy in front of another, and a client of it.
async fn in_front_of(inner: &Edge, mut bootstrap: Bootstrap) -> Result<(Envoy, Http1)> {
    for version in ["v1", "v2", "v3"] {
        bootstrap = bootstrap.with_upstream(version, inner.addr)?;
    }
    let envoy = Envoy::start(&Binary::find()?, &bootstrap, &Options::default()).await?;
    let client = Http1::new(envoy.listener("edge").await?);
    Ok((envoy, client))
}

/// The cookies of a response with their attributes.
fn given(answer: &Response) -> Vec<String> {
    let lines = answer.headers.get_all("set-cookie").iter();
    lines
        .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
        .collect()
}

/// The value of a cookie of a response.
fn value_of(answer: &Response, name: &str) -> Option<String> {
    let begin = format!("{name}=");
    given(answer).iter().find_map(|line| {
        let value = line.strip_prefix(&begin)?;
        Some(value.split(';').next()?.to_owned())
    })
}

/// GET with these cookies, and a user id unless it is empty.
async fn get(edge: &Edge, user: &str, cookies: &str) -> Result<Response> {
    let mut headers = Vec::new();
    if !user.is_empty() {
        headers.push(("x-user-id", user));
    }
    if !cookies.is_empty() {
        headers.push(("cookie", cookies));
    }
    edge.client.get_with("/", &headers).await
}

/// The assignment in the response header.
fn decision(answer: &Response) -> Result<&str> {
    assignment_of(answer).context("the response has an assignment")
}

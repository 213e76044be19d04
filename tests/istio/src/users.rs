//! Decisions of the library, to compare with those of a proxy.

use anyhow::Result;
use divvy::decide::decide;
use divvy::request::Request;
use divvy::{config, output};
use serde_json::Value;

/// The assignment and the route of a user's request for `/checkout`.
pub fn expected(configuration: &Value, user: &str) -> Result<(Option<String>, Option<String>)> {
    let policy = config::parse(configuration.to_string().as_bytes())?;
    let headers = [
        (&b":path"[..], &b"/checkout"[..]),
        (&b":method"[..], &b"GET"[..]),
        (b"x-user-id", user.as_bytes()),
    ];
    let request = Request::from_headers(&policy.names, headers);
    let decisions = decide(&policy, &request).decisions;
    Ok((
        output::assignment(&policy, &decisions).map(|text| text.to_string()),
        output::route(&policy, &decisions).map(str::to_owned),
    ))
}

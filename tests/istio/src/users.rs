//! Decisions of the library, to compare with those of a proxy.

use anyhow::Result;
use divvy::decide::decide;
use divvy::request::Request;
use divvy::signature::KeyRing;
use divvy::{config, output};
use serde_json::Value;

/// The assignment and the route of a user's request for `/checkout`.
pub fn expected(configuration: &Value, user: &str) -> Result<(Option<String>, Option<String>)> {
    expected_with(configuration, user, "")
}

/// The same of a configuration with signatures, with these keys.
pub fn expected_with(
    configuration: &Value,
    user: &str,
    keys: &str,
) -> Result<(Option<String>, Option<String>)> {
    let ring = KeyRing::read(Some(keys.as_bytes()));
    let policy = config::parse_with(configuration.to_string().as_bytes(), &ring)?;
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

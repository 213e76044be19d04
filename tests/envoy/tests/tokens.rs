//! JSON Web Tokens: what a real `jwt_authn` refuses, and where it puts verified claims.

use crate::setup::{Edge, Setup, all_users_get, configuration, rollout, served_by};
use anyhow::Result;
use divvy_lab::bootstrap::Position;
use divvy_lab::client::Response;
use divvy_lab::jwt::{FILTER, ISSUER, JwtAuthn, Key, unsigned, valid};
use serde_json::{Value, json};

/// The key that the edge accepts.
fn ours() -> Key {
    Key::number(1)
}

/// All users get v2, so its response passed divvy.
fn setup(authn: &JwtAuthn) -> Result<Setup> {
    Setup::new(&configuration(&[rollout("checkout", all_users_get("v2"))]))?
        .bootstrap(|bootstrap| bootstrap.with_jwt(authn))
}

async fn get_with(edge: &Edge, token: &str) -> Result<Response> {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer)];
    edge.client.get_with("/checkout", &headers).await
}

/// A token signed by the key with this number, valid except for these claims.
fn token(key: u8, claims: Value) -> String {
    Key::number(key).sign(&valid(&claims))
}

/// The signature of a valid token with other claims.
fn tampered() -> String {
    let good = token(1, json!({"sub": "alice"}));
    let signature = good.rsplit('.').next().unwrap_or_default();
    let header = json!({"alg": "EdDSA", "typ": "JWT"});
    let claims = valid(&json!({"sub": "admin"}));
    format!("{}.{signature}", unsigned(&header, &claims))
}

fn without_signature(algorithm: &str) -> String {
    let claims = valid(&json!({"sub": "alice"}));
    format!("{}.", unsigned(&json!({"alg": algorithm}), &claims))
}

/// Invalid tokens, with the cause.
fn bad_tokens() -> [(&'static str, String); 9] {
    let past = json!({"sub": "alice", "exp": 1_000_000_000});
    let future = json!({"sub": "alice", "nbf": 4_102_444_799_u64});
    let stranger = json!({"sub": "alice", "iss": "https://evil.example.com"});
    [
        ("signed by another key", token(2, json!({"sub": "alice"}))),
        ("signed for other claims", tampered()),
        ("expired", token(1, past)),
        ("not yet valid", token(1, future)),
        ("of another issuer", token(1, stranger)),
        ("alg none", without_signature("none")),
        ("no signature", without_signature("EdDSA")),
        ("a sub that is no text", token(1, json!({"sub": 7}))),
        ("no token but in its form", "x.y.z".to_owned()),
    ]
}

#[tokio::test]
async fn only_a_valid_token_passes() -> Result<()> {
    let authn = JwtAuthn::new(&ours());
    for authn in [authn.clone(), authn.required()] {
        let edge = setup(&authn)?.start().await?;
        for (why, token) in bad_tokens() {
            let answer = get_with(&edge, &token).await?;
            assert_eq!(answer.status, 401, "{why}: {}", answer.text());
        }
        let served = |edge: &Edge| edge.upstreams.values().map(|v| v.requests()).sum::<u64>();
        assert_eq!(served(&edge), 0);
        let answer = get_with(&edge, &token(1, json!({"sub": "alice"}))).await?;
        assert_eq!((answer.status, served_by(&answer)), (200, Some("v2")));
    }
    Ok(())
}

#[tokio::test]
async fn a_request_without_a_token_passes_unless_one_is_required() -> Result<()> {
    let authn = JwtAuthn::new(&ours());
    let edge = setup(&authn)?.start().await?;
    let answer = edge.client.get("/checkout").await?;
    assert_eq!((answer.status, served_by(&answer)), (200, Some("v2")));
    let edge = setup(&authn.required())?.start().await?;
    assert_eq!(edge.client.get("/checkout").await?.status, 401);
    Ok(())
}

/// Passes only alice, by the verified claims.
fn only_alice(key: &str) -> Value {
    let alice = json!({"metadata": {
        "filter": FILTER,
        "path": [{"key": key}, {"key": "sub"}],
        "value": {"string_match": {"exact": "alice"}},
    }});
    json!({"name": "rbac", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules": {"action": "ALLOW", "policies": {
            "alice": {"permissions": [{"any": true}], "principals": [alice]},
        }},
    }})
}

#[tokio::test]
async fn verified_claims_are_in_the_metadata_under_the_configured_key() -> Result<()> {
    let authn = JwtAuthn::new(&ours());
    for (authn, key) in [
        (authn.clone(), "payload"),
        (authn.payload("claims"), "claims"),
    ] {
        let edge = setup(&authn)?
            .bootstrap(|edge| edge.with_http_filter(&only_alice(key), Position::Before("divvy")))?
            .start()
            .await?;
        for (user, status) in [("alice", 200), ("bob", 403)] {
            let token = token(1, json!({"sub": user}));
            assert_eq!(
                get_with(&edge, &token).await?.status,
                status,
                "{key} {user}"
            );
        }
    }
    Ok(())
}

#[test]
fn keys_and_tokens_are_reproducible() {
    let claims = json!({"sub": "alice", "roles": ["a", null, 1.5], "": {"a.b": true}});
    assert_eq!(ours().sign(&claims), Key::number(1).sign(&claims));
    assert_ne!(ours().jwks(), Key::number(2).jwks());
    assert_eq!(valid(&json!({}))["iss"], ISSUER);
    assert_eq!(valid(&json!({"exp": 1}))["exp"], 1);
}

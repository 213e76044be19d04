//! Identities that a client sends, changes or leaves out.

use serde_json::{Value, json};

use super::{SIGNED_OTHER, SIGNED_USER, USER, case, config, cookie, is, open, signed};
use crate::build::canary;
use crate::{Case, Group};

pub(super) fn identities() -> Vec<Group> {
    let sources =
        json!({"identity": [{"header": "x-user-id"}, {"cookie": "uid"}, {"query": "uid"}]});
    let claims = json!({"identity": [{"jwtClaim": "sub"}]});
    let only = json!({"identity": [{"cookie": "uid", "mint": {"signed": true}}]});
    let sent = [
        (":path".to_owned(), format!("/?uid={USER}")),
        ("x-user-id".to_owned(), USER.to_owned()),
        ("cookie".to_owned(), format!("uid={USER}")),
    ];
    let sent = sent.each_ref().map(|(name, value)| (&**name, &**value));
    let verified = Case {
        claims: Some(json!({"sub": USER})),
        ..case(&[], "v2 rule")
    };
    vec![
        open(
            "open",
            config(&is(USER), &sources),
            sent.map(|line| case(&[line], "v2 rule")).to_vec(),
        ),
        open(
            "closed by a claim",
            config(&is(USER), &claims),
            vec![case(&sent, "v1 active"), verified],
        ),
        signed(
            "closed by a signed minted identity as the only source",
            config(&is(USER), &only),
            vec![
                case(&sent, "v1 active"),
                cookie(&format!("uid={SIGNED_OTHER}"), "v1 active"),
                cookie(&format!("uid={SIGNED_USER}"), "v2 rule"),
            ],
        ),
    ]
}

pub(super) fn minted() -> Vec<Group> {
    let mint = |mint: Value| json!({"identity": [{"cookie": "id", "mint": mint}]});
    let sent = [USER, SIGNED_USER].map(|value| format!("id={value}"));
    let [plain, with_signature] = sent.each_ref().map(String::as_str);
    vec![
        open(
            "open",
            config(&is(USER), &mint(json!({}))),
            vec![cookie(plain, "v2 rule")],
        ),
        open(
            "open, in any form",
            config(&is("admin"), &mint(json!({}))),
            vec![cookie("id=admin", "v2 rule")],
        ),
        signed(
            "closed by a signature",
            config(&is(USER), &mint(json!({"signed": true}))),
            vec![
                cookie(plain, "v1 active"),
                cookie(&plain.to_uppercase(), "v1 active"),
                cookie(&format!("{USER}={SIGNED_USER}"), "v1 active"),
                cookie(&with_signature.replace("-Wq", "-wq"), "v1 active"),
                cookie(
                    &with_signature.replace("11111111-", "11111112-"),
                    "v1 active",
                ),
                cookie(with_signature, "v2 rule"),
            ],
        ),
    ]
}

pub(super) fn nothing() -> Vec<Group> {
    let mint = |mint: Value| json!({"identity": [{"cookie": "id", "mint": mint}]});
    // Each of them is another user: all of these have v2 here.
    let any = json!({"strategy": canary(99.9999)});
    let again = || vec![case(&[], "v2 split"); 3];
    vec![
        open("open", config(&any, &mint(json!({}))), again()),
        signed(
            "open with a signature too",
            config(&any, &mint(json!({"signed": true}))),
            again(),
        ),
    ]
}

pub(super) fn addresses() -> Vec<Group> {
    let by_address = json!({"identity": [{"sourceIp": true}]});
    let from = |source: &str, headers: &[(&str, &str)], decision: &str| Case {
        source: Some(source.to_owned()),
        ..case(headers, decision)
    };
    vec![open(
        "the address that Envoy trusts, and one that the client adds",
        config(&is("192.0.2.7"), &by_address),
        vec![
            from("192.0.2.7", &[], "v2 rule"),
            from("192.0.2.8", &[], "v1 active"),
            from(
                "192.0.2.8",
                &[("x-forwarded-for", "192.0.2.7")],
                "v1 active",
            ),
        ],
    )]
}

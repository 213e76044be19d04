//! The overlay `signed`: keys from a Secret in the environment of istio-proxy.

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use divvy_istio_tests::command;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::Options;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_istio_tests::users::expected_with;
use divvy_lab::client::Response;
use divvy_lab::workspace_root;

const OVERLAY: &str = "overlays/signed";
const SECRET: &str = "divvy-keys";
const COOKIE: &str = "__Host-divvy_checkout";
/// Parts of a text that are as long as this are not equal by chance.
const WINDOW: usize = 10;

/// The output of `divvy` with these keys.
fn divvy(keys: &str, words: &[&str]) -> Result<String> {
    let words: Vec<OsString> = words.iter().map(Into::into).collect();
    let mut command: Command = command::divvy(&words)?;
    let output = command
        .current_dir(workspace_root())
        .env("DIVVY_KEYS", keys)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "divvy {words:?}: {said}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A new key, made as the page says.
fn key(id: &str) -> Result<String> {
    divvy("", &["sign", "key", "--id", id])
}

/// Puts keys into the Secret, and returns the options of a gateway whose container has its value, as the kubelet would
/// set it by `secretKeyRef`.
async fn gateway(lab: &Lab, keys: &str) -> Result<Options> {
    let cluster = &lab.cluster;
    let name = ["-n", "istio-system", "secret", SECRET];
    cluster
        .run(&[&["delete", "--ignore-not-found"], &name[..]].concat())
        .await?;
    let literal = format!("--from-literal=keys={keys}");
    let create = [
        "create",
        "secret",
        "generic",
        SECRET,
        "-n",
        "istio-system",
        &literal,
    ];
    cluster.run(&create).await?;
    let secret = cluster
        .get("istio-system", &format!("secret/{SECRET}"))
        .await?;
    let value = secret["data"]["keys"]
        .as_str()
        .context("the value of the Secret")?;
    let value = String::from_utf8(STANDARD.decode(value)?)?;
    let mut options = Options::gateway();
    options.env.push(("DIVVY_KEYS".to_owned(), value));
    Ok(options)
}

fn decision(answer: &Response) -> &str {
    answer.header("x-divvy-version").unwrap_or_default()
}

/// The value of the sticky cookie in a response.
fn sticky(answer: &Response) -> Option<String> {
    let mut lines = answer.headers.get_all("set-cookie").iter();
    let value = lines.find_map(|line| line.to_str().ok()?.strip_prefix(COOKIE)?.strip_prefix('='));
    Some(value?.split(';').next()?.to_owned())
}

/// An error if the log of the gateway, or what Envoy shows about itself, has a part of a text.
async fn shows_nothing_of(shop: &Shop<'_>, texts: &[&str]) -> Result<()> {
    let mut shown = shop.proxy.log();
    ensure!(!shown.is_empty(), "the log is empty");
    for path in ["/config_dump", "/stats/prometheus"] {
        shown.push(shop.proxy.get(path).await?);
    }
    for text in texts {
        for part in text.as_bytes().windows(WINDOW) {
            let part = String::from_utf8_lossy(part);
            let found = shown.iter().find(|shown| shown.contains(&*part));
            ensure!(found.is_none(), "{part} of {text} is in {found:?}");
        }
    }
    Ok(())
}

/// The key of an entry of `DIVVY_KEYS`.
fn secret_part(key: &str) -> &str {
    key.split_once(':').map_or(key, |(_, secret)| secret)
}

pub async fn keys_from_a_secret_sign_cookies_and_overrides(lab: &Lab) -> Result<()> {
    let (old, new) = (key("2026d")?, key("2027a")?);
    let mut shop = Shop::open_with(lab, OVERLAY, &[], gateway(lab, &old).await?).await?;
    let configuration = shop.configuration().await?;
    let of = |version: &str| {
        let mut users = (0..200).map(|user| format!("user-{user}"));
        let has = |user: &String| {
            let route = expected_with(&configuration, user, &old);
            route.is_ok_and(|(_, route)| route.as_deref() == Some(version))
        };
        users.find(has).context("a user of each version")
    };
    let (on_v1, on_v2) = (of("v1")?, of("v2")?);
    let client = shop.client();
    let ask = async |user: &str, more: &[(&str, &str)]| {
        let headers = [&[("x-user-id", user)], more].concat();
        client.get_with("/checkout?echo", &headers).await
    };

    // A signed override chooses the version, and the service does not receive it.
    // As in the comment of the overlay, with a file in place of the pipe.
    let plugin = lab.cluster.get("istio-system", "wasmplugin/divvy").await?;
    let file = lab.dir().join("plugin.json");
    fs::write(&file, plugin.to_string())?;
    let file = file.display().to_string();
    let words = [
        "sign",
        "override",
        &file,
        "--rollout",
        "checkout",
        "--version",
        "v2",
        "--for",
        "2h",
    ];
    let token = divvy(&old, &words)?;
    let answer = ask(&on_v1, &[("x-divvy-override", &token)]).await?;
    assert_eq!(
        (decision(&answer), served_by(&answer)),
        ("checkout=v2;reason=override", "v2")
    );
    ensure!(
        !answer.text().contains("x-divvy-override"),
        "{}",
        answer.text()
    );
    // Tokens of another key with the same id, of an unknown key, changed and cut off do not.
    let stranger = divvy(&key("2026d")?, &words)?;
    let unknown = divvy(&new, &words)?;
    let changed = token.replacen(":v2:", ":v1:", 1);
    for forged in [&stranger, &unknown, &changed, &token[..token.len() - 1]] {
        let answer = ask(&on_v1, &[("x-divvy-override", forged)]).await?;
        assert_eq!(
            (decision(&answer), served_by(&answer)),
            ("checkout=v1;reason=split", "v1"),
            "{forged}"
        );
    }

    // A cookie holds its version for another user, and one without a signature does not.
    let cookie = sticky(&ask(&on_v2, &[]).await?).context("a cookie")?;
    ensure!(cookie.starts_with("2:2026d:"), "{cookie}");
    let held = format!("{COOKIE}={cookie}");
    let answer = ask(&on_v1, &[("cookie", &held)]).await?;
    assert_eq!(decision(&answer), "checkout=v2;reason=sticky");
    let parts: Vec<_> = cookie.split(':').collect();
    let [_, _, epoch, version, position, ..] = parts[..] else {
        anyhow::bail!("{cookie}");
    };
    let unsigned = format!("{COOKIE}=1:{epoch}:{version}:{position}");
    let answer = ask(&on_v1, &[("cookie", &unsigned)]).await?;
    assert_eq!(decision(&answer), "checkout=v1;reason=split");

    let metrics = shop.proxy.prometheus().await?;
    let counted = |purpose, result| {
        let labels = [("divvy_purpose", purpose), ("divvy_result", result)];
        metrics.get("divvy_signature_total", &labels)
    };
    assert_eq!(
        metrics.get("divvy_key_info", &[("divvy_key_id", "2026d")]),
        Some(1.0)
    );
    assert_eq!(counted("override", "ok"), Some(1.0));
    assert_eq!(counted("override", "bad"), Some(3.0));
    assert_eq!(counted("override", "unknown_key"), Some(1.0));
    assert_eq!(counted("sticky", "ok"), Some(1.0));
    let texts = [secret_part(&old), &token, &stranger, &unknown, &cookie];
    shows_nothing_of(&shop, &texts).await?;

    // The Secret has a new key in front, and a new gateway signs the cookie again.
    shop.options = gateway(lab, &format!("{new},{old}")).await?;
    shop.restart().await?;
    let answer = ask(&on_v1, &[("cookie", &held)]).await?;
    assert_eq!(decision(&answer), "checkout=v2;reason=sticky");
    let renewed = sticky(&answer).context("a cookie of the new key")?;
    ensure!(renewed.starts_with("2:2027a:"), "{renewed}");
    let metrics = shop.proxy.prometheus().await?;
    for (id, place) in [("2027a", 1.0), ("2026d", 2.0)] {
        assert_eq!(
            metrics.get("divvy_key_info", &[("divvy_key_id", id)]),
            Some(place)
        );
    }
    Ok(())
}

pub async fn without_valid_keys_the_log_says_what_is_missing_and_stable_serves(
    lab: &Lab,
) -> Result<()> {
    let key = key("2026d")?;
    let short = &key[..key.len() - 1];
    for (options, message) in [
        (
            Options::gateway(),
            "rollouts[0].sticky.signed: needs keys: set DIVVY_KEYS in the environment of the VM",
        ),
        (gateway(lab, short).await?, "the key 2026d is not 32 bytes"),
    ] {
        let shop = Shop::open_with(lab, OVERLAY, &[], options).await?;
        shop.proxy.logs(&[message]).await?;
        let client = shop.client();
        for user in 0..20 {
            let user = format!("user-{user}");
            let answer = client
                .get_with("/checkout", &[("x-user-id", &user)])
                .await?;
            assert_eq!((answer.status, served_by(&answer)), (200, "v1"), "{user}");
            ensure!(sticky(&answer).is_none(), "a cookie without keys");
        }
        shows_nothing_of(&shop, &[secret_part(short)]).await?;
    }
    Ok(())
}

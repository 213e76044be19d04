//! The examples of `envoy/examples/`: each is loaded into a real Envoy, and every request of its
//! page is sent and gets the response that the page shows. [`MORE`] has further requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::setup::{Edge, PATIENCE, Setup, assignment_of, seen_upstream, served_by};
use anyhow::{Context, Result, anyhow, bail, ensure};
use divvy::request::Request;
use divvy::{config, decide, output};
use divvy_lab::client::{Http2, Response, request};
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

/// Further requests, most of them near misses: example, request, version, decision.
const MORE: &str = include_str!("../../cases/examples.json");

type Row = (String, String, String, String);

/// One request of the page, or a loop over the users from 1 on, with its output.
#[derive(Debug, PartialEq)]
struct Shown {
    command: String,
    answer: Vec<String>,
}

/// The commands of the blocks marked `console`, each with its output.
fn consoles(text: &str) -> Result<Vec<Shown>> {
    let mut requests: Vec<Shown> = Vec::new();
    for block in text.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap_or_default().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => requests.push(Shown {
                    command: command.to_owned(),
                    answer: Vec::new(),
                }),
                None => {
                    let last = requests.last_mut().context("an answer to nothing")?;
                    last.answer.push(line.trim().to_owned());
                }
            }
        }
    }
    Ok(requests)
}

/// The commands of each example, by heading.
fn shown() -> Result<BTreeMap<String, Vec<Shown>>> {
    let path = workspace_root().join("envoy/examples/README.md");
    let page = fs::read_to_string(path)?;
    let mut examples = BTreeMap::new();
    for section in page.split("\n## ").skip(1) {
        let (name, text) = section.split_once('\n').context("a heading alone")?;
        let requests = consoles(text)?;
        ensure!(
            text.contains(&format!("]({name}.yaml)")),
            "{name}: no link to its file"
        );
        examples.insert(name.to_owned(), requests);
    }
    Ok(examples)
}

/// The configurations by file name, as JSON.
fn files() -> Result<BTreeMap<String, Value>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(workspace_root().join("envoy/examples"))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let name = path.file_stem().and_then(|stem| stem.to_str());
            let text = from_yaml_or_json(&fs::read_to_string(&path)?)?;
            let name = name.context("a name that is no text")?.to_owned();
            files.insert(name, serde_json::from_str(&text)?);
        }
    }
    Ok(files)
}

/// The request of a `curl` command.
#[derive(Debug, PartialEq)]
struct Curl {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Curl {
    /// Reads the options that the page uses, and no others.
    fn parse(command: &str) -> Result<Curl> {
        let words = shlex::split(command).context("the quotes do not match")?;
        let mut words = words.into_iter();
        ensure!(
            words.next().as_deref() == Some("curl"),
            "no curl: {command}"
        );
        let (mut method, mut target, mut headers) = ("GET".to_owned(), None, Vec::new());
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} of {command}"));
            match &*word {
                "-s" | "-si" => {}
                "-X" => method = value()?,
                "-A" => headers.push(("user-agent".to_owned(), value()?)),
                "-b" => headers.push(("cookie".to_owned(), value()?)),
                "-H" => {
                    let line = value()?;
                    let (name, value) = line.split_once(':').context("no header")?;
                    headers.push((name.to_owned(), value.trim().to_owned()));
                }
                _ if target.is_none() && !word.starts_with('-') => target = Some(word),
                _ => bail!("{word}: this test does not know what it means"),
            }
        }
        let target = target.with_context(|| format!("no target: {command}"))?;
        let path = target.strip_prefix("localhost:10000").unwrap_or(&target);
        Ok(Curl {
            method,
            path: path.to_owned(),
            headers,
        })
    }

    async fn send(&self, edge: &Edge) -> Result<Response> {
        let headers = self.headers.iter();
        let headers: Vec<_> = headers.map(|(name, value)| (&**name, value)).collect();
        let request = request(&self.method, &self.path, &headers, "")?;
        edge.client.send(request).await
    }
}

/// The output of the command.
async fn answer(edge: &Edge, command: &str) -> Result<Vec<String>> {
    if let Some(curl) = command.strip_suffix(" | grep version") {
        let answer = Curl::parse(curl)?.send(edge).await?;
        let lines = ["x-shop-version", "x-divvy-version"]
            .into_iter()
            .filter_map(|name| Some(format!("{name}: {}", answer.header(name)?)));
        return Ok(lines.collect());
    }
    if let Some((curl, name)) = command.split_once(" | grep -o '\"") {
        let answer = Curl::parse(curl)?.send(edge).await?;
        let name = name.split('"').next().unwrap_or_default();
        let lines = seen_upstream(&answer, name)?;
        let lines = lines.iter().map(|value| format!("{name:?},{value:?}"));
        return Ok(lines.collect());
    }
    let looped = command.strip_prefix("for i in $(seq ");
    let looped = looped.and_then(|rest| rest.strip_suffix("; done | sort | uniq -c"));
    let (count, curl) = looped
        .and_then(|rest| rest.split_once("); do "))
        .with_context(|| format!("this test does not know {command}"))?;
    let mut tally = BTreeMap::<String, u32>::new();
    for user in 1..=count.parse::<u32>()? {
        let curl = Curl::parse(&curl.replace("$i", &user.to_string()))?;
        let line = curl.send(edge).await?.text().trim().to_owned();
        *tally.entry(line).or_default() += 1;
    }
    let lines = tally.iter().map(|(line, count)| format!("{count} {line}"));
    Ok(lines.collect())
}

#[test]
fn every_file_has_requests_on_the_page_and_every_heading_has_a_file() -> Result<()> {
    let (shown, files) = (shown()?, files()?);
    assert_eq!(
        shown.keys().collect::<Vec<_>>(),
        files.keys().collect::<Vec<_>>()
    );
    for (name, requests) in &shown {
        assert!(!requests.is_empty(), "{name} has no request");
    }
    for (name, ..) in serde_json::from_str::<Vec<Row>>(MORE)? {
        assert!(files.contains_key(&name), "{name} is no file");
    }
    let page = fs::read_to_string(workspace_root().join("envoy/examples/README.md"))?;
    let index: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.split_once(".yaml](#")?.1.split(')').next())
        .collect();
    assert_eq!(index, files.keys().map(String::as_str).collect());
    Ok(())
}

/// For examples with signatures.
const KEYS: &str = "2027a:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";

#[tokio::test]
async fn every_request_of_the_page_gets_its_response() -> Result<()> {
    let (shown, files) = (shown()?, files()?);
    let more: Vec<Row> = serde_json::from_str(MORE)?;
    let setup = Setup::new(&json!({"version": "nothing yet"}))?;
    let setup = setup.plugin(|plugin| plugin.with_env("DIVVY_KEYS", KEYS));
    let edge = setup.start().await?;
    let mut wrong = Vec::new();
    for (name, configuration) in &files {
        if let Err(error) = edge.put(configuration).await {
            wrong.push(format!("{name}: {error}"));
            continue;
        }
        for Shown {
            command,
            answer: said,
        } in &shown[name]
        {
            let is = answer(&edge, command).await.context(name.clone())?;
            if is != *said {
                wrong.push(format!("{name}: $ {command}\n{}", is.join("\n")));
            }
        }
        for (_, command, version, decision) in more.iter().filter(|row| row.0 == *name) {
            let answer = Curl::parse(command)?.send(&edge).await?;
            let is = (served_by(&answer), assignment_of(&answer));
            if is != (Some(version), Some(decision)) {
                wrong.push(format!("{name}: {command}: {is:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "it is so:\n{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn every_request_of_the_readme_gets_its_response() -> Result<()> {
    let demo = fs::read_to_string(workspace_root().join("envoy/divvy.yaml"))?;
    let edge = Edge::start(&serde_json::from_str(&from_yaml_or_json(&demo)?)?).await?;
    let readme = fs::read_to_string(workspace_root().join("README.md"))?;
    let requests = consoles(&readme)?;
    assert!(requests.len() >= 5, "{requests:?}");
    for Shown {
        command,
        answer: said,
    } in requests
    {
        assert_eq!(answer(&edge, &command).await?, said, "{command}");
    }
    Ok(())
}

/// Compares with the library user by user, and requires that every expected decision occurs.
#[tokio::test]
async fn each_share_has_the_users_of_the_library() -> Result<()> {
    let files = files()?;
    let edge = Edge::start(&json!({"version": "nothing yet"})).await?;
    for (name, cookie, path, different) in [
        ("percent-in-segment", "ring=beta", "/", 2),
        ("mixed", "", "/", 2),
        ("follow", "", "/payments", 2),
        // Three arms beside two of the other layer, and two beside two: five by two, and the holdout.
        ("ab-test-layers", "", "/", 11),
        ("guardrail", "", "/", 2),
        ("kill-switch", "", "/", 1),
    ] {
        let policy = config::parse(files[name].to_string().as_bytes());
        let policy = policy.map_err(|errors| anyhow!("{name}: {errors}"))?;
        edge.put(&files[name]).await?;
        let mut seen = BTreeSet::new();
        for user in 1..=300 {
            let user = user.to_string();
            let headers = [("cookie", cookie), ("x-user-id", &user)];
            let answer = edge.client.get_with(path, &headers).await?;
            let pseudo = [(":path", path), (":method", "GET")];
            let lines = headers.iter().chain(&pseudo);
            let lines = lines.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            let request = Request::from_headers(&policy.names, lines);
            let decisions = decide::decide(&policy, &request).decisions;
            let expected = output::assignment(&policy, &decisions);
            assert_eq!(
                assignment_of(&answer),
                expected.as_deref(),
                "{name}: {user}"
            );
            let route = output::route(&policy, &decisions);
            assert_eq!(served_by(&answer), route, "{name}: {user}");
            seen.extend(expected);
        }
        assert_eq!(seen.len(), different, "{name}: {seen:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn grpc_calls_are_matched_by_their_method() -> Result<()> {
    let configuration = &files()?["grpc-method"];
    let edge = Setup::new(configuration)?
        .bootstrap(|bootstrap| Ok(bootstrap.with_downstream_protocol()))?
        .start()
        .await?;
    let client = Http2::connect(edge.addr).await?;
    for (method, version) in [
        ("/shop.Cart/Add", "v2"),
        ("/shop.Cart/List", "v1"),
        ("/shop.Wishlist/Share", "v2"),
    ] {
        let answer = client.grpc(method, &[], b"").await?;
        assert_eq!(served_by(&answer), Some(version), "{method}");
        let status = answer.trailers.get("grpc-status");
        assert_eq!(status.map(|status| status.as_bytes()), Some(&b"0"[..]));
    }
    Ok(())
}

#[tokio::test]
async fn the_guardrail_rolls_v2_back_when_the_shop_fails() -> Result<()> {
    let edge = Edge::start(&files()?["guardrail"]).await?;
    let canary = "checkout=v2;reason=split";
    let users = (1..=200).map(|user| user.to_string());
    let mut of_v2 = Vec::new();
    for user in users {
        let answer = edge.get_as(&user, "/?status=503").await?;
        if assignment_of(&answer) == Some(canary) {
            of_v2.push(user);
        }
    }
    let user = of_v2.first().context("no user had v2")?;
    let line = "v2 is rolled back to stable: ";
    let taken_back = async || {
        let answer = edge.get_as(user, "/").await.ok()?;
        (assignment_of(&answer) == Some("checkout=v1;reason=rolled_back")).then_some(())
    };
    eventually("v2 is taken back", PATIENCE, taken_back).await?;
    let wanted = |logged: &str| logged.contains(line);
    edge.envoy.wait_for_log(wanted, PATIENCE).await?;
    let tester = [("x-user-id", &**user), ("x-canary", "true")];
    let answer = edge.client.get_with("/", &tester).await?;
    assert_eq!(assignment_of(&answer), Some("checkout=v2;reason=rule"));
    Ok(())
}

//! `divvy explain` prints what the built filter does with a request: decisions with their
//! reasons, headers, cookies and counters.
//!
//! The random bits of a minted identity are read from the filter's cookie and given to
//! `explain`. Random identities are left out: no output contains their bits.

use std::collections::{BTreeMap, BTreeSet};

use divvy::signature::KeyRing;
use divvy_cli::environment::GivenEnvironment;
use divvy_cli::explain::input::RequestInput;
use divvy_cli::explain::{Explanation, HeaderEdits};
use divvy_cli::source::LoadedConfig;
use divvy_host_tests::fixture::accept;
use divvy_host_tests::random::{NOW, Random, RandomRequest, test_keys};
use divvy_host_tests::{Exchange, Headers, Module, Process, Stream, Vm};

const CONFIGS: u64 = 1_000;
const REQUESTS: usize = 100;

fn ask(sent: &RandomRequest, minted: Option<[u8; 16]>) -> RequestInput {
    let headers = sent.headers.iter();
    RequestInput {
        headers: headers
            .map(|(name, value)| (name.clone().into(), value.clone().into()))
            .collect(),
        environment: GivenEnvironment {
            claims: sent.claims.clone(),
            source: Some(sent.source.parse().unwrap()),
            peer: sent.peer.map(str::to_owned),
            outbound: false,
            now: Some(NOW),
            unreachable: Vec::new(),
            random: minted,
        },
    }
}

/// The random bits of the identity in the cookie of a response.
fn minted(stream: &Stream) -> Option<[u8; 16]> {
    let headers = stream.response_headers.as_ref()?;
    let mut cookies = headers.get_all("set-cookie");
    let uuid = cookies.find_map(|line| {
        std::str::from_utf8(line)
            .unwrap()
            .strip_prefix("uid=")?
            .split(';')
            .next()
    })?;
    let uuid = uuid.split('.').next()?;
    let digits = uuid.replace('-', "");
    // A cookie that is only signed again may have any identity.
    let bits = u128::from_str_radix(&digits, 16).ok()?;
    Some(bits.to_be_bytes())
}

type Lines = Vec<(String, String)>;

fn lines(headers: &Headers) -> Lines {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut lines: Lines = headers
        .iter()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    lines.sort();
    lines
}

fn changed(headers: &Headers, changes: &HeaderEdits, cookies: &[String]) -> Lines {
    let mut headers = headers.clone();
    for name in &changes.remove {
        headers.remove(name);
    }
    for (name, value) in &changes.set {
        headers.replace(name, value);
    }
    for cookie in cookies {
        headers.add("set-cookie", cookie);
    }
    lines(&headers)
}

/// Asserts that the explanation of one request equals what the filter did with it.
fn compare(explanation: &Explanation, exchange: &Exchange, stream: &Stream, context: &str) {
    let sent = stream.request_headers.as_ref().unwrap();
    assert_eq!(
        changed(&exchange.request, &explanation.request, &[]),
        lines(sent),
        "{context}"
    );
    let answered = stream.response_headers.as_ref().unwrap();
    let response = exchange.response.as_ref().unwrap();
    assert_eq!(
        changed(response, &explanation.response, &explanation.cookies),
        lines(answered),
        "{context}"
    );
    for steps in &explanation.rollouts {
        let made = explanation
            .decisions
            .iter()
            .find(|made| made.rollout == steps.rollout);
        assert_eq!(steps.matches, made.is_some(), "{context}");
        assert_eq!(steps.reason, made.map(|made| made.reason), "{context}");
        assert_steps_end_at_reason(steps, context);
    }
}

/// Asserts that the last step is the one that gives the decision its reason.
fn assert_steps_end_at_reason(steps: &divvy_cli::explain::RolloutSteps, context: &str) {
    let Some(reason) = steps.reason else { return };
    // The identity is looked up once, maybe for a rule or a holdout before.
    if reason == "no_identity" {
        let looked_up = steps.steps.iter().any(|step| step.step == "identity");
        return assert!(looked_up, "{steps:?}: {context}");
    }
    let last = steps
        .steps
        .iter()
        // An A/B test reads the identity after the cookie that decides.
        .rfind(|step| step.step != "guardrail" && (reason, step.step) != ("sticky", "identity"))
        .unwrap();
    let expected: &[&str] = match reason {
        "disabled" => &["enabled"],
        "override" => &["override"],
        "inherited" => &["upstream"],
        "rule" => &["rule"],
        "holdout" => &["holdout"],
        "excluded" => &["layer"],
        "not_enrolled" => &["traffic"],
        "split" | "active" | "follow" => &["strategy"],
        // The cookie remembers a version, or the position that the strategy uses.
        "sticky" => &["sticky", "strategy"],
        other => panic!("{other}: {context}"),
    };
    assert!(
        expected.contains(&last.step),
        "{reason} after {steps:?}: {context}"
    );
    if reason == "rule" {
        let matched = last.condition.as_ref().unwrap();
        assert!(matched.holds, "{context}");
    }
    if let (Some(position), Some(threshold), "split") = (last.position, last.threshold, reason) {
        assert_eq!(
            position < threshold,
            steps.version.as_deref() == Some("v2"),
            "{steps:?}: {context}"
        );
    }
}

#[test]
fn explain_and_the_filter_agree() {
    let module = Module::filter();
    let mut random = Random::new(8);
    let mut reasons = BTreeSet::new();
    let mut signatures = BTreeSet::new();
    let (mut cookies, mut mirrored) = (0, 0);
    for nth in 0..CONFIGS {
        let config = random.config();
        let keys = KeyRing::Known(test_keys());
        let explained = LoadedConfig::new_with(config.to_string().as_bytes(), &keys)
            .unwrap_or_else(|error| panic!("{config}: {error}"));
        let process = Process::new();
        process.clock().set_realtime(NOW * 1_000_000);
        let mut vm = Vm::start(&module, &process).unwrap();
        let root = accept(&mut vm, &config);
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        let mut held: Vec<String> = Vec::new();
        for number in 0..REQUESTS {
            let mut sent = random.request();
            // Half of the users return with their cookies.
            if number % 2 == 1 {
                for cookie in held.drain(..) {
                    let forges = random.one_in(8);
                    let cookie = if forges {
                        random.flipped(&cookie)
                    } else {
                        cookie
                    };
                    sent.headers.push(("cookie".to_owned(), cookie));
                }
            }
            let exchange = Exchange::from(&sent);
            let stream = vm.exchange(root, &exchange).unwrap();
            let explanation = explained.explain(&ask(&sent, minted(&stream)), true);
            let context = format!(
                "configuration {nth}: {config}\nrequest {number}: {sent:?}\n{explanation:?}"
            );
            compare(&explanation, &exchange, &stream, &context);
            for counter in &explanation.counters {
                *counted.entry(counter.clone()).or_default() += 1;
            }
            reasons.extend(explanation.decisions.iter().map(|made| made.reason));
            mirrored += usize::from(
                explanation
                    .request
                    .set
                    .iter()
                    .any(|(name, _)| name == "x-divvy-mirror"),
            );
            cookies += explanation.cookies.len();
            let pairs = explanation
                .cookies
                .iter()
                .filter_map(|line| line.split(';').next());
            held.extend(pairs.map(str::to_owned));
        }
        let all = process.stat_names();
        let of_filter = all
            .iter()
            .filter_map(|name| Some((with_labels(name), process.counter(name)?)));
        let (of_signatures, of_filter): (BTreeMap<_, _>, BTreeMap<_, _>) = of_filter
            .filter(|(_, value)| *value > 0)
            .partition(|(name, _)| name.starts_with("divvy_signature_total"));
        signatures.extend(of_signatures.into_keys());
        assert_eq!(counted, of_filter, "configuration {nth}: {config}");
    }
    // Every reason that a readable request can have occurred.
    let expected = [
        "active",
        "disabled",
        "excluded",
        "follow",
        "holdout",
        "inherited",
        "no_identity",
        "not_enrolled",
        "override",
        "rule",
        "split",
        "sticky",
    ];
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), expected);
    // `ok`, `bad` and `unknown_key` of each purpose, `expired` of those that have an age.
    assert!(signatures.len() >= 10, "{signatures:?}");
    assert!(
        cookies > 1_000 && mirrored > 100,
        "{cookies} cookies, {mirrored} mirrored"
    );
}

/// A stat name of the filter as Prometheus shows it: `a=.=x;.;total` is `total{a="x"}`.
fn with_labels(stat: &str) -> String {
    let mut parts: Vec<&str> = stat.split(";.;").collect();
    let metric = parts.pop().unwrap_or_default();
    let labels: Vec<String> = parts
        .iter()
        .filter_map(|label| label.split_once("=.="))
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    format!("{metric}{{{}}}", labels.join(","))
}

//! Configurations and requests at random, from a seed: few words, so that they meet.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

/// A source of them.
pub struct Random(Pcg64Mcg);

const USERS: [&str; 6] = ["alice", "bob", "42", " 7 ", "anonymous", ""];
const WORDS: [&str; 6] = ["x", "ab1", "2.3.1", "15", "10.1.2.3", "A"];
const HEADERS: [&str; 4] = ["x-a", "x-b", "x-user-id", "user-agent"];
const HOSTS: [&str; 3] = ["shop.example.com", "www.example.com", "example.org"];
const PATHS: [&str; 4] = ["/", "/checkout", "/checkout/cart", "/search"];
const METHODS: [&str; 3] = ["GET", "POST", "HEAD"];
/// When the rollouts that grow have grown a bit.
pub const NOW: u64 = 1_796_644_800_000;

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next_u64() % end as u64).unwrap()
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// A configuration that the filter takes.
    pub fn config(&mut self) -> Value {
        let mut config = json!({"identity": self.identity(), "rollouts": []});
        if self.one_in(2) {
            config["holdout"] = json!({"name": "h", "percent": self.pick(&[0, 10, 50])});
        }
        if self.one_in(3) {
            config["headers"] = json!({"route": "x-route", "assignment": "x-divvy-assignment", "identity": "x-gray-id"});
        } else if self.one_in(3) {
            config["headers"] = json!({"route": "x-divvy-route", "mirror": "x-divvy-mirror", "assignment": "x-divvy-assignment"});
        }
        if self.one_in(2) {
            config["responseHeader"] = json!("x-version");
        }
        if self.one_in(2) {
            config["trust"] = json!({"principals": ["spiffe://td/ns/edge/sa/*"]});
        }
        for nth in 0..=self.below(4) {
            let rollout = self.rollout(nth, &config);
            config["rollouts"].as_array_mut().unwrap().push(rollout);
        }
        config
    }

    fn identity(&mut self) -> Value {
        let mut sources = vec![json!({"header": "x-user-id"})];
        for source in [
            json!({"query": "uid"}),
            json!({"jwtClaim": ["realm", "sub"]}),
            json!({"concat": [{"header": "x-a"}, {"header": "x-b"}]}),
            json!({"sourceIp": true}),
        ] {
            if self.one_in(4) {
                sources.push(source);
            }
        }
        match self.below(3) {
            0 => sources.push(json!({"cookie": "uid"})),
            1 => {
                let when = json!({"header": "x-a", "present": true});
                sources.push(json!({"cookie": "uid", "mint": {"maxAge": "30d", "when": when}}));
            }
            _ => {}
        }
        json!(sources)
    }

    fn rollout(&mut self, nth: usize, config: &Value) -> Value {
        let mut rollout = json!({
            "name": format!("r{nth}"),
            "versions": [{"name": "v1"}, {"name": "v2"}, {"name": "v-3"}],
            "stable": "v1",
        });
        if self.one_in(2) {
            rollout["target"] = json!("shop-{version}");
        }
        if self.one_in(8) {
            rollout["enabled"] = json!(false);
        }
        if self.one_in(3) {
            rollout["metrics"] = json!(self.pick(&["off", "requests", "responses"]));
        }
        if self.one_in(2) {
            rollout["match"] = json!([self.scope(), self.scope()]);
        }
        let rules: Vec<_> = (0..self.below(3)).map(|rule| {
            let mut written = json!({"name": format!("rule{rule}"), "use": self.pick(&["v2", "v1"]), "when": self.condition(nth, 0)});
            if self.one_in(3) {
                written["percent"] = json!(self.pick(&[0.0, 33.3333, 100.0]));
            }
            written
        }).collect();
        rollout["rules"] = json!(rules);
        let strategy = self.strategy(nth, config);
        let draws = strategy.get("canary").is_some() || strategy.get("abTest").is_some();
        rollout["strategy"] = strategy;
        if draws && self.one_in(2) {
            rollout["sticky"] = json!({"cookie": format!("s{nth}"), "maxAge": "1h"});
        }
        if self.one_in(3) {
            rollout["guardrail"] = json!({"errors": {"max": 1}});
            if rollout["strategy"].get("follow").is_some()
                || rollout["strategy"].get("blueGreen").is_some()
            {
                rollout.as_object_mut().unwrap().remove("guardrail");
            }
        }
        if rollout.get("target").is_some()
            && self.one_in(3)
            && config.pointer("/headers/mirror").is_some()
        {
            rollout["mirror"] =
                json!({"version": "v-3", "percent": self.pick(&[50, 100]), "methods": ["GET"]});
        }
        if self.one_in(4) {
            rollout["expose"] = json!({"group": format!("x-group-{nth}"), "id": "x-group", "response": self.one_in(2)});
        }
        rollout
    }

    fn scope(&mut self) -> Value {
        let mut scope = json!({"methods": [self.pick(&METHODS), "GET"]});
        if self.one_in(2) {
            scope["hosts"] =
                json!([self.pick(&["*.example.com", "example.org", "shop.example.com"])]);
        }
        if self.one_in(2) {
            scope["path"] = json!({self.pick(&["prefix", "exact", "contains"]): self.pick(&PATHS)});
        }
        scope
    }

    fn strategy(&mut self, nth: usize, config: &Value) -> Value {
        match self.below(if nth > 0 { 6 } else { 5 }) {
            0 | 1 => {
                json!({"canary": {"version": "v2", "weight": self.pick(&[0.0, 12.5, 50.0, 100.0])}})
            }
            2 => json!({"canary": {"version": "v2", "start": "2026-12-07T11:30:00Z",
                "steps": [{"weight": 10, "hold": self.pick(&["10m", "2h"])}, {"weight": 60, "hold": "1h"}, {"weight": 100}]}}),
            3 => {
                let mut test = json!({"split": [{"version": "v1", "weight": 1}, {"version": "v2", "weight": self.pick(&[0, 1, 3])}]});
                if self.one_in(2) {
                    test["traffic"] = json!(self.pick(&[0, 40, 100]));
                }
                if self.one_in(2) {
                    test["layer"] = json!({"name": format!("layer{nth}"), "from": 0, "to": self.pick(&[50, 100])});
                }
                if config.get("holdout").is_some() && self.one_in(2) {
                    test["holdout"] = json!(self.one_in(2));
                }
                json!({"abTest": test})
            }
            4 => json!({"blueGreen": {"active": self.pick(&["v1", "v2"])}}),
            _ => json!({"follow": {"rollout": format!("r{}", self.below(nth))}}),
        }
    }

    fn condition(&mut self, nth: usize, depth: usize) -> Value {
        match self.below(if depth < 2 { 14 } else { 11 }) {
            11 => json!({"all": [self.condition(nth, depth + 1), self.condition(nth, depth + 1)]}),
            12 => json!({"any": [self.condition(nth, depth + 1), self.condition(nth, depth + 1)]}),
            13 => json!({"not": self.condition(nth, depth + 1)}),
            10 if nth > 0 => {
                let rollout = format!("r{}", self.below(nth));
                json!({"assigned": {"rollout": rollout, "version": self.pick(&["v1", "v2"])}})
            }
            9 => json!({"sourceIp": true, "cidr": ["10.0.0.0/8"]}),
            8 => json!({"path": true, "prefix": self.pick(&PATHS)}),
            7 => json!({"method": true, "in": ["GET", "PUT"]}),
            6 => json!({"host": true, "suffix": self.pick(&[".com", ".org"])}),
            kind => {
                let mut leaf = match kind {
                    0 | 10 => json!({"header": self.pick(&HEADERS)}),
                    1 => json!({"cookie": self.pick(&["ring", "uid"])}),
                    2 => json!({"query": self.pick(&["q", "uid"])}),
                    3 => json!({"label": {"header": "x-label", "key": "k"}}),
                    4 => json!({"jwtClaim": "groups", "type": "list"}),
                    _ => json!({"identity": true}),
                };
                let (operator, value) = self.operator();
                leaf[operator] = value;
                leaf
            }
        }
    }

    fn operator(&mut self) -> (&'static str, Value) {
        let word = self.pick(&WORDS);
        match self.below(10) {
            0 | 1 => ("exact", json!(word)),
            2 => ("prefix", json!(&word[..1])),
            3 => ("suffix", json!(&word[word.len() - 1..])),
            4 => ("in", json!([word, "alice"])),
            5 => ("present", json!(self.one_in(2))),
            6 => ("regex", json!("[a-c]+[0-9]")),
            7 => ("semver", json!(">=2.3, <3")),
            8 => ("range", json!({"min": 10, "max": 20})),
            _ => ("contains", json!(&word[..1])),
        }
    }

    /// A request: its headers, the claims of its token, whoever sent it.
    pub fn request(&mut self) -> Sent {
        let mut path = self.pick(&PATHS).to_owned();
        if self.one_in(2) {
            path = format!(
                "{path}?q={}&uid={}",
                self.pick(&WORDS),
                self.pick(&["bob", "carol%20"])
            );
        }
        let mut headers = vec![
            (":authority".to_owned(), self.pick(&HOSTS).to_owned()),
            (":path".to_owned(), path),
            (":method".to_owned(), self.pick(&METHODS).to_owned()),
            (":scheme".to_owned(), "http".to_owned()),
        ];
        for name in HEADERS {
            for _ in 0..self.below(3) {
                let value = if self.one_in(2) {
                    self.pick(&USERS)
                } else {
                    self.pick(&WORDS)
                };
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        if self.one_in(2) {
            let cookie = format!("ring={}; uid={}", self.pick(&WORDS), self.pick(&USERS));
            headers.push(("cookie".to_owned(), cookie));
        }
        if self.one_in(3) {
            headers.push(("x-label".to_owned(), format!("a=b;k={}", self.pick(&WORDS))));
        }
        // What a client may forge, and what a proxy upstream has decided.
        if self.one_in(3) {
            let forged = ["x-divvy-route", "x-route", "x-group", "x-divvy-mirror"];
            headers.push((self.pick(&forged).to_owned(), "v2".to_owned()));
        }
        if self.one_in(3) {
            let members = [
                "r0=v2;reason=split",
                "r1=v1;reason=rule, r9=x;reason=split",
                "r0=v9",
                "?",
            ];
            headers.push((
                "x-divvy-assignment".to_owned(),
                self.pick(&members).to_owned(),
            ));
        }
        Sent {
            headers,
            claims: self.one_in(2).then(|| json!({"realm": {"sub": self.pick(&USERS)}, "groups": [self.pick(&WORDS), "ab1"]})),
            source: self.pick(&["10.1.2.3", "192.0.2.9", "2001:db8:1:2::9"]),
            peer: self.one_in(2).then(|| self.pick(&["spiffe://td/ns/edge/sa/gw", "spiffe://td/ns/x/sa/y"])),
        }
    }
}

/// A request.
#[derive(Debug)]
pub struct Sent {
    pub headers: Vec<(String, String)>,
    pub claims: Option<Value>,
    pub source: &'static str,
    pub peer: Option<&'static str>,
}

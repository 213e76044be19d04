//! Random configurations and requests, reproducible from a seed. They share a small vocabulary,
//! so that conditions, cookies and assignments often match.

mod request;
mod signed;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::{DECISIONS, RICH, VALID, matrix, mutate};
pub use request::RandomRequest;
pub use signed::{TEST_KEYS, test_keys};

/// A generator of configurations and requests.
pub struct Random(Pcg64Mcg);

const USERS: [&str; 6] = ["alice", "bob", "42", " 7 ", "anonymous", ""];
const WORDS: [&str; 6] = ["x", "ab1", "2.3.1", "15", "10.1.2.3", "A"];
const HEADERS: [&str; 4] = ["x-a", "x-b", "x-user-id", "user-agent"];
const HOSTS: [&str; 3] = ["shop.example.com", "www.example.com", "example.org"];
const PATHS: [&str; 4] = ["/", "/checkout", "/checkout/cart", "/search"];
const METHODS: [&str; 3] = ["GET", "POST", "HEAD"];
/// Wall clock in milliseconds since 1970 at which the generated ramps have begun and not ended.
pub const NOW: u64 = 1_796_644_800_000;

impl Random {
    /// A generator whose output depends on the seed alone.
    pub fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `end`, exclusive.
    ///
    /// # Panics
    /// If `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.bits() % end as u64).unwrap()
    }

    /// True with a probability of 1 / `many`.
    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// An element of a list.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// A configuration of any kind, perhaps an invalid one: generated, from the shared tables,
    /// or one of these with a few random changes.
    pub fn any_config(&mut self) -> Value {
        let config = match self.below(8) {
            0..5 => self.rich_config(),
            5 => {
                let groups = matrix::groups();
                groups[self.below(groups.len())].config.clone()
            }
            6 => {
                let groups: Vec<Value> = serde_json::from_str(DECISIONS).unwrap();
                groups[self.below(groups.len())]["config"].clone()
            }
            _ => serde_json::from_str(self.pick(&[RICH, VALID])).unwrap(),
        };
        if self.one_in(3) {
            self.mutated(&config)
        } else {
            config
        }
    }

    /// The configuration with a few random changes, perhaps an invalid one.
    pub fn mutated(&mut self, config: &Value) -> Value {
        let text = config.to_string().into_bytes();
        let text = mutate::mutated(&text, self.bits()).unwrap_or(text);
        serde_json::from_slice(&text).unwrap()
    }

    /// As [`Random::config`], with the features that `divvy explain` cannot reproduce for one
    /// request: random identities, ramps, guardrails that count and recover.
    fn rich_config(&mut self) -> Value {
        let mut config = self.config();
        if self.one_in(2) {
            config["version"] = json!(format!("version {}", self.below(3)));
        }
        if self.one_in(4) {
            config["ignoreIdentities"] = self.pick_json(&["[]", r#"["", "bob"]"#, r#"["0"]"#]);
        }
        if self.one_in(4) {
            config["trust"]["workload"] = json!(true);
        }
        let identity = config["identity"].as_array_mut().unwrap();
        if identity.iter().all(|source| source.get("mint").is_none()) && self.one_in(4) {
            identity.push(json!({"random": true}));
        }
        for rollout in config["rollouts"].as_array_mut().unwrap() {
            if self.one_in(3) {
                rollout["salt"] = json!(self.pick(&["s1", "s2"]));
                rollout["revision"] = json!(self.pick(&["1", "2"]));
            }
            if rollout["strategy"].get("canary").is_some() && self.one_in(4) {
                rollout["strategy"] = json!({"canary": {"version": "v2", "start": "2026-12-07T11:30:00Z",
                    "ramp": {"from": self.pick(&[0, 5]), "by": 7.5, "to": 50, "every": "5m", "then": 100}}});
            }
            if self.one_in(2) {
                rollout["guardrail"] = self.guardrail();
            }
        }
        config
    }

    fn guardrail(&mut self) -> Value {
        let mut guardrail = json!({"minRequests": self.pick(&[1, 5, 20])});
        if self.one_in(2) {
            guardrail["errors"] = self.pick_json(&[
                r#"{"max": 1}"#,
                r#"{"max": 5, "overStable": 1, "window": "10s"}"#,
                r#"{"overStable": 10}"#,
            ]);
        }
        if self.one_in(3) {
            guardrail["latency"] = self.pick_json(&[
                r#"{"quantile": 0.9, "max": "200ms"}"#,
                r#"{"quantile": 0.5, "timesStable": 1.2, "window": "30s"}"#,
                r#"{"quantile": 0.95, "max": "300ms", "for": "20s"}"#,
            ]);
        }
        if guardrail.as_object().unwrap().len() == 1 || self.one_in(3) {
            guardrail["consecutiveErrors"] = json!(self.pick(&[2, 5]));
        }
        if self.one_in(3) {
            guardrail["patience"] = json!(self.pick(&["1s", "30s", "off"]));
        }
        if self.one_in(2) {
            guardrail["onBreach"] = json!(self.pick(&["rollback", "freeze", "observe"]));
        }
        if self.one_in(2) {
            guardrail["recoverAfter"] = json!(self.pick(&["10s", "5m"]));
        }
        guardrail
    }

    fn pick_json(&mut self, list: &[&str]) -> Value {
        serde_json::from_str(self.pick(list)).unwrap()
    }

    /// A valid configuration.
    pub fn config(&mut self) -> Value {
        let mut config = json!({"identity": self.identity(), "rollouts": []});
        if self.one_in(2) {
            config["holdout"] = json!({"name": "h", "percent": self.pick(&[0, 10, 50])});
        }
        if self.one_in(3) {
            config["headers"] = json!({"route": "x-route", "assignment": "x-divvy-assignment", "identity": self.pick(&["x-gray-id", "x-user-id"])});
        } else if self.one_in(3) {
            config["headers"] = json!({"route": "x-divvy-route", "mirror": "x-divvy-mirror", "assignment": "x-divvy-assignment"});
        }
        if config.get("headers").is_some() && self.one_in(2) {
            config["headers"]["baggage"] = json!("divvy");
        }
        if config.get("headers").is_some() && self.one_in(2) {
            config["headers"]["unit"] = json!(self.pick(&["x-divvy-unit", "x-unit"]));
        }
        if self.one_in(2) {
            config["responseHeader"] = json!("x-version");
        }
        if self.one_in(2) {
            config["trust"] = json!({"principals": ["spiffe://td/ns/edge/sa/*"]});
            if config.pointer("/headers/baggage").is_some() {
                config["trust"]["from"] = json!(self.pick(&["assignment", "baggage"]));
            }
        }
        if self.one_in(3) {
            self.overrides(&mut config);
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
                let mut mint = json!({"maxAge": "30d", "partitioned": true, "when": when});
                self.sign(&mut mint);
                sources.push(json!({"cookie": "uid", "mint": mint}));
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
        if self.one_in(4) {
            rollout["identity"] = self.pick_json(&[
                r#"[{"cookie": "session"}]"#,
                r#"[{"query": "uid"}, {"sourceIp": true}]"#,
                r#"[{"concat": [{"header": "x-a"}, {"cookie": "uid"}]}, {"header": "x-user-id"}]"#,
            ]);
        }
        let rules: Vec<_> = (0..self.below(3))
            .map(|rule| {
                let mut written =
                    json!({"name": format!("rule{rule}"), "when": self.condition(nth, 0)});
                if self.one_in(3) {
                    written["split"] = self.arms();
                } else {
                    written["use"] = json!(self.pick(&["v2", "v1"]));
                }
                if self.one_in(3) {
                    written["percent"] = json!(self.pick(&[0.0, 33.3333, 100.0]));
                }
                written
            })
            .collect();
        rollout["rules"] = json!(rules);
        let strategy = self.strategy(nth, config);
        let draws = ["canary", "abTest", "weighted"];
        let draws = draws.iter().any(|name| strategy.get(name).is_some());
        if strategy.get("weighted").is_some() && self.one_in(2) {
            rollout["hash"] = json!({"flagd": {"flag": format!("flag{nth}")}});
        }
        rollout["strategy"] = strategy;
        if draws && self.one_in(2) {
            rollout["sticky"] = json!({"cookie": format!("s{nth}"), "maxAge": "1h"});
            self.sign(&mut rollout["sticky"]);
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
            if self.one_in(2) {
                rollout["expose"]["label"] =
                    json!({"header": "x-label", "key": self.pick(&["v", "w"])});
            }
        }
        if self.one_in(4) {
            rollout["unreachable"] = json!(self.one_in(2));
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
        if self.one_in(4) {
            scope["when"] = self.scope_condition();
        }
        scope
    }

    /// A condition that needs neither an identity nor a decision.
    fn scope_condition(&mut self) -> Value {
        let mut leaf = match self.below(4) {
            0 => json!({"header": self.pick(&HEADERS)}),
            1 => json!({"cookie": "ring"}),
            2 => json!({"query": "q"}),
            _ => return json!({"not": {"peer": true, "suffix": "/gw"}}),
        };
        let (operator, value) = self.operator();
        leaf[operator] = value;
        leaf
    }

    fn arms(&mut self) -> Value {
        json!([{"version": "v1", "weight": 1}, {"version": "v2", "weight": self.pick(&[0, 1, 3])},
            {"version": "v-3", "weight": self.pick(&[0, 5])}])
    }

    fn strategy(&mut self, nth: usize, config: &Value) -> Value {
        match self.below(if nth > 0 { 7 } else { 6 }) {
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
            4 => json!({"weighted": self.arms()}),
            5 => json!({"blueGreen": {"active": self.pick(&["v1", "v2"])}}),
            _ => json!({"follow": {"rollout": format!("r{}", self.below(nth))}}),
        }
    }

    fn condition(&mut self, nth: usize, depth: usize) -> Value {
        match self.below(if depth < 2 { 15 } else { 11 }) {
            14 => json!({"peer": true, "prefix": "spiffe://td/ns/edge/"}),
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
}

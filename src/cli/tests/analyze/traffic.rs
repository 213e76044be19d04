//! Access logs of simulated users, in the format of the shipped proxies, with assignments of the library itself.

use divvy::bucket::{Key, Purpose};
use divvy::decide::decide;
use divvy::policy::Policy;
use divvy::request::Request;
use divvy::{config, output};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

/// 2026-11-30T09:00:00Z in milliseconds since 1970.
pub const START: u64 = 1_796_029_200_000;

/// A rollout `page` with these arms of equal weight.
pub fn configuration(arms: &[&str], salt: &str) -> Value {
    let named = arms.iter().map(|name| json!({"name": name}));
    let split = arms
        .iter()
        .map(|name| json!({"version": name, "weight": 1}));
    json!({
        "identity": [{"header": "x-user-id"}],
        "rollouts": [{
            "name": "page",
            "salt": salt,
            "versions": named.collect::<Vec<_>>(),
            "stable": arms[0],
            "strategy": {"abTest": {"split": split.collect::<Vec<_>>()}},
        }],
    })
}

pub fn policy(configuration: &Value) -> Policy {
    config::parse(configuration.to_string().as_bytes()).unwrap()
}

/// The assignment of a user.
pub fn assignment(policy: &Policy, user: &str) -> String {
    let headers = [(":path", "/"), (":method", "GET"), ("x-user-id", user)];
    let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let request = Request::from_headers(&policy.names, headers);
    output::assignment(policy, &decide(policy, &request).decisions).unwrap()
}

/// The unit of a user.
pub fn unit(user: &str) -> String {
    format!(
        "{:016x}",
        Key::new(Purpose::Gate, "unit").hash(user.as_bytes())
    )
}

/// A line of an access log.
pub fn line(time: u64, request: (&str, &str, u16), assignment: &str, unit: &str) -> String {
    let time = humantime::format_rfc3339_millis(
        std::time::UNIX_EPOCH + std::time::Duration::from_millis(time),
    );
    let (method, path, code) = request;
    format!(
        r#"{{"time":"{time}","method":"{method}","path":"{path}","code":{code},"flags":"-","duration":{},"cluster":"v1","request_id":"3f0c","assignment":"{assignment}","unit":"{unit}"}}"#,
        time.to_string().len() + usize::from(code) / 10
    )
}

/// Random numbers from a seed.
pub struct Draw(Pcg64Mcg);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// Uniform from 0 to 1.
    pub fn share(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }

    pub fn below(&mut self, number: u64) -> u64 {
        self.0.next_u64() % number
    }
}

/// Lines of users who look at a page once or several times, and who order with a probability for each version.
pub fn visits(policy: &Policy, users: u64, seed: u64, orders: impl Fn(&str) -> f64) -> Vec<String> {
    let mut draw = Draw::new(seed);
    let mut lines = Vec::new();
    for user in 0..users {
        let user = format!("user-{user}");
        let (assignment, unit) = (assignment(policy, &user), unit(&user));
        let version = assignment.split(['=', ';']).nth(1).unwrap();
        let mut time = START + draw.below(86_400_000);
        for _ in 0..=draw.below(2) {
            lines.push(line(time, ("GET", "/", 200), &assignment, &unit));
            time += 1 + draw.below(60_000);
        }
        if draw.share() < orders(version) {
            lines.push(line(time, ("POST", "/order", 201), &assignment, &unit));
        }
    }
    lines
}

//! Decisions that depend on more than one request or proxy: minted identities, sticky cookies,
//! mirrors, inherited decisions.
mod chain;
mod minted;
mod mirror;
mod own_identity;
mod preflight;
mod shared;
mod sticky;
mod sticky_errors;
mod unit;

use std::rc::Rc;

use divvy::decision::RolloutId;
use divvy::guardrail::State;
use divvy::output::HeaderChange;
use divvy::policy::Policy;
use divvy::request::{Direction, Environment, Request};
use divvy::{decide, output};
use divvy_cases::build::{self, canary};
use serde_json::Value;

use crate::compile::{errors_of, policy};

/// The environment of a request.
#[derive(Clone, Debug, Default)]
struct World {
    /// The random bits.
    draw: u128,
    /// The URI in the peer's certificate.
    peer: Option<&'static str>,
    /// The direction of the listener.
    direction: Option<u64>,
    /// Milliseconds since the Unix epoch.
    now: Option<u64>,
    /// The guardrail state of the first rollout.
    state: Option<Rc<State>>,
}

impl Environment for World {
    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        self.peer.map(Into::into)
    }

    fn listener_direction(&self) -> Option<Direction> {
        Direction::from_number(self.direction?)
    }

    fn random_bits(&self) -> Option<[u8; 16]> {
        Some(self.draw.to_be_bytes())
    }

    fn now(&self) -> Option<u64> {
        self.now
    }

    fn guardrail_state(&self, _: RolloutId) -> Option<Rc<State>> {
        self.state.clone()
    }
}

/// The effects of a request.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    assignment: Option<String>,
    route: Option<String>,
    mirror: Option<String>,
    identity: Option<String>,
    unit: Option<String>,
    /// The `cookie` header that the upstream receives, if it was changed.
    sent: Option<String>,
    cookies: Vec<String>,
}

impl Answer {
    fn assignment(&self) -> &str {
        self.assignment.as_deref().unwrap_or_default()
    }

    /// The value of a cookie in the response.
    fn cookie(&self, name: &str) -> Option<&str> {
        let begin = format!("{name}=");
        let mut lines = self.cookies.iter();
        let line = lines.find_map(|line| line.strip_prefix(&begin))?;
        line.split(';').next()
    }
}

fn ask_in(world: &World, policy: &Policy, headers: &[(&str, &str)]) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let request = Request::from_headers(&policy.names, headers).with_environment(world);
    let outcome = decide::decide(policy, &request);
    let mut answer = Answer {
        cookies: output::cookies(policy, &request, &outcome),
        ..Answer::default()
    };
    output::change_request(policy, &request, &outcome, &mut Vec::new(), |change| {
        if let HeaderChange::Set(name, value) = change {
            let value = Some(String::from_utf8(value.to_owned()).unwrap());
            match name {
                "x-divvy-assignment" => answer.assignment = value,
                "x-divvy-route" => answer.route = value,
                "x-divvy-mirror" => answer.mirror = value,
                "x-user" => answer.identity = value,
                "x-divvy-unit" => answer.unit = value,
                "cookie" => answer.sent = value,
                other => panic!("{other} is set"),
            }
        }
    });
    answer
}

fn ask(policy: &Policy, headers: &[(&str, &str)]) -> Answer {
    ask_in(&World::default(), policy, headers)
}

/// A rollout of v1 and v2 with this strategy and further fields.
fn rollout(strategy: &Value, fields: &Value) -> Value {
    build::with(build::rollout("checkout", &["v1", "v2"], strategy), fields)
}

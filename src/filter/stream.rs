//! One request and its response.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::{self, Headers};
use super::state::State;
use crate::decide::{self, Outcome};
use crate::decision::{Decision, Reason};
use crate::output::{self, Class, HeaderChange};
use crate::outside::Outside;
use crate::policy::Policy;
use crate::request::Request;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// What is kept of a request until its response has been counted.
pub struct Stream {
    state: Rc<State>,
    decisions: Vec<Decision>,
    /// Whether a decision's rollout counts responses.
    counting: bool,
    /// When the request came, on the monotonic clock.
    started: Option<u64>,
    /// A gRPC call: its status comes after the headers, so it is counted at the end.
    grpc: bool,
    /// The class by the response's code, once there is one.
    class: Option<Class>,
    counted: bool,
}

impl Stream {
    pub const fn new(state: Rc<State>) -> Self {
        Self {
            state,
            decisions: Vec::new(),
            counting: false,
            started: None,
            grpc: false,
            class: None,
            counted: false,
        }
    }

    /// Decides, and changes the request accordingly.
    fn assign(&mut self) {
        let state = Rc::clone(&self.state);
        let policy = &state.active.policy;
        // Without rollouts there is nothing to read for: three blind removals cost less.
        if policy.rollouts.is_empty() {
            strip(policy);
            return;
        }
        let block = host::header_block(Headers::Request);
        let request = match &block {
            // No request is without headers: the host has none to give.
            Ok(block) if !block.is_empty() => Request::from_block(&policy.names, block).ok(),
            _ => None,
        };
        let request = request.map(|request| request.with_outside(&Proxy));
        let mut all = true;
        let change = |change| all &= apply(Headers::Request, &change);
        let outcome = match &request {
            Some(request) => {
                let outcome = decide::decide(policy, request);
                self.grpc = request.is_grpc();
                output::change_request(policy, request, &outcome, change);
                outcome
            }
            None => {
                let outcome = decide::decide_unread(policy);
                output::change_blindly(policy, &outcome, change);
                outcome
            }
        };
        self.decisions = outcome.decisions;
        if !all {
            self.fall_back(policy);
        }
    }

    /// The proxy refused a header, so the request may go anywhere: takes it all back,
    /// which leaves the default route to stable.
    fn fall_back(&mut self, policy: &Policy) {
        for decision in &mut self.decisions {
            if let Some(rollout) = policy.rollout(decision.rollout) {
                decision.version = rollout.stable;
                decision.reason = Reason::Error;
            }
        }
        strip(policy);
    }

    /// Counts the response once, for each rollout that decided.
    fn count(&mut self, class: Class) {
        self.counted = true;
        for decision in &self.decisions {
            if let Some(id) = self.state.active.responses(decision, class) {
                host::increment(id);
            }
        }
    }

    fn record_duration(&self) {
        let now = host::monotonic_nanos();
        let (Some(started), Some(now)) = (self.started, now) else {
            return;
        };
        let millis = now
            .saturating_sub(started)
            .checked_div(NANOS_PER_MILLI)
            .unwrap_or_default();
        for decision in &self.decisions {
            if let Some(id) = self.state.active.duration(decision) {
                host::record(id, millis);
            }
        }
    }
}

/// Whether a gRPC call that was answered with 200 failed. Where no status came, Envoy says
/// "unknown", which is no failure of the service if the client went away first.
fn grpc_failed() -> bool {
    let status = host::number_property("response\0grpc_status");
    status.is_some_and(Class::is_grpc_failure) && !output::client_is_gone(response_flags())
}

fn response_flags() -> u64 {
    host::number_property("response\0flags").unwrap_or_default()
}

/// Asks the proxy for what is not in the headers.
#[derive(Debug)]
struct Proxy;

impl Outside for Proxy {
    fn property(&self, path: &str) -> Option<Vec<u8>> {
        host::property(path).ok()
    }

    fn random(&self) -> Option<[u8; 16]> {
        host::random_bits()
    }
}

/// Removes every header of divvy's, whether or not it is there.
fn strip(policy: &Policy) {
    output::change_blindly(policy, &Outcome::default(), |change| {
        apply(Headers::Request, &change);
    });
}

/// Makes a change; whether the proxy let it.
fn apply(map: Headers, change: &HeaderChange<'_>) -> bool {
    let made = match change {
        HeaderChange::Set(name, value) => host::set_header(map, name, value),
        HeaderChange::Remove(name) => host::remove_header(map, name),
    };
    made.is_ok()
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.state.used();
        self.assign();
        if self.decisions.is_empty() {
            return Action::Continue;
        }
        self.counting = self.state.active.counts_responses(&self.decisions);
        if self.counting {
            self.started = host::monotonic_nanos();
        }
        self.state.show_weights_of(&self.decisions);
        for decision in &self.decisions {
            if let Some(id) = self.state.active.requests(decision) {
                host::increment(id);
            }
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        // Envoy does not call twice, but what it would mean is clear.
        if self.decisions.is_empty() || self.class.is_some() {
            return Action::Continue;
        }
        if self.counting {
            self.record_duration();
            let status = host::header(Headers::Response, ":status").unwrap_or_default();
            let class = Class::of_status(&status);
            self.class = Some(class);
            // A gRPC call is always answered with 200 and may still fail by its status.
            self.grpc &= status == b"200";
            if !self.grpc {
                self.count(class);
            }
        }
        // The response goes on whether or not the client is told.
        let policy = &self.state.active.policy;
        output::change_response(policy, &self.decisions, |change| {
            apply(Headers::Response, &change);
        });
        Action::Continue
    }

    /// The end of the stream, whether or not there was a response. Streams that ended
    /// before this filter saw the request have decided nothing.
    fn on_log(&mut self) {
        if self.counted || !self.counting {
            return;
        }
        let class = match self.class {
            Some(_) if self.grpc && grpc_failed() => Class::GrpcError,
            Some(class) => class,
            None => {
                let code = host::number_property("response\0code").unwrap_or_default();
                match Class::of_code(code) {
                    Class::None => Class::of_flags(response_flags()),
                    class => class,
                }
            }
        };
        self.count(class);
    }
}

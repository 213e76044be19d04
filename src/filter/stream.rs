//! One request and its response.

use std::rc::Rc;
use std::time::Duration;

use super::host::{self, Headers};
use super::lent::Handed;
use super::proxy::Proxy;
use super::state::State;
use crate::cookies::is_shared;
use crate::decide;
use crate::decision::{Decisions, Reason};
use crate::output::{self, HeaderChange};
use crate::policy::Policy;
use crate::request::{Pairs, Request};
use crate::response::{self, FinishedRequest, ResponseClass};

/// What is kept of a request until its response has been counted.
pub struct Stream {
    state: Rc<State>,
    decisions: Decisions,
    /// What the client is given with the response, as values of `set-cookie`.
    cookies: Vec<String>,
    /// Whether a decision's rollout counts responses.
    counting: bool,
    /// Whether a guardrail judges what comes of a decision, and how long it takes.
    judged: bool,
    timed: bool,
    /// When the request came, on the monotonic clock.
    started: Option<u64>,
    /// When the last of it had come, where a guardrail looks at how long the response takes
    /// from then on: a slow upload is its client's doing.
    sent: Option<u64>,
    /// A gRPC call: its status comes after the headers, so it is counted at the end.
    grpc: bool,
    /// How it was answered, once it was.
    answer: Option<Answer>,
    counted: bool,
}

const NANOS_PER_MILLI: u64 = 1_000_000;

/// The beginning of a response.
#[derive(Clone, Copy, Default)]
struct Answer {
    code: u64,
    /// Nanoseconds since the request came, and since all of it had come.
    nanos: Option<u64>,
    latency: Option<u64>,
    event_stream: bool,
}

/// What was decided for a request.
#[derive(Default)]
struct Assigned {
    decisions: Decisions,
    cookies: Vec<String>,
    grpc: bool,
}

/// Decides, and changes the request accordingly.
fn assign(state: &State) -> Assigned {
    let policy = &state.active.policy;
    // Without rollouts there is nothing to read for: to look for three headers costs less.
    if policy.rollouts.is_empty() && policy.inheritance.is_none() {
        strip_found(policy);
        return Assigned::default();
    }
    let proxy = Proxy {
        watch: &state.watch,
    };
    let block = host::header_block(Headers::Request).unwrap_or_default();
    let mut request = Request::new(&policy.names).with_outside(&proxy);
    // No request is without headers: the host has none to give.
    let read = !block.is_empty() && request.read_block(&block).is_ok();
    let mut all = true;
    let change = |change: HeaderChange<'_, '_>| all &= apply(Headers::Request, change);
    let mut assigned = Assigned::default();
    if read {
        let outcome = decide::decide(policy, &request);
        state.with_text(|text| {
            output::change_request(policy, &request, &outcome, text, change);
        });
        if policy.rare.gives_cookies {
            assigned.cookies = output::cookies(policy, &outcome);
        }
        assigned.grpc = request.is_grpc();
        assigned.decisions = outcome.decisions;
    } else {
        let outcome = decide::decide_unread(policy);
        output::change_blindly(policy, &outcome, change);
        assigned.decisions = outcome.decisions;
    }
    if !all {
        fall_back(policy, &mut assigned);
    }
    assigned
}

/// The proxy refused a header, so the request may go anywhere: takes it all back, which leaves
/// the default route to stable.
fn fall_back(policy: &Policy, assigned: &mut Assigned) {
    for decision in &mut assigned.decisions {
        if let Some(rollout) = policy.rollout(decision.rollout) {
            decision.version = rollout.stable;
            decision.reason = Reason::Error;
            decision.judged = false;
            decision.upstream = None;
        }
    }
    assigned.cookies.clear();
    strip(policy);
}

impl Stream {
    /// Counts the response once, for each rollout that decided.
    fn count(&mut self, class: ResponseClass) {
        self.counted = true;
        for decision in &self.decisions {
            if let Some(id) = self.state.active.responses(decision, class) {
                host::increment(id);
            }
        }
    }

    /// What there is to know when the response begins. Where event streams are told from
    /// other responses, all headers are read at once: they cost as much as one.
    fn answer(&self) -> Answer {
        let now = self.started.and_then(|_| host::monotonic_nanos());
        let since = |begin: Option<u64>| Some(now?.saturating_sub(begin?));
        let mut answer = Answer {
            nanos: since(self.started),
            latency: since(self.sent),
            ..Answer::default()
        };
        let block = if self.judged && self.timed {
            host::header_block(Headers::Response).unwrap_or_default()
        } else {
            Handed::default()
        };
        if block.is_empty() {
            let status = host::header(Headers::Response, ":status").unwrap_or_default();
            answer.code = response::status_code(&status);
            return answer;
        }
        for (name, value) in Pairs::new(&block).into_iter().flatten().flatten() {
            match name {
                b":status" => answer.code = response::status_code(value),
                b"content-type" => answer.event_stream = response::is_event_stream(value),
                _ => {}
            }
        }
        answer
    }

    /// Gives the client its cookies, beside those that the response has for it. Not with a
    /// response that a cache may give to others.
    fn give_cookies(&self) {
        if self.cookies.is_empty() {
            return;
        }
        // A host that does not say what is in it may have such a one.
        let Ok(block) = host::header_block(Headers::Response) else {
            return;
        };
        let Ok(pairs) = Pairs::new(&block) else {
            return;
        };
        let shared = |(name, value): (&[u8], &[u8])| name == b"cache-control" && is_shared(value);
        for pair in pairs {
            if pair.map_or(true, shared) {
                return;
            }
        }
        for line in &self.cookies {
            let _ = host::add_header(Headers::Response, "set-cookie", line.as_bytes());
        }
    }

    /// The request has come to its end. An answer that comes before says nothing about
    /// latency.
    fn all_is_sent(&mut self) {
        if self.timed && self.answer.is_none() {
            self.sent = host::monotonic_nanos();
        }
    }

    fn record_duration(&self, nanos: u64) {
        let millis = nanos / NANOS_PER_MILLI;
        for decision in &self.decisions {
            if let Some(id) = self.state.active.duration(decision) {
                host::record(id, millis);
            }
        }
    }
}

fn response_flags() -> u64 {
    host::number_property("response\0flags").unwrap_or_default()
}

/// Removes every header of divvy's, whether or not it is there.
fn strip(policy: &Policy) {
    output::strip(policy, |change| {
        apply(Headers::Request, change);
    });
}

/// Removes the headers of divvy's that are there.
fn strip_found(policy: &Policy) {
    for header in &policy.owned {
        if !host::lacks_header(Headers::Request, &header.name) {
            let _ = host::remove_header(Headers::Request, &header.name);
        }
    }
}

/// Makes a change; whether the proxy let it.
fn apply(map: Headers, change: HeaderChange<'_, '_>) -> bool {
    let made = match change {
        HeaderChange::Set(name, value) => host::set_header(map, name, value),
        HeaderChange::Remove(name) => host::remove_header(map, name),
    };
    made.is_ok()
}

/// What the proxy calls.
impl Stream {
    /// The request has come, with its body unless it is `whole` without one. There is `room` for
    /// the stream where something is left to be done for it.
    pub fn begin<'r>(
        state: &Rc<State>,
        whole: bool,
        room: impl FnOnce() -> Option<&'r mut Option<Self>>,
    ) {
        state.used();
        let Assigned {
            decisions,
            cookies,
            grpc,
        } = assign(state);
        if decisions.is_empty() {
            return;
        }
        let active = &state.active;
        let counting = active.counts_responses(&decisions);
        let (judged, timed) = if state.watch.is_empty() {
            (false, false)
        } else {
            active.is_judged(&decisions)
        };
        let started = if counting || timed {
            host::monotonic_nanos()
        } else {
            None
        };
        state.show_weights_of(&decisions);
        for decision in &decisions {
            if let Some(id) = active.requests(decision) {
                host::increment(id);
            }
        }
        let tells = active.policy.rare.tells_clients;
        if (counting || judged || tells || !cookies.is_empty())
            && let Some(room) = room()
        {
            *room = Some(Self {
                state: Rc::clone(state),
                decisions,
                cookies,
                counting,
                judged,
                timed,
                started,
                sent: started.filter(|_| whole),
                grpc,
                answer: None,
                counted: false,
            });
        }
    }

    /// A piece of its body has come.
    pub fn request_body(&mut self, last: bool) {
        if last {
            self.all_is_sent();
        }
    }

    /// The trailers after its body have come.
    pub fn request_trailers(&mut self) {
        self.all_is_sent();
    }

    /// The response begins.
    pub fn response_headers(&mut self) {
        // Envoy does not call twice, but what it would mean is clear.
        if self.decisions.is_empty() || self.answer.is_some() {
            return;
        }
        if self.counting || self.judged {
            let answer = self.answer();
            self.answer = Some(answer);
            // A gRPC call is always answered with 200 and may still fail by its status.
            self.grpc &= answer.code == 200;
            if self.counting {
                if let Some(nanos) = answer.nanos {
                    self.record_duration(nanos);
                }
                if !self.grpc {
                    self.count(ResponseClass::from_code(answer.code));
                }
            }
        }
        self.give_cookies();
        if !self.state.active.policy.rare.tells_clients {
            return;
        }
        // The response goes on whether or not the client is told.
        let policy = &self.state.active.policy;
        self.state.with_text(|text| {
            output::change_response(policy, &self.decisions, text, |change| {
                apply(Headers::Response, change);
            });
        });
    }

    /// The end of the stream, whether or not there was a response. Streams that ended
    /// before this filter saw the request have decided nothing.
    pub fn log(&mut self) {
        let counts = self.counting && !self.counted;
        if !counts && !self.judged {
            return;
        }
        let answer = self.answer.unwrap_or_else(|| Answer {
            code: host::number_property("response\0code").unwrap_or_default(),
            ..Answer::default()
        });
        // Where no status came, Envoy says "unknown".
        let grpc_status = if self.grpc && self.answer.is_some() {
            host::number_property("response\0grpc_status")
        } else {
            None
        };
        let mut finished = FinishedRequest {
            code: answer.code,
            grpc_status,
            flags: 0,
            event_stream: answer.event_stream,
            latency: answer.latency.map(Duration::from_nanos),
        };
        // Read only where they matter: 500 ns.
        if self.judged
            || finished.is_failed_call()
            || ResponseClass::from_code(answer.code) == ResponseClass::None
        {
            finished.flags = response_flags();
        }
        if counts {
            self.count(finished.class());
        }
        if self.judged {
            self.state.judge(&self.decisions, &finished);
        }
    }
}

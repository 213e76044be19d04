//! One request and its response: what remains to be done after the decision. Must not depend on how a
//! request is decided.

use std::rc::Rc;
use std::time::Duration;

use super::assign::{BegunRequest, apply, assign};
use super::chain::ChainHeaders;
use super::configuration::Configuration;
use super::host::{Exchange, HeaderLines, Host, Message};
use super::judging::Judging;
use super::response_start::{ResponseStart, is_from_upstream, is_local};
use crate::cookies::ResponseRules;
use crate::decision::Decisions;
use crate::output;
use crate::response::{FinishedRequest, GrpcStatus, ResponseClass, ResponseFlags};
use crate::unreachable::Attempt;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// A request whose response is still to be changed or counted.
pub struct OpenRequest<H> {
    configuration: Rc<Configuration<H>>,
    decisions: Decisions,
    /// Values of `set-cookie` for the client.
    cookies: Vec<String>,
    is_preflight: bool,
    /// Whether the decisions chose the route.
    routes: bool,
    /// Whether the request tries an unreachable version.
    tries: bool,
    /// Whether responses are counted for one of the decisions.
    counted: bool,
    /// The decisions that guardrails judge.
    judging: Judging,
    /// Arrival of the request headers, on the monotonic clock.
    started: Option<u64>,
    /// Arrival of the end of the request, if it is judged: latency and patience begin here, because
    /// a slow upload is the client's doing. Estimated without a limit on latency.
    received: Option<u64>,
    /// The response, once its headers arrived.
    response: Option<ResponseStart>,
    /// Since when the body is waited for.
    body_since: Option<u64>,
    /// Whether the response has been counted.
    is_counted: bool,
}

impl<H: Host> OpenRequest<H> {
    /// Request headers arrived; `end_of_stream`: no body follows. Decides, changes the
    /// headers and counts the request. `None` if nothing remains to be done for it.
    pub fn begin(
        configuration: &Rc<Configuration<H>>,
        exchange: &impl Exchange,
        end_of_stream: bool,
    ) -> Option<Self> {
        configuration.on_request();
        let BegunRequest {
            decisions,
            cookies,
            is_preflight,
            routes,
        } = assign(configuration, exchange);
        let active = &configuration.active;
        let tells = !active.policy.response_headers.is_empty();
        if decisions.is_empty() && !tells && cookies.is_empty() {
            return None;
        }
        let vm = &configuration.vm;
        let counted = active.counts_responses(&decisions);
        let mut judging = if configuration.watch.is_empty() {
            Judging::default()
        } else {
            Judging::of(active, &decisions)
        };
        let started = if counted || judging.is_timed() {
            vm.host.monotonic_nanos()
        } else {
            None
        };
        configuration.note_late(&decisions);
        for decision in &decisions {
            let id = active.requests(vm, decision.rollout, decision.version, decision.reason);
            if let Some(id) = id {
                vm.host.increment(id);
            }
        }
        let judged = !judging.is_empty();
        let tries = configuration.reach.is_tried() && configuration.take_tried(&decisions);
        // With `metrics: requests` or `off` the response matters to nothing else.
        let reaches = routes
            && configuration.reach.watches()
            && (counted || judged || active.policy.watched_route(&decisions).is_some());
        let ends = if judged && end_of_stream {
            started.or_else(|| configuration.watch.next_beat())
        } else {
            None
        };
        if let Some(now) = ends {
            judging.wait(&configuration.watch, exchange.stream(), now);
        }
        // Built where it stays: it is expensive to move.
        (counted || judged || tells || reaches || !cookies.is_empty()).then(|| Self {
            configuration: Rc::clone(configuration),
            decisions,
            cookies,
            is_preflight,
            routes: reaches,
            tries,
            counted,
            judging,
            started,
            received: ends,
            response: None,
            body_since: None,
            is_counted: false,
        })
    }

    /// A piece of the request body arrived.
    pub fn on_request_body(&mut self, exchange: &impl Exchange, end_of_stream: bool) {
        if end_of_stream {
            self.on_request_trailers(exchange);
        }
    }

    /// The request trailers arrived.
    pub fn on_request_trailers(&mut self, exchange: &impl Exchange) {
        if !self.judging.is_empty() {
            let timed = self.judging.is_timed() && self.response.is_none();
            let now = if timed {
                self.host().monotonic_nanos()
            } else {
                None
            };
            self.on_request_end(now, exchange.stream());
        }
    }

    /// The request is complete: from now on it waits for its version. The latency of a response
    /// that came earlier is unknown.
    fn on_request_end(&mut self, now: Option<u64>, stream: u32) {
        let watch = &self.configuration.watch;
        let Some(now) = now.or_else(|| watch.next_beat()) else {
            return;
        };
        self.received = Some(now);
        match self.response {
            None => self.judging.wait(watch, stream, now),
            Some(_) if self.body_since.is_some() => {
                self.body_since = Some(now);
                self.judging.wait_for_body(watch, stream, now);
            }
            Some(_) => {}
        }
    }

    /// The response headers arrived. `waits`: a body follows that may not pause. A request that is
    /// complete waits for it.
    fn on_response_start(&mut self, now: Option<u64>, waits: bool, stream: u32) {
        let watch = &self.configuration.watch;
        let now = now.or_else(|| watch.next_beat());
        self.body_since = now.filter(|_| waits);
        match self.body_since {
            Some(now) if self.received.is_some() => {
                self.judging.wait_for_body(watch, stream, now);
            }
            _ => self.judging.idle(watch),
        }
    }

    /// Response headers arrived; `end_of_stream`: neither body nor trailers follow.
    pub fn on_response_headers(&mut self, exchange: &impl Exchange, end_of_stream: bool) {
        // A host that calls twice is tolerated.
        if self.response.is_some() {
            return;
        }
        let starts = self.counted || !self.judging.is_empty();
        // All headers in one call, which costs about as much as reading one.
        let reads = starts || !self.cookies.is_empty();
        let lines = reads.then(|| exchange.lines(Message::Response)).flatten();
        if starts {
            let now = self.started.and_then(|_| self.host().monotonic_nanos());
            let since = |begin: Option<u64>| Some(now?.saturating_sub(begin?));
            let mut start = ResponseStart::read(exchange, lines.as_ref(), !self.judging.is_empty());
            start.latency = since(self.received);
            self.response = Some(start);
            self.note_reach(exchange, &start);
            if !self.judging.is_empty() {
                let waits = !end_of_stream && start.may_stall();
                self.on_response_start(now, waits, exchange.stream());
            }
            if let Some(nanos) = since(self.started).filter(|_| self.counted) {
                self.record_duration(nanos);
            }
            // The status of a call may follow in the trailers.
            if !start.is_call() || (end_of_stream && start.grpc_status.is_some()) {
                self.count(start.class());
            }
        }
        if !starts && self.routes {
            self.note_attempt(exchange, true);
        }
        self.set_cookies(exchange, lines.as_ref());
        if !self.configuration.active.policy.response_headers.is_empty() {
            self.change_response(exchange);
        }
    }

    /// Whether no callback after that of the response headers has anything to do.
    pub const fn is_finished(&self) -> bool {
        (self.is_counted || !self.counted) && !self.tries && self.judging.is_empty()
    }

    /// Notes whether the version got the request.
    fn note_reach(&mut self, exchange: &impl Exchange, start: &ResponseStart) {
        let unsent = start.may_be_unreached(!self.judging.is_empty());
        let matters = unsent || self.tries || !self.configuration.reach.is_calm();
        if matters && self.routes && start.code != 0 {
            self.note_attempt(exchange, unsent);
        }
    }

    /// Notes whether the version got the request; `unsent`: maybe not.
    #[cold]
    fn note_attempt(&mut self, exchange: &impl Exchange, unsent: bool) {
        let configuration = &self.configuration;
        let Some(place) = configuration.active.policy.watched_route(&self.decisions) else {
            return;
        };
        let tries = std::mem::take(&mut self.tries);
        let attempt = if unsent {
            let flags = exchange.response_flags().unwrap_or_default();
            // Who made a response without a flag matters only after others with one.
            let is_calm = !tries && configuration.reach.is_calm();
            Attempt::of(ResponseFlags(flags), || {
                is_calm || is_from_upstream(exchange)
            })
        } else {
            Attempt::Reached
        };
        configuration.note_attempt(place, tries, attempt);
    }

    /// Response trailers arrived. A filter nearer to the client may remove them later, as gRPC-Web
    /// does.
    pub fn on_response_trailers(&mut self, exchange: &impl Exchange) {
        let Some(start) = self.response.as_mut().filter(|start| start.is_call()) else {
            return;
        };
        let status = exchange.trailing_grpc_status();
        match status.as_deref().and_then(GrpcStatus::of) {
            Some(GrpcStatus::Failure) if !is_from_upstream(exchange) => start.local = true,
            Some(status) => start.grpc_status = Some(status),
            None => {}
        }
        if start.grpc_status.is_some() {
            let class = start.class();
            self.count(class);
        }
    }

    /// The stream ended, with or without a response.
    pub fn on_end(&mut self, exchange: &impl Exchange) {
        self.end(exchange, true);
    }

    /// The stream is deleted. If it was not logged, its flags show no client that disconnected.
    pub fn on_delete(&mut self, exchange: &impl Exchange) {
        self.end(exchange, false);
    }

    fn end(&mut self, exchange: &impl Exchange, shows_disconnect: bool) {
        if self.tries {
            self.end_try();
        }
        let judged = !self.judging.is_empty();
        let counts = self.counted && !self.is_counted;
        if !(counts || judged) {
            return;
        }
        let mut finished = self.response.map_or_else(
            || {
                let code = exchange.response_code().unwrap_or_default();
                FinishedRequest {
                    code,
                    local: judged && is_local(code, exchange),
                    ..FinishedRequest::default()
                }
            },
            |start| start.finished(),
        );
        // Read only if they matter: the call takes 500 ns.
        if !finished.is_failed_by_version() {
            let flags = exchange.response_flags().unwrap_or_default();
            finished.flags = ResponseFlags(flags);
        }
        if counts {
            self.count(finished.class());
        }
        if judged {
            let since = |begin: Option<u64>| {
                let waited = self.host().monotonic_nanos()?.saturating_sub(begin?);
                Some(Duration::from_nanos(waited))
            };
            if self.response.is_none() {
                finished.waited = since(self.received);
            } else if self.body_since.is_some()
                && (!shows_disconnect || finished.flags.may_break_off())
            {
                finished.body = Some(exchange.body_progress());
                finished.lasted = since(self.body_since.filter(|_| self.received.is_some()));
            }
            self.judging.finish(&self.configuration, &finished);
        }
    }

    /// The request tried a version and ended without an outcome.
    #[cold]
    fn end_try(&mut self) {
        let configuration = &self.configuration;
        let routed = configuration.active.policy.watched_route(&self.decisions);
        if let Some(place) = routed.filter(|_| std::mem::take(&mut self.tries)) {
            configuration.note_attempt(place, true, Attempt::Unknown);
        }
    }

    /// Sets and removes response headers. The response is forwarded, also if the proxy refuses.
    fn change_response(&self, exchange: &impl Exchange) {
        let configuration = &*self.configuration;
        let plugins = configuration.vm.plugins.get();
        let chain = ChainHeaders::new(exchange, Message::Response, plugins);
        let mut buffer = configuration.buffer.take();
        output::change_response(
            &configuration.active.policy,
            &self.decisions,
            !self.is_preflight,
            &mut buffer,
            |header| chain.value(header),
            |change| {
                let _ = apply(exchange, Message::Response, change);
            },
        );
        configuration.buffer.set(buffer);
        let [_, names] = &configuration.header_names;
        chain.add(names);
    }

    fn host(&self) -> &H {
        &self.configuration.vm.host
    }

    /// Counts the response for each rollout that decided, once.
    fn count(&mut self, class: ResponseClass) {
        if !self.counted || std::mem::replace(&mut self.is_counted, true) {
            return;
        }
        let Configuration { active, vm, .. } = &*self.configuration;
        for decision in &self.decisions {
            if let Some(id) = active.responses(vm, decision.rollout, decision.version, class) {
                vm.host.increment(id);
            }
        }
    }

    fn record_duration(&self, nanos: u64) {
        let millis = nanos / NANOS_PER_MILLI;
        let Configuration { active, vm, .. } = &*self.configuration;
        for decision in &self.decisions {
            if let Some(id) = active.duration(vm, decision.rollout, decision.version) {
                vm.host.record(id, millis);
            }
        }
    }

    /// Adds the cookies to the response, unless its headers forbid it or cannot be read.
    fn set_cookies<X: Exchange>(&self, exchange: &X, lines: Option<&X::Lines<'_>>) {
        if self.cookies.is_empty() {
            return;
        }
        let Some(lines) = lines else { return };
        let mut rules = ResponseRules::default();
        let read = lines.for_each(&mut |name, value| rules.read(name, value));
        if read.is_err() || !rules.allow_cookies(|| self.host().now()) {
            return;
        }
        for cookie in &self.cookies {
            let _ = exchange.add(Message::Response, "set-cookie", cookie.as_bytes());
        }
    }
}

/// A stream that ends without a callback, as no proxy should let it, does not wait any longer.
impl<H> Drop for OpenRequest<H> {
    fn drop(&mut self) {
        if !self.judging.is_empty() {
            self.judging.leave(&self.configuration.watch);
        }
    }
}

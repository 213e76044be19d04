//! One request and its response: what remains to be done after the decision. Must not depend on how a
//! request is decided.

use std::rc::Rc;
use std::time::Duration;

use super::assign::{BegunRequest, apply, assign};
use super::chain::ChainHeaders;
use super::configuration::Configuration;
use super::host::{Exchange, HeaderLines, Host, Message};
use crate::cookies::ResponseRules;
use crate::decision::Decisions;
use crate::output;
use crate::response::{self, FinishedRequest, ResponseClass};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// A request whose response is still to be changed or counted.
pub struct OpenRequest<H> {
    configuration: Rc<Configuration<H>>,
    decisions: Decisions,
    /// Values of `set-cookie` for the client.
    cookies: Vec<String>,
    /// Whether responses are counted for one of the decisions.
    counted: bool,
    /// Whether a guardrail judges one of the decisions.
    judged: bool,
    /// Whether that guardrail has a latency limit.
    timed: bool,
    /// Arrival of the request headers, on the monotonic clock.
    started: Option<u64>,
    /// Arrival of the end of the request, if `timed`: latency begins here, because a slow
    /// upload is the client's doing.
    received: Option<u64>,
    /// Whether this is a gRPC call, whose status follows the response headers, so it is
    /// counted at the end.
    grpc: bool,
    /// The response, once its headers arrived.
    response: Option<ResponseStart>,
    /// Whether the response has been counted.
    is_counted: bool,
}

/// The beginning of a response.
#[derive(Clone, Copy, Default)]
struct ResponseStart {
    code: u64,
    /// Nanoseconds since the request headers arrived.
    duration: Option<u64>,
    /// Nanoseconds since the end of the request arrived.
    latency: Option<u64>,
    event_stream: bool,
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
            grpc,
        } = assign(configuration, exchange);
        let active = &configuration.active;
        let tells = !active.policy.response_headers.is_empty();
        if decisions.is_empty() && !tells {
            return None;
        }
        let vm = &configuration.vm;
        let counted = active.counts_responses(&decisions);
        let (judged, timed) = if configuration.watch.is_empty() {
            (false, false)
        } else {
            active.is_judged(&decisions)
        };
        let started = if counted || timed {
            vm.host.monotonic_nanos()
        } else {
            None
        };
        configuration.show_late_gauges(&decisions);
        for decision in &decisions {
            let id = active.requests(vm, decision.rollout, decision.version, decision.reason);
            if let Some(id) = id {
                vm.host.increment(id);
            }
        }
        (counted || judged || tells || !cookies.is_empty()).then(|| Self {
            configuration: Rc::clone(configuration),
            decisions,
            cookies,
            counted,
            judged,
            timed,
            started,
            received: started.filter(|_| end_of_stream),
            grpc,
            response: None,
            is_counted: false,
        })
    }

    /// A piece of the request body arrived.
    pub fn on_request_body(&mut self, end_of_stream: bool) {
        if end_of_stream {
            self.on_request_end();
        }
    }

    /// The request trailers arrived.
    pub fn on_request_trailers(&mut self) {
        self.on_request_end();
    }

    /// The request is complete. The latency of a response that came earlier is unknown.
    fn on_request_end(&mut self) {
        if self.timed && self.response.is_none() {
            self.received = self.host().monotonic_nanos();
        }
    }

    /// Response headers arrived.
    pub fn on_response_headers(&mut self, exchange: &impl Exchange) {
        // A host that calls twice is tolerated.
        if self.response.is_some() {
            return;
        }
        if self.counted || self.judged {
            let start = self.response_start(exchange);
            self.response = Some(start);
            // A gRPC call is answered with 200 and may still fail by its status.
            self.grpc &= start.code == 200;
            if self.counted {
                if let Some(nanos) = start.duration {
                    self.record_duration(nanos);
                }
                if !self.grpc {
                    self.count(ResponseClass::from_code(start.code));
                }
            }
        }
        self.set_cookies(exchange);
        if !self.configuration.active.policy.response_headers.is_empty() {
            self.change_response(exchange);
        }
    }

    /// The request ended, with or without a response.
    pub fn on_end(&mut self, exchange: &impl Exchange) {
        let counts = self.counted && !self.is_counted;
        if !counts && !self.judged {
            return;
        }
        let start = self.response.unwrap_or_else(|| ResponseStart {
            code: exchange.response_code().unwrap_or_default(),
            ..ResponseStart::default()
        });
        // Without response headers, Envoy reports `Unknown`.
        let grpc_status = if self.grpc && self.response.is_some() {
            exchange.grpc_status()
        } else {
            None
        };
        let mut finished = FinishedRequest {
            code: start.code,
            grpc_status,
            flags: 0,
            event_stream: start.event_stream,
            latency: start.latency.map(Duration::from_nanos),
        };
        // Read only if they matter: the call takes 500 ns.
        if self.judged
            || finished.is_failed_call()
            || ResponseClass::from_code(start.code) == ResponseClass::None
        {
            finished.flags = exchange.response_flags().unwrap_or_default();
        }
        if counts {
            self.count(finished.class());
        }
        if self.judged {
            self.configuration.judge(&self.decisions, &finished);
        }
    }

    /// Sets and removes response headers. The response is forwarded whether or not they could be
    /// changed.
    fn change_response(&self, exchange: &impl Exchange) {
        let configuration = &*self.configuration;
        let plugins = configuration.vm.plugins.get();
        let chain = ChainHeaders::new(exchange, Message::Response, plugins);
        let mut buffer = configuration.buffer.take();
        output::change_response(
            &configuration.active.policy,
            &self.decisions,
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

    /// Counts the response for each rollout that decided.
    fn count(&mut self, class: ResponseClass) {
        self.is_counted = true;
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

    /// Reads the beginning of the response. If event streams matter, all headers are read
    /// in one call, which costs as much as reading one.
    fn response_start(&self, exchange: &impl Exchange) -> ResponseStart {
        let now = self.started.and_then(|_| self.host().monotonic_nanos());
        let since = |begin: Option<u64>| Some(now?.saturating_sub(begin?));
        let mut start = ResponseStart {
            duration: since(self.started),
            latency: since(self.received),
            ..ResponseStart::default()
        };
        let all = self.judged && self.timed;
        let lines = all.then(|| exchange.lines(Message::Response)).flatten();
        let Some(lines) = lines else {
            let status = exchange.status();
            start.code = status.map_or(0, |status| response::status_code(&status));
            return start;
        };
        let _ = lines.for_each(|name, value| match name {
            b":status" => start.code = response::status_code(value),
            b"content-type" => start.event_stream = response::is_event_stream(value),
            _ => {}
        });
        start
    }

    /// Adds the cookies to the response, unless its headers forbid it or cannot be read. One
    /// call reads all of them, which costs as much as reading one.
    fn set_cookies(&self, exchange: &impl Exchange) {
        if self.cookies.is_empty() {
            return;
        }
        let Some(lines) = exchange.lines(Message::Response) else {
            return;
        };
        let mut rules = ResponseRules::default();
        let read = lines.for_each(|name, value| rules.read(name, value));
        if read.is_err() || !rules.allow_cookies(|| self.host().now()) {
            return;
        }
        for cookie in &self.cookies {
            let _ = exchange.add(Message::Response, "set-cookie", cookie.as_bytes());
        }
    }
}

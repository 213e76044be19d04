//! What guardrails and metrics count of a stream, however and whenever it ends.

use super::*;
use divvy::response::{BodyProgress, ResponseFlags};

pub const DC: u64 = ResponseFlags::DOWNSTREAM_CONNECTION_TERMINATION.0;
pub const UR: u64 = ResponseFlags::UPSTREAM_REMOTE_RESET.0;
pub const UT: u64 = ResponseFlags::UPSTREAM_REQUEST_TIMEOUT.0;
const STALLED: BodyProgress = BodyProgress {
    finished: false,
    sent: 16_383,
};
const LONG: BodyProgress = BodyProgress {
    finished: false,
    sent: 16_384,
};

/// One worker, whose guardrail rolls back after as many failures in a row.
pub struct Worker {
    host: MemoryHost,
    pub plugin: Plugin<MemoryHost>,
}

impl Worker {
    pub fn new(failures: u32, patience: &str) -> Self {
        let host = MemoryHost::default();
        host.now.set(Duration::from_secs(1_000));
        let mut config = guarded();
        let guardrail = json!({"consecutiveErrors": failures, "patience": patience});
        config["rollouts"][0]["guardrail"] = guardrail;
        let plugin = configured(&host, &config);
        serve(&plugin, "404");
        Self { host, plugin }
    }

    fn exchange(number: u32) -> MemoryExchange {
        MemoryExchange {
            stream: number,
            ..MemoryExchange::get(&[("x-user-id", "42")])
        }
    }

    /// A request that the version has received, with its body if that is `complete`.
    fn open(&self, number: u32, complete: bool) -> (MemoryExchange, OpenRequest<MemoryHost>) {
        let exchange = Self::exchange(number);
        let request = OpenRequest::begin(self.plugin.current(), &exchange, complete).unwrap();
        (exchange, request)
    }

    /// Ticks once a second.
    pub fn seconds(&mut self, seconds: u32) {
        for _ in 0..seconds {
            let now = self.host.now.get();
            self.host.now.set(now + Duration::from_secs(1));
            self.plugin.on_tick();
        }
    }

    pub fn is_rolled_back(&self) -> bool {
        self.host.metric(&["v2", "divvy_guardrail_state"]) == 2
    }

    pub fn responses(&self, class: &str) -> u64 {
        self.host.metric(&["v2", class, "divvy_responses_total"])
    }
}

#[test]
fn a_version_that_hangs_fails_while_its_streams_are_open_and_once() {
    let mut worker = Worker::new(4, "2s");
    let mut open: Vec<_> = (0..3).map(|number| worker.open(number, true)).collect();
    worker.seconds(60);
    assert!(!worker.is_rolled_back(), "three streams, each counted once");
    for (exchange, request) in &mut open {
        exchange.flags.set(DC);
        request.on_end(exchange);
        request.on_delete(exchange);
    }
    worker.seconds(1);
    assert!(!worker.is_rolled_back(), "and not at their ends");
    drop(open);

    let _last = worker.open(4, true);
    worker.seconds(1);
    assert!(!worker.is_rolled_back(), "not before patience");
    worker.seconds(1);
    assert!(worker.is_rolled_back(), "at the first tick after it");
}

#[test]
fn a_late_answer_does_not_take_a_failure_back() {
    let mut worker = Worker::new(2, "2s");
    for number in 0..2 {
        let (exchange, mut request) = worker.open(number, true);
        worker.seconds(3);
        exchange.respond("200", &[]);
        request.on_response_headers(&exchange, false);
        worker.seconds(10);
        request.on_end(&exchange);
    }
    worker.seconds(1);
    assert!(worker.is_rolled_back());
    assert_eq!(worker.responses("2xx"), 2);
}

#[test]
fn a_body_that_hangs_is_a_failure_of_the_version_unless_the_client_does_not_read() {
    for (progress, fails) in [(STALLED, true), (LONG, false)] {
        let mut worker = Worker::new(1, "2s");
        worker.host.bodies.borrow_mut().insert(7, progress);
        let (exchange, mut request) = worker.open(7, true);
        exchange.respond("200", &[]);
        request.on_response_headers(&exchange, false);
        worker.seconds(3);
        assert_eq!(worker.is_rolled_back(), fails, "{progress:?}");
    }
    // The end comes before the tick: between patience and the next second.
    for (progress, flags, fails) in [
        (STALLED, DC, true),
        (LONG, DC, false),
        (STALLED, UT, true),
        (LONG, UT, false),
    ] {
        let mut worker = Worker::new(1, "2s");
        let (exchange, mut request) = worker.open(7, true);
        exchange.respond("200", &[]);
        request.on_response_headers(&exchange, false);
        worker.host.now.set(Duration::from_millis(1_002_001));
        exchange.flags.set(flags);
        exchange.body.set(Some(progress));
        request.on_end(&exchange);
        worker.seconds(1);
        assert_eq!(worker.is_rolled_back(), fails, "{progress:?} {flags}");
    }
}

#[test]
fn streams_that_may_pause_do_not_hang() {
    let mut worker = Worker::new(1, "2s");
    let mut open = Vec::new();
    for (status, content_type, end_of_stream) in [
        ("101", "text/plain", false),
        ("200", "text/event-stream", false),
        ("200", "application/grpc", false),
        ("200", "application/grpc-web+proto", false),
        ("200", "application/connect+proto", false),
        ("200", "application/x-ndjson", false),
        ("200", "application/json;stream=watch", false),
        ("204", "text/plain", true),
    ] {
        let number = u32::try_from(open.len()).unwrap();
        worker.host.bodies.borrow_mut().insert(number, STALLED);
        let (exchange, mut request) = worker.open(number, true);
        exchange.respond(status, &[("content-type", content_type)]);
        request.on_response_headers(&exchange, end_of_stream);
        open.push((exchange, request));
    }
    // An upload, also with an early response.
    open.push(worker.open(18, false));
    worker.host.bodies.borrow_mut().insert(19, STALLED);
    let (exchange, mut request) = worker.open(19, false);
    exchange.respond("200", &[]);
    request.on_response_headers(&exchange, false);
    worker.seconds(100);
    assert!(!worker.is_rolled_back());
    // From the end of the upload on, it is the version's turn.
    request.on_request_body(&exchange, true);
    worker.seconds(4);
    assert!(worker.is_rolled_back());
}

#[test]
fn patience_may_be_off() {
    let mut worker = Worker::new(1, "off");
    let (exchange, mut request) = worker.open(1, true);
    worker.seconds(4_000);
    exchange.flags.set(DC);
    request.on_end(&exchange);
    worker.seconds(1);
    assert!(!worker.is_rolled_back());
}

#[test]
fn a_stream_that_is_deleted_without_a_log_has_ended() {
    let mut worker = Worker::new(3, "10s");
    for (logged, streams) in [(true, 2), (false, 1)] {
        for number in 0..streams {
            let (exchange, mut request) = worker.open(number, true);
            exchange.respond("500", &[]);
            request.on_response_headers(&exchange, true);
            if logged {
                request.on_end(&exchange);
            }
            request.on_delete(&exchange);
        }
        worker.seconds(1);
        // Two failures with a log count as two.
        assert_eq!(worker.is_rolled_back(), !logged);
    }
    assert_eq!(worker.responses("5xx"), 3);
    let (exchange, mut request) = worker.open(9, true);
    exchange.flags.set(UR);
    request.on_delete(&exchange);
    assert_eq!(worker.host.metric(&["reset", "divvy_responses_total"]), 1);
}

#[test]
fn a_body_that_was_not_finished_without_a_log_is_no_evidence_of_health() {
    let mut worker = Worker::new(2, "10s");
    let fail = |worker: &Worker| serve(&worker.plugin, "500");
    for progress in [LONG, STALLED] {
        fail(&worker);
        let (exchange, mut request) = worker.open(1, true);
        exchange.respond("200", &[]);
        request.on_response_headers(&exchange, false);
        exchange.body.set(Some(progress));
        request.on_delete(&exchange);
    }
    worker.seconds(1);
    assert!(worker.is_rolled_back(), "no success between the failures");
}

#[test]
fn four_hundreds_do_not_hide_failures() {
    let mut worker = Worker::new(3, "10s");
    for _ in 0..3 {
        for status in ["404", "429", "500", "400"] {
            serve(&worker.plugin, status);
        }
    }
    worker.seconds(1);
    assert!(worker.is_rolled_back());
}

#[test]
fn answers_of_a_filter_behind_divvy_do_not_hide_failures() {
    let mut worker = Worker::new(3, "10s");
    for (number, status) in (1..).zip(["302", "403", "429", "500", "503"].repeat(2)) {
        let (exchange, mut request) = worker.open(number, true);
        exchange.local.set(true);
        exchange.respond(status, &[]);
        request.on_response_headers(&exchange, true);
        request.on_end(&exchange);
        if status == "302" || status == "403" {
            serve(&worker.plugin, "500");
        }
    }
    worker.seconds(1);
    assert!(worker.is_rolled_back(), "four failures in a row");
}

#[test]
fn a_request_that_ends_twice_waits_once() {
    let mut worker = Worker::new(1, "2s");
    let (exchange, mut request) = worker.open(1, true);
    request.on_request_trailers(&exchange);
    exchange.respond("200", &[]);
    request.on_response_headers(&exchange, true);
    request.on_end(&exchange);
    worker.seconds(10);
    assert!(!worker.is_rolled_back());
}

//! Versions that Envoy cannot reach, natively: several VMs of one process.

mod exceptions;

use std::time::Duration;

use serde_json::{Value, json};

use super::memory::{MemoryExchange, MemoryHost};
use super::{PLUGIN, begin, configured};
use divvy::filter::host::Message;
use divvy::filter::{OpenRequest, Plugin};

/// Bits of Envoy's response flags.
const UH: u64 = 1 << 1;
const UF: u64 = 1 << 5;
const UC: u64 = 1 << 6;
const UR: u64 = 1 << 4;
const NC: u64 = 1 << 24;

/// The active version is v2.
fn blue_green() -> Value {
    json!({
        "rollouts": [{
            "name": "checkout",
            "versions": [{"name": "v1"}, {"name": "v2"}],
            "stable": "v1",
            "target": "{version}",
            "rules": [{"name": "testers", "when": {"header": "x-test", "present": true}, "use": "v2"}],
            "strategy": {"blueGreen": {"active": "v2"}}
        }]
    })
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut config = blue_green();
    change(&mut config["rollouts"][0]);
    config
}

/// A response.
#[derive(Clone, Copy)]
enum Answer {
    /// Of the version, with this status.
    Of(&'static str),
    /// Of Envoy, with these flags and status 503.
    Local(u64),
    /// The same to a gRPC client.
    LocalCall(u64),
    /// None: the client leaves.
    None,
}

/// One worker.
struct Worker {
    host: MemoryHost,
    plugin: Plugin<MemoryHost>,
}

impl Worker {
    fn new(host: &MemoryHost, config: &Value) -> Self {
        Self {
            host: host.clone(),
            plugin: configured(host, config),
        }
    }

    fn begin(&self, headers: &[(&str, &str)]) -> (MemoryExchange, Option<OpenRequest<MemoryHost>>) {
        let exchange = MemoryExchange::get(headers);
        let request = begin(&self.plugin, &exchange);
        (exchange, request)
    }

    fn end(exchange: &MemoryExchange, request: Option<OpenRequest<MemoryHost>>, answer: Answer) {
        let Some(mut request) = request else { return };
        match answer {
            Answer::Of(status) => exchange.respond(status, &[]),
            Answer::Local(flags) => {
                exchange.respond("503", &[]);
                exchange.flags.set(flags);
                exchange.local.set(true);
            }
            Answer::LocalCall(flags) => {
                let headers = [("content-type", "application/grpc"), ("grpc-status", "14")];
                exchange.respond("200", &headers);
                exchange.flags.set(flags);
                exchange.local.set(true);
            }
            Answer::None => {}
        }
        if !matches!(answer, Answer::None) {
            request.on_response_headers(exchange, true);
        }
        request.on_end(exchange);
    }

    /// Version and reason of a request to which v2 answers like this, and stable with 200.
    fn serve_with(&self, headers: &[(&str, &str)], answer: Answer) -> String {
        let (exchange, request) = self.begin(headers);
        let version = exchange.header(Message::Request, "x-divvy-route").unwrap();
        let answer = if version == "v2" {
            answer
        } else {
            Answer::Of("200")
        };
        Self::end(&exchange, request, answer);
        let assignment = exchange.header(Message::Request, "x-divvy-assignment");
        assignment.unwrap().replace("checkout=", "")
    }

    fn serve(&self, answer: Answer) -> String {
        self.serve_with(&[], answer)
    }

    /// The first of these answers after which stable serves, counted from 1.
    fn lost(&self, answers: &[Answer]) -> Option<usize> {
        answers.iter().position(|answer| {
            assert_eq!(self.serve(*answer), ACTIVE);
            self.serve(Answer::None) == AWAY
        })
    }

    fn tick_after(&mut self, seconds: u64) {
        self.host
            .now
            .set(self.host.now.get() + Duration::from_secs(seconds));
        self.plugin.on_tick();
    }

    /// The gauges after a tick.
    fn gauges(&mut self) -> [u64; 3] {
        self.tick_after(0);
        let gauge = |version, name| self.host.metric(&["=.=checkout;", version, name]);
        [
            gauge("=.=v2;", "divvy_guardrail_state"),
            gauge("=.=v1;", "divvy_weight_ppm"),
            gauge("=.=v2;", "divvy_weight_ppm"),
        ]
    }
}

const ACTIVE: &str = "v2;reason=active";
const AWAY: &str = "v1;reason=unreachable";
const DOWN: [u64; 3] = [3, 1_000_000, 0];
const UP: [u64; 3] = [0, 0, 1_000_000];

/// A worker for which v2 is unreachable.
fn tripped(host: &MemoryHost, config: &Value) -> Worker {
    let worker = Worker::new(host, config);
    for _ in 0..3 {
        worker.serve(Answer::Local(NC));
    }
    worker
}

#[test]
fn three_responses_without_a_host_or_cluster_or_seven_without_a_connection() {
    use Answer::{Local, LocalCall, Of};
    for (answers, expected) in [
        (vec![Local(UH); 4], Some(2)),
        (vec![Local(NC); 4], Some(2)),
        (vec![LocalCall(NC); 4], Some(2)),
        (vec![Local(UF); 8], Some(6)),
        (vec![LocalCall(UF); 8], Some(6)),
        (vec![Local(UC); 20], None),
        // Another filter behind divvy, or the version itself.
        (vec![Local(0); 20], None),
        (vec![Of("503"); 20], None),
        ([Local(UH), Local(UH), Of("200")].repeat(5), None),
        ([Local(UH), Local(UH), Of("404")].repeat(5), None),
        ([Local(UH), Local(0)].repeat(5), Some(4)),
        // A connection that the version closed or reset, after others: it was reached.
        ([Local(UH), Local(UH), Local(UC)].repeat(5), None),
        ([Local(UF), Local(UF), Local(UR)].repeat(5), None),
    ] {
        let worker = Worker::new(&MemoryHost::default(), &blue_green());
        assert_eq!(worker.lost(&answers), expected, "{}", answers.len());
    }
}

#[test]
fn all_workers_know_it_at_their_next_tick() {
    let host = MemoryHost::default();
    let mut others = [(); 3].map(|()| Worker::new(&host, &blue_green()));
    let mut worker = tripped(&host, &blue_green());
    assert_eq!(worker.serve(Answer::None), AWAY);
    assert_eq!(worker.gauges(), DOWN);
    for other in &mut others {
        assert_eq!(other.serve(Answer::Local(NC)), ACTIVE, "not yet");
        other.plugin.on_tick();
        assert_eq!(other.serve(Answer::None), AWAY);
    }
    worker.tick_after(1);
    assert_eq!(worker.gauges(), DOWN);
}

#[test]
fn one_request_of_all_workers_tries_after_each_pause() {
    let host = MemoryHost::default();
    let mut other = Worker::new(&host, &blue_green());
    let mut worker = tripped(&host, &blue_green());
    for pause in [5, 10, 20, 40, 60, 60] {
        for _ in 1..pause {
            worker.tick_after(1);
            other.tick_after(0);
            let served = [&worker, &other].map(|one| one.serve(Answer::Local(NC)));
            assert_eq!(served, [AWAY, AWAY]);
        }
        other.tick_after(1);
        worker.tick_after(0);
        let (exchange, request) = other.begin(&[]);
        let trying = exchange.header(Message::Request, "x-divvy-route");
        assert_eq!(trying.as_deref(), Some("v2"));
        assert_eq!(worker.serve(Answer::Of("200")), AWAY, "the other one tries");
        assert_eq!(other.serve(Answer::Of("200")), AWAY, "one request");
        Worker::end(&exchange, request, Answer::Local(NC));
    }
    // An answer ends it, also an error of the version.
    worker.tick_after(60);
    assert_eq!(worker.serve(Answer::Of("500")), ACTIVE);
    assert_eq!(worker.serve(Answer::None), ACTIVE);
    assert_eq!(worker.gauges(), UP);
    assert_eq!(other.serve(Answer::None), AWAY, "not yet");
    other.tick_after(0);
    assert_eq!(other.serve(Answer::None), ACTIVE);
}

#[test]
fn a_try_that_says_nothing_about_the_version_passes_on() {
    let host = MemoryHost::default();
    let mut worker = tripped(&host, &blue_green());
    worker.tick_after(5);
    assert_eq!(worker.serve(Answer::None), ACTIVE);
    // Due again, as every worker sees at its next tick.
    worker.tick_after(0);
    assert_eq!(worker.serve(Answer::Local(0)), ACTIVE, "a rate limit");
    worker.tick_after(0);
    let (exchange, request) = worker.begin(&[]);
    assert_eq!(
        exchange.header(Message::Request, "x-divvy-route").unwrap(),
        "v2"
    );
    worker.tick_after(59);
    assert_eq!(worker.serve(Answer::None), AWAY, "it hangs");
    worker.tick_after(1);
    assert_eq!(worker.serve(Answer::Of("200")), ACTIVE, "another one");
    Worker::end(&exchange, request, Answer::Local(NC));
    assert_eq!(
        worker.serve(Answer::None),
        ACTIVE,
        "the late one changes nothing"
    );
}

/// The native module drops a request that says that it is finished.
#[test]
fn a_try_is_finished_at_its_response_headers_only_if_they_have_a_status() {
    for (status, finished) in [("200", true), ("", false)] {
        let mut worker = tripped(&MemoryHost::default(), &blue_green());
        worker.tick_after(5);
        let (exchange, request) = worker.begin(&[]);
        let route = exchange.header(Message::Request, "x-divvy-route");
        assert_eq!(route.as_deref(), Some("v2"), "the request tries it");
        let mut request = request.unwrap();
        exchange.respond(status, &[]);
        request.on_response_headers(&exchange, true);
        assert_eq!(request.is_finished(), finished, "status {status:?}");
        request.on_end(&exchange);
        worker.tick_after(0);
        let next = worker.serve(Answer::Of("200"));
        assert_eq!(next, ACTIVE, "reachable, or the next request tries");
    }
}

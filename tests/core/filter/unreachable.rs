//! Versions that Envoy cannot reach, natively: several VMs of one process.

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

#[test]
fn who_asks_for_the_version_gets_it_and_tries_it() {
    let host = MemoryHost::default();
    // All others get stable anyway.
    let config = changed(|rollout| rollout["strategy"] = json!({"blueGreen": {"active": "v1"}}));
    let tester = [("x-test", "1")];
    let mut worker = Worker::new(&host, &config);
    for _ in 0..3 {
        assert_eq!(
            worker.serve_with(&tester, Answer::Local(UH)),
            "v2;reason=rule"
        );
    }
    assert_eq!(worker.gauges()[0], 3);
    worker.tick_after(4);
    assert_eq!(
        worker.serve_with(&tester, Answer::Of("200")),
        "v2;reason=rule"
    );
    assert_eq!(worker.gauges()[0], 3, "during the pause nothing tries");
    worker.tick_after(1);
    assert_eq!(
        worker.serve_with(&tester, Answer::Of("200")),
        "v2;reason=rule"
    );
    assert_eq!(worker.gauges()[0], 0);
    // A rule with a percentage is a split.
    let config = changed(|rollout| rollout["rules"][0]["percent"] = json!(100));
    let worker = Worker::new(&MemoryHost::default(), &config);
    for _ in 0..3 {
        assert_eq!(
            worker.serve_with(&tester, Answer::Local(UH)),
            "v2;reason=rule"
        );
    }
    assert_eq!(worker.serve_with(&tester, Answer::None), AWAY);
}

#[test]
fn the_field_turns_it_off_and_other_fields_do_not() {
    let lost = |field: &str, value: Value| {
        let config = changed(|rollout| rollout[field] = value);
        let worker = Worker::new(&MemoryHost::default(), &config);
        worker.lost(&[Answer::Local(UH); 10])
    };
    assert_eq!(lost("unreachable", json!(false)), None);
    for (field, value) in [
        ("unreachable", json!(true)),
        ("metrics", json!("requests")),
        ("metrics", json!("off")),
        ("guardrail", json!({"errors": {"max": 1, "window": "30s"}})),
    ] {
        assert_eq!(lost(field, value), Some(2), "{field}");
    }
}

#[test]
fn a_rollback_counts_before_an_outage() {
    let config = changed(|rollout| rollout["guardrail"] = json!({"consecutiveErrors": 2}));
    let mut worker = Worker::new(&MemoryHost::default(), &config);
    worker.serve(Answer::Local(UH));
    worker.serve(Answer::Local(UH));
    assert_eq!(worker.serve(Answer::None), "v1;reason=rolled_back");
    let tester = [("x-test", "1")];
    worker.serve_with(&tester, Answer::Local(UH));
    assert_eq!(worker.gauges()[0], 2);
    assert_eq!(worker.serve(Answer::None), "v1;reason=rolled_back");
}

#[test]
fn another_revision_or_target_is_reachable_and_the_same_one_is_not() {
    let revised = changed(|rollout| rollout["revision"] = json!("2"));
    let moved = changed(|rollout| rollout["target"] = json!("shop-{version}"));
    let renamed = changed(|rollout| rollout["salt"] = json!("other"));
    for (next, expected) in [(&revised, UP), (&moved, UP), (&renamed, DOWN)] {
        let host = MemoryHost::default();
        let mut worker = tripped(&host, &blue_green());
        let mut configure = |config: &Value| {
            assert!(
                worker
                    .plugin
                    .configure(PLUGIN, config.to_string().as_bytes())
            );
            worker.plugin.on_tick();
            let (exchange, _) = worker.begin(&[]);
            worker.plugin.on_tick();
            (
                worker.gauges(),
                exchange.header(Message::Request, "x-divvy-route").unwrap(),
            )
        };
        let version = if expected == UP { "v2" } else { "v1" };
        let (gauges, route) = configure(next);
        assert_eq!(gauges, expected, "{next}");
        assert!(route.ends_with(version), "{route}");
        assert_eq!(configure(&blue_green()), (DOWN, "v1".to_owned()), "back");
    }
}

#[test]
fn a_configuration_that_returns_without_a_call_knows_the_outages() {
    let host = MemoryHost::default();
    let dormant = Worker::new(&host, &blue_green());
    assert_eq!(dormant.serve(Answer::Of("200")), ACTIVE);
    // New VMs have another configuration, in which v2 becomes unreachable.
    let other = changed(|rollout| rollout["salt"] = json!("other"));
    drop(tripped(&host, &other));
    let mut dormant = dormant;
    dormant.plugin.on_tick();
    assert_eq!(dormant.serve(Answer::None), AWAY);
}

#[test]
fn an_unreachable_version_gets_no_copies() {
    let config = changed(|rollout| {
        rollout["strategy"] = json!({"blueGreen": {"active": "v1"}});
        rollout["mirror"] = json!({"version": "v2", "percent": 100});
    });
    let mut worker = Worker::new(&MemoryHost::default(), &config);
    let copied = |worker: &Worker| {
        let (exchange, _) = worker.begin(&[]);
        exchange
            .header(Message::Request, "x-divvy-mirror")
            .is_some()
    };
    assert!(copied(&worker));
    for _ in 0..3 {
        worker.serve_with(&[("x-test", "1")], Answer::Local(UH));
    }
    assert!(!copied(&worker));
    worker.tick_after(5);
    worker.serve_with(&[("x-test", "1")], Answer::Of("200"));
    assert!(copied(&worker));
}

#[test]
fn a_decision_that_is_taken_back_tries_nothing() {
    let host = MemoryHost::default();
    let mut worker = tripped(&host, &blue_green());
    worker.tick_after(5);
    let exchange = MemoryExchange::get(&[]);
    exchange.refuses_to_set.set(Some("x-divvy-assignment"));
    let request = begin(&worker.plugin, &exchange);
    Worker::end(&exchange, request, Answer::Of("200"));
    assert_eq!(worker.gauges(), DOWN);
    worker.tick_after(0);
    assert_eq!(worker.serve(Answer::Of("200")), ACTIVE);
    assert_eq!(worker.gauges(), UP);
}

#[test]
fn only_the_rollout_that_owns_the_route_is_judged_and_tries() {
    let mut config = blue_green();
    let mut second = config["rollouts"][0].clone();
    second["name"] = json!("second");
    config["rollouts"].as_array_mut().unwrap().push(second);
    let host = MemoryHost::default();
    let mut worker = Worker::new(&host, &config);
    for _ in 0..3 {
        worker.serve(Answer::Local(UH));
    }
    let away = "v1;reason=unreachable, second=v2;reason=active";
    assert_eq!(worker.serve(Answer::None), away);
    worker.tick_after(5);
    let both = "v2;reason=active, second=v2;reason=active";
    assert_eq!(worker.serve(Answer::Of("200")), both);
    // Alone it is judged, and then never tried by requests that the first one routes.
    let alone = json!({"rollouts": [config["rollouts"][1]]});
    let worker_alone = tripped(&host, &alone);
    drop(worker_alone);
    worker.tick_after(6);
    assert_eq!(
        worker.serve(Answer::Of("200")),
        "v2;reason=active, second=v1;reason=unreachable"
    );
}

#[test]
fn followers_move_with_their_leader() {
    let mut config = blue_green();
    config["rollouts"].as_array_mut().unwrap().push(json!({
        "name": "search",
        "versions": [{"name": "v1"}, {"name": "v2"}],
        "stable": "v1",
        "strategy": {"follow": {"rollout": "checkout"}}
    }));
    let mut worker = tripped(&MemoryHost::default(), &config);
    worker.tick_after(0);
    let served = worker.serve(Answer::None);
    assert_eq!(served, "v1;reason=unreachable, search=v1;reason=follow");
    let weight = |version| {
        worker
            .host
            .metric(&["=.=search;", version, "divvy_weight_ppm"])
    };
    assert_eq!(["=.=v1;", "=.=v2;"].map(weight), [1_000_000, 0]);
}

#[test]
fn a_host_that_refuses_shared_data_keeps_what_is_known() {
    let host = MemoryHost::default();
    let mut worker = tripped(&host, &blue_green());
    host.refuses_shared_data.set(true);
    worker.tick_after(1);
    assert_eq!(worker.serve(Answer::None), AWAY);
    worker.tick_after(4);
    assert_eq!(
        worker.serve(Answer::None),
        AWAY,
        "no worker can take the turn"
    );
    host.refuses_shared_data.set(false);
    worker.tick_after(0);
    assert_eq!(worker.serve(Answer::Of("200")), ACTIVE);
    // Without shared data nothing trips.
    let host = MemoryHost::default();
    host.refuses_shared_data.set(true);
    let worker = Worker::new(&host, &blue_green());
    assert_eq!(worker.lost(&[Answer::Local(UH); 10]), None);
}

//! What requests leave behind in the VM: nothing, however they end.

use std::time::Duration;

use divvy_host_tests::fixture::{CANARY_USER, canary, configured, from_user, route};
use divvy_host_tests::{Exchange, Headers, Process, RootId, StreamId, Vm};
use serde_json::{Value, json};

/// Requests of many kinds: users, rules, long headers, gRPC, resets.
fn traffic() -> Vec<Exchange> {
    (0..1_000_u32)
        .map(|nth| {
            let user = from_user(&format!("user-{nth}"));
            match nth % 10 {
                0 => user.header("x-canary", "true"),
                1 => user.header("cookie", "k=v; ".repeat(nth as usize)),
                2 => user.status(500 + (nth % 5) as u16),
                3 => user.without_response(0x40),
                4 => Exchange::grpc("/shop.Checkout/Pay", nth % 16),
                5 => Exchange::get("/"),
                6 => user
                    .header("x-divvy-route", "v2")
                    .header("x-divvy-route", "v1"),
                7 => user.header("x-bytes", [0xff; 300]),
                _ => user,
            }
        })
        .collect()
}

#[test]
fn a_million_requests_take_no_more_memory_than_a_hundred_thousand() {
    let mut configuration = canary();
    configuration["responseHeader"] = json!("x-divvy-version");
    let process = Process::new();
    let (mut vm, root) = configured(&process, &configuration);
    let traffic = traffic();
    let mut play = |requests: usize| {
        for exchange in traffic.iter().cycle().take(requests) {
            vm.exchange(root, exchange).unwrap();
        }
        (vm.memory_pages(), vm.metric_ids(), vm.log().len())
    };
    let after_hundred_thousand = play(100_000);
    assert_eq!(play(900_000), after_hundred_thousand);
    assert_eq!(process.counted("divvy_requests_total", &[]), 1_000_000);
    assert_eq!(process.counted("divvy_responses_total", &[]), 1_000_000);
}

/// Watched in every way there is: one rollout is only observed, one is taken back and tried
/// again all the time, and one grows by the clock.
fn watched() -> Value {
    let mut configuration = canary();
    let limits = json!({
        "consecutiveErrors": 5, "onBreach": "observe", "recoverAfter": "30s",
        "errors": {"max": 1, "overStable": 1, "window": "10s"},
        "latency": {"quantile": 0.95, "max": "5ms", "timesStable": 1.1, "window": "10s"},
    });
    let mut observed = configuration["rollouts"][0].clone();
    observed["guardrail"] = limits;
    let mut tripping = observed.clone();
    tripping["name"] = json!("tripping");
    tripping["guardrail"]["onBreach"] = json!("rollback");
    let mut growing = tripping.clone();
    growing["name"] = json!("growing");
    growing["strategy"] = json!({"canary": {
        "version": "v2", "start": "2026-12-01T00:01:00Z",
        "ramp": {"from": 5, "by": 5, "to": 50, "every": "1m", "then": 100},
    }});
    configuration["rollouts"] = json!([observed, tripping, growing]);
    configuration
}

#[test]
fn a_million_requests_under_a_guardrail_take_no_more_memory_than_half_a_million() {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &watched());
    let traffic = traffic();
    let mut transitions = 0;
    let mut play = |requests: usize| {
        for (nth, exchange) in traffic.iter().cycle().take(requests).enumerate() {
            let mut exchange = exchange.clone();
            exchange.latency = Duration::from_millis(nth as u64 % 40);
            vm.exchange(root, &exchange).unwrap();
            if nth % 50 == 49 {
                vm.tick(root).unwrap();
                transitions += vm.take_log().len();
            }
        }
        (
            vm.memory_pages(),
            vm.metric_ids(),
            process.shared_keys().len(),
        )
    };
    let after_half_a_million = play(500_000);
    assert_eq!(play(500_000), after_half_a_million);
    // It was not idle.
    assert!(transitions > 20, "{transitions} transitions");
}

/// A stream and which of its callbacks have come.
struct Open {
    id: StreamId,
    requested: bool,
    responded: bool,
    logged: bool,
    done: bool,
}

/// Streams that are open together and end in any order and way.
struct Chaos {
    vm: Vm,
    root: RootId,
    open: Vec<Open>,
    random: u64,
    requests: u64,
}

impl Chaos {
    fn below(&mut self, bound: usize) -> usize {
        // A linear congruential generator: the same order in every run.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.random >> 33) as usize % bound
    }

    /// One callback of one stream: any that it has not had yet, in no order.
    fn step(&mut self) {
        if self.open.len() < 64 && self.below(4) == 0 {
            let id = self.vm.open(self.root).unwrap();
            self.open.push(Open {
                id,
                requested: false,
                responded: false,
                logged: false,
                done: false,
            });
        }
        if self.open.is_empty() {
            return;
        }
        let nth = self.below(self.open.len());
        let action = self.below(6);
        let user = format!("user-{}", self.below(1_000));
        let stream = &mut self.open[nth];
        let first = |had: &mut bool| !std::mem::replace(had, true);
        match action {
            0 if first(&mut stream.requested) => {
                let request = from_user(&user).request;
                self.vm.request_headers(stream.id, request, false).unwrap();
                self.requests += 1;
            }
            1 if first(&mut stream.responded) => {
                let response = Headers::from([(":status", "200")]);
                self.vm
                    .response_headers(stream.id, response, false)
                    .unwrap();
            }
            2 => {
                let trailers = Headers::from([("grpc-status", "0")]);
                self.vm.response_trailers(stream.id, trailers).unwrap();
            }
            3 if first(&mut stream.logged) => self.vm.log_stream(stream.id).unwrap(),
            4 if first(&mut stream.done) => self.vm.done(stream.id).unwrap(),
            5 => {
                let stream = self.open.swap_remove(nth);
                self.vm.delete(stream.id).unwrap();
            }
            _ => {}
        }
    }

    fn run(&mut self, steps: usize) -> u64 {
        for _ in 0..steps {
            self.step();
        }
        self.vm.memory_pages()
    }
}

#[test]
fn streams_that_end_in_any_order_leave_nothing_behind() {
    let process = Process::new();
    let (vm, root) = configured(&process, &canary());
    let mut chaos = Chaos {
        vm,
        root,
        open: Vec::new(),
        random: 1,
        requests: 0,
    };
    let early = chaos.run(50_000);
    assert_eq!(chaos.run(500_000), early);
    assert!(chaos.requests > 30_000, "{}", chaos.requests);
    let counted = process.counted("divvy_requests_total", &[]);
    assert_eq!(counted, chaos.requests);
    // Each stream's response is counted once or, deleted early, not at all.
    assert!(process.counted("divvy_responses_total", &[]) <= counted);

    let stream = chaos.vm.exchange(root, &from_user(CANARY_USER)).unwrap();
    assert_eq!(route(&stream).as_deref(), Some("v2"));
}

/// Each way to end once, many times over, and what it counts.
fn repeat(end: impl Fn(&mut Vm, StreamId)) -> Process {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &canary());
    let mut play = |streams: usize| {
        for _ in 0..streams {
            let id = vm.open(root).unwrap();
            end(&mut vm, id);
        }
        vm.memory_pages()
    };
    let early = play(1_000);
    assert_eq!(play(50_000), early);
    assert_eq!(vm.open_streams(), 0);
    let stream = vm.exchange(root, &from_user(CANARY_USER)).unwrap();
    assert_eq!(route(&stream).as_deref(), Some("v2"));
    process
}

#[test]
fn a_stream_deleted_without_a_log_callback_is_counted_once() {
    let process = repeat(|vm, id| {
        let request = from_user(CANARY_USER).request;
        vm.request_headers(id, request, true).unwrap();
        vm.done(id).unwrap();
        vm.delete(id).unwrap();
    });
    assert_eq!(process.counted("divvy_requests_total", &[]), 51_001);
    assert_eq!(process.counted("divvy_responses_total", &[]), 51_001);
}

#[test]
fn a_log_without_a_response_counts_class_none() {
    let process = repeat(|vm, id| {
        let request = from_user(CANARY_USER).request;
        vm.request_headers(id, request, true).unwrap();
        vm.finish(id).unwrap();
    });
    let none = [("divvy_class", "none"), ("divvy_version", "v2")];
    assert_eq!(process.counted("divvy_responses_total", &none), 51_000);
}

#[test]
fn a_log_without_request_headers_counts_nothing() {
    // Envoy's own answer to a malformed request: only the log is called.
    let process = repeat(|vm, id| {
        vm.stream_mut(id).response_headers = Some(Headers::from([(":status", "400")]));
        vm.finish(id).unwrap();
    });
    assert_eq!(process.counted("divvy_requests_total", &[]), 1);
    assert_eq!(process.counted("divvy_responses_total", &[]), 1);
}

#[test]
fn a_response_without_a_request_counts_nothing() {
    let process = repeat(|vm, id| {
        let response = Headers::from([(":status", "200")]);
        vm.response_headers(id, response, true).unwrap();
        vm.finish(id).unwrap();
    });
    assert_eq!(process.counted("divvy_requests_total", &[]), 1);
    assert_eq!(process.counted("divvy_responses_total", &[]), 1);
}

#[test]
fn memory_that_is_not_there_is_null_and_the_vm_goes_on() {
    let (mut vm, root) = configured(&Process::new(), &canary());
    let mut allocate = |size| vm.call_by_name("proxy_on_memory_allocate", &[size]);
    assert_ne!(allocate(1).unwrap(), 0);
    for size in [0, 1 << 31, u32::MAX] {
        assert_eq!(allocate(size).unwrap(), 0, "{size} bytes");
    }
    // The first is still held, so that 4 GiB are not enough for a larger one.
    assert_ne!(allocate((1 << 31) - 65_536).unwrap(), 0);
    assert_eq!(allocate((1 << 31) - 32_768).unwrap(), 0);
    let stream = vm.exchange(root, &from_user(CANARY_USER)).unwrap();
    assert_eq!(route(&stream).as_deref(), Some("v2"));
}

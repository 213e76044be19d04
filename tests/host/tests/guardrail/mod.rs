//! Ramps and guardrails of the built filter under conditions that only a test host can make:
//! clock jumps, contended or refused shared data, configurations and VMs that are replaced.

mod beside;
mod clock;
mod contention;
mod faults;
mod lifecycle;
mod pushes;
mod ramp;

use std::time::Duration;

use divvy::bucket::{Key, Purpose, Share};
use divvy::guardrail::evidence::Tally;
use divvy::guardrail::{Arm, State};
use divvy_host_tests::fixture::{
    CANARY_USER, accept, assignment, canary, configured, from_user, route,
};
use divvy_host_tests::{Exchange, Process, RootId, StreamId, Vm};
use serde_json::{Value, json};

/// Key in shared data of the rollout's counts and verdicts.
const KEY: &str = "divvy/shop/guardrail/checkout";
/// A user who gets stable from [`canary`].
const STABLE_USER: &str = "user-1";
/// Enough failures for a verdict on errors.
const MANY: u32 = 30;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// [`canary`] with a guardrail.
fn guarded(guardrail: Value) -> Value {
    let mut configuration = canary();
    configuration["rollouts"][0]["revision"] = json!("1");
    configuration["rollouts"][0]["guardrail"] = guardrail;
    configuration
}

/// [`canary`] with an error limit of 1 %.
fn one_percent() -> Value {
    guarded(json!({"errors": {"max": 1}}))
}

/// [`canary`] with a guardrail that never has enough requests for a verdict in these tests.
fn patient() -> Value {
    guarded(json!({
        "minRequests": 100_000, "errors": {"max": 1, "overStable": 50, "window": "1h"},
    }))
}

/// The configuration with this field of its rollout replaced.
fn with(mut configuration: Value, field: &str, value: Value) -> Value {
    configuration["rollouts"][0][field] = value;
    configuration
}

/// 5 % from 00:10, 25 % from 00:20, 50 % from 00:30, 100 % from 00:40. The process's clock starts
/// at midnight.
fn ramp() -> Value {
    json!({"canary": {"version": "v2", "start": "2026-12-01T00:10:00Z", "steps": [
        {"weight": 5, "hold": "10m"}, {"weight": 25, "hold": "10m"},
        {"weight": 50, "hold": "10m"}, {"weight": 100},
    ]}})
}

/// Midnight, in nanoseconds since 1970.
fn midnight() -> u64 {
    Process::new().clock().realtime()
}

/// A VM and the root that gets new streams.
struct Worker {
    vm: Vm,
    root: RootId,
}

impl Worker {
    fn new(process: &Process, configuration: &Value) -> Self {
        let (vm, root) = configured(process, configuration);
        Self { vm, root }
    }

    /// Configures a new root. Returns the previous one.
    fn push(&mut self, configuration: &Value) -> RootId {
        let next = accept(&mut self.vm, configuration);
        std::mem::replace(&mut self.root, next)
    }

    /// Assignment and route of a request of this user.
    fn ask(&mut self, user: &str) -> (String, String) {
        let stream = self.vm.exchange(self.root, &request(user)).unwrap();
        assert_eq!(stream.local_response, None);
        let assignment = assignment(&stream).unwrap_or_default();
        (assignment, route(&stream).unwrap_or_default())
    }

    /// Requests of this user with this response status.
    fn answer(&mut self, user: &str, requests: u32, status: u16) {
        for _ in 0..requests {
            let exchange = request(user).status(status);
            self.vm.exchange(self.root, &exchange).unwrap();
        }
    }

    /// Requests to v2 that fail.
    fn fail(&mut self, requests: u32) {
        self.answer(CANARY_USER, requests, 503);
    }

    /// Opens [`MANY`] requests to v2 without a response.
    fn open_requests(&mut self) -> Vec<StreamId> {
        let open = |_| {
            let id = self.vm.open(self.root).unwrap();
            let headers = request(CANARY_USER).request;
            self.vm.request_headers(id, headers, true).unwrap();
            id
        };
        (0..MANY).map(open).collect()
    }

    /// Ends these requests with this status.
    fn end_requests(&mut self, streams: Vec<StreamId>, status: u16) {
        let response = request(CANARY_USER).status(status).response.unwrap();
        for id in streams {
            let headers = response.clone();
            self.vm.response_headers(id, headers, true).unwrap();
            self.vm.finish(id).unwrap();
        }
    }

    fn tick(&mut self) {
        self.vm.tick(self.root).unwrap();
    }

    /// Advances the clock by a second, then ticks.
    fn second(&mut self) {
        self.vm.process().clock().advance(SECOND);
        self.tick();
    }

    /// Ticks every 5 s until this time since midnight.
    fn until(&mut self, since_midnight: Duration) {
        let end = midnight() + since_midnight.as_nanos() as u64;
        while self.vm.process().clock().realtime() < end {
            let left = end - self.vm.process().clock().realtime();
            let step = Duration::from_nanos(left).min(5 * SECOND);
            self.vm.process().clock().advance(step);
            self.tick();
        }
    }

    /// Numbers of those of 400 users who get v2.
    fn on_v2(&mut self) -> Vec<u32> {
        let users = 0..400;
        users
            .filter(|nth| self.ask(&format!("user-{nth}")).1 == "v2")
            .collect()
    }

    /// Log lines about the rollout since the last call.
    fn transitions(&mut self) -> Vec<String> {
        let log = self.vm.take_log().into_iter().map(|line| line.message);
        log.filter_map(|line| Some(line.strip_prefix("rollout checkout: ")?.to_owned()))
            .collect()
    }
}

/// Numbers of those of 400 users who get v2 at this weight in percent.
fn at_weight(percent: u64) -> Vec<u32> {
    let line = Key::new(Purpose::Gate, "checkout");
    let share = Share::from_percent(percent as f64).unwrap();
    let users = 0..400;
    users
        .filter(|nth| share.admits(line.position(format!("user-{nth}").as_bytes())))
        .collect()
}

/// A request that takes no time, so that only the test moves the clock.
fn request(user: &str) -> Exchange {
    let mut exchange = from_user(user);
    exchange.latency = Duration::ZERO;
    exchange
}

/// The gauge `divvy_guardrail_state` of a version.
fn standing(process: &Process, version: &str) -> Option<u64> {
    let labels = [("divvy_rollout", "checkout"), ("divvy_version", version)];
    process.gauged("divvy_guardrail_state", &labels)
}

/// The gauge of the share of a version, in millionths.
fn weight(process: &Process, version: &str) -> Option<u64> {
    divvy_host_tests::fixture::weight(process, "checkout", version)
}

/// The counts of stable and of v2 in shared data.
fn known(process: &Process, configuration: &Value) -> [Tally; 2] {
    let policy = divvy::config::parse(configuration.to_string().as_bytes()).unwrap();
    let plan = policy.rollouts[0].plan.as_ref().unwrap();
    let shared = process.shared_data(KEY);
    let bytes = shared.as_ref().map(|(bytes, _)| &bytes[..]);
    let now = process.clock().realtime() / 1_000_000;
    State::open(plan, bytes, false).map_or([Tally::default(); 2], |state| {
        [Arm::STABLE, Arm(1)].map(|arm| state.known(plan, arm, now))
    })
}

/// `bad` failures of `all` requests.
fn tally(bad: u32, all: u32) -> Tally {
    Tally { bad, all }
}

const ROLLED_BACK: &str = "checkout=v1;reason=rolled_back";

#[test]
fn a_failing_version_is_rolled_back_at_the_next_tick_and_logged_once() {
    let process = Process::new();
    let mut worker = Worker::new(&process, &one_percent());
    assert_eq!(standing(&process, "v2"), Some(0));
    assert_eq!(standing(&process, "v1"), None, "stable is not watched");
    worker.fail(MANY);
    assert_eq!(worker.ask(CANARY_USER).0, "checkout=v2;reason=split");
    worker.second();
    assert_eq!(
        worker.ask(CANARY_USER),
        (ROLLED_BACK.into(), "v1".to_owned())
    );
    assert_eq!(worker.ask(STABLE_USER).0, "checkout=v1;reason=split");
    assert_eq!(standing(&process, "v2"), Some(2));
    assert_eq!(weight(&process, "v2"), Some(0));
    assert_eq!(weight(&process, "v1"), Some(1_000_000));
    let expected = "v2 is rolled back to stable: 30 of 31 requests failed, errors.max is 1 %; it \
                    stays so until the revision changes";
    assert_eq!(worker.transitions(), [expected]);
    // A rule still gives v2 to testers.
    let tester = request(STABLE_USER).header("x-canary", "true");
    let stream = worker.vm.exchange(worker.root, &tester).unwrap();
    assert_eq!(
        assignment(&stream).as_deref(),
        Some("checkout=v2;reason=rule")
    );
    // Failures of testers are not counted.
    let known_before = known(&process, &one_percent());
    for _ in 0..MANY {
        let tester = tester.clone().status(503);
        worker.vm.exchange(worker.root, &tester).unwrap();
    }
    worker.second();
    assert_eq!(known(&process, &one_percent())[1], known_before[1]);
}

#[test]
fn consecutive_errors_roll_a_version_back_without_waiting_for_a_tick() {
    let process = Process::new();
    let configuration = guarded(json!({"consecutiveErrors": 10}));
    let mut worker = Worker::new(&process, &configuration);
    worker.fail(9);
    assert_eq!(worker.ask(CANARY_USER).1, "v2", "a success resets the run");
    worker.fail(10);
    assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK);
    assert_eq!(worker.transitions().len(), 1);
}

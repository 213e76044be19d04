//! Ramps and guardrails through the built filter, where only a host of our own can show what
//! happens: a clock that is set, shared data that is contended or refused, configurations and
//! VMs that come and go.

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
use divvy_host_tests::{Exchange, Process, RootId, Vm};
use serde_json::{Value, json};

/// Where the one rollout's counts and verdicts are.
const KEY: &str = "divvy/shop/guardrail/checkout";
/// Whom [`canary`] leaves with stable.
const STABLE_USER: &str = "user-1";
/// More failures than any verdict on errors needs.
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

/// At most 1 % of errors.
fn one_percent() -> Value {
    guarded(json!({"errors": {"max": 1}}))
}

/// Counts for ten hours, and comes to no verdict on what these tests send.
fn patient() -> Value {
    guarded(json!({
        "minRequests": 100_000, "errors": {"max": 1, "overStable": 50, "window": "1h"},
    }))
}

/// The same with something changed about its rollout.
fn with(mut configuration: Value, field: &str, value: Value) -> Value {
    configuration["rollouts"][0][field] = value;
    configuration
}

/// The ramp of these tests: 5 % from ten past midnight on, 25 % ten minutes later, then 50 %,
/// then all. The process's clock begins at midnight.
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

/// A VM and the root that new streams come to.
struct Worker {
    vm: Vm,
    root: RootId,
}

impl Worker {
    fn new(process: &Process, configuration: &Value) -> Self {
        let (vm, root) = configured(process, configuration);
        Self { vm, root }
    }

    /// A further configuration; the root of the one before is returned.
    fn push(&mut self, configuration: &Value) -> RootId {
        let next = accept(&mut self.vm, configuration);
        std::mem::replace(&mut self.root, next)
    }

    /// What a user is told, and where the request goes.
    fn ask(&mut self, user: &str) -> (String, String) {
        let stream = self.vm.exchange(self.root, &request(user)).unwrap();
        assert_eq!(stream.local_response, None);
        let told = assignment(&stream).unwrap_or_default();
        (told, route(&stream).unwrap_or_default())
    }

    /// So many requests of this user that are answered with this status.
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

    fn tick(&mut self) {
        self.vm.tick(self.root).unwrap();
    }

    /// The clock goes on by a second, and a tick comes.
    fn second(&mut self) {
        self.vm.process().clock().advance(SECOND);
        self.tick();
    }

    /// Ticks until so much time has passed since midnight.
    fn until(&mut self, since_midnight: Duration) {
        let end = midnight() + since_midnight.as_nanos() as u64;
        while self.vm.process().clock().realtime() < end {
            let left = end - self.vm.process().clock().realtime();
            let step = Duration::from_nanos(left).min(5 * SECOND);
            self.vm.process().clock().advance(step);
            self.tick();
        }
    }

    /// Which of 400 users have v2.
    fn on_v2(&mut self) -> Vec<u32> {
        let users = 0..400;
        users
            .filter(|nth| self.ask(&format!("user-{nth}")).1 == "v2")
            .collect()
    }

    /// What was logged about the rollout since it was last asked.
    fn transitions(&mut self) -> Vec<String> {
        let log = self.vm.take_log().into_iter().map(|line| line.message);
        log.filter_map(|line| Some(line.strip_prefix("rollout checkout: ")?.to_owned()))
            .collect()
    }
}

/// Which of them have v2 at a weight of so many percent.
fn at_weight(percent: u64) -> Vec<u32> {
    let line = Key::new(Purpose::Gate, "checkout");
    let share = Share::from_percent(percent as f64).unwrap();
    let users = 0..400;
    users
        .filter(|nth| share.admits(line.position(format!("user-{nth}").as_bytes())))
        .collect()
}

/// A request that takes no time, so that the clock is a test's alone.
fn request(user: &str) -> Exchange {
    let mut exchange = from_user(user);
    exchange.latency = Duration::ZERO;
    exchange
}

/// The gauge of how a version stands.
fn standing(process: &Process, version: &str) -> Option<u64> {
    let labels = [("divvy_rollout", "checkout"), ("divvy_version", version)];
    process.gauged("divvy_guardrail_state", &labels)
}

/// The gauge of a version's share, in millionths.
fn weight(process: &Process, version: &str) -> Option<u64> {
    divvy_host_tests::fixture::weight(process, "checkout", version)
}

/// What the process knows of stable and of v2, by what is in shared data.
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

/// So many failures of so many requests.
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
    // Whoever asks for it by a rule has it all the same.
    let tester = request(STABLE_USER).header("x-canary", "true");
    let stream = worker.vm.exchange(worker.root, &tester).unwrap();
    assert_eq!(
        assignment(&stream).as_deref(),
        Some("checkout=v2;reason=rule")
    );
    // And what testers see says nothing about anybody else.
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
    assert_eq!(worker.ask(CANARY_USER).1, "v2", "a success begins anew");
    worker.fail(10);
    assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK);
    assert_eq!(worker.transitions().len(), 1);
}

//! Shared state of several VMs: no interleaving loses a count, and arbitrary bytes are harmless.

use std::rc::Rc;
use std::time::Duration;

use divvy::guardrail::blob::MAX_BYTES;
use divvy::guardrail::evidence::Tally;
use divvy::guardrail::simulate::{Behaviour, Process, Setup, Traffic, Vms};
use divvy::guardrail::{Arm, Guardrail, Local, Plan, State};
use divvy::response::HealthSample;

use super::{NOON, V2, Worker, latency, one_percent, percent, plan};

/// Counts all day and never trips.
fn patient() -> Guardrail {
    let mut guardrail = one_percent();
    guardrail.min_requests = u32::MAX;
    guardrail.errors.as_mut().unwrap().window = Duration::from_hours(1);
    guardrail
}

fn process(plan: &Rc<Plan>, workers: usize) -> Process {
    Process::new(Setup {
        plan: Rc::clone(plan),
        workers,
        rate: 2_000.0,
        weight: percent(30.0),
        behaviours: [Behaviour::failing(0.01), Behaviour::failing(0.2)],
        start: NOON,
        seed: 8,
    })
}

fn known(process: &Process, plan: &Plan) -> [Tally; 2] {
    let state = process.state().unwrap();
    [Arm::STABLE, V2].map(|arm| state.known(plan, arm, process.now()))
}

#[test]
fn eight_vms_with_concurrent_writes_lose_no_count() {
    let plan = plan("1", patient());
    let mut process = process(&plan, 8);
    process.run(600);
    let (conflicts, given_up) = process.contention();
    assert!(conflicts > 1_000, "{conflicts} conflicts are no contention");
    assert!(given_up < conflicts / 100, "{given_up} ticks had no effect");
    // A VM that gave up keeps its counts until the next tick.
    for _ in 0..10 {
        process.idle();
    }
    let sent = process.sent();
    assert!(sent[0].all > 800_000 && sent[1].bad > 60_000);
    assert_eq!(known(&process, &plan), sent);
}

#[test]
fn updates_of_the_same_revision_lose_no_count() {
    let first = plan("1", patient());
    for vms in [Vms::Kept, Vms::New] {
        let mut process = process(&first, 4);
        for _ in 0..50 {
            process.run(2);
            // Other versions and other numbers of them, but the same limits.
            let other = Plan::new("1", patient(), None, "v1", ["v2", "v3"]);
            process.push(&Rc::new(other), vms);
            process.run(1);
            process.push(&first, vms);
        }
        for _ in 0..10 {
            process.idle();
        }
        assert_eq!(known(&process, &first), process.sent(), "{vms:?}");
    }
}

#[test]
fn the_order_of_merges_does_not_matter() {
    let plan = plan("1", latency(Some(320), Some(1.2)));
    let mut random = Traffic::new(1);
    let locals: Vec<Local> = (0..5)
        .map(|_| {
            let mut local = Local::new(&plan);
            for _ in 0..200 {
                let arm = Arm(u16::try_from(random.pick(2)).unwrap());
                let latency = Duration::from_secs_f64(random.fraction());
                local.record(&plan, arm, HealthSample::Success, Some(latency));
            }
            local
        })
        .collect();
    let merged = |order: &[usize]| {
        let mut state = State::open(&plan, None, true).unwrap();
        for index in order {
            state.tick(&plan, &locals[*index], NOON, None, false);
        }
        state
    };
    let expected = merged(&[0, 1, 2, 3, 4]);
    for order in [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [1, 4, 0, 3, 2]] {
        assert_eq!(merged(&order), expected);
    }
}

#[test]
fn a_state_equals_its_decoded_encoding() {
    let plan = plan("1", latency(Some(320), Some(1.2)));
    let mut worker = Worker::new(&plan);
    for millis in 1..600 {
        let took = Duration::from_millis(millis);
        worker
            .local
            .record(&plan, V2, HealthSample::Success, Some(took));
        worker.tick_at(NOON + millis * 700);
        let bytes = worker.state.encode();
        let read = State::open(&plan, Some(&bytes), true);
        assert_eq!(read.as_ref(), Some(&worker.state));
    }
}

#[test]
fn arbitrary_bytes_are_decoded_or_refused() {
    let plan = plan("1", latency(Some(320), Some(1.2)));
    let mut worker = Worker::new(&plan);
    for millis in 1..100 {
        let took = Duration::from_millis(millis * 7);
        worker
            .local
            .record(&plan, V2, HealthSample::Failure, Some(took));
        worker.tick_at(NOON + millis * 700);
    }
    // Three revisions, one of them counted by two limits.
    for (revision, limits) in [
        ("2", one_percent()),
        ("3", one_percent()),
        ("1", one_percent()),
        ("1", latency(Some(320), Some(1.2))),
    ] {
        worker.switch(&super::plan(revision, limits));
        worker.count(V2, 1, 1);
        worker.tick_at(worker.now + 1);
    }
    let valid = worker.state.encode();
    let mut random = Traffic::new(2);
    let byte = |random: &mut Traffic| u8::try_from(random.pick(256)).unwrap();
    for length in 0..=valid.len() {
        let mut bent = valid.clone();
        if let Some(at) = bent.get_mut(random.pick(valid.len())) {
            *at = byte(&mut random);
        }
        let noise: Vec<u8> = (0..length).map(|_| byte(&mut random)).collect();
        for bytes in [&valid[..length], &bent, &noise] {
            let mut state = State::open(&plan, Some(bytes), true).unwrap();
            for now in [0, NOON, NOON + 1, u64::MAX] {
                state.tick(&plan, &worker.local, now, Some(NOON), true);
                state.weight(&plan, V2, now);
            }
            assert!(State::open(&plan, Some(&state.encode()), false).is_some());
        }
    }
}

#[test]
fn another_layout_is_not_a_state() {
    let plan = plan("1", one_percent());
    let mut bytes = Worker::new(&plan).state.encode();
    assert!(State::open(&plan, Some(&bytes), false).is_some());
    bytes[0] += 1;
    assert_eq!(State::open(&plan, Some(&bytes), false), None);
}

#[test]
fn a_state_has_at_most_16_kib() {
    let usual = plan("1", one_percent());
    let names: Vec<String> = (1..=31).map(|n| format!("v{n}")).collect();
    let mut all = latency(Some(320), Some(1.2));
    all.errors = one_percent().errors;
    let compared = plan("1", all.clone());
    let names = names.iter().map(String::as_str);
    let large = Rc::new(Plan::new("1", all, None, "stable", names));
    // A usual service; and latencies from a millisecond to ten seconds, evenly by their
    // logarithm: no service is as bad as that.
    let usually = |random: &mut Traffic| 0.1 * (random.fraction() + random.fraction());
    let oddly = |random: &mut Traffic| 0.001 * 10_f64.powf(random.fraction() * 4.0);
    type Latency<'a> = &'a dyn Fn(&mut Traffic) -> f64;
    for (name, plan, latency, most) in [
        ("one canary, errors", &usual, &usually as Latency<'_>, 320),
        ("one canary, all", &compared, &usually, 8_000),
        ("one canary, all, oddly", &compared, &oddly, MAX_BYTES),
        ("32 versions, all, oddly", &large, &oddly, MAX_BYTES),
    ] {
        let mut worker = Worker::new(plan);
        let mut random = Traffic::new(3);
        let mut largest = 0;
        for second in 0..400 {
            for _ in 0..500 {
                let arm = random.pick(plan.arms().count());
                let arm = Arm(u16::try_from(arm).unwrap());
                let took = Duration::from_secs_f64(latency(&mut random));
                worker
                    .local
                    .record(plan, arm, HealthSample::Success, Some(took));
            }
            worker.tick_at(NOON + second * 1_000);
            largest = largest.max(worker.state.encode().len());
        }
        println!("{name}: {largest} bytes");
        assert!(largest <= most, "{name}: {largest} bytes");
    }
}

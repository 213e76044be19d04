//! Verdicts under another configuration of the same revision with another consequence.

use std::rc::Rc;

use divvy::guardrail::{Guardrail, OnBreach, Plan, Standing, State};

use super::{MINUTE, NOON, SECOND, V2, Worker, one_percent, plan, plan_with_ramp};

fn guardrail(on_breach: OnBreach) -> Guardrail {
    Guardrail {
        on_breach,
        ..one_percent()
    }
}

fn fixed(on_breach: OnBreach) -> Rc<Plan> {
    plan("1", guardrail(on_breach))
}

fn growing(on_breach: OnBreach) -> Rc<Plan> {
    plan_with_ramp(guardrail(on_breach))
}

#[test]
fn a_verdict_is_effective_while_the_configuration_has_the_same_consequence() {
    use OnBreach::{Freeze, Observe, Rollback};
    use Standing::{Frozen, Healthy, RolledBack};
    let unguarded = || plan_with_ramp(Guardrail::default());
    for (before, after, standing) in [
        (growing(Freeze), growing(Freeze), Frozen),
        // A version that cannot grow, or that is rolled back instead, does not stay frozen.
        (growing(Freeze), growing(Rollback), Healthy),
        (growing(Freeze), fixed(Rollback), Healthy),
        (growing(Rollback), growing(Rollback), RolledBack),
        (growing(Rollback), fixed(Rollback), RolledBack),
        (fixed(Rollback), fixed(Observe), RolledBack),
        // Without limits no version is held back.
        (growing(Rollback), unguarded(), Healthy),
        (growing(Freeze), unguarded(), Healthy),
    ] {
        let mut worker = Worker::new(&before);
        worker.fails();
        worker.until(NOON + MINUTE);
        let bytes = worker.state.encode();
        let pushed = State::open(&after, Some(&bytes), true).unwrap();
        let what = format!("{:?}, then {:?}", before, after);
        assert_eq!(pushed.standing(&after, V2), standing, "{what}");
    }
}

/// An operator observes first and activates the guardrail after the warning.
#[test]
fn an_observed_version_is_judged_after_on_breach_changes() {
    let mut worker = Worker::new(&fixed(OnBreach::Observe));
    worker.fails();
    worker.until(NOON + MINUTE / 6);
    assert_eq!(worker.state.standing(&worker.plan, V2), Standing::Healthy);
    worker.plan = fixed(OnBreach::Rollback);
    worker.until(NOON + MINUTE / 5);
    assert_eq!(
        worker.state.standing(&worker.plan, V2),
        Standing::RolledBack
    );
}

/// Two configurations of one revision that both receive new streams.
#[test]
fn a_verdict_of_one_configuration_is_not_changed_by_another_one() {
    use OnBreach::{Freeze, Observe, Rollback};
    use Standing::{Frozen, Healthy, RolledBack};
    let unguarded = || plan_with_ramp(Guardrail::default());
    for (holds, standing, beside, seen) in [
        (growing(Rollback), RolledBack, unguarded(), Healthy),
        (fixed(Rollback), RolledBack, unguarded(), Healthy),
        (fixed(Rollback), RolledBack, fixed(Observe), RolledBack),
        (growing(Freeze), Frozen, unguarded(), Healthy),
        (growing(Freeze), Frozen, growing(Rollback), Healthy),
        (growing(Freeze), Frozen, fixed(Observe), Healthy),
    ] {
        let what = format!("{holds:?}, beside {beside:?}");
        let mut worker = Worker::new(&holds);
        worker.fails();
        let mut log = worker.until(NOON + SECOND);
        for _ in 0..30 {
            worker.switch(&beside);
            assert_eq!(worker.standing(), seen, "{what}");
            log.extend(worker.until(worker.now + SECOND));
            worker.switch(&holds);
            assert_eq!(worker.standing(), standing, "{what}");
            log.extend(worker.until(worker.now + SECOND));
        }
        assert_eq!(log.len(), 1, "{what}: {log:?}");
    }
}

#[test]
fn observe_does_not_end_a_freeze_and_rollback_replaces_it() {
    let frozen = growing(OnBreach::Freeze);
    for (beside, standing) in [
        (OnBreach::Observe, Standing::Frozen),
        (OnBreach::Rollback, Standing::RolledBack),
    ] {
        let mut worker = Worker::new(&frozen);
        worker.fails();
        worker.until(NOON + SECOND);
        worker.switch(&growing(beside));
        worker.fails();
        worker.until(NOON + 2 * SECOND);
        worker.switch(&frozen);
        assert_eq!(worker.standing(), standing, "{beside:?}");
    }
}

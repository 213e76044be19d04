//! Verdicts under a later configuration of the same revision, which asks for something else.

use std::rc::Rc;

use divvy::guardrail::{Guardrail, OnBreach, Plan, Standing, State};

use super::{MINUTE, NOON, V2, Worker, one_percent, plan, plan_with_ramp};

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
fn a_verdict_holds_as_long_as_the_configuration_asks_for_one_like_it() {
    use OnBreach::{Freeze, Observe, Rollback};
    use Standing::{Frozen, Healthy, RolledBack};
    let unguarded = || plan_with_ramp(Guardrail::default());
    for (before, after, standing) in [
        (growing(Freeze), growing(Freeze), Frozen),
        // Nothing stays frozen that has nowhere to grow, or is to be rolled back instead.
        (growing(Freeze), growing(Rollback), Healthy),
        (growing(Freeze), fixed(Rollback), Healthy),
        (growing(Rollback), growing(Rollback), RolledBack),
        (growing(Rollback), fixed(Rollback), RolledBack),
        (fixed(Rollback), fixed(Observe), RolledBack),
        // Without limits nothing is held.
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

/// Whoever observes first, sees the warning and then arms the guardrail wants it armed.
#[test]
fn what_was_only_observed_is_judged_once_a_breach_leads_to_more() {
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

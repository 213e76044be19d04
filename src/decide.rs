//! Which version serves a request, and why.
//!
//! For each rollout that looks at the request, in the order of the configuration:
//!
//! 1. `enabled: false` → stable, `disabled`
//! 2. the first rule that matches → its version, `rule`
//! 3. the strategy, which asks who the user is only if a hash is needed: nobody → stable,
//!    `no_identity`. An A/B test first keeps out those in the `holdout`, then those who are
//!    `excluded` by its layer, then those whom its `traffic` does not let in,
//!    `not_enrolled`. Otherwise `split`, `active` or `follow`
//! 4. a version that the guardrail has taken back → stable, `rolled_back`; not where a rule
//!    without `percent` asked for it, since somebody looks at that version on purpose
//!
//! A decision is a value; nothing here talks to anybody.

use crate::bucket::Gate;
use crate::decision::{Decision, Reason, version_of};
use crate::guardrail::OnBreach;
use crate::identity::{Identity, Who};
use crate::matching::Facts;
use crate::policy::{AbTest, Policy, Rollout, RolloutId, Rule, Strategy, VersionId, Weight};
use crate::request::Request;

/// All that was decided for a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// A decision for each rollout that looks at the request, in their order.
    pub decisions: Vec<Decision>,
    /// Who the user is, if a decision depended on it.
    pub identity: Option<Identity<'a>>,
}

/// The decisions of all rollouts that look at this request.
pub fn decide<'a>(policy: &'a Policy, request: &'a Request<'_>) -> Outcome<'a> {
    let who = Who::sent(request, &policy.identification);
    let found = policy.scopes.find(request);
    let mut decisions = Vec::with_capacity(found.len());
    for id in found {
        let Some(rollout) = policy.rollout(id) else {
            continue;
        };
        let facts = Facts {
            request,
            who: &who,
            decisions: &decisions,
        };
        decisions.push(decide_one(id, rollout, &facts));
    }
    Outcome {
        decisions,
        identity: who.into_found(),
    }
}

/// What is decided when the request cannot be read: stable, for every rollout that looks
/// at all requests. Which others would have looked at this one cannot be known.
pub fn decide_unread(policy: &Policy) -> Outcome<'_> {
    let certain = policy.scopes.everywhere().iter();
    let decisions = certain.filter_map(|id| {
        let version = policy.rollout(*id)?.stable;
        Some(Decision {
            rollout: *id,
            version,
            reason: Reason::Error,
            judged: false,
        })
    });
    Outcome {
        decisions: decisions.collect(),
        identity: None,
    }
}

fn decide_one(id: RolloutId, rollout: &Rollout, facts: &Facts<'_, '_, '_>) -> Decision {
    let stable = rollout.stable;
    let decided = |version, reason, judged| Decision {
        rollout: id,
        version,
        reason,
        judged,
    };
    if !rollout.enabled {
        return decided(stable, Reason::Disabled, false);
    }
    let decision = match rollout.rules.iter().find(|rule| applies(rule, facts)) {
        Some(rule) => {
            let judged = rule.percent.is_some() && rule.version != stable;
            decided(rule.version, Reason::Rule, judged)
        }
        None => match choose(id, rollout, facts) {
            // Who follows a version that somebody asked for has been asked for as well.
            Ok((version, reason)) => decided(version, reason, !follows_forced(rollout, facts)),
            Err(reason) => decided(stable, reason, false),
        },
    };
    if decision.judged
        && decision.version != stable
        && rollout.is_rolled_back(id, decision.version, facts.request.outside())
    {
        return decided(stable, Reason::RolledBack, false);
    }
    decision
}

/// Whether the rollout that this one follows was forced by a rule.
fn follows_forced(rollout: &Rollout, facts: &Facts<'_, '_, '_>) -> bool {
    let Strategy::Follow { leader, .. } = &rollout.strategy else {
        return false;
    };
    let mut decisions = facts.decisions.iter();
    let leading = decisions.find(|decision| decision.rollout == *leader);
    leading.is_some_and(|decision| {
        let followed = decision.reason == Reason::Follow || decision.reason == Reason::Rule;
        followed && !decision.judged
    })
}

fn applies(rule: &Rule, facts: &Facts<'_, '_, '_>) -> bool {
    let lets_in = |gate: &Gate| facts.who.anybody().is_some_and(|who| gate.admits(who));
    rule.when.holds(facts) && rule.percent.as_ref().is_none_or(lets_in)
}

/// The strategy's answer, or the reason why it has none.
fn choose(
    id: RolloutId,
    rollout: &Rollout,
    facts: &Facts<'_, '_, '_>,
) -> Result<(VersionId, Reason), Reason> {
    let stable = rollout.stable;
    Ok(match &rollout.strategy {
        Strategy::Canary {
            version,
            line,
            weight,
        } => {
            let share = match weight {
                Weight::Fixed(share) => Some(*share),
                Weight::Clock => {
                    let request = facts.request;
                    rollout.clocked(id, *version, request.now(), request.outside())
                }
            };
            let share = share.ok_or(Reason::Error)?;
            let admitted = match share.foregone() {
                Some(admitted) => admitted,
                None => share.admits(line.position(facts.who.anybody().ok_or(Reason::NoIdentity)?)),
            };
            (if admitted { *version } else { stable }, Reason::Split)
        }
        Strategy::AbTest(test) => assign(test, stable, facts).ok_or(Reason::NoIdentity)?,
        Strategy::BlueGreen { active } => (*active, Reason::Active),
        Strategy::Follow { leader, versions } => {
            let chosen = version_of(facts.decisions, *leader);
            let mine = chosen.and_then(|chosen| *versions.get(usize::from(chosen.0))?);
            (mine.unwrap_or(stable), Reason::Follow)
        }
    })
}

/// Who takes part in a test, and with which arm. Only people take part: to somebody who is
/// drawn anew with each request an experiment means nothing.
fn assign(
    test: &AbTest,
    stable: VersionId,
    facts: &Facts<'_, '_, '_>,
) -> Option<(VersionId, Reason)> {
    let admits = |gate: &Gate| match gate.foregone() {
        Some(admitted) => Some(admitted),
        None => Some(gate.admits(facts.who.somebody()?)),
    };
    if let Some(holdout) = &test.holdout
        && admits(holdout)?
    {
        return Some((stable, Reason::Holdout));
    }
    if let Some(layer) = &test.layer
        && !layer.is_whole()
        && !layer.admits(facts.who.somebody()?)
    {
        return Some((stable, Reason::Excluded));
    }
    if !admits(&test.traffic)? {
        return Some((stable, Reason::NotEnrolled));
    }
    let version = match test.split.foregone() {
        Some(version) => version,
        None => test.split.pick(facts.who.somebody()?)?,
    };
    Some((version, Reason::Split))
}

/// Every answer that a rollout can give, so that its series exist before the first
/// request. An answer that can come about in two ways is listed twice.
pub fn possible(rollout: &Rollout) -> Vec<(VersionId, Reason)> {
    let stable = rollout.stable;
    let mut answers = vec![(stable, Reason::Error)];
    if !rollout.enabled {
        answers.push((stable, Reason::Disabled));
        return answers;
    }
    answers.extend(
        rollout
            .rules
            .iter()
            .map(|rule| (rule.version, Reason::Rule)),
    );
    if rollout.strategy.needs_identity() {
        answers.push((stable, Reason::NoIdentity));
    }
    let guarded = rollout.plan.as_ref().filter(|plan| plan.is_guarded());
    if guarded.is_some_and(|plan| plan.on_breach() == OnBreach::Rollback) {
        answers.push((stable, Reason::RolledBack));
    }
    match &rollout.strategy {
        Strategy::Canary {
            version,
            weight: Weight::Clock,
            ..
        } => answers.extend([(stable, Reason::Split), (*version, Reason::Split)]),
        Strategy::Canary {
            version,
            weight: Weight::Fixed(share),
            ..
        } => {
            let versions = [(stable, share.rest()), (*version, *share)];
            let some = versions.iter().filter(|(_, share)| share.ppm() > 0);
            answers.extend(some.map(|(version, _)| (*version, Reason::Split)));
        }
        Strategy::AbTest(test) => possible_in(test, stable, &mut answers),
        Strategy::BlueGreen { active } => answers.push((*active, Reason::Active)),
        Strategy::Follow { versions, .. } => {
            // Stable even if the leader has it not: it may not look at the request.
            let mine = versions.iter().flatten().chain([&stable]);
            answers.extend(mine.map(|version| (*version, Reason::Follow)));
        }
    }
    answers
}

fn possible_in(test: &AbTest, stable: VersionId, answers: &mut Vec<(VersionId, Reason)>) {
    let holdout = test.holdout.as_ref();
    match holdout.map_or(Some(false), Gate::foregone) {
        Some(false) => {}
        None => answers.push((stable, Reason::Holdout)),
        Some(true) => return answers.push((stable, Reason::Holdout)),
    }
    if test.layer.as_ref().is_some_and(|layer| !layer.is_whole()) {
        answers.push((stable, Reason::Excluded));
    }
    if test.traffic.foregone() != Some(true) {
        answers.push((stable, Reason::NotEnrolled));
    }
    if test.traffic.foregone() != Some(false) {
        let arms = test.split.shares();
        answers.extend(arms.map(|(arm, _)| (arm, Reason::Split)));
    }
}

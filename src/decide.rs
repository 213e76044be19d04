//! Which version serves a request, and why.
//!
//! For each rollout that looks at the request, in the order of the configuration:
//!
//! 1. `enabled: false` → stable, `disabled`
//! 2. the first rule that matches → its version, `rule`
//! 3. the strategy, which asks who the user is only if a hash is needed:
//!    nobody → stable, `no_identity`; kept out by an A/B test's `traffic` → stable,
//!    `not_enrolled`; otherwise `split` or `active`
//!
//! A decision is a value; nothing here talks to anybody.

use std::cell::OnceCell;

use crate::policy::{Policy, Rollout, RolloutId, Rule, Strategy, VersionId};
use crate::request::Request;

/// Why a version was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// The rollout is switched off.
    Disabled,
    /// A rule asked for it.
    Rule,
    /// A hash was needed and the request names nobody.
    NoIdentity,
    /// The A/B test's traffic gate kept the user out.
    NotEnrolled,
    /// By the user's position: a canary and the stable share beside it, an arm of a test.
    Split,
    /// It is the active one of a blue/green pair.
    Active,
    /// Something went wrong on the request path.
    Error,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Disabled,
        Self::Rule,
        Self::NoIdentity,
        Self::NotEnrolled,
        Self::Split,
        Self::Active,
        Self::Error,
    ];

    /// As it stands in the assignment and in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Rule => "rule",
            Self::NoIdentity => "no_identity",
            Self::NotEnrolled => "not_enrolled",
            Self::Split => "split",
            Self::Active => "active",
            Self::Error => "error",
        }
    }
}

/// What was decided for one rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which rollout.
    pub rollout: RolloutId,
    /// Which version serves.
    pub version: VersionId,
    /// Why.
    pub reason: Reason,
}

/// The decisions of all rollouts that look at this request.
pub fn decide(policy: &Policy, request: &Request<'_>) -> Vec<Decision> {
    let who = Who {
        policy,
        request,
        identity: OnceCell::new(),
    };
    policy
        .numbered()
        .filter(|(_, rollout)| looks_at(rollout, request))
        .map(|(id, rollout)| {
            let (version, reason) = decide_one(rollout, &who);
            Decision {
                rollout: id,
                version,
                reason,
            }
        })
        .collect()
}

/// What is decided when the request cannot be read: stable, for every rollout that looks
/// at all requests. Which others would have looked at this one cannot be known.
pub fn decide_unread(policy: &Policy) -> Vec<Decision> {
    policy
        .numbered()
        .filter(|(_, rollout)| rollout.scopes.is_empty())
        .map(|(id, rollout)| Decision {
            rollout: id,
            version: rollout.stable,
            reason: Reason::Error,
        })
        .collect()
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
    match &rollout.strategy {
        Strategy::Canary { version, gate } => {
            let versions = [(stable, gate.share().rest()), (*version, gate.share())];
            let some = versions.iter().filter(|(_, share)| share.ppm() > 0);
            answers.extend(some.map(|(version, _)| (*version, Reason::Split)));
        }
        Strategy::AbTest { traffic, split } => {
            if traffic.foregone() != Some(true) {
                answers.push((stable, Reason::NotEnrolled));
            }
            if traffic.foregone() != Some(false) {
                answers.extend(split.shares().map(|(arm, _)| (arm, Reason::Split)));
            }
        }
        Strategy::BlueGreen { active } => answers.push((*active, Reason::Active)),
    }
    answers
}

/// The user, looked for at most once in a request and only if a hash is needed.
struct Who<'p, 'r> {
    policy: &'p Policy,
    request: &'p Request<'r>,
    identity: OnceCell<Option<&'p [u8]>>,
}

impl Who<'_, '_> {
    fn identity(&self) -> Option<&[u8]> {
        *self
            .identity
            .get_or_init(|| self.policy.identification.find(self.request))
    }
}

fn looks_at(rollout: &Rollout, request: &Request<'_>) -> bool {
    rollout.scopes.is_empty() || rollout.scopes.iter().any(|scope| scope.contains(request))
}

fn decide_one(rollout: &Rollout, who: &Who<'_, '_>) -> (VersionId, Reason) {
    if !rollout.enabled {
        return (rollout.stable, Reason::Disabled);
    }
    if let Some(rule) = rollout.rules.iter().find(|rule| applies(rule, who)) {
        return (rule.version, Reason::Rule);
    }
    choose(rollout, who).unwrap_or((rollout.stable, Reason::NoIdentity))
}

fn applies(rule: &Rule, who: &Who<'_, '_>) -> bool {
    rule.when.holds(who.request)
        && rule
            .percent
            .as_ref()
            .is_none_or(|gate| who.identity().is_some_and(|identity| gate.admits(identity)))
}

/// The strategy's answer, or `None` if it needs to know the user and there is none.
fn choose(rollout: &Rollout, who: &Who<'_, '_>) -> Option<(VersionId, Reason)> {
    match &rollout.strategy {
        Strategy::Canary { version, gate } => {
            let admitted = match gate.foregone() {
                Some(admitted) => admitted,
                None => gate.admits(who.identity()?),
            };
            let version = if admitted { *version } else { rollout.stable };
            Some((version, Reason::Split))
        }
        Strategy::AbTest { traffic, split } => {
            let admitted = match traffic.foregone() {
                Some(admitted) => admitted,
                None => traffic.admits(who.identity()?),
            };
            if !admitted {
                return Some((rollout.stable, Reason::NotEnrolled));
            }
            let version = match split.foregone() {
                Some(version) => version,
                None => split.pick(who.identity()?)?,
            };
            Some((version, Reason::Split))
        }
        Strategy::BlueGreen { active } => Some((*active, Reason::Active)),
    }
}

//! What a rollout's strategy says, and what a client is to remember of it.

use crate::bucket::{Position, Share};
use crate::condition::EvaluationContext;
use crate::cookies::Memory;
use crate::decision::{Reason, VersionId, version_of};
use crate::policy::{AbTest, Rollout, RolloutId, Strategy, Weight};

/// What a strategy says.
pub(super) struct Chosen {
    pub version: VersionId,
    pub reason: Reason,
    /// What the client is to remember, if it does not by now.
    pub memory: Option<Memory>,
}

impl Chosen {
    /// What has nothing to remember, or is remembered already.
    const fn new(version: VersionId, reason: Reason) -> Self {
        Self {
            version,
            reason,
            memory: None,
        }
    }

    /// The same, to be remembered unless a cookie already does; where the user lies is
    /// unknown if nothing depended on it.
    fn remembered(
        self,
        sticky: &Recalled,
        version: Option<VersionId>,
        at: Option<Position>,
    ) -> Self {
        let memory = at.map(|position| Memory { version, position });
        let memory = memory.filter(|_| sticky.asked);
        Self {
            memory: memory.filter(|_| memory != sticky.memory),
            ..self
        }
    }
}

/// What a sticky rollout's cookie says.
struct Recalled {
    /// Whether the rollout is sticky at all.
    asked: bool,
    memory: Option<Memory>,
}

impl Recalled {
    fn of(rollout: &Rollout, context: &EvaluationContext<'_, '_, '_>) -> Self {
        let sticky = rollout.sticky.as_ref();
        Self {
            asked: sticky.is_some(),
            memory: sticky
                .and_then(|sticky| sticky.recall(context.request, rollout.version_names())),
        }
    }

    fn position(&self) -> Option<Position> {
        self.memory.map(|memory| memory.position)
    }

    fn version(&self) -> Option<VersionId> {
        self.memory?.version
    }
}

/// The strategy's answer, or the reason why it has none.
pub(super) fn choose(
    id: RolloutId,
    rollout: &Rollout,
    context: &EvaluationContext<'_, '_, '_>,
) -> Result<Chosen, Reason> {
    let stable = rollout.stable;
    match &rollout.strategy {
        Strategy::Canary { weight, .. } => {
            let share = match weight {
                Weight::Fixed(share) => Some(*share),
                Weight::Clock => {
                    let request = context.request;
                    rollout.clocked(id, request.now(), request.environment())
                }
            };
            canary(rollout, share.ok_or(Reason::Error)?, context)
        }
        Strategy::AbTest(test) => {
            let sticky = Recalled::of(rollout, context);
            assign(test, stable, &sticky, context).ok_or(Reason::NoIdentity)
        }
        Strategy::BlueGreen { active } => Ok(Chosen::new(*active, Reason::Active)),
        Strategy::Follow { leader, here } => {
            let decided = here.as_ref().and_then(|(leader, versions)| {
                Some((version_of(context.decisions, *leader)?, versions))
            });
            let mine = match decided {
                Some((chosen, versions)) => versions.get(usize::from(chosen.0)).copied().flatten(),
                None => {
                    let member = context.upstream.get(leader);
                    let chosen = member.and_then(|member| member.version.as_ref());
                    chosen.and_then(|chosen| rollout.version_of_name(chosen))
                }
            };
            Ok(Chosen::new(mine.unwrap_or(stable), Reason::Follow))
        }
    }
}

/// Who gets the new version: those before the share on the rollout's line, and those who
/// have it already and remember that.
fn canary(
    rollout: &Rollout,
    share: Share,
    context: &EvaluationContext<'_, '_, '_>,
) -> Result<Chosen, Reason> {
    let Strategy::Canary { version, line, .. } = &rollout.strategy else {
        return Err(Reason::Error);
    };
    let sticky = Recalled::of(rollout, context);
    if sticky.version() == Some(*version) && share > Share::NONE {
        return Ok(Chosen::new(*version, Reason::Sticky));
    }
    // Of who has it, one has to know where they lie, lest they lose it when the share
    // shrinks. As long as nobody has it, nobody is asked.
    let asks = share.foregone().is_none() || (sticky.asked && share > Share::NONE);
    let found = || context.visitor.any_identity().map(|who| line.position(who));
    let position = match sticky.position() {
        None if asks => found(),
        known => known,
    };
    let admitted = match share.foregone() {
        Some(admitted) => admitted,
        None => share.admits(position.ok_or(Reason::NoIdentity)?),
    };
    let chosen = if admitted { *version } else { rollout.stable };
    Ok(Chosen::new(chosen, Reason::Split).remembered(&sticky, Some(chosen), position))
}

/// Who takes part in a test, and with which arm. Only people take part: to somebody who is
/// drawn anew with each request an experiment means nothing.
fn assign(
    test: &AbTest,
    stable: VersionId,
    sticky: &Recalled,
    context: &EvaluationContext<'_, '_, '_>,
) -> Option<Chosen> {
    let somebody = || context.visitor.lasting_identity();
    if let Some(holdout) = &test.holdout {
        let kept_out = match holdout.foregone() {
            Some(kept_out) => kept_out,
            None => holdout.admits(somebody()?),
        };
        if kept_out {
            return Some(Chosen::new(stable, Reason::Holdout));
        }
    }
    if let Some(layer) = &test.layer
        && !layer.is_whole()
        && !layer.admits(somebody()?)
    {
        return Some(Chosen::new(stable, Reason::Excluded));
    }
    let open = test.traffic.share() > Share::NONE;
    let held = sticky
        .version()
        .filter(|held| open && test.split.has(*held));
    if let Some(held) = held {
        // Not without an identity: what nobody can be asked about is no experiment.
        if test.needs_identity() {
            somebody()?;
        }
        return Some(Chosen::new(held, Reason::Sticky));
    }
    let asks = test.traffic.foregone().is_none() || (sticky.asked && open);
    let found = || somebody().map(|who| test.traffic.position(who));
    let position = match sticky.position() {
        None if asks => found(),
        known => known,
    };
    let admitted = match test.traffic.foregone() {
        Some(admitted) => admitted,
        None => test.traffic.share().admits(position?),
    };
    if !admitted {
        let chosen = Chosen::new(stable, Reason::NotEnrolled);
        return Some(chosen.remembered(sticky, None, position));
    }
    let version = match test.split.foregone() {
        Some(version) => version,
        None => test.split.pick(somebody()?)?,
    };
    let chosen = Chosen::new(version, Reason::Split);
    Some(chosen.remembered(sticky, Some(version), position))
}

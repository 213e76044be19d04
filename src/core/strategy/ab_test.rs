//! An A/B test: the users that it admits are split between its arms, the others get stable.

use super::choice::{
    AnswerInputs, Choice, Inputs, NeededIdentity, ShareInputs, Shares, StrategyBehaviour,
};
use super::trace::{Trace, TraceStep, by_hash, percent};
use crate::bucket::{Arms, Gate, Key, Share, Span, UserLine};
use crate::decision::{Reason, VersionId};

/// An A/B test.
#[derive(Clone, Debug)]
pub struct AbTest {
    /// The users kept out of this test and all others that obey the holdout.
    pub holdout: Option<Gate>,
    /// The range of its layer whose users may take part.
    pub layer: Option<Span>,
    /// The line of the users' positions.
    pub line: UserLine,
    /// The share admitted of those users.
    pub traffic: Share,
    /// The arms.
    pub split: Arms<VersionId>,
}

impl AbTest {
    /// The share of all users that takes part.
    pub fn share(&self) -> Share {
        let holdout = self.holdout.as_ref().map_or(Share::NONE, Gate::share);
        let layer = self.layer.as_ref().map_or(Share::ALL, Span::share);
        self.traffic.of(layer).of(holdout.rest())
    }

    /// Takes part only with a lasting identity: an experiment means nothing for a user with a
    /// new random identity per request.
    pub(super) fn choose(
        &self,
        inputs: &Inputs<'_, '_, '_>,
        trace: &mut impl Trace,
    ) -> Result<Choice, Reason> {
        if self.is_held_out(inputs, trace)? {
            return Ok(Choice::new(inputs.stable, Reason::Holdout));
        }
        if self.is_outside_layer(inputs, trace)? {
            return Ok(Choice::new(inputs.stable, Reason::Excluded));
        }
        let cookie = inputs.remembered(trace);
        let open = self.traffic > Share::NONE;
        let kept = cookie
            .version()
            .filter(|version| open && self.split.has(*version));
        if let Some(version) = kept {
            if self.needs_identity() {
                inputs.lasting_identity(trace).ok_or(Reason::NoIdentity)?;
            }
            return Ok(Choice::held(version, &cookie));
        }
        let depends = self.traffic.constant().is_none() || (cookie.is_sticky && open);
        let position = match cookie.position() {
            None if depends => inputs
                .lasting_identity(trace)
                .map(|identity| self.line.position(identity)),
            known => known,
        };
        let share = self.traffic;
        let admitted = match self.traffic.constant() {
            Some(admitted) => admitted,
            None => share.admits(position.ok_or(Reason::NoIdentity)?),
        };
        trace.step(|| {
            let by_hash = by_hash(self.line.system());
            let admitted = yes_no(admitted);
            let text = format!("{} are admitted{by_hash}: {admitted}", percent(share));
            TraceStep::new("traffic", text).at(position).below(share)
        });
        if !admitted {
            let choice = Choice::new(inputs.stable, Reason::NotEnrolled);
            return Ok(choice.remembering(&cookie, None, position));
        }
        let arm = inputs.arm(
            &self.split,
            NeededIdentity::Lasting,
            cookie.position(),
            trace,
        )?;
        let Some(version) = arm else {
            let choice = Choice::new(inputs.stable, Reason::NotEnrolled);
            return Ok(choice.remembering(&cookie, None, position));
        };
        let depends = self.traffic.constant().is_none() || self.split.depends_on_position();
        let reason = cookie.reason(depends);
        let choice = Choice::new(version, reason);
        Ok(choice.remembering(&cookie, Some(version), position))
    }

    fn is_held_out(
        &self,
        inputs: &Inputs<'_, '_, '_>,
        trace: &mut impl Trace,
    ) -> Result<bool, Reason> {
        let Some(holdout) = &self.holdout else {
            return Ok(false);
        };
        let (held_out, identity) = match holdout.constant() {
            Some(all) => (all, None),
            None => {
                let identity = inputs.lasting_identity(trace).ok_or(Reason::NoIdentity)?;
                (holdout.admits(identity), Some(identity))
            }
        };
        trace.step(|| {
            let share = holdout.share();
            let text = format!("{} are kept out: {}", percent(share), yes_no(held_out));
            let position = identity.map(|identity| holdout.position(identity));
            TraceStep::new("holdout", text).at(position).below(share)
        });
        Ok(held_out)
    }

    fn is_outside_layer(
        &self,
        inputs: &Inputs<'_, '_, '_>,
        trace: &mut impl Trace,
    ) -> Result<bool, Reason> {
        let Some(layer) = self.layer.as_ref().filter(|layer| !layer.is_whole()) else {
            return Ok(false);
        };
        let identity = inputs.lasting_identity(trace).ok_or(Reason::NoIdentity)?;
        let inside = layer.admits(identity);
        trace.step(|| {
            let (from, to) = layer.ends();
            let (from, to) = (percent(from), percent(to));
            let text = format!("from {from} to {to}: {}", yes_no(inside));
            TraceStep::new("layer", text).at(Some(layer.position(identity)))
        });
        Ok(!inside)
    }

    fn needs_identity(&self) -> bool {
        if let Some(holdout) = &self.holdout {
            match holdout.constant() {
                None => return true,
                Some(true) => return false,
                Some(false) => {}
            }
        }
        if self.layer.as_ref().is_some_and(|layer| !layer.is_whole()) {
            return true;
        }
        match self.traffic.constant() {
            Some(false) => false,
            Some(true) => self.split.constant().is_none(),
            None => true,
        }
    }
}

impl StrategyBehaviour for AbTest {
    fn needed_identity(&self) -> Option<NeededIdentity> {
        self.needs_identity().then_some(NeededIdentity::Lasting)
    }

    fn layer(&self) -> Option<&Key> {
        self.layer.as_ref().map(Span::key)
    }

    fn holdout(&self) -> Option<&Key> {
        self.holdout.as_ref().map(Gate::key)
    }

    fn shares(&self, _: &ShareInputs<'_>) -> Shares {
        let admitted = self.share();
        let arms = self.split.shares().into_iter();
        arms.map(|(arm, share)| (arm, share.of(admitted))).collect()
    }

    fn add_answers(&self, inputs: &AnswerInputs, answers: &mut Vec<(VersionId, Reason)>) {
        let holdout = self.holdout.as_ref();
        match holdout.map_or(Some(false), Gate::constant) {
            Some(false) => {}
            None => answers.push((inputs.stable, Reason::Holdout)),
            Some(true) => return answers.push((inputs.stable, Reason::Holdout)),
        }
        if self.layer.as_ref().is_some_and(|layer| !layer.is_whole()) {
            answers.push((inputs.stable, Reason::Excluded));
        }
        if self.traffic.constant() != Some(true) || self.split.leaves_some() {
            answers.push((inputs.stable, Reason::NotEnrolled));
        }
        if self.traffic.constant() != Some(false) {
            for (arm, _) in self.split.shares() {
                answers.push((arm, Reason::Split));
                if inputs.is_sticky {
                    answers.push((arm, Reason::Sticky));
                }
            }
        }
    }
}

const fn yes_no(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}

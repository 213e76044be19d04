//! The way through an A/B test.

use divvy::decision::Reason;
use divvy::policy::AbTest;

use super::steps::{StepReport, Way, percent};

impl Way<'_, '_, '_, '_> {
    /// Goes as far as the test did: the reason says where it ended.
    pub(super) fn ab_test(&mut self, test: &AbTest, reason: Reason) {
        if test.needs_identity() {
            self.identity();
            if reason == Reason::NoIdentity {
                return;
            }
        }
        let who = self.context.visitor.lasting_identity();
        if let Some(holdout) = &test.holdout {
            let kept = holdout.foregone().or(who.map(|who| holdout.admits(who)));
            let text = format!("{} are kept out: {}", percent(holdout.share()), yes(kept));
            let position = who.map(|who| holdout.position(who));
            self.steps
                .push(StepReport::new("holdout", text).at(position, holdout.share()));
            if reason == Reason::Holdout {
                return;
            }
        }
        if let Some(layer) = &test.layer {
            let (from, to) = layer.ends();
            let inside = who.map(|who| layer.admits(who));
            let text = format!("from {} to {}: {}", percent(from), percent(to), yes(inside));
            let mut step = StepReport::new("layer", text);
            step.position = who.map(|who| layer.position(who).get());
            self.steps.push(step);
            if reason == Reason::Excluded {
                return;
            }
        }
        let recalled = self.sticky();
        if reason == Reason::Sticky {
            return;
        }
        let traffic = &test.traffic;
        let position = recalled.or(who.map(|who| traffic.position(who)));
        let admitted = position.map(|position| traffic.share().admits(position));
        let admitted = traffic.foregone().or(admitted);
        let text = format!("{} are let in: {}", percent(traffic.share()), yes(admitted));
        self.steps
            .push(StepReport::new("traffic", text).at(position, traffic.share()));
        if reason == Reason::NotEnrolled {
            return;
        }
        let scores = who.into_iter().flat_map(|who| test.split.scores(who));
        let scores: Vec<_> = scores
            .map(|(version, score)| format!("{} {score:.6}", self.name(version)))
            .collect();
        let text = match test.split.foregone() {
            Some(version) => format!("split: all are {}", self.name(version)),
            None => format!("split, the smallest score wins: {}", scores.join(", ")),
        };
        self.say("strategy", text);
    }
}

fn yes(answer: Option<bool>) -> &'static str {
    match answer {
        Some(true) => "yes",
        Some(false) => "no",
        None => "nobody knows who this is",
    }
}

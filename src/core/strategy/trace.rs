//! The steps of a decision, recorded for `divvy explain`.
//!
//! Must not depend on the strategies or on `decide`, which record the steps. On the request path [`Untraced`] drops them at compile time.

use crate::bucket::{Position, SdkArms, Share, Split};
use crate::condition::{Condition, EvaluationContext};
use crate::decision::{RolloutId, Version, VersionId};

/// Receives the steps of a decision, in order.
pub trait Trace {
    /// The following steps are those of this rollout.
    fn begin(&mut self, rollout: RolloutId);

    /// A step. The closure runs only if steps are kept.
    fn step(&mut self, step: impl FnOnce() -> TraceStep);
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug)]
pub struct Untraced;

impl Trace for Untraced {
    fn begin(&mut self, _: RolloutId) {}

    fn step(&mut self, _: impl FnOnce() -> TraceStep) {}
}

/// Keeps all steps.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    /// By rollout, in the order of the decisions.
    pub rollouts: Vec<(RolloutId, Vec<TraceStep>)>,
}

impl Trace for Recorder {
    fn begin(&mut self, rollout: RolloutId) {
        self.rollouts.push((rollout, Vec::new()));
    }

    fn step(&mut self, step: impl FnOnce() -> TraceStep) {
        let step = step();
        // The identity may be read several times.
        if let Some((_, steps)) = self.rollouts.last_mut()
            && !steps.contains(&step)
        {
            steps.push(step);
        }
    }
}

/// One step: what was looked at, and the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStep {
    /// `enabled`, `override`, `upstream`, `rule`, `identity`, `holdout`, `layer`, `sticky`, `traffic`,
    /// `strategy`, `guardrail` or `unreachable`.
    pub name: &'static str,
    /// The result, in words.
    pub text: String,
    /// The condition of a rule.
    pub condition: Option<ConditionTrace>,
    /// The position of the user on the line that was looked at.
    pub position: Option<Position>,
    /// Positions below this share are admitted.
    pub threshold: Option<Share>,
}

impl TraceStep {
    /// A step with a text only.
    pub fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self {
            name,
            text: text.into(),
            condition: None,
            position: None,
            threshold: None,
        }
    }

    /// The identity that was read.
    pub fn identity(identity: Option<&[u8]>) -> Self {
        let text = match identity {
            Some(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
            None => "none".to_owned(),
        };
        Self::new("identity", text)
    }

    /// Adds the position that was compared.
    pub fn at(self, position: Option<Position>) -> Self {
        Self { position, ..self }
    }

    /// Adds the share that admits the positions below it.
    pub fn below(self, share: Share) -> Self {
        Self {
            threshold: Some(share),
            ..self
        }
    }
}

/// Whether a condition and each of its parts hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionTrace {
    /// Whether it holds.
    pub holds: bool,
    /// The values of its source, several for several lines; empty if the source is missing.
    pub values: Vec<Vec<u8>>,
    /// The parts of `all`, `any` and `not`.
    pub parts: Vec<Self>,
}

impl ConditionTrace {
    /// Evaluates all parts, also those that the decision skips.
    pub fn new(condition: &Condition, context: &EvaluationContext<'_, '_, '_>) -> Self {
        let (values, parts) = match condition {
            Condition::All(parts) | Condition::Any(parts) => {
                let parts = parts.iter().map(|part| Self::new(part, context));
                (Vec::new(), parts.collect())
            }
            Condition::Not(inner) => (Vec::new(), vec![Self::new(inner, context)]),
            Condition::Leaf(source, _) => {
                let values = source.read(context, |values| values.map(<[u8]>::to_vec).collect());
                (values, Vec::new())
            }
            Condition::Assigned(_) => (Vec::new(), Vec::new()),
        };
        Self {
            holds: condition.holds(context),
            values,
            parts,
        }
    }
}

/// The scores of a split's versions for a user.
pub fn scores(split: &Split<VersionId>, identity: &[u8], versions: &[Version]) -> String {
    let scores = split.scores(identity).map(|(version, score)| {
        let version = versions.get(usize::from(version.0));
        let name = version.map_or("", |version| &version.name);
        format!("{name} {score:.6}")
    });
    let scores = scores.collect::<Vec<_>>().join(", ");
    format!("split, the smallest score wins: {scores}")
}

/// The parts of the arms on the line of another system, and the value of a user.
pub fn parts(
    arms: &SdkArms<VersionId>,
    identity: &[u8],
    remembered: Option<Position>,
    versions: &[Version],
) -> String {
    let value = arms.value(identity, remembered);
    let parts = arms.parts().map(|(version, from, to)| {
        let version = versions.get(usize::from(version.0));
        let name = version.map_or("", |version| &version.name);
        format!("{name} from {from:.6} to {to:.6}")
    });
    let parts = parts.collect::<Vec<_>>().join(", ");
    format!("{} has the user at {value:.6}: {parts}", arms.hash().name())
}

/// What follows a share of another system's line.
pub fn by_hash(system: Option<&'static str>) -> String {
    system.map_or_else(String::new, |system| format!(" by the hash of {system}"))
}

/// A share in percent, with at most four decimals: `2.5 %`.
pub fn percent(share: Share) -> String {
    let text = format!("{:.4}", f64::from(share.ppm()) / 1e4);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

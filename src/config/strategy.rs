//! Strategies.

use rustc_hash::FxHashSet;

use crate::build::Build;
use crate::hash::{self, SystemHash};
use crate::limits::MAX_VERSIONS;
use crate::spec::{self, ArmSpec, Items};
use crate::values::{percent, unique, weight};
use crate::versions::Versions;
use crate::{names, ramp};
use divvy_core::bucket::{Arms, Key, Purpose, Share, Span, Split, UserLine};
use divvy_core::guardrail::Ramp;
use divvy_core::policy::VersionId;
use divvy_core::strategy::{
    AbTest, BlueGreen, Canary, Follow, Leader, NeededIdentity, Strategy, Weighted,
};
use divvy_json::error::Path;

/// A strategy, with the ramp of a canary that has one.
pub(crate) type CompiledStrategy = (Strategy, Option<Ramp>);

/// What a strategy needs to know of its rollout.
pub(crate) struct RolloutContext<'a> {
    pub rollout: &'a str,
    pub salt: &'a str,
    pub stable: &'a str,
    pub versions: &'a Versions,
    /// `hash`, if it is given.
    pub hash: Option<&'a SystemHash>,
}

impl RolloutContext<'_> {
    fn line(&self) -> UserLine {
        match self.hash {
            Some(system) => UserLine::Sdk(system.hash.clone().into()),
            None => UserLine::Own(Key::new(Purpose::Gate, self.salt)),
        }
    }

    /// The arms; `listed`: their number, if all of them are valid.
    fn split(
        &self,
        at: Path<'_>,
        listed: usize,
        arms: Vec<(&str, VersionId, u32)>,
    ) -> Option<Arms<VersionId>> {
        match self.hash {
            Some(_) if arms.len() < listed => None,
            Some(system) => hash::arms(at, system, &arms).map(|arms| Arms::Sdk(arms.into())),
            None => Split::new(self.salt, arms).map(Arms::Own),
        }
    }
}

pub(crate) fn compile(
    at: Path<'_>,
    raw: &spec::StrategySpec<'_>,
    around: &RolloutContext<'_>,
    build: &mut Build<'_>,
) -> Option<CompiledStrategy> {
    let spec::StrategySpec {
        canary,
        ab_test,
        blue_green,
        weighted,
        follow,
    } = raw;
    let (strategy, ramp) = match (canary, ab_test, blue_green, weighted, follow) {
        (Some(raw), None, None, None, None) => canary_of(at.field("canary"), raw, around)?,
        (None, Some(raw), None, None, None) => {
            let test = ab_test_of(at.field("abTest"), raw, around, build)?;
            (Strategy::AbTest(test), None)
        }
        (None, None, Some(raw), None, None) => {
            let at = at.field("blueGreen");
            let active = around.versions.find(at.field("active"), raw.active)?;
            (Strategy::BlueGreen(BlueGreen { active }), None)
        }
        (None, None, None, Some(raw), None) => {
            let arms = arms(at.field("weighted"), *raw, around.versions)?;
            let weighted = Weighted {
                split: around.split(at.field("weighted"), raw.len(), arms)?,
                line: around.line(),
            };
            (Strategy::Weighted(weighted), None)
        }
        (None, None, None, None, Some(raw)) => {
            let at = at.field("follow");
            let at = at.field("rollout");
            let found = build.earlier.find(at, raw.rollout, build.has_trust);
            let leader = match found {
                Some(leader) => {
                    let own = |name: &str| around.versions.position(name);
                    let versions = leader.versions.as_ref()?.iter();
                    Some(Leader {
                        id: leader.id,
                        versions: versions.map(|name| own(name)).collect(),
                    })
                }
                None => None,
            };
            let name = raw.rollout.into();
            (Strategy::Follow(Follow { name, leader }), None)
        }
        (None, None, None, None, None) => {
            at.error("has no strategy: write canary, abTest, blueGreen, weighted or follow");
            return None;
        }
        _ => {
            at.error("has several strategies: write one");
            return None;
        }
    };
    match strategy.behaviour().needed_identity() {
        Some(NeededIdentity::Any) => build.require_identity(at),
        Some(NeededIdentity::Lasting) => build.require_lasting_identity(at),
        None => {}
    }
    Some((strategy, ramp))
}

/// Whether a version grows by a ramp, which may have errors.
pub(crate) const fn ramps(raw: &spec::StrategySpec<'_>) -> bool {
    // Without `..`, so that a new strategy has to be considered here.
    let spec::StrategySpec {
        canary,
        ab_test: _,
        blue_green: _,
        weighted: _,
        follow: _,
    } = raw;
    match canary {
        Some(canary) => canary.steps.is_some() || canary.ramp.is_some(),
        None => false,
    }
}

fn canary_of(
    at: Path<'_>,
    raw: &spec::CanarySpec<'_>,
    around: &RolloutContext<'_>,
) -> Option<CompiledStrategy> {
    let version = around.versions.find(at.field("version"), raw.version);
    if raw.version == around.stable {
        at.field("version").error(format_args!(
            "{:?} is the stable version: choose another one",
            raw.version
        ));
    }
    let (weight, ramp) = ramp::weight(at, raw)?;
    let canary = Canary {
        version: version?,
        line: around.line(),
        weight,
    };
    Some((Strategy::Canary(canary), ramp))
}

fn ab_test_of(
    at: Path<'_>,
    raw: &spec::AbTestSpec<'_>,
    around: &RolloutContext<'_>,
    build: &mut Build<'_>,
) -> Option<AbTest> {
    let arms = arms(at.field("split"), raw.split, around.versions);
    let share = match raw.traffic {
        Some(number) => percent(at.field("traffic"), number),
        None => Some(around.hash.map_or(Share::ALL, |system| system.gate)),
    };
    let layer = raw
        .layer
        .as_ref()
        .map(|layer| layer_of(at.field("layer"), layer, around, build));
    if raw.holdout == Some(true) && !build.has_holdout {
        at.field("holdout")
            .error("needs a holdout: define it at the top level");
    }
    let obeys = raw.holdout.unwrap_or(true);
    Some(AbTest {
        holdout: build.holdout.clone().filter(|_| obeys),
        layer: match layer {
            Some(layer) => Some(layer?),
            None => None,
        },
        line: around.line(),
        traffic: share?,
        split: around.split(at.field("split"), raw.split.len(), arms?)?,
    })
}

/// The arms of a split; `None` if they have no weight above 0.
pub(crate) fn arms<'t>(
    at: Path<'_>,
    raw: Items<'t, ArmSpec<'t>>,
    versions: &Versions,
) -> Option<Vec<(&'t str, VersionId, u32)>> {
    let complete = raw.len();
    let mut seen = FxHashSet::default();
    let arms = raw.at_most(MAX_VERSIONS, "arms", at);
    let arms = arms.each(at, |at, arm| {
        let version = versions.find(at.field("version"), arm.version);
        unique(at.field("version"), arm.version, &mut seen);
        let weight = weight(at.field("weight"), arm.weight);
        Some((arm.version, version?, weight?))
    });
    let is_empty = arms.iter().all(|(.., weight)| *weight == 0);
    if is_empty && arms.len() == complete {
        at.error("has no weight above 0");
    }
    (!is_empty).then_some(arms)
}

fn layer_of(
    at: Path<'_>,
    raw: &spec::LayerSpec<'_>,
    around: &RolloutContext<'_>,
    build: &mut Build<'_>,
) -> Option<Span> {
    names::other(at.field("name"), raw.name);
    let from = percent(at.field("from"), raw.from);
    let to = percent(at.field("to"), raw.to);
    let (from, to) = (from?, to?);
    if from >= to {
        at.error("is empty: from must be less than to, which is exclusive");
        return None;
    }
    let layers = &mut build.layers;
    layers.take(at, raw.name, (from, to), around.rollout);
    Some(Span::new(Key::new(Purpose::Layer, raw.name), from, to))
}

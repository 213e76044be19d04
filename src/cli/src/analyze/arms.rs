//! The arms of a rollout: the versions that it assigns at random, with their configured shares.

use anyhow::{Context as _, Result, bail, ensure};
use divvy::bucket::Share;
use divvy::decision::VersionId;
use divvy::policy::{Rollout, RolloutId};
use divvy::strategy::{ShareInputs, Strategy};

use crate::environment::GivenEnvironment;
use crate::source::LoadedConfig;

/// Maximum number of arms: the versions of a rollout.
const MAX_ARMS: usize = 32;

/// The arms of a rollout.
#[derive(Clone, Debug)]
pub struct TestArms {
    /// Name of the rollout.
    pub rollout: String,
    /// Whether the rollout has an identity of its own, and so a unit of its own.
    pub own_unit: bool,
    /// Names of the versions; the first is the control.
    pub names: Vec<String>,
    /// Index of each in the versions of the rollout, for its colour.
    pub versions: Vec<usize>,
    /// The share of each of the exposed units, from 0 to 1.
    pub shares: Vec<f64>,
}

impl TestArms {
    /// The arms of a rollout. `times`: an instant of the test in milliseconds since 1970, and its last.
    pub fn of(
        config: &LoadedConfig,
        rollout: &str,
        control: Option<&str>,
        times: (u64, u64),
    ) -> Result<Self> {
        let mut numbered = config.policy.numbered();
        let found = numbered.find(|(_, known)| *known.name == *rollout);
        let Some((id, found)) = found else {
            let names = config.policy.rollouts.iter();
            let names = names.map(|rollout| &*rollout.name).collect::<Vec<_>>();
            bail!(
                "{rollout:?} is not a rollout of the configuration: it has {}",
                names.join(", ")
            );
        };
        let first = shares(id, found, times.0)?;
        if first != shares(id, found, times.1)? {
            bail!(
                "the canary of {rollout} grows during the log, and users who change version cannot be compared: \
                 choose the time of one step with --since and --until"
            );
        }
        let mut arms: Vec<_> = first
            .into_iter()
            .filter(|(_, share)| *share > Share::NONE)
            .collect();
        ensure!(
            (2..=MAX_ARMS).contains(&arms.len()),
            "{rollout} gives all users one version: nothing can be compared"
        );
        let control = match control {
            Some(name) => found
                .version_of_name(name)
                .with_context(|| format!("--control {name:?} is not a version of {rollout}"))?,
            None => found.stable,
        };
        // A test may have no arm for stable.
        let control = arms.iter().position(|(version, _)| *version == control);
        arms.swap(0, control.unwrap_or_default());
        arms[1..].sort_by_key(|(version, _)| version.0);
        let total: u32 = arms.iter().map(|(_, share)| share.ppm()).sum();
        let name = |id: &VersionId| found.version(*id).map(|version| version.name.to_string());
        Ok(Self {
            rollout: rollout.to_owned(),
            own_unit: found.identity.is_some(),
            names: arms.iter().filter_map(|(id, _)| name(id)).collect(),
            versions: arms.iter().map(|(id, _)| usize::from(id.0)).collect(),
            shares: (arms.iter())
                .map(|(_, share)| f64::from(share.ppm()) / f64::from(total))
                .collect(),
        })
    }

    /// The arm of a version.
    pub fn arm(&self, version: &str) -> Option<u8> {
        let arm = self.names.iter().position(|name| name == version)?;
        u8::try_from(arm).ok()
    }
}

/// The versions that the strategy chooses at random, with their shares.
fn shares(id: RolloutId, rollout: &Rollout, time: u64) -> Result<Vec<(VersionId, Share)>> {
    let environment = GivenEnvironment::at(time);
    let mut shares = match &rollout.strategy {
        Strategy::AbTest(test) => test.split.shares(),
        Strategy::Weighted(weighted) => weighted.split.shares(),
        Strategy::Canary(canary) => {
            let inputs = ShareInputs {
                ramp: rollout.ramp_share(id, Some(time), &environment),
                leader: None,
            };
            let shares = rollout.strategy.behaviour().shares(&inputs);
            let share = shares.first().map_or(Share::NONE, |(_, share)| *share);
            vec![(rollout.stable, share.rest()), (canary.version, share)]
        }
        Strategy::BlueGreen(_) | Strategy::Follow(_) => bail!(
            "{} has a strategy without chance: abTest, canary and weighted can be analyzed",
            rollout.name
        ),
    };
    shares.sort_by_key(|(version, _)| version.0);
    Ok(shares)
}

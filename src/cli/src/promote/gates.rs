//! The gate that is meant. Must not depend on files.

use anyhow::{Result, bail};
use serde_json::Value;

use crate::raw::{list, text};

/// A gate that is to be passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenGate {
    /// Index of its rollout.
    pub index: usize,
    /// Name of its rollout.
    pub rollout: String,
    /// Its name.
    pub name: String,
}

/// Name of a gate and when it was passed.
type NamedGate<'c> = (&'c str, Option<&'c str>);

/// The gates of a rollout's steps, in their order, each with the instant at which it was passed.
fn gates(rollout: &Value) -> Vec<NamedGate<'_>> {
    let Some(canary) = rollout.pointer("/strategy/canary") else {
        return Vec::new();
    };
    let names = list(canary, "steps").iter();
    let names = names.filter_map(|step| step.get("gate")?.as_str());
    let passed = |gate: &str| {
        let mut passed = list(canary, "passed").iter();
        let entry = passed.find(|entry| text(entry, "gate") == gate);
        entry.map(|entry| text(entry, "at"))
    };
    names.map(|gate| (gate, passed(gate))).collect()
}

/// The gate that the arguments name, in a valid configuration.
pub(super) fn choose(
    config: &Value,
    rollout: Option<&str>,
    gate: Option<&str>,
) -> Result<OpenGate> {
    let rollouts = list(config, "rollouts");
    let all: Vec<_> = rollouts
        .iter()
        .enumerate()
        .map(|(index, raw)| (index, text(raw, "name"), gates(raw)))
        .collect();
    let names = |wanted: &dyn Fn(&[NamedGate<'_>]) -> bool| {
        let names = all.iter().filter(|(.., gates)| wanted(gates));
        names.map(|(_, name, _)| *name).collect::<Vec<_>>()
    };
    let waits = |gates: &[NamedGate<'_>]| gates.iter().any(|(_, passed)| passed.is_none());
    let rollout = match rollout {
        Some(name) if all.iter().all(|(_, known, _)| *known != name) => {
            bail!(
                "the configuration has no rollout {name}; it has {}",
                names(&|_| true).join(", ")
            );
        }
        Some(name) => name,
        None => {
            // A gate that only one rollout has names that rollout too.
            let fits = |gates: &[NamedGate<'_>]| match gate {
                Some(gate) => gates.iter().any(|(name, _)| *name == gate),
                None => waits(gates),
            };
            let fitting = names(&fits);
            match *fitting.as_slice() {
                [only] => only,
                [] if gate.is_some() => bail!(
                    "no rollout has a step with the gate {}; there are {}",
                    gate.unwrap_or_default(),
                    listed(
                        all.iter()
                            .flat_map(|(.., gates)| gates)
                            .map(|(name, _)| *name)
                    )
                ),
                [] if names(&|gates| !gates.is_empty()).is_empty() => {
                    bail!("no rollout has a step with a gate");
                }
                [] => bail!("all gates are passed"),
                _ => bail!(
                    "several rollouts have this gate or wait at one: name one of {}",
                    fitting.join(", ")
                ),
            }
        }
    };
    let Some((index, _, gates)) = all.iter().find(|(_, name, _)| *name == rollout) else {
        bail!("the configuration has no rollout {rollout}");
    };
    let chosen = match gate {
        Some(gate) => gates.iter().find(|(name, _)| *name == gate),
        None => gates.iter().find(|(_, passed)| passed.is_none()),
    };
    match (chosen, gate) {
        (Some((name, None)), _) => Ok(OpenGate {
            index: *index,
            rollout: rollout.to_owned(),
            name: (*name).to_owned(),
        }),
        (Some((name, Some(at))), _) => bail!("{rollout}: gate {name} was passed at {at}"),
        (None, _) if gates.is_empty() => bail!("{rollout} has no step with a gate"),
        (None, Some(gate)) => bail!(
            "{rollout} has no step with the gate {gate}; it has {}",
            listed(gates.iter().map(|(name, _)| *name))
        ),
        (None, None) => bail!("{rollout}: all gates are passed"),
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_gate_is_the_one_that_waits_or_the_one_that_is_named() {
        let rollout = |name: &str, gates: &[&str], passed: &[&str]| {
            let steps = gates.iter().map(|gate| json!({"weight": 1, "gate": gate}));
            let passed = passed
                .iter()
                .map(|gate| json!({"gate": gate, "at": "2026-12-01T12:00:00Z"}));
            let canary =
                json!({"steps": steps.collect::<Vec<_>>(), "passed": passed.collect::<Vec<_>>()});
            json!({"name": name, "strategy": {"canary": canary}})
        };
        let one = || rollout("a", &["qa", "ops"], &["qa"]);
        let plain = json!({"name": "plain", "strategy": {"blueGreen": {"active": "v1"}}});
        for (rollouts, name, gate, expected) in [
            (vec![one()], None, None, "a ops"),
            (vec![plain.clone(), one()], None, None, "a ops"),
            (vec![one()], Some("a"), Some("ops"), "a ops"),
            (vec![one()], None, Some("ops"), "a ops"),
            (
                vec![one()],
                None,
                Some("qa"),
                "a: gate qa was passed at 2026-12-01T12:00:00Z",
            ),
            (
                vec![one()],
                None,
                Some("x"),
                "no rollout has a step with the gate x; there are qa, ops",
            ),
            (
                vec![one()],
                Some("a"),
                Some("x"),
                "a has no step with the gate x; it has qa, ops",
            ),
            (
                vec![one()],
                Some("b"),
                None,
                "the configuration has no rollout b; it has a",
            ),
            (
                vec![one(), rollout("b", &["qa"], &[])],
                None,
                None,
                "several rollouts have this gate or wait at one: name one of a, b",
            ),
            (
                vec![one(), rollout("b", &["qa"], &[])],
                Some("b"),
                None,
                "b qa",
            ),
            (
                vec![one(), rollout("b", &["load"], &[])],
                None,
                Some("load"),
                "b load",
            ),
            (
                vec![rollout("a", &["qa"], &["qa"])],
                None,
                None,
                "all gates are passed",
            ),
            (
                vec![rollout("a", &["qa"], &["qa"])],
                Some("a"),
                None,
                "a: all gates are passed",
            ),
            (
                vec![plain.clone()],
                None,
                None,
                "no rollout has a step with a gate",
            ),
            (
                vec![plain.clone()],
                Some("plain"),
                None,
                "plain has no step with a gate",
            ),
            (vec![], None, None, "no rollout has a step with a gate"),
            // Gates may be passed in any order.
            (
                vec![rollout("a", &["qa", "ops"], &[])],
                None,
                Some("ops"),
                "a ops",
            ),
            (
                vec![rollout("a", &["qa", "ops"], &["ops"])],
                None,
                None,
                "a qa",
            ),
        ] {
            let config = json!({"rollouts": rollouts});
            let found = match choose(&config, name, gate) {
                Ok(gate) => format!("{} {}", gate.rollout, gate.name),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{config} {name:?} {gate:?}");
        }
    }
}

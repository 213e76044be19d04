//! All that is measured: what it is, how Envoy gets it, and how we see that it works.

mod divvy;
mod features;
mod others;

use serde_json::Value;

use crate::check::Expect;
use crate::requests;
use crate::traffic::Requests;

/// Where nothing is done: what every cost is counted from.
pub const NATIVE: &str = "native";
/// The unit of the ratios.
pub const UNIT: &str = "sdk_empty";
/// The whole job by hand.
pub const FLOOR: &str = "by_hand_whole";
/// divvy with all that it does by default.
pub const FULL: &str = "full";

/// In which table it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Nothing, and what others are counted from.
    Control,
    /// The SDK, by hand, and what Envoy brings along.
    Yardstick,
    /// divvy, with a goal.
    Path,
    /// What something adds to divvy's full path.
    Feature,
}

/// A promise: at most so many times the cost of another variant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Goal {
    /// The other one.
    pub than: &'static str,
    /// So many times.
    pub at_most: f64,
}

/// What Envoy has in front of its router.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Nothing.
    None,
    /// A module of `tests/bench/examples`.
    Probe(&'static str),
    /// The same, without the exports that it does not need.
    SlimProbe(&'static str),
    /// divvy, with this configuration.
    Divvy(Value),
    /// Something of Envoy's own.
    Own(Value),
}

/// One way to handle a request.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name in files and on sockets.
    pub id: &'static str,
    /// Its name in tables.
    pub name: &'static str,
    /// Where it is told of.
    pub group: Group,
    /// The variant whose cost is taken off.
    pub over: &'static str,
    /// The variant that a feature adds something to.
    pub beyond: &'static str,
    /// What was promised.
    pub goals: Vec<Goal>,
    /// What makes the same calls to the proxy by hand, in the same callbacks.
    pub by_hand: Option<&'static str>,
    /// A filter of Envoy's in front, which `over` has as well.
    pub before: Option<Value>,
    /// What does the work.
    pub filter: Filter,
    /// What is different about its listener.
    pub edit: fn(&mut Value),
    /// What is sent.
    pub requests: Requests,
    /// How we know that it works.
    pub expect: Expect,
}

impl Variant {
    fn new(id: &'static str, name: &'static str, group: Group, filter: Filter) -> Variant {
        Variant {
            id,
            name,
            group,
            over: NATIVE,
            beyond: FULL,
            goals: Vec::new(),
            by_hand: None,
            before: None,
            filter,
            edit: |_| {},
            requests: requests::of_users(&[]),
            expect: Expect::default(),
        }
    }

    fn at_most(mut self, at_most: f64, than: &'static str) -> Variant {
        self.goals.push(Goal { than, at_most });
        self
    }

    /// Sets the hand-written twin, and the goal to cost at most 1.3 times as much.
    fn by_hand(mut self, twin: &'static str) -> Variant {
        self.by_hand = Some(twin);
        self.at_most(1.3, twin)
    }

    fn expecting(mut self, expect: Expect) -> Variant {
        self.expect = expect;
        self
    }
}

/// All of them. The names of others that they mention are there.
#[must_use]
pub fn all() -> Vec<Variant> {
    let mut all = others::all();
    all.extend(divvy::all());
    all.extend(features::all());
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_there_once_and_every_comparison_is_with_one_of_them() {
        let all = all();
        let ids: BTreeSet<_> = all.iter().map(|variant| variant.id).collect();
        assert_eq!(ids.len(), all.len());
        for variant in &all {
            assert!(ids.contains(variant.over), "{}", variant.over);
            assert!(ids.contains(variant.beyond), "{}", variant.beyond);
            for goal in &variant.goals {
                assert!(ids.contains(goal.than), "{}", goal.than);
            }
            if let Some(by_hand) = variant.by_hand {
                assert!(ids.contains(by_hand), "{by_hand}");
            }
        }
        for id in [NATIVE, UNIT, FLOOR, FULL] {
            assert!(ids.contains(id), "{id}");
        }
    }
}

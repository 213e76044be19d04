//! Measured variants: filter, Envoy configuration and expected results.

mod divvy;
mod features;
mod module;
mod others;

use std::path::Path;

use serde_json::Value;

use crate::check::Expect;
use crate::requests;
use crate::traffic::Requests;

/// Name of the variant without a filter, the base of all costs.
pub const NATIVE: &str = "native";
/// Name of the unit of the ratios.
pub const UNIT: &str = "sdk_empty";
/// Name of the complete path written by hand.
pub const FLOOR: &str = "by_hand_whole";
/// Name of divvy's full path.
pub const FULL: &str = "full";

/// Table of a variant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// No filter, and other controls.
    Control,
    /// The SDK, modules by hand, and Envoy's own filters.
    Reference,
    /// divvy's paths with goals.
    Path,
    /// Additions to divvy's full path.
    Feature,
    /// divvy's paths as the native module.
    Module,
    /// divvy's paths with another build of it.
    OtherBuild,
}

/// Goal: a maximum ratio to the cost of another variant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Goal {
    /// The other variant.
    pub than: &'static str,
    /// Maximum ratio.
    pub at_most: f64,
}

/// Filter in front of the router.
#[derive(Clone, Debug)]
pub enum Filter {
    /// None.
    None,
    /// A module of `tests/bench/examples`.
    Probe(&'static str),
    /// Such a module without unneeded exports.
    SlimProbe(&'static str),
    /// divvy with this configuration.
    Divvy(Value),
    /// divvy as the native module with this configuration.
    Module(Value),
    /// Another build of divvy with this configuration.
    OtherBuild(&'static Path, Value),
    /// A filter of Envoy.
    Own(Value),
}

/// A measured way to handle a request.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Name in files and on sockets.
    pub id: &'static str,
    /// Name in tables.
    pub name: &'static str,
    /// Table.
    pub group: Group,
    /// Control, whose CPU time is subtracted.
    pub over: &'static str,
    /// Variant that a feature extends.
    pub beyond: &'static str,
    /// Goals.
    pub goals: Vec<Goal>,
    /// Hand-written twin: the same host calls in the same callbacks.
    pub by_hand: Option<&'static str>,
    /// An additional filter of Envoy in front, which `over` has too.
    pub before: Option<Value>,
    /// The filter.
    pub filter: Filter,
    /// Changes of the listener.
    pub edit: fn(&mut Value),
    /// Requests.
    pub requests: Requests,
    /// Expected results.
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

    /// Sets the hand-written twin and the goal of at most 1.3 times its cost.
    fn by_hand(mut self, twin: &'static str) -> Variant {
        self.by_hand = Some(twin);
        self.at_most(1.3, twin)
    }

    fn expecting(mut self, expect: Expect) -> Variant {
        self.expect = expect;
        self
    }
}

/// All variants.
#[must_use]
pub fn all() -> Vec<Variant> {
    let mut all = others::all();
    let paths = divvy::all();
    all.extend(module::of(&paths));
    all.extend(paths);
    all.extend(features::all());
    all
}

/// divvy's paths among `variants`, with the build of divvy in `module`.
#[must_use]
pub fn of_other_build(variants: &[Variant], module: &'static Path) -> Vec<Variant> {
    let other = |variant: &Variant| {
        let Filter::Divvy(configuration) = &variant.filter else {
            return None;
        };
        (variant.group == Group::Path).then(|| Variant {
            id: format!("other_{}", variant.id).leak(),
            group: Group::OtherBuild,
            beyond: variant.id,
            goals: Vec::new(),
            filter: Filter::OtherBuild(module, configuration.clone()),
            ..variant.clone()
        })
    };
    variants.iter().filter_map(other).collect()
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

//! The versions of a rollout and their targets.

use rustc_hash::FxHashSet;

use crate::limits::MAX_VERSIONS;
use crate::names;
use crate::spec::{self, Items};
use crate::values::unique;
use divvy_core::assignment::member_prefix;
use divvy_core::policy::{Version, VersionId};
use divvy_json::error::Path;

/// The versions of a rollout, of which other parts speak by name.
pub(crate) struct Versions {
    pub list: Vec<Version>,
    /// Whether the list is what the configuration says, and sound: otherwise a name that is
    /// not found may be one of those that are left out, or stand there by mistake.
    pub complete: bool,
}

impl Versions {
    pub(crate) fn compile(
        at: Path<'_>,
        rollout: &str,
        common: Option<&str>,
        raw: Items<'_, spec::VersionSpec<'_>>,
    ) -> Self {
        let place = at.field("versions");
        let count = raw.len();
        if count == 0 {
            place.error("is empty");
        }
        let raw = raw.at_most(MAX_VERSIONS, "versions", place);
        let mut seen = FxHashSet::default();
        let mut without_target = Vec::new();
        let list = raw.each(place, |at, version| {
            let name = version.name;
            names::version(at.field("name"), name);
            unique(at.field("name"), name, &mut seen);
            let target = match (&version.target, common) {
                (Some(own), _) => names::target(at.field("target"), own, name),
                // What is wrong with the common one is reported once, below.
                (None, Some(common)) => names::target(Path::SILENT, common, name),
                (None, None) => {
                    without_target.extend(at.last_index());
                    None
                }
            };
            Some(Version {
                member: member_prefix(rollout, name),
                name: name.into(),
                target,
            })
        });
        if let Some(common) = common {
            names::target(at.field("target"), common, "v");
        }
        if without_target.len() < list.len() {
            for index in without_target {
                place.index(index).error(
                    "has no target, but other versions have: write one for each or one for the \
                     rollout",
                );
            }
        }
        Self {
            complete: list.len() == count && seen.len() == count,
            list,
        }
    }

    pub(crate) fn find(&self, at: Path<'_>, name: &str) -> Option<VersionId> {
        let found = self.position(name);
        if found.is_none() && self.complete && !self.list.is_empty() {
            let names = self.list.iter().map(|version| &*version.name);
            at.unknown_name(name, names);
        }
        found
    }

    /// The number of a version, if it is one of them.
    pub(crate) fn position(&self, name: &str) -> Option<VersionId> {
        let found = (0..)
            .zip(&self.list)
            .find(|(_, version)| *version.name == *name);
        found.map(|(number, _)| VersionId(number))
    }
}

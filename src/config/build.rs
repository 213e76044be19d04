//! What the parts of a configuration have to know of one another while they are compiled.

use rustc_hash::{FxHashMap, FxHashSet};

use super::limits::MAX_REGEXES;
use super::registry::Registry;
use super::{names, values};
use crate::bucket::{Gate, Share};
use crate::error::Path;
use crate::policy::{RolloutId, VersionId};

/// A share of users without a way to tell users apart is nobody's share: to accept it
/// would be to serve stable to everyone in silence.
const NO_IDENTITY: &str = "needs an identity: add a source to identity";
const ONLY_RANDOM: &str =
    "needs an identity that stays the same: add a source other than random to identity";

/// The configuration as far as it has been read.
pub(super) struct Build {
    pub headers: Registry,
    pub identity: IdentityKind,
    pub holdout: Option<Gate>,
    /// Whether there is one, be it valid or not.
    pub has_holdout: bool,
    /// Whether one of the identity's sources is drawn for each request.
    pub draws: bool,
    /// Whether decisions of other proxies are honoured, so that a rollout may be theirs.
    pub chained: bool,
    /// The names of cookies that are given to clients.
    pub given_cookies: FxHashSet<Box<str>>,
    /// Rollouts that stand earlier in the list.
    pub earlier: EarlierRollouts,
    pub layers: LayerRanges,
    regexes: usize,
}

/// What identity sources there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IdentityKind {
    None,
    /// Only one that is drawn for each request.
    Random,
    Lasting,
}

impl Build {
    pub(super) fn new(headers: Registry) -> Self {
        Self {
            headers,
            identity: IdentityKind::None,
            holdout: None,
            has_holdout: false,
            draws: false,
            chained: false,
            given_cookies: FxHashSet::default(),
            earlier: EarlierRollouts::default(),
            layers: LayerRanges::default(),
            regexes: 0,
        }
    }

    /// Notes that something needs users to be told apart, if only for a request.
    pub(super) fn needs_anybody(&self, at: Path<'_>) {
        if self.identity == IdentityKind::None {
            at.error(NO_IDENTITY);
        }
    }

    /// Notes that something needs users to be the same with the next request.
    pub(super) fn needs_somebody(&self, at: Path<'_>) {
        match self.identity {
            IdentityKind::None => at.error(NO_IDENTITY),
            IdentityKind::Random => at.error(ONLY_RANDOM),
            IdentityKind::Lasting => {}
        }
    }

    /// Counts a regular expression, of which there may be [`MAX_REGEXES`].
    pub(super) fn count_regex(&mut self, at: Path<'_>) -> bool {
        self.regexes = self.regexes.saturating_add(1);
        if self.regexes == MAX_REGEXES.saturating_add(1) {
            let message =
                format_args!("is one regular expression too many: the maximum is {MAX_REGEXES}");
            at.error(message);
        }
        self.regexes <= MAX_REGEXES
    }
}

/// Rollouts by name, which later ones may follow or ask about.
#[derive(Default)]
pub(super) struct EarlierRollouts {
    /// Whether an element of the list had not the shape of a rollout: a name that is not
    /// found may be its name.
    pub gaps: bool,
    by_name: FxHashMap<Box<str>, EarlierRollout>,
    next: u16,
}

/// A rollout that stands earlier in the list; empty if something is wrong with it, which
/// is said where it stands.
pub(super) struct EarlierRollout {
    pub id: RolloutId,
    pub versions: Option<Vec<Box<str>>>,
}

impl EarlierRollouts {
    /// The number of the rollout that comes next.
    pub(super) const fn next(&self) -> RolloutId {
        RolloutId(self.next)
    }

    pub(super) fn add(&mut self, name: &str, versions: Option<Vec<Box<str>>>) {
        let id = self.next();
        // A name that is there already is a mistake, and noted as one.
        let leader = || EarlierRollout { id, versions };
        self.by_name.entry(name.into()).or_insert_with(leader);
        self.next = self.next.saturating_add(1);
    }

    /// The rollout of this name.
    ///
    /// # Errors
    /// `Err` where there is none: then it is one of a proxy upstream if those are honoured,
    /// else a mistake, which is noted.
    pub(super) fn find(
        &self,
        at: Path<'_>,
        name: &str,
        chained: bool,
    ) -> Result<&EarlierRollout, NotHere> {
        let found = self.by_name.get(name);
        if found.is_none() && chained {
            names::rollout(at, name);
        } else if found.is_none() && !self.gaps {
            at.error(format_args!(
                "{name:?} is not the name of a rollout earlier in the list"
            ));
        }
        found.ok_or(NotHere)
    }
}

/// There is no such rollout here.
pub(super) struct NotHere;

impl EarlierRollout {
    /// The number of one of its versions.
    pub(super) fn version(&self, at: Path<'_>, name: &str) -> Option<VersionId> {
        let versions = self.versions.as_ref()?;
        let found = (0..).zip(versions).find(|(_, version)| ***version == *name);
        if found.is_none() {
            let names = versions.iter().map(|version| &**version);
            at.unknown_name(name, names);
        }
        found.map(|(number, _)| VersionId(number))
    }
}

/// The ranges of each layer that are taken.
#[derive(Default)]
pub(super) struct LayerRanges {
    /// By layer. A range of each rollout at most, so they are simply gone through.
    taken: FxHashMap<Box<str>, Vec<TakenRange>>,
}

struct TakenRange {
    from: Share,
    to: Share,
    by: String,
}

impl LayerRanges {
    /// Takes a range for a rollout. Ranges of one layer have no user in common, or tests in
    /// it would not be apart.
    pub(super) fn take(
        &mut self,
        at: Path<'_>,
        layer: &str,
        (from, to): (Share, Share),
        rollout: &str,
    ) {
        let taken = self.taken.entry(layer.into()).or_default();
        let in_the_way = taken
            .iter()
            .filter(|other| other.from < to && from < other.to);
        if let Some(first) = in_the_way.min_by_key(|other| other.to) {
            let [begin, end] = [first.from, first.to].map(shown);
            let by = &first.by;
            let message = format_args!(
                "overlaps the range {begin} to {end} of rollout {by:?} in layer {layer:?}"
            );
            at.error(message);
            return;
        }
        let by = rollout.to_owned();
        taken.push(TakenRange { from, to, by });
    }
}

/// A share as the percentage that it was.
fn shown(share: Share) -> String {
    values::shown(f64::from(share.ppm()) / 10_000.0)
}

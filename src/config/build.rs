//! What the parts of a configuration have to know of one another while they are compiled.

use rustc_hash::{FxHashMap, FxHashSet};

use super::error::{At, Errors};
use super::headers::Headers;
use super::{MAX_REGEXES, names, read};
use crate::bucket::{Gate, Share};
use crate::policy::{RolloutId, VersionId};

/// A share of users without a way to tell users apart is nobody's share: to accept it
/// would be to serve stable to everyone in silence.
const NO_IDENTITY: &str = "tells users apart, but identity names no source that says who they are";
const ONLY_RANDOM: &str =
    "means the same user each time, but identity names nothing that stays: random is drawn anew";

/// The configuration as far as it has been read.
pub(super) struct Build {
    pub headers: Headers,
    pub identity: Identities,
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
    pub earlier: Earlier,
    pub layers: Layers,
    regexes: usize,
}

/// What identity sources there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identities {
    None,
    /// Only one that is drawn for each request.
    Random,
    Lasting,
}

impl Build {
    pub(super) fn new(headers: Headers) -> Self {
        Self {
            headers,
            identity: Identities::None,
            holdout: None,
            has_holdout: false,
            draws: false,
            chained: false,
            given_cookies: FxHashSet::default(),
            earlier: Earlier::default(),
            layers: Layers::default(),
            regexes: 0,
        }
    }

    /// Notes that something needs users to be told apart, if only for a request.
    pub(super) fn needs_anybody(&self, at: At<'_>, errors: &mut Errors) {
        if self.identity == Identities::None {
            errors.add(at, NO_IDENTITY);
        }
    }

    /// Notes that something needs users to be the same with the next request.
    pub(super) fn needs_somebody(&self, at: At<'_>, errors: &mut Errors) {
        match self.identity {
            Identities::None => errors.add(at, NO_IDENTITY),
            Identities::Random => errors.add(at, ONLY_RANDOM),
            Identities::Lasting => {}
        }
    }

    /// Counts a regular expression: each may take 64 KiB of every VM.
    pub(super) fn count_regex(&mut self, at: At<'_>, errors: &mut Errors) -> bool {
        self.regexes = self.regexes.saturating_add(1);
        if self.regexes == MAX_REGEXES.saturating_add(1) {
            let message =
                format_args!("is one regular expression more than {MAX_REGEXES}, the most");
            errors.add(at, message);
        }
        self.regexes <= MAX_REGEXES
    }
}

/// Rollouts by name, which later ones may follow or ask about.
#[derive(Default)]
pub(super) struct Earlier {
    /// Whether an element of the list had not the shape of a rollout: a name that is not
    /// found may be its name.
    pub gaps: bool,
    by_name: FxHashMap<Box<str>, Leader>,
    next: u16,
}

/// A rollout that stands earlier in the list; empty if something is wrong with it, which
/// is said where it stands.
pub(super) struct Leader {
    pub id: RolloutId,
    pub versions: Option<Vec<Box<str>>>,
}

impl Earlier {
    /// The number of the rollout that comes next.
    pub(super) const fn next(&self) -> RolloutId {
        RolloutId(self.next)
    }

    pub(super) fn add(&mut self, name: &str, versions: Option<Vec<Box<str>>>) {
        let id = self.next();
        // A name that is there already is a mistake, and noted as one.
        let leader = || Leader { id, versions };
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
        at: At<'_>,
        name: &str,
        chained: bool,
        errors: &mut Errors,
    ) -> Result<&Leader, NotHere> {
        let found = self.by_name.get(name);
        if found.is_none() && chained {
            names::rollout(at, name, errors);
        } else if found.is_none() && !self.gaps {
            errors.add(
                at,
                format_args!("{name:?} is no rollout that stands earlier in the list"),
            );
        }
        found.ok_or(NotHere)
    }
}

/// There is no such rollout here.
pub(super) struct NotHere;

impl Leader {
    /// The number of one of its versions.
    pub(super) fn version(&self, at: At<'_>, name: &str, errors: &mut Errors) -> Option<VersionId> {
        let versions = self.versions.as_ref()?;
        let found = (0..).zip(versions).find(|(_, version)| ***version == *name);
        if found.is_none() {
            let names = versions.iter().map(|version| &**version);
            errors.add(at, &names::not_one_of(name, names));
        }
        found.map(|(number, _)| VersionId(number))
    }
}

/// The ranges of each layer that are taken.
#[derive(Default)]
pub(super) struct Layers {
    /// By layer. A range of each rollout at most, so they are simply gone through.
    taken: FxHashMap<Box<str>, Vec<Taken>>,
}

struct Taken {
    from: Share,
    to: Share,
    by: String,
}

impl Layers {
    /// Takes a range for a rollout. Ranges of one layer have no user in common, or tests in
    /// it would not be apart.
    pub(super) fn take(
        &mut self,
        at: At<'_>,
        layer: &str,
        (from, to): (Share, Share),
        rollout: &str,
        errors: &mut Errors,
    ) {
        let taken = self.taken.entry(layer.into()).or_default();
        let in_the_way = taken
            .iter()
            .filter(|other| other.from < to && from < other.to);
        if let Some(first) = in_the_way.min_by_key(|other| other.to) {
            let [begin, end] = [first.from, first.to].map(shown);
            let by = &first.by;
            let message = format_args!(
                "overlaps the range {begin} to {end} that {by:?} has in layer {layer:?}"
            );
            errors.add(at, message);
            return;
        }
        let by = rollout.to_owned();
        taken.push(Taken { from, to, by });
    }
}

/// A share as the percentage that it was.
fn shown(share: Share) -> String {
    read::shown(f64::from(share.ppm()) / 10_000.0)
}

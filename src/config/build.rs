//! What the parts of a configuration need to know of each other during compilation.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::limits::MAX_REGEXES;
use crate::registry::Registry;
use crate::{names, values};
use divvy_core::bucket::{Gate, Share};
use divvy_core::identity::MintedIdentities;
use divvy_core::policy::{RolloutId, UnitHash, VersionId};
use divvy_core::request::CookieId;
use divvy_core::signature::{KeyPurpose, KeyRing, PurposeKeys, UNIT_ID, VARIABLE};
use divvy_json::error::Path;

/// Without this error the configuration would silently serve stable to all users.
const NO_IDENTITY: &str = "needs an identity: add a source to identity";
const ONLY_RANDOM: &str =
    "needs an identity that stays the same: add a source other than random to identity";

/// The state of a compilation.
pub(crate) struct Build<'k> {
    pub headers: Registry,
    pub identity: IdentityKind,
    pub holdout: Option<Gate>,
    /// Whether the configuration has a holdout, valid or not.
    pub has_holdout: bool,
    /// Whether `random` is one of the identity sources.
    pub has_random: bool,
    /// Whether decisions of other proxies are trusted, so that a rollout may be one of theirs.
    pub has_trust: bool,
    /// Whether the conditions that are compiled belong to a `match`.
    pub in_match: bool,
    /// The uses of cookies, except by conditions.
    cookies: Vec<(CookieId, CookieUse)>,
    /// The rollouts before the current one.
    pub earlier: EarlierRollouts,
    pub layers: LayerRanges,
    /// The cookie of minted identities.
    pub minted: Option<MintedIdentities>,
    /// The keys, and the place of an error in their variable.
    keys: (&'k KeyRing, Path<'k>),
    /// Whether the errors in their variable were added.
    has_key_errors: bool,
    /// Whether a field needs keys.
    needs_keys: bool,
    regexes: usize,
}

/// What a cookie is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CookieUse {
    /// An identity is read from it, and divvy does not set it.
    Identity,
    /// divvy sets it to a minted identity.
    Minted,
    /// divvy sets it to the version of a rollout.
    Sticky,
}

/// Which identity sources the configuration has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IdentityKind {
    None,
    /// Only `random`, which changes with each request.
    Random,
    /// At least one that stays the same between requests.
    Lasting,
}

impl<'k> Build<'k> {
    pub(crate) fn new(headers: Registry, keys: &'k KeyRing, root: Path<'k>) -> Self {
        Self {
            headers,
            identity: IdentityKind::None,
            holdout: None,
            has_holdout: false,
            has_random: false,
            has_trust: false,
            in_match: false,
            cookies: Vec::new(),
            earlier: EarlierRollouts::default(),
            layers: LayerRanges::default(),
            minted: None,
            keys: (keys, root),
            has_key_errors: false,
            needs_keys: false,
            regexes: 0,
        }
    }

    /// The ID of a cookie for this use; adds an error if an earlier use excludes it.
    pub(crate) fn cookie(
        &mut self,
        at: Path<'_>,
        name: &str,
        wanted: CookieUse,
    ) -> Option<CookieId> {
        let id = self.headers.cookie(at, name)?;
        let earlier = self.cookies.iter().find(|(other, _)| *other == id);
        match (earlier, wanted) {
            (None, _) => self.cookies.push((id, wanted)),
            (Some((_, CookieUse::Identity)), CookieUse::Sticky) => at.error(format_args!(
                "{name:?} already has another purpose: the identity is read from it"
            )),
            (Some((_, CookieUse::Sticky)), _) | (_, CookieUse::Sticky) => {
                at.error(format_args!("{name:?} is a cookie that divvy already sets"));
            }
            // An identity is minted if none can be read from there.
            (Some(_), _) => {}
        }
        Some(id)
    }

    /// Adds an error if there is no identity, not even `random`.
    pub(crate) fn require_identity(&self, at: Path<'_>) {
        if self.identity == IdentityKind::None {
            at.error(NO_IDENTITY);
        }
    }

    /// Adds an error if there is no identity that stays the same between requests.
    pub(crate) fn require_lasting_identity(&self, at: Path<'_>) {
        match self.identity {
            IdentityKind::None => at.error(NO_IDENTITY),
            IdentityKind::Random => at.error(ONLY_RANDOM),
            IdentityKind::Lasting => {}
        }
    }

    /// The keys of a purpose, which the field at `at` needs; adds an error without keys.
    pub(crate) fn keys(&mut self, at: Path<'_>, purpose: KeyPurpose) -> Option<Arc<PurposeKeys>> {
        self.needs_keys = true;
        let (ring, _) = self.keys;
        let keys = match ring {
            KeyRing::Missing => {
                at.error(format_args!(
                    "needs keys: set {VARIABLE} in the environment of the VM"
                ));
                return None;
            }
            KeyRing::Invalid(messages) => {
                self.add_key_errors(messages);
                return None;
            }
            KeyRing::Assumed => Arc::default(),
            KeyRing::Known(keys) => keys.of(purpose),
        };
        if keys.signing_id().is_none() && matches!(ring, KeyRing::Known(_)) {
            at.error(format_args!(
                "needs keys: {VARIABLE} has only {UNIT_ID}, which signs nothing"
            ));
            return None;
        }
        Some(keys)
    }

    /// How units are computed. It must come after whatever needs keys.
    pub(crate) fn unit_hash(&mut self) -> UnitHash {
        let (ring, _) = self.keys;
        match ring {
            KeyRing::Known(keys) => UnitHash::Keyed(keys.of(KeyPurpose::Unit)),
            KeyRing::Assumed if self.needs_keys => UnitHash::Keyed(Arc::default()),
            KeyRing::Assumed | KeyRing::Missing => UnitHash::without_key(),
            KeyRing::Invalid(messages) => {
                self.add_key_errors(messages);
                UnitHash::without_key()
            }
        }
    }

    fn add_key_errors(&mut self, messages: &[String]) {
        let (_, root) = self.keys;
        if !std::mem::replace(&mut self.has_key_errors, true) {
            messages.iter().for_each(|message| root.error(message));
        }
    }

    /// Counts a regular expression; `false` if there are too many.
    pub(crate) fn count_regex(&mut self, at: Path<'_>) -> bool {
        self.regexes = self.regexes.saturating_add(1);
        if self.regexes == MAX_REGEXES.saturating_add(1) {
            let message =
                format_args!("is one regular expression too many: the maximum is {MAX_REGEXES}");
            at.error(message);
        }
        self.regexes <= MAX_REGEXES
    }
}

/// Rollouts by name, for `follow` and `assigned` of later ones.
#[derive(Default)]
pub(crate) struct EarlierRollouts {
    /// Whether an element of the list could not be read as a rollout: an unknown name may be its
    /// name.
    pub has_gaps: bool,
    by_name: FxHashMap<Box<str>, EarlierRollout>,
    next: u16,
}

/// A rollout earlier in the list.
pub(crate) struct EarlierRollout {
    pub id: RolloutId,
    /// The names of its versions; `None` if the rollout has errors.
    pub versions: Option<Vec<Box<str>>>,
}

impl EarlierRollouts {
    /// The ID of the next rollout.
    pub(crate) const fn next(&self) -> RolloutId {
        RolloutId(self.next)
    }

    pub(crate) fn add(&mut self, name: &str, versions: Option<Vec<Box<str>>>) {
        let id = self.next();
        // Duplicate names have an error of their own.
        let rollout = || EarlierRollout { id, versions };
        self.by_name.entry(name.into()).or_insert_with(rollout);
        self.next = self.next.saturating_add(1);
    }

    /// The rollout of this name. With `has_trust`, `None` is a rollout of an upstream proxy;
    /// without, it is an error.
    pub(crate) fn find(
        &self,
        at: Path<'_>,
        name: &str,
        has_trust: bool,
    ) -> Option<&EarlierRollout> {
        let found = self.by_name.get(name);
        if found.is_none() && has_trust {
            names::rollout(at, name);
        } else if found.is_none() && !self.has_gaps {
            at.error(format_args!(
                "{name:?} is not the name of a rollout earlier in the list"
            ));
        }
        found
    }
}

impl EarlierRollout {
    /// The ID of one of its versions.
    pub(crate) fn version(&self, at: Path<'_>, name: &str) -> Option<VersionId> {
        let versions = self.versions.as_ref()?;
        let found = (0..).zip(versions).find(|(_, version)| ***version == *name);
        if found.is_none() {
            let names = versions.iter().map(|version| &**version);
            at.unknown_name(name, names);
        }
        found.map(|(number, _)| VersionId(number))
    }
}

/// The ranges that the rollouts have in each layer.
#[derive(Default)]
pub(crate) struct LayerRanges {
    by_layer: FxHashMap<Box<str>, Vec<TakenRange>>,
}

struct TakenRange {
    from: Share,
    to: Share,
    by: String,
}

impl LayerRanges {
    /// Takes a range for a rollout. Ranges of one layer must not have users in common.
    pub(crate) fn take(
        &mut self,
        at: Path<'_>,
        layer: &str,
        (from, to): (Share, Share),
        rollout: &str,
    ) {
        let taken = self.by_layer.entry(layer.into()).or_default();
        let overlapping = taken
            .iter()
            .filter(|other| other.from < to && from < other.to);
        if let Some(first) = overlapping.min_by_key(|other| other.to) {
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

/// A share as the percentage in the configuration.
fn shown(share: Share) -> String {
    values::shown(f64::from(share.ppm()) / 10_000.0)
}

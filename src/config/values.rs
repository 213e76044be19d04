//! Values that stand in several places: percentages, weights, names that must be unique.

use std::collections::BTreeSet;

use super::error::{At, Errors};
use super::read;
use crate::bucket::Share;

/// The most that one arm of a split may weigh.
const MAX_WEIGHT: f64 = 1_000_000.0;

/// A percentage as a share.
pub(super) fn percent(at: At<'_>, number: f64, errors: &mut Errors) -> Option<Share> {
    let share = Share::from_percent(number);
    if share.is_none() {
        let number = read::shown(number);
        let message =
            format!("{number} is no percentage: a number from 0 to 100, at most 4 decimals");
        errors.add(at, message);
    }
    share
}

/// The weight of an arm.
pub(super) fn weight(at: At<'_>, number: f64, errors: &mut Errors) -> Option<u32> {
    if number.fract() != 0.0 || !(0.0..=MAX_WEIGHT).contains(&number) {
        let number = read::shown(number);
        let message = format!("{number} is no weight: a whole number from 0 to 1000000");
        errors.add(at, message);
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above"
    )]
    Some(number as u32)
}

/// Notes a name that was there before.
pub(super) fn unique(at: At<'_>, name: &str, seen: &mut BTreeSet<String>, errors: &mut Errors) {
    if !seen.insert(name.to_owned()) {
        errors.add(at, format!("{name:?} is there already"));
    }
}

//! Counts of the recent past. Must not depend on plans or state.
//!
//! A window consists of slots that each cover a fixed period of the clock, so merging adds to a
//! slot and is commutative. Fine slots cover the window. Coarse slots cover ten times its length:
//! a window with too few requests for a verdict stretches over them.

use std::time::Duration;

use super::evidence::Tally;
use super::latency::{Dense, Histogram};
use super::plan::STRETCH;
use super::units::millis;
use super::wire::{BlobReader, BlobWriter};

/// Number of fine slots: the current one and the six before it, which cover at least the window.
const FINE: u64 = 7;
/// Number of coarse slots: the current one and the four before it.
const COARSE: u64 = 5;

/// Counts of one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, and those that failed or were too slow.
    pub tally: Tally,
    /// Latencies, if a limit compares them.
    pub histogram: Histogram,
}

impl Counts {
    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        self.tally = self.tally.plus(other.tally);
        self.histogram.add(&other.histogram);
    }

    pub(super) fn encode(&self, to: &mut BlobWriter) {
        to.number(u64::from(self.tally.all));
        to.number(u64::from(self.tally.bad));
        self.histogram.encode(to);
    }

    pub(super) fn decode(from: &mut BlobReader<'_>) -> Option<Self> {
        let (all, bad) = (from.small()?, from.small()?);
        let bad = bad.min(all);
        Some(Self {
            tally: Tally { bad, all },
            histogram: Histogram::decode(from)?,
        })
    }
}

/// Lengths of a window's slots in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotLengths {
    fine: u64,
    coarse: u64,
}

impl SlotLengths {
    /// Lengths for a window of this length.
    pub fn of(window: Duration) -> Self {
        let window = millis(window).max(1);
        Self {
            fine: window.div_ceil(FINE.saturating_sub(1)),
            coarse: window.saturating_mul(u64::from(STRETCH)).div_ceil(COARSE),
        }
    }

    /// Index of the slot that contains a time.
    fn slot(self, coarse: bool, now: u64) -> u64 {
        let length = if coarse { self.coarse } else { self.fine };
        now.checked_div(length).unwrap_or_default()
    }
}

/// The period that a verdict considers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookback {
    coarse: bool,
    /// Number of slots before the current one.
    back: u64,
}

impl Lookback {
    /// The window, then stretched ones in increasing length.
    const ALL: [Self; 5] = [
        Self::of(false, FINE.saturating_sub(1)),
        Self::of(true, 1),
        Self::of(true, 2),
        Self::of(true, 3),
        Self::LONGEST,
    ];
    /// The longest period with counts.
    pub const LONGEST: Self = Self::of(true, COARSE.saturating_sub(1));

    const fn of(coarse: bool, back: u64) -> Self {
        Self { coarse, back }
    }
}

/// Counts of the recent past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// At most [`MAX_SLOTS`] in no order; expired slots are reused.
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Slot {
    coarse: bool,
    /// Time divided by the slot's length.
    index: u64,
    counts: Counts,
}

/// Maximum number of slots, fine and coarse.
const MAX_SLOTS: usize = 12;

impl Window {
    /// Adds counts at a time.
    pub fn add(&mut self, lengths: SlotLengths, now: u64, counts: &Counts) {
        for coarse in [false, true] {
            let index = lengths.slot(coarse, now);
            let count = if coarse { COARSE } else { FINE };
            // The slot with this index, or an expired one. The former comes first in the list if
            // both exist, because it reused an expired slot.
            let same = |slot: &&mut Slot| {
                slot.coarse == coarse
                    && (slot.index == index || slot.index.abs_diff(index) >= count)
            };
            if let Some(slot) = self.slots.iter_mut().find(same) {
                if slot.index != index {
                    slot.index = index;
                    slot.counts = Counts::default();
                }
                slot.counts.add(counts);
            } else if self.slots.len() < MAX_SLOTS {
                let counts = counts.clone();
                self.slots.push(Slot {
                    coarse,
                    index,
                    counts,
                });
            }
        }
    }

    /// The shortest lookback with at least `min` requests, and its counts.
    pub fn shortest_with(
        &self,
        lengths: SlotLengths,
        now: u64,
        min: u32,
    ) -> Option<(Lookback, Tally)> {
        for lookback in Lookback::ALL {
            let tally = self.tally(lengths, now, lookback);
            if tally.all >= min {
                return Some((lookback, tally));
            }
        }
        None
    }

    /// Sum of the counts within a lookback.
    pub fn tally(&self, lengths: SlotLengths, now: u64, lookback: Lookback) -> Tally {
        let mut sum = Tally::default();
        for counts in self.within(lengths, now, lookback) {
            sum = sum.plus(counts.tally);
        }
        sum
    }

    /// Sum of the histograms within a lookback.
    pub fn histogram(&self, lengths: SlotLengths, now: u64, lookback: Lookback) -> Dense {
        let mut sum = Dense::default();
        for counts in self.within(lengths, now, lookback) {
            sum.add(&counts.histogram);
        }
        sum
    }

    fn within(
        &self,
        lengths: SlotLengths,
        now: u64,
        lookback: Lookback,
    ) -> impl Iterator<Item = &Counts> {
        let last = lengths.slot(lookback.coarse, now);
        let first = last.saturating_sub(lookback.back);
        self.slots
            .iter()
            .filter(move |slot| slot.coarse == lookback.coarse)
            .filter(move |slot| first <= slot.index && slot.index <= last)
            .map(|slot| &slot.counts)
    }

    /// Drops the oldest histogram but keeps the tally. Returns whether there was one.
    pub(super) fn drop_oldest_histogram(&mut self) -> bool {
        let with = self.slots.iter_mut();
        let with = with.filter(|slot| !slot.counts.histogram.is_empty());
        // Coarse slots have the smaller indexes and are the less important ones.
        let oldest = with.min_by_key(|slot| slot.index);
        oldest.is_some_and(|slot| {
            slot.counts.histogram = Histogram::default();
            true
        })
    }

    pub(super) fn encode(&self, to: &mut BlobWriter) {
        to.length(self.slots.len());
        for slot in &self.slots {
            to.number(u64::from(slot.coarse));
            to.number(slot.index);
            slot.counts.encode(to);
        }
    }

    pub(super) fn decode(from: &mut BlobReader<'_>) -> Option<Self> {
        let mut slots = Vec::new();
        for _ in 0..from.length(MAX_SLOTS)? {
            let coarse = from.number()? == 1;
            let index = from.number()?;
            let counts = Counts::decode(from)?;
            slots.push(Slot {
                coarse,
                index,
                counts,
            });
        }
        Some(Self { slots })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn requests(all: u32) -> Counts {
        Counts {
            tally: Tally { bad: 0, all },
            histogram: Histogram::default(),
        }
    }

    #[test]
    fn a_window_covers_its_length_and_at_most_one_slot_more() {
        let lengths = SlotLengths::of(Duration::from_mins(1));
        // At any position within a slot.
        for offset in (0..20_000).step_by(777) {
            let counted = 100 * MINUTE + offset;
            for (after, all) in [(0, 9), (59_999, 9), (70_000, 0), (10 * MINUTE, 0)] {
                let mut window = Window::default();
                window.add(lengths, counted, &requests(9));
                let now = counted + after;
                assert_eq!(
                    window.tally(lengths, now, Lookback::ALL[0]).all,
                    all,
                    "{after}"
                );
            }
            let mut window = Window::default();
            window.add(lengths, counted, &requests(9));
            for (after, all) in [(0, 9), (8 * MINUTE - 1, 9), (10 * MINUTE, 0)] {
                let now = counted + after;
                assert_eq!(
                    window.tally(lengths, now, Lookback::LONGEST).all,
                    all,
                    "{after}"
                );
            }
        }
    }

    #[test]
    fn a_window_stretches_to_the_shortest_sufficient_lookback() {
        let lengths = SlotLengths::of(Duration::from_mins(1));
        let mut window = Window::default();
        let now = 1_000 * MINUTE;
        for minutes in (0..10).rev() {
            window.add(lengths, now - minutes * MINUTE, &requests(10));
        }
        for (min, all) in [(1, 20), (20, 20), (21, 30), (31, 50), (71, 90), (91, 0)] {
            let found = window.shortest_with(lengths, now, min);
            assert_eq!(found.map_or(0, |(_, tally)| tally.all), all, "{min}");
        }
    }

    #[test]
    fn a_window_never_exceeds_its_number_of_slots() {
        let lengths = SlotLengths::of(Duration::from_secs(30));
        let mut window = Window::default();
        let mut now = MINUTE;
        for step in 0..5_000_u64 {
            now += step * 7_919 % 31_000;
            window.add(lengths, now, &requests(1));
            assert!(window.slots.len() <= MAX_SLOTS);
            assert!(window.tally(lengths, now, Lookback::ALL[0]).all >= 1);
        }
    }
}

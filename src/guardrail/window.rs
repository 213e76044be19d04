//! Counts of the recent past.
//!
//! A window is made of slots that each cover a fixed stretch of the clock, so merging is
//! adding to a slot, in any order. A second, coarser kind covers ten times as long: where
//! the window holds too few requests for a verdict, it stretches until it holds enough.

use std::time::Duration;

use super::evidence::Tally;
use super::latency::{Dense, Histogram};
use super::millis;
use super::wire::{Reader, Writer};

/// A window is the slot that is being filled and the six before it, so at least as long as
/// it says.
const FINE: u64 = 7;
/// Stretched, it is the coarse slot that is being filled and up to four before it.
const COARSE: u64 = 5;
/// How far a window stretches.
const STRETCH: u64 = 10;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, and how many of them failed, or were too slow.
    pub tally: Tally,
    /// Their latencies, where a limit compares them.
    pub histogram: Histogram,
}

impl Counts {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.tally = self.tally.plus(other.tally);
        self.histogram.add(&other.histogram);
    }
}

/// The lengths of a window's slots, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    fine: u64,
    coarse: u64,
}

impl Lengths {
    /// Those of a window of this length.
    // Inlined many times over it would take a kilobyte.
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    pub fn of(window: Duration) -> Self {
        let window = millis(window).max(1);
        Self {
            fine: window.div_ceil(FINE.saturating_sub(1)),
            coarse: window.saturating_mul(STRETCH).div_ceil(COARSE),
        }
    }

    /// The slot of an instant.
    fn slot(self, coarse: bool, now: u64) -> u64 {
        let length = if coarse { self.coarse } else { self.fine };
        now.checked_div(length).unwrap_or_default()
    }
}

/// Which part of the past a verdict is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    coarse: bool,
    /// How many slots before the current one.
    back: u64,
}

impl Span {
    /// The window, and stretched more and more.
    const ALL: [Self; 5] = [
        Self::of(false, FINE.saturating_sub(1)),
        Self::of(true, 1),
        Self::of(true, 2),
        Self::of(true, 3),
        Self::LONGEST,
    ];
    /// As far back as anything is known.
    pub const LONGEST: Self = Self::of(true, COARSE.saturating_sub(1));

    const fn of(coarse: bool, back: u64) -> Self {
        Self { coarse, back }
    }
}

/// The counts of the recent past. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// A handful, in no order; those that are too old make room for new ones.
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Slot {
    coarse: bool,
    /// Which stretch of the clock this is: the instant divided by the length.
    index: u64,
    counts: Counts,
}

/// The most slots that a window has, of both kinds.
const MAX_SLOTS: usize = 12;

impl Window {
    /// Adds counts at an instant.
    pub fn add(&mut self, lengths: Lengths, now: u64, counts: &Counts) {
        for coarse in [false, true] {
            let index = lengths.slot(coarse, now);
            let most = if coarse { COARSE } else { FINE };
            // In the place of one that is too old, if there is one. Its own comes first
            // where there is one, since it took such a place.
            let same = |slot: &&mut Slot| {
                slot.coarse == coarse && (slot.index == index || slot.index.abs_diff(index) >= most)
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

    /// The shortest span that holds this many requests, if one does, and what it holds.
    pub fn enough(&self, lengths: Lengths, now: u64, least: u32) -> Option<(Span, Tally)> {
        for span in Span::ALL {
            let tally = self.tally(lengths, now, span);
            if tally.all >= least {
                return Some((span, tally));
            }
        }
        None
    }

    /// All that was counted within a span, in total.
    pub fn tally(&self, lengths: Lengths, now: u64, span: Span) -> Tally {
        let mut sum = Tally::default();
        for counts in self.within(lengths, now, span) {
            sum = sum.plus(counts.tally);
        }
        sum
    }

    /// The latencies within a span.
    pub fn by_bucket(&self, lengths: Lengths, now: u64, span: Span) -> Dense {
        let mut sum = Dense::default();
        for counts in self.within(lengths, now, span) {
            sum.add(&counts.histogram);
        }
        sum
    }

    fn within(&self, lengths: Lengths, now: u64, span: Span) -> impl Iterator<Item = &Counts> {
        let last = lengths.slot(span.coarse, now);
        let first = last.saturating_sub(span.back);
        self.slots
            .iter()
            .filter(move |slot| slot.coarse == span.coarse)
            .filter(move |slot| first <= slot.index && slot.index <= last)
            .map(|slot| &slot.counts)
    }

    /// Forgets the oldest histogram, not how many were slower than `max`. `false` where
    /// there is none.
    pub(super) fn forget_oldest_histogram(&mut self) -> bool {
        let with = self.slots.iter_mut();
        let with = with.filter(|slot| !slot.counts.histogram.is_empty());
        // The coarse ones have the smaller numbers, and are those that can be done without.
        let oldest = with.min_by_key(|slot| slot.index);
        oldest.is_some_and(|slot| {
            slot.counts.histogram = Histogram::default();
            true
        })
    }

    pub(super) fn encode(&self, to: &mut Writer) {
        to.length(self.slots.len());
        for slot in &self.slots {
            to.number(u64::from(slot.coarse));
            to.number(slot.index);
            to.number(u64::from(slot.counts.tally.all));
            to.number(u64::from(slot.counts.tally.bad));
            slot.counts.histogram.encode(to);
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let mut slots = Vec::new();
        for _ in 0..from.length(MAX_SLOTS)? {
            let coarse = from.number()? == 1;
            let index = from.number()?;
            let (all, bad) = (from.small()?, from.small()?);
            let tally = Tally {
                bad: bad.min(all),
                all,
            };
            let histogram = Histogram::decode(from)?;
            slots.push(Slot {
                coarse,
                index,
                counts: Counts { tally, histogram },
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
    fn a_window_holds_at_least_as_long_as_it_says_and_little_more() {
        let lengths = Lengths::of(Duration::from_mins(1));
        // Wherever within a slot it was counted.
        for offset in (0..20_000).step_by(777) {
            let counted = 100 * MINUTE + offset;
            for (after, all) in [(0, 9), (59_999, 9), (70_000, 0), (10 * MINUTE, 0)] {
                let mut window = Window::default();
                window.add(lengths, counted, &requests(9));
                let now = counted + after;
                assert_eq!(window.tally(lengths, now, Span::ALL[0]).all, all, "{after}");
            }
            let mut window = Window::default();
            window.add(lengths, counted, &requests(9));
            for (after, all) in [(0, 9), (8 * MINUTE - 1, 9), (10 * MINUTE, 0)] {
                let now = counted + after;
                assert_eq!(
                    window.tally(lengths, now, Span::LONGEST).all,
                    all,
                    "{after}"
                );
            }
        }
    }

    #[test]
    fn it_stretches_no_further_than_it_has_to() {
        let lengths = Lengths::of(Duration::from_mins(1));
        let mut window = Window::default();
        let now = 1_000 * MINUTE;
        for minutes in (0..10).rev() {
            window.add(lengths, now - minutes * MINUTE, &requests(10));
        }
        for (least, all) in [(1, 20), (20, 20), (21, 30), (31, 50), (71, 90), (91, 0)] {
            let found = window.enough(lengths, now, least);
            assert_eq!(found.map_or(0, |(_, tally)| tally.all), all, "{least}");
        }
    }

    #[test]
    fn it_never_has_more_slots_than_it_may() {
        let lengths = Lengths::of(Duration::from_secs(30));
        let mut window = Window::default();
        let mut now = MINUTE;
        for step in 0..5_000_u64 {
            now += step * 7_919 % 31_000;
            window.add(lengths, now, &requests(1));
            assert!(window.slots.len() <= MAX_SLOTS);
            assert!(window.tally(lengths, now, Span::ALL[0]).all >= 1);
        }
    }
}

//! Counts of the recent past.
//!
//! A window is a ring of slots that each cover a fixed stretch of the clock, so merging is
//! adding to a slot, in any order. A second, coarser ring covers ten times as long: where
//! the window holds too few requests for a verdict, it stretches until it holds enough.

use std::time::Duration;

use super::latency::{Dense, Histogram};
use super::millis;
use super::wire::{Reader, Writer};

/// A window is the slot that is being filled and the six before it, so at least as long as
/// it says.
const FINE: usize = 7;
/// Stretched, it is the coarse slot that is being filled and up to four before it.
const COARSE: usize = 5;
/// How far a window stretches.
const STRETCH: u64 = 10;

/// What a slot counts.
pub trait Counts: Default {
    /// Of how many requests.
    fn requests(&self) -> u32;
    /// Adds what was counted elsewhere.
    fn add(&mut self, other: &Self);
}

/// Requests and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// All of them.
    pub requests: u32,
    /// Those that failed.
    pub failures: u32,
}

/// Requests by their latency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// All whose latency counts.
    pub requests: u32,
    /// Those that were slower than `max`, to the nanosecond.
    pub slow: u32,
    /// All by bucket, if a limit needs that.
    pub histogram: Histogram,
}

impl Counts for Errors {
    fn requests(&self) -> u32 {
        self.requests
    }

    fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.failures = self.failures.saturating_add(other.failures);
    }
}

impl Counts for Latencies {
    fn requests(&self) -> u32 {
        self.requests
    }

    fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.slow = self.slow.saturating_add(other.slow);
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
    pub fn of(window: Duration) -> Self {
        let window = millis(window).max(1);
        let coarse = window.saturating_mul(STRETCH);
        Self {
            fine: window.div_ceil((FINE as u64).saturating_sub(1)),
            coarse: coarse.div_ceil(COARSE as u64),
        }
    }
}

/// Which part of the past a verdict is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The window.
    Window,
    /// The window stretched over this many coarse slots before the current one.
    Stretched(u64),
}

impl Span {
    /// As far back as anything is known.
    pub const LONGEST: Self = Self::Stretched((COARSE as u64).saturating_sub(1));
}

/// The counts of the recent past. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring<T> {
    fine: [Slot<T>; FINE],
    coarse: [Slot<T>; COARSE],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Slot<T> {
    /// Which stretch of the clock this is: the instant divided by the length.
    index: u64,
    counts: T,
}

impl<T: Counts> Ring<T> {
    /// Adds counts at an instant.
    pub fn add(&mut self, lengths: Lengths, now: u64, counts: &T) {
        slot(&mut self.fine, lengths.fine, now, counts);
        slot(&mut self.coarse, lengths.coarse, now, counts);
    }

    /// The shortest span that holds this many requests, if one does.
    pub fn span(&self, lengths: Lengths, now: u64, least: u32) -> Option<Span> {
        let requests = |span| {
            self.within(lengths, now, span)
                .fold(0_u32, |sum, counts| sum.saturating_add(counts.requests()))
        };
        let stretched = (1..COARSE as u64).map(Span::Stretched);
        std::iter::once(Span::Window)
            .chain(stretched)
            .find(|span| requests(*span) >= least)
    }

    /// All that was counted within a span, slot by slot.
    pub fn within(&self, lengths: Lengths, now: u64, span: Span) -> impl Iterator<Item = &T> {
        let (slots, length, back) = match span {
            Span::Window => (
                &self.fine[..],
                lengths.fine,
                (FINE as u64).saturating_sub(1),
            ),
            Span::Stretched(back) => (&self.coarse[..], lengths.coarse, back),
        };
        let last = index(now, length);
        let within = last.saturating_sub(back)..=last;
        slots
            .iter()
            .filter(move |slot| within.contains(&slot.index))
            .map(|slot| &slot.counts)
    }

    /// What was counted within a span, in total.
    pub fn total(&self, lengths: Lengths, now: u64, span: Span) -> T {
        let mut total = T::default();
        for counts in self.within(lengths, now, span) {
            total.add(counts);
        }
        total
    }

    fn slots(&self) -> impl Iterator<Item = &Slot<T>> {
        self.fine.iter().chain(&self.coarse)
    }

    fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot<T>> {
        self.fine.iter_mut().chain(&mut self.coarse)
    }

    fn encode_with(&self, to: &mut Writer, counts: impl Fn(&T, &mut Writer)) {
        for slot in self.slots() {
            let requests = slot.counts.requests();
            to.number(u64::from(requests));
            // Most slots are empty where there is little traffic.
            if requests > 0 {
                to.number(slot.index);
                counts(&slot.counts, to);
            }
        }
    }

    fn decode_with(
        from: &mut Reader<'_>,
        counts: impl Fn(u32, &mut Reader<'_>) -> Option<T>,
    ) -> Option<Self> {
        let mut ring = Self {
            fine: Default::default(),
            coarse: Default::default(),
        };
        for slot in ring.slots_mut() {
            let requests = from.small()?;
            if requests > 0 {
                slot.index = from.number()?;
                slot.counts = counts(requests, from)?;
            }
        }
        Some(ring)
    }
}

impl Ring<Errors> {
    pub(super) fn encode(&self, to: &mut Writer) {
        self.encode_with(to, |counts, to| to.number(u64::from(counts.failures)));
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        Self::decode_with(from, |requests, from| {
            let failures = from.small()?.min(requests);
            Some(Errors { requests, failures })
        })
    }
}

impl Ring<Latencies> {
    pub(super) fn encode(&self, to: &mut Writer) {
        self.encode_with(to, |counts, to| {
            to.number(u64::from(counts.slow));
            counts.histogram.encode(to);
        });
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        Self::decode_with(from, |requests, from| {
            Some(Latencies {
                requests,
                slow: from.small()?.min(requests),
                histogram: Histogram::decode(from)?,
            })
        })
    }

    /// By bucket, within a span.
    pub fn by_bucket(&self, lengths: Lengths, now: u64, span: Span) -> Dense {
        let mut sum = Dense::default();
        for counts in self.within(lengths, now, span) {
            sum.add(&counts.histogram);
        }
        sum
    }

    /// Forgets the oldest histogram, not how many were slower than `max`. `false` where
    /// there is none.
    pub(super) fn forget_oldest_histogram(&mut self) -> bool {
        let with = self.slots_mut().filter(|s| !s.counts.histogram.is_empty());
        // By index within a ring: the coarse ring has the smaller ones, and is the one
        // that can be done without.
        let oldest = with.min_by_key(|slot| slot.index);
        oldest.is_some_and(|slot| {
            slot.counts.histogram = Histogram::default();
            true
        })
    }
}

fn slot<T: Counts>(slots: &mut [Slot<T>], length: u64, now: u64, counts: &T) {
    let index = index(now, length);
    let place = index.checked_rem(slots.len() as u64).unwrap_or_default();
    let Some(slot) = usize::try_from(place).ok().and_then(|p| slots.get_mut(p)) else {
        return;
    };
    if slot.index != index {
        *slot = Slot {
            index,
            counts: T::default(),
        };
    }
    slot.counts.add(counts);
}

fn index(now: u64, length: u64) -> u64 {
    now.checked_div(length).unwrap_or_default()
}

//! The outages that all workers of a process know, and their encoding for shared data. Must not
//! depend on how shared data is read or written.
//!
//! An outage is three numbers of 64 bits, little-endian. Another layout needs another name of the value,
//! because another version of divvy may run in the same process.

use murmur3::murmur3_x64_128;

/// Maximum number of outages. Above it, the one whose time passed first is forgotten.
const MAX_OUTAGES: usize = 1_024;
/// Half of the first pause, 5 s, in milliseconds. During a pause nothing tries the version.
const BEFORE_FIRST_PAUSE: u64 = 2_500;
/// Longest pause in milliseconds.
const LONGEST_PAUSE: u64 = 60_000;
/// Maximum time in milliseconds for which one request has the turn to try. Then another one gets it:
/// the first hangs, or its worker's VM has failed.
const TURN: u64 = 60_000;
/// Time in milliseconds for which an outage that is over is remembered, so that the pauses of a
/// version that comes and goes keep growing.
const MEMORY: u64 = 60_000;

/// Hash by which all configurations and workers know a version, of the names of rollout, revision
/// and version, and of the target, none of which has a line break.
pub fn outage_key(parts: [&str; 4]) -> u64 {
    let text = parts.join("\n");
    let hash = murmur3_x64_128(&mut text.as_bytes(), 0).unwrap_or_default();
    u64::try_from(hash >> 64).unwrap_or_default()
}

/// The versions that are unreachable, or were until recently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outages(Vec<Outage>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outage {
    key: u64,
    /// The current pause, or the last one.
    pause: u64,
    phase: OutagePhase,
    /// When a request may try, or when the outage ended.
    time: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum OutagePhase {
    Pausing,
    /// A request tries; another one may after its time.
    Trying,
    Over,
}

/// What happened to a version in one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutageEvent {
    /// A [`super::FailureRun`] reached its limit.
    Trip,
    /// A request wants to try the version.
    Try,
    /// The request that tried was not answered by the version.
    TryFailed,
    /// The version answered the request that tried.
    TrySucceeded,
    /// The request that tried ended without saying anything about the version.
    TryEnded,
}

/// Time from which on a request may try an unreachable version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryTime(pub u64);

impl Outages {
    /// Whether no outage is known.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When a request may try this version; `None` if it is reachable.
    pub fn try_time(&self, key: u64) -> Option<TryTime> {
        let outage = self.0.iter().find(|outage| outage.key == key)?;
        (!outage.is_over()).then_some(TryTime(outage.time))
    }

    /// Changes the outage of a version. `false`: the event changes nothing, for example because
    /// another worker was first.
    pub fn apply(&mut self, key: u64, event: OutageEvent, now: u64) -> bool {
        let Some(outage) = self.0.iter_mut().find(|outage| outage.key == key) else {
            if event == OutageEvent::Trip {
                self.begin(key, now);
            }
            return event == OutageEvent::Trip;
        };
        let is_over = outage.is_over();
        let is_tried = outage.phase == OutagePhase::Trying;
        let (phase, time) = match event {
            OutageEvent::Trip if is_over => {
                if now.saturating_sub(outage.time) >= MEMORY {
                    outage.pause = BEFORE_FIRST_PAUSE;
                }
                (OutagePhase::Pausing, outage.next_pause(now))
            }
            OutageEvent::TryFailed if is_tried => (OutagePhase::Pausing, outage.next_pause(now)),
            OutageEvent::TryEnded if is_tried => (OutagePhase::Pausing, now),
            OutageEvent::Try if !is_over && outage.time <= now => {
                (OutagePhase::Trying, now.saturating_add(TURN))
            }
            OutageEvent::TrySucceeded if !is_over => (OutagePhase::Over, now),
            _ => return false,
        };
        (outage.phase, outage.time) = (phase, time);
        true
    }

    fn begin(&mut self, key: u64, now: u64) {
        let mut outage = Outage {
            key,
            pause: BEFORE_FIRST_PAUSE,
            phase: OutagePhase::Pausing,
            time: 0,
        };
        outage.time = outage.next_pause(now);
        let is_full = self.0.len() >= MAX_OUTAGES;
        let oldest = |one: &&mut Outage| (!one.is_over(), one.time);
        match self.0.iter_mut().min_by_key(oldest) {
            Some(oldest) if is_full => *oldest = outage,
            _ => self.0.push(outage),
        }
    }

    /// Encodes the outages.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for one in &self.0 {
            let kind = one.pause.saturating_mul(4) | one.phase as u64;
            let record = [one.key, kind, one.time].map(u64::to_le_bytes);
            bytes.extend_from_slice(record.as_flattened());
        }
        bytes
    }

    /// Decodes outages. Bytes that are no outages are some that never were, for a minute.
    #[inline(never)]
    pub fn decode(bytes: &[u8]) -> Self {
        let (numbers, _) = bytes.as_chunks::<8>();
        let (records, _) = numbers.as_chunks::<3>();
        let records = records.iter().take(MAX_OUTAGES);
        Self(records.map(|record| Outage::read(*record)).collect())
    }
}

impl Outage {
    const fn is_over(&self) -> bool {
        matches!(self.phase, OutagePhase::Over)
    }

    /// The end of the next longer pause.
    fn next_pause(&mut self, now: u64) -> u64 {
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        now.saturating_add(self.pause)
    }

    fn read(record: [[u8; 8]; 3]) -> Self {
        let [key, kind, time] = record.map(u64::from_le_bytes);
        Self {
            key,
            pause: kind / 4,
            phase: match kind % 4 {
                0 => OutagePhase::Pausing,
                1 => OutagePhase::Trying,
                _ => OutagePhase::Over,
            },
            time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: u64 = 7;
    /// One outage that began at 0.
    fn tripped() -> Outages {
        let mut outages = Outages::default();
        assert!(outages.apply(KEY, OutageEvent::Trip, 0));
        outages
    }

    #[test]
    fn one_request_tries_after_each_pause_and_pauses_double_up_to_a_minute() {
        let mut outages = tripped();
        let mut now = 0;
        for pause in [5, 10, 20, 40, 60, 60].map(|seconds| seconds * 1_000) {
            assert_eq!(outages.try_time(KEY), Some(TryTime(now + pause)));
            let mut try_at = |now| outages.apply(KEY, OutageEvent::Try, now);
            assert!(!try_at(now + pause - 1), "too early");
            assert!(try_at(now + pause));
            assert!(!try_at(now + pause), "another request tries");
            now += pause + 300;
            assert!(outages.apply(KEY, OutageEvent::TryFailed, now));
        }
    }

    #[test]
    fn an_answer_ends_the_outage() {
        let mut outages = tripped();
        assert!(outages.apply(KEY, OutageEvent::Try, 5_000));
        assert!(outages.apply(KEY, OutageEvent::TrySucceeded, 5_100));
        assert_eq!(outages.try_time(KEY), None);
        let again = outages.apply(KEY, OutageEvent::TrySucceeded, 5_200);
        assert!(!again, "another worker said so already");
    }

    #[test]
    fn an_outage_soon_after_another_begins_with_the_next_longer_pause() {
        for (later, pause) in [(59_999, 10_000), (60_000, 5_000)] {
            let mut outages = tripped();
            outages.apply(KEY, OutageEvent::Try, 5_000);
            outages.apply(KEY, OutageEvent::TrySucceeded, 5_000);
            let again = 5_000 + later;
            assert!(outages.apply(KEY, OutageEvent::Trip, again));
            assert_eq!(outages.try_time(KEY), Some(TryTime(again + pause)));
        }
    }

    #[test]
    fn a_turn_that_ends_without_a_result_or_not_at_all_goes_to_another_request() {
        let mut outages = tripped();
        assert!(outages.apply(KEY, OutageEvent::Try, 5_000));
        assert!(outages.apply(KEY, OutageEvent::TryEnded, 6_000));
        assert!(outages.apply(KEY, OutageEvent::Try, 6_000));
        assert!(!outages.apply(KEY, OutageEvent::Try, 65_999));
        assert!(outages.apply(KEY, OutageEvent::Try, 66_000));
    }

    #[test]
    fn what_another_worker_knows_already_changes_nothing() {
        let mut outages = tripped();
        let before = outages.clone();
        for event in [
            OutageEvent::Trip,
            OutageEvent::Try,
            OutageEvent::TryFailed,
            OutageEvent::TryEnded,
        ] {
            assert!(!outages.apply(KEY, event, 1_000), "{event:?}");
        }
        assert_eq!(outages, before);
        let other = outages.apply(8, OutageEvent::TryFailed, 1_000);
        assert!(!other, "a version without an outage");
    }

    #[test]
    fn outages_are_read_as_they_were_written() {
        let mut outages = tripped();
        outages.apply(8, OutageEvent::Trip, 9_000);
        outages.apply(u64::MAX, OutageEvent::Trip, 10_000);
        outages.apply(KEY, OutageEvent::Try, 10_000);
        outages.apply(8, OutageEvent::Try, 14_000);
        outages.apply(8, OutageEvent::TrySucceeded, 14_000);
        let bytes = outages.encode();
        assert_eq!(Outages::decode(&bytes), outages);
        // What was cut off is left out.
        for (length, number) in [(0, 0), (23, 0), (24, 1), (bytes.len() - 1, 2)] {
            assert_eq!(Outages::decode(&bytes[..length]).0, outages.0[..number]);
        }
        // Any bytes are read.
        let _ = Outages::decode(&[0xff; 100]).apply(KEY, OutageEvent::Trip, u64::MAX);
    }

    #[test]
    fn the_number_of_outages_is_bounded() {
        let mut outages = Outages::default();
        for key in 0..MAX_OUTAGES as u64 + 10 {
            outages.apply(key, OutageEvent::Trip, key);
        }
        assert_eq!(outages.0.len(), MAX_OUTAGES);
        assert_eq!(outages.try_time(9), None, "the oldest are forgotten");
        assert!(outages.try_time(10).is_some());
        assert_eq!(Outages::decode(&outages.encode()), outages);
    }

    #[test]
    fn an_outage_that_is_over_is_forgotten_before_one_that_lasts() {
        let mut outages = Outages::default();
        for key in 0..MAX_OUTAGES as u64 {
            outages.apply(key, OutageEvent::Trip, key);
        }
        // They ended after all others began.
        for (key, end) in [(500, 20_000), (600, 10_000)] {
            outages.apply(key, OutageEvent::Try, 9_000);
            assert!(outages.apply(key, OutageEvent::TrySucceeded, end));
        }
        let knows = |outages: &Outages, key| outages.0.iter().any(|outage| outage.key == key);
        for (new, forgotten) in [(2_000, 600), (2_001, 500), (2_002, 0)] {
            assert!(knows(&outages, forgotten), "{forgotten}");
            outages.apply(new, OutageEvent::Trip, 30_000);
            assert!(!knows(&outages, forgotten), "{forgotten}");
            assert!(outages.try_time(new).is_some());
        }
    }

    #[test]
    fn revisions_and_targets_have_outages_of_their_own() {
        let base = ["shop", "1", "v2", "shop-v2"];
        let key = outage_key(base);
        for (index, other) in ["shops", "2", "v3", "shop-v3"].into_iter().enumerate() {
            let mut parts = base;
            parts[index] = other;
            assert_ne!(outage_key(parts), key, "{parts:?}");
        }
        assert_ne!(
            outage_key(["a", "b", "", ""]),
            outage_key(["ab", "", "", ""])
        );
    }
}

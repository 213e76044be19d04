//! Latency histograms with buckets 3 % wide. Must not depend on windows or limits.
//!
//! Each bucket is 3 % wider than the one before, so a multiple of a quantile is a shift by whole
//! buckets. They cover 0.5 ms to two minutes; latencies beyond are in the outermost buckets.
//!
//! Slots of a window store the sparse form [`Histogram`]; counting and summing use [`Dense`].

use std::time::Duration;

use super::wire::{BlobReader, BlobWriter};

/// Number of buckets.
pub const BUCKETS: usize = 420;
/// Ratio of the widths of neighbouring buckets.
const GROWTH: f64 = 1.03;
/// Upper edge of the first bucket in seconds.
const FLOOR: f64 = 0.0005;

/// Bucket of a latency.
pub fn bucket(latency: Duration) -> u16 {
    let ratio = latency.as_secs_f64() / FLOOR;
    if ratio < 1.0 {
        return 0;
    }
    let place = libm::floor(libm::log(ratio) / libm::log(GROWTH)) + 1.0;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small, not negative, and `as` saturates"
    )]
    let place = place as usize;
    u16::try_from(place.min(BUCKETS.saturating_sub(1))).unwrap_or_default()
}

/// Upper edge of a bucket.
pub fn upper_edge(bucket: usize) -> Duration {
    // A loop is fast enough for log lines, and libm's pow adds 2 KB to the module.
    let edge = (0..bucket.min(BUCKETS)).fold(FLOOR, |edge, _| edge * GROWTH);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and `as` saturates"
    )]
    let nanos = (edge * 1e9) as u64;
    Duration::from_nanos(nanos)
}

/// Number of buckets between a latency and this multiple of it, rounded up.
pub fn shift(times: f64) -> usize {
    let buckets = libm::ceil(libm::log(times.max(1.0)) / libm::log(GROWTH) - 1e-9);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and `as` saturates"
    )]
    let shift = buckets as usize;
    shift.min(BUCKETS)
}

/// Counts by bucket, without the zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(Vec<(u16, u32)>);

/// Counts by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense([u32; BUCKETS]);

impl Default for Dense {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Dense {
    /// Counts requests in a bucket.
    pub fn count(&mut self, bucket: u16, requests: u32) {
        if let Some(count) = self.0.get_mut(usize::from(bucket)) {
            *count = count.saturating_add(requests);
        }
    }

    /// Adds another histogram.
    pub fn add(&mut self, other: &Histogram) {
        for (bucket, requests) in &other.0 {
            self.count(*bucket, *requests);
        }
    }

    /// Number of requests.
    pub fn total(&self) -> u32 {
        self.0.iter().copied().fold(0, u32::saturating_add)
    }

    /// The sparse form.
    pub fn sparse(&self) -> Histogram {
        let counts = (0..).zip(self.0).filter(|(_, requests)| *requests > 0);
        Histogram(counts.collect())
    }

    /// Number of requests in slower buckets, for each bucket.
    pub fn slower(&self) -> [u32; BUCKETS] {
        let mut tails = [0; BUCKETS];
        let mut tail: u32 = 0;
        for (slot, count) in tails.iter_mut().zip(self.0).rev() {
            *slot = tail;
            tail = tail.saturating_add(count);
        }
        tails
    }
}

impl Histogram {
    /// Whether there are no requests.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds another histogram.
    pub fn add(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
        } else if !other.is_empty() {
            let mut sum = Dense::default();
            sum.add(self);
            sum.add(other);
            *self = sum.sparse();
        }
    }

    /// Encodes distances between buckets, which take one byte each.
    pub(super) fn encode(&self, to: &mut BlobWriter) {
        to.length(self.0.len());
        let mut before = 0;
        for (bucket, requests) in &self.0 {
            to.number(u64::from(bucket.saturating_sub(before)));
            to.number(u64::from(*requests));
            before = *bucket;
        }
    }

    pub(super) fn decode(from: &mut BlobReader<'_>) -> Option<Self> {
        let length = from.length(BUCKETS)?;
        let mut counts = Vec::with_capacity(length);
        let mut bucket: u16 = 0;
        for _ in 0..length {
            bucket = bucket.checked_add(u16::try_from(from.number()?).ok()?)?;
            counts.push((bucket, from.small()?));
        }
        (usize::from(bucket) < BUCKETS).then_some(Self(counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_in_a_bucket_differ_by_at_most_three_percent() {
        for micros in (500..2_000_000).step_by(37) {
            let latency = Duration::from_micros(micros);
            let bucket = usize::from(bucket(latency));
            let edges = [bucket - 1, bucket].map(|b| upper_edge(b).as_secs_f64());
            let within = latency.as_secs_f64();
            assert!(
                edges[0] <= within + 1e-9 && within <= edges[1] + 1e-9,
                "{micros}"
            );
            assert!(edges[1] / edges[0] < 1.030_001);
        }
    }

    #[test]
    fn latencies_out_of_range_are_in_the_outermost_buckets() {
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::from_micros(499)), 0);
        assert_eq!(usize::from(bucket(Duration::MAX)), BUCKETS - 1);
        assert!(usize::from(bucket(Duration::from_secs(115))) < BUCKETS - 1);
    }

    #[test]
    fn a_multiple_is_a_shift_rounded_up() {
        for (times, buckets) in [
            (0.5, 0),
            (1.0, 0),
            (1.01, 1),
            (1.03, 1),
            (1.1, 4),
            (2.0, 24),
            (f64::INFINITY, BUCKETS),
            (f64::NAN, 0),
        ] {
            assert_eq!(shift(times), buckets, "{times}");
        }
    }

    #[test]
    fn slower_counts_the_requests_in_slower_buckets() {
        let mut dense = Dense::default();
        for (bucket, requests) in [(3, 5), (7, 2), (419, 1)] {
            dense.count(bucket, requests);
        }
        let tails = dense.slower();
        for (bucket, tail) in [(0, 8), (2, 8), (3, 3), (6, 3), (7, 1), (418, 1), (419, 0)] {
            assert_eq!(tails[bucket], tail, "{bucket}");
        }
    }

    #[test]
    fn sums_are_commutative_and_survive_encoding() {
        let histogram = |counts: &[(u16, u32)]| Histogram(counts.to_vec());
        let one = histogram(&[(0, 1), (5, 2), (300, 70_000)]);
        let other = histogram(&[(5, 3), (6, 1), (419, u32::MAX)]);
        let (mut sum, mut reversed) = (one.clone(), other.clone());
        sum.add(&other);
        reversed.add(&one);
        assert_eq!(sum, reversed);
        let expected = [(0, 1), (5, 5), (6, 1), (300, 70_000), (419, u32::MAX)];
        assert_eq!(sum, histogram(&expected));
        let mut writer = BlobWriter::default();
        sum.encode(&mut writer);
        let bytes = writer.into_bytes();
        let mut reader = BlobReader::new(&bytes);
        assert_eq!(Histogram::decode(&mut reader), Some(sum));
        assert!(reader.is_done());
    }
}

//! Durations of requests, counted in classes of 2 % width. Must not depend on units.

/// Classes per doubling of the duration: 2^(1/36) is 1.0194.
const PER_DOUBLING: f64 = 36.0;
/// Up to 2^32 ms.
const CLASSES: usize = 32 * 36 + 1;

/// Durations by class. The first class is below one millisecond.
#[derive(Clone, Debug)]
pub struct LatencyCounts {
    counts: Vec<u64>,
}

impl Default for LatencyCounts {
    fn default() -> Self {
        Self {
            counts: vec![0; CLASSES],
        }
    }
}

impl LatencyCounts {
    /// Counts a duration in milliseconds.
    pub fn add(&mut self, millis: f32) {
        let class = match millis >= 1.0 {
            true => 1 + (f64::from(millis).log2() * PER_DOUBLING) as usize,
            false => 0,
        };
        self.counts[class.min(CLASSES - 1)] += 1;
    }

    /// The duration in milliseconds that this share of the requests does not exceed.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.counts.iter().sum();
        let rank = (share * total as f64).ceil().max(1.0) as u64;
        let mut sum = 0;
        let class = self.counts.iter().position(|count| {
            sum += count;
            sum >= rank
        });
        // The middle of the class.
        class.map(|class| match class {
            0 => 0.5,
            class => ((class as f64 - 0.5) / PER_DOUBLING).exp2(),
        })
    }
}

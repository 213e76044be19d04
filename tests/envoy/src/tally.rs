//! Answers to equal requests before and after a change: equal where one version answers, equal in shares otherwise.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::client::Response;

/// Maximum difference of two shares, in standard errors. Envoy draws by itself without `divvy`, so no salt
/// makes the first share the same each time; equal shares differ more than this once in 1.7 million.
const STANDARD_ERRORS: f64 = 5.0;

/// How often each answer came to requests that differ by their user only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    answers: BTreeMap<String, u32>,
}

impl Tally {
    /// Counts an answer, by its status, version and the headers that routes of the tests set.
    pub fn add(&mut self, answer: &Response) {
        let headers = ["x-shop-version", "x-served-by", "location"];
        let values = headers.map(|name| answer.header(name).unwrap_or_default());
        let key = format!("{} {}", answer.status, values.join(" "));
        *self.answers.entry(key.trim_end().to_owned()).or_default() += 1;
    }

    /// Number of answers.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.answers.values().sum()
    }

    /// Whether several answers came.
    #[must_use]
    pub fn is_divided(&self) -> bool {
        self.answers.len() > 1
    }

    /// Asserts that both have the same answers: all of them where only one came, within five standard errors of the
    /// difference of two shares where several came.
    pub fn same_as(&self, other: &Tally) -> Result<()> {
        let [one, two] = [self.count(), other.count()].map(f64::from);
        ensure!(one > 0.0 && two > 0.0, "no answers");
        ensure!(
            self.is_divided() == other.is_divided(),
            "one answer and several: {:?} and {:?}",
            self.answers,
            other.answers
        );
        for key in self.answers.keys().chain(other.answers.keys()) {
            let of = |tally: &Tally| f64::from(*tally.answers.get(key).unwrap_or(&0));
            let pooled = (of(self) + of(other)) / (one + two);
            let variance = pooled * (1.0 - pooled) * (1.0 / one + 1.0 / two);
            let difference = (of(self) / one - of(other) / two).abs();
            ensure!(
                difference <= STANDARD_ERRORS * variance.sqrt(),
                "{key:?}: {:?} and {:?}",
                self.answers,
                other.answers
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn tally(answers: &[(&str, u32)]) -> Tally {
        let answers = answers
            .iter()
            .map(|(key, count)| ((*key).to_owned(), *count));
        Tally {
            answers: answers.collect(),
        }
    }

    #[test]
    fn shares_may_differ_and_single_answers_may_not() {
        let half = tally(&[("v1", 500), ("v2", 500)]);
        half.same_as(&tally(&[("v1", 450), ("v2", 550)])).unwrap();
        for other in [
            tally(&[("v1", 380), ("v2", 620)]),
            tally(&[("v1", 1000)]),
            tally(&[("v1", 500), ("v3", 500)]),
            tally(&[]),
        ] {
            assert!(half.same_as(&other).is_err(), "{other:?}");
        }
        let single = tally(&[("v1", 1000)]);
        single.same_as(&single).unwrap();
        assert!(single.same_as(&tally(&[("v1", 980), ("v2", 20)])).is_err());
    }
}

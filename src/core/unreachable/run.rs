//! Failures in a row of one version in one worker. Must not depend on what other workers know.

use crate::response::ResponseFlags;

/// Number of responses in a row with UH or NC after which a version is unreachable.
const WITHOUT_HOST: u8 = 3;
/// Number of responses in a row, with UF among them, after which a version is unreachable.
const WITHOUT_CONNECTION: u8 = 7;

/// Outcome of an attempt to send a request to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Envoy had no healthy host or no cluster (UH, NC).
    NoHost,
    /// The connection failed (UF).
    NoConnection,
    /// The version got the request.
    Reached,
    /// The outcome says nothing about the version.
    Unknown,
}

impl Attempt {
    /// Outcome of a request to which Envoy or a filter behind divvy may have responded.
    /// `is_from_upstream` is asked only if the flags do not tell.
    pub fn of(flags: ResponseFlags, is_from_upstream: impl FnOnce() -> bool) -> Self {
        if flags.says_no_host() {
            Self::NoHost
        } else if flags.says_no_connection() {
            Self::NoConnection
        } else if flags.says_connected() || is_from_upstream() {
            Self::Reached
        } else {
            Self::Unknown
        }
    }
}

/// Failed attempts since the last response of the version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureRun {
    /// Number of the last ones in a row with [`Attempt::NoHost`].
    without_host: u8,
    all: u8,
}

impl FailureRun {
    /// Counts an attempt. Whether the version is unreachable.
    pub const fn count(&mut self, attempt: Attempt) -> bool {
        match attempt {
            Attempt::NoHost => {
                self.without_host = self.without_host.saturating_add(1);
                self.all = self.all.saturating_add(1);
            }
            Attempt::NoConnection => {
                self.without_host = 0;
                self.all = self.all.saturating_add(1);
            }
            Attempt::Reached => {
                self.without_host = 0;
                self.all = 0;
            }
            Attempt::Unknown => {}
        }
        self.without_host >= WITHOUT_HOST || self.all >= WITHOUT_CONNECTION
    }

    /// Whether there is no failure.
    pub const fn is_empty(self) -> bool {
        self.all == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `h` for UH or NC, `f` for UF, `a` for a response of the version, `-` for neither.
    fn trips_at(attempts: &str) -> Option<usize> {
        let mut run = FailureRun::default();
        attempts.chars().position(|letter| {
            run.count(match letter {
                'h' => Attempt::NoHost,
                'f' => Attempt::NoConnection,
                'a' => Attempt::Reached,
                _ => Attempt::Unknown,
            })
        })
    }

    #[test]
    fn three_without_a_host_or_seven_with_a_failed_connection_trip() {
        for (attempts, expected) in [
            ("hhh", Some(2)),
            ("hhahh", None),
            ("hhahhh", Some(5)),
            ("ffffff", None),
            ("fffffff", Some(6)),
            ("ffffffafffffff", Some(13)),
            // Three without a host, after others.
            ("ffhhh", Some(4)),
            // Seven in all: the connection failed between.
            ("hhfhhfh", Some(6)),
            ("hhfhhf", None),
            // What says nothing neither counts nor ends the run.
            ("h-h--h", Some(5)),
            ("fff---ffff", Some(9)),
        ] {
            assert_eq!(trips_at(attempts), expected, "{attempts}");
        }
    }

    #[test]
    fn a_response_without_a_flag_counts_by_its_sender() {
        let of = |bit: u32, upstream: bool| Attempt::of(ResponseFlags(1 << bit), || upstream);
        // UH, NC, UF; URX beside UF after the last of several connections.
        assert_eq!([1, 24, 5].map(|bit| of(bit, false)), {
            use Attempt::{NoConnection, NoHost};
            [NoHost, NoHost, NoConnection]
        });
        let retried = ResponseFlags(1 << 5 | 1 << 15);
        assert_eq!(Attempt::of(retried, || false), Attempt::NoConnection);
        // UC, UR, UPE: there was a connection.
        assert_eq!([6, 4, 23].map(|bit| of(bit, false)), [Attempt::Reached; 3]);
        // UT, UO, a rate limit: it is unknown whether the version was reached.
        assert_eq!([2, 7, 11].map(|bit| of(bit, false)), [Attempt::Unknown; 3]);
        let none = ResponseFlags(0);
        assert_eq!(Attempt::of(none, || true), Attempt::Reached);
        assert_eq!(Attempt::of(none, || false), Attempt::Unknown);
    }
}

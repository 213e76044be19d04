//! What a guardrail did, as values that print themselves: one line for the log, with the
//! limit, what was seen, and what happens next.

use std::fmt;
use std::time::Duration;

use super::verdict::Cause;
use super::{Arm, Plan, millis};
use crate::bucket::Share;

/// Something that happened to a version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// To which.
    pub arm: Arm,
    /// What.
    pub change: Change,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Stable serves its share from now on.
    RolledBack {
        /// Why.
        cause: Cause,
        /// When it is tried again; `None`: not in this revision.
        again_in: Option<Duration>,
    },
    /// Its ramp goes no further.
    Frozen {
        /// Why.
        cause: Cause,
        /// The weight that it keeps.
        weight: Share,
        /// When it goes on; `None`: not in this revision.
        again_in: Option<Duration>,
    },
    /// It breaches a limit, and that is only reported.
    Observed {
        /// Which.
        cause: Cause,
    },
    /// It breached a limit, was only reported, and has been within its limits since for as
    /// long as they look back.
    Settled,
    /// It is tried again after a rollback.
    Recovered {
        /// Where its ramp begins, if it has one.
        weight: Option<Share>,
    },
    /// Its ramp goes on after a freeze.
    Thawed {
        /// The weight that it goes on from.
        weight: Share,
    },
    /// The clock jumped ahead, which must not take the ramp along.
    HeldBack {
        /// The weight that the ramp goes on from.
        weight: Share,
    },
}

impl Transition {
    /// Whether somebody should look: a limit is breached.
    pub const fn is_breach(&self) -> bool {
        use Change::{Frozen, Observed, RolledBack};
        matches!(
            self.change,
            RolledBack { .. } | Frozen { .. } | Observed { .. }
        )
    }

    /// The line for the log, without the name of the rollout.
    pub fn line<'a>(&'a self, plan: &'a Plan) -> impl fmt::Display {
        Line {
            name: plan.name(self.arm),
            change: &self.change,
        }
    }
}

struct Line<'a> {
    name: &'a str,
    change: &'a Change,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match self.change {
            Change::RolledBack { cause, again_in } => {
                write!(f, "{name} is rolled back to stable: {cause}; ")?;
                match again_in {
                    Some(again_in) => write!(f, "it is tried again in {}", Shown(*again_in)),
                    None => f.write_str("it stays so until the revision changes"),
                }
            }
            Change::Frozen {
                cause,
                weight,
                again_in,
            } => {
                write!(f, "{name} is frozen at {}: {cause}; ", Shown(*weight))?;
                match again_in {
                    Some(again_in) => write!(f, "it goes on in {}", Shown(*again_in)),
                    None => f.write_str("it stays so until the revision changes"),
                }
            }
            Change::Observed { cause } => write!(
                f,
                "{name} breaches its guardrail: {cause}; nothing happens, onBreach is observe"
            ),
            Change::Settled => write!(f, "{name} is within its guardrail again"),
            Change::Recovered { weight: None } => write!(f, "{name} is tried again"),
            Change::Recovered {
                weight: Some(weight),
            } => write!(
                f,
                "{name} is tried again, from the first step, {}",
                Shown(*weight)
            ),
            Change::Thawed { weight } => write!(
                f,
                "{name} goes on from {}, one step per hold",
                Shown(*weight)
            ),
            Change::HeldBack { weight } => write!(
                f,
                "{name} goes on from {}, one step per hold: the clock jumped ahead",
                Shown(*weight)
            ),
        }
    }
}

/// As a configuration would say it.
pub(super) struct Shown<T>(pub T);

impl fmt::Display for Shown<Share> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(u64::from(self.0.ppm()), f)?;
        f.write_str(" %")
    }
}

impl fmt::Display for Shown<f64> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and `as` saturates"
        )]
        let ten_thousandths = libm::round(self.0 * 10_000.0) as u64;
        decimal(ten_thousandths, f)
    }
}

/// So many ten thousandths. The standard library's formatting of floating point numbers
/// would add 18 KB to the filter.
fn decimal(ten_thousandths: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}", ten_thousandths / 10_000)?;
    let mut rest = ten_thousandths % 10_000;
    if rest > 0 {
        f.write_str(".")?;
    }
    let mut unit = 1_000;
    while let Some(digit) = rest.checked_div(unit)
        && rest > 0
    {
        write!(f, "{digit}")?;
        rest = rest.checked_rem(unit).unwrap_or_default();
        unit /= 10;
    }
    Ok(())
}

impl fmt::Display for Shown<Duration> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = millis(self.0);
        for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
            if millis >= unit && millis.checked_rem(unit) == Some(0) {
                let count = millis.checked_div(unit).unwrap_or_default();
                return write!(f, "{count}{name}");
            }
        }
        write!(f, "{millis}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::Tally;
    use super::super::{Guardrail, Plan};
    use super::*;

    #[test]
    fn numbers_are_as_a_configuration_has_them() {
        for (number, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (1.05, "1.05"),
            (0.9999, "0.9999"),
            (0.0001, "0.0001"),
            (33.3333, "33.3333"),
            (1_000.5, "1000.5"),
        ] {
            assert_eq!(Shown(number).to_string(), text);
        }
        for (percent, text) in [(0.0001, "0.0001 %"), (5.0, "5 %"), (100.0, "100 %")] {
            let share = Share::from_percent(percent).unwrap();
            assert_eq!(Shown(share).to_string(), text);
        }
        for (millis, text) in [
            (0, "0ms"),
            (320, "320ms"),
            (1_500, "1500ms"),
            (90_000, "90s"),
            (120_000, "2m"),
            (86_400_000, "24h"),
        ] {
            assert_eq!(Shown(Duration::from_millis(millis)).to_string(), text);
        }
    }

    #[test]
    fn a_line_says_which_limit_what_was_seen_and_what_happens_next() {
        let plan = Plan::new("1", Guardrail::default(), None, "v1", ["v2"]);
        let share = |percent| Share::from_percent(percent).unwrap();
        let tally = Tally { bad: 5, all: 20 };
        let stable = Tally { bad: 1, all: 900 };
        let errors = Cause::Errors {
            tally,
            max: share(0.5),
        };
        let again_in = Some(Duration::from_mins(20));
        for (change, line) in [
            (
                Change::RolledBack {
                    cause: errors,
                    again_in,
                },
                "v2 is rolled back to stable: 5 of 20 requests failed, errors.max is 0.5 %; it is \
                 tried again in 20m",
            ),
            (
                Change::RolledBack {
                    cause: Cause::Consecutive { failures: 10 },
                    again_in: None,
                },
                "v2 is rolled back to stable: 10 requests in a row failed, consecutiveErrors; it \
                 stays so until the revision changes",
            ),
            (
                Change::Frozen {
                    cause: Cause::Slow {
                        tally,
                        max: Duration::from_millis(320),
                        quantile: 0.95,
                    },
                    weight: share(25.0),
                    again_in: Some(Duration::from_secs(90)),
                },
                "v2 is frozen at 25 %: 5 of 20 requests took longer than latency.max, 320ms, for \
                 quantile 0.95; it goes on in 90s",
            ),
            (
                Change::Observed {
                    cause: Cause::OverStable {
                        tally,
                        stable,
                        margin: share(1.0),
                    },
                },
                "v2 breaches its guardrail: 5 of 20 requests failed, 1 of 900 to stable, \
                 errors.overStable is 1 %; nothing happens, onBreach is observe",
            ),
            (
                Change::Observed {
                    cause: Cause::SlowerThanStable {
                        tally,
                        stable: Duration::from_millis(40),
                        times: 1.1,
                        quantile: 0.95,
                    },
                },
                "v2 breaches its guardrail: 5 of 20 requests took longer than \
                 latency.timesStable, 1.1 times stable's 40ms, for quantile 0.95; nothing \
                 happens, onBreach is observe",
            ),
            (Change::Settled, "v2 is within its guardrail again"),
            (Change::Recovered { weight: None }, "v2 is tried again"),
            (
                Change::Recovered {
                    weight: Some(share(1.0)),
                },
                "v2 is tried again, from the first step, 1 %",
            ),
            (
                Change::Thawed {
                    weight: share(25.0),
                },
                "v2 goes on from 25 %, one step per hold",
            ),
            (
                Change::HeldBack { weight: share(5.0) },
                "v2 goes on from 5 %, one step per hold: the clock jumped ahead",
            ),
        ] {
            let transition = Transition {
                arm: Arm(1),
                change,
            };
            assert_eq!(transition.line(&plan).to_string(), line);
        }
    }
}

//! Transitions of a version between phases, and their log lines. Must not depend on state.

use std::fmt;
use std::time::Duration;

use super::plan::{Arm, Plan};
use super::progress::Lack;
use super::units::AsConfigured;
use super::verdict::Cause;
use crate::bucket::Share;

/// Transition of one version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// The version.
    pub arm: Arm,
    /// The kind of transition.
    pub kind: TransitionKind,
}

/// Kind of a transition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TransitionKind {
    /// Stable serves the version's share.
    RolledBack {
        /// The breached limit.
        cause: Cause,
        /// Time until the next attempt; `None`: not in this revision.
        retry_in: Option<Duration>,
    },
    /// The ramp stops.
    Frozen {
        /// The breached limit.
        cause: Cause,
        /// Whether it first went back to this weight.
        is_back: bool,
        /// The weight at which it stops.
        weight: Share,
        /// Time until the ramp continues; `None`: not in this revision.
        retry_in: Option<Duration>,
    },
    /// A limit is breached, which is only reported.
    Observed {
        /// The breached limit.
        cause: Cause,
    },
    /// No limit has been breached for the longest window after a breach that was only reported.
    Settled,
    /// The version is tried again after a rollback.
    Recovered {
        /// First weight of the ramp, if there is one.
        weight: Option<Share>,
    },
    /// The ramp continues after a freeze.
    Thawed {
        /// The weight from which it continues.
        weight: Share,
    },
    /// The clock was set ahead; the ramp does not follow.
    HeldBack {
        /// The weight from which the ramp continues.
        weight: Share,
    },
    /// The next step of the ramp is due, but there is no evidence for the present one.
    Waiting {
        /// The weight at which it stays.
        weight: Share,
        /// What is missing.
        lack: Lack,
    },
    /// A ramp that was behind its schedule has the scheduled weight again.
    CaughtUp {
        /// The weight.
        weight: Share,
    },
}

impl Transition {
    /// Whether a limit is breached.
    pub const fn is_breach(&self) -> bool {
        use TransitionKind::{Frozen, Observed, RolledBack};
        matches!(
            self.kind,
            RolledBack { .. } | Frozen { .. } | Observed { .. }
        )
    }

    /// Log line without the name of the rollout.
    pub fn line<'a>(&'a self, plan: &'a Plan) -> impl fmt::Display {
        Line {
            name: plan.name(self.arm),
            kind: &self.kind,
            each: if plan.waits() {
                "one step per window with evidence"
            } else {
                "one step per hold"
            },
        }
    }
}

struct Line<'a> {
    name: &'a str,
    kind: &'a TransitionKind,
    /// How the ramp goes on.
    each: &'static str,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match self.kind {
            TransitionKind::RolledBack { cause, retry_in } => {
                write!(f, "{name} is rolled back to stable: {cause}; ")?;
                match retry_in {
                    Some(retry_in) => write!(f, "it is tried again in {}", AsConfigured(*retry_in)),
                    None => f.write_str("it stays so until the revision changes"),
                }
            }
            TransitionKind::Frozen {
                cause,
                is_back,
                weight,
                retry_in,
            } => {
                let verb = if *is_back {
                    "goes back to"
                } else {
                    "is frozen at"
                };
                write!(f, "{name} {verb} {}: {cause}; ", AsConfigured(*weight))?;
                match retry_in {
                    Some(retry_in) => write!(f, "it goes on in {}", AsConfigured(*retry_in)),
                    None => f.write_str("it stays so until the revision changes"),
                }
            }
            TransitionKind::Observed { cause } => write!(
                f,
                "{name} breaches its guardrail: {cause}; nothing happens, onBreach is observe"
            ),
            TransitionKind::Settled => write!(f, "{name} is within its guardrail again"),
            TransitionKind::Recovered { weight: None } => write!(f, "{name} is tried again"),
            TransitionKind::Recovered {
                weight: Some(weight),
            } => write!(
                f,
                "{name} is tried again, from the first step, {}",
                AsConfigured(*weight)
            ),
            TransitionKind::Thawed { weight } | TransitionKind::HeldBack { weight } => {
                let jumped = matches!(self.kind, TransitionKind::HeldBack { .. });
                let why = if jumped {
                    ": the clock jumped ahead"
                } else {
                    ""
                };
                let (weight, each) = (AsConfigured(*weight), self.each);
                write!(f, "{name} goes on from {weight}, {each}{why}")
            }
            TransitionKind::Waiting { weight, lack } => {
                let weight = AsConfigured(*weight);
                write!(f, "{name} waits at {weight} for evidence: {lack}")
            }
            TransitionKind::CaughtUp { weight } => {
                let weight = AsConfigured(*weight);
                write!(f, "{name} has the scheduled weight again, {weight}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::evidence::Tally;
    use crate::guardrail::plan::Guardrail;

    #[test]
    fn a_log_line_states_the_limit_the_counts_and_the_consequence() {
        let plan = Plan::new("1", Guardrail::default(), None, "v1", ["v2"]);
        let share = |percent| Share::from_percent(percent).unwrap();
        let tally = Tally { bad: 5, all: 20 };
        let stable = Tally { bad: 1, all: 900 };
        let errors = Cause::Errors {
            tally,
            max: share(0.5),
        };
        let retry_in = Some(Duration::from_mins(20));
        for (kind, line) in [
            (
                TransitionKind::RolledBack {
                    cause: errors,
                    retry_in,
                },
                "v2 is rolled back to stable: 5 of 20 requests failed, errors.max is 0.5 %; it is \
                 tried again in 20m",
            ),
            (
                TransitionKind::RolledBack {
                    cause: Cause::Consecutive { failures: 10 },
                    retry_in: None,
                },
                "v2 is rolled back to stable: 10 requests in a row failed, consecutiveErrors; it \
                 stays so until the revision changes",
            ),
            (
                TransitionKind::Frozen {
                    cause: Cause::Slow {
                        tally,
                        max: Duration::from_millis(320),
                        quantile: 0.95,
                    },
                    is_back: false,
                    weight: share(25.0),
                    retry_in: Some(Duration::from_secs(90)),
                },
                "v2 is frozen at 25 %: 5 of 20 requests took longer than latency.max, 320ms, for \
                 quantile 0.95; it goes on in 90s",
            ),
            (
                TransitionKind::Observed {
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
                TransitionKind::Observed {
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
            (TransitionKind::Settled, "v2 is within its guardrail again"),
            (
                TransitionKind::Recovered { weight: None },
                "v2 is tried again",
            ),
            (
                TransitionKind::Recovered {
                    weight: Some(share(1.0)),
                },
                "v2 is tried again, from the first step, 1 %",
            ),
            (
                TransitionKind::Thawed {
                    weight: share(25.0),
                },
                "v2 goes on from 25 %, one step per hold",
            ),
            (
                TransitionKind::HeldBack { weight: share(5.0) },
                "v2 goes on from 5 %, one step per hold: the clock jumped ahead",
            ),
        ] {
            let transition = Transition { arm: Arm(1), kind };
            assert_eq!(transition.line(&plan).to_string(), line);
        }
    }
}

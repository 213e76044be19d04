//! What an upstream does to every request until it is told otherwise, and the counting that
//! makes its shares exact.

use std::fmt;
use std::time::Duration;

use hyper::StatusCode;

use super::parse;

/// How an upstream behaves. The default is healthy.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// The share of requests that fail, in percent.
    pub error_percent: f64,
    /// The status of failures.
    pub error_status: StatusCode,
    /// The `grpc-status` of failed gRPC requests, which are HTTP 200.
    pub grpc_status: u32,
    /// The share of requests that end in a reset, in percent. It comes out of the same 100 as
    /// the errors and goes first: 80 and 40 are 80 % resets and 20 % errors.
    pub reset_percent: f64,
    /// The wait before the response headers.
    pub delay: Duration,
    /// The wait between response headers and body.
    pub body_delay: Duration,
    /// The share of requests that the delays hit, in percent.
    pub slow_percent: f64,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            error_percent: 0.0,
            error_status: StatusCode::SERVICE_UNAVAILABLE,
            grpc_status: 14,
            reset_percent: 0.0,
            delay: Duration::ZERO,
            body_delay: Duration::ZERO,
            slow_percent: 100.0,
        }
    }
}

impl Behaviour {
    /// Reads `errors=5&delay=20ms`; what is not named is healthy.
    pub(super) fn parse(query: Option<&str>) -> Result<Behaviour, String> {
        let mut behaviour = Behaviour::default();
        for (key, value) in parse::pairs(query) {
            match &*key {
                b"errors" => behaviour.error_percent = parse::percent("errors", &value)?,
                b"status" => behaviour.error_status = parse::status("status", &value)?,
                b"grpc-status" => behaviour.grpc_status = parse::number("grpc-status", &value)?,
                b"resets" => behaviour.reset_percent = parse::percent("resets", &value)?,
                b"delay" => behaviour.delay = parse::duration("delay", &value)?,
                b"body-delay" => behaviour.body_delay = parse::duration("body-delay", &value)?,
                b"slow" => behaviour.slow_percent = parse::percent("slow", &value)?,
                unknown => {
                    return Err(format!(
                        "{}: not one of errors, status, grpc-status, resets, delay, body-delay, slow",
                        unknown.escape_ascii()
                    ));
                }
            }
        }
        if behaviour.error_percent + behaviour.reset_percent > 100.0 {
            return Err("errors and resets are more than 100 % together".to_owned());
        }
        Ok(behaviour)
    }
}

/// The form that `POST /_behave` takes.
impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "errors={}&status={}&grpc-status={}&resets={}&delay={}ms&body-delay={}ms&slow={}",
            self.error_percent,
            self.error_status.as_u16(),
            self.grpc_status,
            self.reset_percent,
            self.delay.as_millis(),
            self.body_delay.as_millis(),
            self.slow_percent,
        )
    }
}

/// What the shares hold for one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It is answered.
    Served,
    /// It fails.
    Error,
    /// It is reset.
    Reset,
}

/// A behaviour and how far its shares have been dealt out.
pub struct Live {
    behaviour: Behaviour,
    failing: Share,
    reset: Share,
    slow: Share,
}

impl Live {
    /// Starts counting.
    pub fn new(behaviour: Behaviour) -> Live {
        let resets = ppm(behaviour.reset_percent);
        let failing = (resets + ppm(behaviour.error_percent)).min(MILLION);
        Live {
            // Resets are a share of the failures, not a second share of all requests:
            // otherwise both could fall on the same request and one of them were too few.
            failing: Share::new(failing, MILLION),
            reset: Share::new(resets, failing),
            slow: Share::new(ppm(behaviour.slow_percent), MILLION),
            behaviour,
        }
    }

    /// What is in force.
    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    /// Deals the next request its fate.
    pub fn fate(&mut self) -> Fate {
        if !self.failing.next() {
            Fate::Served
        } else if self.reset.next() {
            Fate::Reset
        } else {
            Fate::Error
        }
    }

    /// Whether the delays hit the next request.
    pub fn slow(&mut self) -> bool {
        self.slow.next()
    }
}

const MILLION: u64 = 1_000_000;

/// Not a number is none: the cast of a float saturates.
fn ppm(percent: f64) -> u64 {
    ((percent * 10_000.0).round() as u64).min(MILLION)
}

/// Deals out `part` of every `whole`, evenly spread: whatever the window, its count is off by
/// less than one, and exact where the share of the window is a whole number.
struct Share {
    part: u64,
    whole: u64,
    owed: u64,
}

impl Share {
    fn new(part: u64, whole: u64) -> Share {
        Share {
            part,
            whole,
            owed: 0,
        }
    }

    fn next(&mut self) -> bool {
        self.owed += self.part;
        let due = self.part > 0 && self.owed >= self.whole;
        if due {
            self.owed -= self.whole;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(behaviour: Behaviour, requests: usize) -> Vec<Fate> {
        let mut live = Live::new(behaviour);
        (0..requests).map(|_| live.fate()).collect()
    }

    fn count(fates: &[Fate], wanted: Fate) -> usize {
        fates.iter().filter(|fate| **fate == wanted).count()
    }

    #[test]
    fn any_hundred_requests_in_a_row_hold_the_same_share() {
        let fates = fates(
            Behaviour {
                error_percent: 5.0,
                reset_percent: 2.0,
                ..Behaviour::default()
            },
            1_000,
        );
        for window in fates.windows(100) {
            assert_eq!(count(window, Fate::Error) + count(window, Fate::Reset), 7);
        }
        for window in fates.chunks(100) {
            assert_eq!(count(window, Fate::Error), 5);
            assert_eq!(count(window, Fate::Reset), 2);
        }
    }

    #[test]
    fn fractions_of_a_percent_are_exact_over_more_requests() {
        let fates = fates(
            Behaviour {
                error_percent: 0.25,
                ..Behaviour::default()
            },
            4_000,
        );
        assert_eq!(count(&fates, Fate::Error), 10);
    }

    #[test]
    fn resets_go_first_where_both_are_more_than_there_are_requests() {
        let fates = fates(
            Behaviour {
                error_percent: 40.0,
                reset_percent: 80.0,
                ..Behaviour::default()
            },
            100,
        );
        assert_eq!(count(&fates, Fate::Reset), 80);
        assert_eq!(count(&fates, Fate::Error), 20);
    }

    #[test]
    fn a_share_that_is_no_number_is_none() {
        for odd in [f64::NAN, -5.0, f64::NEG_INFINITY] {
            let fates = fates(
                Behaviour {
                    error_percent: odd,
                    ..Behaviour::default()
                },
                100,
            );
            assert_eq!(count(&fates, Fate::Served), 100, "{odd}");
        }
    }

    #[test]
    fn what_it_prints_it_reads() {
        let behaviour = Behaviour {
            error_percent: 0.5,
            error_status: StatusCode::BAD_GATEWAY,
            grpc_status: 13,
            reset_percent: 1.0,
            delay: Duration::from_millis(1_500),
            body_delay: Duration::from_millis(1),
            slow_percent: 10.0,
        };
        assert_eq!(
            Behaviour::parse(Some(&behaviour.to_string())),
            Ok(behaviour)
        );
        assert_eq!(Behaviour::parse(None), Ok(Behaviour::default()));
    }

    #[test]
    fn a_typo_is_refused() {
        let refusal = |query| Behaviour::parse(Some(query)).unwrap_err();
        assert!(refusal("eror=5").starts_with("eror: not one of errors"));
        assert_eq!(
            refusal("errors=many"),
            r#"errors: "many" is not a percentage from 0 to 100"#
        );
        assert_eq!(
            refusal("errors=60&resets=60"),
            "errors and resets are more than 100 % together"
        );
    }
}

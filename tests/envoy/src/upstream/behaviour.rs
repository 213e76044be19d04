//! The behaviour of an upstream for all requests, with exact shares of errors, resets and delays.

use std::fmt;
use std::time::Duration;

use hyper::StatusCode;

use super::parse;

/// How an upstream behaves. The default is healthy.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// Share of requests that fail, percent.
    pub error_percent: f64,
    /// HTTP status of failures.
    pub error_status: StatusCode,
    /// `grpc-status` of failed gRPC requests, whose HTTP status is 200.
    pub grpc_status: u32,
    /// Share of requests that are reset, percent. It takes precedence over errors: 80 and 40 are 80 %
    /// resets and 20 % errors.
    pub reset_percent: f64,
    /// Delay before the response headers.
    pub delay: Duration,
    /// Delay between response headers and body.
    pub body_delay: Duration,
    /// Share of requests that are delayed, percent.
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
    /// Parses `errors=5&delay=20ms`; absent keys have their default.
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
            return Err("the sum of errors and resets exceeds 100 %".to_owned());
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

/// The fault of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// No fault.
    None,
    /// An error status.
    Error,
    /// A reset.
    Reset,
}

/// A behaviour and the state of its shares.
pub struct Schedule {
    behaviour: Behaviour,
    failing: Share,
    reset: Share,
    slow: Share,
}

impl Schedule {
    pub fn new(behaviour: Behaviour) -> Schedule {
        let resets = ppm(behaviour.reset_percent);
        let failing = (resets + ppm(behaviour.error_percent)).min(MILLION);
        Schedule {
            // Resets are a share of the failures: two independent shares would overlap.
            failing: Share::new(failing, MILLION),
            reset: Share::new(resets, failing),
            slow: Share::new(ppm(behaviour.slow_percent), MILLION),
            behaviour,
        }
    }

    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    /// The fault of the next request.
    pub fn next_fault(&mut self) -> Fault {
        if !self.failing.next() {
            Fault::None
        } else if self.reset.next() {
            Fault::Reset
        } else {
            Fault::Error
        }
    }

    /// Whether the next request is delayed.
    pub fn next_is_slow(&mut self) -> bool {
        self.slow.next()
    }
}

const MILLION: u64 = 1_000_000;

/// Parts per million; NaN and negative numbers are 0, because casts saturate.
fn ppm(percent: f64) -> u64 {
    ((percent * 10_000.0).round() as u64).min(MILLION)
}

/// Selects `part` of every `whole` requests, evenly spread: in any window the number selected differs
/// from the share by less than one.
struct Share {
    part: u64,
    whole: u64,
    accumulated: u64,
}

impl Share {
    fn new(part: u64, whole: u64) -> Share {
        Share {
            part,
            whole,
            accumulated: 0,
        }
    }

    fn next(&mut self) -> bool {
        self.accumulated += self.part;
        let selected = self.part > 0 && self.accumulated >= self.whole;
        if selected {
            self.accumulated -= self.whole;
        }
        selected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(error_percent: f64, reset_percent: f64, requests: usize) -> Vec<Fault> {
        let mut schedule = Schedule::new(Behaviour {
            error_percent,
            reset_percent,
            ..Behaviour::default()
        });
        (0..requests).map(|_| schedule.next_fault()).collect()
    }

    /// The numbers of errors and resets.
    fn counts(faults: &[Fault]) -> (usize, usize) {
        let count = |wanted| faults.iter().filter(|fault| **fault == wanted).count();
        (count(Fault::Error), count(Fault::Reset))
    }

    #[test]
    fn any_hundred_consecutive_requests_contain_the_same_share() {
        let faults = faults(5.0, 2.0, 1_000);
        for window in faults.windows(100) {
            let (errors, resets) = counts(window);
            assert_eq!(errors + resets, 7);
        }
        for chunk in faults.chunks(100) {
            assert_eq!(counts(chunk), (5, 2));
        }
    }

    #[test]
    fn shares_are_exact_and_limited() {
        for (errors, resets, requests, expected) in [
            (0.25, 0.0, 4_000, (10, 0)),
            (40.0, 80.0, 100, (20, 80)),
            (f64::NAN, 0.0, 100, (0, 0)),
            (-5.0, 0.0, 100, (0, 0)),
            (f64::NEG_INFINITY, 0.0, 100, (0, 0)),
        ] {
            let faults = faults(errors, resets, requests);
            assert_eq!(counts(&faults), expected, "{errors} {resets}");
        }
    }

    #[test]
    fn the_printed_form_is_parsed() {
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
    fn invalid_queries_are_errors() {
        let error = |query| Behaviour::parse(Some(query)).unwrap_err();
        assert!(error("eror=5").starts_with("eror: not one of errors"));
        assert_eq!(
            error("errors=many"),
            r#"errors: "many" is not a percentage from 0 to 100"#
        );
        assert_eq!(
            error("errors=60&resets=60"),
            "the sum of errors and resets exceeds 100 %"
        );
    }
}

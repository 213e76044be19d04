//! Output of nine additional rollouts, such as nine A/B tests.
//!
//! There are no decisions and all texts are constant; the cost is that of counting in the proxy.

use std::cell::UnsafeCell;

use crate::probes::host;
use crate::probes::job::Choice;

const MORE: usize = 9;

macro_rules! with_more {
    ($first:literal) => {
        concat!(
            $first,
            ", test-0=A;reason=split, test-1=A;reason=split, test-2=A;reason=split",
            ", test-3=A;reason=split, test-4=A;reason=split, test-5=A;reason=split",
            ", test-6=A;reason=split, test-7=A;reason=split, test-8=A;reason=split"
        )
        .as_bytes()
    };
}

struct Series {
    requests: [u32; MORE],
    responses: [u32; MORE],
    durations: [u32; MORE],
}

struct Cell(UnsafeCell<Series>);

// SAFETY: a VM has one thread.
unsafe impl Sync for Cell {}

static SERIES: Cell = Cell(UnsafeCell::new(Series {
    requests: [0; MORE],
    responses: [0; MORE],
    durations: [0; MORE],
}));

fn series() -> &'static mut Series {
    // SAFETY: a VM has one thread, and no callback holds it over another one.
    unsafe { &mut *SERIES.0.get() }
}

/// Defines the metrics.
pub fn define() {
    for nth in 0..MORE {
        let labels = format!("divvy_rollout=.=test-{nth};.;divvy_version=.=A;.;");
        let series = series();
        series.requests[nth] = host::counter(&format!(
            "{labels}divvy_reason=.=split;.;divvy_requests_total"
        ));
        series.responses[nth] = host::counter(&format!(
            "{labels}divvy_class=.=2xx;.;divvy_responses_total"
        ));
        series.durations[nth] = host::histogram(&format!("{labels}divvy_request_duration_ms"));
    }
}

/// Sets the assignment header with ten members.
pub fn assign(choice: Choice) {
    let text = match choice {
        Choice::V2Split => with_more!("checkout=v2;reason=split"),
        Choice::V2Rule => with_more!("checkout=v2;reason=rule"),
        Choice::V1Split => with_more!("checkout=v1;reason=split"),
        Choice::V1NoIdentity => with_more!("checkout=v1;reason=no_identity"),
    };
    host::set_request_header(b"x-divvy-assignment", text);
}

/// Counts the request.
pub fn count_requests() {
    for series in series().requests {
        host::increment(series);
    }
}

/// Counts the response and records its latency.
pub fn count_responses(millis: u64) {
    let series = series();
    for (responses, durations) in series.responses.into_iter().zip(series.durations) {
        host::record(durations, millis);
        host::increment(responses);
    }
}

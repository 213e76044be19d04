//! Steps of the full path; each module uses some of them.

use std::cell::UnsafeCell;
use std::hint::black_box;

use crate::probes::hash::position;
use crate::probes::host;
use crate::probes::pairs::pairs;

/// Positions below a quarter get v2.
const CANARY: u32 = 250_000;
/// Maximum number of open requests.
const SLOTS: usize = 1024;

/// Decision of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The canary.
    V2Split,
    /// The canary, by a rule.
    V2Rule,
    /// The stable version.
    V1Split,
    /// The stable version, for requests without an identity.
    V1NoIdentity,
}

impl Choice {
    const ALL: [Choice; 4] = [
        Choice::V2Split,
        Choice::V2Rule,
        Choice::V1Split,
        Choice::V1NoIdentity,
    ];

    const fn version(self) -> &'static str {
        match self {
            Choice::V2Split | Choice::V2Rule => "v2",
            Choice::V1Split | Choice::V1NoIdentity => "v1",
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Choice::V2Split | Choice::V1Split => "split",
            Choice::V2Rule => "rule",
            Choice::V1NoIdentity => "no_identity",
        }
    }

    const fn assignment(self) -> &'static [u8] {
        match self {
            Choice::V2Split => b"checkout=v2;reason=split",
            Choice::V2Rule => b"checkout=v2;reason=rule",
            Choice::V1Split => b"checkout=v1;reason=split",
            Choice::V1NoIdentity => b"checkout=v1;reason=no_identity",
        }
    }
}

#[derive(Clone, Copy)]
struct Slot {
    request: u32,
    choice: Choice,
    since: u64,
}

struct State {
    requests: [u32; 4],
    /// By version (v2 first) and the first digit of the status.
    responses: [[u32; 10]; 2],
    durations: [u32; 2],
    slots: [Slot; SLOTS],
}

struct Cell(UnsafeCell<State>);

// SAFETY: a VM has one thread.
unsafe impl Sync for Cell {}

const FREE: Slot = Slot {
    request: 0,
    choice: Choice::V1NoIdentity,
    since: 0,
};

static STATE: Cell = Cell(UnsafeCell::new(State {
    requests: [0; 4],
    responses: [[0; 10]; 2],
    durations: [0; 2],
    slots: [FREE; SLOTS],
}));

fn state() -> &'static mut State {
    // SAFETY: a VM has one thread, and no callback holds it over another one.
    unsafe { &mut *STATE.0.get() }
}

fn slot(request: u32) -> usize {
    request as usize % SLOTS
}

/// Defines all metrics.
pub fn define() {
    define_requests();
    define_responses();
}

/// Defines the counters of requests.
pub fn define_requests() {
    for choice in Choice::ALL {
        let (version, reason) = (choice.version(), choice.reason());
        state().requests[choice as usize] = host::counter(&format!(
            "divvy_rollout=.=checkout;.;divvy_version=.={version};.;\
             divvy_reason=.={reason};.;divvy_requests_total"
        ));
    }
}

/// Defines the counters of responses and the histograms.
fn define_responses() {
    for (nth, version) in ["v2", "v1"].into_iter().enumerate() {
        let labels = format!("divvy_rollout=.=checkout;.;divvy_version=.={version};.;");
        for class in 1..=5 {
            state().responses[nth][class] = host::counter(&format!(
                "{labels}divvy_class=.={class}xx;.;divvy_responses_total"
            ));
        }
        state().durations[nth] = host::histogram(&format!("{labels}divvy_request_duration_ms"));
    }
}

/// Reads one header and hashes it; two rules would need two more calls.
#[must_use]
pub fn decide_by_one_header() -> Choice {
    by_identity(host::request_header(b"x-user-id"))
}

/// Reads all headers at once and compares the host.
#[must_use]
pub fn is_for(host: &[u8]) -> bool {
    let mut headers = pairs(host::request_headers());
    headers.any(|(name, value)| name == b":authority" && value == host)
}

/// Reads all headers at once and hashes the identity, without rules.
#[must_use]
pub fn decide_by_identity() -> Choice {
    let mut headers = pairs(host::request_headers());
    let identity = headers.find(|(name, _)| *name == b"x-user-id");
    by_identity(identity.map_or(b"", |(_, value)| value))
}

/// Reads all headers at once, evaluates two rules and hashes the identity.
#[must_use]
pub fn decide_by_all_pairs() -> Choice {
    let (mut identity, mut forced) = (&b""[..], false);
    for (name, value) in pairs(host::request_headers()) {
        match name {
            b"x-user-id" => identity = value,
            b"x-canary" => forced |= value == b"true",
            b"x-role" => forced |= value == b"staff",
            _ => {}
        }
    }
    if forced {
        return Choice::V2Rule;
    }
    by_identity(identity)
}

fn by_identity(identity: &[u8]) -> Choice {
    match identity.trim_ascii() {
        b"" => Choice::V1NoIdentity,
        identity if position(b"t:checkout:", identity) < CANARY => Choice::V2Split,
        _ => Choice::V1Split,
    }
}

/// Sets the route header and counts.
pub fn route(choice: Choice) {
    host::set_request_header(b"x-divvy-route", choice.version().as_bytes());
    host::increment(state().requests[choice as usize]);
}

/// Sets the assignment header.
pub fn assign(choice: Choice) {
    host::set_request_header(b"x-divvy-assignment", choice.assignment());
}

/// The complete request path: decision, route, metrics, assignment header, open request.
pub fn whole_request(request: u32) {
    let choice = decide_by_all_pairs();
    route(choice);
    assign(choice);
    begin(request, choice);
}

/// Stores the time of the request.
pub fn begin(request: u32, choice: Choice) {
    let since = host::clock();
    state().slots[slot(request)] = Slot {
        request,
        choice,
        since,
    };
}

/// Records the latency and counts the response by the first digit of its status. Returns the
/// milliseconds.
pub fn end(request: u32, class: impl FnOnce() -> usize) -> Option<u64> {
    let state = state();
    let choice = take(state, request)?;
    let version = usize::from(choice.0.version() == "v1");
    let took = host::clock().saturating_sub(choice.1) / 1_000_000;
    host::record(state.durations[version], took);
    host::increment(state.responses[version][class()]);
    Some(took)
}

fn take(state: &mut State, request: u32) -> Option<(Choice, u64)> {
    let slot = &mut state.slots[slot(request)];
    let found = (slot.request == request).then_some((slot.choice, slot.since));
    *slot = FREE;
    found
}

/// The first digit of the response's status.
#[must_use]
pub fn status_class() -> usize {
    class(host::response_header(b":status"))
}

/// The first digit of the response's status, from all response headers. The content type says whether the
/// response is gRPC or an event stream; divvy reads both in the same call.
#[must_use]
pub fn status_class_of_all_headers() -> usize {
    let (mut status, mut content_type) = (&b""[..], &b""[..]);
    for (name, value) in pairs(host::response_headers()) {
        match name {
            b":status" => status = value,
            b"content-type" => content_type = value,
            _ => {}
        }
    }
    let grpc = content_type.starts_with(b"application/grpc");
    let events = content_type.starts_with(b"text/event-stream");
    black_box((grpc, events));
    class(status)
}

fn class(status: &[u8]) -> usize {
    match status {
        [digit @ b'1'..=b'5', ..] => usize::from(digit - b'0'),
        _ => 0,
    }
}

/// Removes a request without a response.
pub fn forget(request: u32) {
    take(state(), request);
}

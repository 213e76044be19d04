//! Samples, classes and latencies of finished requests.

use super::*;

const DC: u64 = 1 << 14;
const DR: u64 = 1 << 28;
const UC: u64 = 1 << 6;
const UR: u64 = 1 << 4;
const UT: u64 = 1 << 2;
const RATE_LIMITED: u64 = 1 << 11;
const FAULT_INJECTED: u64 = 1 << 10;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

fn plain(code: u64, flags: u64) -> FinishedRequest {
    FinishedRequest {
        code,
        flags: ResponseFlags(flags),
        ..FinishedRequest::default()
    }
}

/// A response that Envoy or a filter behind divvy made.
fn local(code: u64, flags: u64) -> FinishedRequest {
    FinishedRequest {
        local: true,
        ..plain(code, flags)
    }
}

/// A gRPC response with code 200 and this status of the version.
fn call(status: &str, flags: u64) -> FinishedRequest {
    FinishedRequest {
        content: ContentKind::Grpc,
        grpc_status: GrpcStatus::of(status.as_bytes()),
        ..plain(200, flags)
    }
}

/// A response to a gRPC call with code 200 and a status that Envoy made up.
fn local_call(flags: u64) -> FinishedRequest {
    FinishedRequest {
        local: true,
        ..call("", flags)
    }
}

/// Ended without response headers, after this many seconds.
fn unanswered(seconds: u64, flags: u64) -> FinishedRequest {
    FinishedRequest {
        waited: Some(SECOND * u32::try_from(seconds).unwrap()),
        ..plain(0, flags)
    }
}

/// Ended within the body, this many seconds after the headers.
fn in_body(seconds: u64, sent: u64, flags: u64) -> FinishedRequest {
    FinishedRequest {
        lasted: Some(SECOND * u32::try_from(seconds).unwrap()),
        body: Some(BodyProgress {
            finished: false,
            sent,
        }),
        ..plain(200, flags)
    }
}

fn of_kind(content: ContentKind, finished: FinishedRequest) -> FinishedRequest {
    FinishedRequest {
        content,
        ..finished
    }
}

#[test]
fn a_finished_request_is_one_of_five_samples() {
    use HealthSample::{Abandoned, Failure, Neutral, None, Success};
    for (name, finished, sample) in [
        ("fine", plain(200, 0), Success),
        ("redirect", plain(302, 0), Success),
        ("not found", plain(404, 0), Neutral),
        ("too many requests", plain(429, 0), Neutral),
        ("rate limited by Envoy", plain(429, RATE_LIMITED), Neutral),
        ("server error", plain(500, 0), Failure),
        ("not implemented", plain(501, 0), Neutral),
        ("not implemented, by a filter", local(501, 0), None),
        ("unusual code", plain(599, 0), Failure),
        ("fault injection", local(503, FAULT_INJECTED), None),
        ("ext_authz is down", local(503, 1 << 12), None),
        ("Envoy's 503 after a reset", local(503, UC), Failure),
        ("Envoy's 503, no cluster", local(503, 1 << 24), Failure),
        ("Envoy's 504", local(504, UT), Failure),
        ("the version's 504", plain(504, UT), Failure),
        ("reset before a code", plain(0, UC), Failure),
        ("reset in the body", plain(200, UR), Failure),
        ("reset in a 404", plain(404, UR), Failure),
        ("timeout in a long body", in_body(3, 32_768, UT), None),
        ("timeout in a short body", in_body(3, 16_383, UT), Failure),
        ("timeout in a body of unknown size", plain(200, UT), None),
        (
            "timeout and reset in the body",
            plain(200, UT | UR),
            Failure,
        ),
        ("nothing", plain(0, 0), None),
        ("upload abandoned", plain(0, DC), None),
        ("left early", unanswered(9, DC), Abandoned),
        ("left early, HTTP/3", unanswered(9, 0), Abandoned),
        ("left late", unanswered(10, DC), Failure),
        ("left late, HTTP/2", unanswered(10, DR), Failure),
        ("left late, HTTP/3", unanswered(10, 0), Failure),
        ("reset early", unanswered(1, UR), Failure),
        ("left in the body", plain(200, DC), None),
        ("left in the body early", in_body(9, 0, DC), None),
        ("left in the body early, HTTP/3", in_body(9, 0, 0), None),
        ("left in a hanging body", in_body(10, 16_383, DC), Failure),
        ("left in a hanging body, HTTP/3", in_body(10, 0, 0), Failure),
        ("left in a long body", in_body(100, 16_384, DC), None),
        ("left after a failure", plain(500, DC), Failure),
        ("websocket", plain(101, 0), Success),
        ("websocket closed by the version", plain(101, UC), Success),
        ("websocket closed by the client", plain(101, DC), Success),
        ("call", call("0", 0), Success),
        ("call not found", call("5", 0), Neutral),
        ("call exhausted", call("8", 0), Neutral),
        ("call not implemented", call("12", 0), Neutral),
        ("call failed", call("2", 0), Failure),
        ("call failed, then cancelled", call("14", DR), Failure),
        ("call without a status", call("", 0), Success),
        ("call cancelled", call("", DR), None),
        ("call reset", call("", UR), Failure),
        ("call timed out", call("", UT), None),
        ("call that Envoy refused", local_call(RATE_LIMITED), None),
        ("call that Envoy timed out", local_call(UT), Failure),
        ("call to no host", local_call(1 << 1), Failure),
        ("all flags", plain(200, u64::MAX), None),
    ] {
        assert_eq!(finished.sample(Some(PATIENCE)), sample, "{name}");
    }
    for flag in ResponseFlags::UPSTREAM {
        assert_eq!(plain(0, flag.0).sample(Option::None), Failure, "{flag:?}");
    }
}

#[test]
fn streams_may_pause_and_patience_may_be_off() {
    use HealthSample::{Abandoned, Failure, None};
    let hanging = in_body(10, 0, DC);
    for (content, sample) in [
        (ContentKind::Plain, Failure),
        (ContentKind::EventStream, None),
        (ContentKind::Grpc, None),
        (ContentKind::GrpcWeb, None),
    ] {
        let finished = of_kind(content, hanging);
        assert_eq!(finished.sample(Some(PATIENCE)), sample, "{content:?}");
    }
    assert_eq!(hanging.sample(Option::None), None);
    assert_eq!(unanswered(1_000, DC).sample(Option::None), Abandoned);
}

#[test]
fn the_class_is_that_of_the_code_unless_a_call_failed() {
    use ResponseClass::{ClientError, GrpcError, None, Reset, ServerError, Success};
    for (name, finished, class) in [
        ("fine", plain(200, 0), Success),
        ("reset in the body", plain(200, UR), Success),
        ("failed", local(503, UC), ServerError),
        ("no code, reset", plain(0, UR), Reset),
        ("no code, no cluster", plain(0, 1 << 24), Reset),
        ("no code, client left", plain(0, UR | DC), None),
        ("no code", plain(0, 0), None),
        ("call", call("0", 0), Success),
        ("call not found", call("5", 0), Success),
        ("call exhausted", call("8", 0), Success),
        ("call failed", call("13", 0), GrpcError),
        ("call failed, then cancelled", call("13", DR), GrpcError),
        ("call without a status", call("", 0), Success),
        ("call reset", call("", UR), Reset),
        ("call cancelled", call("", UR | DR), Success),
        ("call that Envoy refused", local_call(RATE_LIMITED), Success),
        ("call to no host", local_call(1 << 1), Reset),
        (
            "not found as gRPC",
            of_kind(ContentKind::Grpc, plain(404, 0)),
            ClientError,
        ),
    ] {
        assert_eq!(finished.class(), class, "{name}");
    }
    for flag in ResponseFlags::UPSTREAM {
        assert_eq!(plain(0, flag.0).class(), Reset, "{flag:?}");
    }
}

#[test]
fn latency_counts_unless_the_client_determines_it() {
    let latency = Some(SECOND);
    let counted = |finished: FinishedRequest| {
        let finished = FinishedRequest {
            latency,
            ..finished
        };
        finished.counted_latency(finished.sample(Some(PATIENCE)))
    };
    assert_eq!(counted(plain(200, 0)), latency, "plain");
    assert_eq!(counted(plain(404, 0)), latency, "not found");
    assert_eq!(counted(plain(503, 0)), latency, "failed");
    assert_eq!(counted(plain(101, 0)), None, "websocket");
    assert_eq!(counted(plain(200, DC)), None, "disconnected");
    assert_eq!(counted(local(503, 0)), None, "a filter's answer");
    let events = of_kind(ContentKind::EventStream, plain(200, 0));
    assert_eq!(counted(events), None, "events");
    let left = unanswered(3, DC);
    let waited = left.counted_latency(left.sample(Some(PATIENCE)));
    assert_eq!(waited, Some(SECOND * 3), "abandoned");
}

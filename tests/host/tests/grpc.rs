//! How gRPC calls are counted: by their status where they were answered with 2xx, else by
//! the code, and once however they end.

use divvy_host_tests::fixture::{CANARY_USER, canary, configured};
use divvy_host_tests::{Exchange, Process};

const CLASSES: [&str; 8] = [
    "1xx",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "grpc_error",
    "reset",
    "none",
];
/// Response flags of Envoy's: the client went away, the upstream reset the stream.
const CLIENT_GONE: u64 = 0x4000;
const UPSTREAM_RESET: u64 = 0x10;

fn call(status: u32) -> Exchange {
    Exchange::grpc("/shop.Checkout/Pay", status).header("x-user-id", CANARY_USER)
}

/// A call that is answered with this code and no gRPC status anywhere.
fn answered(code: u16) -> Exchange {
    let mut exchange = call(0).status(code);
    exchange.trailers = None;
    exchange
}

fn of_type(content_type: &str, mut exchange: Exchange) -> Exchange {
    exchange.request.replace("content-type", content_type);
    exchange
}

/// The one class that an exchange is counted in.
fn class(exchange: &Exchange) -> &'static str {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &canary());
    vm.exchange(root, exchange).unwrap();
    let total = process.counted("divvy_responses_total", &[]);
    assert_eq!(total, 1, "{exchange:#?}");
    assert_eq!(process.counted("divvy_requests_total", &[]), 1);
    let mut counted = CLASSES.into_iter().filter(|class| {
        let labels = [("divvy_class", *class), ("divvy_version", "v2")];
        process.counted("divvy_responses_total", &labels) == 1
    });
    counted.next().expect("one of the classes")
}

#[test]
fn a_successful_call_is_counted_as_2xx() {
    assert_eq!(class(&call(0)), "2xx");
}

#[test]
fn a_status_that_blames_the_service_is_grpc_error_and_any_other_is_2xx() {
    for status in 0..=20 {
        let fault = [2, 4, 8, 13, 14, 15].contains(&status);
        let expected = if fault { "grpc_error" } else { "2xx" };
        assert_eq!(class(&call(status)), expected, "{status} in the trailers");
        let in_headers = answered(200).response_header("grpc-status", status.to_string());
        assert_eq!(class(&in_headers), expected, "{status} in the headers");
    }
}

#[test]
fn grpc_content_types_and_no_others_are_grpc() {
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;v=1",
    ] {
        let class = class(&of_type(content_type, call(14)));
        assert_eq!(class, "grpc_error", "{content_type}");
    }
    // gRPC-Web says how it went in the body; plain HTTP can carry a grpc-status too.
    for content_type in [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/grpcx",
        "application/json",
        "",
    ] {
        for exchange in [call(0), call(14), answered(200)] {
            let class = class(&of_type(content_type, exchange));
            assert_eq!(class, "2xx", "{content_type}");
        }
    }
}

#[test]
fn a_response_other_than_2xx_has_the_class_of_its_code() {
    for (code, expected) in [
        (302, "3xx"),
        (400, "4xx"),
        (401, "4xx"),
        (429, "4xx"),
        (500, "5xx"),
        (503, "5xx"),
    ] {
        assert_eq!(class(&answered(code)), expected, "{code}");
        // Envoy's own answers to gRPC calls have a status with the code.
        for status in ["0", "14"] {
            let exchange = answered(code).response_header("grpc-status", status);
            assert_eq!(class(&exchange), expected, "{code} with {status}");
        }
    }
}

#[test]
fn a_2xx_response_without_content_and_status_is_2xx() {
    assert_eq!(class(&answered(204)), "2xx");
}

#[test]
fn a_200_that_ends_without_a_status_is_grpc_error() {
    assert_eq!(class(&answered(200)), "grpc_error");
}

#[test]
fn a_client_that_disconnects_is_not_an_error_of_the_service() {
    for flags in [CLIENT_GONE, CLIENT_GONE | UPSTREAM_RESET] {
        let mut exchange = answered(200);
        exchange.flags = flags;
        assert_eq!(class(&exchange), "2xx", "{flags:x}");
        let before_the_answer = call(0).without_response(flags);
        assert_eq!(class(&before_the_answer), "none", "{flags:x}");
    }
}

#[test]
fn an_upstream_reset_is_grpc_error_or_reset() {
    let mut exchange = answered(200);
    exchange.flags = UPSTREAM_RESET;
    assert_eq!(class(&exchange), "grpc_error");
    assert_eq!(class(&call(0).without_response(UPSTREAM_RESET)), "reset");
}

#[test]
fn a_stream_that_is_logged_twice_is_counted_once() {
    for exchange in [call(0), call(14), answered(503)] {
        let process = Process::new();
        let (mut vm, root) = configured(&process, &canary());
        let id = vm.open(root).unwrap();
        vm.request_headers(id, exchange.request, true).unwrap();
        vm.response_headers(id, exchange.response.unwrap(), false)
            .unwrap();
        if let Some(trailers) = exchange.trailers {
            vm.response_trailers(id, trailers).unwrap();
        }
        vm.log_stream(id).unwrap();
        vm.finish(id).unwrap();
        assert_eq!(process.counted("divvy_responses_total", &[]), 1);
    }
}

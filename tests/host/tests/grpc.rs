//! The class of a gRPC response: by its status if the HTTP code is 2xx, else by the code. Each
//! call is counted once.

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
/// Envoy's response flag DC.
const CLIENT_DISCONNECTED: u64 = 0x4000;
/// Envoy's response flag UR.
const UPSTREAM_RESET: u64 = 0x10;

fn call(status: u32) -> Exchange {
    Exchange::grpc("/shop.Checkout/Pay", status).header("x-user-id", CANARY_USER)
}

/// A call whose response has this HTTP code and no gRPC status.
fn answered(code: u16) -> Exchange {
    let mut exchange = call(0).status(code);
    exchange.trailers = None;
    exchange
}

fn of_type(content_type: &str, mut exchange: Exchange) -> Exchange {
    exchange.request.replace("content-type", content_type);
    exchange
}

/// The class of the only response that is counted.
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
    // gRPC-Web has its status in the body. Plain HTTP can have a header `grpc-status`.
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
        // Envoy's local replies to gRPC calls have an HTTP code and a status.
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
    for flags in [CLIENT_DISCONNECTED, CLIENT_DISCONNECTED | UPSTREAM_RESET] {
        let mut exchange = answered(200);
        exchange.flags = flags;
        assert_eq!(class(&exchange), "2xx", "{flags:x}");
        let without_response = call(0).without_response(flags);
        assert_eq!(class(&without_response), "none", "{flags:x}");
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

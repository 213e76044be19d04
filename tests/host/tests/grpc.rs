//! The class of a gRPC response: by the status that the version sent if the HTTP code is 200, else by
//! the code. Each call is counted once.

use divvy_host_tests::fixture::{CANARY_USER, canary, configured};
use divvy_host_tests::{Exchange, Process};

/// All classes; `many_rollouts` asserts that the filter defines these.
pub const CLASSES: [&str; 8] = [
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

/// The same response, made by Envoy or by a filter behind divvy.
fn local(exchange: Exchange) -> Exchange {
    exchange.property(&["response", "code_details"], "request_rate_limited")
}

#[test]
fn a_status_that_blames_the_service_is_grpc_error_and_any_other_is_2xx() {
    for status in 0..=20 {
        let fault = [2, 4, 13, 14, 15].contains(&status);
        let expected = if fault { "grpc_error" } else { "2xx" };
        assert_eq!(class(&call(status)), expected, "{status} in the trailers");
        let in_headers = answered(200).response_header("grpc-status", status.to_string());
        assert_eq!(class(&in_headers), expected, "{status} in the headers");
        assert_eq!(class(&local(in_headers)), "2xx", "{status}, by Envoy");
        assert_eq!(class(&local(call(status))), "2xx", "{status}, by a filter");
    }
}

#[test]
fn responses_with_grpc_content_types_and_no_others_are_grpc() {
    let of_type = |content_type: &str, exchange: Exchange| {
        exchange.response_header("content-type", content_type)
    };
    for suffix in ["", "+proto", ";v=1"] {
        let class = class(&of_type(&format!("application/grpc{suffix}"), call(14)));
        assert_eq!(class, "grpc_error", "{suffix}");
    }
    // gRPC-Web has its status in the body. Plain HTTP can have a header `grpc-status`.
    let other = [
        "grpc-web",
        "grpc-web+proto",
        "grpc-web-text",
        "grpcx",
        "json",
    ];
    let other = other.map(|kind| format!("application/{kind}"));
    for content_type in other.iter().map(String::as_str).chain([""]) {
        for exchange in [call(0), call(14), answered(200)] {
            let class = class(&of_type(content_type, exchange));
            assert_eq!(class, "2xx", "{content_type}");
        }
    }
}

#[test]
fn the_content_type_of_the_request_has_no_effect() {
    for content_type in ["application/grpc", "application/json", ""] {
        let asked = |mut exchange: Exchange| {
            exchange.request.replace("content-type", content_type);
            exchange
        };
        assert_eq!(class(&asked(call(14))), "grpc_error", "{content_type}");
        let plain = asked(call(14)).response_header("content-type", "text/html");
        assert_eq!(class(&plain), "2xx", "{content_type}");
    }
}

#[test]
fn a_response_other_than_2xx_has_the_class_of_its_code() {
    for code in [302, 400, 401, 429, 500, 503] {
        let expected = format!("{}xx", code / 100);
        assert_eq!(class(&answered(code)), expected, "{code}");
        for status in ["0", "14"] {
            let exchange = answered(code).response_header("grpc-status", status);
            assert_eq!(class(&exchange), expected, "{code} with {status}");
        }
    }
}

#[test]
fn a_call_without_a_status_has_the_class_of_its_code_unless_the_upstream_reset() {
    const BOTH: u64 = CLIENT_DISCONNECTED | UPSTREAM_RESET;
    for (code, flags, expected) in [
        (204, 0, "2xx"),
        (200, 0, "2xx"),
        (200, UPSTREAM_RESET, "reset"),
        (200, CLIENT_DISCONNECTED, "2xx"),
        (200, BOTH, "2xx"),
    ] {
        let mut exchange = answered(code);
        exchange.flags = flags;
        assert_eq!(class(&exchange), expected, "{code}, flags {flags:x}");
        // Envoy's answer in place of one of the version.
        let made_up = local(exchange.response_header("grpc-status", "14"));
        assert_eq!(class(&made_up), expected, "{code}, flags {flags:x}");
    }
    for (flags, expected) in [
        (UPSTREAM_RESET, "reset"),
        (CLIENT_DISCONNECTED, "none"),
        (BOTH, "none"),
    ] {
        assert_eq!(
            class(&call(0).without_response(flags)),
            expected,
            "{flags:x}"
        );
    }
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

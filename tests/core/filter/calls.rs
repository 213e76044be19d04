//! What guardrails and metrics count of a gRPC call.

use super::outcomes::{DC, UR, UT, Worker};
use super::*;

/// A gRPC call with these parts of the response. The worker rolls back at the first failure.
struct Call {
    request_type: &'static str,
    response_type: &'static str,
    status: &'static str,
    headers: Option<&'static str>,
    trailers: Option<&'static str>,
    local: bool,
    flags: u64,
}

#[test]
fn a_call_fails_by_a_status_that_the_version_sent_in_a_response_of_its_type() {
    const GRPC: &str = "application/grpc";
    const NO: Option<&str> = None;
    for (name, call, class, fails) in [
        (
            "ok",
            (GRPC, GRPC, "200", NO, Some("0"), false, 0),
            "2xx",
            false,
        ),
        (
            "failed",
            (GRPC, GRPC, "200", NO, Some("14"), false, 0),
            "grpc_error",
            true,
        ),
        (
            "not found",
            (GRPC, GRPC, "200", NO, Some("5"), false, 0),
            "2xx",
            false,
        ),
        (
            "trailers only",
            (GRPC, GRPC, "200", Some("13"), NO, false, 0),
            "grpc_error",
            true,
        ),
        (
            "changed its mind",
            (GRPC, GRPC, "200", Some("0"), Some("13"), false, 0),
            "grpc_error",
            true,
        ),
        (
            "no status",
            (GRPC, GRPC, "200", NO, NO, false, 0),
            "2xx",
            false,
        ),
        (
            "broken off",
            (GRPC, GRPC, "200", NO, NO, false, UR),
            "reset",
            true,
        ),
        (
            "cancelled",
            (GRPC, GRPC, "200", NO, NO, false, DC),
            "2xx",
            false,
        ),
        (
            "refused by Envoy",
            (GRPC, GRPC, "200", Some("14"), NO, true, 0),
            "2xx",
            false,
        ),
        (
            "reset before headers",
            (GRPC, GRPC, "200", Some("14"), NO, true, UR),
            "reset",
            true,
        ),
        (
            "timed out",
            (GRPC, GRPC, "200", Some("4"), NO, true, UT),
            "reset",
            true,
        ),
        (
            "asked as plain HTTP",
            ("text/plain", GRPC, "200", NO, Some("2"), false, 0),
            "grpc_error",
            true,
        ),
        (
            "answered as plain HTTP",
            (GRPC, "text/html", "200", Some("2"), Some("2"), false, 0),
            "2xx",
            false,
        ),
        (
            "another type",
            (GRPC, "application/grpcfoo", "200", NO, Some("2"), false, 0),
            "2xx",
            false,
        ),
        (
            "gRPC-Web itself",
            (GRPC, "application/grpc-web", "200", NO, Some("2"), false, 0),
            "2xx",
            false,
        ),
        (
            "with a code",
            (GRPC, GRPC, "503", Some("14"), NO, false, 0),
            "5xx",
            true,
        ),
        (
            "a filter's 503",
            ("text/plain", "text/plain", "503", NO, NO, true, 0),
            "5xx",
            false,
        ),
    ] {
        let (request_type, response_type, status, headers, trailers, local, flags) = call;
        let call = Call {
            request_type,
            response_type,
            status,
            headers,
            trailers,
            local,
            flags,
        };
        let mut worker = Worker::new(1, "10s");
        let before = worker.responses(class);
        call.run(&worker);
        worker.seconds(1);
        assert_eq!(worker.responses(class), before + 1, "{name}: class");
        assert_eq!(worker.is_rolled_back(), fails, "{name}: sample");
    }
}

impl Call {
    fn run(&self, worker: &Worker) {
        let exchange =
            MemoryExchange::get(&[("x-user-id", "42"), ("content-type", self.request_type)]);
        exchange.local.set(self.local);
        let mut request = begin(&worker.plugin, &exchange).unwrap();
        let mut headers = vec![("content-type", self.response_type)];
        headers.extend(self.headers.map(|status| ("grpc-status", status)));
        exchange.respond(self.status, &headers);
        request.on_response_headers(&exchange, false);
        if self.trailers.is_some() {
            exchange.trailing_grpc_status.set(self.trailers);
            request.on_response_trailers(&exchange);
        }
        exchange.flags.set(self.flags);
        request.on_end(&exchange);
        request.on_delete(&exchange);
    }
}

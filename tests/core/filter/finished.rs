//! Requests that need no callback after that of the response headers.

use super::*;

/// The native module drops a request that says so.
#[test]
fn a_request_that_is_finished_at_its_response_headers_counts_nothing_later() {
    const CALL: (&str, &str) = ("content-type", "application/grpc");
    const OK: (&str, &str) = ("grpc-status", "0");
    let mut uncounted = canary(100);
    uncounted["rollouts"][0]["metrics"] = "requests".into();
    let (all, judged) = (&canary(100), &guarded());
    for (name, config, headers, ends, finished) in [
        ("a response", all, &[][..], false, true),
        ("a response without a body", all, &[], true, true),
        ("a call", all, &[CALL], false, false),
        ("a call with its status", all, &[CALL, OK], true, true),
        (
            "a call whose status may change",
            all,
            &[CALL, OK],
            false,
            false,
        ),
        (
            "requests are counted alone",
            &uncounted,
            &[CALL],
            false,
            true,
        ),
        ("a guardrail", judged, &[], false, false),
    ] {
        let host = MemoryHost::default();
        let plugin = configured(&host, config);
        let exchange = MemoryExchange::get(&[("x-user-id", "42")]);
        let mut request = begin(&plugin, &exchange).unwrap();
        exchange.respond("200", headers);
        request.on_response_headers(&exchange, ends);
        assert_eq!(request.is_finished(), finished, "{name}");
        let counted = host.metrics.borrow().clone();
        exchange.trailing_grpc_status.set(Some("13"));
        request.on_response_trailers(&exchange);
        request.on_end(&exchange);
        request.on_delete(&exchange);
        let is_same = *host.metrics.borrow() == counted;
        // A guardrail judges later, in its own counts.
        assert_eq!(is_same, finished || config == judged, "{name}");
    }
}

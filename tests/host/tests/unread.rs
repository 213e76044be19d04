//! Requests whose header map cannot be read: the host refuses it or returns an empty one.

use divvy_host_tests::fixture::{CANARY_USER, assignment, canary, configured, from_user, route};
use divvy_host_tests::{Call, Exchange, Process, Status, Stream};
use serde_json::{Value, json};

/// A rollout for one host with a target, then one for all hosts, with or without a target.
fn scoped_then_all(all_routes: bool) -> Value {
    let mut configuration = canary();
    let mut scoped = configuration["rollouts"][0].take();
    scoped["name"] = json!("scoped");
    // Both give v2 to the user.
    scoped["salt"] = json!("checkout");
    let mut all = scoped.clone();
    all["name"] = json!("all");
    if !all_routes {
        all.as_object_mut().unwrap().remove("target");
    }
    scoped["match"] = json!([{"hosts": ["shop.example.com"]}]);
    configuration["rollouts"] = json!([scoped, all]);
    configuration
}

/// A request of the canary user with forged headers.
fn forged() -> Exchange {
    from_user(CANARY_USER)
        .header("x-divvy-route", "admin")
        .header("x-divvy-route", "v2")
        .header("x-divvy-assignment", "all=v2")
        .header("x-divvy-mirror", "admin")
}

fn unread(configuration: &Value, status: Status) -> (Stream, Process) {
    let process = Process::new();
    let (mut vm, root) = configured(&process, configuration);
    vm.intercept(move |call| (call == Call::GetHeaderMapPairs).then_some(status));
    (vm.exchange(root, &forged()).unwrap(), process)
}

/// The statuses that a host may return instead.
fn refusals() -> impl Iterator<Item = Status> {
    Status::failures().chain([Status(u32::MAX)])
}

#[test]
fn a_readable_request_is_routed_by_the_first_rollout_also_after_an_unreadable_one() {
    let (mut vm, root) = configured(&Process::new(), &scoped_then_all(true));
    for unreadable in [false, true] {
        if unreadable {
            vm.intercept(|call| (call == Call::GetHeaderMapPairs).then_some(Status(10)));
            vm.exchange(root, &forged()).unwrap();
            vm.stop_intercepting();
        }
        let stream = vm.exchange(root, &forged()).unwrap();
        assert_eq!(route(&stream).as_deref(), Some("v2"));
        let expected = "scoped=v2;reason=split, all=v2;reason=split";
        assert_eq!(assignment(&stream).as_deref(), Some(expected));
    }
}

#[test]
fn an_unreadable_request_has_no_route_and_gets_stable_of_rollouts_without_match() {
    for configuration in [scoped_then_all(true), scoped_then_all(false)] {
        for status in refusals() {
            let (stream, process) = unread(&configuration, status);
            assert_eq!(route(&stream), None, "{status:?}");
            let assigned = assignment(&stream);
            assert_eq!(
                assigned.as_deref(),
                Some("all=v1;reason=error"),
                "{status:?}"
            );
            let headers = stream.request_headers.unwrap();
            assert_eq!(headers.get_all("x-divvy-assignment").count(), 1);
            assert_eq!(headers.get("x-divvy-mirror"), None, "{status:?}");

            let labels = [
                ("divvy_version", "v1"),
                ("divvy_reason", "error"),
                ("divvy_rollout", "all"),
            ];
            assert_eq!(
                process.counted("divvy_requests_total", &labels),
                1,
                "{status:?}"
            );
            assert_eq!(process.counted("divvy_requests_total", &[]), 1);
            assert_eq!(process.counted("divvy_responses_total", &[]), 1);
        }
    }
}

#[test]
fn an_unreadable_request_has_no_assignment_if_every_rollout_has_a_match() {
    let mut configuration = scoped_then_all(true);
    configuration["rollouts"].as_array_mut().unwrap().pop();
    for status in refusals() {
        let (stream, process) = unread(&configuration, status);
        assert_eq!((route(&stream), assignment(&stream)), (None, None));
        assert_eq!(process.counted("divvy_requests_total", &[]), 0);
        assert_eq!(process.counted("divvy_responses_total", &[]), 0);
    }
}

/// Envoy returns an empty map only if there are no headers, which no request has.
#[test]
fn an_empty_header_map_is_an_unreadable_request() {
    let (stream, _) = unread(&scoped_then_all(true), Status::OK);
    assert_eq!(route(&stream), None);
    let assigned = assignment(&stream);
    assert_eq!(assigned.as_deref(), Some("all=v1;reason=error"));
}

//! A host that fails: each call answers each status, one at a time.
//!
//! Envoy gives most of these answers once a year or never. Once is enough: a
//! trap ends the VM, and under FAIL_CLOSED the proxy's answers with it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use divvy_host_tests::fixture::{
    CANARY_USER, PLUGIN, ROOT_ID, accept, assignment, broken, canary, from_user, route,
};
use divvy_host_tests::{Action, Call, Exchange, Module, Process, RootId, Status, Stream, Trap, Vm};
use serde_json::{Value, json};

/// The failures of the ABI, and numbers that it does not have.
fn statuses() -> impl Iterator<Item = Status> {
    Status::failures().chain([Status(13), Status(u32::MAX)])
}

/// When a call fails.
#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    /// The first time only: what follows may be half done.
    Once,
    /// From the second time on.
    Later,
}

const WHENS: [When; 3] = [When::Always, When::Once, When::Later];

fn fail(vm: &mut Vm, call: Call, status: Status, when: When) {
    let mut nth = 0;
    vm.intercept(move |made| {
        if made != call {
            return None;
        }
        nth += 1;
        let fails = match when {
            When::Always => true,
            When::Once => nth == 1,
            When::Later => nth > 1,
        };
        fails.then_some(status)
    });
}

/// Asks the host for everything that there is to ask for.
fn configuration() -> Value {
    let mut configuration = canary();
    configuration["responseHeader"] = json!("x-divvy-version");
    configuration["headers"] = json!({
        "route": "x-divvy-route", "assignment": "x-divvy-assignment", "identity": "x-gray-id",
    });
    configuration["identity"] = json!([
        {"header": "x-user-id"},
        {"jwtClaim": ["realm", "uid"], "type": "number"},
        // Draws random bits and adds a header to the response.
        {"cookie": "id", "mint": {}},
    ]);
    // Watched in each way there is, and one that grows by the clock.
    let limits = json!({
        "minRequests": 1, "consecutiveErrors": 1, "recoverAfter": "1s", "onBreach": "observe",
        "errors": {"max": 1, "overStable": 1},
        "latency": {"quantile": 0.95, "max": "1ms", "timesStable": 1.1},
    });
    configuration["rollouts"][0]["guardrail"] = limits;
    let mut growing = configuration["rollouts"][0].clone();
    for field in ["target", "rules"] {
        growing.as_object_mut().unwrap().remove(field);
    }
    growing["name"] = json!("growing");
    growing["guardrail"]["onBreach"] = json!("rollback");
    growing["strategy"] = json!({"canary": {
        "version": "v2", "start": "2026-11-01T00:00:00Z", "steps": [
            {"weight": 5, "hold": "1h"}, {"weight": 100},
        ],
    }});
    configuration["rollouts"]
        .as_array_mut()
        .unwrap()
        .push(growing);
    let rollout = &mut configuration["rollouts"][0];
    rollout["expose"] = json!({"group": "x-group", "id": "x-id", "response": true});
    let rules = rollout["rules"].as_array_mut().unwrap();
    rules.extend([
        json!({"name": "roles", "use": "v2", "when": {
            "jwtClaim": "roles", "type": "list", "exact": "beta",
        }}),
        json!({"name": "office", "use": "v2", "when": {
            "sourceIp": true, "cidr": ["10.0.0.0/8", "2001:db8::/32"],
        }}),
    ]);
    configuration
}

/// The requests that are made while a call fails, and who would get v2.
fn exchanges() -> [Exchange; 6] {
    let user = || from_user(CANARY_USER);
    [
        user(),
        user().header("x-canary", "true").status(503),
        Exchange::get("/checkout/cart"),
        Exchange::grpc("/shop.Checkout/Pay", 14).header("x-user-id", CANARY_USER),
        user().without_response(0x40),
        Exchange::get("/checkout/cart")
            .property(&["source", "address"], "10.0.0.1:4711")
            .header("x-envoy-original-url", "http://shop/checkout")
            .header("x-group", "forged")
            .header("x-divvy-mirror", "forged"),
    ]
}

/// A response whose body does not come, which a tick looks at.
fn hanging_body(vm: &mut Vm, root: RootId) -> Result<(), Trap> {
    let id = vm.open(root)?;
    let exchange = from_user(CANARY_USER);
    vm.request_headers(id, exchange.request, true)?;
    vm.response_headers(id, exchange.response.unwrap(), false)?;
    vm.process().clock().advance(Duration::from_secs(11));
    vm.tick(root)?;
    vm.finish(id)?;
    Ok(())
}

/// Everything a VM does, from its configuration to its last log line.
fn life(vm: &mut Vm) -> Result<(), Trap> {
    // Bytes that are refused, or taken inert, then good ones.
    for configuration in [broken(), configuration()] {
        let configured = vm.configure(ROOT_ID, PLUGIN, configuration.to_string())?;
        vm.tick(configured.root)?;
        if configured.accepted {
            for exchange in exchanges() {
                let stream = vm.exchange(configured.root, &exchange)?;
                assert_eq!(stream.local_response, None);
            }
            hanging_body(vm, configured.root)?;
            // Merged and judged, and then again after an hour without requests.
            for pause in [1, 2, 3_600] {
                vm.process().clock().advance(Duration::from_secs(pause));
                vm.tick(configured.root)?;
                vm.exchange(configured.root, &exchanges()[0])?;
            }
        }
        vm.retire(configured.root)?;
    }
    Ok(())
}

/// The proxy's calls that the filter makes in its life, its clock and its draws. The
/// rest of WASI is answered before any of the filter's own code runs.
fn calls() -> Vec<Call> {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let mut vm = Vm::start(&Module::filter(), &Process::new()).unwrap();
    let made = Arc::clone(&seen);
    vm.intercept(move |call| {
        made.lock().unwrap().insert(call);
        None
    });
    life(&mut vm).unwrap();
    let seen = seen.lock().unwrap();
    let calls = seen.iter().copied();
    calls
        .filter(|&call| call.is_proxy() || matches!(call, Call::ClockTimeGet | Call::RandomGet))
        .collect()
}

#[test]
fn every_import_of_the_filter_is_tested_with_failures() {
    let calls = calls();
    for call in [
        Call::Log,
        Call::GetBufferBytes,
        Call::GetProperty,
        Call::SetProperty,
        Call::CallForeignFunction,
        Call::GetSharedData,
        Call::SetSharedData,
        Call::DefineMetric,
        Call::IncrementMetric,
        Call::RecordMetric,
        Call::GetHeaderMapPairs,
        Call::GetHeaderMapValue,
        Call::ReplaceHeaderMapValue,
        Call::AddHeaderMapValue,
        Call::RemoveHeaderMapValue,
        Call::SetTickPeriod,
        Call::SetEffectiveContext,
        Call::ClockTimeGet,
        Call::RandomGet,
    ] {
        assert!(calls.contains(&call), "{} is never made", call.name());
    }
}

#[test]
fn no_status_of_any_call_traps_from_configuration_to_log() {
    for call in calls() {
        for (status, when) in statuses().flat_map(|status| WHENS.map(|when| (status, when))) {
            let mut vm = Vm::start(&Module::filter(), &Process::new()).unwrap();
            fail(&mut vm, call, status, when);
            if let Err(trap) = life(&mut vm) {
                panic!("{} answers {status:?} {when:?}: {trap}", call.name());
            }
        }
    }
}

/// A host that says yes and does nothing: no bytes, no ids, no time.
#[test]
fn a_success_status_without_effect_does_not_trap() {
    for call in calls() {
        let mut vm = Vm::start(&Module::filter(), &Process::new()).unwrap();
        fail(&mut vm, call, Status::OK, When::Always);
        if let Err(trap) = life(&mut vm) {
            panic!("{} does nothing: {trap}", call.name());
        }
    }
}

#[test]
fn all_calls_failing_at_once_do_not_trap() {
    for status in statuses() {
        let mut vm = Vm::start(&Module::filter(), &Process::new()).unwrap();
        vm.intercept(move |call| call.is_proxy().then_some(status));
        life(&mut vm).unwrap();
    }
}

/// One request under a configuration that was taken while nothing failed.
fn under_fault(
    call: Call,
    status: Status,
    when: When,
    exchange: &Exchange,
) -> (Stream, Vec<Action>) {
    let mut vm = Vm::start(&Module::filter(), &Process::new()).unwrap();
    let root = accept(&mut vm, &configuration());
    fail(&mut vm, call, status, when);
    step_by_step(&mut vm, root, exchange)
}

fn step_by_step(vm: &mut Vm, root: RootId, exchange: &Exchange) -> (Stream, Vec<Action>) {
    let id = vm.open(root).unwrap();
    let request = exchange.request.clone();
    let mut actions = vec![vm.request_headers(id, request, true).unwrap()];
    if let Some(response) = &exchange.response {
        let action = vm.response_headers(id, response.clone(), false);
        actions.push(action.unwrap());
    }
    (vm.finish(id).unwrap(), actions)
}

#[test]
fn a_request_during_any_failure_gets_stable_or_its_own_version() {
    // The canary's user, and a client that claims to be one.
    let forged = from_user(CANARY_USER)
        .header("x-divvy-route", "admin")
        .header("x-divvy-assignment", "checkout=admin");
    for call in calls() {
        for (status, when) in statuses().flat_map(|status| WHENS.map(|when| (status, when))) {
            let (stream, actions) = under_fault(call, status, when, &forged);
            let context = format!("{} answers {status:?} {when:?}", call.name());
            assert!(actions.iter().all(|a| *a == Action::Continue), "{context}");
            assert_eq!(stream.local_response, None, "{context}");
            // No route header is the default route, which is stable's.
            let route = route(&stream);
            let expected: &[_] = match call {
                // What says which version it is, or carries it there, failed.
                Call::GetHeaderMapPairs | Call::ReplaceHeaderMapValue => {
                    &[None, Some("v1"), Some("v2")]
                }
                _ => &[Some("v2")],
            };
            assert!(expected.contains(&route.as_deref()), "{context}: {route:?}");
            // Route and assignment never tell of different versions.
            if let Some(assignment) = assignment(&stream) {
                let route = route.as_deref().unwrap_or("v1");
                let prefix = format!("checkout={route};");
                assert!(
                    assignment.starts_with(&prefix),
                    "{context}: {route} {assignment}"
                );
            }
        }
    }
}

#[test]
fn without_headers_every_request_gets_stable_with_reason_error() {
    for status in statuses() {
        let exchange = from_user(CANARY_USER);
        let (stream, _) = under_fault(Call::GetHeaderMapPairs, status, When::Always, &exchange);
        // Not even stable's: the default route serves it, whosever request this is.
        assert_eq!(route(&stream), None, "{status:?}");
        let assignment = assignment(&stream);
        assert_eq!(
            assignment.as_deref(),
            Some("checkout=v1;reason=error, growing=v1;reason=error"),
            "{status:?}"
        );
    }
}

#[test]
fn if_the_route_header_cannot_be_written_a_forged_one_is_removed() {
    for status in statuses() {
        let exchange = from_user(CANARY_USER).header("x-divvy-route", "admin");
        let (stream, _) = under_fault(Call::ReplaceHeaderMapValue, status, When::Always, &exchange);
        assert_eq!(route(&stream), None, "{status:?}");
    }
}

/// Without rollouts nothing is read, and headers are looked for one by one.
#[test]
fn a_forged_header_is_removed_unless_the_host_reports_none() {
    let ours = ["x-divvy-route", "x-divvy-assignment", "x-divvy-mirror"];
    let found = statuses().filter(|status| *status != Status::NOT_FOUND);
    for status in found.map(Some).chain([None]) {
        let mut vm = Vm::start(&Module::filter(), &Process::new()).unwrap();
        let root = accept(&mut vm, &json!({}));
        if let Some(status) = status {
            fail(&mut vm, Call::GetHeaderMapValue, status, When::Always);
        }
        let forged = |exchange: Exchange, name| exchange.header(name, "forged").header(name, "");
        let exchange = ours.into_iter().fold(from_user(CANARY_USER), forged);
        let headers = vm.exchange(root, &exchange).unwrap().request_headers;
        let headers = headers.unwrap();
        for name in ours {
            assert_eq!(headers.get(name), None, "{name} {status:?}");
        }
        assert!(headers.get("x-user-id").is_some());
    }
}

#[test]
fn a_vm_accepts_a_configuration_after_the_host_recovers() {
    for call in calls() {
        let mut vm = Vm::start(&Module::filter(), &Process::new()).unwrap();
        fail(&mut vm, call, Status(10), When::Always);
        vm.configure(ROOT_ID, PLUGIN, configuration().to_string())
            .unwrap();
        vm.stop_intercepting();
        let root = accept(&mut vm, &configuration());
        let stream = vm.exchange(root, &from_user(CANARY_USER)).unwrap();
        assert_eq!(route(&stream).as_deref(), Some("v2"), "{}", call.name());
    }
}

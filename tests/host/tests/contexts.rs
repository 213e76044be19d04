//! Callbacks for contexts that do not exist, were deleted or are of the other kind. Envoy makes
//! none of them; a host that does gets no trap, and other contexts are not affected.

use divvy_host_tests::fixture::{CANARY_USER, accept, canary, configured, from_user, route};
use divvy_host_tests::{Headers, Process, RootId, Vm};
use serde_json::json;

/// All callbacks for a context, with the arguments that follow its id.
const CALLBACKS: [(&str, &[u32]); 9] = [
    ("proxy_on_configure", &[2]),
    ("proxy_on_tick", &[]),
    ("proxy_on_request_headers", &[3, 1]),
    ("proxy_on_request_body", &[100, 1]),
    ("proxy_on_request_trailers", &[1]),
    ("proxy_on_response_headers", &[2, 0]),
    ("proxy_on_log", &[]),
    ("proxy_on_delete", &[]),
    ("proxy_on_context_create", &[UNKNOWN]),
];
const UNKNOWN: u32 = 4_711;

fn call(vm: &mut Vm, callback: &'static str, id: u32, further: &[u32]) -> u32 {
    let arguments = [&[id], further].concat();
    vm.call_by_name(callback, &arguments).unwrap()
}

fn assert_works(vm: &mut Vm, root: RootId) {
    let stream = vm.exchange(root, &from_user(CANARY_USER)).unwrap();
    assert_eq!(route(&stream).as_deref(), Some("v2"));
}

#[test]
fn a_callback_for_an_unknown_context_makes_no_host_call() {
    let (mut vm, root) = configured(&Process::new(), &canary());
    let deleted_stream = vm.open(root).unwrap();
    vm.finish(deleted_stream).unwrap();
    let deleted_root = accept(&mut vm, &json!({}));
    vm.retire(deleted_root).unwrap();
    for id in [
        0,
        UNKNOWN,
        u32::MAX,
        deleted_stream.number(),
        deleted_root.number(),
    ] {
        for (callback, further) in CALLBACKS {
            vm.take_counts();
            let answer = call(&mut vm, callback, id, further);
            assert_eq!((answer, vm.counts().total()), (0, 0), "{callback} {id}");
        }
    }
    assert_works(&mut vm, root);
}

#[test]
fn a_callback_for_the_other_kind_of_context_makes_no_host_call() {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &canary());
    let stream = vm.open(root).unwrap();
    for (callback, further) in CALLBACKS {
        let id = match callback {
            "proxy_on_configure" | "proxy_on_tick" => stream.number(),
            // Valid for both kinds.
            "proxy_on_delete" => continue,
            _ => root.number(),
        };
        vm.take_counts();
        let answer = call(&mut vm, callback, id, further);
        assert_eq!((answer, vm.counts().total()), (0, 0), "{callback}");
    }
    let request = from_user(CANARY_USER).request;
    vm.request_headers(stream, request, true).unwrap();
    assert_eq!(route(&vm.finish(stream).unwrap()).as_deref(), Some("v2"));
    assert_works(&mut vm, root);
}

#[test]
fn a_stream_whose_parent_is_not_a_root_is_ignored() {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &canary());
    let stream = vm.open(root).unwrap();
    for parent in [stream.number(), UNKNOWN] {
        call(&mut vm, "proxy_on_context_create", 1_000, &[parent]);
        vm.take_counts();
        call(&mut vm, "proxy_on_request_headers", 1_000, &[3, 1]);
        assert_eq!(vm.counts().total(), 0);
    }
    assert_works(&mut vm, root);
}

#[test]
fn a_reused_context_id_is_a_new_stream() {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &canary());
    let stream = vm.open(root).unwrap();
    let request = from_user(CANARY_USER).request;
    vm.request_headers(stream, request.clone(), true).unwrap();
    // The previous stream was never deleted: it ends without a response.
    call(
        &mut vm,
        "proxy_on_context_create",
        stream.number(),
        &[root.number()],
    );
    vm.log_stream(stream).unwrap();
    let none = [("divvy_class", "none")];
    assert_eq!(process.counted("divvy_responses_total", &none), 1);
    vm.request_headers(stream, request, true).unwrap();
    vm.finish(stream).unwrap();
    assert_eq!(process.counted("divvy_responses_total", &[]), 2);
    assert_works(&mut vm, root);
}

#[test]
fn a_root_that_is_started_again_keeps_its_configuration() {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &canary());
    call(&mut vm, "proxy_on_context_create", root.number(), &[0]);
    assert_works(&mut vm, root);
}

#[test]
fn streams_outlive_their_root() {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &canary());
    let [early, late] = [(); 2].map(|()| vm.open(root).unwrap());
    let request = from_user(CANARY_USER).request;
    vm.request_headers(early, request.clone(), true).unwrap();
    call(&mut vm, "proxy_on_delete", root.number(), &[]);
    vm.request_headers(late, request, true).unwrap();
    for stream in [early, late] {
        let response = Headers::from([(":status", "200")]);
        vm.response_headers(stream, response, true).unwrap();
        assert_eq!(route(&vm.finish(stream).unwrap()).as_deref(), Some("v2"));
    }
    assert_eq!(process.counted("divvy_responses_total", &[]), 2);
    let root = accept(&mut vm, &canary());
    assert_works(&mut vm, root);
}

#[test]
fn random_callbacks_in_random_order_do_not_trap_and_leave_nothing_behind() {
    let (mut vm, root) = configured(&Process::new(), &canary());
    let ids = 100..116;
    let mut random = 1_u64;
    let mut below = move |bound: usize| {
        // A linear congruential generator: the same order in every run.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as usize % bound
    };
    let mut run = |vm: &mut Vm, callbacks: u32| {
        for _ in 0..callbacks {
            let id = ids.start + below(ids.len()) as u32;
            let (callback, further) = CALLBACKS[below(CALLBACKS.len())];
            let parent = [
                root.number(),
                id,
                0,
                UNKNOWN,
                ids.start + below(ids.len()) as u32,
            ];
            match callback {
                "proxy_on_context_create" => {
                    call(vm, callback, id, &[parent[below(parent.len())]]);
                }
                _ => {
                    call(vm, callback, id, further);
                }
            }
        }
        for id in ids.clone() {
            call(vm, "proxy_on_delete", id, &[]);
        }
        vm.memory_pages()
    };
    let early = run(&mut vm, 20_000);
    assert_eq!(run(&mut vm, 200_000), early);
    assert_works(&mut vm, root);
}

#[test]
fn thousands_of_streams_that_end_out_of_order_keep_their_own_state() {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &canary());
    // Even requests are routed to v1, odd ones by a rule to v2.
    let request = |nth: usize| match nth % 2 {
        0 => from_user("user-1").request,
        _ => from_user("user-1").header("x-canary", "true").request,
    };
    let mut open = Vec::new();
    for nth in 0..3_000 {
        open.push((nth, vm.open(root).unwrap()));
        // A third of the streams end early.
        if nth % 3 == 2 {
            let (_, stream) = open.swap_remove(nth / 2 % open.len());
            vm.finish(stream).unwrap();
        }
    }
    for (nth, stream) in &open {
        vm.request_headers(*stream, request(*nth), true).unwrap();
    }
    // The multiplier has no factor in common with the count, so each stream comes once.
    let count = open.len();
    assert_eq!(count, 2_000);
    for step in 0..count {
        let (nth, id) = open[step * 617 % count];
        let response = Headers::from([(":status", "200")]);
        vm.response_headers(id, response, true).unwrap();
        let stream = vm.finish(id).unwrap();
        let expected = if nth % 2 == 0 { "v1" } else { "v2" };
        assert_eq!(route(&stream).as_deref(), Some(expected));
    }
    assert_eq!(process.counted("divvy_responses_total", &[]), 2_000);
    for (version, reason) in [("v1", "split"), ("v2", "rule")] {
        let labels = [("divvy_version", version), ("divvy_reason", reason)];
        let counted = process.counted("divvy_requests_total", &labels);
        let sent = open
            .iter()
            .filter(|(nth, _)| (nth % 2 == 0) == (version == "v1"));
        assert_eq!(counted, sent.count() as u64, "{version}");
    }
}

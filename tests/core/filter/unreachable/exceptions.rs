//! What an outage does not change, and what changes it: rules, fields, revisions, copies, followers.

use super::*;

#[test]
fn who_asks_for_the_version_gets_it_and_tries_it() {
    let host = MemoryHost::default();
    // All others get stable anyway.
    let config = changed(|rollout| rollout["strategy"] = json!({"blueGreen": {"active": "v1"}}));
    let tester = [("x-test", "1")];
    let mut worker = Worker::new(&host, &config);
    for _ in 0..3 {
        assert_eq!(
            worker.serve_with(&tester, Answer::Local(UH)),
            "v2;reason=rule"
        );
    }
    assert_eq!(worker.gauges()[0], 3);
    worker.tick_after(4);
    assert_eq!(
        worker.serve_with(&tester, Answer::Of("200")),
        "v2;reason=rule"
    );
    assert_eq!(worker.gauges()[0], 3, "during the pause nothing tries");
    worker.tick_after(1);
    assert_eq!(
        worker.serve_with(&tester, Answer::Of("200")),
        "v2;reason=rule"
    );
    assert_eq!(worker.gauges()[0], 0);
    // A rule with a percentage is a split.
    let config = changed(|rollout| rollout["rules"][0]["percent"] = json!(100));
    let worker = Worker::new(&MemoryHost::default(), &config);
    for _ in 0..3 {
        assert_eq!(
            worker.serve_with(&tester, Answer::Local(UH)),
            "v2;reason=rule"
        );
    }
    assert_eq!(worker.serve_with(&tester, Answer::None), AWAY);
}

#[test]
fn the_field_turns_it_off_and_other_fields_do_not() {
    let lost = |field: &str, value: Value| {
        let config = changed(|rollout| rollout[field] = value);
        let worker = Worker::new(&MemoryHost::default(), &config);
        worker.lost(&[Answer::Local(UH); 10])
    };
    assert_eq!(lost("unreachable", json!(false)), None);
    for (field, value) in [
        ("unreachable", json!(true)),
        ("metrics", json!("requests")),
        ("metrics", json!("off")),
        ("guardrail", json!({"errors": {"max": 1, "window": "30s"}})),
    ] {
        assert_eq!(lost(field, value), Some(2), "{field}");
    }
}

#[test]
fn a_rollback_counts_before_an_outage() {
    let config = changed(|rollout| rollout["guardrail"] = json!({"consecutiveErrors": 2}));
    let mut worker = Worker::new(&MemoryHost::default(), &config);
    worker.serve(Answer::Local(UH));
    worker.serve(Answer::Local(UH));
    assert_eq!(worker.serve(Answer::None), "v1;reason=rolled_back");
    let tester = [("x-test", "1")];
    worker.serve_with(&tester, Answer::Local(UH));
    assert_eq!(worker.gauges()[0], 2);
    assert_eq!(worker.serve(Answer::None), "v1;reason=rolled_back");
}

#[test]
fn another_revision_or_target_is_reachable_and_the_same_one_is_not() {
    let revised = changed(|rollout| rollout["revision"] = json!("2"));
    let moved = changed(|rollout| rollout["target"] = json!("shop-{version}"));
    let renamed = changed(|rollout| rollout["salt"] = json!("other"));
    for (next, expected) in [(&revised, UP), (&moved, UP), (&renamed, DOWN)] {
        let host = MemoryHost::default();
        let mut worker = tripped(&host, &blue_green());
        let mut configure = |config: &Value| {
            assert!(
                worker
                    .plugin
                    .configure(PLUGIN, config.to_string().as_bytes())
            );
            worker.plugin.on_tick();
            let (exchange, _) = worker.begin(&[]);
            worker.plugin.on_tick();
            (
                worker.gauges(),
                exchange.header(Message::Request, "x-divvy-route").unwrap(),
            )
        };
        let version = if expected == UP { "v2" } else { "v1" };
        let (gauges, route) = configure(next);
        assert_eq!(gauges, expected, "{next}");
        assert!(route.ends_with(version), "{route}");
        assert_eq!(configure(&blue_green()), (DOWN, "v1".to_owned()), "back");
    }
}

#[test]
fn a_configuration_that_returns_without_a_call_knows_the_outages() {
    let host = MemoryHost::default();
    let dormant = Worker::new(&host, &blue_green());
    assert_eq!(dormant.serve(Answer::Of("200")), ACTIVE);
    // New VMs have another configuration, in which v2 becomes unreachable.
    let other = changed(|rollout| rollout["salt"] = json!("other"));
    drop(tripped(&host, &other));
    let mut dormant = dormant;
    dormant.plugin.on_tick();
    assert_eq!(dormant.serve(Answer::None), AWAY);
}

#[test]
fn an_unreachable_version_gets_no_copies() {
    let config = changed(|rollout| {
        rollout["strategy"] = json!({"blueGreen": {"active": "v1"}});
        rollout["mirror"] = json!({"version": "v2", "percent": 100});
    });
    let mut worker = Worker::new(&MemoryHost::default(), &config);
    let copied = |worker: &Worker| {
        let (exchange, _) = worker.begin(&[]);
        exchange
            .header(Message::Request, "x-divvy-mirror")
            .is_some()
    };
    assert!(copied(&worker));
    for _ in 0..3 {
        worker.serve_with(&[("x-test", "1")], Answer::Local(UH));
    }
    assert!(!copied(&worker));
    worker.tick_after(5);
    worker.serve_with(&[("x-test", "1")], Answer::Of("200"));
    assert!(copied(&worker));
}

#[test]
fn a_decision_that_is_taken_back_tries_nothing() {
    let host = MemoryHost::default();
    let mut worker = tripped(&host, &blue_green());
    worker.tick_after(5);
    let exchange = MemoryExchange::get(&[]);
    exchange.refuses_to_set.set(Some("x-divvy-assignment"));
    let request = begin(&worker.plugin, &exchange);
    Worker::end(&exchange, request, Answer::Of("200"));
    assert_eq!(worker.gauges(), DOWN);
    worker.tick_after(0);
    assert_eq!(worker.serve(Answer::Of("200")), ACTIVE);
    assert_eq!(worker.gauges(), UP);
}

#[test]
fn only_the_rollout_that_owns_the_route_is_judged_and_tries() {
    let mut config = blue_green();
    let mut second = config["rollouts"][0].clone();
    second["name"] = json!("second");
    config["rollouts"].as_array_mut().unwrap().push(second);
    let host = MemoryHost::default();
    let mut worker = Worker::new(&host, &config);
    for _ in 0..3 {
        worker.serve(Answer::Local(UH));
    }
    let away = "v1;reason=unreachable, second=v2;reason=active";
    assert_eq!(worker.serve(Answer::None), away);
    worker.tick_after(5);
    let both = "v2;reason=active, second=v2;reason=active";
    assert_eq!(worker.serve(Answer::Of("200")), both);
    // Alone it is judged, and then never tried by requests that the first one routes.
    let alone = json!({"rollouts": [config["rollouts"][1]]});
    let worker_alone = tripped(&host, &alone);
    drop(worker_alone);
    worker.tick_after(6);
    assert_eq!(
        worker.serve(Answer::Of("200")),
        "v2;reason=active, second=v1;reason=unreachable"
    );
}

#[test]
fn followers_move_with_their_leader() {
    let mut config = blue_green();
    config["rollouts"].as_array_mut().unwrap().push(json!({
        "name": "search",
        "versions": [{"name": "v1"}, {"name": "v2"}],
        "stable": "v1",
        "strategy": {"follow": {"rollout": "checkout"}}
    }));
    let mut worker = tripped(&MemoryHost::default(), &config);
    worker.tick_after(0);
    let served = worker.serve(Answer::None);
    assert_eq!(served, "v1;reason=unreachable, search=v1;reason=follow");
    let weight = |version| {
        worker
            .host
            .metric(&["=.=search;", version, "divvy_weight_ppm"])
    };
    assert_eq!(["=.=v1;", "=.=v2;"].map(weight), [1_000_000, 0]);
}

#[test]
fn a_host_that_refuses_shared_data_keeps_what_is_known() {
    let host = MemoryHost::default();
    let mut worker = tripped(&host, &blue_green());
    host.refuses_shared_data.set(true);
    worker.tick_after(1);
    assert_eq!(worker.serve(Answer::None), AWAY);
    worker.tick_after(4);
    assert_eq!(
        worker.serve(Answer::None),
        AWAY,
        "no worker can take the turn"
    );
    host.refuses_shared_data.set(false);
    worker.tick_after(0);
    assert_eq!(worker.serve(Answer::Of("200")), ACTIVE);
    // Without shared data nothing trips.
    let host = MemoryHost::default();
    host.refuses_shared_data.set(true);
    let worker = Worker::new(&host, &blue_green());
    assert_eq!(worker.lost(&[Answer::Local(UH); 10]), None);
}

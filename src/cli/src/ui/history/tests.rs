//! Views of made-up proxies.

use super::*;
use crate::top::RolloutView;

fn proxy(url: &str, hash: &str) -> ProxyView {
    ProxyView {
        url: url.to_owned(),
        hash: Some(hash.to_owned()),
        ..ProxyView::default()
    }
}

/// Proxies `a` and `b`, and v2 of the rollout `c` after this change.
fn view(change: impl Fn(&mut VersionView)) -> FleetView {
    let mut version = VersionView::default();
    change(&mut version);
    let mut rollout = RolloutView::default();
    rollout.versions.insert("v2".to_owned(), version);
    FleetView {
        proxies: vec![proxy("a", "07"), proxy("b", "07")],
        rollouts: [("c".to_owned(), rollout)].into(),
        ..FleetView::default()
    }
}

fn rolled_back(version: &mut VersionView) {
    version.rolled_back = 1;
    version.held_in.insert("rolled back", vec!["b".to_owned()]);
}

fn texts(history: &LiveHistory) -> Vec<(u64, &'static str, &str)> {
    let events = history.events().iter();
    events
        .map(|event| (event.time, event.kind, event.text.as_str()))
        .collect()
}

#[test]
fn states_of_versions_and_steps_are_events_when_they_change() {
    let mut history = LiveHistory::default();
    history.add(1, &view(|_| {}));
    history.add(2, &view(rolled_back));
    history.add(3, &view(rolled_back));
    let mut waits = view(|_| {});
    let rollout = waits.rollouts.get_mut("c").unwrap();
    (rollout.waiting, rollout.waiting_in) = (1, vec!["a".to_owned()]);
    history.add(4, &waits);
    history.add(5, &view(|_| {}));
    let expected = [
        (2, "rolled back", "c v2 is rolled back in 1 of 2 proxies: b"),
        (4, "healthy", "c v2 is healthy in all proxies"),
        (4, "waits", "c waits for evidence in 1 of 2 proxies: a"),
        (5, "goes on", "c has its evidence in all proxies"),
    ];
    assert_eq!(texts(&history), expected);
    assert!(history.events().iter().all(|event| !event.first));
    let mut history = LiveHistory::default();
    history.add(1, &view(rolled_back));
    assert!(history.events()[0].first, "it may be older");
}

#[test]
fn a_proxy_that_is_silent_is_an_event_and_changes_no_state() {
    let mut history = LiveHistory::default();
    history.add(1, &view(rolled_back));
    let mut silent = FleetView {
        proxies: vec![proxy("a", "07"), proxy("b", "07")],
        ..FleetView::default()
    };
    silent.proxies[1].error = Some("refused".to_owned());
    silent.proxies[1].hash = None;
    history.add(2, &silent);
    let mut other = view(rolled_back);
    other.proxies[1].hash = Some("08".to_owned());
    other.proxies[0].inert = true;
    history.add(3, &other);
    let expected = [
        (2, "silent", "b does not answer: refused"),
        (3, "inert", "a has no valid configuration and serves stable"),
        (3, "answers", "b answers"),
        (3, "configuration", "b has configuration 08, before 07"),
    ];
    assert_eq!(texts(&history)[1..], expected);
}

#[test]
fn values_are_kept_for_a_quarter_of_an_hour_and_counts_since_the_start_are_not_values() {
    let mut history = LiveHistory::default();
    let measured = |version: &mut VersionView| {
        (version.weight, version.p95) = (Some(5.0), Some(20.0));
        version.classes.insert("2xx".to_owned(), 3.0);
        version.classes.insert("5xx".to_owned(), 1.0);
    };
    history.add(0, &view(measured));
    let point = |history: &LiveHistory| {
        let points = &history.series("c").unwrap()["v2"];
        serde_json::to_string(&points).unwrap()
    };
    assert_eq!(point(&history), "[[0,5.0,null,null,null]]");
    let with_rate = |version: &mut VersionView| {
        measured(version);
        version.rate = Some(4.0);
    };
    history.add(HORIZON, &view(with_rate));
    assert_eq!(history.series("c").unwrap()["v2"].len(), 2);
    history.add(HORIZON + 1, &view(with_rate));
    let kept = "[[900000,5.0,4.0,25.0,20.0],[900001,5.0,4.0,25.0,20.0]]";
    assert_eq!(point(&history), kept);
}

#[test]
fn memory_is_bounded_if_names_change_with_every_look() {
    let mut history = LiveHistory::default();
    for time in 0..25_u64 {
        let mut view = FleetView::default();
        for number in 0..1_000 {
            let mut rollout = RolloutView::default();
            rollout
                .versions
                .insert("v".to_owned(), VersionView::default());
            view.rollouts.insert(format!("{time}-{number}"), rollout);
            view.proxies.push(proxy(&format!("{time}-{number}"), "1"));
        }
        history.add(time, &view);
    }
    let series: usize = history.series.values().map(BTreeMap::len).sum();
    assert_eq!(series, MAX_SERIES);
    assert_eq!(history.proxies.len(), 1_000);
    assert!(history.versions.len() <= MAX_STATES);
    let mut history = LiveHistory::default();
    for time in 0..4_000 {
        history.add(time, &view(|_| {}));
        history.add(time, &view(rolled_back));
    }
    assert_eq!(history.events().len(), MAX_EVENTS);
    assert_eq!(history.series("c").unwrap()["v2"].len(), MAX_POINTS);
}

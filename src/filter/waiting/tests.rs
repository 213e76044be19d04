//! Tests of the list of waiting streams.

use super::*;

/// The streams that are due after 10 ms, and whether they wait for the body.
fn due(waiting: &mut Waiting, now: u32) -> Vec<(u32, bool)> {
    let due = waiting.take_due(10, now).into_iter();
    due.map(|due| (due.stream, due.in_body)).collect()
}

#[test]
fn streams_are_due_in_order_after_patience_and_once() {
    let mut waiting = Waiting::default();
    // Also where the clock wraps.
    let at = |millis: u32| millis.wrapping_sub(11);
    let places = [0, 1, 2, 3, 4].map(|n| waiting.add(n, 1, at(n)).unwrap());
    assert_eq!(due(&mut waiting, at(9)), []);
    assert_eq!(due(&mut waiting, at(11)), [(0, false), (1, false)]);
    assert_eq!(due(&mut waiting, at(11)), []);
    waiting.idle(places[2]);
    waiting.wait_for_body(places[3], at(3));
    waiting.wait_for_body(places[4], at(12));
    assert_eq!(due(&mut waiting, at(14)), [(3, true)]);
    assert_eq!(due(&mut waiting, at(21)), []);
    assert_eq!(due(&mut waiting, at(22)), [(4, true)]);
    assert_eq!(due(&mut waiting, at(100)), []);
}

#[test]
fn a_stream_that_was_counted_waits_for_nothing_more() {
    let mut waiting = Waiting::default();
    let place = waiting.add(7, 1, 0).unwrap();
    let due_at_12 = waiting.take_due(10, 12);
    assert_eq!(due_at_12.first().map(|due| due.waited), Some(12));
    waiting.set_counted(place);
    waiting.wait_for_body(place, 20);
    waiting.idle(place);
    assert_eq!(due(&mut waiting, 100), []);
    assert!(!waiting.remove(place));
}

#[test]
fn places_are_reused_and_memory_is_returned() {
    let mut waiting = Waiting::default();
    let places: Vec<_> = (0..100).map(|s| waiting.add(s, 1, 0).unwrap()).collect();
    for place in places.iter().skip(1).step_by(2) {
        assert!(waiting.remove(*place));
    }
    for stream in 100..150 {
        waiting.add(stream, 1, 5).unwrap();
    }
    assert_eq!(waiting.nodes.len(), 100);
    let streams = |due: Vec<(u32, bool)>| due.into_iter().map(|due| due.0);
    let even = streams(due(&mut waiting, 10));
    assert!(even.eq((0..100).step_by(2)));
    let rest = streams(due(&mut waiting, 15));
    assert!(rest.eq(100..150));
    for index in 0..100 {
        waiting.remove(Place(index));
    }
    assert_eq!(waiting.nodes.capacity(), 0);
    assert!(size_of::<Node>() <= 24);
}

/// One open stream of a plain list.
#[derive(Clone, Copy)]
struct Plain {
    stream: u32,
    place: Place,
    since: u32,
    /// Whether it waits, and for the body.
    waits: Option<bool>,
}

/// Compares with a plain list, for many random steps.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the index is in range, and a test that panics has failed"
)]
fn queues_equal_a_plain_list() {
    let mut waiting = Waiting::default();
    let mut plain: Vec<Plain> = Vec::new();
    let mut random: u64 = 1;
    for now in 0..20_000_u32 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let pick = (random >> 33) as usize;
        let at = (pick >> 4) % plain.len().max(1);
        match pick % 4 {
            0 | 1 => plain.push(Plain {
                stream: now,
                place: waiting.add(now, 1, now).unwrap(),
                since: now,
                waits: Some(false),
            }),
            2 if !plain.is_empty() => {
                assert!(waiting.remove(plain.swap_remove(at).place));
            }
            3 if !plain.is_empty() => {
                let one = &mut plain[at];
                waiting.wait_for_body(one.place, now);
                if one.waits == Some(false) {
                    (one.since, one.waits) = (now, Some(true));
                }
            }
            _ => {}
        }
        if now % 50 == 0 {
            let is_due = |one: &&mut Plain| one.waits.is_some() && now - one.since >= 10;
            let mut expected: Vec<_> = plain.iter_mut().filter(is_due).collect();
            let mut streams: Vec<_> = expected
                .iter_mut()
                .map(|one| (one.stream, one.waits.take().unwrap()))
                .collect();
            let mut found = due(&mut waiting, now);
            streams.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, streams);
            // A stream that was looked at waits no more.
            for one in plain.iter().filter(|one| one.waits.is_none()) {
                waiting.idle(one.place);
            }
        }
    }
}

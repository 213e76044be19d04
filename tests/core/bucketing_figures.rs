//! The figures of `envoy/docs/BUCKETING.md`: the page has to contain exactly these lines, or this
//! fails and prints the ones that it should hold.
//!
//! 100,000 users, `1` to `100000` as in the loops of the documents, and fixed salts: the same
//! numbers every time.
use divvy::bucket::{Gate, Key, Purpose, Share, Split};
use divvy::decision::Reason;
use divvy::request::Request;
use divvy::{config, decide, output};
use serde_json::{Value, json};

const USERS: usize = 100_000;

fn users() -> impl Iterator<Item = Vec<u8>> {
    (1..=USERS).map(|n| n.to_string().into_bytes())
}

/// Fails unless the page has each of these lines, and shows all of them.
fn assert_in_page(lines: &[String]) {
    let page = include_str!("../../envoy/docs/BUCKETING.md");
    let missing: Vec<_> = lines
        .iter()
        .filter(|line| !page.lines().any(|found| found == *line))
        .collect();
    let all = lines.join("\n");
    assert!(
        missing.is_empty(),
        "envoy/docs/BUCKETING.md lacks {missing:#?}; it is so:\n{all}"
    );
}

/// 12345 as people read it: 12,345.
fn number(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn canary(salt: &str, percent: f64) -> Gate {
    let share = Share::from_percent(percent).expect("a percentage");
    Gate::new(Key::new(Purpose::Gate, salt), share)
}

#[test]
fn each_weight_gets_its_share() {
    let lines: Vec<_> = [1.0, 5.0, 20.0, 50.0]
        .into_iter()
        .map(|percent| {
            let gate = canary("checkout", percent);
            let inside = users().filter(|id| gate.admits(id)).count();
            let weight = percent / 100.0;
            let chance = (USERS as f64 * weight * (1.0 - weight)).sqrt();
            let expected = number((USERS as f64 * weight) as usize);
            format!(
                "| {percent} % | {expected} | {} | ±{chance:.0} |",
                number(inside)
            )
        })
        .collect();
    assert_in_page(&lines);
}

/// Weights by version: what a split was and what it becomes.
type Weights = [u32; 3];

/// The smallest number of users that can move: those that the growing versions gain.
fn fewest(before: Weights, after: Weights) -> f64 {
    let share = |weights: Weights, arm: usize| {
        f64::from(weights[arm]) / f64::from(weights.iter().sum::<u32>())
    };
    (0..3)
        .map(|arm| (share(after, arm) - share(before, arm)).max(0.0))
        .sum()
}

/// As divvy splits.
fn rendezvous(weights: Weights) -> impl Fn(&[u8]) -> usize {
    let arms = [("v1", 0), ("v2", 1), ("v3", 2)];
    let list = arms.iter().zip(weights);
    let split = Split::new("checkout", list.map(|((name, arm), w)| (*name, *arm, w)));
    let split = split.expect("some weight");
    move |id| split.pick(id).expect("some arm")
}

/// As a proxy splits that walks through the weights with a hash modulo their sum.
fn modulo(weights: Weights) -> impl Fn(&[u8]) -> usize {
    let key = Key::new(Purpose::Gate, "checkout");
    move |id| {
        let at = key.hash(id) % u64::from(weights.iter().sum::<u32>());
        let ends = weights.iter().scan(0, |end, weight| {
            *end += u64::from(*weight);
            Some(*end)
        });
        ends.take_while(|end| *end <= at).count()
    }
}

fn moved(before: impl Fn(&[u8]) -> usize, after: impl Fn(&[u8]) -> usize) -> usize {
    users().filter(|id| before(id) != after(id)).count()
}

#[test]
fn a_changed_weight_moves_the_minimum_of_users() {
    let mut lines = Vec::new();
    for (from, to) in [(5, 20), (20, 5)] {
        let gate = |percent: u32| {
            let gate = canary("checkout", percent.into());
            move |id: &[u8]| usize::from(gate.admits(id))
        };
        let weights = |percent: u32| [100 - percent, percent, 0];
        lines.push(format!(
            "| canary {from} % → {to} % | {} | {} | {} |",
            number((fewest(weights(from), weights(to)) * USERS as f64).round() as usize),
            number(moved(gate(from), gate(to))),
            number(moved(modulo(weights(from)), modulo(weights(to)))),
        ));
    }
    for (what, before, after) in [
        ("an arm more, 1:1 → 1:1:1", [1, 1, 0], [1, 1, 1]),
        ("an arm more, 50:30 → 50:30:20", [50, 30, 0], [50, 30, 20]),
        ("an arm less, 1:1:1 → 1:1", [1, 1, 1], [1, 1, 0]),
        ("the first doubled, 1:1:1 → 2:1:1", [1, 1, 1], [2, 1, 1]),
        ("the same ratio, 1:1 → 50:50", [1, 1, 0], [50, 50, 0]),
        ("one weight, 80:15:5 → 80:15:15", [80, 15, 5], [80, 15, 15]),
        ("two weights, 80:15:5 → 70:15:15", [80, 15, 5], [70, 15, 15]),
    ] {
        lines.push(format!(
            "| {what} | {} | {} | {} |",
            number((fewest(before, after) * USERS as f64).round() as usize),
            number(moved(rendezvous(before), rendezvous(after))),
            number(moved(modulo(before), modulo(after))),
        ));
    }
    assert_in_page(&lines);
}

#[test]
fn users_only_move_into_an_arm_whose_weight_grew() {
    let (before, after) = (rendezvous([1, 1, 0]), rendezvous([1, 1, 1]));
    let between = |from: usize, to: usize| {
        users()
            .filter(|id| before(id) == from && after(id) == to)
            .count()
    };
    assert_eq!((between(0, 1), between(1, 0)), (0, 0), "v1 and v2");
    let (small, large) = (canary("checkout", 5.0), canary("checkout", 20.0));
    let left = users().filter(|id| small.admits(id) && !large.admits(id));
    assert_eq!(left.count(), 0, "no user leaves a growing canary");
}

/// How likely chance alone makes a table of fives by fives at least as uneven: Pearson's statistic
/// has 16 degrees of freedom, and for an even number the distribution is a finite sum.
fn p_value(pairs: impl Iterator<Item = (usize, usize)>) -> f64 {
    let mut table = [[0_u32; 5]; 5];
    for (row, column) in pairs {
        table[row][column] += 1;
    }
    let row = |at: usize| f64::from(table[at].iter().sum::<u32>());
    let column = |at: usize| f64::from(table.iter().map(|row| row[at]).sum::<u32>());
    let mut statistic = 0.0;
    for at in 0..25 {
        let expected = row(at / 5) * column(at % 5) / USERS as f64;
        statistic += (f64::from(table[at / 5][at % 5]) - expected).powi(2) / expected;
    }
    let half = statistic / 2.0;
    let mut term = (-half).exp();
    let mut p = term;
    for k in 1..8 {
        term *= half / f64::from(k);
        p += term;
    }
    p
}

#[test]
fn positions_of_different_keys_are_independent() {
    let fifth = |key: &Key, id: &[u8]| (key.position(id).get() / 200_000) as usize;
    let own = Key::new(Purpose::Gate, "checkout");
    let others = [
        (
            "canaries with two salts",
            Key::new(Purpose::Gate, "payments"),
        ),
        (
            "a canary and the percent of its rule",
            Key::rule("checkout", "beta-half"),
        ),
        (
            "a canary and a layer",
            Key::new(Purpose::Layer, "checkout-page"),
        ),
        (
            "a canary and the holdout",
            Key::new(Purpose::Holdout, "2026q4"),
        ),
    ];
    let mut lines = Vec::new();
    for (pair, other) in others {
        let p = p_value(users().map(|id| (fifth(&own, &id), fifth(&other, &id))));
        // Once in 10,000 chance does that by itself; these salts are fixed, so it does so never or
        // always.
        assert!(p > 1e-4, "{pair}: p = {p}");
        lines.push(format!("| {pair} | {p:.2} |"));
    }
    let layers = ["checkout-page", "search"].map(|name| Key::new(Purpose::Layer, name));
    let p = p_value(users().map(|id| (fifth(&layers[0], &id), fifth(&layers[1], &id))));
    lines.push(format!("| two layers | {p:.2} |"));
    assert_in_page(&lines);
}

#[test]
fn two_canaries_share_as_many_users_as_independent_ones() {
    let both = |a: &Gate, b: &Gate| users().filter(|id| a.admits(id) && b.admits(id)).count();
    let checkout = canary("checkout", 20.0);
    let lines = [
        ("two salts", canary("payments", 20.0)),
        ("one salt for both", canary("checkout", 20.0)),
    ]
    .map(|(what, other)| format!("| {what} | {} |", number(both(&checkout, &other))));
    assert_in_page(&lines);
}

/// The layer of `envoy/examples/ab-test-layers.yaml`, decided as a request is.
#[test]
fn tests_of_one_layer_share_no_user_and_the_holdout_takes_its_share_of_each() {
    let test = |name: &str, from: u32, to: u32| {
        json!({
            "name": name, "versions": [{"name": "a"}, {"name": "b"}], "stable": "a",
            "strategy": {"abTest": {
                "split": [{"version": "a", "weight": 1}, {"version": "b", "weight": 1}],
                "layer": {"name": "checkout-page", "from": from, "to": to},
            }},
        })
    };
    let configuration = json!({
        "identity": [{"header": "x-user-id"}],
        "holdout": {"name": "2026q4", "percent": 2},
        "rollouts": [test("button", 0, 60), test("summary", 60, 100)],
    });
    let policy = config::parse(configuration.to_string().as_bytes()).expect("it is valid");
    let page = Key::new(Purpose::Layer, "checkout-page");
    let mut taking_part = [0, 0];
    let mut held_out = [0, 0];
    for id in users() {
        let headers = [(&b"x-user-id"[..], &id[..])];
        let request = Request::from_headers(&policy.names, headers);
        let decided = decide::decide(&policy, &request).decisions;
        let reasons: Vec<_> = decided.iter().map(|decision| decision.reason).collect();
        match reasons[..] {
            [Reason::Split, Reason::Excluded] => taking_part[0] += 1,
            [Reason::Excluded, Reason::Split] => taking_part[1] += 1,
            // The same users in both; the layer names the test that lacks them.
            [Reason::Holdout, Reason::Holdout] => {
                held_out[usize::from(page.position(&id).get() >= 600_000)] += 1;
            }
            _ => panic!("in both tests or in neither: {reasons:?}"),
        }
    }
    let lines = [("`button`, 0 to 60", 0), ("`summary`, 60 to 100", 1)].map(|(test, at)| {
        let (taking_part, held_out) = (number(taking_part[at]), number(held_out[at]));
        format!("| {test} | {taking_part} | {held_out} |")
    });
    assert_in_page(&lines);
}

/// With so many users in two equal arms, one arm is that much too large once in 1,000 times by
/// chance: 3.2905 standard errors to either side.
#[test]
fn the_limits_of_a_sample_ratio_are_those_of_the_page() {
    let lines = [1_000, 10_000, 100_000, 1_000_000].map(|users: usize| {
        let off = 3.2905 * (users as f64).sqrt() / 2.0;
        let limit = (users as f64 / 2.0 + off).ceil() as usize;
        let percent = 100.0 * limit as f64 / users as f64;
        format!("| {} | {} | {percent:.2} % |", number(users), number(limit))
    });
    assert_in_page(&lines);
}

#[test]
fn a_split_by_request_shows_every_user_the_canary() {
    let lines = [1, 10, 20, 50].map(|requests| {
        let met = 100.0 * (1.0 - 0.95_f64.powi(requests));
        format!("| {requests} | {met:.0} % |")
    });
    assert_in_page(&lines);
}

/// The version of each of the first 10,000 users, with this one rollout.
fn routes(rollout: &Value) -> Vec<String> {
    let configuration = json!({"identity": [{"header": "x-user-id"}], "rollouts": [rollout]});
    let policy = config::parse(configuration.to_string().as_bytes());
    let policy = policy.unwrap_or_else(|errors| panic!("{rollout}: {errors}"));
    let route = |id: Vec<u8>| {
        let request = Request::from_headers(&policy.names, [(&b"x-user-id"[..], &id[..])]);
        let decided = decide::decide(&policy, &request).decisions;
        output::route(&policy, &decided)
            .expect("a route")
            .to_owned()
    };
    users().take(10_000).map(route).collect()
}

/// The rollout with another value at each of these places.
fn changed(rollout: &Value, changes: &[(&str, Value)]) -> Value {
    let mut rollout = rollout.clone();
    for (field, value) in changes {
        rollout[*field] = value.clone();
    }
    rollout
}

#[test]
fn changes_that_move_no_user_according_to_the_page_move_none() {
    let version = |name: &str, target: &str| json!({"name": name, "target": target});
    let arm = |version: &str, weight: u32| json!({"version": version, "weight": weight});
    let test = json!({
        "name": "checkout", "salt": "checkout", "stable": "a",
        "versions": [version("a", "one"), version("b", "two")],
        "strategy": {"abTest": {"split": [arm("a", 1), arm("b", 3)], "traffic": 50}},
    });
    let now = routes(&test);
    let split =
        |a: u32, b: u32| json!({"abTest": {"split": [arm("b", b), arm("a", a)], "traffic": 50}});
    for (what, change) in [
        ("the rollout's name", ("name", json!("basket"))),
        (
            "the order of versions",
            (
                "versions",
                json!([version("b", "two"), version("a", "one")]),
            ),
        ),
        ("the order of arms", ("strategy", split(1, 3))),
        ("weights by a factor", ("strategy", split(7, 21))),
        ("the revision", ("revision", json!("8"))),
    ] {
        assert!(
            routes(&changed(&test, &[change])) == now,
            "{what} moves users"
        );
    }

    let canary = |name: &str| {
        let changes = [
            (
                "versions",
                json!([version("a", "one"), version(name, "two")]),
            ),
            (
                "strategy",
                json!({"canary": {"version": name, "weight": 20}}),
            ),
        ];
        changed(&test, &changes)
    };
    let now = routes(&canary("b"));
    assert!(
        routes(&canary("c")) == now,
        "the name of a canary moves users"
    );
    let other = routes(&changed(&canary("b"), &[("salt", json!("fresh"))]));
    let stay = now.iter().zip(&other);
    let stay = stay.filter(|(was, is)| *was == "two" && was == is).count();
    let had = now.iter().filter(|route| *route == "two").count();
    // A fifth of about 2,000, give or take three standard errors of 18.
    assert!(stay.abs_diff(had / 5) < 54, "{stay} of {had} stay");
}

//! The hash against the vectors of an independent implementation, and its statistics over
//! populations of identities as they are found. All salts are fixed: the same numbers
//! come out every time.
use divvy::bucket::{Gate, Key, Position, Purpose, Share, Split};
use serde_json::Value;

const USERS: usize = 100_000;

fn vectors() -> Vec<Value> {
    let text = include_str!("../vectors/bucketing.json");
    let file: Value = serde_json::from_str(text).expect("the vectors are JSON");
    file["rows"].as_array().expect("a list of rows").clone()
}

#[test]
fn every_vector_equals_that_of_the_independent_implementation() {
    let rows = vectors();
    assert_eq!(rows.len(), 300);
    for row in rows {
        // The vectors have identities before trimming.
        let id = row["id"].as_str().unwrap().trim_ascii().as_bytes();
        let salt = row["salt"].as_str().unwrap();
        for (letter, purpose) in [
            ("t", Purpose::Gate),
            ("l", Purpose::Layer),
            ("h", Purpose::Holdout),
            ("m", Purpose::Mirror),
        ] {
            let position = Key::new(purpose, salt).position(id).get();
            assert_eq!(position, row["position"][letter], "{letter} of {row}");
        }
        let rule = Key::rule(salt, row["rule"].as_str().unwrap());
        assert_eq!(rule.position(id).get(), row["rulePosition"], "{row}");
        let arms: Vec<(&str, u32)> = row["split"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arm| {
                let weight = arm["weight"].as_u64().unwrap();
                (
                    arm["version"].as_str().unwrap(),
                    u32::try_from(weight).unwrap(),
                )
            })
            .collect();
        let split = Split::new(
            salt,
            arms.iter().map(|(name, weight)| (*name, *name, *weight)),
        );
        let picked = split.expect("some weight").pick(id);
        assert_eq!(picked, row["picked"].as_str(), "{row}");
    }
}

/// Seven kinds of identities: what they have in common is that nothing about them is
/// random but the last.
fn populations() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let each = |make: &dyn Fn(u64) -> Vec<u8>| (0..USERS as u64).map(make).collect::<Vec<_>>();
    // splitmix64, for identities that look random and are the same every time
    let mixed = |n: u64| {
        let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    vec![
        ("sequential", each(&|n| n.to_string().into_bytes())),
        (
            "uuid",
            each(&|n| {
                let (a, b) = (mixed(n), mixed(n ^ (1 << 40)));
                format!(
                    "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                    a >> 32,
                    (a >> 16) & 0xffff,
                    a & 0xfff,
                    0x8000 | (b >> 50),
                    b & 0xffff_ffff_ffff
                )
                .into_bytes()
            }),
        ),
        (
            "e-mail",
            each(&|n| format!("first.last{n}@example.com").into_bytes()),
        ),
        (
            "snowflake",
            each(&|n| {
                (((1_700_000_000_000 + n * 37) << 22) | (n & 0xfff))
                    .to_string()
                    .into_bytes()
            }),
        ),
        // As many as there are: 256 of one byte, 65,536 of two.
        (
            "one or two bytes",
            (0..=255_u8)
                .map(|byte| vec![byte])
                .chain((0..=u16::MAX).map(|pair| pair.to_le_bytes().to_vec()))
                .collect(),
        ),
        ("UTF-8", each(&|n| format!("用户-ñ-{n}").into_bytes())),
        ("hex", each(&|n| format!("{:016x}", mixed(n)).into_bytes())),
    ]
}

fn share(percent: f64) -> Share {
    Share::from_percent(percent).expect("a percentage")
}

/// How far a count lies from what is expected, in standard errors.
fn standard_errors(count: usize, of: usize, share: f64) -> f64 {
    let (count, of) = (count as f64, of as f64);
    (count - of * share).abs() / (of * share * (1.0 - share)).sqrt()
}

#[test]
fn a_gate_admits_its_share_of_every_population() {
    for (population, ids) in populations() {
        for percent in [1.0, 5.0, 20.0, 50.0] {
            for salt in ["checkout", "search-ranker.2", "s7"] {
                let gate = Gate::new(Key::new(Purpose::Gate, salt), share(percent));
                let inside = ids.iter().filter(|id| gate.admits(id)).count();
                let off = standard_errors(inside, ids.len(), percent / 100.0);
                assert!(
                    off < 4.0,
                    "{population}, {percent} %, {salt}: {inside}, {off} errors off"
                );
            }
        }
    }
}

#[test]
fn a_split_gives_every_arm_its_share_of_every_population() {
    for (population, ids) in populations() {
        for weights in [[1, 1, 0], [95, 5, 0], [50, 30, 20], [1, 2, 997]] {
            let total: u32 = weights.iter().sum();
            let arms = ["a", "b", "c"];
            let list = arms
                .iter()
                .zip(weights)
                .map(|(name, weight)| (*name, *name, weight));
            let split = Split::new("checkout", list).unwrap();
            for (arm, weight) in arms.iter().zip(weights) {
                let count = ids.iter().filter(|id| split.pick(id) == Some(arm)).count();
                if weight == 0 {
                    assert_eq!(count, 0, "{population}, {weights:?}, {arm}");
                    continue;
                }
                let off = standard_errors(count, ids.len(), f64::from(weight) / f64::from(total));
                assert!(
                    off < 4.0,
                    "{population}, {weights:?}, {arm}: {off} errors off"
                );
            }
        }
    }
}

/// Pearson's statistic of a table of counts. For `df` degrees of freedom the value that
/// chance exceeds once in 10,000 times is in the table beside each use.
fn chi_square(table: &[Vec<usize>]) -> f64 {
    let rows: Vec<usize> = table.iter().map(|row| row.iter().sum()).collect();
    let columns: Vec<usize> = (0..table[0].len())
        .map(|column| table.iter().map(|row| row[column]).sum())
        .collect();
    let total: usize = rows.iter().sum();
    let mut statistic = 0.0;
    for (row, counts) in table.iter().enumerate() {
        for (column, count) in counts.iter().enumerate() {
            let expected = rows[row] as f64 * columns[column] as f64 / total as f64;
            statistic += (*count as f64 - expected).powi(2) / expected;
        }
    }
    statistic
}

#[test]
fn gate_split_and_rule_percent_are_independent() {
    let tenth = |position: Position| (position.get() / 100_000) as usize;
    for (population, ids) in populations() {
        let gate = Key::new(Purpose::Gate, "checkout");
        let rule = Key::rule("checkout", "beta-ring");
        let split = Split::new("checkout", [("a", 0, 1), ("b", 1, 2), ("c", 2, 3)]).unwrap();
        let other = Key::new(Purpose::Gate, "search");
        let mut gate_rule = vec![vec![0; 10]; 10];
        let mut gate_split = vec![vec![0; 3]; 10];
        let mut rule_split = vec![vec![0; 3]; 10];
        let mut gate_other = vec![vec![0; 10]; 10];
        for id in &ids {
            let (g, r) = (tenth(gate.position(id)), tenth(rule.position(id)));
            let s = split.pick(id).unwrap();
            gate_rule[g][r] += 1;
            gate_split[g][s] += 1;
            rule_split[r][s] += 1;
            gate_other[g][tenth(other.position(id))] += 1;
        }
        // p = 1e-4 at 81 and at 18 degrees of freedom
        for (pair, table, limit) in [
            ("gate and rule", gate_rule, 137.0),
            ("gate and split", gate_split, 48.0),
            ("rule and split", rule_split, 48.0),
            ("gates of two salts", gate_other, 137.0),
        ] {
            let statistic = chi_square(&table);
            assert!(statistic < limit, "{population}, {pair}: {statistic}");
        }
    }
}

#[test]
fn no_user_leaves_a_growing_canary() {
    for (population, ids) in populations() {
        let key = Key::new(Purpose::Gate, "checkout");
        let gates = [5.0, 20.0, 50.0].map(|percent| Gate::new(key.clone(), share(percent)));
        for id in &ids {
            let inside = gates.each_ref().map(|gate| gate.admits(id));
            assert!(
                inside.is_sorted(),
                "{population}: {inside:?} as the canary grows"
            );
        }
    }
}

#[test]
fn a_new_version_only_moves_users_into_itself() {
    for (population, ids) in populations() {
        let before = Split::new("s", [("a", "a", 50), ("b", "b", 30)]).unwrap();
        let after = Split::new("s", [("a", "a", 50), ("b", "b", 30), ("c", "c", 20)]).unwrap();
        let mut moved = 0;
        for id in &ids {
            let (was, is) = (before.pick(id), after.pick(id));
            if was != is {
                assert_eq!(is, Some("c"), "{population}: moved from {was:?}");
                moved += 1;
            }
        }
        let off = standard_errors(moved, ids.len(), 0.2);
        assert!(off < 4.0, "{population}: {moved} moved, {off} errors off");
    }
}

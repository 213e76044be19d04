//! 400 tests of a version against itself: how often each interval finds a difference that does not exist.

use divvy_cli::analyze::arms::TestArms;
use divvy_cli::analyze::fields::FieldKeys;
use divvy_cli::analyze::goal::Goal;
use divvy_cli::analyze::ledger::UnitLedger;
use divvy_cli::analyze::record::LineReader;
use divvy_cli::analyze::statistics::Confidence;
use divvy_cli::analyze::timeline::looks;
use divvy_cli::source::LoadedConfig;

use super::traffic::{START, configuration, policy, visits};

#[test]
fn of_400_tests_without_a_difference_each_interval_finds_one_as_rarely_as_it_promises() {
    let goals = [Goal::parse("POST /order 2xx").unwrap()];
    // The always-valid interval is tightest, and its promise hardest to keep, at this number of units.
    let confidence = Confidence {
        alpha: 0.05,
        tuning: 300.0,
    };
    let (mut fixed, mut peeked, mut always_valid) = (0, 0, 0);
    for nth in 0..400 {
        let configuration = configuration(&["A", "B"], &format!("aa-{nth}"));
        let config = LoadedConfig::new(configuration.to_string().as_bytes()).unwrap();
        let arms = TestArms::of(&config, "page", None, (START, START)).unwrap();
        let reader = LineReader {
            keys: FieldKeys::default(),
            arms: &arms,
            goals: &goals,
            window: (0, i64::MAX),
            with_values: false,
        };
        let mut ledger = UnitLedger::new(2, 1, false);
        for line in visits(&policy(&configuration), 300, nth, |_| 0.3) {
            ledger.add(&reader.log_line(line.as_bytes(), |_, _| {}).unwrap());
        }
        let looks = looks(&ledger, 2, 0, 10, confidence);
        assert_eq!(looks.len(), 10);
        let effects: Vec<_> = looks
            .iter()
            .filter_map(|look| look.differences[0])
            .collect();
        let excludes = |(low, high): (f64, f64)| low > 0.0 || high < 0.0;
        fixed += u32::from(excludes(effects.last().unwrap().fixed));
        peeked += u32::from(effects.iter().any(|effect| excludes(effect.fixed)));
        always_valid += u32::from(effects.iter().any(|effect| excludes(effect.always_valid)));
    }
    let found = format!(
        "fixed {fixed}, the same at ten looks {peeked}, always valid {always_valid} of 400"
    );
    println!("{found}");
    assert!((12..=28).contains(&fixed), "{found}");
    assert!(always_valid <= 20, "{found}");
    // Why the fixed interval must not be looked at early.
    assert!(peeked > 40, "{found}");
}

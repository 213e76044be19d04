//! The tables of `tests/cases` natively. The same are run through the built filter by
//! `tests/host` and `tests/envoy`.
use std::collections::{BTreeMap, BTreeSet};

use divvy::output::HeaderChange;
use divvy::request::{Claim, Environment, Request};
use divvy::signature::KeyRing;
use divvy::{config, decide, output};
use divvy_cases::{groups, ways};

/// The properties of a case. Random numbers are always the same.
#[derive(Debug)]
struct CaseEnvironment(BTreeMap<Vec<u8>, Vec<u8>>);

impl Environment for CaseEnvironment {
    fn source_address(&self) -> Option<Vec<u8>> {
        self.0.get(&b"source\0address"[..]).cloned()
    }

    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        let peer = &b"connection\0uri_san_peer_certificate"[..];
        self.0.get(peer).cloned()
    }

    fn jwt_claim(&self, claim: &Claim) -> Option<Vec<u8>> {
        let mut path = vec![
            "metadata",
            "filter_metadata",
            "envoy.filters.http.jwt_authn",
        ];
        path.extend(claim.segments());
        self.0.get(path.join("\0").as_bytes()).cloned()
    }

    fn now(&self) -> Option<u64> {
        Some(ways::now())
    }

    fn random_bits(&self) -> Option<[u8; 16]> {
        Some([7; 16])
    }
}

#[test]
fn every_case_has_the_expected_decision() {
    let mut cases = 0;
    let mut wrong = Vec::new();
    for group in groups() {
        let keys = KeyRing::read(group.keys.as_deref().map(str::as_bytes));
        let policy = config::parse_with(group.config.to_string().as_bytes(), &keys)
            .unwrap_or_else(|errors| panic!("{}: {errors}", group.name));
        for case in group.cases {
            let environment = CaseEnvironment(case.properties());
            let pairs = case
                .headers
                .iter()
                .map(|(name, value)| (&name[..], &value[..]));
            let request =
                Request::from_headers(&policy.names, pairs).with_environment(&environment);
            let outcome = decide::decide(&policy, &request);
            let decisions = &outcome.decisions;
            let mut unit = None;
            output::change_request(&policy, &request, &outcome, &mut Vec::new(), |change| {
                if let HeaderChange::Set("x-divvy-unit", value) = change {
                    unit = Some(String::from_utf8_lossy(value).into_owned());
                }
            });
            let found = (
                output::assignment(&policy, decisions),
                output::route(&policy, decisions),
                unit,
            );
            let expected = (&case.assignment, case.route.as_deref(), &case.unit);
            if (&found.0, found.1, &found.2) != expected {
                let row = case.described();
                wrong.push(format!("{}: {row}: {found:?}", group.name));
            }
            cases += 1;
        }
    }
    assert!(wrong.is_empty(), "tests/cases: {}", wrong.join("\n"));
    assert!(cases >= 3_200, "only {cases} cases");
}

/// Every way in on the page has requests which show that it is open and that it is closed.
#[test]
fn the_table_of_who_can_choose_a_version_has_cases_for_each_row() {
    let page = include_str!("../../envoy/docs/WHO_CAN_CHOOSE.md");
    let rows = page.lines().skip_while(|line| *line != "## Every way in");
    let rows = rows.skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    let cells: Vec<_> = cells.collect();
    let on_page = cells.iter().map(|cells| cells[0].trim_start_matches("| "));
    let on_page: BTreeSet<_> = on_page.collect();
    let ways = ways::ways();
    let tested = ways.iter().map(|way| way.row);
    let tested = tested.chain(ways::ELSEWHERE.map(|(row, _)| row));
    assert_eq!(tested.collect::<BTreeSet<_>>(), on_page);

    for way in &ways {
        let row = cells.iter().find(|cells| cells[0].ends_with(way.row));
        let [_, _, by_default, closed] = row.unwrap()[..] else {
            panic!("{}", way.row);
        };
        let cases = || way.groups.iter().flat_map(|group| &group.cases);
        let chosen = cases().any(|case| case.route.as_deref() == Some("v2"));
        assert!(chosen || by_default == "no", "{} is open", way.row);
        let refused = cases().any(|case| case.route.as_deref() == Some("v1"));
        assert!(
            refused || closed.starts_with("nothing"),
            "{} is closed",
            way.row
        );
        // With and without a signature.
        if closed.contains("signed") {
            let mut signed = way.groups.iter().map(|group| group.keys.is_some());
            assert!(signed.clone().any(|signed| signed) && !signed.all(|signed| signed));
        }
    }
}

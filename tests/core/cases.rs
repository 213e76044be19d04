//! The tables of `tests/cases` natively. The same are run through the built filter by
//! `tests/host` and `tests/envoy`.
use std::collections::BTreeMap;

use divvy::output::HeaderChange;
use divvy::request::{Claim, Environment, Request};
use divvy::signature::KeyRing;
use divvy::{config, decide, output};
use divvy_cases::groups;

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

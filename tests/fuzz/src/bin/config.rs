//! Configurations: any bytes, and valid JSON with changes. An accepted one decides requests that
//! meet its conditions.
#![no_main]

use divvy::config::{self, Errors};
use divvy::policy::Policy;
use divvy_cases::{asks, mutate};
use divvy_fuzz::invariants;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // One in eight is mutated by libFuzzer as bytes, which tests the JSON reader.
    if !seed.is_multiple_of(8)
        && let Some(text) = mutate::mutated(&data[..size], u64::from(seed))
        && text.len() <= max_size
    {
        data[..text.len()].copy_from_slice(&text);
        return text.len();
    }
    fuzzer_mutate(data, size, max_size)
});

fuzz_target!(|bytes: &[u8]| {
    let inert = config::inert(bytes);
    assert!(inert.rollouts.is_empty());
    invariants::check_lines(&inert, &[(b"x-divvy-route", b"forged"), (b":path", b"/")]);
    match config::parse(bytes) {
        Ok(policy) => accepted(bytes, &policy, &inert),
        Err(errors) => refused(&errors),
    }
});

fn accepted(bytes: &[u8], policy: &Policy, inert: &Policy) {
    let config = match bytes {
        [] => Value::Object(serde_json::Map::new()),
        bytes => serde_json::from_slice(bytes).expect("an accepted configuration is JSON"),
    };
    // The fingerprint does not depend on the order of keys and on white space.
    if !bytes.is_empty() {
        assert_eq!(inert.fingerprint, policy.fingerprint);
        let pretty = serde_json::to_vec_pretty(&config).expect("it is JSON");
        match config::parse(&pretty) {
            Ok(again) => assert_eq!(again.fingerprint, policy.fingerprint),
            Err(errors) => panic!("refused after formatting: {errors}"),
        }
    }
    invariants::check_shares(policy);
    for request in asks::requests(&config) {
        let headers = request.iter().map(|(name, value)| (&name[..], &value[..]));
        let headers: Vec<_> = headers.collect();
        invariants::check_lines(policy, &headers);
    }
}

fn refused(errors: &Errors) {
    assert!(errors.count() > 0 && !errors.is_empty());
    for error in errors.iter() {
        assert!(!error.message.is_empty(), "at {}", error.path);
        let line = error.to_string();
        assert!(line.len() < 1_000, "an error of {} bytes", line.len());
    }
}

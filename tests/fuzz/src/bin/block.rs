//! Serialized header maps of the host, valid or malformed.
#![no_main]

use divvy::request::{Malformed, Pairs, Request, serialize_pairs};
use divvy_fuzz::{Pair, invariants, is_part, policies};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| {
    let policy = policies::rich();
    let pairs: Result<Vec<Pair<'_>>, Malformed> = Pairs::new(block).and_then(Iterator::collect);
    let request = Request::from_block(&policy.names, block);
    let Ok(pairs) = pairs else {
        assert_eq!(request.err(), Some(Malformed));
        // Nothing is read after a malformed pair.
        if let Ok(pairs) = Pairs::new(block) {
            assert!(pairs.skip_while(Result::is_ok).count() <= 1);
        }
        return;
    };
    invariants::check(policy, &request.expect("its pairs are well formed"));
    invariants::check_lines(policy, &pairs);
    for (name, value) in &pairs {
        assert!(is_part(name, block) && is_part(value, block));
    }
    // Serialized again, the pairs are the bytes that were read.
    let again = serialize_pairs(&pairs);
    assert!(block.is_empty() || block.starts_with(&again));
});

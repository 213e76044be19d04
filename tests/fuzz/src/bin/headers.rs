//! Whole requests as lines of text, the first of which is the number of the policy: every
//! configuration of the case table is there.
#![no_main]

use divvy_fuzz::{invariants, policies, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (number, lines) = text::first_line(bytes);
    invariants::hold_for(policies::named(number), &text::headers(lines));
});

//! Whole requests as lines of text. The first line is the number of a policy; each configuration
//! of the case table has one.
#![no_main]

use divvy_fuzz::{invariants, policies, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (number, lines) = text::first_line(bytes);
    invariants::check_lines(policies::named(number), &text::headers(lines));
});

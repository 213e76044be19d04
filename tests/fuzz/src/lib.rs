//! Shared parts of the fuzz targets. A target is a file in `src/bin`: it turns the bytes of
//! libFuzzer into a configuration or a request, decides, and asserts what holds for any bytes.
//! `make fuzz` runs all of them.
//!
//! To add one, add its file and a function for its seeds in `seeds.py`. Assertions on decisions
//! belong into [`invariants`], which every target uses.

pub mod invariants;
pub mod policies;
pub mod text;

/// Whether `part` is borrowed from `whole`, not merely equal to a part of it.
pub fn is_part(part: &[u8], whole: &[u8]) -> bool {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}

/// One header of a request: name and value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

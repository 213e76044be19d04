//! What the fuzz targets share. A target is a file in `src/bin`, to which libFuzzer feeds
//! bytes; it turns them into a configuration or a request, has divvy decide, and asserts
//! what must hold whatever the bytes are. `make fuzz` runs all of them.
//!
//! To add one, add its file, and a function for its seeds to `seeds.py`. What it asserts
//! of decisions belongs into [`invariants`], where every target profits from it.

pub mod invariants;
pub mod policies;
pub mod text;

/// Whether these bytes are a part of those: borrowed from them, not merely equal.
pub fn is_part(part: &[u8], whole: &[u8]) -> bool {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}

/// One header of a request: name and value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

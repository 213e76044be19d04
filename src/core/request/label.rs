//! Labels in a header such as `X-Traffic-Label: ring=beta;tenant=acme`.

/// The labels of one header line. A pair without `=` or without a key is skipped.
pub(super) fn pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|byte| *byte == b';').filter_map(|pair| {
        let (key, value) = pair.split_at_checked(memchr::memchr(b'=', pair)?)?;
        let key = key.trim_ascii();
        (!key.is_empty()).then_some((key, value.get(1..)?.trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_pair_is_skipped_and_the_others_are_kept() {
        for (line, labels) in [
            ("ring=beta", &[("ring", "beta")][..]),
            ("a=1;b=2", &[("a", "1"), ("b", "2")]),
            (" a = 1 ; b = 2 ;", &[("a", "1"), ("b", "2")]),
            ("a=", &[("a", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a;=x; =y;b=2", &[("b", "2")]),
            ("a,b=1", &[("a,b", "1")]),
            ("", &[]),
            (";;;", &[]),
        ] {
            let found: Vec<_> = pairs(line.as_bytes()).collect();
            let meant: Vec<_> = labels
                .iter()
                .map(|(key, value)| (key.as_bytes(), value.as_bytes()))
                .collect();
            assert_eq!(found, meant, "{line:?}");
        }
    }
}

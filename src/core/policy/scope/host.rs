//! Host patterns of a rollout's `match`: a name, or `*.` and a name.

/// Maximum length of a host name in bytes; longer ones match no pattern.
pub(super) const MAX_HOST_BYTES: usize = 255;

/// An entry of `hosts`, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host.
    Exact(Box<[u8]>),
    /// `*.example.com`: one or more labels before this ending, which begins with a dot.
    Below(Box<[u8]>),
}

impl HostPattern {
    /// Whether a normalized host matches.
    pub fn matches(&self, host: &[u8]) -> bool {
        match self {
            _ if host.len() > MAX_HOST_BYTES => false,
            Self::Exact(name) => host == &**name,
            Self::Below(ending) => host
                .strip_suffix(&**ending)
                .is_some_and(|labels| !labels.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_or_more_labels() {
        let below = HostPattern::Below(b".example.com".as_slice().into());
        for (host, matches) in [
            ("shop.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            (".example.com", false),
            ("badexample.com", false),
        ] {
            assert_eq!(below.matches(host.as_bytes()), matches, "{host}");
        }
        assert!(HostPattern::Exact(b"a.b".as_slice().into()).matches(b"a.b"));
        assert!(!HostPattern::Exact(b"a.b".as_slice().into()).matches(b"x.a.b"));
    }
}

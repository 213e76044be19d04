//! Writes members of the assignment. [`super::read`] reads what this writes.

use crate::decision::Reason;

/// The constant beginning of a version's member, `checkout=v2;reason=`. The value is a token
/// if the name is one, otherwise a string. Names contain nothing that a string must escape.
pub fn member_prefix(rollout: &str, version: &str) -> Box<str> {
    if version.starts_with(|first: char| first.is_ascii_alphabetic()) {
        format!("{rollout}={version};reason=").into()
    } else {
        format!("{rollout}=\"{version}\";reason=").into()
    }
}

/// Appends the member of a decision. An inherited one also states the reason of the proxy
/// that decided first, `checkout=v2;reason=inherited;upstream=split`: a share of users and a
/// forced version stay distinguishable.
pub fn write_decision(text: &mut Vec<u8>, prefix: &str, reason: Reason, upstream: Option<Reason>) {
    write_member(text, prefix);
    text.extend_from_slice(reason.name().as_bytes());
    if let Some(upstream) = upstream {
        text.extend_from_slice(b";upstream=");
        text.extend_from_slice(upstream.name().as_bytes());
    }
}

/// Appends a member as it is.
pub fn write_member(text: &mut Vec<u8>, member: &str) {
    if !text.is_empty() {
        text.extend_from_slice(b", ");
    }
    text.extend_from_slice(member.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::read::dictionary;
    use super::*;

    #[test]
    fn the_reader_reads_what_the_writer_writes() {
        let mut text = Vec::new();
        write_decision(
            &mut text,
            &member_prefix("checkout", "v2"),
            Reason::Split,
            None,
        );
        let prefix = member_prefix("search", "2026.1");
        write_decision(&mut text, &prefix, Reason::Inherited, Some(Reason::Rule));
        write_member(&mut text, "other=(1 2)");
        assert_eq!(
            String::from_utf8_lossy(&text),
            "checkout=v2;reason=split, \
             search=\"2026.1\";reason=inherited;upstream=rule, other=(1 2)"
        );
        let members = dictionary(&text).unwrap();
        let seen = members.iter().map(|member| {
            let version = member.version.as_deref().unwrap_or_default();
            (&*member.key, version, member.reason)
        });
        assert!(seen.eq([
            ("checkout", "v2", Some(Reason::Split)),
            ("search", "2026.1", Some(Reason::Rule)),
            ("other", "", None),
        ]));
    }
}

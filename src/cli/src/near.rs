//! What somebody may have meant who wrote something that is nearly right.

/// The key that a message says is unknown.
pub fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// What may have been meant by what a message calls wrong, if the message names it.
pub fn suggestion(message: &str) -> Option<String> {
    if let Some(written) = unknown_key(message) {
        let (_, expected) = message.split_once("expected ")?;
        let known = expected.split('`').skip(1).step_by(2);
        return nearest(written, known).map(|near| format!("did you mean `{near}`?"));
    }
    let (written, names) = message.split_once(" is not one of ")?;
    let written = written.strip_prefix('"')?.strip_suffix('"')?;
    let near = nearest(written, names.split(", "))?;
    Some(format!("did you mean {near:?}?"))
}

/// The candidate that differs least, if that is little.
fn nearest<'c>(written: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let lower = written.to_lowercase();
    let distance = |other: &str| strsim::damerau_levenshtein(&lower, &other.to_lowercase());
    // One slip in three letters.
    let most = written.chars().count().div_ceil(3);
    let near = candidates.map(|other| (distance(other), other));
    let near = near.filter(|(distance, _)| *distance <= most);
    // Of equals none: that would be a guess.
    let mut best: Vec<_> = near.collect();
    best.sort();
    match best.as_slice() {
        [(first, _), (second, _), ..] if first == second => None,
        [(_, nearest), ..] => Some(nearest),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen_and_a_guess_is_not_made() {
        for (message, suggested) in [
            (
                "unknown field `rolouts`, expected one of `version`, `rollouts`",
                Some("did you mean `rollouts`?"),
            ),
            (
                "unknown field `wieght`, expected `version` or `weight`",
                Some("did you mean `weight`?"),
            ),
            (
                "unknown field `wheight`, expected one of `height`, `weight`",
                None,
            ),
            ("unknown field `foo`, expected `name`", None),
            (
                "\"freze\" is not one of rollback, freeze, observe",
                Some("did you mean \"freeze\"?"),
            ),
            ("\"v3\" is not one of v1, v2", None),
            (
                "\"Canary\" is not one of stable, canary",
                Some("did you mean \"canary\"?"),
            ),
            ("is empty", None),
        ] {
            assert_eq!(suggestion(message).as_deref(), suggested, "{message}");
        }
    }
}

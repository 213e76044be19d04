//! The spelling that a message about an unknown key or word suggests.

/// The key that a message calls unknown.
pub fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// The known key or word that is nearest to the one that a message refuses.
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

/// The candidate with the smallest edit distance, at most one edit for three letters. `None` if
/// two candidates are equally near.
fn nearest<'c>(written: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let lower = written.to_lowercase();
    let limit = written.chars().count().div_ceil(3);
    let distance = |other: &str| strsim::damerau_levenshtein(&lower, &other.to_lowercase());
    let near = candidates.map(|other| (distance(other), other));
    let mut near: Vec<_> = near.filter(|(distance, _)| *distance <= limit).collect();
    near.sort();
    match near.as_slice() {
        [(first, _), (second, _), ..] if first == second => None,
        [(_, nearest), ..] => Some(nearest),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_an_ambiguous_one_is_not() {
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

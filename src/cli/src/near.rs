//! The known name that is nearest to an unknown one. Must not depend on other modules.

use divvy::config::ErrorKind;

/// A hint with the nearest known name, for an error about an unknown name.
pub fn suggestion(kind: &ErrorKind) -> Option<String> {
    match kind {
        ErrorKind::UnknownField { field, known } => {
            let near = nearest(field, known.iter().copied())?;
            Some(format!("did you mean `{near}`?"))
        }
        ErrorKind::UnknownName { name, known } => {
            let near = nearest(name, known.iter().map(String::as_str))?;
            Some(format!("did you mean {near:?}?"))
        }
        _ => None,
    }
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
    fn only_a_small_difference_to_exactly_one_name_gives_a_suggestion() {
        for (written, known, nearest_name) in [
            ("rolouts", &["version", "rollouts"][..], Some("rollouts")),
            ("wieght", &["version", "weight"], Some("weight")),
            ("wheight", &["height", "weight"], None),
            ("foo", &["name"], None),
            ("freze", &["rollback", "freeze", "observe"], Some("freeze")),
            ("v3", &["v1", "v2"], None),
            ("Canary", &["stable", "canary"], Some("canary")),
        ] {
            assert_eq!(
                nearest(written, known.iter().copied()),
                nearest_name,
                "{written}"
            );
        }
    }
}

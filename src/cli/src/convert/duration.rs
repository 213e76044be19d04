//! Durations of Kubernetes resources. Must not depend on the sources.

/// A duration such as `1h30m`, or a number of seconds, as divvy writes it. `None` for another text, and for 0.
pub fn duration(text: &str) -> Option<String> {
    let text = text.trim();
    let duration = match text.parse::<u32>() {
        Ok(seconds) => std::time::Duration::from_secs(seconds.into()),
        Err(_) => humantime::parse_duration(text).ok()?,
    };
    let milliseconds = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let (size, unit) = units
        .into_iter()
        .find(|(size, _)| milliseconds > 0 && milliseconds.is_multiple_of(*size))?;
    Some(format!("{}{unit}", milliseconds / size))
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn bare_numbers_are_seconds() {
        for (text, expected) in [
            ("10", Some("10s")),
            ("600", Some("10m")),
            ("1h30m", Some("90m")),
            ("2h", Some("2h")),
            ("500ms", Some("500ms")),
            ("0", None),
            ("0s", None),
            ("-5s", None),
            ("soon", None),
            ("", None),
            ("99999999999", None),
        ] {
            assert_eq!(duration(text).as_deref(), expected, "{text}");
        }
    }
}

//! Parsers of query pairs, durations, percentages and statuses. Errors name the key and quote the
//! value.

use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;
use percent_encoding::percent_decode_str;

/// The pairs of a query, percent-decoded. `+` is not decoded, as in divvy.
pub fn pairs(query: Option<&str>) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                percent_decode_str(key).into(),
                percent_decode_str(value).into(),
            )
        })
}

/// `250ms`, `2s`, `1m` or `0`.
pub fn duration(key: &str, value: &[u8]) -> Result<Duration, String> {
    let text = utf8(value);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let per_unit = match &text[digits.len()..] {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "" if digits == "0" => Some(0),
        _ => None,
    };
    per_unit
        .zip(digits.parse::<u64>().ok())
        .and_then(|(unit, number)| number.checked_mul(unit))
        .map(Duration::from_millis)
        .ok_or_else(|| wrong(key, value, "a duration such as 250ms, 2s or 0"))
}

/// A percentage, 0 to 100.
pub fn percent(key: &str, value: &[u8]) -> Result<f64, String> {
    match utf8(value).parse::<f64>() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        _ => Err(wrong(key, value, "a percentage from 0 to 100")),
    }
}

/// A final status, 200 to 599.
pub fn status(key: &str, value: &[u8]) -> Result<StatusCode, String> {
    StatusCode::from_bytes(value)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| wrong(key, value, "a status from 200 to 599"))
}

/// A whole number.
pub fn number<N: std::str::FromStr>(key: &str, value: &[u8]) -> Result<N, String> {
    utf8(value)
        .parse()
        .map_err(|_| wrong(key, value, "a whole number"))
}

/// The error of every parser here.
pub fn wrong(key: &str, value: &[u8], wanted: &str) -> String {
    format!("{key}: \"{}\" is not {wanted}", value.escape_ascii())
}

/// The text; empty, and so invalid for every parser, if it is not UTF-8.
fn utf8(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_except_zero() {
        let read = |text: &str| duration("delay", text.as_bytes()).ok();
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(read("2s"), Some(Duration::from_secs(2)));
        assert_eq!(read("1m"), Some(Duration::from_secs(60)));
        assert_eq!(read("0"), Some(Duration::ZERO));
        for wrong in ["", "5", "ms", "-1s", "1h", "1 s", "ä", "1.5s"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        assert_eq!(read("18446744073709551615m"), None);
    }

    #[test]
    fn an_error_names_the_key_and_quotes_the_value() {
        assert_eq!(
            status("status", b"9\xff").unwrap_err(),
            r#"status: "9\xff" is not a status from 200 to 599"#
        );
        for wrong in ["", "199", "600", "1000", "abc"] {
            assert!(status("status", wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        for wrong in ["", "-1", "100.1", "NaN", "inf"] {
            assert!(percent("errors", wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn pairs_are_percent_decoded_and_keep_the_plus_sign() {
        let read: Vec<_> = pairs(Some("a=1%2F2&&b&c=%FF+=")).collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"a", b"1/2"), (b"b", b""), (b"c", b"\xff+=")];
        assert_eq!(read.len(), expected.len());
        for ((key, value), expected) in read.iter().zip(expected) {
            assert_eq!((&**key, &**value), expected);
        }
        assert_eq!(pairs(None).count(), 0);
    }
}

//! A header map with the habits of Envoy's.

use divvy::request::serialize_pairs;

/// Headers in order: names in lower case, values any bytes.
///
/// Unlike Envoy's, the map does not join repeated lines of the headers that
/// Envoy keeps inline; a test that wants them joined hands them over joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Headers::default()
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// The first value of this name; the ABI's getter sees no more either.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The first value as text, for assertions.
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<String> {
        self.get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Every value of this name.
    pub fn get_all(&self, name: impl AsRef<[u8]>) -> impl Iterator<Item = &[u8]> {
        self.0
            .iter()
            .filter(move |(have, _)| have.eq_ignore_ascii_case(name.as_ref()))
            .map(|(_, value)| value.as_slice())
    }

    /// One more line.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0
            .push((name.as_ref().to_ascii_lowercase(), value.as_ref().to_vec()));
    }

    /// This value instead of all others of the name.
    pub fn replace(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.remove(&name);
        self.add(name, value);
    }

    /// No line of this name.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) {
        self.0
            .retain(|(have, _)| !have.eq_ignore_ascii_case(name.as_ref()));
    }

    /// Appends the ABI's form: a count, the lengths of all names and values,
    /// then the bytes, each ended by NUL.
    pub(crate) fn serialize_into(&self, out: &mut Vec<u8>) {
        out.extend(serialize_pairs(&self.0));
    }

    /// The reverse; `None` where lengths and bytes do not agree.
    pub(crate) fn deserialize(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| -> Option<usize> {
            let word = bytes.get(at..at.checked_add(4)?)?;
            Some(u32::from_le_bytes(word.try_into().ok()?) as usize)
        };
        let count = word(0)?;
        let mut headers = Headers::new();
        let mut at = count.checked_mul(8)?.checked_add(4)?;
        for line in 0..count {
            let mut part = |length: usize| {
                let part = bytes.get(at..at.checked_add(length)?)?;
                at += length + 1;
                Some(part)
            };
            let name = part(word(4 + line * 8)?)?;
            let value = part(word(8 + line * 8)?)?;
            headers.add(name, value);
        }
        Some(headers)
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.add(name, value);
        }
        headers
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, const LINES: usize> From<[(N, V); LINES]> for Headers {
    fn from(lines: [(N, V); LINES]) -> Self {
        lines.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serialised_form_is_the_abis() {
        let mut bytes = Vec::new();
        Headers::from([("a", "xy"), ("b", "")]).serialize_into(&mut bytes);
        let expected: &[u8] = &[
            2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'a', 0, b'x', b'y', 0,
            b'b', 0, 0,
        ];
        assert_eq!(bytes, expected);
        assert_eq!(
            Headers::deserialize(&bytes),
            Some(Headers::from([("a", "xy"), ("b", "")]))
        );
        assert_eq!(Headers::deserialize(&bytes[..10]), None);
    }

    #[test]
    fn replacing_leaves_one_line_and_names_ignore_case() {
        let mut headers = Headers::from([("X-A", "1"), ("x-b", "2"), ("x-a", "3")]);
        headers.replace("x-A", "4");
        assert_eq!(headers.len(), 2);
        assert_eq!(headers.text("X-a").as_deref(), Some("4"));
    }
}

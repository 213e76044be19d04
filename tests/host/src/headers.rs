//! A header map with the semantics of Envoy.

use divvy::request::serialize_pairs;

/// Headers in order: names in lower case, values of any bytes.
///
/// Envoy joins repeated lines of some headers; this map does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// An empty map.
    pub fn new() -> Self {
        Headers::default()
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the map is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// The first value of this name, as the getter of the ABI returns it.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The first value of this name as text.
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<String> {
        self.get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// All values of this name.
    pub fn get_all(&self, name: impl AsRef<[u8]>) -> impl Iterator<Item = &[u8]> {
        self.0
            .iter()
            .filter(move |(have, _)| have.eq_ignore_ascii_case(name.as_ref()))
            .map(|(_, value)| value.as_slice())
    }

    /// Adds a line.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0
            .push((name.as_ref().to_ascii_lowercase(), value.as_ref().to_vec()));
    }

    /// Replaces all values of this name by one.
    pub fn replace(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.remove(&name);
        self.add(name, value);
    }

    /// Removes all lines of this name.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) {
        self.0
            .retain(|(have, _)| !have.eq_ignore_ascii_case(name.as_ref()));
    }

    /// Appends the serialized form of the ABI: the number of lines, the lengths of all names and
    /// values, then their bytes, each followed by NUL.
    pub(crate) fn serialize_into(&self, out: &mut Vec<u8>) {
        out.extend(serialize_pairs(&self.0));
    }

    /// Parses the serialized form; `None`: lengths and bytes do not match.
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
    fn the_serialized_form_is_that_of_the_abi() {
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

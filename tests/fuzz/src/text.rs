//! Requests as text, so that seeds and crashes are readable.

use divvy::request::{Claim, Direction, Environment};

use crate::Pair;

/// Headers from `name: value` lines. A line without a colon is a header with an empty value; the
/// leading colon of a pseudo-header belongs to its name.
pub fn headers(text: &[u8]) -> Vec<Pair<'_>> {
    let lines = text.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let colon = line.iter().skip(1).position(|byte| *byte == b':');
            let Some(colon) = colon else {
                return (line, &[][..]);
            };
            let (name, value) = line.split_at(colon + 1);
            let value = &value[1..];
            (name, value.strip_prefix(b" ").unwrap_or(value))
        })
        .collect()
}

/// Properties of the stream from lines that begin with `@`: `@address: 10.0.0.1:80`,
/// `@random: any bytes`, `@sub: alice`. The name is the last segment of the property's path.
#[derive(Debug, Default)]
pub struct Properties<'a>(Vec<Pair<'a>>);

impl<'a> Properties<'a> {
    /// Splits such lines from the headers.
    pub fn split(lines: &[Pair<'a>]) -> (Self, Vec<Pair<'a>>) {
        let (properties, headers): (Vec<_>, _) =
            lines.iter().partition(|(name, _)| name.starts_with(b"@"));
        (Self(properties), headers)
    }

    fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut lines = self.0.iter();
        let line = lines.find(|(line, _)| line.strip_prefix(b"@") == Some(name))?;
        Some(line.1)
    }
}

impl Environment for Properties<'_> {
    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        self.get(b"uri_san_peer_certificate").map(Into::into)
    }

    fn listener_direction(&self) -> Option<Direction> {
        let direction = self.get(b"listener_direction")?;
        Direction::from_number(u64::from_le_bytes(direction.try_into().ok()?))
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        self.get(b"address").map(Into::into)
    }

    fn jwt_claim(&self, claim: &Claim) -> Option<Vec<u8>> {
        let last = claim.segments().last()?;
        self.get(last.as_bytes()).map(Into::into)
    }

    fn random_bits(&self) -> Option<[u8; 16]> {
        let given = self.get(b"random")?;
        let mut bits = [0; 16];
        bits.iter_mut()
            .zip(given)
            .for_each(|(bit, byte)| *bit = *byte);
        Some(bits)
    }
}

/// The first line and the rest.
pub fn first_line(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[]),
    }
}

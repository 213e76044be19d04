//! Requests as text, so that seeds and crashes can be read and written by hand.

use divvy::request::{Claim, Direction, Environment};

use crate::Pair;

/// `name: value` lines. A line without a colon is a header without a value; the colon that
/// a pseudo-header begins with belongs to its name.
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

/// What is not in the headers, told by lines that begin with `@`: `@address: 10.0.0.1:80`,
/// `@random: any bytes`, `@sub: alice`. Properties go by the last part of their path.
#[derive(Debug, Default)]
pub struct Told<'a>(Vec<Pair<'a>>);

impl<'a> Told<'a> {
    /// Sets such lines apart from the headers.
    pub fn apart(lines: &[Pair<'a>]) -> (Self, Vec<Pair<'a>>) {
        let (told, headers): (Vec<_>, _) =
            lines.iter().partition(|(name, _)| name.starts_with(b"@"));
        (Self(told), headers)
    }

    fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut told = self.0.iter();
        let line = told.find(|(line, _)| line.strip_prefix(b"@") == Some(name))?;
        Some(line.1)
    }
}

impl Environment for Told<'_> {
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
        let told = self.get(b"random")?;
        let mut bits = [0; 16];
        bits.iter_mut()
            .zip(told)
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

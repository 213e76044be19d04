//! Reads values of a shape from a JSON tree, with the path of whatever does not fit.
//!
//! serde's derive does the same, but writes code for each field of each struct: with it the
//! filter was 65 KB larger than with these functions, which all fields share. So serde reads
//! the JSON, and this reads the tree.

use super::error::{At, Errors};
use super::tree::Tree;

/// What can be read from a value of a tree.
pub(super) trait Read<'t>: Sized {
    /// Whether the field has to be there.
    const REQUIRED: bool = true;

    /// Reads it from the value of a field, `None` where the field is not there. What does not
    /// fit is noted; what is given back then is of no use, but spares every field of every
    /// struct the code that would end reading.
    fn read(value: Option<&'t Tree<'t>>, mistakes: &mut Mistakes) -> Self;
}

/// Reads a value.
///
/// # Errors
/// When the value has not the right shape.
pub(super) fn read<'t, T: Read<'t>>(value: &'t Tree<'t>) -> Result<T, ShapeError> {
    let mut mistakes = Mistakes::default();
    let read = T::read(Some(value), &mut mistakes);
    mistakes.first.map_or(Ok(read), Err)
}

/// What does not have the right shape, and where.
#[derive(Debug)]
pub(super) struct ShapeError {
    path: String,
    message: String,
}

impl ShapeError {
    pub(super) fn report(&self, at: At<'_>, errors: &mut Errors) {
        errors.add(at.below(&self.path), self.message.as_str());
    }

    /// The same, seen from one step further out.
    fn inside(&mut self, step: &str) {
        let dot = match self.path.as_bytes() {
            [] | [b'[', ..] => "",
            _ => ".",
        };
        self.path = [step, dot, &self.path].concat();
    }
}

/// What is wrong with the shape of what is being read: the first thing alone counts.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    first: Option<ShapeError>,
}

impl Mistakes {
    fn add(&mut self, path: &str, message: String) {
        let path = path.to_owned();
        self.first.get_or_insert(ShapeError { path, message });
    }

    /// In words that a configuration is written in: no Rust types. A field that is not there
    /// is noted by whoever knows its name.
    pub(super) fn mismatch(&mut self, found: Option<&Tree<'_>>, meant: &str) {
        let found = match found {
            None => return,
            Some(Tree::Null) => "null",
            Some(Tree::Bool(_)) => "true or false",
            Some(Tree::Number(_)) => "a number",
            Some(Tree::Text(_)) => "a string",
            Some(Tree::List(_)) => "a list",
            Some(Tree::Object(_)) => "an object",
        };
        self.add("", format!("is {found} where {meant} is meant"));
    }

    /// What was found in a field, seen from its object.
    fn inside(&mut self, step: &str) {
        if let Some(error) = &mut self.first {
            error.inside(step);
        }
    }
}

impl<'t> Read<'t> for &'t str {
    fn read(value: Option<&'t Tree<'t>>, mistakes: &mut Mistakes) -> Self {
        match value {
            Some(Tree::Text(text)) => text,
            other => {
                mistakes.mismatch(other, "a string");
                ""
            }
        }
    }
}

impl<'t> Read<'t> for bool {
    fn read(value: Option<&'t Tree<'t>>, mistakes: &mut Mistakes) -> Self {
        match value {
            Some(Tree::Bool(flag)) => *flag,
            other => {
                mistakes.mismatch(other, "true or false");
                false
            }
        }
    }
}

impl<'t> Read<'t> for f64 {
    fn read(value: Option<&'t Tree<'t>>, mistakes: &mut Mistakes) -> Self {
        match value {
            Some(Tree::Number(number)) => *number,
            other => {
                mistakes.mismatch(other, "a number");
                0.0
            }
        }
    }
}

impl<'t, T: Read<'t>> Read<'t> for Option<T> {
    const REQUIRED: bool = false;

    fn read(value: Option<&'t Tree<'t>>, mistakes: &mut Mistakes) -> Self {
        value.map(|value| T::read(Some(value), mistakes))
    }
}

impl<'t, T: Read<'t>> Read<'t> for Box<T> {
    fn read(value: Option<&'t Tree<'t>>, mistakes: &mut Mistakes) -> Self {
        Self::new(T::read(value, mistakes))
    }
}

/// The fields of an object that is being read.
pub(super) struct Fields<'m, 't> {
    object: Option<&'t Tree<'t>>,
    mistakes: &'m mut Mistakes,
}

impl<'m, 't> Fields<'m, 't> {
    /// The fields of a value, which has to be an object and have no others than these.
    pub(super) fn of(
        object: Option<&'t Tree<'t>>,
        known: &[&[&str]],
        mistakes: &'m mut Mistakes,
    ) -> Self {
        let members = match object {
            Some(Tree::Object(members)) => members.as_slice(),
            other => {
                mistakes.mismatch(other, "an object");
                &[]
            }
        };
        let is_known = |key: &str| known.iter().any(|known| known.contains(&key));
        if let Some((key, _)) = members.iter().find(|(key, _)| !is_known(key)) {
            mistakes.add("", unknown(key, known));
        }
        Self { object, mistakes }
    }

    /// Takes the value of one of them.
    // Once for each type, not for each field.
    #[inline(never)]
    pub(super) fn take<T: Read<'t>>(&mut self, key: &str) -> T {
        let value = self.value(key, T::REQUIRED);
        let before = self.mistakes.first.is_some();
        let read = T::read(value, self.mistakes);
        if !before {
            self.mistakes.inside(key);
        }
        read
    }

    fn value(&mut self, key: &str, required: bool) -> Option<&'t Tree<'t>> {
        match self.object.and_then(|object| object.get(key)) {
            // An empty value of a template becomes null: taken for an absent field, it would
            // make a rule with a percent one for everybody.
            Some(Tree::Null) if !required => {
                self.mistakes
                    .add(key, "is null: leave it out instead".to_owned());
                None
            }
            None if required => {
                self.mistakes.add("", format!("missing field `{key}`"));
                None
            }
            value => value,
        }
    }
}

fn unknown(key: &str, known: &[&[&str]]) -> String {
    let count = known
        .iter()
        .fold(0, |count: usize, known| count.saturating_add(known.len()));
    let (before, between) = match count {
        1 => ("", ""),
        2 => ("", " or "),
        _ => ("one of ", ", "),
    };
    let mut message = format!("unknown field `{key}`, expected {before}");
    for (nth, known) in known.iter().copied().flatten().enumerate() {
        let between = if nth > 0 { between } else { "" };
        for part in [between, "`", known, "`"] {
            message.push_str(part);
        }
    }
    message
}

/// Defines a struct that is read from an object: each field with its name there, and at the
/// end perhaps another such struct whose fields stand in the same object.
macro_rules! shape {
    // One that borrows its text from the tree.
    (
        $(#[$attribute:meta])*
        pub(super) struct $name:ident<$tree:lifetime> { $($fields:tt)* }
    ) => {
        $crate::config::read::shape! {
            @ [$(#[$attribute])*] $name [$name<$tree>] [<$tree>] $tree { $($fields)* }
        }
    };
    // One without any.
    (
        $(#[$attribute:meta])*
        pub(super) struct $name:ident { $($fields:tt)* }
    ) => {
        $crate::config::read::shape! {
            @ [$(#[$attribute])*] $name [$name] [] 't { $($fields)* }
        }
    };
    (
        @ [$($attributes:tt)*] $name:ident [$($this:tt)*] [$($generics:tt)*] $tree:lifetime {
            $($key:literal => $field:ident: $type:ty,)*
            $(.. $rest:ident: $rest_type:ty,)?
        }
    ) => {
        $($attributes)*
        #[derive(Debug)]
        pub(super) struct $name $($generics)* {
            $(pub $field: $type,)*
            $(pub $rest: $rest_type,)?
        }

        impl<$tree> $($this)* {
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn take(fields: &mut $crate::config::read::Fields<'_, $tree>) -> Self {
                Self {
                    $($field: fields.take($key),)*
                    $($rest: <$rest_type>::take(fields),)?
                }
            }

            #[cfg(not(target_arch = "wasm32"))]
            fn fields(of: &mut $crate::config::describe::Fields<'_>) {
                $(of.add::<$type>($key);)*
                $(<$rest_type>::fields(of);)?
            }
        }

        #[cfg(not(target_arch = "wasm32"))]
        impl<$tree> $crate::config::describe::Describe for $($this)* {
            fn describe(
                definitions: &mut serde_json::Map<String, serde_json::Value>,
            ) -> serde_json::Value {
                let name = stringify!($name);
                $crate::config::describe::object(name, definitions, Self::fields)
            }
        }

        impl<$tree> $crate::config::read::Read<$tree> for $($this)* {
            fn read(
                value: Option<&$tree $crate::config::tree::Tree<$tree>>,
                mistakes: &mut $crate::config::read::Mistakes,
            ) -> Self {
                let known = &[Self::KEYS, $(<$rest_type>::KEYS)?];
                Self::take(&mut $crate::config::read::Fields::of(value, known, mistakes))
            }
        }
    };
}
pub(super) use shape;

/// A number as a configuration would have it: `5`, not `5.0`, and `0.1` with as few decimals as
/// tell it from its neighbours, nine at most.
// Formatting any double takes 3 KB of code, or 18 with the standard library's.
pub(super) fn shown(number: f64) -> String {
    const EXACT: f64 = (1_u64 << 53) as f64;
    const MOST: usize = 9;
    if number.abs() >= EXACT {
        return "a number beyond 2^53".to_owned();
    }
    let (mut decimals, mut scale) = (0_usize, 1_u64);
    let scaled = |scale: u64| (number.abs() * scale as f64).round();
    while decimals < MOST && scaled(scale) < EXACT && scaled(scale) / scale as f64 != number.abs() {
        decimals = decimals.saturating_add(1);
        scale = scale.saturating_mul(10);
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "of a size that fits"
    )]
    let digits = scaled(scale) as u64;
    let whole = digits.checked_div(scale).unwrap_or_default();
    let rest = digits.checked_rem(scale).unwrap_or_default();
    let sign = if number < 0.0 { "-" } else { "" };
    match decimals {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{rest:0decimals$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_they_are_written() {
        for (number, text) in [
            (0.0, "0"),
            (5.0, "5"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (33.33, "33.33"),
            (0.00001, "0.00001"),
            (5.000_000_5, "5.0000005"),
            (99.999_999_999, "99.999999999"),
            (1_000_001.0, "1000001"),
            (123_456_789.125, "123456789.125"),
            (1e-12, "0.000000000"),
            (-1e300, "a number beyond 2^53"),
        ] {
            assert_eq!(shown(number), text);
        }
    }
}

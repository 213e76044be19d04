//! Reads the specs from a JSON tree, with the path of every value that does not fit.
//!
//! By hand, because serde's derive for all 31 specs was tried: 150 more lines, 67 to 125 KB more
//! code, and `flatten` cannot refuse unknown fields.

use crate::error::{ErrorKind, Path};
use crate::json::Tree;

/// A type that can be read from a value of a tree.
pub(super) trait Read<'t>: Sized {
    /// Whether a field of this type must be present.
    const REQUIRED: bool = true;

    /// Reads the value of a field, `None` if the field is absent. A value that does not fit is
    /// added to the mistakes; the result is then a placeholder, so that the code of a field needs
    /// no early return.
    fn read(value: Option<&'t Tree<'t>>, mistakes: &mut Mistakes) -> Self;
}

/// Reads a value.
///
/// # Errors
/// When the value or a part of it has the wrong type.
pub(super) fn read<'t, T: Read<'t>>(value: &'t Tree<'t>) -> Result<T, Mistake> {
    let mut mistakes = Mistakes::default();
    let read = T::read(Some(value), &mut mistakes);
    mistakes.first.map_or(Ok(read), Err)
}

/// A value that does not fit its spec.
#[derive(Debug)]
pub(super) struct Mistake {
    /// The path below the value that was read.
    path: String,
    kind: ErrorKind,
    message: String,
}

impl Mistake {
    pub(super) fn report(self, at: Path<'_>) {
        at.below(&self.path).error_of_kind(self.kind, self.message);
    }
}

/// The first mistake of a value; the others are not kept.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    first: Option<Mistake>,
}

impl Mistakes {
    fn add(&mut self, path: &str, kind: ErrorKind, message: String) {
        let path = path.to_owned();
        self.first.get_or_insert(Mistake {
            path,
            kind,
            message,
        });
    }

    /// Adds the mistake that a value has the wrong type. An absent value is reported as a
    /// missing field by its object.
    pub(super) fn wrong_type(&mut self, found: Option<&Tree<'_>>, expected: &str) {
        let found = match found {
            None => return,
            Some(Tree::Null) => "null",
            Some(Tree::Bool(_)) => "true or false",
            Some(Tree::Number(_)) => "a number",
            Some(Tree::Text(_)) => "a string",
            Some(Tree::List(_)) => "a list",
            Some(Tree::Object(_)) => "an object",
        };
        let message = format!("is {found}: write {expected}");
        self.add("", ErrorKind::WrongType, message);
    }

    /// Puts the key of a field in front of the path.
    fn prefix_path(&mut self, key: &str) {
        if let Some(Mistake { path, .. }) = &mut self.first {
            let dot = match path.as_bytes() {
                [] | [b'[', ..] => "",
                _ => ".",
            };
            *path = [key, dot, path].concat();
        }
    }
}

impl<'t> Read<'t> for &'t str {
    fn read(value: Option<&'t Tree<'t>>, mistakes: &mut Mistakes) -> Self {
        match value {
            Some(Tree::Text(text)) => text,
            other => {
                mistakes.wrong_type(other, "a string");
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
                mistakes.wrong_type(other, "true or false");
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
                mistakes.wrong_type(other, "a number");
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

/// Reads the fields of an object.
pub(super) struct FieldReader<'m, 't> {
    object: Option<&'t Tree<'t>>,
    mistakes: &'m mut Mistakes,
}

impl<'m, 't> FieldReader<'m, 't> {
    /// `known` are the keys that the object may have.
    pub(super) fn new(
        object: Option<&'t Tree<'t>>,
        known: &[&[&'static str]],
        mistakes: &'m mut Mistakes,
    ) -> Self {
        let members = match object {
            Some(Tree::Object(members)) => members.as_slice(),
            other => {
                mistakes.wrong_type(other, "an object");
                &[]
            }
        };
        let is_known = |key: &str| known.iter().any(|known| known.contains(&key));
        if let Some((key, _)) = members.iter().find(|(key, _)| !is_known(key)) {
            let kind = ErrorKind::UnknownField {
                field: key.to_string(),
                known: known.concat(),
            };
            mistakes.add("", kind, unknown(key, &known.concat()));
        }
        Self { object, mistakes }
    }

    /// Reads the value of a field.
    pub(super) fn take<T: Read<'t>>(&mut self, key: &str) -> T {
        let value = self.value(key, T::REQUIRED);
        let before = self.mistakes.first.is_some();
        let read = T::read(value, self.mistakes);
        if !before {
            self.mistakes.prefix_path(key);
        }
        read
    }

    fn value(&mut self, key: &str, required: bool) -> Option<&'t Tree<'t>> {
        match self.object.and_then(|object| object.get(key)) {
            // An empty value of a template becomes null. If that were an absent field, a rule
            // with `percent: {{value}}` would be one for all users.
            Some(Tree::Null) if !required => {
                let message = "is null: leave the field out".to_owned();
                self.mistakes.add(key, ErrorKind::WrongType, message);
                None
            }
            None if required => {
                let message = format!("missing field `{key}`");
                self.mistakes.add("", ErrorKind::MissingField, message);
                None
            }
            value => value,
        }
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    let (one_of, separator) = match known.len() {
        1 => ("", ""),
        2 => ("", "` or `"),
        _ => ("one of ", "`, `"),
    };
    let known = known.join(separator);
    format!("unknown field `{key}`, expected {one_of}`{known}`")
}

/// Defines a struct that is read from an object: each field with its key and, after `..`, a
/// struct whose fields are in the same object.
macro_rules! spec {
    // A struct that borrows from the tree.
    (
        $(#[$attribute:meta])*
        pub(super) struct $name:ident<$tree:lifetime> { $($fields:tt)* }
    ) => {
        $crate::config::read::spec! {
            @ [$(#[$attribute])*] $name [$name<$tree>] [<$tree>] $tree { $($fields)* }
        }
    };
    // A struct that does not.
    (
        $(#[$attribute:meta])*
        pub(super) struct $name:ident { $($fields:tt)* }
    ) => {
        $crate::config::read::spec! {
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

            fn take(fields: &mut $crate::config::read::FieldReader<'_, $tree>) -> Self {
                Self {
                    $($field: fields.take($key),)*
                    $($rest: <$rest_type>::take(fields),)?
                }
            }

            #[cfg(not(target_arch = "wasm32"))]
            fn fields(of: &mut $crate::config::describe::FieldSchemas<'_>) {
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
                value: Option<&$tree $crate::json::Tree<$tree>>,
                mistakes: &mut $crate::config::read::Mistakes,
            ) -> Self {
                let known = &[Self::KEYS, $(<$rest_type>::KEYS)?];
                Self::take(&mut $crate::config::read::FieldReader::new(value, known, mistakes))
            }
        }
    };
}
pub(super) use spec;

/// A number as a configuration writes it: `5` instead of `5.0`, and `0.1` with the fewest decimals
/// that give the same number, at most nine. The formatting of the standard library needs 18 KB.
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

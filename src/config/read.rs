//! Reads the specs from a JSON tree, with the path of every value that does not fit.
//!
//! By hand, because serde's derive for all 31 specs was tried: 150 more lines, 67 to 125 KB more
//! code, and `flatten` cannot refuse unknown fields.

use std::cell::Cell;

use divvy_json::Tree;
use divvy_json::error::{ErrorKind, Errors, Path};

/// A type that can be read from a value of a tree.
pub(crate) trait Read<'t>: Sized {
    /// Whether a field of this type must be present.
    const REQUIRED: bool = true;

    /// Whether only objects are of this type: of others, no field is looked for.
    const IS_OBJECT: bool = false;

    /// Reads the value of a field, `None` if the field is absent. If the value does not fit, an
    /// error is added and the result is a placeholder, so that reading a field needs no early
    /// return.
    fn read(value: Option<&'t Tree<'t>>, at: Path<'_>) -> Self;
}

/// Reads a value; `None` if the value or a part of it does not fit. Only the first error is kept.
#[inline(never)]
pub(crate) fn read<'t, T: Read<'t>>(value: &'t Tree<'t>, at: Path<'_>) -> Option<T> {
    if T::IS_OBJECT && !matches!(value, Tree::Object(_)) {
        wrong_type(Some(value), "an object", at);
        return None;
    }
    let errors = Cell::default();
    let read = T::read(Some(value), at.collecting_in(&errors));
    fits(errors, at).then_some(read)
}

/// Whether there are no errors; the first one is added. Once in the module, not once per type.
#[inline(never)]
fn fits(errors: Cell<Errors>, at: Path<'_>) -> bool {
    let first = errors.into_inner().into_first();
    let fits = first.is_none();
    if let Some(error) = first {
        at.add(error);
    }
    fits
}

/// Adds the error that a value has the wrong type. If it is absent, its object has added an error.
pub(crate) fn wrong_type(found: Option<&Tree<'_>>, expected: &str, at: Path<'_>) {
    let found = match found {
        None => return,
        Some(Tree::Null) => "null",
        Some(Tree::Bool(_)) => "true or false",
        Some(Tree::Number(_)) => "a number",
        Some(Tree::Text(_)) => "a string",
        Some(Tree::List(_)) => "a list",
        Some(Tree::Object(_)) => "an object",
    };
    let message = format_args!("is {found}: write {expected}");
    at.error_of_kind(ErrorKind::WrongType, message);
}

impl<'t> Read<'t> for &'t str {
    fn read(value: Option<&'t Tree<'t>>, at: Path<'_>) -> Self {
        if let Some(Tree::Text(text)) = value {
            return text;
        }
        wrong_type(value, "a string", at);
        ""
    }
}

impl<'t> Read<'t> for bool {
    fn read(value: Option<&'t Tree<'t>>, at: Path<'_>) -> Self {
        if let Some(Tree::Bool(flag)) = value {
            return *flag;
        }
        wrong_type(value, "true or false", at);
        false
    }
}

impl<'t> Read<'t> for f64 {
    fn read(value: Option<&'t Tree<'t>>, at: Path<'_>) -> Self {
        if let Some(Tree::Number(number)) = value {
            return *number;
        }
        wrong_type(value, "a number", at);
        0.0
    }
}

impl<'t, T: Read<'t>> Read<'t> for Option<T> {
    const REQUIRED: bool = false;

    fn read(value: Option<&'t Tree<'t>>, at: Path<'_>) -> Self {
        value.map(|value| T::read(Some(value), at))
    }
}

impl<'t, T: Read<'t>> Read<'t> for Box<T> {
    fn read(value: Option<&'t Tree<'t>>, at: Path<'_>) -> Self {
        Self::new(T::read(value, at))
    }
}

/// Reads the fields of an object.
pub(crate) struct FieldReader<'p, 't> {
    object: Option<&'t Tree<'t>>,
    at: Path<'p>,
}

impl<'p, 't> FieldReader<'p, 't> {
    /// `known` are the keys that the object may have.
    pub(crate) fn new(
        object: Option<&'t Tree<'t>>,
        known: &[&[&'static str]],
        at: Path<'p>,
    ) -> Self {
        let members = object.map_or(&[][..], Tree::members);
        if !matches!(object, Some(Tree::Object(_))) {
            wrong_type(object, "an object", at);
        }
        let is_known = |key: &str| known.iter().any(|known| known.contains(&key));
        if let Some((key, _)) = members.iter().find(|(key, _)| !is_known(key)) {
            unknown_field(key, known.concat(), at);
        }
        Self { object, at }
    }

    /// Reads the value of a field.
    pub(crate) fn take<T: Read<'t>>(&self, key: &str) -> T {
        let value = self.find(key, T::REQUIRED);
        T::read(value, self.at.field(key))
    }

    // Not generic and not inlined: there are a hundred fields.
    #[inline(never)]
    fn find(&self, key: &str, required: bool) -> Option<&'t Tree<'t>> {
        let value = self.object.and_then(|object| object.get(key));
        if value.is_none() && required {
            let message = format_args!("missing field `{key}`");
            self.at.error_of_kind(ErrorKind::MissingField, message);
        }
        // An empty value of a template becomes null. If that were an absent field, a rule with
        // `percent: {{value}}` would be one for all users.
        if matches!(value, Some(Tree::Null)) && !required {
            let at = self.at.field(key);
            at.error_of_kind(ErrorKind::WrongType, "is null: leave the field out");
        }
        value
    }
}

fn unknown_field(key: &str, known: Vec<&'static str>, at: Path<'_>) {
    let (one_of, separator) = match known.len() {
        1 => ("", ""),
        2 => ("", "` or `"),
        _ => ("one of ", "`, `"),
    };
    let list = known.join(separator);
    let field = key.to_owned();
    at.error_of_kind(
        ErrorKind::UnknownField { field, known },
        format_args!("unknown field `{key}`, expected {one_of}`{list}`"),
    );
}

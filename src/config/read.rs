//! Reads values of a shape from a JSON tree, with the path of whatever does not fit.
//!
//! serde's derive does the same, but writes code for each field of each struct: with it the
//! filter was 65 KB larger than with these functions, which all fields share. So serde reads
//! the JSON, and this reads the tree.

use serde_json::{Map, Value, value};

use super::error::{At, Errors};

/// What can be read from a value of a tree.
pub(super) trait Read: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// When the value has not the right shape.
    fn read(value: Value) -> Result<Self, ShapeError>;

    /// What it means that a field is not there: `None` where it has to be.
    fn absent() -> Option<Self> {
        None
    }
}

/// What does not have the right shape, and where.
#[derive(Debug)]
pub(super) struct ShapeError {
    path: String,
    message: String,
}

impl ShapeError {
    fn new(message: String) -> Self {
        Self {
            path: String::new(),
            message,
        }
    }

    /// In words that a configuration is written in: no Rust types.
    pub(super) fn mismatch(found: &Value, meant: &str) -> Self {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Self::new(format!("is {found} where {meant} is meant"))
    }

    pub(super) fn report(&self, at: At<'_>, errors: &mut Errors) {
        errors.add(at.below(&self.path), self.message.as_str());
    }

    /// The same, seen from one step further out.
    fn inside(mut self, step: &str) -> Self {
        let dot = match self.path.as_bytes() {
            [] | [b'[', ..] => "",
            _ => ".",
        };
        self.path = [step, dot, &self.path].concat();
        self
    }
}

impl Read for String {
    fn read(value: Value) -> Result<Self, ShapeError> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(ShapeError::mismatch(&other, "a string")),
        }
    }
}

impl Read for bool {
    fn read(value: Value) -> Result<Self, ShapeError> {
        match value {
            Value::Bool(flag) => Ok(flag),
            other => Err(ShapeError::mismatch(&other, "true or false")),
        }
    }
}

impl Read for f64 {
    fn read(value: Value) -> Result<Self, ShapeError> {
        let number = value.as_f64();
        number.ok_or_else(|| ShapeError::mismatch(&value, "a number"))
    }
}

impl<T: Read> Read for Option<T> {
    fn read(value: Value) -> Result<Self, ShapeError> {
        if value.is_null() {
            // An empty value of a template becomes null: taken for an absent field, it would
            // make a rule with a percent one for everybody.
            return Err(ShapeError::new("is null: leave it out instead".to_owned()));
        }
        T::read(value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Read> Read for Box<T> {
    fn read(value: Value) -> Result<Self, ShapeError> {
        T::read(value).map(Self::new)
    }
}

/// The fields of an object that is being read.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of a value, if it is an object and has no others than these.
    pub(super) fn of(value: Value, known: &[&[&str]]) -> Result<Self, ShapeError> {
        let Value::Object(map) = value else {
            return Err(ShapeError::mismatch(&value, "an object"));
        };
        let is_known = |key: &str| known.iter().any(|known| known.contains(&key));
        match map.keys().find(|key| !is_known(key)) {
            None => Ok(Self(map)),
            Some(key) => {
                let known = known.iter().copied().flatten();
                let known: Vec<_> = known.map(|key| format!("`{key}`")).collect();
                let expected = match known.as_slice() {
                    [one] => one.clone(),
                    [one, other] => format!("{one} or {other}"),
                    several => format!("one of {}", several.join(", ")),
                };
                let message = format!("unknown field `{key}`, expected {expected}");
                Err(ShapeError::new(message))
            }
        }
    }

    /// Takes the value of one of them.
    pub(super) fn take<T: Read>(&mut self, key: &str) -> Result<T, ShapeError> {
        // Not removed: that would rebalance the map for each field.
        match self.0.get_mut(key).map(Value::take) {
            Some(value) => T::read(value).map_err(|error| error.inside(key)),
            None => T::absent().ok_or_else(|| ShapeError::new(format!("missing field `{key}`"))),
        }
    }
}

/// Defines a struct that is read from an object: each field with its name there, and at the
/// end perhaps another such struct whose fields stand in the same object.
macro_rules! shape {
    (
        $(#[$attribute:meta])*
        pub(super) struct $name:ident {
            $($key:literal => $field:ident: $type:ty,)*
            $(.. $rest:ident: $rest_type:ty,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug)]
        pub(super) struct $name {
            $(pub $field: $type,)*
            $(pub $rest: $rest_type,)?
        }

        impl $name {
            const KEYS: &[&str] = &[$($key),*];

            fn take(
                fields: &mut $crate::config::read::Fields,
            ) -> Result<Self, $crate::config::read::ShapeError> {
                Ok(Self {
                    $($field: fields.take($key)?,)*
                    $($rest: <$rest_type>::take(fields)?,)?
                })
            }

            #[cfg(not(target_arch = "wasm32"))]
            fn fields(of: &mut $crate::config::describe::Fields<'_>) {
                $(of.add::<$type>($key);)*
                $(<$rest_type>::fields(of);)?
            }
        }

        #[cfg(not(target_arch = "wasm32"))]
        impl $crate::config::describe::Describe for $name {
            fn describe(
                definitions: &mut serde_json::Map<String, serde_json::Value>,
            ) -> serde_json::Value {
                let name = stringify!($name);
                $crate::config::describe::object(name, definitions, Self::fields)
            }
        }

        impl $crate::config::read::Read for $name {
            fn read(
                value: serde_json::Value,
            ) -> Result<Self, $crate::config::read::ShapeError> {
                let known = &[Self::KEYS, $(<$rest_type>::KEYS)?];
                Self::take(&mut $crate::config::read::Fields::of(value, known)?)
            }
        }
    };
}
pub(super) use shape;

/// A number as a configuration would have it: `5`, not `5.0`.
pub(super) fn shown(number: f64) -> String {
    value::Number::from_f64(number).map_or_else(
        || "not a number".to_owned(),
        |number| {
            let text = number.to_string();
            text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
        },
    )
}

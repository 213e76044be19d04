//! The keys of a log line, and the values that a line has there. Must not depend on their meaning.

use std::borrow::Cow;
use std::fmt;

use anyhow::{Result, bail};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What a line of a log or of events may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogField {
    /// Start of the request.
    Time,
    /// Method of the request.
    Method,
    /// Path of the request.
    Path,
    /// Status code of the response.
    Code,
    /// Response flags of Envoy.
    Flags,
    /// Duration in milliseconds.
    Duration,
    /// The assignment header.
    Assignment,
    /// The unit header.
    Unit,
    /// Name of an event.
    Goal,
    /// An amount.
    Value,
}

/// All fields with the keys of the shipped access logs, in the order of their numbers.
const FIELDS: [(LogField, &str); 10] = [
    (LogField::Time, "time"),
    (LogField::Method, "method"),
    (LogField::Path, "path"),
    (LogField::Code, "code"),
    (LogField::Flags, "flags"),
    (LogField::Duration, "duration"),
    (LogField::Assignment, "assignment"),
    (LogField::Unit, "unit"),
    (LogField::Goal, "goal"),
    (LogField::Value, "value"),
];

/// A key of each field.
#[derive(Clone, Debug)]
pub struct FieldKeys {
    /// By the number of the field. A key with dots also names a value inside objects.
    keys: Vec<String>,
}

impl Default for FieldKeys {
    fn default() -> Self {
        Self {
            keys: FIELDS.map(|(_, key)| key.to_owned()).into(),
        }
    }
}

impl FieldKeys {
    /// The keys with the changes of `--fields`, such as `unit=user.id,time=ts`.
    pub fn with(mut self, changes: &[String]) -> Result<Self> {
        for change in changes.iter().flat_map(|text| text.split(',')) {
            let pair = change.split_once('=').filter(|(_, key)| !key.is_empty());
            let Some((name, key)) = pair else {
                bail!("--fields {change:?} is not FIELD=KEY, such as unit=user_id");
            };
            let Some(place) = FIELDS.iter().position(|(_, field)| *field == name) else {
                let all = FIELDS.map(|(_, field)| field).join(", ");
                bail!("--fields {change:?}: {name:?} is not one of {all}");
            };
            key.clone_into(&mut self.keys[place]);
        }
        Ok(self)
    }

    /// The key of a field.
    pub fn key(&self, field: LogField) -> &str {
        &self.keys[field as usize]
    }

    /// Reads a line of JSON.
    pub fn read<'l>(&self, line: &'l [u8]) -> serde_json::Result<LineValues<'l>> {
        let mut values = LineValues::default();
        let mut deserializer = serde_json::Deserializer::from_slice(line);
        let seed = ObjectSeed {
            keys: &self.keys,
            depth: 0,
            wanted: ALL,
            values: &mut values,
        };
        deserializer.deserialize_map(seed)?;
        deserializer.end()?;
        Ok(values)
    }
}

const ALL: u16 = (1 << FIELDS.len()) - 1;

/// A value of a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum LineValue<'l> {
    /// Null, an object, a list, or no value.
    #[default]
    Absent,
    /// A text.
    Text(Cow<'l, str>),
    /// A number.
    Number(f64),
}

impl LineValue<'_> {
    /// The text, unless it is absent: Envoy writes `-` for a missing header.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(&**text).filter(|text| !matches!(*text, "" | "-")),
            _ => None,
        }
    }

    /// The number, also in a text.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Absent => None,
        }
    }
}

/// The values of a line, by the number of the field.
#[derive(Debug, Default)]
pub struct LineValues<'l>([LineValue<'l>; FIELDS.len()]);

impl<'l> LineValues<'l> {
    /// A value.
    pub fn get(&self, field: LogField) -> &LineValue<'l> {
        &self.0[field as usize]
    }

    /// Sets a value.
    pub fn set(&mut self, field: LogField, value: LineValue<'l>) {
        self.0[field as usize] = value;
    }
}

/// Reads an object: the wanted fields, of whose keys `depth` parts led here.
struct ObjectSeed<'s, 'l> {
    keys: &'s [String],
    depth: usize,
    wanted: u16,
    values: &'s mut LineValues<'l>,
}

impl<'l> ObjectSeed<'_, 'l> {
    /// The fields whose value has this key, and those whose value is inside it.
    fn fields_of(&self, key: &str) -> (u16, u16) {
        let (mut here, mut inside) = (0, 0);
        for (number, name) in self.keys.iter().enumerate() {
            if self.wanted & (1 << number) == 0 {
                continue;
            }
            let rest = match self.depth {
                0 => Some(&**name),
                depth => name.splitn(depth + 1, '.').nth(depth),
            };
            let Some(rest) = rest else { continue };
            let after = rest.strip_prefix(key);
            match after.map(str::as_bytes) {
                Some([]) => here |= 1 << number,
                Some([b'.', _, ..]) => inside |= 1 << number,
                _ => {}
            }
        }
        (here, inside)
    }
}

impl<'l> Visitor<'l> for ObjectSeed<'_, 'l> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'l>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(TextSeed)? {
            let (here, inside) = self.fields_of(&key);
            if here != 0 {
                let value = map.next_value_seed(ValueSeed)?;
                for (number, slot) in self.values.0.iter_mut().enumerate() {
                    if here & (1 << number) != 0 {
                        slot.clone_from(&value);
                    }
                }
            } else if inside != 0 {
                map.next_value_seed(InsideSeed(ObjectSeed {
                    keys: self.keys,
                    depth: self.depth + 1,
                    wanted: inside,
                    values: self.values,
                }))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// An object inside another one, or a value that is not an object.
struct InsideSeed<'s, 'l>(ObjectSeed<'s, 'l>);

impl<'l> DeserializeSeed<'l> for InsideSeed<'_, 'l> {
    type Value = ();

    fn deserialize<D: Deserializer<'l>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Methods of a visitor that ignore a value which is not an object.
macro_rules! ignore {
    ($result:expr; $($name:ident: $type:ty),*) => {
        $(fn $name<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok($result)
        })*

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($result)
        }

        fn visit_seq<A: SeqAccess<'l>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($result)
        }
    };
}

impl<'l> Visitor<'l> for InsideSeed<'_, 'l> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    ignore!((); visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_map<A: MapAccess<'l>>(self, map: A) -> Result<(), A::Error> {
        self.0.visit_map(map)
    }
}

/// A key.
struct TextSeed;

impl<'l> DeserializeSeed<'l> for TextSeed {
    type Value = Cow<'l, str>;

    fn deserialize<D: Deserializer<'l>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'l> Visitor<'l> for TextSeed {
    type Value = Cow<'l, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'l str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// The value of a field.
struct ValueSeed;

impl<'l> DeserializeSeed<'l> for ValueSeed {
    type Value = LineValue<'l>;

    fn deserialize<D: Deserializer<'l>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'l> Visitor<'l> for ValueSeed {
    type Value = LineValue<'l>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    ignore!(LineValue::Absent; visit_bool: bool);

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(LineValue::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(LineValue::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(LineValue::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'l str) -> Result<Self::Value, E> {
        Ok(LineValue::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(LineValue::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'l>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(LineValue::Absent)
    }
}

//! Which fields a configuration has, and of which type: nothing about what they mean.
//!
//! Every struct refuses unknown fields. There are no untagged enums, whose errors say
//! only that nothing fits. An error of shape hides the rest of the value it is in, so
//! each element of a list ([`Items`]) is read by itself.

use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;

use super::error::{At, Errors};
use super::tree;

/// The whole configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Config {
    pub version: Option<String>,
    pub identity: Option<Items<Identity>>,
    pub ignore_identities: Option<Items<String>>,
    pub headers: Option<Headers>,
    pub response_header: Option<String>,
    pub rollouts: Option<Items<Rollout>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Headers {
    pub route: Option<String>,
    pub assignment: Option<String>,
}

/// Exactly one of the fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Identity {
    pub header: Option<String>,
    pub cookie: Option<String>,
    pub query: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Rollout {
    pub name: String,
    pub salt: Option<String>,
    pub enabled: Option<bool>,
    #[serde(rename = "match")]
    pub scopes: Option<Items<Scope>>,
    pub target: Option<String>,
    pub versions: Items<Version>,
    pub stable: String,
    pub rules: Option<Items<Rule>>,
    pub strategy: Strategy,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Scope {
    pub hosts: Option<Items<String>>,
    pub path: Option<Operator>,
    pub methods: Option<Items<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Version {
    pub name: String,
    pub target: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Rule {
    pub name: String,
    pub when: Condition,
    #[serde(rename = "use")]
    pub version: String,
    pub percent: Option<f64>,
}

/// One combination, or one source and one operator. The operators stand here once more
/// because serde cannot refuse unknown fields in a flattened struct.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Condition {
    pub all: Option<Items<Self>>,
    pub any: Option<Items<Self>>,
    pub not: Option<Box<Self>>,

    pub header: Option<String>,
    pub cookie: Option<String>,
    pub query: Option<String>,
    pub path: Option<bool>,
    pub method: Option<bool>,
    pub host: Option<bool>,

    exact: Option<String>,
    prefix: Option<String>,
    suffix: Option<String>,
    contains: Option<String>,
    r#in: Option<Items<String>>,
    present: Option<bool>,
}

impl Condition {
    /// The operators among the fields.
    pub(super) fn operator(&mut self) -> Operator {
        Operator {
            exact: self.exact.take(),
            prefix: self.prefix.take(),
            suffix: self.suffix.take(),
            contains: self.contains.take(),
            r#in: self.r#in.take(),
            present: self.present.take(),
        }
    }
}

/// Exactly one of the fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Operator {
    pub exact: Option<String>,
    pub prefix: Option<String>,
    pub suffix: Option<String>,
    pub contains: Option<String>,
    pub r#in: Option<Items<String>>,
    pub present: Option<bool>,
}

/// Exactly one of the fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Strategy {
    pub canary: Option<Canary>,
    pub ab_test: Option<AbTest>,
    pub blue_green: Option<BlueGreen>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Canary {
    pub version: String,
    pub weight: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AbTest {
    pub split: Items<Arm>,
    pub traffic: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Arm {
    pub version: String,
    pub weight: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct BlueGreen {
    pub active: String,
}

/// A list whose elements are read one by one, when they are compiled: one that has the
/// wrong shape does not hide what is wrong with the others.
#[derive(Debug)]
pub(super) struct Items<T> {
    values: Vec<Value>,
    shape: PhantomData<T>,
}

impl<T> Items<T> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The list, cut to the most that is allowed when it is longer.
    pub(super) fn at_most(
        mut self,
        most: usize,
        what: &str,
        at: At<'_>,
        errors: &mut Errors,
    ) -> Self {
        let count = self.len();
        if count > most {
            let message = format!("{count} {what} are more than {most}, the most there may be");
            errors.add(at, message);
            self.values.truncate(most);
        }
        self
    }
}

impl<T: DeserializeOwned> Items<T> {
    /// Compiles each element that has the right shape, and notes what is wrong with the
    /// shape of the others.
    pub(super) fn each<U>(
        self,
        at: At<'_>,
        errors: &mut Errors,
        mut compile: impl FnMut(At<'_>, T, &mut Errors) -> Option<U>,
    ) -> Vec<U> {
        let mut list = Vec::new();
        for (index, value) in self.values.into_iter().enumerate() {
            let at = at.index(index);
            match tree::read(value) {
                Ok(value) => list.extend(compile(at, value, errors)),
                Err(error) => error.report(at, errors),
            }
        }
        list
    }
}

impl<'de, T> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Array(values) => Ok(Self {
                values,
                shape: PhantomData,
            }),
            other => Err(tree::mismatch(&other, "a list")),
        }
    }
}

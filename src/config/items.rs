//! Lists in a configuration.

use std::marker::PhantomData;

use super::read::{self, Mistakes, Read};
use crate::error::Path;
use crate::json::Tree;

/// A list whose elements are read one by one, when they are compiled: one that has the
/// wrong shape does not hide what is wrong with the others.
#[derive(Debug)]
pub(super) struct Items<'t, T> {
    values: &'t [Tree<'t>],
    shape: PhantomData<T>,
}

impl<T> Clone for Items<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Items<'_, T> {}

impl<'t, T> Items<'t, T> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The elements as they stand there.
    pub(super) fn raw(&self) -> impl Iterator<Item = &'t Tree<'t>> {
        self.values.iter()
    }

    /// The list, cut to the most that is allowed when it is longer.
    pub(super) fn at_most(mut self, most: usize, what: &str, at: Path<'_>) -> Self {
        let count = self.len();
        if count > most {
            let message = format_args!("has {count} {what}: the maximum is {most}");
            at.error(message);
            self.values = self.values.get(..most).unwrap_or_default();
        }
        self
    }
}

impl<'t, T: Read<'t>> Items<'t, T> {
    /// Compiles each element that has the right shape, and notes what is wrong with the
    /// shape of the others.
    pub(super) fn each<U>(
        self,
        at: Path<'_>,
        mut compile: impl FnMut(Path<'_>, T) -> Option<U>,
    ) -> Vec<U> {
        let mut list = Vec::new();
        for (index, value) in self.values.iter().enumerate() {
            let at = at.index(index);
            match read::read(value) {
                Ok(value) => {
                    if let Some(compiled) = compile(at, value) {
                        list.push(compiled);
                    }
                }
                Err(error) => error.report(at),
            }
        }
        list
    }
}

impl<'t, T> Read<'t> for Items<'t, T> {
    fn read(value: Option<&'t Tree<'t>>, mistakes: &mut Mistakes) -> Self {
        let values = match value {
            Some(Tree::List(values)) => values.as_slice(),
            other => {
                mistakes.wrong_type(other, "a list");
                &[]
            }
        };
        Self {
            values,
            shape: PhantomData,
        }
    }
}

/// A string, or a list of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum OneOrMany<'t> {
    One(&'t str),
    Many(Items<'t, &'t str>),
}

impl<'t> Read<'t> for OneOrMany<'t> {
    fn read(value: Option<&'t Tree<'t>>, mistakes: &mut Mistakes) -> Self {
        match value {
            Some(Tree::Text(text)) => Self::One(text),
            Some(Tree::List(_)) => Self::Many(Items::read(value, mistakes)),
            other => {
                mistakes.wrong_type(other, "a string or a list of strings");
                Self::One("")
            }
        }
    }
}

impl<'t> OneOrMany<'t> {
    /// The strings; `None` if some of them are none.
    pub(super) fn into_list(self, at: Path<'_>) -> Option<Vec<&'t str>> {
        match self {
            Self::One(text) => Some(vec![text]),
            Self::Many(items) => {
                let count = items.len();
                let list = items.each(at, |_, text| Some(text));
                (list.len() == count).then_some(list)
            }
        }
    }
}

//! Lists in a configuration.

use std::marker::PhantomData;

use crate::read::{self, Read};
use divvy_json::Tree;
use divvy_json::error::Path;

/// A list whose elements are read one by one when they are compiled, so that an element that does
/// not fit does not hide the errors of the others.
#[derive(Debug)]
pub(crate) struct Items<'t, T> {
    values: &'t [Tree<'t>],
    element: PhantomData<T>,
}

impl<T> Clone for Items<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Items<'_, T> {}

impl<'t, T> Items<'t, T> {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The elements as they stand there.
    pub(crate) fn raw(&self) -> impl Iterator<Item = &'t Tree<'t>> {
        self.values.iter()
    }

    /// The list, cut to the most that is allowed when it is longer.
    pub(crate) fn at_most(mut self, most: usize, what: &str, at: Path<'_>) -> Self {
        let count = self.len();
        if count > most {
            at.error(format_args!("has {count} {what}: the maximum is {most}"));
            self.values = self.values.get(..most).unwrap_or_default();
        }
        self
    }
}

impl<'t, T: Read<'t>> Items<'t, T> {
    /// Reads and compiles each element; the elements that do not fit add errors.
    pub(crate) fn each<U>(
        self,
        at: Path<'_>,
        mut compile: impl FnMut(Path<'_>, T) -> Option<U>,
    ) -> Vec<U> {
        let elements = self.values.iter().enumerate();
        let compiled = elements.filter_map(|(index, value)| {
            let at = at.index(index);
            compile(at, read::read(value, at)?)
        });
        compiled.collect()
    }
}

impl<'t, T> Read<'t> for Items<'t, T> {
    fn read(value: Option<&'t Tree<'t>>, at: Path<'_>) -> Self {
        Self {
            values: elements(value, at),
            element: PhantomData,
        }
    }
}

// Not generic and not inlined: there are twenty types of lists.
#[inline(never)]
fn elements<'t>(value: Option<&'t Tree<'t>>, at: Path<'_>) -> &'t [Tree<'t>] {
    if !matches!(value, Some(Tree::List(_))) {
        read::wrong_type(value, "a list", at);
    }
    value.map_or(&[], Tree::elements)
}

/// A string, or a list of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OneOrMany<'t> {
    One(&'t str),
    Many(Items<'t, &'t str>),
}

impl<'t> Read<'t> for OneOrMany<'t> {
    fn read(value: Option<&'t Tree<'t>>, at: Path<'_>) -> Self {
        match value {
            Some(Tree::Text(text)) => Self::One(text),
            Some(Tree::List(_)) => Self::Many(Items::read(value, at)),
            other => {
                read::wrong_type(other, "a string or a list of strings", at);
                Self::One("")
            }
        }
    }
}

impl<'t> OneOrMany<'t> {
    /// The strings; `None` if an element is not a string.
    pub(crate) fn into_list(self, at: Path<'_>) -> Option<Vec<&'t str>> {
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

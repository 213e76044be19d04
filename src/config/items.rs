//! Lists in a configuration.

use std::marker::PhantomData;

use super::error::{At, Errors};
use super::read::{self, Mistakes, Read};
use super::tree::Tree;

/// A list whose elements are read one by one, when they are compiled: one that has the
/// wrong shape does not hide what is wrong with the others.
#[derive(Debug)]
pub(super) struct Items<T> {
    values: Vec<Tree>,
    shape: PhantomData<T>,
}

impl<T> Items<T> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The elements as they stand there.
    pub(super) fn raw(&self) -> impl Iterator<Item = &Tree> {
        self.values.iter()
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

impl<T: Read> Items<T> {
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
            match read::read(value) {
                Ok(value) => list.extend(compile(at, value, errors)),
                Err(error) => error.report(at, errors),
            }
        }
        list
    }
}

impl<T> Read for Items<T> {
    fn read(value: Option<Tree>, mistakes: &mut Mistakes) -> Self {
        let values = match value {
            Some(Tree::List(values)) => values,
            other => {
                mistakes.mismatch(other.as_ref(), "a list");
                Vec::new()
            }
        };
        Self {
            values,
            shape: PhantomData,
        }
    }
}

/// A string, or a list of them.
#[derive(Debug)]
pub(super) enum OneOrMany {
    One(String),
    Many(Items<String>),
}

impl Read for OneOrMany {
    fn read(value: Option<Tree>, mistakes: &mut Mistakes) -> Self {
        match value {
            Some(Tree::Text(text)) => Self::One(text),
            Some(Tree::List(_)) => Self::Many(Items::read(value, mistakes)),
            other => {
                mistakes.mismatch(other.as_ref(), "a string or a list of strings");
                Self::One(String::new())
            }
        }
    }
}

impl OneOrMany {
    /// The strings; `None` if some of them are none.
    pub(super) fn into_list(self, at: At<'_>, errors: &mut Errors) -> Option<Vec<String>> {
        match self {
            Self::One(text) => Some(vec![text]),
            Self::Many(items) => {
                let count = items.len();
                let list = items.each(at, errors, |_, text, _| Some(text));
                (list.len() == count).then_some(list)
            }
        }
    }
}

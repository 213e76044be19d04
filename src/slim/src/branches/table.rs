//! Which way branches go, as text: a line for each function that was run.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::Function;

/// Which way a branch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It was not run.
    Unseen,
    /// It was never taken.
    Never,
    /// It was always taken.
    Always,
    /// Now this, now that.
    Both,
}

impl Way {
    const ALL: [(Self, char); 4] = [
        (Self::Unseen, '.'),
        (Self::Never, '0'),
        (Self::Always, '1'),
        (Self::Both, '?'),
    ];

    const fn of(not_taken: u64, taken: u64) -> Self {
        match (not_taken, taken) {
            (0, 0) => Self::Unseen,
            (_, 0) => Self::Never,
            (0, _) => Self::Always,
            _ => Self::Both,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unseen, way) | (way, Self::Unseen) => way,
            (one, other) if one == other => one,
            _ => Self::Both,
        }
    }

    /// The hint to give, if there is one: 0 where the branch is not likely to be taken, 1 where it
    /// is.
    pub const fn hint(self) -> Option<u32> {
        match self {
            Self::Never => Some(0),
            Self::Always => Some(1),
            Self::Both | Self::Unseen => None,
        }
    }
}

/// The ways of all branches of those functions of which one was run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(BTreeMap<u32, Vec<Way>>);

impl Table {
    /// What was counted: for each branch of a module how often it was not taken, and how often it
    /// was.
    pub fn counted(functions: &[Function], counts: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut counts = counts.into_iter();
        let mut table = Self::default();
        for function in functions {
            let counts = counts.by_ref().take(function.branches.len());
            let ways: Vec<_> = counts.map(|(no, yes)| Way::of(no, yes)).collect();
            if ways.iter().any(|way| *way != Way::Unseen) {
                table.add(function.key, ways);
            }
        }
        table
    }

    /// Functions with the same instructions share a line.
    fn add(&mut self, key: u32, ways: Vec<Way>) {
        let known = self.0.entry(key).or_insert_with(|| ways.clone());
        for (known, way) in known.iter_mut().zip(ways) {
            *known = known.and(way);
        }
    }

    /// The ways of a function's branches, if it is known.
    pub fn of(&self, function: &Function) -> Option<&[Way]> {
        let ways = self.0.get(&function.key)?;
        (ways.len() == function.branches.len()).then_some(ways)
    }

    /// How many of the hints of another table are in this one, and how many they are.
    pub fn covers(&self, other: &Self) -> (usize, usize) {
        let (mut same, mut all) = (0, 0);
        for (key, ways) in &other.0 {
            let known = self.0.get(key).map_or(&[][..], Vec::as_slice);
            all += ways.iter().filter(|way| way.hint().is_some()).count();
            let pairs = ways.iter().zip(known);
            same += pairs
                .filter(|(way, known)| way.hint().is_some() && way == known)
                .count();
        }
        (same, all)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, ways) in &self.0 {
            let sign = |way: &Way| Way::ALL.into_iter().find(|(of, _)| of == way);
            let signs: String = ways.iter().filter_map(sign).map(|(_, sign)| sign).collect();
            writeln!(out, "{key:08x} {signs}")?;
        }
        Ok(())
    }
}

impl FromStr for Table {
    type Err = String;

    /// Lines that begin with `#` say what the others are.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut table = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let read = || {
                let (key, signs) = line.split_once(' ')?;
                let key = u32::from_str_radix(key, 16).ok()?;
                let way = |sign| Way::ALL.into_iter().find(|(_, of)| *of == sign);
                let ways = signs.chars().map(|sign| way(sign).map(|(way, _)| way));
                Some((key, ways.collect::<Option<Vec<_>>>()?))
            };
            let (key, ways) = read().ok_or_else(|| format!("{line:?} is no line of a table"))?;
            table.add(key, ways);
        }
        Ok(table)
    }
}

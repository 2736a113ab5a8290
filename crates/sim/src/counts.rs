//! What happened in a run, counted: so that a simulator that exercises nothing is noticed.

use std::collections::BTreeMap;
use std::fmt;

/// How often what happened, by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<(&'static str, &'static str), u64>);

impl Counts {
    /// Counts one more.
    pub(crate) fn add(&mut self, kind: &'static str, name: &'static str) {
        self.add_many(kind, name, 1);
    }

    /// Counts so many more.
    pub(crate) fn add_many(&mut self, kind: &'static str, name: &'static str, many: u64) {
        *self.0.entry((kind, name)).or_default() += many;
    }

    /// How often this happened.
    #[must_use]
    pub fn of(&self, kind: &str, name: &str) -> u64 {
        let found = self.0.iter().find(|((a, b), _)| *a == kind && *b == name);
        found.map_or(0, |(_, count)| *count)
    }

    /// How often anything of a kind happened.
    #[must_use]
    pub fn all_of(&self, kind: &str) -> u64 {
        self.0.iter().filter(|((of, _), _)| *of == kind).map(|(_, count)| count).sum()
    }

    /// Adds what happened in another run.
    pub fn merge(&mut self, other: &Self) {
        for (&(kind, name), count) in &other.0 {
            self.add_many(kind, name, *count);
        }
    }
}

impl fmt::Display for Counts {
    /// One line for each kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for ((kind, name), count) in &self.0 {
            if *kind == last {
                write!(f, ", {name} {count}")?;
            } else {
                let line = if last.is_empty() { "" } else { "\n" };
                write!(f, "{line}{kind}: {name} {count}")?;
            }
            last = kind;
        }
        Ok(())
    }
}

/// A fingerprint of everything that was said in a run, in its order (FNV-1a, 64 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }
}

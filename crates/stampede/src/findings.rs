//! What a rehearsal finds out by itself, from answers alone.
//!
//! Each finding is fed with what buyers were told, and when they had asked. It accuses only on
//! proof: an answer was made at an instant between its request and its arrival, and nobody knows at
//! which, so two answers contradict each other only when they do so whichever instants those were.
//! A slow network makes findings weaker, never false; how much each has looked at is told with it.
//! Memory is bounded: a few numbers for each buyer and each seat, and the first few examples.

mod charged;
mod contract;
mod limit;
mod order;
mod owners;
mod positions;

#[cfg(test)]
mod tests;

use std::fmt::Display;

use serde::Serialize;

use crate::contract::Word;
use crate::moment::{Exchange, Moment};

pub(crate) use charged::{Charged, Receipt};
pub(crate) use contract::Contract;
pub(crate) use limit::Limit;
pub(crate) use order::Order;
pub(crate) use owners::Owners;
pub(crate) use positions::Positions;

/// A buyer's number: 0, 1, … in the order of arrival.
pub(crate) type BuyerNumber = u32;

/// Examples that are told of each finding, at most.
const EXAMPLES_MAX: usize = 5;

/// One thing that was looked at, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What has to be true, as a sentence.
    pub promise: &'static str,
    /// Whether it was.
    pub verdict: Verdict,
    /// What was looked at, or why nothing was.
    pub looked_at: String,
    /// How often it was not true.
    pub broken: u64,
    /// The first of those, each a sentence.
    pub examples: Vec<String>,
}

/// Whether a promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was, as far as can be seen.
    Kept,
    /// It was not.
    Broken,
    /// Nothing was seen that could have shown it.
    NotSeen,
}

/// Contradictions: how many, and the first few.
#[derive(Debug, Default)]
struct Breaches {
    count: u64,
    examples: Vec<String>,
}

impl Breaches {
    fn add(&mut self, sentence: impl Display) {
        self.count += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(sentence.to_string());
        }
    }

    /// The finding; `seen` things could have broken the promise.
    fn finding(self, promise: &'static str, seen: u64, looked_at: String) -> Finding {
        let verdict = match (self.count, seen) {
            (1.., _) => Verdict::Broken,
            (0, 0) => Verdict::NotSeen,
            (0, _) => Verdict::Kept,
        };
        Finding { promise, verdict, looked_at, broken: self.count, examples: self.examples }
    }
}

/// All findings of a rehearsal.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) owners: Owners,
    pub(crate) limit: Limit,
    pub(crate) order: Order,
    pub(crate) positions: Positions,
    pub(crate) charged: Charged,
    pub(crate) contract: Contract,
}

impl Findings {
    /// What was found; `active_limit` is how many may be inside, where that is known.
    pub(crate) fn close(self, active_limit: Option<u32>) -> Vec<Finding> {
        vec![
            self.owners.close(),
            self.limit.close(active_limit),
            self.order.close(),
            self.positions.close(),
            self.charged.close(),
            self.contract.close(),
        ]
    }

    /// A buyer was told to wait at a position.
    pub(crate) fn waits(&mut self, buyer: BuyerNumber, told: &Waiting, exchange: Exchange) {
        self.positions.told(buyer, told.position, told.as_of);
        self.order.waits(buyer, exchange, told.ask_again_in);
        self.limit.is_outside(buyer);
    }

    /// A buyer was told that it is their turn, whatever they have done with it so far; `turn` tells
    /// one turn from another.
    pub(crate) fn is_inside(&mut self, buyer: BuyerNumber, turn: &str, exchange: Exchange) {
        self.order.is_admitted(buyer, exchange);
        self.positions.is_admitted(buyer);
        self.limit.is_inside(buyer, turn, exchange);
    }
}

/// What a buyer who waits is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) position: Option<u64>,
    pub(crate) as_of: u64,
    pub(crate) ask_again_in: std::time::Duration,
}

//! Never more are inside than the sale's limit.
//!
//! What is certain of a turn lies between the *arrival* of the first answer that tells of it and the
//! *sending* of the last request whose answer tells of the same one. Turns that overlap there were
//! overlapping on the server.

use std::collections::HashMap;

use super::{Breaches, BuyerNumber, Exchange, Finding, Moment};

const PROMISE: &str = "Never more were admitted than the limit";

/// Who was certainly inside, and when.
#[derive(Debug, Default)]
pub(crate) struct Limit {
    current: HashMap<BuyerNumber, Turn>,
    /// From, until.
    past: Vec<(Moment, Moment)>,
    turns: u64,
}

#[derive(Debug)]
struct Turn {
    name: Box<str>,
    from: Moment,
    until: Moment,
}

impl Limit {
    /// A buyer was told that they are inside.
    pub(crate) fn is_inside(&mut self, buyer: BuyerNumber, turn: &str, exchange: Exchange) {
        match self.current.get_mut(&buyer) {
            Some(current) if *current.name == *turn => {
                current.until = current.until.max(exchange.sent);
                return;
            }
            Some(_) => self.is_outside(buyer),
            None => {}
        }
        self.turns += 1;
        let (from, until) = (exchange.answered, exchange.answered);
        self.current.insert(buyer, Turn { name: turn.into(), from, until });
    }

    /// A buyer's turn goes on under another name: what they did with it shows that it is the same.
    pub(crate) fn goes_on(&mut self, buyer: BuyerNumber, turn: &str, exchange: Exchange) {
        match self.current.get_mut(&buyer) {
            Some(current) => {
                current.until = current.until.max(exchange.sent);
                current.name = turn.into();
            }
            None => self.is_inside(buyer, turn, exchange),
        }
    }

    /// A buyer was told that they are not, or nothing is known of them any more.
    pub(crate) fn is_outside(&mut self, buyer: BuyerNumber) {
        if let Some(Turn { from, until, .. }) = self.current.remove(&buyer)
            && from < until
        {
            self.past.push((from, until));
        }
    }

    pub(super) fn close(mut self, active_limit: Option<u32>) -> Finding {
        let buyers: Vec<BuyerNumber> = self.current.keys().copied().collect();
        for buyer in buyers {
            self.is_outside(buyer);
        }
        let (most, at) = most_at_once(&self.past);
        let seen = format!("{} turns, {most} certainly at once", self.turns);
        let mut breaches = Breaches::default();
        match active_limit {
            None => {
                let looked_at = format!("{seen}; the limit was not told (--active-limit)");
                breaches.finding(PROMISE, 0, looked_at)
            }
            Some(limit) => {
                if most > u64::from(limit) {
                    breaches.add(format_args!(
                        "At {at}, {most} buyers were certainly inside, and the limit is {limit}.",
                    ));
                }
                breaches.finding(PROMISE, most, format!("{seen}, of {limit}"))
            }
        }
    }
}

/// How many intervals overlap at most, and where.
fn most_at_once(intervals: &[(Moment, Moment)]) -> (u64, Moment) {
    let mut changes: Vec<(Moment, bool)> =
        intervals.iter().flat_map(|(from, until)| [(*from, true), (*until, false)]).collect();
    // At the same instant those who leave go first: touching is not overlapping.
    changes.sort_unstable();
    let (mut now, mut most, mut at) = (0, 0, Moment::default());
    for (moment, comes) in changes {
        if comes {
            now += 1;
            if now > most {
                (most, at) = (now, moment);
            }
        } else {
            now -= 1;
        }
    }
    (most, at)
}

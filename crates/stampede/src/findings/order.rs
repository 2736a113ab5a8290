//! Admitted in the order of joining, among those who are there.
//!
//! Buyer A joined before buyer B when A's answer to the join had arrived before B's first attempt was
//! sent. B was admitted between the sending of the last request that still found B waiting and the
//! arrival of the first answer that said otherwise. When A was there all that time, and was still
//! waiting in an answer asked for afterwards, B went ahead of A.
//!
//! To be there is to ask as told: within the time the last answer named, and a fifth of it, which is
//! less than any sale's `presence_window` (the contract tells everybody to ask well within it).
//! Whoever asks later, because the crowd or the network was slow, proves nothing for that while.

use std::collections::HashMap;
use std::time::Duration;

use super::{Breaches, BuyerNumber, Exchange, Finding, Moment};

const PROMISE: &str = "Admitted in the order of joining";

/// When buyers joined, waited and were admitted.
#[derive(Debug, Default)]
pub(crate) struct Order {
    buyers: HashMap<BuyerNumber, Seen>,
}

/// What is known of one buyer.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The first attempt to join.
    first_sent: Moment,
    joined: Option<Moment>,
    /// The newest answer that said "waiting", and when to ask again.
    waits: Option<(Exchange, Duration)>,
    /// Since when the buyer has been there without a gap, up to that answer.
    there_since: Moment,
    /// The first admission: after the one, before the other.
    admitted: Option<(Moment, Moment)>,
}

impl Order {
    /// A buyer tries to join. Only the first attempt counts: it may have been the one that did.
    pub(crate) fn tries_to_join(&mut self, buyer: BuyerNumber, sent: Moment) {
        self.buyers.entry(buyer).or_insert(Seen {
            first_sent: sent,
            joined: None,
            waits: None,
            there_since: sent,
            admitted: None,
        });
    }

    /// A buyer was told to wait, and for how long.
    pub(crate) fn waits(&mut self, buyer: BuyerNumber, exchange: Exchange, ask_again: Duration) {
        let Some(seen) = self.buyers.get_mut(&buyer) else { return };
        seen.joined.get_or_insert(exchange.answered);
        let was_there = seen
            .waits
            .is_some_and(|(last, told)| exchange.answered.since(last.sent) <= told + told / 5);
        if !was_there {
            seen.there_since = exchange.answered;
        }
        seen.waits = Some((exchange, ask_again));
    }

    /// A buyer was told that it is their turn.
    pub(crate) fn is_admitted(&mut self, buyer: BuyerNumber, exchange: Exchange) {
        let Some(seen) = self.buyers.get_mut(&buyer) else { return };
        seen.joined.get_or_insert(exchange.answered);
        let waited = seen.waits.map_or(seen.first_sent, |(last, _)| last.sent);
        seen.admitted.get_or_insert((waited, exchange.answered));
    }

    pub(super) fn close(self) -> Finding {
        let mut waiting: Vec<Waited> = self.buyers.iter().filter_map(Waited::of).collect();
        let mut admitted: Vec<(BuyerNumber, Seen, (Moment, Moment))> = self
            .buyers
            .iter()
            .filter_map(|(buyer, seen)| seen.admitted.map(|admitted| (*buyer, *seen, admitted)))
            .collect();
        waiting.sort_unstable_by_key(|waited| waited.joined);
        admitted.sort_unstable_by_key(|(_, seen, _)| seen.first_sent);
        let mut longest = Longest::new(&waiting);
        let mut joined_before = waiting.iter().peekable();
        let (mut breaches, mut compared) = (Breaches::default(), 0);
        for (buyer, seen, (after, before)) in &admitted {
            while let Some(waited) = joined_before.next_if(|waited| waited.joined < seen.first_sent)
            {
                longest.add(waited);
            }
            // Who joined before, was there at the latest when this one was still waiting, and went
            // on waiting for the longest?
            let Some(other) = longest.there_since(*after) else { continue };
            compared += 1;
            if other.until > *before {
                breaches.add(format_args!(
                    "Buyer {buyer}, who joined after buyer {}, was admitted by {before}; buyer {} \
                     was there and still waiting at {}.",
                    other.buyer, other.buyer, other.until,
                ));
            }
        }
        let looked_at = format!(
            "{} admissions, {compared} of them compared with buyers who came before",
            admitted.len(),
        );
        breaches.finding(PROMISE, compared, looked_at)
    }
}

/// A while in which somebody was there and waiting for certain.
#[derive(Clone, Copy, Debug)]
struct Waited {
    buyer: BuyerNumber,
    joined: Moment,
    since: Moment,
    until: Moment,
}

impl Waited {
    fn of((buyer, seen): (&BuyerNumber, &Seen)) -> Option<Self> {
        let (last, _) = seen.waits?;
        let (since, until) = (seen.there_since, last.sent);
        Some(Self { buyer: *buyer, joined: seen.joined?, since, until })
    }
}

/// Of those who have been there since a moment or longer, the one who waited longest: a tree of
/// prefix maxima (Fenwick), for a hundred thousand buyers cannot be compared each with each.
struct Longest {
    since: Vec<Moment>,
    maxima: Vec<Option<Waited>>,
}

impl Longest {
    /// For these, none of whom is in it yet.
    fn new(waiting: &[Waited]) -> Self {
        let mut since: Vec<Moment> = waiting.iter().map(|waited| waited.since).collect();
        since.sort_unstable();
        since.dedup();
        let maxima = vec![None; since.len() + 1];
        Self { since, maxima }
    }

    fn add(&mut self, waited: &Waited) {
        let mut at = self.since.partition_point(|since| *since < waited.since) + 1;
        while let Some(most) = self.maxima.get_mut(at) {
            if most.is_none_or(|most| most.until < waited.until) {
                *most = Some(*waited);
            }
            at += at & at.wrapping_neg();
        }
    }

    fn there_since(&self, moment: Moment) -> Option<Waited> {
        let mut at = self.since.partition_point(|since| *since <= moment);
        let mut longest: Option<Waited> = None;
        while at > 0 {
            if let Some(most) = self.maxima[at]
                && longest.is_none_or(|longest| longest.until < most.until)
            {
                longest = Some(most);
            }
            at &= at - 1;
        }
        longest
    }
}

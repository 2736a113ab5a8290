//! A seat has one owner.

use std::collections::HashMap;
use std::time::Duration;

use super::{Breaches, BuyerNumber, Exchange, Finding, Moment, Word};

const PROMISE: &str = "No seat had two owners";

/// Who was told that which seat is theirs.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    seats: HashMap<(Word, Box<str>), Seat>,
    holds: u64,
    sales: u64,
    breaches: Breaches,
}

#[derive(Debug, Default)]
struct Seat {
    holder: Option<Holder>,
    owner: Option<Owner>,
}

/// Somebody who was told that they hold it, and from when to when that is certain.
#[derive(Clone, Copy, Debug)]
struct Holder {
    buyer: BuyerNumber,
    from: Moment,
    until: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    buyer: BuyerNumber,
    since: Moment,
}

impl Owners {
    /// A buyer was told that these seats are held for them, for `expires_in` from the instant at
    /// which the answer was made.
    pub(crate) fn held<'s>(
        &mut self,
        buyer: BuyerNumber,
        performance: &Word,
        seats: impl Iterator<Item = &'s str>,
        exchange: Exchange,
        expires_in: Duration,
    ) {
        for number in seats {
            self.holds += 1;
            let seat = self.seats.entry((performance.clone(), number.into())).or_default();
            let owner = seat.owner.filter(|owner| owner.buyer != buyer);
            if let Some(owner) = owner.filter(|owner| owner.since < exchange.sent) {
                self.breaches.add(format_args!(
                    "Seat {number} of {performance} was confirmed to buyer {} at {}, and held for \
                     buyer {buyer} at {}.",
                    owner.buyer, owner.since, exchange.answered,
                ));
            }
            let other = seat.holder.filter(|holder| holder.buyer != buyer);
            let certain =
                |other: &Holder| other.from < exchange.sent && exchange.answered < other.until;
            if let Some(other) = other.filter(certain) {
                self.breaches.add(format_args!(
                    "Seat {number} of {performance} was held for buyer {} until {} at least, and \
                     for buyer {buyer} from {} on.",
                    other.buyer, other.until, exchange.answered,
                ));
            }
            let until = exchange.sent + expires_in;
            seat.holder = Some(Holder { buyer, from: exchange.answered, until });
        }
    }

    /// A buyer asks to be rid of these seats: from then on nothing is certain.
    pub(crate) fn lets_go<'s>(
        &mut self,
        buyer: BuyerNumber,
        performance: &Word,
        seats: impl Iterator<Item = &'s str>,
        sent: Moment,
    ) {
        for number in seats {
            let seat = self.seats.get_mut(&(performance.clone(), number.into()));
            let holder = seat.and_then(|seat| seat.holder.as_mut());
            if let Some(holder) = holder.filter(|holder| holder.buyer == buyer) {
                holder.until = holder.until.min(sent);
            }
        }
    }

    /// A buyer was told that these seats are paid and confirmed.
    pub(crate) fn confirmed<'s>(
        &mut self,
        buyer: BuyerNumber,
        performance: &Word,
        seats: impl Iterator<Item = &'s str>,
        answered: Moment,
    ) {
        for number in seats {
            let seat = self.seats.entry((performance.clone(), number.into())).or_default();
            match seat.owner {
                Some(owner) if owner.buyer == buyer => {}
                Some(owner) => self.breaches.add(format_args!(
                    "Seat {number} of {performance} was confirmed to buyer {} and to buyer {buyer}.",
                    owner.buyer,
                )),
                None => {
                    self.sales += 1;
                    seat.owner = Some(Owner { buyer, since: answered });
                }
            }
        }
    }

    pub(super) fn close(self) -> Finding {
        let looked_at = format!("{} holds of a seat, {} seats sold", self.holds, self.sales);
        self.breaches.finding(PROMISE, self.holds + self.sales, looked_at)
    }
}

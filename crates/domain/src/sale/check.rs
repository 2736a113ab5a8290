//! The invariants, all of them, by counting everything anew: for tests, the simulator and
//! `maepyo journal verify`. The numbers are those of the crate's documentation.

use std::collections::BTreeMap;

use super::{Sale, Takings};
use crate::id::{PaymentIndex, ReservationIndex, SeatIndex, VisitIndex};
use crate::line::EntryState;
use crate::payment::PaymentState;
use crate::reservation::{ReservationState, Stage};
use crate::seats::{SeatCounts, SeatState};

/// An invariant that does not hold, by its number, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The invariant's number in the crate's documentation.
    pub invariant: u8,
    /// What was found.
    pub found: String,
}

macro_rules! holds {
    ($number:literal, $condition:expr, $($found:tt)+) => {
        if !$condition {
            return Err(Broken { invariant: $number, found: format!($($found)+) });
        }
    };
}

impl Sale {
    /// Checks every invariant that a single state can show.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check(&self) -> Result<(), Broken> {
        self.check_seats()?;
        self.check_line()?;
        self.check_visits()?;
        self.check_money()
    }

    fn check_seats(&self) -> Result<(), Broken> {
        let Some(hall) = &self.hall else { return Ok(()) };
        let mut owners: BTreeMap<SeatIndex, ReservationIndex> = BTreeMap::new();
        for (index, reservation) in self.reservations().enumerate() {
            let index = ReservationIndex::after(index);
            let live = match reservation.state {
                ReservationState::Held(_) | ReservationState::Paying(_) => SeatState::Held(index),
                ReservationState::Confirmed => SeatState::Sold(index),
                ReservationState::Released(..) => continue,
            };
            for seat in reservation.seats() {
                let other = owners.insert(seat, index);
                holds!(1, other.is_none(), "seat {seat} is owned by {index} and {other:?}");
                let state = self.seats.state(seat);
                holds!(1, state == live, "seat {seat} of {live:?} is {state:?}");
            }
        }
        let mut counts = SeatCounts::default();
        for index in 0..hall.seats().len() {
            let seat = SeatIndex::after(index);
            match self.seats.state(seat) {
                SeatState::Free => counts.free += 1,
                SeatState::Withheld(_) => counts.withheld += 1,
                SeatState::Held(_) => counts.held += 1,
                SeatState::Sold(_) => counts.sold += 1,
            }
            let owned = matches!(self.seats.state(seat), SeatState::Held(_) | SeatState::Sold(_));
            holds!(1, owned == owners.contains_key(&seat), "seat {seat} and its owner disagree");
        }
        let all = SeatIndex::after(hall.seats().len()).0;
        let mut mistaken = (0..all).filter(|seat| {
            let free = self.seats.state(SeatIndex(*seat)) == SeatState::Free;
            free != (self.seats.free_among(*seat, 1) == 1)
        });
        let mistaken = mistaken.next();
        holds!(2, mistaken.is_none(), "seat {mistaken:?} is free, or is not, and not found so");
        let said = self.seats.counts();
        holds!(2, counts == said, "counted {counts:?}, said {said:?}");
        holds!(2, counts.all() as usize == hall.seats().len(), "not all seats are counted");
        Ok(())
    }

    fn check_line(&self) -> Result<(), Broken> {
        let (mut next, mut missed, mut ready) = (2, 0, Vec::new());
        let mut by_rank: Vec<_> = (0..self.line.joined()).map(crate::line::ranked).collect();
        by_rank.sort_by_key(|entry| crate::line::rank(*entry));
        for entry in by_rank {
            let (_, state) = self.line.entry(entry).expect("an entry of the line");
            match state {
                EntryState::Waiting(_) | EntryState::Away(_) => {
                    let position = self.line.position(entry);
                    holds!(5, position == Some(next), "{entry} stands at {position:?}, not {next}");
                    next += 1;
                }
                EntryState::Missed(_) | EntryState::Recalled(_) => missed += 1,
                EntryState::Visiting(visit) => {
                    let of = self.visit(visit).map(|visit| visit.entry);
                    holds!(5, of == Some(entry), "{entry} visits as {visit}, which is {of:?}");
                }
                EntryState::Ended(..) => {}
            }
            if matches!(state, EntryState::Waiting(_) | EntryState::Recalled(_)) {
                ready.push(entry);
            }
            if let Some(seen) = state.seen() {
                holds!(5, self.line.oldest_seen() <= seen, "{entry} is older than the oldest");
            }
        }
        holds!(5, self.total() == next - 1, "total {} but {next} would be next", self.total());
        holds!(5, self.line.missed() == missed, "{missed} missed their turn");
        holds!(4, self.line.ready().eq(ready.iter().copied()), "the wrong ones are ready");
        Ok(())
    }

    fn check_visits(&self) -> Result<(), Broken> {
        let (mut active, mut choosing) = (0, 0);
        for index in (0..self.visits.len()).map(VisitIndex::after) {
            let visit = self.visit(index).expect("within the list");
            let newest = visit.reservation.and_then(|r| self.reservation(r));
            match visit.stage {
                Stage::Choosing => choosing += 1,
                Stage::Ended(_) | Stage::Missed => {}
                Stage::Reserved => {
                    let state = newest.map(|r| r.state);
                    let live = state.is_some_and(|s| !matches!(s, ReservationState::Released(..)));
                    holds!(3, live, "visit {index} is reserved with {state:?}");
                    active += u32::from(state != Some(ReservationState::Confirmed));
                }
            }
            if visit.stage != Stage::Reserved {
                let live =
                    newest.is_some_and(|r| !matches!(r.state, ReservationState::Released(..)));
                holds!(3, !live, "visit {index} is over but its reservation is not");
            }
            if let Some(reservation) = newest {
                holds!(3, reservation.visit == index, "visit {index} and its reservation disagree");
                if let ReservationState::Held(until) = reservation.state {
                    holds!(
                        6,
                        until <= reservation.hard_end,
                        "visit {index} holds past its hard end"
                    );
                }
            }
        }
        active += choosing;
        holds!(
            3,
            (active, choosing) == (self.active, self.choosing),
            "counted {active} active, {choosing} choosing; said {} and {}",
            self.active,
            self.choosing
        );
        Ok(())
    }

    fn check_money(&self) -> Result<(), Broken> {
        let mut counted = Takings::default();
        let mut running = BTreeMap::new();
        for index in (0..self.payments.len()).map(PaymentIndex::after) {
            let payment = self.payment(index).expect("within the list");
            let listed = self.open_payments.contains(&index);
            holds!(8, listed == payment.is_open(), "{payment:?} is not asked for, or in vain");
            let reservation = self.reservation(payment.reservation).expect("what it pays for");
            match payment.state {
                PaymentState::Running(_) | PaymentState::Unknown => {
                    let others = running.insert(payment.reservation, payment.id);
                    holds!(8, others.is_none(), "{:?} is paid twice at once", reservation.id);
                    let paying = matches!(reservation.state, ReservationState::Paying(_))
                        && reservation.payment == Some(index);
                    holds!(6, paying, "{:?} is not being paid", reservation.id);
                }
                PaymentState::Approved(_) => {
                    counted.approved += payment.amount;
                    counted.confirmed += payment.amount;
                    let confirmed = reservation.state == ReservationState::Confirmed;
                    holds!(7, confirmed, "{:?} is paid and not confirmed", reservation.id);
                }
                PaymentState::Declined(_) => {}
                PaymentState::RefundDue => {
                    counted.approved += payment.amount;
                    counted.refund_due += payment.amount;
                }
                PaymentState::Refunded(_) => {
                    counted.approved += payment.amount;
                    counted.refunded += payment.amount;
                }
            }
        }
        for (index, reservation) in self.reservations().enumerate() {
            let index = ReservationIndex::after(index);
            let paying = matches!(reservation.state, ReservationState::Paying(_));
            holds!(
                6,
                paying == running.contains_key(&index),
                "{:?} waits for no payment",
                reservation.id
            );
        }
        holds!(7, counted == self.takings, "counted {counted:?}, said {:?}", self.takings);
        let sold = self.reservations().filter(|r| r.state == ReservationState::Confirmed);
        let confirmed: crate::money::Money =
            sold.map(crate::reservation::Reservation::amount).sum();
        holds!(7, confirmed == counted.confirmed, "{confirmed:?} confirmed, {counted:?} paid");
        let kept = counted.approved.0 - counted.refunded.0 - counted.refund_due.0;
        holds!(7, kept == confirmed.0, "{kept} kept for {confirmed:?}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::schedule;
    use super::*;
    use crate::event::Event;
    use crate::id::{EntryIndex, Nonce, PaymentId, ReservationId};
    use crate::money::Money;
    use crate::time::Second;

    /// One buyer who is paying for A1, another who waits.
    fn paying() -> Sale {
        let mut sale = Sale::default();
        let at = Second(10);
        let joined = |nonce| Event::Joined { nonce: Nonce(nonce), at, keys: None };
        for event in [
            Event::Scheduled(Box::new(schedule(&["A1", "A2"]))),
            Event::Opened,
            joined(1),
            joined(2),
            Event::Admitted {
                entry: EntryIndex(0),
                arrive_until: Second(50),
                choose_until: Second(100),
            },
            Event::SeatsHeld {
                visit: VisitIndex(0),
                reservation: ReservationId(1),
                seats: vec![SeatIndex(0)],
                until: Second(100),
                hard_end: Second(200),
                key: None,
            },
            Event::PaymentBegun {
                reservation: ReservationIndex(0),
                payment: PaymentId(1),
                hold_until: Second(100),
                answer_until: Second(60),
                key: None,
            },
        ] {
            sale.evolve(&event);
        }
        sale
    }

    fn paid() -> Sale {
        let mut sale = paying();
        sale.evolve(&Event::PaymentApproved { payment: PaymentIndex(0), at: Second(20) });
        sale
    }

    #[track_caller]
    fn broken(mut sale: Sale, damage: impl FnOnce(&mut Sale)) -> u8 {
        assert_eq!(sale.check(), Ok(()));
        damage(&mut sale);
        sale.check().expect_err("it is broken").invariant
    }

    #[test]
    fn what_is_broken_is_found_by_its_number() {
        let seat = SeatIndex(0);
        let free = |sale: &mut Sale| {
            let hall = sale.hall.clone().unwrap();
            sale.seats.set(&hall, seat, SeatState::Free);
        };
        assert_eq!(broken(paid(), free), 1);
        let strangers = |sale: &mut Sale| sale.visits.get_mut(0).unwrap().entry = EntryIndex(1);
        assert_eq!(broken(paying(), strangers), 5);
        assert_eq!(broken(paying(), |sale| sale.active += 1), 3);
        let over = |sale: &mut Sale| sale.visits.get_mut(0).unwrap().stage = Stage::Missed;
        assert_eq!(broken(paying(), over), 3);
        let of_another = |sale: &mut Sale| sale.reservations.get_mut(0).unwrap().payment = None;
        assert_eq!(broken(paying(), of_another), 6);
        let mut unknown = paying();
        unknown.evolve(&Event::PaymentUnknown { payment: PaymentIndex(0) });
        assert_eq!(broken(unknown, |sale| sale.open_payments.clear()), 8);
        assert_eq!(broken(paid(), |sale| sale.takings.confirmed += Money(1)), 7);
        let unpaid = |sale: &mut Sale| {
            sale.payments.get_mut(0).unwrap().state = PaymentState::RefundDue;
            sale.open_payments.insert(PaymentIndex(0));
        };
        assert_eq!(broken(paid(), unpaid), 7);
    }
}

//! What an event does to the state: one match. It cannot fail and asks nothing; invariants are
//! asserted where that costs little.

use std::sync::Arc;

use super::{FILES_MAX, Phase, Sale};
use crate::event::Event;
use crate::id::{EntryIndex, FileHash, PaymentIndex, ReservationIndex, SeatIndex, VisitIndex};
use crate::line::EntryState;
use crate::payment::{Decline, Payment, PaymentState};
use crate::plan::Hall;
use crate::reservation::{
    Effect, EndReason, KeyRecord, Line as ReservationLine, ReleaseReason, Reservation,
    ReservationState, Stage, Visit,
};
use crate::seats::{SeatState, Seats};
use crate::time::Second;

impl Sale {
    /// Applies an event.
    ///
    /// # Panics
    /// When the event does not fit the state: it is then not of this history, and going on would
    /// corrupt it.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::Scheduled(schedule) => {
                let hall = Hall::build(schedule.plan.clone()).expect("a plan that was checked");
                self.seats = Seats::of(&hall);
                self.hall = Some(Arc::new(hall));
                self.id = Some(schedule.sale.clone());
                self.limits = schedule.limits;
                self.opens_at = schedule.opens_at;
                self.closes_at = schedule.closes_at;
                self.phase = Phase::Scheduled;
                self.remember_file(schedule.file);
            }
            Event::Changed { schedule, at } => {
                let hall = Hall::build(schedule.plan.clone()).expect("a plan that was checked");
                let before = self.hall.take().expect("a sale that was scheduled");
                self.seats = self.seats.moved(&before, &hall);
                self.hall = Some(Arc::new(hall));
                let (limits, kept) = (&schedule.limits, self.place_ttl_kept);
                self.place_ttl_kept = kept.lowered(&self.limits, limits, *at);
                self.limits = *limits;
                self.opens_at = schedule.opens_at;
                self.closes_at = schedule.closes_at;
                self.remember_file(schedule.file);
            }
            Event::Opened | Event::Unpaused => self.phase = Phase::Open,
            Event::Paused => self.phase = Phase::Paused,
            Event::Closed { at } => {
                self.phase = Phase::Closed;
                self.end_line(EndReason::Closed, *at);
            }
            Event::LimitsChanged { limits, at } => {
                self.place_ttl_kept = self.place_ttl_kept.lowered(&self.limits, limits, *at);
                self.limits = *limits;
            }
            Event::SeatsWithheld { seats, pool } => {
                self.set_seats(seats.iter().copied(), SeatState::Withheld(*pool));
            }
            Event::SeatsReleased { seats } => {
                self.set_seats(seats.iter().copied(), SeatState::Free);
            }
            Event::Resumed { gap, until } => self.clock.stood_still(*gap, *until),
            Event::Joined { nonce, at, keys } => {
                self.line.join(*nonce, keys.unwrap_or_default(), *at);
            }
            Event::Seen { at, entries } => {
                for &entry in &entries.0 {
                    self.seen(entry, *at);
                }
            }
            Event::PlacesExpired { until, at, .. } => self.line.expire(*until, *at),
            Event::Left { entry, at } => self.left(*entry, *at),
            Event::PassedOver { entry } => self.line.pass_over(*entry),
            Event::Admitted { entry, arrive_until, choose_until } => {
                self.admitted(*entry, *arrive_until, *choose_until);
            }
            Event::TurnMissed { visit, seen } => {
                self.end_visit(*visit, Stage::Missed);
                let entry = self.visit_mut(*visit).entry;
                self.line.miss_turn(entry, *seen);
            }
            Event::ChoosingEnded { visit, .. } => {
                self.end_visit(*visit, Stage::Ended(EndReason::TooSlow));
            }
            Event::SeatsHeld { visit, reservation, seats, until, hard_end, key } => {
                let lines = self.priced(seats);
                let index = ReservationIndex::after(self.reservations.len());
                let previous = self.visit_mut(*visit).reservation;
                self.reservations.push(Reservation {
                    id: *reservation,
                    visit: *visit,
                    previous,
                    lines,
                    state: ReservationState::Held(*until),
                    hard_end: *hard_end,
                    payment: None,
                });
                self.set_seats(seats.iter().copied(), SeatState::Held(index));
                let visiting = self.visit_mut(*visit);
                visiting.stage = Stage::Reserved;
                visiting.arrive_until = None;
                visiting.reservation = Some(index);
                if let Some((key, body)) = *key {
                    visiting.remember(KeyRecord { key, body, effect: Effect::Held(index) });
                }
                self.choosing -= 1;
                self.deadlines.push(*until, *visit);
            }
            Event::SeatsGivenBack { reservation, at, choose_until } => {
                let visit = self.release(*reservation, ReleaseReason::GivenBack, *at);
                match *choose_until {
                    Some(until) => {
                        let visiting = self.visit_mut(visit);
                        visiting.stage = Stage::Choosing;
                        visiting.choose_until = until;
                        visiting.give_backs += 1;
                        self.choosing += 1;
                        self.deadlines.push(until, visit);
                    }
                    None => self.end_visit(visit, Stage::Ended(EndReason::Left)),
                }
            }
            Event::HoldExpired { reservation, at } => {
                let visit = self.release(*reservation, ReleaseReason::Expired, *at);
                self.end_visit(visit, Stage::Ended(EndReason::HoldExpired));
            }
            Event::PaymentBegun { reservation, payment, hold_until, answer_until, key } => {
                let index = PaymentIndex::after(self.payments.len());
                let paid = self.reservation_mut(*reservation);
                assert!(
                    matches!(paid.state, ReservationState::Held(_)),
                    "one running payment at most for a reservation"
                );
                paid.state = ReservationState::Paying(*hold_until);
                paid.payment = Some(index);
                let (visit, amount) = (paid.visit, paid.amount());
                self.payments.push(Payment {
                    id: *payment,
                    reservation: *reservation,
                    amount,
                    state: PaymentState::Running(*answer_until),
                });
                self.payments_by_id.insert(*payment, index);
                if let Some((key, body)) = *key {
                    let record = KeyRecord { key, body, effect: Effect::Paid(index) };
                    self.visit_mut(visit).remember(record);
                }
                self.deadlines.push(*answer_until, visit);
            }
            Event::PaymentApproved { payment, at } => {
                let amount = self.set_payment(*payment, PaymentState::Approved(*at));
                self.takings.approved += amount;
                self.takings.confirmed += amount;
                self.confirm(self.payment(*payment).expect("a payment").reservation);
            }
            Event::PaymentDeclined { payment, at, reason, retryable, hold_until } => {
                let decline = Decline { reason: reason.clone(), retryable: *retryable, at: *at };
                self.set_payment(*payment, PaymentState::Declined(decline));
                let reservation = self.payment(*payment).expect("a payment").reservation;
                let held = self.reservation_mut(reservation);
                held.state = ReservationState::Held(*hold_until);
                let visit = held.visit;
                self.deadlines.push(*hold_until, visit);
            }
            Event::PaymentUnknown { payment } => {
                self.set_payment(*payment, PaymentState::Unknown);
            }
            Event::RefundDue { payment } => {
                let amount = self.set_payment(*payment, PaymentState::RefundDue);
                self.takings.approved += amount;
                self.takings.refund_due += amount;
            }
            Event::PaymentRefunded { payment, at } => {
                let amount = self.set_payment(*payment, PaymentState::Refunded(*at));
                self.takings.refund_due.0 -= amount.0;
                self.takings.refunded += amount;
            }
            Event::LineEnded { reason, at } => self.end_line(*reason, *at),
        }
    }

    fn visit_mut(&mut self, visit: VisitIndex) -> &mut Visit {
        self.visits.get_mut(visit.at()).expect("a visit of this history")
    }

    fn reservation_mut(&mut self, reservation: ReservationIndex) -> &mut Reservation {
        self.reservations.get_mut(reservation.at()).expect("a reservation of this history")
    }

    fn set_seats(&mut self, seats: impl Iterator<Item = SeatIndex>, state: SeatState) {
        let hall = self.hall.as_ref().expect("a scheduled sale");
        for seat in seats {
            let before = self.seats.state(seat);
            let next = match (before, state) {
                (SeatState::Free, SeatState::Held(_) | SeatState::Withheld(_))
                | (SeatState::Held(_) | SeatState::Withheld(_), SeatState::Free) => true,
                (SeatState::Held(owner), SeatState::Sold(buyer)) => owner == buyer,
                (SeatState::Free, SeatState::Free | SeatState::Sold(_))
                | (SeatState::Held(_), SeatState::Held(_) | SeatState::Withheld(_))
                | (
                    SeatState::Withheld(_),
                    SeatState::Held(_) | SeatState::Sold(_) | SeatState::Withheld(_),
                )
                | (SeatState::Sold(_), _) => false,
            };
            assert!(next, "one owner: seat {seat} was {before:?} and cannot be {state:?} next");
            self.seats.set(hall, seat, state);
        }
    }

    fn priced(&self, seats: &[SeatIndex]) -> Arc<[ReservationLine]> {
        let hall = self.hall.as_ref().expect("a scheduled sale");
        let price = |seat: SeatIndex| hall.seat(seat).expect("a seat of the plan").price;
        seats.iter().map(|&seat| ReservationLine::Seat { seat, price: price(seat) }).collect()
    }

    fn seen(&mut self, entry: EntryIndex, at: Second) {
        match self.line.entry(entry) {
            Some((_, EntryState::Visiting(visit))) => self.visit_mut(visit).arrive_until = None,
            Some(_) => self.line.seen(entry, at),
            None => {}
        }
    }

    fn admitted(&mut self, entry: EntryIndex, arrive_until: Second, choose_until: Second) {
        assert!(self.active < self.limits.active_limit, "nobody is admitted over the limit");
        let visit = VisitIndex::after(self.visits.len());
        let seen = self.line.entry(entry).and_then(|(_, state)| state.seen());
        self.line.admit(entry, visit);
        self.visits.push(Visit {
            entry,
            stage: Stage::Choosing,
            arrive_until: Some(arrive_until),
            choose_until,
            give_backs: 0,
            reservation: None,
            keys: Arc::default(),
            seen: seen.expect("only somebody in line is admitted"),
        });
        self.active += 1;
        self.choosing += 1;
        self.deadlines.push(arrive_until, visit);
        if choose_until != arrive_until {
            self.deadlines.push(choose_until, visit);
        }
    }

    fn left(&mut self, entry: EntryIndex, at: Second) {
        let (_, state) = self.line.entry(entry).expect("an entry of this history");
        let EntryState::Visiting(visit) = state else {
            self.line.end(entry, EndReason::Left, at);
            return;
        };
        if self.visit_mut(visit).stage == Stage::Reserved {
            let reservation = self.visit_mut(visit).reservation.expect("a reserved visit");
            self.release(reservation, ReleaseReason::GivenBack, at);
        }
        self.end_visit(visit, Stage::Ended(EndReason::Left));
    }

    /// Frees the seats of a held reservation and says whose visit it was.
    fn release(
        &mut self,
        index: ReservationIndex,
        reason: ReleaseReason,
        at: Second,
    ) -> VisitIndex {
        let reservation = self.reservation_mut(index);
        assert!(
            matches!(reservation.state, ReservationState::Held(_)),
            "only a hold is released: never a paid seat, nor one that is being paid"
        );
        reservation.state = ReservationState::Released(reason, at);
        let (visit, lines) = (reservation.visit, reservation.lines.clone());
        self.set_seats(
            lines.iter().map(|ReservationLine::Seat { seat, .. }| *seat),
            SeatState::Free,
        );
        visit
    }

    /// Makes a reservation's seats the buyer's.
    fn confirm(&mut self, index: ReservationIndex) {
        let reservation = self.reservation_mut(index);
        assert!(
            matches!(reservation.state, ReservationState::Paying(_)),
            "only what is being paid is confirmed"
        );
        reservation.state = ReservationState::Confirmed;
        let (visit, lines) = (reservation.visit, reservation.lines.clone());
        self.set_seats(
            lines.iter().map(|ReservationLine::Seat { seat, .. }| *seat),
            SeatState::Sold(index),
        );
        self.active -= 1;
        let entry = self.visit_mut(visit).entry;
        self.line.forget_keys(entry);
    }

    /// Ends a visit that is choosing, or whose hold was just released.
    fn end_visit(&mut self, visit: VisitIndex, stage: Stage) {
        let visiting = self.visit_mut(visit);
        let before = std::mem::replace(&mut visiting.stage, stage);
        let entry = visiting.entry;
        self.active -= 1;
        if before == Stage::Choosing {
            self.choosing -= 1;
        }
        if stage != Stage::Missed {
            self.line.forget_keys(entry);
        }
    }

    /// Ends everybody who waits or chooses.
    fn end_line(&mut self, reason: EndReason, at: Second) {
        self.line.end_all(reason, at);
        if self.choosing == 0 {
            return;
        }
        for index in 0..self.visits.len() {
            if self.visits.get(index).is_some_and(|visit| visit.stage == Stage::Choosing) {
                self.end_visit(VisitIndex::after(index), Stage::Ended(reason));
            }
        }
    }

    fn remember_file(&mut self, file: Option<FileHash>) {
        let Some(file) = file else { return };
        let files = Arc::make_mut(&mut self.files);
        files.push(file);
        let forgotten = files.len().saturating_sub(FILES_MAX);
        files.drain(..forgotten);
    }

    fn set_payment(&mut self, index: PaymentIndex, state: PaymentState) -> crate::money::Money {
        let payment = self.payments.get_mut(index.at()).expect("a payment of this history");
        payment.state = state;
        let (open, amount) = (payment.is_open(), payment.amount);
        if open {
            self.open_payments.insert(index);
        } else {
            self.open_payments.remove(&index);
        }
        amount
    }
}

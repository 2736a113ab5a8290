//! What the rules say to a command: one match, then one function for each command.

use super::{Decision, Outcome, Phase, Sale};
use crate::best::best_seats;
use crate::command::{Command, Key, PaymentOutcome, SILENCE_MIN, Schedule, Wish};
use crate::event::{Entries, Event};
use crate::id::{
    EntryIndex, Name, Nonce, PaymentId, PaymentIndex, Place, ReservationId, ReservationIndex,
    SeatIndex, VisitIndex,
};
use crate::limits::{Limits, OutOfRange};
use crate::line::{EntryState, JoinKeys};
use crate::money::Money;
use crate::payment::{ANSWER_WINDOW, PaymentState, REASON_MAX, RETRY_WINDOW};
use crate::plan::Hall;
use crate::refusal::Refusal;
use crate::reservation::{
    Effect, EndReason, GIVE_BACKS_MAX, ReleaseReason, Reservation, ReservationState, Stage, Visit,
};
use crate::seats::SeatState;
use crate::time::{Millis, ServiceTime, Timestamp};

pub(super) type Decided = Result<Decision, Refusal>;

pub(super) fn happens(event: Event, outcome: Outcome) -> Decided {
    Ok(Decision { event: Some(event), outcome })
}

pub(super) fn nothing(outcome: Outcome) -> Decided {
    Ok(Decision { event: None, outcome })
}

const fn ms(seconds: u32) -> Millis {
    seconds as Millis * 1000
}

impl Sale {
    /// Decides a command at `now`, when everything due by then has happened. Changes nothing.
    ///
    /// # Errors
    /// What the rules refuse.
    pub fn decide(&self, command: &Command, now: Timestamp) -> Decided {
        if let Command::Schedule(schedule) = command {
            return self.decide_schedule(schedule);
        }
        let Some(hall) = &self.hall else {
            return Err(Refusal::SaleNotFound);
        };
        let time = self.clock.service(now);
        match command {
            Command::Schedule(schedule) => self.decide_schedule(schedule),
            Command::Join { nonce, keys } => self.decide_join(*nonce, *keys, time),
            Command::Seen { entries } => self.decide_seen(entries, time),
            Command::Leave { place } => self.decide_leave(*place, time),
            Command::Hold { place, wish, expected, reservation, key } => {
                let wish = (wish, *expected);
                self.decide_hold(hall, *place, wish, *reservation, *key, time)
            }
            Command::GiveBack { place, reservation } => {
                self.decide_give_back(*place, *reservation, time)
            }
            Command::BeginPayment { place, reservation, payment, expected, key } => {
                self.decide_payment(*place, *reservation, *payment, *expected, *key, time)
            }
            Command::SettlePayment { payment, outcome } => {
                self.decide_settlement(*payment, outcome, time)
            }
            Command::SettleRefund { payment } => self.decide_refund(*payment, time),
            Command::Tick => nothing(Outcome::Done),
            Command::Resume { silent_since } => {
                let gap = self.clock.gap(*silent_since, now);
                if gap < SILENCE_MIN {
                    return nothing(Outcome::Done);
                }
                happens(Event::Resumed { gap, until: now }, Outcome::Done)
            }
            Command::Open => self.decide_phase(Phase::Open, &[Phase::Scheduled], Event::Opened),
            Command::Pause => self.decide_phase(Phase::Paused, &[Phase::Open], Event::Paused),
            Command::Unpause => self.decide_phase(Phase::Open, &[Phase::Paused], Event::Unpaused),
            Command::Close => self.decide_phase(
                Phase::Closed,
                &[Phase::Scheduled, Phase::Open, Phase::Paused],
                Event::Closed { at: time.floor() },
            ),
            Command::ChangeLimits(limits) => {
                in_range(limits)?;
                if *limits == self.limits {
                    return nothing(Outcome::Done);
                }
                let event = Event::LimitsChanged { limits: *limits, at: time.floor() };
                happens(event, Outcome::Done)
            }
            Command::Change(schedule) => self.decide_change(hall, schedule, time),
            Command::Withhold { seats, pool } => {
                if usize::from(*pool) >= hall.plan().pools.len() {
                    return Err(Refusal::PoolNotFound);
                }
                self.all_are(hall, seats, |state| state == SeatState::Free)?;
                let event = Event::SeatsWithheld { seats: seats.clone(), pool: *pool };
                happens(event, Outcome::Done)
            }
            Command::Release { seats } => {
                self.all_are(hall, seats, |state| matches!(state, SeatState::Withheld(_)))?;
                happens(Event::SeatsReleased { seats: seats.clone() }, Outcome::Done)
            }
        }
    }

    fn decide_schedule(&self, schedule: &Schedule) -> Decided {
        if let Some(hall) = &self.hall {
            let same = *hall.plan() == schedule.plan
                && self.opens_at == schedule.opens_at
                && self.closes_at == schedule.closes_at
                && self.id.as_ref() == Some(&schedule.sale);
            return if same { nothing(Outcome::Done) } else { Err(Refusal::SaleExists) };
        }
        in_range(&schedule.limits)?;
        if schedule.closes_at.is_some_and(|closes| closes <= schedule.opens_at) {
            return Err(Refusal::BadSchedule);
        }
        Hall::build(schedule.plan.clone()).map_err(|error| Refusal::BadPlan { error })?;
        happens(Event::Scheduled(Box::new(schedule.clone())), Outcome::Done)
    }

    fn decide_phase(&self, to: Phase, from: &[Phase], event: Event) -> Decided {
        if self.phase == to {
            return nothing(Outcome::Done);
        }
        if from.contains(&self.phase) {
            happens(event, Outcome::Done)
        } else {
            Err(Refusal::WrongState)
        }
    }

    fn decide_join(&self, nonce: Nonce, keys: JoinKeys, time: ServiceTime) -> Decided {
        if let Some(entry) = self.line.recognise(keys) {
            return nothing(Outcome::Joined { entry, created: false });
        }
        match self.phase {
            Phase::Unscheduled => return Err(Refusal::SaleNotFound),
            Phase::Scheduled => return Err(Refusal::SaleNotOpen { opens_at: self.opens_at }),
            Phase::Closed => return Err(Refusal::SaleClosed),
            Phase::Open | Phase::Paused => {}
        }
        if self.sold_out() {
            return Err(Refusal::SoldOut);
        }
        if self.line.in_line() >= self.limits.line_capacity {
            return Err(Refusal::QueueFull { line_capacity: self.limits.line_capacity });
        }
        let entry = EntryIndex::after(self.line.joined());
        let keys = (keys != JoinKeys::default()).then_some(keys);
        let event = Event::Joined { nonce, at: time.floor(), keys };
        happens(event, Outcome::Joined { entry, created: true })
    }

    fn decide_seen(&self, entries: &[EntryIndex], time: ServiceTime) -> Decided {
        let counts = |entry: &EntryIndex| match self.line.entry(*entry) {
            Some((_, EntryState::Visiting(visit))) => self.visit(visit).is_some_and(|visit| {
                visit.stage == Stage::Choosing && visit.arrive_until.is_some()
            }),
            Some((_, EntryState::Waiting(seen) | EntryState::Recalled(seen))) => {
                seen < time.floor()
            }
            Some((_, EntryState::Away(_) | EntryState::Missed(_))) => true,
            Some((_, EntryState::Ended(..))) | None => false,
        };
        let entries: Vec<_> = entries.iter().copied().filter(counts).collect();
        if entries.is_empty() {
            return nothing(Outcome::Done);
        }
        happens(Event::Seen { at: time.floor(), entries: Entries(entries) }, Outcome::Done)
    }

    fn decide_leave(&self, place: Place, time: ServiceTime) -> Decided {
        let leaves = Event::Left { entry: place.entry, at: time.floor() };
        match self.state_of(place)? {
            EntryState::Ended(..) => nothing(Outcome::Done),
            EntryState::Waiting(_)
            | EntryState::Away(_)
            | EntryState::Missed(_)
            | EntryState::Recalled(_) => happens(leaves, Outcome::Done),
            EntryState::Visiting(index) => {
                let visit = self.visit(index).expect("an entry's visit");
                match visit.stage {
                    Stage::Ended(_) | Stage::Missed => nothing(Outcome::Done),
                    Stage::Choosing => happens(leaves, Outcome::Done),
                    Stage::Reserved => match self.reservation_of(visit).1.state {
                        ReservationState::Paying(_) => Err(self.payment_in_progress(visit)),
                        ReservationState::Confirmed => nothing(Outcome::Done),
                        ReservationState::Held(_) | ReservationState::Released(..) => {
                            happens(leaves, Outcome::Done)
                        }
                    },
                }
            }
        }
    }

    fn decide_hold(
        &self,
        hall: &Hall,
        place: Place,
        (wish, expected): (&Wish, Option<Money>),
        reservation: ReservationId,
        key: Option<Key>,
        time: ServiceTime,
    ) -> Decided {
        let (index, visit) = self.visit_of(place)?;
        match remembered(visit, key)? {
            Some(Effect::Held(reservation)) => return nothing(Outcome::Held { reservation }),
            Some(Effect::Paid(_)) => return Err(Refusal::IdempotencyMismatch),
            None => {}
        }
        match visit.stage {
            Stage::Ended(reason) => return Err(Refusal::PlaceEnded { reason }),
            Stage::Missed => return Err(self.not_admitted(place)),
            Stage::Reserved => {
                let reservation = self.reservation_of(visit).1.id;
                return Err(Refusal::ReservationExists { reservation });
            }
            Stage::Choosing if time.reached(visit.choose_until) => {
                return Err(Refusal::PlaceEnded { reason: EndReason::TooSlow });
            }
            Stage::Choosing => {}
        }
        let seats = self.wished(hall, wish, expected)?;
        let until = time.plus(ms(self.limits.hold_ttl)).floor();
        let event = Event::SeatsHeld {
            visit: index,
            reservation,
            seats,
            until,
            hard_end: until.plus(self.limits.payment_deadline),
            key: key.map(|key| (key.hash, key.body)),
        };
        happens(
            event,
            Outcome::Held { reservation: ReservationIndex::after(self.reservations.len()) },
        )
    }

    /// The seats that are wished for, if they may be held together as they stand now.
    fn wished(
        &self,
        hall: &Hall,
        wish: &Wish,
        expected: Option<Money>,
    ) -> Result<Vec<SeatIndex>, Refusal> {
        let most = self.limits.seats_per_reservation;
        if wish.count() == 0 {
            return Err(Refusal::NoSeats);
        }
        if wish.count() > most as usize {
            return Err(Refusal::TooManySeats { seats_per_reservation: most });
        }
        match wish {
            Wish::Seats { performance, seats } => {
                self.check_seats_wished(hall, *performance, seats, expected)?;
                Ok(seats.clone())
            }
            Wish::Best { performance, count, grade } => {
                let grade = grade.as_deref();
                let seats = best_seats(hall, &self.seats, *performance, *count, grade)?;
                let prices = seats.iter().map(|seat| hall.seats()[seat.at()].price);
                as_expected(prices.sum(), expected)?;
                Ok(seats)
            }
        }
    }

    fn check_seats_wished(
        &self,
        hall: &Hall,
        mut performance: Option<u16>,
        seats: &[SeatIndex],
        expected: Option<Money>,
    ) -> Result<(), Refusal> {
        let mut amount = Money::default();
        let mut taken = Vec::new();
        for (n, &index) in seats.iter().enumerate() {
            let seat = hall.seat(index).ok_or(Refusal::SeatNotFound)?;
            if seats[..n].contains(&index) {
                return Err(Refusal::DuplicateSeat { seat: index });
            }
            if *performance.get_or_insert(seat.performance) != seat.performance {
                return Err(Refusal::WrongPerformance);
            }
            if self.seats.state(index) != SeatState::Free {
                taken.push(index);
            }
            amount += seat.price;
        }
        if let Some(seat) = hall.companion_alone(seats) {
            return Err(Refusal::CompanionAlone { seat });
        }
        as_expected(amount, expected)?;
        if taken.is_empty() { Ok(()) } else { Err(Refusal::SeatTaken { taken }) }
    }

    fn decide_give_back(&self, place: Place, id: ReservationId, time: ServiceTime) -> Decided {
        let (_, visit) = self.visit_of_holder(place)?;
        let (index, reservation) = self.find_reservation(visit, id)?;
        let at = time.floor();
        match reservation.state {
            ReservationState::Paying(_) => Err(self.payment_in_progress(visit)),
            ReservationState::Confirmed => Err(self.already_paid(reservation)),
            ReservationState::Released(ReleaseReason::GivenBack, _) => nothing(Outcome::Done),
            ReservationState::Released(ReleaseReason::Expired, _) => {
                Err(Refusal::ReservationExpired)
            }
            ReservationState::Held(until) if time.reached(until) => {
                Err(Refusal::ReservationExpired)
            }
            ReservationState::Held(_) => {
                let again = visit.give_backs < GIVE_BACKS_MAX && self.phase != Phase::Closed;
                let choose_until = visit.choose_until.max(time.plus(ms(RETRY_WINDOW)).ceil());
                let event = Event::SeatsGivenBack {
                    reservation: index,
                    at,
                    choose_until: again.then_some(choose_until),
                };
                happens(event, Outcome::Done)
            }
        }
    }

    fn decide_payment(
        &self,
        place: Place,
        id: ReservationId,
        payment: PaymentId,
        expected: Option<Money>,
        key: Option<Key>,
        time: ServiceTime,
    ) -> Decided {
        let (_, visit) = self.visit_of_holder(place)?;
        match remembered(visit, key)? {
            Some(Effect::Paid(payment)) => {
                return nothing(Outcome::Payment { payment, begun: false });
            }
            Some(Effect::Held(_)) => return Err(Refusal::IdempotencyMismatch),
            None => {}
        }
        let (index, reservation) = self.find_reservation(visit, id)?;
        let until = match reservation.state {
            ReservationState::Paying(_) => {
                let payment = reservation.payment.expect("a reservation that is being paid");
                return nothing(Outcome::Payment { payment, begun: false });
            }
            ReservationState::Confirmed => return Err(self.already_paid(reservation)),
            ReservationState::Released(..) => return Err(Refusal::ReservationExpired),
            ReservationState::Held(until) if time.reached(until) => {
                return Err(Refusal::ReservationExpired);
            }
            ReservationState::Held(until) => until,
        };
        as_expected(reservation.amount(), expected)?;
        if self.payments_by_id.contains_key(&payment) {
            // Ids are random: this is a command that was decided before, without its key.
            return Err(Refusal::IdempotencyMismatch);
        }
        let event = Event::PaymentBegun {
            reservation: index,
            payment,
            hold_until: longer(until, time, self.limits.payment_deadline, reservation),
            answer_until: time.plus(ms(ANSWER_WINDOW)).ceil(),
            key: key.map(|key| (key.hash, key.body)),
        };
        let payment = PaymentIndex::after(self.payments.len());
        happens(event, Outcome::Payment { payment, begun: true })
    }

    fn decide_settlement(
        &self,
        id: PaymentId,
        outcome: &PaymentOutcome,
        time: ServiceTime,
    ) -> Decided {
        let index = self.payment_by_id(id).ok_or(Refusal::PaymentNotFound)?;
        let payment = self.payment(index).expect("an indexed payment");
        let at = time.floor();
        let settled = Outcome::Settled { payment: index };
        match (&payment.state, outcome) {
            (PaymentState::Running(_) | PaymentState::Unknown, PaymentOutcome::Approved) => {
                happens(Event::PaymentApproved { payment: index, at }, settled)
            }
            (
                PaymentState::Running(_) | PaymentState::Unknown,
                PaymentOutcome::Declined { reason, retryable },
            ) => {
                let reservation = self.reservation(payment.reservation).expect("what it pays for");
                let ReservationState::Paying(until) = reservation.state else {
                    unreachable!("an unsettled payment's reservation is being paid")
                };
                let event = Event::PaymentDeclined {
                    payment: index,
                    at,
                    reason: shortened(reason),
                    retryable: *retryable,
                    hold_until: longer(until, time, RETRY_WINDOW, reservation),
                };
                happens(event, settled)
            }
            (PaymentState::Running(_), PaymentOutcome::Unknown) => {
                happens(Event::PaymentUnknown { payment: index }, settled)
            }
            // The provider takes back what it said, or the answer came too late: the seats may be
            // somebody else's, and the buyer was told that nothing was charged.
            (PaymentState::Declined(_), PaymentOutcome::Approved) => {
                happens(Event::RefundDue { payment: index }, settled)
            }
            (PaymentState::Unknown | PaymentState::Declined(_), PaymentOutcome::Unknown)
            | (PaymentState::Declined(_), PaymentOutcome::Declined { .. })
            | (
                PaymentState::Approved(_) | PaymentState::RefundDue | PaymentState::Refunded(_),
                PaymentOutcome::Approved
                | PaymentOutcome::Declined { .. }
                | PaymentOutcome::Unknown,
            ) => nothing(settled),
        }
    }

    fn decide_refund(&self, id: PaymentId, time: ServiceTime) -> Decided {
        let index = self.payment_by_id(id).ok_or(Refusal::PaymentNotFound)?;
        let settled = Outcome::Settled { payment: index };
        match self.payment(index).expect("an indexed payment").state {
            PaymentState::RefundDue => {
                happens(Event::PaymentRefunded { payment: index, at: time.floor() }, settled)
            }
            PaymentState::Refunded(_) => nothing(settled),
            PaymentState::Running(_)
            | PaymentState::Unknown
            | PaymentState::Approved(_)
            | PaymentState::Declined(_) => Err(Refusal::WrongState),
        }
    }

    /// Where the entry that a token names stands.
    fn state_of(&self, place: Place) -> Result<EntryState, Refusal> {
        match self.line.entry(place.entry) {
            Some((nonce, state)) if nonce == place.nonce => Ok(state),
            _ => Err(Refusal::UnknownPlace),
        }
    }

    /// The visit of the buyer that a token names.
    fn visit_of(&self, place: Place) -> Result<(VisitIndex, &Visit), Refusal> {
        match self.state_of(place)? {
            EntryState::Visiting(index) => {
                Ok((index, self.visit(index).expect("an entry's visit")))
            }
            EntryState::Ended(reason, _) => Err(Refusal::PlaceEnded { reason }),
            EntryState::Waiting(_)
            | EntryState::Away(_)
            | EntryState::Missed(_)
            | EntryState::Recalled(_) => Err(self.not_admitted(place)),
        }
    }

    /// The visit of a buyer who says to have a reservation; who was never let in has none.
    fn visit_of_holder(&self, place: Place) -> Result<(VisitIndex, &Visit), Refusal> {
        self.visit_of(place).map_err(|refusal| {
            let never_in =
                matches!(refusal, Refusal::NotAdmitted { .. } | Refusal::PlaceEnded { .. });
            if never_in { Refusal::ReservationNotFound } else { refusal }
        })
    }

    fn not_admitted(&self, place: Place) -> Refusal {
        let position = self.line.position(place.entry).unwrap_or(1);
        Refusal::NotAdmitted { position, total: self.total() }
    }

    /// The newest reservation of a visit that has one.
    fn reservation_of(&self, visit: &Visit) -> (ReservationIndex, &Reservation) {
        let index = visit.reservation.expect("a visit that is reserved");
        (index, self.reservation(index).expect("a visit's reservation"))
    }

    /// One of a visit's reservations by its id.
    fn find_reservation(
        &self,
        visit: &Visit,
        id: ReservationId,
    ) -> Result<(ReservationIndex, &Reservation), Refusal> {
        self.reservations_of(visit)
            .find(|(_, reservation)| reservation.id == id)
            .ok_or(Refusal::ReservationNotFound)
    }

    fn payment_in_progress(&self, visit: &Visit) -> Refusal {
        Refusal::PaymentInProgress { payment: self.payment_id(self.reservation_of(visit).1) }
    }

    fn already_paid(&self, reservation: &Reservation) -> Refusal {
        Refusal::AlreadyPaid { payment: self.payment_id(reservation) }
    }

    fn payment_id(&self, reservation: &Reservation) -> PaymentId {
        let payment = reservation.payment.expect("a reservation with a payment");
        self.payment(payment).expect("a reservation's payment").id
    }

    fn all_are(
        &self,
        hall: &Hall,
        seats: &[SeatIndex],
        wanted: impl Fn(SeatState) -> bool,
    ) -> Result<(), Refusal> {
        if seats.is_empty() {
            return Err(Refusal::NoSeats);
        }
        let mut seen = std::collections::BTreeSet::new();
        let mut others = Vec::new();
        for &seat in seats {
            hall.seat(seat).ok_or(Refusal::SeatNotFound)?;
            if !seen.insert(seat) {
                return Err(Refusal::DuplicateSeat { seat });
            }
            if !wanted(self.seats.state(seat)) {
                others.push(seat);
            }
        }
        if others.is_empty() { Ok(()) } else { Err(Refusal::SeatNotFree { seats: others }) }
    }
}

/// Whether what the buyer expects to pay, where it was said, is what it costs.
fn as_expected(amount: Money, expected: Option<Money>) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != amount => Err(Refusal::PriceChanged { amount }),
        Some(_) | None => Ok(()),
    }
}

/// How long a hold is good when `window` more seconds are granted from now: never shorter than it
/// was, never past its hard end.
fn longer(
    until: crate::time::Second,
    time: ServiceTime,
    window: u32,
    reservation: &Reservation,
) -> crate::time::Second {
    until.max(time.plus(ms(window)).ceil().min(reservation.hard_end))
}

fn remembered(visit: &Visit, key: Option<Key>) -> Result<Option<Effect>, Refusal> {
    let Some(key) = key else { return Ok(None) };
    match visit.remembered(key.hash) {
        Some(record) if record.body == key.body => Ok(Some(record.effect)),
        Some(_) => Err(Refusal::IdempotencyMismatch),
        None => Ok(None),
    }
}

pub(super) fn in_range(limits: &Limits) -> Result<(), Refusal> {
    limits.check().map_err(|OutOfRange { name, min, max, .. }| Refusal::LimitOutOfRange {
        name,
        min,
        max,
    })
}

fn shortened(reason: &Name) -> Name {
    if reason.len() <= REASON_MAX {
        return reason.clone();
    }
    reason
        .char_indices()
        .take_while(|(at, c)| at + c.len_utf8() <= REASON_MAX)
        .map(|(_, c)| c)
        .collect::<String>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_word_is_cut_between_two_letters() {
        let table = [
            ("a".repeat(REASON_MAX), REASON_MAX),
            ("a".repeat(REASON_MAX + 1), REASON_MAX),
            ("가".repeat(REASON_MAX), REASON_MAX / 3 * 3),
            (format!("a{}", "가".repeat(REASON_MAX)), 1 + (REASON_MAX - 1) / 3 * 3),
        ];
        for (word, bytes) in table {
            let short = shortened(&word.as_str().into());
            assert_eq!(short.len(), bytes, "{word}");
            assert!(word.starts_with(&*short));
        }
    }
}

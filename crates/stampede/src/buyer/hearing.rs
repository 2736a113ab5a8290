//! The answers: what a buyer makes of each, and what it proves.

use std::time::Duration;

use super::{
    AGAIN, Buyer, End, Heard, Held, IMPATIENCE, LONGEST_WAIT, MOMENT, ROUNDS_MAX, Show, Stage, Then,
};
use crate::calls::Call;
use crate::contract::{
    Availability, Payment, PaymentStatus, Place, Problem, Reservation, ReservationStatus, Status,
};
use crate::findings::{Findings, Receipt, Waiting};
use crate::moment::Exchange;

/// What a buyer wanted when the answer to a hold comes.
pub(super) struct Taking {
    pub(super) performance: usize,
    pub(super) seats: Vec<Box<str>>,
    pub(super) rounds: u8,
}

impl Buyer {
    pub(super) fn hear_join(
        &mut self,
        heard: Heard<'_>,
        problem: &Problem,
        exchange: Exchange,
        findings: &mut Findings,
    ) -> Then {
        self.stage = Stage::Joining;
        match (heard.status, &*problem.code) {
            (200 | 201, _) => match heard.read::<Place>() {
                Some(place) => self.stand(&place, exchange, findings),
                None => self.refused(heard, problem, findings),
            },
            (403, "sale_not_open") => self.later(IMPATIENCE),
            (409, "queue_full") => self.later(heard.retry_after.unwrap_or(10 * AGAIN)),
            _ => self.refused(heard, problem, findings),
        }
    }

    pub(super) fn hear_renewal(
        &mut self,
        heard: Heard<'_>,
        problem: &Problem,
        exchange: Exchange,
        findings: &mut Findings,
    ) -> Then {
        match heard.read_if::<Place>(200) {
            Some(place) if place.status == Status::Waiting => {
                self.stand(&place, exchange, findings)
            }
            Some(place) => {
                if let Some(token) = &place.token {
                    self.keep_token(token);
                }
                self.later(MOMENT)
            }
            // The place was over, and the line has a new one for them: they go to its end.
            None if heard.status == 201 => match heard.read::<Place>() {
                Some(place) => self.stand(&place, exchange, findings),
                None => self.refused(heard, problem, findings),
            },
            None => self.refused(heard, problem, findings),
        }
    }

    /// Where a buyer stands, and what follows from it.
    pub(super) fn stand(
        &mut self,
        place: &Place,
        exchange: Exchange,
        findings: &mut Findings,
    ) -> Then {
        if let Some(token) = &place.token {
            self.keep_token(token);
        }
        let ask_again_in = place.poll_after_ms.map_or(AGAIN, Duration::from_millis);
        let ask_again_in = ask_again_in.min(LONGEST_WAIT);
        match (place.status, &place.reservation_id) {
            (Status::Waiting, _) => {
                let told = Waiting { position: place.position, as_of: place.as_of, ask_again_in };
                findings.waits(self.number, &told, exchange);
                self.wait_in_line(ask_again_in)
            }
            (Status::Admitted, _) => {
                let turn = place.admitted_until.as_deref().unwrap_or_default();
                findings.is_inside(self.number, turn, exchange);
                self.come_in()
            }
            (Status::Holding | Status::Paying | Status::Done, Some(reservation)) => {
                if place.status != Status::Done {
                    findings.is_inside(self.number, reservation.as_str(), exchange);
                }
                self.stage = Stage::Looking { reservation: reservation.clone() };
                Then::After(Duration::ZERO)
            }
            (Status::Holding | Status::Paying | Status::Done, None) => self.wait(ask_again_in),
            (Status::Ended, _) => {
                findings.limit.is_outside(self.number);
                self.over(End::of_reason(place.reason.as_deref()))
            }
        }
    }

    /// Waits for the next poll, if this buyer has the patience.
    fn wait_in_line(&mut self, ask_again_in: Duration) -> Then {
        self.stage = Stage::Waiting;
        self.polls += 1;
        if self.character.vanishes_in_line == Some(self.polls) {
            return self.over(End::Vanished);
        }
        if self.character.leaves_in_line == Some(self.polls) {
            self.stage = Stage::Leaving { held: None, end: End::Left };
            return Then::After(ask_again_in / 2);
        }
        if self.character.is_away_at == Some(self.polls) {
            // A locked phone: the place is kept, the turn is not.
            return Then::After((4 * ask_again_in).min(LONGEST_WAIT));
        }
        Then::After(ask_again_in)
    }

    /// It is this buyer's turn.
    fn come_in(&mut self) -> Then {
        if self.character.vanishes_inside {
            return self.over(End::Vanished);
        }
        let performance = self.character.performance;
        self.stage = Stage::Choosing { performance, rounds: 0 };
        Then::After(Duration::ZERO)
    }

    pub(super) fn hear_seats(
        &mut self,
        show: &Show,
        performance: usize,
        rounds: u8,
        heard: Heard<'_>,
        problem: &Problem,
        findings: &mut Findings,
    ) -> Then {
        let Some(body) = heard.read_if::<Availability<'_>>(200) else {
            return self.refused(heard, problem, findings);
        };
        let Some(mut listed) = body.available_seats else {
            // The turn is over; where the buyer stands now is said elsewhere.
            return self.look_up();
        };
        // Nobody in the crowd needs a wheelchair place, nor comes along with somebody who does.
        listed.retain(|seat| seat.accessible.is_none());
        let rounds = rounds + 1;
        if rounds > ROUNDS_MAX {
            return self.leave(None, End::NothingLeft);
        }
        if listed.is_empty() {
            let performance = (performance + 1) % show.performances.len();
            let has_seen_all = usize::from(rounds).is_multiple_of(show.performances.len());
            self.stage = Stage::Choosing { performance, rounds };
            return if has_seen_all { self.later(AGAIN) } else { Then::After(Duration::ZERO) };
        }
        let count = self.character.party.min(listed.len());
        // Everybody wants the front: the plan begins there.
        let share = self.random.share();
        let first = share_of(listed.len() - count + 1, share * share);
        let chosen = &listed[first..first + count];
        let seats = chosen.iter().map(|seat| seat.seat_number.as_ref().into()).collect();
        self.take(performance, seats, rounds, 1.0)
    }

    /// Takes seats after having thought about them.
    fn take(
        &mut self,
        performance: usize,
        seats: Vec<Box<str>>,
        rounds: u8,
        thoroughness: f64,
    ) -> Then {
        self.deed += 1;
        self.stage = Stage::Taking { performance, seats, rounds };
        self.think(thoroughness)
    }

    pub(super) fn hear_hold(
        &mut self,
        taking: Taking,
        heard: Heard<'_>,
        problem: &Problem,
        exchange: Exchange,
        findings: &mut Findings,
    ) -> Then {
        let Taking { performance, seats, rounds } = taking;
        if let Some(held) = heard.read_if::<Reservation>(201) {
            if let Some(token) = &held.token {
                self.keep_token(token);
            }
            // A repeated request finds it as it is by now.
            return self.has(held, exchange, findings);
        }
        match (heard.status, &*problem.code) {
            (409, "seat_taken") if rounds < ROUNDS_MAX => {
                // Some take what is offered instead, some look at the hall again.
                let offered = problem.alternatives.as_ref().filter(|seats| !seats.is_empty());
                match offered.filter(|_| self.random.happens(0.5)) {
                    Some(offered) => self.take(performance, offered.clone(), rounds + 1, 0.25),
                    None => {
                        self.stage = Stage::Choosing { performance, rounds };
                        self.think(0.25)
                    }
                }
            }
            (409, "seat_taken") => self.leave(None, End::NothingLeft),
            (409, "reservation_exists") => match &problem.reservation_id {
                Some(reservation) => {
                    self.stage = Stage::Looking { reservation: reservation.clone() };
                    Then::After(Duration::ZERO)
                }
                None => self.refused(heard, problem, findings),
            },
            (403, "not_admitted") => self.look_up(),
            (422, "too_many_seats") => {
                let most = problem.seats_per_reservation.unwrap_or(1).max(1);
                if most >= seats.len() {
                    return self.refused(heard, problem, findings);
                }
                self.character.party = most;
                self.take(performance, seats[..most].to_vec(), rounds, 0.25)
            }
            _ => self.refused(heard, problem, findings),
        }
    }

    /// Seats are this buyer's for a while: pays, gives them back, or is never seen again.
    fn holds(&mut self, told: &Reservation, exchange: Exchange, findings: &mut Findings) -> Then {
        let held = Held::of(told);
        let expires_in = Duration::from_millis(told.expires_in_ms.unwrap_or(0));
        let seats = held.seats.iter().map(|seat| &**seat);
        findings.owners.held(self.number, &held.performance, seats, exchange, expires_in);
        let turn = held.reservation.as_str();
        if self.is_repeated {
            findings.limit.is_inside(self.number, turn, exchange);
        } else {
            findings.limit.goes_on(self.number, turn, exchange);
        }
        if self.character.vanishes_holding {
            return self.over(End::Vanished);
        }
        if std::mem::take(&mut self.character.gives_back) {
            self.stage = Stage::GivingBack(held);
            return self.think(1.0);
        }
        self.pay(held, self.character.pays_with)
    }

    fn pay(&mut self, held: Held, with: &'static str) -> Then {
        self.deed += 1;
        self.stage = Stage::Paying { held, with };
        self.think(1.0)
    }

    pub(super) fn hear_payment(
        &mut self,
        held: Held,
        heard: Heard<'_>,
        problem: &Problem,
        exchange: Exchange,
        findings: &mut Findings,
    ) -> Then {
        if matches!(heard.status, 200 | 202) {
            let Some(payment) = heard.read::<Payment>() else {
                return self.refused(heard, problem, findings);
            };
            return self.stands(held, &payment, exchange, findings);
        }
        match (heard.status, &*problem.code) {
            (402, _) => {
                if !self.is_repeated {
                    findings.limit.goes_on(self.number, held.reservation.as_str(), exchange);
                }
                let left = problem.expires_in_ms.unwrap_or(0);
                self.declined(held, problem.retryable.unwrap_or(false), left)
            }
            (409, "payment_in_progress") if problem.payment_id.is_some() => {
                let payment = problem.payment_id.clone().unwrap_or_default();
                self.stage = Stage::AskingPayment { held, payment };
                self.later(AGAIN)
            }
            (409, "already_paid" | "payment_in_progress") => {
                self.stage = Stage::Looking { reservation: held.reservation };
                self.later(AGAIN)
            }
            (410, "reservation_expired") => self.look_up(),
            _ => self.refused(heard, problem, findings),
        }
    }

    /// How a payment stands.
    fn stands(
        &mut self,
        held: Held,
        payment: &Payment,
        exchange: Exchange,
        findings: &mut Findings,
    ) -> Then {
        match payment.payment_status {
            PaymentStatus::Success => {
                let seats = payment.tickets.iter().map(|ticket| ticket.seat_number.clone());
                let receipt = Receipt {
                    reservation: held.reservation,
                    payment: payment.payment_id.clone(),
                    performance: held.performance,
                    seats: seats.collect(),
                };
                self.bought(receipt, exchange, findings)
            }
            PaymentStatus::Pending | PaymentStatus::Refunding => {
                let again = payment.poll_after_ms.map_or(AGAIN, Duration::from_millis);
                self.stage = Stage::AskingPayment { held, payment: payment.payment_id.clone() };
                Then::After(again.min(LONGEST_WAIT))
            }
            PaymentStatus::Failed => {
                let left = payment.expires_in_ms.unwrap_or(0);
                self.declined(held, payment.retryable.unwrap_or(true), left)
            }
            PaymentStatus::Refunded => self.look_up(),
        }
    }

    /// Tries another card, if there is one and time for it.
    fn declined(&mut self, held: Held, is_retryable: bool, left_ms: u64) -> Then {
        let has_time = Duration::from_millis(left_ms) > 2 * self.character.think;
        if is_retryable && has_time && self.character.has_another_card {
            // One is enough: whoever is declined twice in a row leaves.
            self.character.has_another_card = false;
            return self.pay(held, "tok_ok");
        }
        self.leave(Some(held), End::Declined)
    }

    fn bought(&mut self, receipt: Receipt, exchange: Exchange, findings: &mut Findings) -> Then {
        let seats = receipt.seats.iter().map(|seat| &**seat);
        findings.owners.confirmed(self.number, &receipt.performance, seats, exchange.answered);
        if self.asked == Call::Pay && !self.is_repeated {
            // It was approved after this was sent, so the turn lasted until then. What a later
            // question finds out may have been so for a while.
            findings.limit.goes_on(self.number, receipt.reservation.as_str(), exchange);
        }
        findings.limit.is_outside(self.number);
        self.character.party = receipt.seats.len();
        findings.charged.paid(self.number, receipt);
        self.over(End::Bought)
    }

    pub(super) fn hear_reservation(
        &mut self,
        heard: Heard<'_>,
        problem: &Problem,
        exchange: Exchange,
        findings: &mut Findings,
    ) -> Then {
        let Some(told) = heard.read_if::<Reservation>(200) else {
            return match heard.status {
                404 | 410 => self.look_up(),
                _ => self.refused(heard, problem, findings),
            };
        };
        self.has(told, exchange, findings)
    }

    /// How a reservation stands.
    fn has(&mut self, told: Reservation, exchange: Exchange, findings: &mut Findings) -> Then {
        match told.status {
            ReservationStatus::Held => self.holds(&told, exchange, findings),
            ReservationStatus::Paying => {
                self.stage = Stage::Looking { reservation: told.reservation_id };
                self.later(AGAIN)
            }
            ReservationStatus::Confirmed => {
                let Held { reservation, performance, seats } = Held::of(&told);
                let payment = told.last_payment.map(|payment| payment.payment_id);
                let payment = payment.unwrap_or_default();
                let receipt = Receipt { reservation, payment, performance, seats };
                self.bought(receipt, exchange, findings)
            }
            ReservationStatus::Released | ReservationStatus::Expired => self.look_up(),
        }
    }
}

impl Held {
    fn of(told: &Reservation) -> Self {
        Self {
            reservation: told.reservation_id.clone(),
            performance: told.performance_id.clone(),
            seats: told.seats.iter().map(|seat| seat.seat_number.clone()).collect(),
        }
    }
}

/// A share of a count, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "seats are far below 2^52, and a share is from 0 to 1"
)]
fn share_of(count: usize, share: f64) -> usize {
    ((count as f64 * share) as usize).min(count.saturating_sub(1))
}

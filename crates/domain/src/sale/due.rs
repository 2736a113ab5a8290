//! What happens by the mere passing of time: openings, endings, expiries, admissions.

use super::{DUE_MAX, Phase, Sale, deadline};
use crate::event::Event;
use crate::id::VisitIndex;
use crate::reservation::{EndReason, ReservationState, Stage};
use crate::time::{Second, ServiceTime, Timestamp};

impl Sale {
    /// Lets everything happen that is due by `now`, at most [`DUE_MAX`] events of it.
    pub(super) fn settle_due(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        for _ in 0..DUE_MAX {
            let Some(event) = self.next_due(now) else { return };
            self.evolve(&event);
            events.push(event);
        }
    }

    /// When something is due next; the sale should be ticked then. A time in the past when
    /// something is due already, because one command brings only so much of it.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.line_is_over() || self.has_room() && self.line.first_ready().is_some() {
            return Some(Timestamp(0));
        }
        let calendar = match self.phase {
            Phase::Unscheduled => return None,
            Phase::Scheduled => Some(self.opens_at),
            Phase::Open | Phase::Paused => self.closes_at,
            Phase::Closed => None,
        };
        let visits = self.deadlines.first();
        let places = match self.line.oldest_seen() {
            _ if self.line.in_line() == 0 => None,
            oldest => Some(self.place_ttl_kept.expiry(&self.limits, oldest)),
        };
        let seconds = [visits, places].into_iter().flatten();
        seconds.map(|second| self.clock.node(second)).chain(calendar).min()
    }

    /// The next thing that is due, if there is one. It is not applied; only the indices of what to
    /// look at next are moved on.
    fn next_due(&mut self, now: Timestamp) -> Option<Event> {
        let time = self.clock.service(now);
        let at = time.floor();
        match self.phase {
            Phase::Unscheduled => return None,
            Phase::Scheduled if now >= self.opens_at => return Some(Event::Opened),
            Phase::Open | Phase::Paused if self.closes_at.is_some_and(|closes| now >= closes) => {
                return Some(Event::Closed { at });
            }
            Phase::Scheduled | Phase::Open | Phase::Paused | Phase::Closed => {}
        }
        if let Some(visit) = self.pop_due_visit(time) {
            return Some(self.visit_is_due(visit, time));
        }
        let place_ttl = self.place_ttl_kept.in_force(&self.limits, at);
        if let Some(until) = at.0.checked_sub(place_ttl).map(Second)
            && self.line.oldest_seen() <= until
            && let places @ 1.. = self.line.expired(until)
        {
            return Some(Event::PlacesExpired { until, at, places: Some(places) });
        }
        if self.line_is_over() {
            return Some(Event::LineEnded { reason: EndReason::SoldOut, at });
        }
        self.next_admission(time)
    }

    fn pop_due_visit(&mut self, time: ServiceTime) -> Option<VisitIndex> {
        let Self { deadlines, visits, reservations, payments, .. } = self;
        deadlines.pop_due(time, |visit| deadline(visits, reservations, payments, visit))
    }

    /// What the deadline of a visit means.
    fn visit_is_due(&self, index: VisitIndex, time: ServiceTime) -> Event {
        let visit = self.visit(index).expect("a visit with a deadline");
        let at = time.floor();
        match visit.stage {
            // Never there, so the turn is over and not the place, even where less time is given to
            // choose than to arrive.
            Stage::Choosing if visit.arrive_until.is_some() => {
                Event::TurnMissed { visit: index, seen: visit.seen }
            }
            Stage::Choosing => Event::ChoosingEnded { visit: index, at },
            Stage::Reserved => {
                let number = visit.reservation.expect("a visit that is reserved");
                let reservation = self.reservation(number).expect("its reservation");
                match (reservation.state, reservation.payment) {
                    (ReservationState::Paying(_), Some(payment)) => {
                        Event::PaymentUnknown { payment }
                    }
                    _ => Event::HoldExpired { reservation: number, at },
                }
            }
            Stage::Ended(_) | Stage::Missed => {
                unreachable!("a visit that is over has no deadline")
            }
        }
    }

    /// Whether nothing is left to wait for, and somebody waits or chooses. Not in a pause: then the
    /// organiser may keep seats back and give others free without anybody losing a place.
    fn line_is_over(&self) -> bool {
        self.phase == Phase::Open
            && self.seats.sold_out()
            && (self.line.in_line() > 0 || self.choosing > 0)
    }

    /// Whether somebody may be admitted, if anybody is there.
    fn has_room(&self) -> bool {
        self.phase == Phase::Open
            && self.active < self.limits.active_limit
            && self.choosing < self.seats.counts().free
    }

    /// Lets the first of those who are there in, or passes over one who is not: in order of rank,
    /// never while those admitted are as many as the limit, and never in vain.
    fn next_admission(&self, time: ServiceTime) -> Option<Event> {
        if !self.has_room() {
            return None;
        }
        let (entry, seen) = self.line.first_ready()?;
        if time.floor().since(seen) > self.limits.presence_window {
            return Some(Event::PassedOver { entry });
        }
        let until = |ttl: u32| time.plus(u64::from(ttl) * 1000).ceil();
        Some(Event::Admitted {
            entry,
            arrive_until: until(self.limits.arrive_ttl),
            choose_until: until(self.limits.choose_ttl),
        })
    }
}

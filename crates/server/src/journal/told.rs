//! An event in words that people know. One idea: each event of the rules has its line here.
//!
//! Indices become names: seats their numbers, reservations and payments their ids, deadlines times.
//! A buyer is an entry of the line, by its number; nothing else is known of anybody. The hashes of
//! keys are left out: they tell nobody anything.

use std::collections::BTreeMap;

use domain::command::Schedule;
use domain::id::{
    EntryIndex, FileHash, PaymentId, PaymentIndex, ReservationId, ReservationIndex, SeatIndex,
    VisitIndex,
};
use domain::limits::Limits;
use domain::time::{Millis, Second};
use domain::{Event, Sale};
use serde::Serialize;

use crate::http::Utc;
use crate::ids::{LongId, ShortId};

/// An event as it is printed.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Told<'s> {
    Scheduled {
        performances: Vec<&'s str>,
        seats: usize,
        opens_at: Utc,
        #[serde(skip_serializing_if = "Option::is_none")]
        closes_at: Option<Utc>,
        limits: BTreeMap<&'static str, u32>,
        /// The SHA-256 of the file that said so.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    Changed {
        performances: Vec<&'s str>,
        seats: usize,
        opens_at: Utc,
        #[serde(skip_serializing_if = "Option::is_none")]
        closes_at: Option<Utc>,
        limits: BTreeMap<&'static str, u32>,
        /// The SHA-256 of the file that said so.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    Opened,
    Paused,
    Unpaused,
    Closed,
    LimitsChanged {
        limits: BTreeMap<&'static str, u32>,
    },
    SeatsWithheld {
        seats: Vec<SeatName<'s>>,
        pool: &'s str,
    },
    SeatsReleased {
        seats: Vec<SeatName<'s>>,
    },
    Resumed {
        gap_ms: Millis,
    },
    Joined {
        entry: u32,
    },
    Seen {
        entries: Vec<u32>,
    },
    PlacesExpired {
        last_seen_until: Utc,
        /// How many, where the journal says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        places: Option<u32>,
    },
    Left {
        entry: u32,
    },
    PassedOver {
        entry: u32,
    },
    Admitted {
        entry: u32,
        arrive_until: Utc,
        choose_until: Utc,
    },
    TurnMissed {
        entry: u32,
    },
    ChoosingEnded {
        entry: u32,
    },
    SeatsHeld {
        entry: u32,
        reservation_id: ShortId,
        seats: Vec<SeatName<'s>>,
        amount: u64,
        until: Utc,
        hard_end: Utc,
    },
    SeatsGivenBack {
        entry: u32,
        reservation_id: ShortId,
        #[serde(skip_serializing_if = "Option::is_none")]
        choose_until: Option<Utc>,
    },
    HoldExpired {
        entry: u32,
        reservation_id: ShortId,
    },
    PaymentBegun {
        entry: u32,
        reservation_id: ShortId,
        payment_id: LongId,
        amount: u64,
        hold_until: Utc,
        answer_until: Utc,
    },
    PaymentApproved {
        entry: u32,
        reservation_id: ShortId,
        payment_id: LongId,
    },
    PaymentDeclined {
        entry: u32,
        reservation_id: ShortId,
        payment_id: LongId,
        reason: &'s str,
        retryable: bool,
        hold_until: Utc,
    },
    PaymentUnknown {
        entry: u32,
        reservation_id: ShortId,
        payment_id: LongId,
    },
    RefundDue {
        entry: u32,
        reservation_id: ShortId,
        payment_id: LongId,
    },
    PaymentRefunded {
        entry: u32,
        reservation_id: ShortId,
        payment_id: LongId,
    },
    LineEnded {
        reason: &'static str,
    },
}

/// A seat, with its performance where the sale has several.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum SeatName<'s> {
    Number(&'s str),
    Of { performance_id: &'s str, seat_number: &'s str },
}

/// Tells the events of one sale, one after another from the first.
#[derive(Debug)]
pub(super) struct Teller {
    /// Of whom alone is told, if of one.
    buyer: Option<EntryIndex>,
    /// How many have joined.
    joined: u32,
}

impl Teller {
    /// Tells of everybody, or of one buyer and what concerned everybody while that one was there.
    pub(super) fn new(buyer: Option<EntryIndex>) -> Self {
        Self { buyer, joined: 0 }
    }

    /// The event in words; `sale` is the state after it, or after its whole batch. None when it
    /// does not concern the buyer.
    pub(super) fn tell<'s>(&mut self, event: &'s Event, sale: &'s Sale) -> Option<Told<'s>> {
        if matches!(event, Event::Joined { .. }) {
            self.joined += 1;
        }
        if self.buyer.is_some_and(|buyer| !self.concerns(buyer, event, sale)) {
            return None;
        }
        Some(self.words(event, &Names(sale)))
    }

    fn concerns(&self, buyer: EntryIndex, event: &Event, sale: &Sale) -> bool {
        let names = Names(sale);
        let whose = match event {
            Event::Scheduled(_)
            | Event::Opened
            | Event::Paused
            | Event::Unpaused
            | Event::LimitsChanged { .. }
            | Event::Changed { .. }
            | Event::SeatsWithheld { .. }
            | Event::SeatsReleased { .. }
            | Event::PlacesExpired { .. } => return false,
            // What moved or ended deadlines of everybody who was there.
            Event::Closed { .. } | Event::Resumed { .. } | Event::LineEnded { .. } => {
                return self.joined > buyer.0;
            }
            Event::Seen { entries, .. } => return entries.0.contains(&buyer),
            Event::Joined { .. } => EntryIndex(self.joined - 1),
            Event::Left { entry, .. }
            | Event::PassedOver { entry }
            | Event::Admitted { entry, .. } => *entry,
            Event::TurnMissed { visit, .. }
            | Event::ChoosingEnded { visit, .. }
            | Event::SeatsHeld { visit, .. } => EntryIndex(names.entry(*visit)),
            Event::SeatsGivenBack { reservation, .. }
            | Event::HoldExpired { reservation, .. }
            | Event::PaymentBegun { reservation, .. } => {
                EntryIndex(names.reservation(*reservation).0)
            }
            Event::PaymentApproved { payment, .. }
            | Event::PaymentDeclined { payment, .. }
            | Event::PaymentUnknown { payment }
            | Event::RefundDue { payment }
            | Event::PaymentRefunded { payment, .. } => EntryIndex(names.payment(*payment).0),
        };
        whose == buyer
    }

    fn words<'s>(&self, event: &'s Event, names: &Names<'s>) -> Told<'s> {
        match event {
            Event::Scheduled(schedule) => Told::Scheduled {
                performances: performances(schedule),
                seats: names.0.hall().map_or(0, |hall| hall.seats().len()),
                opens_at: Utc(schedule.opens_at),
                closes_at: schedule.closes_at.map(Utc),
                limits: limits(&schedule.limits),
                file: file(schedule),
            },
            Event::Changed { schedule, .. } => Told::Changed {
                performances: performances(schedule),
                seats: names.0.hall().map_or(0, |hall| hall.seats().len()),
                opens_at: Utc(schedule.opens_at),
                closes_at: schedule.closes_at.map(Utc),
                limits: limits(&schedule.limits),
                file: file(schedule),
            },
            Event::Opened => Told::Opened,
            Event::Paused => Told::Paused,
            Event::Unpaused => Told::Unpaused,
            Event::Closed { .. } => Told::Closed,
            Event::LimitsChanged { limits: changed, .. } => {
                Told::LimitsChanged { limits: limits(changed) }
            }
            Event::SeatsWithheld { seats, pool } => {
                Told::SeatsWithheld { seats: names.seats(seats), pool: names.pool(*pool) }
            }
            Event::SeatsReleased { seats } => Told::SeatsReleased { seats: names.seats(seats) },
            Event::Resumed { gap, .. } => Told::Resumed { gap_ms: *gap },
            Event::Joined { .. } => Told::Joined { entry: self.joined - 1 },
            Event::Seen { entries, .. } => {
                let of_interest =
                    |entry: &&EntryIndex| self.buyer.is_none_or(|buyer| buyer == **entry);
                Told::Seen { entries: entries.0.iter().filter(of_interest).map(|e| e.0).collect() }
            }
            Event::PlacesExpired { until, places, .. } => {
                Told::PlacesExpired { last_seen_until: names.time(*until), places: *places }
            }
            Event::Left { entry, .. } => Told::Left { entry: entry.0 },
            Event::PassedOver { entry } => Told::PassedOver { entry: entry.0 },
            Event::Admitted { entry, arrive_until, choose_until } => Told::Admitted {
                entry: entry.0,
                arrive_until: names.time(*arrive_until),
                choose_until: names.time(*choose_until),
            },
            Event::TurnMissed { visit, .. } => Told::TurnMissed { entry: names.entry(*visit) },
            Event::ChoosingEnded { visit, .. } => {
                Told::ChoosingEnded { entry: names.entry(*visit) }
            }
            Event::SeatsHeld { visit, reservation, seats, until, hard_end, .. } => {
                Told::SeatsHeld {
                    entry: names.entry(*visit),
                    reservation_id: reservation.0.into(),
                    seats: names.seats(seats),
                    amount: names.amount(seats),
                    until: names.time(*until),
                    hard_end: names.time(*hard_end),
                }
            }
            Event::SeatsGivenBack { reservation, choose_until, .. } => {
                let (entry, id) = names.reservation(*reservation);
                let choose_until = choose_until.map(|until| names.time(until));
                Told::SeatsGivenBack { entry, reservation_id: id.0.into(), choose_until }
            }
            Event::HoldExpired { reservation, .. } => {
                let (entry, id) = names.reservation(*reservation);
                Told::HoldExpired { entry, reservation_id: id.0.into() }
            }
            Event::PaymentBegun { reservation, payment, hold_until, answer_until, .. } => {
                let (entry, id) = names.reservation(*reservation);
                Told::PaymentBegun {
                    entry,
                    reservation_id: id.0.into(),
                    payment_id: payment.0.into(),
                    amount: names.0.reservation(*reservation).map_or(0, |r| r.amount().0),
                    hold_until: names.time(*hold_until),
                    answer_until: names.time(*answer_until),
                }
            }
            Event::PaymentDeclined { payment, reason, retryable, hold_until, .. } => {
                let (entry, reservation_id, payment_id) = names.payment(*payment);
                Told::PaymentDeclined {
                    entry,
                    reservation_id,
                    payment_id,
                    reason,
                    retryable: *retryable,
                    hold_until: names.time(*hold_until),
                }
            }
            Event::PaymentApproved { payment, .. } => {
                let (entry, reservation_id, payment_id) = names.payment(*payment);
                Told::PaymentApproved { entry, reservation_id, payment_id }
            }
            Event::PaymentUnknown { payment } => {
                let (entry, reservation_id, payment_id) = names.payment(*payment);
                Told::PaymentUnknown { entry, reservation_id, payment_id }
            }
            Event::RefundDue { payment } => {
                let (entry, reservation_id, payment_id) = names.payment(*payment);
                Told::RefundDue { entry, reservation_id, payment_id }
            }
            Event::PaymentRefunded { payment, .. } => {
                let (entry, reservation_id, payment_id) = names.payment(*payment);
                Told::PaymentRefunded { entry, reservation_id, payment_id }
            }
            Event::LineEnded { reason, .. } => Told::LineEnded { reason: reason.as_str() },
        }
    }
}

fn performances(schedule: &Schedule) -> Vec<&str> {
    schedule.plan.performances.iter().map(|performance| performance.id.as_str()).collect()
}

/// The file that a schedule came from, as `sha256sum` writes it.
fn file(schedule: &Schedule) -> Option<String> {
    let FileHash(hash) = schedule.file?;
    Some(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn limits(limits: &Limits) -> BTreeMap<&'static str, u32> {
    limits.table().into_iter().map(|(name, value, ..)| (name, value)).collect()
}

/// What the indices of a sale stand for. An index that stands for nothing was never written.
struct Names<'s>(&'s Sale);

impl<'s> Names<'s> {
    fn time(&self, second: Second) -> Utc {
        Utc(self.0.clock().node(second))
    }

    fn entry(&self, visit: VisitIndex) -> u32 {
        self.0.visit(visit).expect("a visit of this history").entry.0
    }

    fn reservation(&self, index: ReservationIndex) -> (u32, ReservationId) {
        let reservation = self.0.reservation(index).expect("a reservation of this history");
        (self.entry(reservation.visit), reservation.id)
    }

    fn payment(&self, index: PaymentIndex) -> (u32, ShortId, LongId) {
        let payment = self.0.payment(index).expect("a payment of this history");
        let PaymentId(id) = payment.id;
        let (entry, reservation) = self.reservation(payment.reservation);
        (entry, reservation.0.into(), id.into())
    }

    fn pool(&self, pool: u16) -> &'s str {
        let hall = self.0.hall().expect("a sale with seats");
        hall.plan().pools.get(usize::from(pool)).map_or("", |name| name)
    }

    fn seats(&self, seats: &[SeatIndex]) -> Vec<SeatName<'s>> {
        let hall = self.0.hall().expect("a sale with seats");
        let performances = &hall.plan().performances;
        let name = |index: &SeatIndex| {
            let seat = hall.seat(*index).expect("a seat of this history");
            match performances.as_slice() {
                [_] => SeatName::Number(&seat.number),
                several => SeatName::Of {
                    performance_id: several[usize::from(seat.performance)].id.as_str(),
                    seat_number: &seat.number,
                },
            }
        };
        seats.iter().map(name).collect()
    }

    fn amount(&self, seats: &[SeatIndex]) -> u64 {
        let hall = self.0.hall().expect("a sale with seats");
        seats.iter().filter_map(|seat| hall.seat(*seat)).map(|seat| seat.price.0).sum()
    }
}

//! What a clerk says: times, statuses, refusals and happenings in words.

use std::hash::{Hash, Hasher};

use domain::id::{EntryIndex, PaymentId, PaymentIndex, ReservationIndex, SeatIndex};
use domain::line::EntryState;
use domain::payment::PaymentState;
use domain::reservation::{EndReason, ReleaseReason, ReservationState};
use domain::sale::{Phase, Status, Takings};
use domain::seats::SeatCounts;
use domain::time::{Millis, Second, Timestamp};
use domain::{Event, Refusal, Sale};
use rustc_hash::FxHasher;

use super::{NOON, Scene, since_noon};

/// `12:05:00`, with milliseconds where there are some.
pub(super) fn clock(at: Timestamp) -> String {
    if at < NOON {
        return "before noon".into();
    }
    let ms = since_noon(at) + 12 * 3_600_000;
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let whole = format!("{hours:02}:{minutes:02}:{seconds:02}");
    if ms.is_multiple_of(1000) { whole } else { format!("{whole}.{:03}", ms % 1000) }
}

/// The time that [`clock`] wrote.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let mut parts = text.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(NOON.plus(((hours.checked_sub(12)? * 60 + minutes) * 60 + seconds) * 1000))
}

/// `5 min`, `30 s`, `500 ms`, `2 h`.
pub(super) fn duration(words: &[&str]) -> Option<Millis> {
    let [number, unit] = words else { return None };
    let unit = match *unit {
        "h" => 3_600_000,
        "min" => 60_000,
        "s" => 1000,
        "ms" => 1,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * unit)
}

pub(super) fn hash(text: &str) -> u64 {
    let mut hasher = FxHasher::default();
    text.hash(&mut hasher);
    hasher.finish()
}

pub(super) fn payment_id(name: &str) -> Option<PaymentId> {
    Some(PaymentId(name.strip_prefix('p')?.parse().ok()?))
}

pub(super) fn counts(counts: SeatCounts) -> String {
    let SeatCounts { free, withheld, held, sold } = counts;
    format!("{free} free, {withheld} withheld, {held} held, {sold} sold")
}

pub(super) fn takings(takings: Takings) -> String {
    let Takings { approved, confirmed, refund_due, refunded } = takings;
    format!(
        "{} approved, {} confirmed, {} to refund, {} refunded",
        approved.0, confirmed.0, refund_due.0, refunded.0
    )
}

fn reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Left => "left",
        EndReason::Absent => "absent",
        EndReason::TooSlow => "too_slow",
        EndReason::HoldExpired => "hold_expired",
        EndReason::SoldOut => "sold_out",
        EndReason::Closed => "closed",
        EndReason::Removed => "removed",
    }
}

impl Scene {
    fn deadline(&self, second: Second) -> String {
        clock(self.sale.clock().node(second))
    }

    fn seat_names(&self, seats: impl Iterator<Item = SeatIndex>) -> String {
        let hall = self.sale.hall().expect("a scheduled sale");
        let name = |index: SeatIndex| {
            let seat = hall.seat(index).expect("a seat");
            let performance = &self.offer.performances[usize::from(seat.performance)].0;
            if seat.performance == 0 {
                seat.number.to_string()
            } else {
                format!("{performance}/{}", seat.number)
            }
        };
        seats.map(name).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn status(&self, entry: EntryIndex) -> String {
        let place = self.sale.place(entry).expect("an entry");
        let seats = || {
            let visit = self.sale.visit_of_entry(entry).expect("somebody inside");
            let newest = visit.reservation.and_then(|index| self.sale.reservation(index));
            self.seat_names(newest.expect("a reservation").seats())
        };
        let stands = || {
            let position = place.position.expect("somebody in line");
            format!("at {position} of {}", place.total)
        };
        match place.status {
            Status::Waiting { away: false } => format!("waits {}", stands()),
            Status::Waiting { away: true } => format!("away {}", stands()),
            Status::Admitted { until } => format!("admitted until {}", clock(until)),
            Status::Holding { until, .. } => format!("holds {} until {}", seats(), clock(until)),
            Status::Paying { .. } => format!("pays for {}", seats()),
            Status::Done { .. } => format!("has {}", seats()),
            Status::Ended { reason: why } => format!("ended: {}", reason(why)),
        }
    }

    /// Everybody in line, in the order of their positions.
    pub(super) fn line(&self) -> String {
        let mut all = Vec::new();
        for entry in (0..self.sale.line().joined()).map(EntryIndex::after) {
            let (_, state) = self.sale.line().entry(entry).expect("an entry");
            let word = match state {
                EntryState::Waiting(_) | EntryState::Recalled(_) => "",
                EntryState::Away(_) | EntryState::Missed(_) => " (away)",
                EntryState::Visiting(_) | EntryState::Ended(..) => continue,
            };
            let position = self.sale.line().position(entry).expect("somebody in line");
            all.push((position, format!("{position} {}{word}", self.name(entry))));
        }
        all.sort();
        let all: Vec<_> = all.into_iter().map(|(_, text)| text).collect();
        if all.is_empty() { "nobody".into() } else { all.join(", ") }
    }

    pub(super) fn inside(&self) -> String {
        let mut all = Vec::new();
        for entry in (0..self.sale.line().joined()).map(EntryIndex::after) {
            let place = self.sale.place(entry).expect("an entry");
            let word = match place.status {
                Status::Admitted { .. } => "chooses",
                Status::Holding { .. } => "holds",
                Status::Paying { .. } => "pays",
                Status::Waiting { .. } | Status::Done { .. } | Status::Ended { .. } => continue,
            };
            all.push(format!("{} {word}", self.name(entry)));
        }
        if all.is_empty() { "nobody".into() } else { all.join(", ") }
    }

    pub(super) fn sale_state(&self) -> String {
        let phase = match self.sale.phase() {
            Phase::Unscheduled => "unscheduled",
            Phase::Scheduled => "scheduled",
            Phase::Open => "open",
            Phase::Paused => "paused",
            Phase::Closed => "closed",
        };
        if self.sale.sold_out() { format!("{phase}, sold out") } else { phase.into() }
    }

    pub(super) fn reservation_state(&self, index: ReservationIndex) -> String {
        match self.sale.reservation(index).expect("a reservation").state {
            ReservationState::Held(until) => format!("held until {}", self.deadline(until)),
            ReservationState::Paying(_) => "being paid".into(),
            ReservationState::Confirmed => "paid".into(),
            ReservationState::Released(ReleaseReason::GivenBack, at) => {
                format!("given back at {}", self.deadline(at))
            }
            ReservationState::Released(ReleaseReason::Expired, at) => {
                format!("expired at {}", self.deadline(at))
            }
        }
    }

    /// Newest first, with the newest payment of each.
    pub(super) fn reservations(&self, entry: EntryIndex) -> String {
        let Some(visit) = self.sale.visit_of_entry(entry) else { return "none".into() };
        let told = |(index, reservation): (ReservationIndex, &domain::reservation::Reservation)| {
            let payment = reservation.payment.map(|payment| self.payment(payment));
            format!(
                "{} for {}, {}, at the latest {}{}",
                self.seat_names(reservation.seats()),
                reservation.amount().0,
                self.reservation_state(index),
                self.deadline(reservation.hard_end),
                payment.map(|payment| format!(", {payment}")).unwrap_or_default(),
            )
        };
        let all: Vec<_> = self.sale.reservations_of(visit).map(told).collect();
        if all.is_empty() { "none".into() } else { all.join("; ") }
    }

    pub(super) fn payment_name(&self, index: PaymentIndex) -> String {
        format!("p{}", self.sale.payment(index).expect("a payment").id.0)
    }

    pub(super) fn payment(&self, index: PaymentIndex) -> String {
        let state = match &self.sale.payment(index).expect("a payment").state {
            PaymentState::Running(until) => format!("runs until {}", self.deadline(*until)),
            PaymentState::Unknown => "is unknown".into(),
            PaymentState::Approved(_) => "is approved".into(),
            PaymentState::Declined(decline) if decline.retryable => {
                format!("is declined for {}", decline.reason)
            }
            PaymentState::Declined(decline) => {
                format!("is declined for {} for good", decline.reason)
            }
            PaymentState::RefundDue => "is to be refunded".into(),
            PaymentState::Refunded(_) => "is refunded".into(),
        };
        format!("{} {state}", self.payment_name(index))
    }

    pub(super) fn refusal(&self, refusal: &Refusal) -> String {
        let code = refusal.code();
        match refusal {
            Refusal::SaleNotOpen { opens_at } => format!("{code} until {}", clock(*opens_at)),
            Refusal::QueueFull { line_capacity } => format!("{code} with {line_capacity}"),
            Refusal::PlaceEnded { reason: why } => format!("{code}: {}", reason(*why)),
            Refusal::NotAdmitted { position, total } => format!("{code}: {position} of {total}"),
            Refusal::TooManySeats { seats_per_reservation } => {
                format!("{code} over {seats_per_reservation}")
            }
            Refusal::DuplicateSeat { seat } | Refusal::CompanionAlone { seat } => {
                format!("{code} {}", self.seat_names(std::iter::once(*seat)))
            }
            Refusal::SeatTaken { taken: seats }
            | Refusal::SeatNotFree { seats }
            | Refusal::SeatsInUse { seats } => {
                format!("{code} {}", self.seat_names(seats.iter().copied()))
            }
            Refusal::NoAdjacentSeats { available_count, largest_adjacent } => {
                format!("{code}: {available_count} free, {largest_adjacent} together")
            }
            Refusal::PriceChanged { amount } => format!("{code} to {}", amount.0),
            Refusal::PaymentInProgress { payment } | Refusal::AlreadyPaid { payment } => {
                format!("{code} p{}", payment.0)
            }
            Refusal::LimitOutOfRange { name, min, max } => {
                format!("{code}: {name} from {min} to {max}")
            }
            Refusal::NotChangeable { field } => format!("{code}: {field}"),
            Refusal::BadPlan { error } => format!("{code}: {error:?}"),
            Refusal::SaleClosed
            | Refusal::SoldOut
            | Refusal::UnknownPlace
            | Refusal::NoSeats
            | Refusal::SeatNotFound
            | Refusal::GradeNotFound
            | Refusal::PerformanceRequired
            | Refusal::WrongPerformance
            | Refusal::ReservationExists { .. }
            | Refusal::ReservationNotFound
            | Refusal::ReservationExpired
            | Refusal::IdempotencyMismatch
            | Refusal::PaymentNotFound
            | Refusal::SaleNotFound
            | Refusal::SaleExists
            | Refusal::WrongState
            | Refusal::BadSchedule
            | Refusal::PoolNotFound => code.into(),
        }
    }

    /// What an event means to people, beyond the answer to the command that brought it.
    pub(super) fn happening(&self, event: &Event, before: &Sale, after: &Sale) -> Option<String> {
        let visitor = |visit| self.name(before.visit(visit).expect("a visit").entry);
        let told = match event {
            Event::Opened => "the sale opens".into(),
            Event::Closed { .. } => "the sale closes".into(),
            Event::Resumed { gap, .. } => format!("the clocks stood still for {} s", gap / 1000),
            Event::PlacesExpired { places, .. } => {
                let all = (0..after.line().joined()).map(EntryIndex::after);
                let state = |sale: &Sale, entry| sale.line().entry(entry).expect("an entry").1;
                let ended = all.filter(|entry| state(before, *entry) != state(after, *entry));
                let names: Vec<_> = ended.map(|entry| self.name(entry)).collect();
                assert_eq!(places.map(|places| places as usize), Some(names.len()));
                format!("the place of {} ends", names.join(" "))
            }
            Event::PassedOver { entry } => format!("{} is passed over", self.name(*entry)),
            Event::Admitted { entry, choose_until, .. } => {
                // The one who joins is told in the answer.
                if !self.places.values().any(|p| p.entry == *entry) {
                    return None;
                }
                let until = clock(after.clock().node(*choose_until));
                format!("{} is admitted until {until}", self.name(*entry))
            }
            Event::TurnMissed { visit, .. } => format!("{} misses the turn", visitor(*visit)),
            Event::ChoosingEnded { visit, .. } => {
                format!("{} chose nothing in time", visitor(*visit))
            }
            Event::HoldExpired { reservation, .. } => {
                let visit = before.reservation(*reservation).expect("a reservation").visit;
                format!("the hold of {} ends", visitor(visit))
            }
            Event::PaymentUnknown { payment } => {
                format!("p{} is unknown", before.payment(*payment).expect("a payment").id.0)
            }
            Event::LineEnded { .. } => "the line ends".into(),
            Event::Scheduled(_)
            | Event::Paused
            | Event::Unpaused
            | Event::LimitsChanged { .. }
            | Event::Changed { .. }
            | Event::SeatsWithheld { .. }
            | Event::SeatsReleased { .. }
            | Event::Joined { .. }
            | Event::Seen { .. }
            | Event::Left { .. }
            | Event::SeatsHeld { .. }
            | Event::SeatsGivenBack { .. }
            | Event::PaymentBegun { .. }
            | Event::PaymentApproved { .. }
            | Event::PaymentDeclined { .. }
            | Event::RefundDue { .. }
            | Event::PaymentRefunded { .. } => return None,
        };
        Some(told)
    }
}

//! One sale: its state, and how a command changes it.
//!
//! [`Sale::execute`] is the whole of it: what is due by `now` happens first, then the command is
//! decided against that state, then what follows at once (admissions) happens too. Deciding
//! (`sale/decide.rs`) only reads; every change is an [`Event`] applied by [`Sale::evolve`]
//! (`sale/evolve.rs`), so that replaying the events gives the same state. One command's own
//! decision is one event at most.

mod change;
mod check;
mod decide;
mod due;
mod evolve;
#[cfg(test)]
mod fixture;
mod snapshot;
mod view;

use std::sync::Arc;

use crate::command::Command;
use crate::deadlines::Deadlines;
use crate::event::Event;
use crate::id::{
    EntryIndex, FileHash, PaymentId, PaymentIndex, ReservationIndex, SaleId, VisitIndex,
};
use crate::limits::{KeptTtl, Limits};
use crate::line::Line;
use crate::money::Money;
use crate::pages::Pages;
use crate::payment::{Payment, PaymentState};
use crate::plan::Hall;
use crate::refusal::Refusal;
use crate::reservation::{Reservation, ReservationState, Stage, Visit};
use crate::seats::Seats;
use crate::time::{Second, ServiceClock, Timestamp};

pub use check::Broken;
pub use view::{PlaceView, ReservationView, Status};

/// Events of what is due that one command brings with it, at most; the rest comes with the next.
pub const DUE_MAX: usize = 4_096;

/// Files that a sale remembers to have been described by, at most: the newest ones.
pub const FILES_MAX: usize = 100;

/// Whether a sale is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum Phase {
    /// Nothing is known of it yet.
    #[default]
    #[n(0)]
    Unscheduled,
    /// It opens later.
    #[n(1)]
    Scheduled,
    /// People join and are admitted.
    #[n(2)]
    Open,
    /// People join; those inside finish; nobody is admitted.
    #[n(3)]
    Paused,
    /// Nobody joins, waits or chooses; holds run out and may be paid.
    #[n(4)]
    Closed,
}

/// The money of a sale, in all. `approved` = `confirmed` + `refund_due` + `refunded`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Takings {
    /// Charges that the provider approved.
    pub approved: Money,
    /// Of these, what pays for confirmed reservations.
    pub confirmed: Money,
    /// Of these, what must still go back.
    pub refund_due: Money,
    /// Of these, what went back.
    pub refunded: Money,
}

/// What an executed command came to. Positions, deadlines and amounts are read from the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The place that a join led to.
    Joined {
        /// Which.
        entry: EntryIndex,
        /// Whether it is new.
        created: bool,
    },
    /// The reservation that a hold led to.
    Held {
        /// Which.
        reservation: ReservationIndex,
    },
    /// The payment that a request to pay led to, or found under its key or under way.
    Payment {
        /// Which.
        payment: PaymentIndex,
        /// Whether it is new, and the provider must now be asked.
        begun: bool,
    },
    /// A result of the provider's for this payment was noted.
    Settled {
        /// Which.
        payment: PaymentIndex,
    },
    /// Done, with nothing to tell.
    Done,
}

/// What a decision comes to: one event at most, and the outcome that is true once it is applied.
#[derive(Debug)]
pub struct Decision {
    /// What happens, if anything.
    pub event: Option<Event>,
    /// What it comes to.
    pub outcome: Outcome,
}

/// Everything that is known of one sale. A clone is cheap and shares what does not change.
#[derive(Clone, Debug, Default)]
pub struct Sale {
    id: Option<SaleId>,
    hall: Option<Arc<Hall>>,
    limits: Limits,
    phase: Phase,
    opens_at: Timestamp,
    closes_at: Option<Timestamp>,
    clock: ServiceClock,
    line: Line,
    seats: Seats,
    visits: Pages<Visit, 16>,
    reservations: Pages<Reservation, 16>,
    payments: Pages<Payment, 16>,
    payments_by_id: imbl::OrdMap<PaymentId, PaymentIndex>,
    /// Unknown payments and refunds that are due: somebody must ask the provider.
    open_payments: imbl::OrdSet<PaymentIndex>,
    takings: Takings,
    /// Admitted: choosing, holding or paying.
    active: u32,
    /// Of these, choosing.
    choosing: u32,
    deadlines: Deadlines,
    /// A longer life of places than the limit now says, which still counts for a while.
    place_ttl_kept: KeptTtl,
    /// The files that it was described by, the newest last.
    files: Arc<Vec<FileHash>>,
}

impl Sale {
    /// Executes a command at `now`, which must not be before the `now` of an earlier call. The
    /// events, those of what was due included, are applied and added to `events`; they stand also
    /// when the command itself is refused.
    ///
    /// # Errors
    /// What the rules refuse; the command then changed nothing.
    pub fn execute(
        &mut self,
        command: &Command,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> Result<Outcome, Refusal> {
        // Time that stood still must be taken out before anything counts as overdue, and who is
        // there must be known before anybody is passed over.
        let comes_first = matches!(command, Command::Resume { .. } | Command::Seen { .. });
        if !comes_first {
            self.settle_due(now, events);
        }
        let Decision { event, outcome } = self.decide(command, now)?;
        let something_new = comes_first || event.is_some();
        if let Some(event) = event {
            self.evolve(&event);
            events.push(event);
        }
        if something_new {
            self.settle_due(now, events);
        }
        Ok(outcome)
    }

    /// The sale's name, once it is scheduled.
    #[must_use]
    pub fn id(&self) -> Option<&SaleId> {
        self.id.as_ref()
    }

    /// What is for sale, once it is scheduled.
    #[must_use]
    pub fn hall(&self) -> Option<&Arc<Hall>> {
        self.hall.as_ref()
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether it is on.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When it opens or opened.
    #[must_use]
    pub fn opens_at(&self) -> Timestamp {
        self.opens_at
    }

    /// When it closes by itself.
    #[must_use]
    pub fn closes_at(&self) -> Option<Timestamp> {
        self.closes_at
    }

    /// The files that it was described by, the newest last; [`FILES_MAX`] at most.
    #[must_use]
    pub fn files(&self) -> &[FileHash] {
        &self.files
    }

    /// Turns deadlines into node time.
    #[must_use]
    pub fn clock(&self) -> ServiceClock {
        self.clock
    }

    /// Who waits.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Whose the seats are.
    #[must_use]
    pub fn seats(&self) -> &Seats {
        &self.seats
    }

    /// The money.
    #[must_use]
    pub fn takings(&self) -> Takings {
        self.takings
    }

    /// How many are admitted: choosing, holding or paying.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active
    }

    /// How many of those admitted are choosing.
    #[must_use]
    pub fn choosing(&self) -> u32 {
        self.choosing
    }

    /// A visit, if there is such an index.
    #[must_use]
    pub fn visit(&self, index: VisitIndex) -> Option<&Visit> {
        self.visits.get(index.at())
    }

    /// A reservation, if there is such an index.
    #[must_use]
    pub fn reservation(&self, index: ReservationIndex) -> Option<&Reservation> {
        self.reservations.get(index.at())
    }

    /// All reservations, oldest first.
    pub fn reservations(&self) -> impl Iterator<Item = &Reservation> {
        self.reservations.iter()
    }

    /// A payment, if there is such an index.
    #[must_use]
    pub fn payment(&self, index: PaymentIndex) -> Option<&Payment> {
        self.payments.get(index.at())
    }

    /// The payment with an id, if there is one.
    #[must_use]
    pub fn payment_by_id(&self, id: PaymentId) -> Option<PaymentIndex> {
        self.payments_by_id.get(&id).copied()
    }

    /// Payments for which the provider must be asked: unknown ones, and refunds that are due.
    pub fn open_payments(&self) -> impl Iterator<Item = PaymentIndex> {
        self.open_payments.iter().copied()
    }

    /// Whether nothing is left to buy.
    #[must_use]
    pub fn sold_out(&self) -> bool {
        self.hall.is_some() && self.seats.sold_out()
    }

    /// Until when a visit stays as it is.
    fn deadline(&self, visit: VisitIndex) -> Option<Second> {
        deadline(&self.visits, &self.reservations, &self.payments, visit)
    }
}

/// See [`Sale::deadline`]; over the lists alone, so that the index of deadlines can be changed
/// meanwhile.
fn deadline(
    visits: &Pages<Visit, 16>,
    reservations: &Pages<Reservation, 16>,
    payments: &Pages<Payment, 16>,
    visit: VisitIndex,
) -> Option<Second> {
    let visit = visits.get(visit.at())?;
    match visit.stage {
        Stage::Choosing => {
            Some(visit.choose_until.min(visit.arrive_until.unwrap_or(Second::NEVER)))
        }
        Stage::Ended(_) | Stage::Missed => None,
        Stage::Reserved => {
            let reservation = reservations.get(visit.reservation?.at())?;
            match reservation.state {
                ReservationState::Held(until) => Some(until),
                ReservationState::Paying(_) => {
                    match payments.get(reservation.payment?.at())?.state {
                        PaymentState::Running(answer_until) => Some(answer_until),
                        PaymentState::Unknown
                        | PaymentState::Approved(_)
                        | PaymentState::Declined(_)
                        | PaymentState::RefundDue
                        | PaymentState::Refunded(_) => None,
                    }
                }
                ReservationState::Confirmed | ReservationState::Released(..) => None,
            }
        }
    }
}

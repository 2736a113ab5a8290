//! How a buyer's place and reservations look: read from any state, written nowhere.

use super::{Phase, Sale};
use crate::id::{EntryIndex, Place, ReservationId, ReservationIndex};
use crate::line::EntryState;
use crate::payment::Payment;
use crate::reservation::{EndReason, Reservation, ReservationState, Stage, Visit};
use crate::time::{ServiceClock, Timestamp};

/// A place as its buyer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceView {
    /// Whose, with the nonce that its tokens carry.
    pub place: Place,
    /// Where it stands.
    pub status: Status,
    /// 1 when it is the buyer's turn, 2 for the first who waits; none once the place is over.
    pub position: Option<u32>,
    /// 1 and all who wait.
    pub total: u32,
}

/// A reservation with its newest payment, as its buyer sees it; complete without the sale's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationView {
    /// The reservation.
    pub reservation: Reservation,
    /// Its newest payment.
    pub payment: Option<Payment>,
    /// Turns its deadlines into node time.
    pub clock: ServiceClock,
}

/// Where a place stands, as its buyer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In line.
    Waiting {
        /// Was not there when the turn came.
        away: bool,
    },
    /// Choosing.
    Admitted {
        /// Until when.
        until: Timestamp,
    },
    /// With seats, unpaid.
    Holding {
        /// Which reservation.
        reservation: ReservationId,
        /// Until when.
        until: Timestamp,
    },
    /// A payment is under way.
    Paying {
        /// For which reservation.
        reservation: ReservationId,
    },
    /// Paid.
    Done {
        /// Which reservation.
        reservation: ReservationId,
    },
    /// Over.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

impl Sale {
    /// 1 and all who wait: what stands behind the slash of "5 / 10".
    #[must_use]
    pub fn total(&self) -> u32 {
        1 + self.line().counted()
    }

    /// An entry as its buyer sees it, if there is such an entry.
    #[must_use]
    pub fn place(&self, entry: EntryIndex) -> Option<PlaceView> {
        let (nonce, state) = self.line().entry(entry)?;
        let status = match state {
            EntryState::Waiting(_) | EntryState::Recalled(_) => Status::Waiting { away: false },
            EntryState::Away(_) | EntryState::Missed(_) => Status::Waiting { away: true },
            EntryState::Ended(reason, _) => Status::Ended { reason },
            EntryState::Visiting(visit) => self.status_of(self.visit(visit)?)?,
        };
        let position = match status {
            Status::Waiting { .. } => self.line().position(entry),
            Status::Admitted { .. } | Status::Holding { .. } | Status::Paying { .. } => Some(1),
            Status::Done { .. } | Status::Ended { .. } => None,
        };
        Some(PlaceView { place: Place { entry, nonce }, status, position, total: self.total() })
    }

    fn status_of(&self, visit: &Visit) -> Option<Status> {
        let status = match visit.stage {
            Stage::Choosing => Status::Admitted { until: self.clock().node(visit.choose_until) },
            Stage::Missed => Status::Waiting { away: true },
            Stage::Ended(reason) => Status::Ended { reason },
            Stage::Reserved => {
                let reservation = self.reservation(visit.reservation?)?;
                let id = reservation.id;
                match reservation.state {
                    ReservationState::Held(until) => {
                        Status::Holding { reservation: id, until: self.clock().node(until) }
                    }
                    ReservationState::Paying(_) => Status::Paying { reservation: id },
                    ReservationState::Confirmed | ReservationState::Released(..) => {
                        Status::Done { reservation: id }
                    }
                }
            }
        };
        Some(status)
    }

    /// The reservations of a visit, newest first.
    pub fn reservations_of(
        &self,
        visit: &Visit,
    ) -> impl Iterator<Item = (ReservationIndex, &Reservation)> {
        let mut next = visit.reservation;
        std::iter::from_fn(move || {
            let index = next?;
            let reservation = self.reservation(index)?;
            next = reservation.previous;
            Some((index, reservation))
        })
    }

    /// A reservation as its buyer sees it, if there is such an index.
    #[must_use]
    pub fn reservation_view(&self, index: ReservationIndex) -> Option<ReservationView> {
        let reservation = self.reservation(index)?.clone();
        let payment = reservation.payment.and_then(|payment| self.payment(payment)).cloned();
        Some(ReservationView { reservation, payment, clock: self.clock() })
    }

    /// The visit of an entry, if it has been admitted.
    #[must_use]
    pub fn visit_of_entry(&self, entry: EntryIndex) -> Option<&Visit> {
        match self.line().entry(entry)?.1 {
            EntryState::Visiting(visit) => self.visit(visit),
            EntryState::Waiting(_)
            | EntryState::Away(_)
            | EntryState::Missed(_)
            | EntryState::Recalled(_)
            | EntryState::Ended(..) => None,
        }
    }

    /// Whether somebody could join now, the line's length aside.
    #[must_use]
    pub fn joinable(&self) -> bool {
        match self.phase() {
            Phase::Open | Phase::Paused => !self.sold_out(),
            Phase::Unscheduled | Phase::Scheduled | Phase::Closed => false,
        }
    }
}

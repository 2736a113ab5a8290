//! A sale as bytes, so that a start need not replay everything. A snapshot may be thrown away: the
//! journal is the truth. What follows from the rest (counts, indices, deadlines) is not kept.

use std::borrow::Cow;
use std::sync::Arc;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

use super::{Phase, Sale};
use crate::id::{FileHash, PaymentIndex, SaleId, VisitIndex};
use crate::limits::{KeptTtl, Limits};
use crate::money::Money;
use crate::payment::{Payment, PaymentState};
use crate::plan::{Hall, Plan};
use crate::reservation::{ReservationState, Stage};
use crate::time::{ServiceClock, Timestamp};
use crate::{line, seats};

/// The form below. A snapshot of another form is not read; the journal is replayed instead.
const FORM: u32 = 1;

#[derive(Encode, Decode)]
struct Head<'p> {
    #[n(0)]
    id: SaleId,
    #[n(1)]
    plan: Cow<'p, Plan>,
    #[n(2)]
    limits: Limits,
    #[n(3)]
    phase: Phase,
    #[n(4)]
    opens_at: Timestamp,
    #[n(5)]
    closes_at: Option<Timestamp>,
    #[n(6)]
    clock: ServiceClock,
    #[n(7)]
    place_ttl_kept: KeptTtl,
    #[n(8)]
    files: Option<Vec<FileHash>>,
}

impl<C> Encode<C> for Sale {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let (Some(id), Some(hall)) = (&self.id, &self.hall) else {
            return e.u32(0)?.ok();
        };
        e.u32(FORM)?.encode(Head {
            id: id.clone(),
            plan: Cow::Borrowed(hall.plan()),
            limits: self.limits,
            phase: self.phase,
            opens_at: self.opens_at,
            closes_at: self.closes_at,
            clock: self.clock,
            place_ttl_kept: self.place_ttl_kept,
            files: (!self.files.is_empty()).then(|| self.files.to_vec()),
        })?;
        line::snapshot::encode(&self.line, e)?;
        seats::snapshot::encode(&self.seats, e)?;
        e.encode(&self.visits)?.encode(&self.reservations)?.encode(&self.payments)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Sale {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        match d.u32()? {
            0 => return Ok(Self::default()),
            FORM => {}
            _ => return Err(decode::Error::message("a snapshot of another form")),
        }
        let head: Head<'_> = d.decode()?;
        let hall = Hall::build(head.plan.into_owned())
            .map_err(|_| decode::Error::message("a snapshot with a plan that cannot be sold"))?;
        let mut sale = Self {
            id: Some(head.id),
            limits: head.limits,
            phase: head.phase,
            opens_at: head.opens_at,
            closes_at: head.closes_at,
            clock: head.clock,
            place_ttl_kept: head.place_ttl_kept,
            files: Arc::new(head.files.unwrap_or_default()),
            line: line::snapshot::decode(d)?,
            seats: seats::snapshot::decode(d, &hall)?,
            hall: Some(Arc::new(hall)),
            visits: d.decode()?,
            reservations: d.decode()?,
            payments: d.decode()?,
            ..Self::default()
        };
        sale.derive_visits();
        sale.derive_payments();
        Ok(sale)
    }
}

impl Sale {
    fn derive_visits(&mut self) {
        for index in (0..self.visits.len()).map(VisitIndex::after) {
            if let Some(deadline) = self.deadline(index) {
                self.deadlines.push(deadline, index);
            }
            let visit = self.visit(index).expect("within the list").clone();
            match visit.stage {
                Stage::Choosing => {
                    self.active += 1;
                    self.choosing += 1;
                    if visit.arrive_until.is_some() {
                        self.deadlines.push(visit.choose_until, index);
                    }
                }
                Stage::Reserved => {
                    let reservation = visit.reservation.and_then(|r| self.reservation(r));
                    if reservation.is_some_and(|r| r.state != ReservationState::Confirmed) {
                        self.active += 1;
                    }
                }
                Stage::Ended(_) | Stage::Missed => {}
            }
        }
    }

    fn derive_payments(&mut self) {
        let taken = |payment: &Payment| match payment.state {
            PaymentState::Approved(_) => [payment.amount, payment.amount, Money(0), Money(0)],
            PaymentState::RefundDue => [payment.amount, Money(0), payment.amount, Money(0)],
            PaymentState::Refunded(_) => [payment.amount, Money(0), Money(0), payment.amount],
            PaymentState::Running(_) | PaymentState::Unknown | PaymentState::Declined(_) => {
                [Money(0); 4]
            }
        };
        for (index, payment) in self.payments.iter().enumerate() {
            let [approved, confirmed, refund_due, refunded] = taken(payment);
            self.takings.approved += approved;
            self.takings.confirmed += confirmed;
            self.takings.refund_due += refund_due;
            self.takings.refunded += refunded;
            self.payments_by_id.insert(payment.id, PaymentIndex::after(index));
            if payment.is_open() {
                self.open_payments.insert(PaymentIndex::after(index));
            }
        }
    }
}

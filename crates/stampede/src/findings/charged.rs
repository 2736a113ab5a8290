//! What was paid stays confirmed, and is paid once.

use std::collections::BTreeMap;

use super::{Breaches, BuyerNumber, Finding, Word};
use crate::contract::{Reservation, ReservationStatus};

const PROMISE: &str = "Whoever paid has the seats, and was charged once";

/// What each buyer was told of payments, and what they find when everything is over.
#[derive(Debug, Default)]
pub(crate) struct Charged {
    receipts: BTreeMap<BuyerNumber, Receipt>,
    asked_again: u64,
    breaches: Breaches,
}

/// A payment that was answered with success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) reservation: Word,
    pub(crate) payment: Word,
    pub(crate) performance: Word,
    pub(crate) seats: Vec<Box<str>>,
}

impl Charged {
    /// A payment was answered with success.
    pub(crate) fn paid(&mut self, buyer: BuyerNumber, receipt: Receipt) {
        match self.receipts.get(&buyer) {
            None => {
                self.receipts.insert(buyer, receipt);
            }
            Some(first) if first.payment == receipt.payment => {}
            Some(first) => self.breaches.add(format_args!(
                "Buyer {buyer} was charged twice: payment {} for reservation {}, and payment {} \
                 for reservation {}.",
                first.payment, first.reservation, receipt.payment, receipt.reservation,
            )),
        }
    }

    /// Those who paid, to be asked again at the end.
    pub(crate) fn buyers(&self) -> impl Iterator<Item = BuyerNumber> {
        self.receipts.keys().copied()
    }

    /// What a buyer who paid finds at the end.
    pub(crate) fn finds(&mut self, buyer: BuyerNumber, reservations: &[Reservation]) {
        let Some(receipt) = self.receipts.get(&buyer) else { return };
        self.asked_again += 1;
        let mut confirmed = reservations
            .iter()
            .filter(|reservation| reservation.status == ReservationStatus::Confirmed);
        let Some(first) = confirmed.next() else {
            self.breaches.add(format_args!(
                "Buyer {buyer} paid for reservation {} (payment {}), and it is not confirmed.",
                receipt.reservation, receipt.payment,
            ));
            return;
        };
        if confirmed.next().is_some() {
            self.breaches.add(format_args!("Buyer {buyer} has more than one paid reservation."));
        }
        let payment = first.last_payment.as_ref().map(|payment| &payment.payment_id);
        let mut seats: Vec<&str> = first.seats.iter().map(|seat| &*seat.seat_number).collect();
        let mut paid: Vec<&str> = receipt.seats.iter().map(|seat| &**seat).collect();
        seats.sort_unstable();
        paid.sort_unstable();
        let same = first.reservation_id == receipt.reservation
            && first.performance_id == receipt.performance
            && payment == Some(&receipt.payment)
            && seats == paid;
        if !same {
            self.breaches.add(format_args!(
                "Buyer {buyer} paid for {} of {} (payment {}), and now has {} of {} (payment {}).",
                paid.join(", "),
                receipt.performance,
                receipt.payment,
                seats.join(", "),
                first.performance_id,
                payment.map_or("none", Word::as_str),
            ));
        }
    }

    /// A buyer who paid was not let see the reservation.
    pub(crate) fn is_refused(&mut self, buyer: BuyerNumber, status: u16, code: &str) {
        self.asked_again += 1;
        self.breaches.add(format_args!(
            "Buyer {buyer} paid and cannot see the reservation any more: {status} {code}.",
        ));
    }

    pub(super) fn close(self) -> Finding {
        let paid = self.receipts.len() as u64;
        let looked_at = format!("{paid} payments, {} asked for again at the end", self.asked_again);
        self.breaches.finding(PROMISE, self.asked_again, looked_at)
    }
}

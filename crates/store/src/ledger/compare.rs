//! The ledger against the rules: whether its tables say what a sale's state says after the same batch.

use domain::Sale;
use domain::id::{PaymentIndex, SaleId, SeatIndex};
use domain::money::Money;
use domain::payment::PaymentState;
use domain::reservation::{ReleaseReason, ReservationState};
use domain::seats::SeatState;

use super::names::{long_id, short_id};
use super::tables::row;
use super::{Ledger, LedgerError};
use crate::StreamId;

/// Differences that are told one by one; the others are counted.
const TOLD_MAX: usize = 10;

const READ_SEATS: &str = "
-- read_seats
SELECT
    seat_index, 'seat ' || seat_number || ' of ' || performance_id,
    state || coalesce(' by ' || reservation_id, '') || ' at ' || price
FROM seats
WHERE sale_id = ?1
ORDER BY seat_index
";

const READ_RESERVATIONS: &str = "
-- read_reservations
SELECT
    reservation_number, 'reservation ' || reservation_id,
    state || ' with ' || seats || ' seats at ' || amount
FROM reservations
WHERE sale_id = ?1
ORDER BY reservation_number
";

const READ_PAYMENTS: &str = "
-- read_payments
SELECT
    payment_number, 'payment ' || payment_id, state || ' of ' || amount || ' for ' || reservation_id
FROM payments
WHERE sale_id = ?1
ORDER BY payment_number
";

const READ_SUMS: &str = "
-- read_sums
SELECT CAST(0 AS bigint), 'income', coalesce(sum(income), 0) || ''
FROM line_minutes
WHERE sale_id = ?1
UNION ALL
SELECT CAST(1 AS bigint), 'refunds due', coalesce(sum(amount), 0) || ''
FROM refunds
WHERE sale_id = ?1 AND state = 'due'
UNION ALL
SELECT CAST(2 AS bigint), 'refunds done', coalesce(sum(amount), 0) || ''
FROM refunds
WHERE sale_id = ?1 AND state = 'done'
";

/// Where the tables say something else than the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// How many there are.
    pub count: usize,
    /// The first of them, each as a sentence.
    pub told: Vec<String>,
}

impl Differences {
    fn add(&mut self, what: &str, ledger: &str, journal: &str) {
        self.count += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(format!("{what}: {ledger} in the ledger, {journal} by the journal"));
        }
    }
}

/// What one row is about, and what it says.
type Said = (String, String);

impl Ledger {
    /// The last batch of a stream that is in the tables.
    #[must_use]
    pub fn batch(&self, stream: StreamId) -> Option<u64> {
        self.streams.get(&stream).map(|position| position.head.number)
    }

    /// Compares seats, reservations, payments and sums with `sale`, as it is after that batch.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn compare(&mut self, sale: &Sale) -> Result<Differences, LedgerError> {
        let mut differences = Differences::default();
        self.compare_rows(READ_SEATS, sale, seats(sale), &mut differences)?;
        self.compare_rows(READ_RESERVATIONS, sale, reservations(sale), &mut differences)?;
        self.compare_rows(READ_PAYMENTS, sale, payments(sale), &mut differences)?;
        self.compare_rows(READ_SUMS, sale, sums(sale).into_iter(), &mut differences)?;
        Ok(differences)
    }

    /// Walks through rows and what they should be, both in the order of their numbers from 0.
    fn compare_rows(
        &mut self,
        statement: &'static str,
        sale: &Sale,
        expected: impl Iterator<Item = Said>,
        differences: &mut Differences,
    ) -> Result<(), LedgerError> {
        let rows: Vec<(i64, Said)> = self.home.looked(|tables| {
            tables.rows(statement, row![sale.id().map(SaleId::as_str)], |row| {
                Ok((row.number(0)?, (row.text(1)?, row.text(2)?)))
            })
        })?;
        let mut rows = rows.into_iter().peekable();
        for (number, (what, says)) in (0..).zip(expected) {
            let what = self.home.text(what);
            // What has no place in the sale, or a second row of the same number.
            while let Some((_, (what, says))) = rows.next_if(|(found, _)| *found < number) {
                differences.add(&what, &says, "nothing");
            }
            match rows.next_if(|(found, _)| *found == number) {
                Some((_, (found, said))) if found != what => {
                    differences.add(&what, &format!("{found} is {said}"), &says);
                }
                Some((_, (_, said))) if said != says => differences.add(&what, &said, &says),
                Some(_) => {}
                None => differences.add(&what, "nothing", &says),
            }
        }
        for (_, (what, says)) in rows {
            differences.add(&what, &says, "nothing");
        }
        Ok(())
    }
}

fn seats(sale: &Sale) -> impl Iterator<Item = Said> {
    let hall = sale.hall();
    let seats = hall.into_iter().flat_map(|hall| hall.seats().iter().map(move |seat| (hall, seat)));
    (0..).map(SeatIndex).zip(seats).map(|(index, (hall, seat))| {
        let performance = &hall.plan().performances[usize::from(seat.performance)].id;
        let id_of =
            |owner| sale.reservation(owner).map_or_else(String::new, |of| short_id(of.id.0));
        let state = match sale.seats().state(index) {
            SeatState::Free => "free".to_owned(),
            SeatState::Withheld(_) => "withheld".to_owned(),
            SeatState::Held(owner) => format!("held by {}", id_of(owner)),
            SeatState::Sold(owner) => format!("sold by {}", id_of(owner)),
        };
        let what = format!("seat {} of {}", &*seat.number, performance.as_str());
        (what, format!("{state} at {}", seat.price.0))
    })
}

fn reservations(sale: &Sale) -> impl Iterator<Item = Said> {
    sale.reservations().map(|reservation| {
        let state = match reservation.state {
            ReservationState::Held(_) => "held",
            ReservationState::Paying(_) => "paying",
            ReservationState::Confirmed => "confirmed",
            ReservationState::Released(ReleaseReason::GivenBack, _) => "given_back",
            ReservationState::Released(ReleaseReason::Expired, _) => "expired",
        };
        let (seats, amount) = (reservation.seats().count(), reservation.amount().0);
        let what = format!("reservation {}", short_id(reservation.id.0));
        (what, format!("{state} with {seats} seats at {amount}"))
    })
}

fn payments(sale: &Sale) -> impl Iterator<Item = Said> {
    (0..).map(PaymentIndex).map_while(|index| sale.payment(index)).map(|payment| {
        let state = match &payment.state {
            PaymentState::Running(_) => "running",
            PaymentState::Unknown => "unknown",
            PaymentState::Approved(_) => "approved",
            PaymentState::Declined(_) => "declined",
            PaymentState::RefundDue => "refund_due",
            PaymentState::Refunded(_) => "refunded",
        };
        let reservation = sale.reservation(payment.reservation);
        let id = reservation.map_or_else(String::new, |reservation| short_id(reservation.id.0));
        let what = format!("payment {}", long_id(payment.id.0));
        (what, format!("{state} of {} for {id}", payment.amount.0))
    })
}

fn sums(sale: &Sale) -> [Said; 3] {
    let takings = sale.takings();
    let said = |what: &str, sum: Money| (what.to_owned(), sum.0.to_string());
    [
        said("income", takings.confirmed),
        said("refunds due", takings.refund_due),
        said("refunds done", takings.refunded),
    ]
}

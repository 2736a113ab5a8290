//! What an event means for the tables: one match, and the rows it writes.
//!
//! It trusts the journal: what an event implies (whose seats are free again, whose visit is over) is
//! read from the tables, as the rules read it from the state. A row that should be there and is not
//! means that the tables are damaged. Each event is a few statements, and one that ends many things
//! at once is one statement over an index of what is open.

use domain::Event;
use domain::command::Schedule;
use domain::id::{EntryIndex, PaymentIndex, ReservationIndex, SeatIndex, VisitIndex};
use domain::limits::Limits;
use domain::money::Money;
use domain::plan::{Performance, Plan};
use domain::reservation::EndReason;
use domain::time::Second;
use rusqlite::{Connection, OptionalExtension, Params, ffi};

use super::names::{long_id, minute, short_id, utc};
use super::{LedgerError, Position, Violation, statements};
use crate::codec::read_records;
use crate::{Batch, StreamId};

/// Writes batches of one stream, within one transaction.
pub(super) struct Projector<'p> {
    connection: &'p Connection,
    stream: StreamId,
    position: &'p mut Position,
    /// When the batch was made, as text.
    at: String,
    minute: Minute,
}

/// What happened within a minute, not written yet.
#[derive(Debug, Default)]
struct Minute {
    begin: String,
    joined: i64,
    admitted: i64,
    passed_over: i64,
    turns_missed: i64,
    left: i64,
    chose_nothing: i64,
    holds: i64,
    holds_ended: i64,
    payments_begun: i64,
    declined: i64,
    confirmed: i64,
    seats_sold: i64,
    income: i64,
}

/// A row of `payments`, with its reservation.
struct Paying {
    payment: String,
    amount: i64,
    reservation: String,
    visit: u32,
}

impl<'p> Projector<'p> {
    pub(super) fn new(
        connection: &'p Connection,
        stream: StreamId,
        position: &'p mut Position,
    ) -> Self {
        Self { connection, stream, position, at: String::new(), minute: Minute::default() }
    }

    /// Writes everything a batch says.
    pub(super) fn batch(&mut self, batch: &Batch) -> Result<(), LedgerError> {
        self.at = utc(batch.at_ms);
        let begin = minute(&self.at);
        if begin != self.minute.begin {
            self.write_minute()?;
            self.minute.begin = begin;
        }
        let records = read_records(&batch.body).map_err(|error| {
            let (stream, number) = (self.stream, batch.number);
            LedgerError::Journal(crate::StoreError::Corrupt(format!(
                "batch {number} of stream {stream} cannot be read: {error}"
            )))
        })?;
        for event in records.iter().flat_map(|record| &record.events) {
            self.event(event)?;
        }
        self.position.head = batch.head();
        self.position.at_ms = batch.at_ms;
        Ok(())
    }

    /// Writes how far it came: the last words of the transaction.
    pub(super) fn finish(&mut self) -> Result<(), LedgerError> {
        self.write_minute()?;
        let Position { head, at_ms, sale, stopped_ms, .. } = &*self.position;
        self.run(
            statements::WRITE_POSITION,
            (
                self.stream.0,
                sale,
                head.number.cast_signed(),
                head.id.to_string(),
                utc(*at_ms),
                at_ms.cast_signed(),
                stopped_ms.cast_signed(),
            ),
        )
    }

    fn event(&mut self, event: &Event) -> Result<(), LedgerError> {
        if let Event::Scheduled(schedule) = event {
            return self.scheduled(schedule);
        }
        let sale = self.position.sale.clone().ok_or_else(|| misfit("the sale"))?;
        let sale = sale.as_str();
        let at = self.at.clone();
        match event {
            Event::Scheduled(_) => Ok(()),
            Event::Changed { schedule, .. } => self.changed(schedule),
            Event::Opened | Event::Unpaused => self.run(statements::OPEN_SALE, (sale, at)),
            Event::Paused => self.run(statements::PAUSE_SALE, (sale,)),
            Event::Closed { .. } => {
                self.run(statements::CLOSE_SALE, (sale, at))?;
                self.end_line(sale, EndReason::Closed)
            }
            Event::LimitsChanged { limits, .. } => self.limits(sale, limits),
            Event::SeatsWithheld { seats, pool } => seats
                .iter()
                .try_for_each(|seat| self.run(statements::WITHHOLD_SEAT, (sale, seat.0, *pool))),
            Event::SeatsReleased { seats } => {
                seats.iter().try_for_each(|seat| self.run(statements::RELEASE_SEAT, (sale, seat.0)))
            }
            Event::Resumed { gap, .. } => {
                self.position.stopped_ms = self.position.stopped_ms.saturating_add(*gap);
                let gap = format!("+{}.{:03} seconds", gap / 1000, gap % 1000);
                self.run(statements::MOVE_DEADLINES, (sale, gap))
            }
            Event::Joined { .. } => {
                self.minute.joined += 1;
                Ok(())
            }
            // Who was seen when, and so how many places ran out, is the line's own business.
            Event::Seen { .. } | Event::PlacesExpired { .. } => Ok(()),
            Event::Left { entry, .. } => self.left(sale, *entry),
            Event::PassedOver { .. } => {
                self.minute.passed_over += 1;
                Ok(())
            }
            Event::Admitted { entry, .. } => {
                self.minute.admitted += 1;
                let visit = self.position.visits;
                self.position.visits += 1;
                self.run(statements::INSERT_VISIT, (sale, visit, entry.0, at))
            }
            Event::TurnMissed { visit, .. } => {
                self.minute.turns_missed += 1;
                self.visit(sale, visit.0, "missed", Some(at))
            }
            Event::ChoosingEnded { visit, .. } => {
                self.minute.chose_nothing += 1;
                self.visit(sale, visit.0, EndReason::TooSlow.as_str(), Some(at))
            }
            Event::SeatsHeld { visit, reservation, seats, until, hard_end, .. } => {
                let id = short_id(reservation.0);
                self.held(sale, *visit, &id, seats, [*until, *hard_end])
            }
            Event::SeatsGivenBack { reservation, choose_until, .. } => {
                let visit = self.release(sale, *reservation, "given_back")?;
                match choose_until {
                    Some(_) => self.visit(sale, visit, "choosing", None),
                    None => self.visit(sale, visit, EndReason::Left.as_str(), Some(at)),
                }
            }
            Event::HoldExpired { reservation, .. } => {
                let visit = self.release(sale, *reservation, "expired")?;
                self.visit(sale, visit, EndReason::HoldExpired.as_str(), Some(at))
            }
            Event::PaymentBegun { reservation, payment, hold_until, .. } => {
                self.minute.payments_begun += 1;
                let (id, _, amount) = self.reservation(sale, *reservation)?;
                let number = self.position.payments;
                self.position.payments += 1;
                self.run(
                    statements::INSERT_PAYMENT,
                    (long_id(payment.0), sale, number, &id, amount, at),
                )?;
                self.run(statements::SET_HOLD, (id, "paying", self.deadline(*hold_until)))
            }
            Event::PaymentApproved { payment, .. } => {
                let paying = self.payment(sale, *payment)?;
                self.confirmed(sale, &paying)
            }
            Event::PaymentDeclined { payment, reason, retryable, hold_until, .. } => {
                self.minute.declined += 1;
                let Paying { payment, reservation, .. } = self.payment(sale, *payment)?;
                let declined = (payment, at, &**reason, *retryable);
                self.run(statements::DECLINE_PAYMENT, declined)?;
                let until = self.deadline(*hold_until);
                self.run(statements::SET_HOLD, (reservation, "held", until))
            }
            Event::PaymentUnknown { payment } => {
                let paying = self.payment(sale, *payment)?;
                self.run(statements::SET_PAYMENT, (paying.payment, "unknown", None::<String>))
            }
            Event::RefundDue { payment } => {
                let Paying { payment, amount, reservation, .. } = self.payment(sale, *payment)?;
                self.run(statements::SET_PAYMENT, (&payment, "refund_due", None::<String>))?;
                self.run(statements::INSERT_REFUND, (payment, sale, reservation, amount, at))
            }
            Event::PaymentRefunded { payment, .. } => {
                let Paying { payment, .. } = self.payment(sale, *payment)?;
                self.run(statements::SET_PAYMENT, (&payment, "refunded", None::<String>))?;
                self.run(statements::END_REFUND, (payment, at))
            }
            Event::LineEnded { reason, .. } => self.end_line(sale, *reason),
        }
    }

    // ---- A sale and its plan ----

    fn scheduled(&mut self, schedule: &Schedule) -> Result<(), LedgerError> {
        let Schedule { sale, plan, limits, opens_at, closes_at, file: _ } = schedule;
        let (id, currency) = (sale.as_str(), plan.currency);
        let closes_at = closes_at.map(|at| utc(at.0));
        self.run(
            statements::INSERT_SALE,
            (id, currency.as_str(), &*plan.time_zone, &self.at, utc(opens_at.0), closes_at),
        )?;
        self.limits(id, limits)?;
        self.plan(id, plan)?;
        self.position.sale = Some(id.to_owned());
        Ok(())
    }

    /// Writes a sale that was described anew, and forgets what is no longer offered.
    fn changed(&self, schedule: &Schedule) -> Result<(), LedgerError> {
        let Schedule { sale, plan, limits, opens_at, closes_at, file: _ } = schedule;
        let (id, closes_at) = (sale.as_str(), closes_at.map(|at| utc(at.0)));
        let change = (id, &*plan.time_zone, utc(opens_at.0), closes_at);
        self.run(statements::CHANGE_SALE, change)?;
        self.limits(id, limits)?;
        for before in
            [statements::FORGET_POOLS, statements::UNPLACE_SEATS, statements::UNPLACE_PERFORMANCES]
        {
            self.run(before, (id,))?;
        }
        self.plan(id, plan)?;
        self.run(statements::FORGET_SEATS, (id,))?;
        self.run(statements::FORGET_PERFORMANCES, (id,))
    }

    /// Writes what a sale offers; what is there already is brought up to date by performance and
    /// number, and keeps its owner.
    fn plan(&self, sale: &str, plan: &Plan) -> Result<(), LedgerError> {
        for (number, name) in (0_u32..).zip(&plan.pools) {
            self.run(statements::WRITE_POOL, (sale, number, &**name))?;
        }
        let mut index = 0;
        for (number, performance) in (0_u32..).zip(&plan.performances) {
            let Performance { id, title, venue, date, starts_at, .. } = performance;
            self.run(
                statements::WRITE_PERFORMANCE,
                (id.as_str(), sale, number, &**title, &**venue, date.to_string(), utc(starts_at.0)),
            )?;
            self.seats(sale, plan, performance, &mut index)?;
        }
        Ok(())
    }

    /// Writes the seats of a performance; `index` counts over all of the sale, in plan order.
    fn seats(
        &self,
        sale: &str,
        plan: &Plan,
        performance: &Performance,
        index: &mut u32,
    ) -> Result<(), LedgerError> {
        let mut write = self.connection.prepare_cached(statements::WRITE_SEAT)?;
        for section in &performance.sections {
            for row in &section.rows {
                for seat in &row.seats {
                    let grade = performance.grades.get(usize::from(seat.grade));
                    let grade = grade.ok_or_else(|| misfit("a grade"))?;
                    let pool = seat.pool.and_then(|pool| plan.pools.get(usize::from(pool)));
                    write.execute((
                        performance.id.as_str(),
                        &*seat.number,
                        sale,
                        *index,
                        &*section.name,
                        &*row.name,
                        &*grade.name,
                        units(grade.price),
                        if pool.is_some() { "withheld" } else { "free" },
                        pool.map(|name| &**name),
                    ))?;
                    *index += 1;
                }
            }
        }
        Ok(())
    }

    fn limits(&self, sale: &str, limits: &Limits) -> Result<(), LedgerError> {
        let mut table = limits.table().into_iter();
        table.try_for_each(|(name, value, ..)| {
            self.run(statements::WRITE_LIMIT, (sale, name, value))
        })
    }

    fn end_line(&self, sale: &str, reason: EndReason) -> Result<(), LedgerError> {
        let ended = (sale, &self.at, reason.as_str());
        self.run(statements::END_LINE, ended)?;
        self.run(statements::END_CHOOSING, ended)
    }

    // ---- Visits and reservations ----

    fn visit(
        &self,
        sale: &str,
        visit: u32,
        state: &str,
        ended_at: Option<String>,
    ) -> Result<(), LedgerError> {
        self.run(statements::SET_VISIT, (sale, visit, state, ended_at))
    }

    fn left(&mut self, sale: &str, entry: EntryIndex) -> Result<(), LedgerError> {
        self.minute.left += 1;
        let visit: Option<(u32, String)> = self
            .connection
            .prepare_cached(statements::READ_VISIT)?
            .query_row((sale, entry.0), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        // Somebody in line was never admitted, or missed the turn.
        let Some((visit, state)) = visit else { return Ok(()) };
        if state == "reserved" {
            let held: u32 = self
                .connection
                .prepare_cached(statements::READ_HELD)?
                .query_row((sale, visit), |row| row.get(0))
                .optional()?
                .ok_or_else(|| misfit("a hold"))?;
            self.release(sale, ReservationIndex(held), "given_back")?;
        } else if state != "choosing" {
            return Ok(());
        }
        let at = self.at.clone();
        self.visit(sale, visit, EndReason::Left.as_str(), Some(at))
    }

    fn held(
        &mut self,
        sale: &str,
        visit: VisitIndex,
        reservation: &str,
        seats: &[SeatIndex],
        [until, hard_end]: [Second; 2],
    ) -> Result<(), LedgerError> {
        self.minute.holds += 1;
        let entry: u32 = self
            .connection
            .prepare_cached(statements::READ_ENTRY)?
            .query_row((sale, visit.0), |row| row.get(0))
            .optional()?
            .ok_or_else(|| misfit("a visit"))?;
        let mut amount = 0;
        for (line, seat) in (0_u32..).zip(seats) {
            amount += self.claim(sale, reservation, line, *seat)?;
        }
        let number = self.position.reservations;
        self.position.reservations += 1;
        self.run(
            statements::INSERT_RESERVATION,
            (
                reservation,
                sale,
                number,
                visit.0,
                entry,
                amount,
                &self.at,
                self.deadline(until),
                self.deadline(hard_end),
            ),
        )?;
        self.visit(sale, visit.0, "reserved", None)
    }

    /// Writes a claim on one seat, and says what the seat costs.
    fn claim(
        &self,
        sale: &str,
        reservation: &str,
        line: u32,
        seat: SeatIndex,
    ) -> Result<i64, LedgerError> {
        let (performance, number, grade, price): (String, String, String, i64) = self
            .connection
            .prepare_cached(statements::READ_SEAT)?
            .query_row((sale, seat.0), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?
            .ok_or_else(|| misfit("a seat"))?;
        let row = (reservation, line, sale, &performance, &number, grade, price);
        let claimed = self.connection.prepare_cached(statements::INSERT_LINE)?.execute(row);
        match claimed {
            Ok(_) => {
                self.run(statements::HOLD_SEAT, (performance, number, reservation))?;
                Ok(price)
            }
            Err(error) if is_of_the_index(&error) => {
                let owner = self
                    .connection
                    .prepare_cached(statements::READ_OWNER)?
                    .query_row((&performance, &number), |row| row.get(0))?;
                Err(LedgerError::Violated(Box::new(Violation {
                    stream: self.stream,
                    sale: sale.to_owned(),
                    performance,
                    seat: number,
                    owner,
                    claimant: reservation.to_owned(),
                })))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends an unpaid hold, and says whose visit it was.
    fn release(
        &mut self,
        sale: &str,
        reservation: ReservationIndex,
        state: &str,
    ) -> Result<u32, LedgerError> {
        self.minute.holds_ended += 1;
        let (id, visit, _) = self.reservation(sale, reservation)?;
        self.run(statements::END_RESERVATION, (&id, state, &self.at))?;
        self.run(statements::FREE_SEATS, (&id,))?;
        self.run(statements::END_CLAIMS, (id,))?;
        Ok(visit)
    }

    fn confirmed(&mut self, sale: &str, paying: &Paying) -> Result<(), LedgerError> {
        let Paying { payment, amount, reservation, visit } = paying;
        self.run(statements::SET_PAYMENT, (payment, "approved", Some(&self.at)))?;
        self.run(statements::END_RESERVATION, (reservation, "confirmed", &self.at))?;
        let sold =
            self.connection.prepare_cached(statements::SELL_SEATS)?.execute([reservation])?;
        self.minute.confirmed += 1;
        self.minute.seats_sold += i64::try_from(sold).unwrap_or(i64::MAX);
        self.minute.income += amount;
        self.visit(sale, *visit, "done", Some(self.at.clone()))
    }

    // ---- What the tables know ----

    /// The id, the visit and the amount of a reservation.
    fn reservation(
        &self,
        sale: &str,
        reservation: ReservationIndex,
    ) -> Result<(String, u32, i64), LedgerError> {
        self.connection
            .prepare_cached(statements::READ_RESERVATION)?
            .query_row((sale, reservation.0), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?
            .ok_or_else(|| misfit("a reservation"))
    }

    fn payment(&self, sale: &str, payment: PaymentIndex) -> Result<Paying, LedgerError> {
        self.connection
            .prepare_cached(statements::READ_PAYMENT)?
            .query_row((sale, payment.0), |row| {
                Ok(Paying {
                    payment: row.get(0)?,
                    amount: row.get(1)?,
                    reservation: row.get(2)?,
                    visit: row.get(3)?,
                })
            })
            .optional()?
            .ok_or_else(|| misfit("a payment"))
    }

    /// A deadline as the clocks stand now.
    fn deadline(&self, second: Second) -> String {
        utc((u64::from(second.0) * 1000).saturating_add(self.position.stopped_ms))
    }

    fn write_minute(&mut self) -> Result<(), LedgerError> {
        let minute = std::mem::take(&mut self.minute);
        let Some(sale) = &self.position.sale else { return Ok(()) };
        let counts = minute.counts();
        if counts.iter().all(|count| *count == 0) {
            return Ok(());
        }
        let mut write = self.connection.prepare_cached(statements::ADD_TO_MINUTE)?;
        write.raw_bind_parameter(1, sale)?;
        write.raw_bind_parameter(2, minute.begin)?;
        for (place, count) in (3..).zip(counts) {
            write.raw_bind_parameter(place, count)?;
        }
        write.raw_execute()?;
        Ok(())
    }

    fn run(&self, statement: &str, values: impl Params) -> Result<(), LedgerError> {
        self.connection.prepare_cached(statement)?.execute(values)?;
        Ok(())
    }
}

impl Minute {
    /// In the order of the columns.
    fn counts(&self) -> [i64; 13] {
        [
            self.joined,
            self.admitted,
            self.passed_over,
            self.turns_missed,
            self.left,
            self.chose_nothing,
            self.holds,
            self.holds_ended,
            self.payments_begun,
            self.declined,
            self.confirmed,
            self.seats_sold,
            self.income,
        ]
    }
}

/// An amount as SQLite keeps it; no price or sum of a sale comes near 63 bits.
fn units(money: Money) -> i64 {
    i64::try_from(money.0).unwrap_or(i64::MAX)
}

/// Whether a row broke a unique index, not the key of its own table.
fn is_of_the_index(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    code == Some(ffi::SQLITE_CONSTRAINT_UNIQUE)
}

fn misfit(what: &str) -> LedgerError {
    LedgerError::Damaged(format!("an event does not fit: {what} is not in the tables"))
}

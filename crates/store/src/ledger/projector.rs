//! What an event means for the tables: one match, and the rows it writes.
//!
//! It trusts the journal: what an event implies (whose seats are free again, whose visit is over) is
//! read from the tables, as the rules read it from the state. A row that should be there and is not
//! means that the tables are damaged. Each event is a few statements, each on one row found by its key
//! ([`Keys`]); one that ends many things at once, which is rare, looks at all of the sale's.

use domain::Event;
use domain::command::Schedule;
use domain::id::{EntryIndex, PaymentIndex, ReservationIndex, SeatIndex, VisitIndex};
use domain::limits::Limits;
use domain::money::Money;
use domain::plan::{Performance, Plan};
use domain::reservation::EndReason;
use domain::time::Second;

use super::keys::Keys;
use super::names::{long_id, minute, short_id, utc};
use super::tables::{Tables, Value, misfit, row};
use super::{LedgerError, Position, Violation, statements};
use crate::codec::read_records;
use crate::{Batch, StreamId};

/// Writes batches of one stream, within one transaction.
pub(super) struct Projector<'p, 't> {
    tables: &'p mut Tables<'t>,
    stream: StreamId,
    keys: Keys,
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
    places_expired: Option<u32>,
    /// In line when it began, and at most as a batch left it.
    in_line_before: Option<u32>,
    in_line_max: Option<u32>,
}

impl<'p, 't> Projector<'p, 't> {
    pub(super) fn new(
        tables: &'p mut Tables<'t>,
        stream: StreamId,
        position: &'p mut Position,
    ) -> Self {
        let minute = Minute::new(String::new(), position.in_line);
        Self { tables, stream, keys: Keys::of(stream), position, at: String::new(), minute }
    }

    /// Writes everything that batches say, and how far they go.
    pub(super) fn write(mut self, batches: &[Batch]) -> Result<(), LedgerError> {
        batches.iter().try_for_each(|batch| self.batch(batch))?;
        self.finish()
    }

    fn batch(&mut self, batch: &Batch) -> Result<(), LedgerError> {
        self.at = utc(batch.at_ms);
        let begin = minute(&self.at);
        if begin != self.minute.begin {
            self.write_minute()?;
            self.minute = Minute::new(begin, self.position.in_line);
        }
        let records = read_records(&batch.body).map_err(|error| LedgerError::Unreadable {
            stream: self.stream,
            number: batch.number,
            reason: error.to_string(),
        })?;
        for event in records.iter().flat_map(|record| &record.events) {
            self.event(event)?;
        }
        let most = |(most, now): (u32, u32)| most.max(now);
        self.minute.in_line_max = self.minute.in_line_max.zip(self.position.in_line).map(most);
        self.position.head = batch.head();
        self.position.at_ms = batch.at_ms;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), LedgerError> {
        self.write_minute()?;
        let Position { head, at_ms, sale, stopped_ms, in_line, .. } = &*self.position;
        self.tables.run(
            statements::WRITE_POSITION,
            row![
                self.stream.0,
                sale.as_ref(),
                head.number.cast_signed(),
                head.id.to_string(),
                utc(*at_ms),
                at_ms.cast_signed(),
                stopped_ms.cast_signed(),
                *in_line,
            ],
        )
    }

    fn event(&mut self, event: &Event) -> Result<(), LedgerError> {
        if let Event::Scheduled(schedule) = event {
            return self.scheduled(schedule);
        }
        if self.position.sale.is_none() {
            return Err(misfit("the sale"));
        }
        match event {
            Event::Scheduled(_) => Ok(()),
            Event::Changed { schedule, .. } => self.changed(schedule),
            Event::Opened | Event::Unpaused => {
                self.tables.run(statements::OPEN_SALE, row![self.position.sale.as_ref(), &self.at])
            }
            Event::Paused => {
                self.tables.run(statements::PAUSE_SALE, row![self.position.sale.as_ref()])
            }
            Event::Closed { .. } => {
                let closed = row![self.position.sale.as_ref(), &self.at];
                self.tables.run(statements::CLOSE_SALE, closed)?;
                self.end_line(EndReason::Closed)
            }
            Event::LimitsChanged { limits, .. } => self.limits(limits),
            Event::SeatsWithheld { seats, pool } => seats.iter().try_for_each(|seat| {
                let withheld = row![self.keys.key(seat.0), *pool];
                self.tables.one("a seat", statements::WITHHOLD_SEAT, withheld)
            }),
            Event::SeatsReleased { seats } => seats.iter().try_for_each(|seat| {
                self.tables.one("a seat", statements::RELEASE_SEAT, row![self.keys.key(seat.0)])
            }),
            Event::Resumed { gap, .. } => {
                self.position.stopped_ms = self.position.stopped_ms.saturating_add(*gap);
                let gap = format!("+{}.{:03} seconds", gap / 1000, gap % 1000);
                let (first, last) = self.keys.all();
                self.tables.run(statements::MOVE_DEADLINES, row![first, last, gap])
            }
            Event::Joined { .. } => {
                self.minute.joined += 1;
                self.in_line(1)
            }
            // Who was seen when is the line's own business.
            Event::Seen { .. } => Ok(()),
            Event::PlacesExpired { places, .. } => {
                let sum = |(before, more): (u32, u32)| before.saturating_add(more);
                self.minute.places_expired = self.minute.places_expired.zip(*places).map(sum);
                match *places {
                    Some(places) => self.in_line(-i64::from(places)),
                    None => {
                        self.position.in_line = None;
                        Ok(())
                    }
                }
            }
            Event::Left { entry, .. } => self.left(*entry),
            Event::PassedOver { .. } => {
                self.minute.passed_over += 1;
                Ok(())
            }
            Event::Admitted { entry, .. } => {
                self.minute.admitted += 1;
                self.in_line(-1)?;
                let visit = self.position.visits;
                self.position.visits += 1;
                let sale = self.position.sale.as_ref();
                let row = row![self.keys.key(visit), sale, visit, entry.0, &self.at];
                self.tables.run(statements::INSERT_VISIT, row)
            }
            Event::TurnMissed { visit, .. } => {
                self.minute.turns_missed += 1;
                self.in_line(1)?;
                self.end_visit(visit.0, "missed")
            }
            Event::ChoosingEnded { visit, .. } => {
                self.minute.chose_nothing += 1;
                self.end_visit(visit.0, EndReason::TooSlow.as_str())
            }
            Event::SeatsHeld { visit, reservation, seats, until, hard_end, .. } => {
                self.held(*visit, &short_id(reservation.0), seats, [*until, *hard_end])
            }
            Event::SeatsGivenBack { reservation, choose_until, .. } => {
                self.release(reservation.0, "given_back")?;
                match choose_until {
                    Some(_) => self.visit_of(*reservation, "choosing", None),
                    None => self.visit_ended(*reservation, EndReason::Left),
                }
            }
            Event::HoldExpired { reservation, .. } => {
                self.release(reservation.0, "expired")?;
                self.visit_ended(*reservation, EndReason::HoldExpired)
            }
            Event::PaymentBegun { reservation, payment, hold_until, .. } => {
                self.minute.payments_begun += 1;
                let number = self.position.payments;
                self.position.payments += 1;
                let (key, id) = (self.keys.key(number), long_id(payment.0));
                let row = row![key, id, number, &self.at, self.keys.key(reservation.0)];
                self.tables.one("a reservation", statements::INSERT_PAYMENT, row)?;
                self.hold(reservation.0, "paying", *hold_until)
            }
            Event::PaymentApproved { payment, .. } => self.confirmed(*payment),
            Event::PaymentDeclined { payment, reason, retryable, hold_until, .. } => {
                self.minute.declined += 1;
                let declined = row![self.keys.key(payment.0), &self.at, &**reason, *retryable];
                self.tables.one("a payment", statements::DECLINE_PAYMENT, declined)?;
                let until = self.deadline(*hold_until);
                let held = row![self.keys.key(payment.0), self.keys.key(0), until];
                self.tables.one("a reservation", statements::SET_HOLD_OF_PAYMENT, held)
            }
            Event::PaymentUnknown { payment } => self.pays(*payment, "unknown"),
            Event::RefundDue { payment } => {
                self.pays(*payment, "refund_due")?;
                let due = row![self.keys.key(payment.0), &self.at];
                self.tables.one("a payment", statements::INSERT_REFUND, due)
            }
            Event::PaymentRefunded { payment, .. } => {
                self.pays(*payment, "refunded")?;
                let done = row![self.keys.key(payment.0), &self.at];
                self.tables.one("a refund", statements::END_REFUND, done)
            }
            Event::LineEnded { reason, .. } => self.end_line(*reason),
        }
    }

    // ---- A sale and its plan ----

    fn scheduled(&mut self, schedule: &Schedule) -> Result<(), LedgerError> {
        let Schedule { sale, plan, limits, opens_at, closes_at, file: _ } = schedule;
        let (id, currency) = (sale.as_str(), plan.currency);
        let closes_at = closes_at.map(|at| utc(at.0));
        self.tables.run(
            statements::INSERT_SALE,
            row![id, currency.as_str(), &*plan.time_zone, &self.at, utc(opens_at.0), closes_at],
        )?;
        self.position.sale = Some(id.to_owned());
        self.limits(limits)?;
        self.plan(id, plan)?;
        Ok(())
    }

    /// Writes a sale that was described anew, and forgets what is no longer offered.
    fn changed(&mut self, schedule: &Schedule) -> Result<(), LedgerError> {
        let Schedule { sale, plan, limits, opens_at, closes_at, file: _ } = schedule;
        let (id, closes_at) = (sale.as_str(), closes_at.map(|at| utc(at.0)));
        let change = row![id, &*plan.time_zone, utc(opens_at.0), closes_at];
        self.tables.run(statements::CHANGE_SALE, change)?;
        self.limits(limits)?;
        self.tables.run(statements::FORGET_POOLS, row![id])?;
        let (first, last) = self.keys.all();
        self.tables.run(statements::UNPLACE_SEATS, row![first, last])?;
        self.tables.run(statements::UNPLACE_PERFORMANCES, row![id])?;
        self.plan(id, plan)?;
        self.tables.run(statements::FORGET_SEATS, row![])?;
        self.tables.run(statements::FORGET_PERFORMANCES, row![id])
    }

    /// Writes what a sale offers; what is there already is brought up to date by performance and
    /// number, and keeps its owner.
    fn plan(&mut self, sale: &str, plan: &Plan) -> Result<(), LedgerError> {
        for (number, name) in (0_u32..).zip(&plan.pools) {
            self.tables.run(statements::WRITE_POOL, row![sale, number, &**name])?;
        }
        let mut index = 0;
        for (number, performance) in (0_u32..).zip(&plan.performances) {
            let Performance { id, title, venue, date, starts_at, .. } = performance;
            self.tables.run(
                statements::WRITE_PERFORMANCE,
                row![
                    id.as_str(),
                    sale,
                    number,
                    &**title,
                    &**venue,
                    date.to_string(),
                    utc(starts_at.0),
                ],
            )?;
            self.seats(sale, plan, performance, &mut index)?;
        }
        Ok(())
    }

    /// Writes the seats of a performance; `index` counts over all of the sale, in plan order.
    fn seats(
        &mut self,
        sale: &str,
        plan: &Plan,
        performance: &Performance,
        index: &mut u32,
    ) -> Result<(), LedgerError> {
        for section in &performance.sections {
            for row in &section.rows {
                for seat in &row.seats {
                    let grade = performance.grades.get(usize::from(seat.grade));
                    let grade = grade.ok_or_else(|| misfit("a grade"))?;
                    let pool = seat.pool.and_then(|pool| plan.pools.get(usize::from(pool)));
                    let row = row![
                        self.keys.key(*index),
                        performance.id.as_str(),
                        &*seat.number,
                        sale,
                        *index,
                        &*section.name,
                        &*row.name,
                        &*grade.name,
                        units(grade.price),
                        pool.map(|name| &**name),
                    ];
                    self.tables.run(statements::WRITE_SEAT, row)?;
                    *index += 1;
                }
            }
        }
        Ok(())
    }

    fn limits(&mut self, limits: &Limits) -> Result<(), LedgerError> {
        let mut table = limits.table().into_iter();
        table.try_for_each(|(name, value, ..)| {
            let limit = row![self.position.sale.as_ref(), name, value];
            self.tables.run(statements::WRITE_LIMIT, limit)
        })
    }

    fn end_line(&mut self, reason: EndReason) -> Result<(), LedgerError> {
        self.position.in_line = Some(0);
        let ended = row![self.position.sale.as_ref(), &self.at, reason.as_str()];
        self.tables.run(statements::END_LINE, ended)?;
        let (first, last) = self.keys.all();
        let ended = row![first, last, &self.at, reason.as_str()];
        self.tables.run(statements::END_CHOOSING, ended)
    }

    // ---- Visits and reservations ----

    fn end_visit(&mut self, visit: u32, state: &str) -> Result<(), LedgerError> {
        let row = row![self.keys.key(visit), state, &self.at];
        self.tables.one("a visit", statements::SET_VISIT, row)
    }

    fn visit_ended(
        &mut self,
        reservation: ReservationIndex,
        reason: EndReason,
    ) -> Result<(), LedgerError> {
        let at = self.at.clone();
        self.visit_of(reservation, reason.as_str(), Some(&at))
    }

    /// What becomes of the visit that a reservation was made in.
    fn visit_of(
        &mut self,
        reservation: ReservationIndex,
        state: &str,
        ended_at: Option<&str>,
    ) -> Result<(), LedgerError> {
        let row = row![self.keys.key(reservation.0), self.keys.key(0), state, ended_at];
        self.tables.one("a visit", statements::SET_VISIT_OF_RESERVATION, row)
    }

    fn left(&mut self, entry: EntryIndex) -> Result<(), LedgerError> {
        self.minute.left += 1;
        let (first, last) = self.keys.all();
        let visit: Option<(u32, String, Option<u32>)> =
            self.tables.find(statements::READ_VISIT, row![first, last, entry.0], |row| {
                Ok((row.count(0)?, row.text(1)?, row.maybe_count(2)?))
            })?;
        // Somebody in line was never admitted, or missed the turn.
        let Some((visit, state, reservation)) = visit else { return self.in_line(-1) };
        if state == "reserved" {
            self.release(reservation.ok_or_else(|| misfit("a hold"))?, "given_back")?;
        } else if state != "choosing" {
            return self.in_line(-1);
        }
        self.end_visit(visit, EndReason::Left.as_str())
    }

    /// So many more have a place in line.
    fn in_line(&mut self, more: i64) -> Result<(), LedgerError> {
        if let Some(in_line) = self.position.in_line {
            let sum = u32::try_from(i64::from(in_line) + more);
            self.position.in_line = Some(sum.map_err(|_| misfit("a place in line"))?);
        }
        Ok(())
    }

    fn held(
        &mut self,
        visit: VisitIndex,
        id: &str,
        seats: &[SeatIndex],
        [until, hard_end]: [Second; 2],
    ) -> Result<(), LedgerError> {
        self.minute.holds += 1;
        let number = self.position.reservations;
        self.position.reservations += 1;
        let mut lines = 0;
        for seat in seats {
            self.claim(number, id, lines, *seat)?;
            lines += 1;
        }
        let (first, last) = self.keys.lines(number);
        let (until, hard_end) = (self.deadline(until), self.deadline(hard_end));
        let visit = self.keys.key(visit.0);
        let key = self.keys.key(number);
        let row = row![key, id, number, first, last, lines, &self.at, until, hard_end, visit];
        self.tables.one("a visit", statements::INSERT_RESERVATION, row)?;
        self.tables.one("a visit", statements::RESERVE_VISIT, row![visit, number])
    }

    /// Writes a claim on one seat.
    fn claim(
        &mut self,
        reservation: u32,
        id: &str,
        line: u32,
        seat: SeatIndex,
    ) -> Result<(), LedgerError> {
        let (key, seat) = (self.keys.line(reservation) + i64::from(line), self.keys.key(seat.0));
        let claim = row![key, id, line, seat];
        if self.tables.is_one("a seat", statements::INSERT_LINE, claim)? {
            return Ok(());
        }
        let (stream, sale) = (self.stream, self.position.sale.clone().unwrap_or_default());
        let violation = self.tables.find(statements::READ_OWNER, row![seat], |row| {
            Ok(Violation {
                stream,
                sale,
                performance: row.text(0)?,
                seat: row.text(1)?,
                owner: row.text(2)?,
                claimant: id.to_owned(),
            })
        })?;
        Err(violation.map_or_else(|| misfit("a seat"), |two| LedgerError::Violated(Box::new(two))))
    }

    /// Ends an unpaid hold.
    fn release(&mut self, reservation: u32, state: &str) -> Result<(), LedgerError> {
        self.minute.holds_ended += 1;
        let ended = row![self.keys.key(reservation), state, &self.at];
        self.tables.one("a reservation", statements::END_RESERVATION, ended)?;
        let (first, last) = self.keys.lines(reservation);
        self.tables.run(statements::END_CLAIMS, row![first, last])
    }

    /// How long a hold is good now.
    fn hold(&mut self, reservation: u32, state: &str, until: Second) -> Result<(), LedgerError> {
        let hold = row![self.keys.key(reservation), state, self.deadline(until)];
        self.tables.one("a reservation", statements::SET_HOLD, hold)
    }

    // ---- Payments ----

    fn pays(&mut self, payment: PaymentIndex, state: &str) -> Result<(), LedgerError> {
        let paid = row![self.keys.key(payment.0), state, None::<&str>];
        self.tables.one("a payment", statements::SET_PAYMENT, paid)
    }

    /// How many seats are sold, and for how much, is added up by the tables.
    fn confirmed(&mut self, payment: PaymentIndex) -> Result<(), LedgerError> {
        self.minute.confirmed += 1;
        let (key, first) = (self.keys.key(payment.0), self.keys.key(0));
        let settled = row![key, "approved", &self.at];
        self.tables.one("a payment", statements::SET_PAYMENT, settled)?;
        let sold = row![key, first, &self.at];
        self.tables.add("a reservation", statements::CONFIRM_RESERVATION, sold)?;
        let done = row![key, first, "done", &self.at];
        self.tables.one("a visit", statements::SET_VISIT_OF_PAYMENT, done)
    }

    /// A deadline as the clocks stand now.
    fn deadline(&self, second: Second) -> String {
        utc((u64::from(second.0) * 1000).saturating_add(self.position.stopped_ms))
    }

    fn write_minute(&mut self) -> Result<(), LedgerError> {
        let in_line = self.position.in_line;
        let mut minute = std::mem::take(&mut self.minute);
        let Some(sale) = &self.position.sale else { return Ok(()) };
        if minute.confirmed > 0 {
            [minute.seats_sold, minute.income] = self.tables.sums()?;
        }
        let counts = minute.counts();
        let nothing = minute.places_expired == Some(0) && minute.in_line_before == in_line;
        if nothing && counts.iter().all(|count| *count == 0) {
            return Ok(());
        }
        let mut values: Vec<Value<'_>> = vec![sale.into(), (&minute.begin).into()];
        values.extend(counts.map(Value::from));
        values.extend([minute.places_expired, in_line, minute.in_line_max].map(Value::from));
        self.tables.run(statements::ADD_TO_MINUTE, &values)
    }
}

impl Minute {
    fn new(begin: String, in_line: Option<u32>) -> Self {
        Self {
            begin,
            places_expired: Some(0),
            in_line_before: in_line,
            in_line_max: in_line,
            ..Self::default()
        }
    }

    /// What is always known, in the order of the statement.
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

/// An amount as the tables keep it; no price or sum of a sale comes near 63 bits.
fn units(money: Money) -> i64 {
    i64::try_from(money.0).unwrap_or(i64::MAX)
}

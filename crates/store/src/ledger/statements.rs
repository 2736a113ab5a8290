//! The statements that write the ledger. A time is text in UTC; `?1` is the row's key where there is one
//! row, else the sale. Numbers of one sale are a range of keys: see `keys.rs`.
//!
//! They stand here as SQLite reads them, and say what PostgreSQL understands too: [`of_postgres`] changes how
//! values are written, and the one that differs has a second text beside it. So a column that is changed by
//! what it was is named with its table, `left` stands in quotes, and a maximum is a `CASE`.
//!
//! `OR FAIL` where a statement writes several rows or chooses what it writes: else SQLite copies each page
//! before it changes it, to undo that statement alone. Here an error undoes the whole transaction.

/// A statement as PostgreSQL reads it.
pub(super) fn of_postgres(statement: &str) -> String {
    let statement =
        if statement == MOVE_DEADLINES { MOVE_DEADLINES_OF_POSTGRES } else { statement };
    statement.replace(" OR FAIL", "").replace('?', "$")
}

pub(super) const INSERT_EPOCH: &str = "
-- insert_epoch
INSERT INTO history (epoch)
VALUES (?1)
";

pub(super) const READ_EPOCH: &str = "
-- read_ledger_epoch
SELECT epoch
FROM history
";

pub(super) const READ_POSITIONS: &str = "
-- read_positions
SELECT
    stream, batch_number, batch_id, batch_ms, sale_id, stopped_ms, in_line,
    (SELECT visit_number FROM visits
     WHERE visit_key BETWEEN stream << 32 AND (stream << 32) + 4294967295
     ORDER BY visit_key DESC
     LIMIT 1),
    (SELECT reservation_number FROM reservations
     WHERE reservation_key BETWEEN stream << 32 AND (stream << 32) + 4294967295
     ORDER BY reservation_key DESC
     LIMIT 1),
    (SELECT payment_number FROM payments
     WHERE payment_key BETWEEN stream << 32 AND (stream << 32) + 4294967295
     ORDER BY payment_key DESC
     LIMIT 1)
FROM positions
";

pub(super) const WRITE_POSITION: &str = "
-- write_position
INSERT INTO positions
    (stream, sale_id, batch_number, batch_id, batch_at, batch_ms, stopped_ms, in_line)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (stream) DO UPDATE SET
    sale_id = excluded.sale_id, batch_number = excluded.batch_number,
    batch_id = excluded.batch_id, batch_at = excluded.batch_at, batch_ms = excluded.batch_ms,
    stopped_ms = excluded.stopped_ms, in_line = excluded.in_line
";

pub(super) const INSERT_SALE: &str = "
-- insert_sale
INSERT INTO sales (sale_id, state, currency, time_zone, scheduled_at, opens_at, closes_at)
VALUES (?1, 'scheduled', ?2, ?3, ?4, ?5, ?6)
";

pub(super) const WRITE_LIMIT: &str = "
-- write_limit
INSERT INTO sale_limits (sale_id, name, value)
VALUES (?1, ?2, ?3)
ON CONFLICT (sale_id, name) DO UPDATE SET value = excluded.value
";

pub(super) const WRITE_POOL: &str = "
-- write_pool
INSERT INTO pools (sale_id, pool_number, name)
VALUES (?1, ?2, ?3)
ON CONFLICT (sale_id, pool_number) DO UPDATE SET name = excluded.name
";

pub(super) const WRITE_PERFORMANCE: &str = "
-- write_performance
INSERT INTO performances
    (performance_id, sale_id, performance_number, title, venue, date, starts_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (performance_id) DO UPDATE SET
    performance_number = excluded.performance_number, title = excluded.title,
    venue = excluded.venue, date = excluded.date, starts_at = excluded.starts_at
";

/// Whom a seat that is there already is kept back for changes only where nobody has it, and the plan says
/// otherwise than before or has that pool no longer.
pub(super) const WRITE_SEAT: &str = "
-- write_seat
INSERT INTO plan_seats
    (seat_key, performance_id, seat_number, sale_id, seat_index, section, row, grade, price, pool,
     planned_pool)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)
ON CONFLICT (performance_id, seat_number) DO UPDATE SET
    seat_key = excluded.seat_key, seat_index = excluded.seat_index, section = excluded.section,
    row = excluded.row, grade = excluded.grade, price = excluded.price,
    planned_pool = excluded.planned_pool,
    pool = CASE
        WHEN (
            plan_seats.planned_pool IS DISTINCT FROM excluded.planned_pool
            OR plan_seats.pool NOT IN (SELECT name FROM pools WHERE sale_id = excluded.sale_id)
        ) AND NOT EXISTS (
            SELECT 1
            FROM reservation_lines AS claims
            WHERE claims.seat_number = plan_seats.seat_number
                AND claims.performance_id = plan_seats.performance_id AND live = 1
        )
        THEN excluded.pool
        ELSE plan_seats.pool
    END
";

pub(super) const CHANGE_SALE: &str = "
-- change_sale
UPDATE sales
SET time_zone = ?2, opens_at = ?3, closes_at = ?4
WHERE sale_id = ?1
";

pub(super) const FORGET_POOLS: &str = "
-- forget_pools
DELETE FROM pools
WHERE sale_id = ?1
";

/// Makes room for the keys of the plan as it is now. Those that are not written anew after this are no
/// longer there.
pub(super) const UNPLACE_SEATS: &str = "
-- unplace_seats
UPDATE plan_seats
SET seat_key = -seat_key
WHERE seat_key BETWEEN ?1 AND ?2
";

pub(super) const UNPLACE_PERFORMANCES: &str = "
-- unplace_performances
UPDATE performances
SET performance_number = -1
WHERE sale_id = ?1
";

pub(super) const FORGET_SEATS: &str = "
-- forget_seats
DELETE FROM plan_seats
WHERE seat_key < 0
";

pub(super) const FORGET_PERFORMANCES: &str = "
-- forget_performances
DELETE FROM performances
WHERE sale_id = ?1 AND performance_number = -1
";

pub(super) const OPEN_SALE: &str = "
-- open_sale
UPDATE sales
SET state = 'open', opened_at = coalesce(opened_at, ?2)
WHERE sale_id = ?1
";

pub(super) const PAUSE_SALE: &str = "
-- pause_sale
UPDATE sales
SET state = 'paused'
WHERE sale_id = ?1
";

pub(super) const CLOSE_SALE: &str = "
-- close_sale
UPDATE sales
SET state = 'closed', closed_at = ?2
WHERE sale_id = ?1
";

pub(super) const END_LINE: &str = "
-- end_line
UPDATE sales
SET line_ended_at = coalesce(line_ended_at, ?2), line_end_reason = coalesce(line_end_reason, ?3)
WHERE sale_id = ?1
";

/// The keys of all visits of a sale are from `?1` to `?2`.
pub(super) const END_CHOOSING: &str = "
-- end_choosing
UPDATE OR FAIL visits
SET state = ?4, ended_at = ?3
WHERE visit_key BETWEEN ?1 AND ?2 AND state = 'choosing'
";

pub(super) const WITHHOLD_SEAT: &str = "
-- withhold_seat
UPDATE plan_seats
SET pool = (SELECT name FROM pools WHERE pools.sale_id = plan_seats.sale_id AND pool_number = ?2)
WHERE seat_key = ?1
";

pub(super) const RELEASE_SEAT: &str = "
-- release_seat
UPDATE plan_seats
SET pool = NULL
WHERE seat_key = ?1
";

/// The clocks stood still for `?3`, such as `+12.345 seconds`.
pub(super) const MOVE_DEADLINES: &str = "
-- move_deadlines
UPDATE OR FAIL reservations
SET held_until = strftime('%Y-%m-%dT%H:%M:%fZ', held_until, ?3),
    hard_end = strftime('%Y-%m-%dT%H:%M:%fZ', hard_end, ?3)
WHERE reservation_key BETWEEN ?1 AND ?2 AND state IN ('held', 'paying')
";

const MOVE_DEADLINES_OF_POSTGRES: &str = r#"
-- move_deadlines
UPDATE reservations
SET held_until = to_char(
        held_until::timestamptz AT TIME ZONE 'UTC' + ?3::text::interval,
        'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
    ),
    hard_end = to_char(
        hard_end::timestamptz AT TIME ZONE 'UTC' + ?3::text::interval,
        'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
    )
WHERE reservation_key BETWEEN ?1 AND ?2 AND state IN ('held', 'paying')
"#;

pub(super) const INSERT_VISIT: &str = "
-- insert_visit
INSERT INTO visits (visit_key, sale_id, visit_number, entry_number, state, admitted_at)
VALUES (?1, ?2, ?3, ?4, 'choosing', ?5)
";

pub(super) const SET_VISIT: &str = "
-- set_visit
UPDATE visits
SET state = ?2, ended_at = ?3
WHERE visit_key = ?1
";

/// The visit that a reservation was made in; the sale's visits have keys from `?2`.
pub(super) const SET_VISIT_OF_RESERVATION: &str = "
-- set_visit_of_reservation
UPDATE visits
SET state = ?3, ended_at = ?4
WHERE visit_key = (SELECT ?2 + visit_number FROM reservations WHERE reservation_key = ?1)
";

/// The visit that what is paid for was reserved in; the sale's visits and reservations have keys from `?2`.
pub(super) const SET_VISIT_OF_PAYMENT: &str = "
-- set_visit_of_payment
UPDATE visits
SET state = ?3, ended_at = ?4
WHERE visit_key = (
    SELECT ?2 + visit_number
    FROM payments JOIN reservations ON reservation_key = ?2 + payments.reservation_number
    WHERE payment_key = ?1
)
";

pub(super) const RESERVE_VISIT: &str = "
-- reserve_visit
UPDATE visits
SET state = 'reserved', reservation_number = ?2
WHERE visit_key = ?1
";

/// The last visit of an entry of a sale whose visits have keys from `?1` to `?2`.
pub(super) const READ_VISIT: &str = "
-- read_visit
SELECT visit_number, state, reservation_number
FROM visits
WHERE entry_number = ?3 AND visit_key BETWEEN ?1 AND ?2
ORDER BY visit_key DESC
LIMIT 1
";

/// The reservation of a visit, whose lines from `?4` to `?5` are there already.
pub(super) const INSERT_RESERVATION: &str = "
-- insert_reservation
INSERT OR FAIL INTO reservations
    (reservation_key, reservation_id, sale_id, reservation_number, visit_number, entry_number, state,
     seats, amount, held_at, held_until, hard_end)
SELECT
    ?1, ?2, sale_id, ?3, visit_number, entry_number, 'held', ?6,
    (SELECT sum(price) FROM reservation_lines WHERE line_key BETWEEN ?4 AND ?5), ?7, ?8, ?9
FROM visits
WHERE visit_key = ?10
";

/// A claim on a seat, at the price and grade it has now; nothing, if somebody has the seat.
pub(super) const INSERT_LINE: &str = "
-- insert_line
INSERT OR FAIL INTO reservation_lines
    (line_key, reservation_id, line_number, sale_id, performance_id, seat_number, grade, price, live)
SELECT ?1, ?2, ?3, sale_id, performance_id, seat_number, grade, price, 1
FROM plan_seats
WHERE seat_key = ?4
ON CONFLICT (seat_number, performance_id) WHERE live = 1 DO NOTHING
";

/// A seat that is claimed, and by whom.
pub(super) const READ_OWNER: &str = "
-- read_owner
SELECT performance_id, seat_number, reservation_id
FROM plan_seats JOIN reservation_lines USING (performance_id, seat_number)
WHERE seat_key = ?1 AND live = 1
";

pub(super) const END_RESERVATION: &str = "
-- end_reservation
UPDATE reservations
SET state = ?2, ended_at = ?3, held_until = NULL, hard_end = NULL
WHERE reservation_key = ?1
";

/// What a payment pays for is sold; the sale's reservations have keys from `?2`.
pub(super) const CONFIRM_RESERVATION: &str = "
-- confirm_reservation
UPDATE reservations
SET state = 'confirmed', ended_at = ?3, held_until = NULL, hard_end = NULL
WHERE reservation_key = (SELECT ?2 + reservation_number FROM payments WHERE payment_key = ?1)
RETURNING seats, amount
";

/// The lines of one reservation have keys from `?1` to `?2`.
pub(super) const END_CLAIMS: &str = "
-- end_claims
UPDATE OR FAIL reservation_lines
SET live = 0
WHERE line_key BETWEEN ?1 AND ?2
";

pub(super) const SET_HOLD: &str = "
-- set_hold
UPDATE reservations
SET state = ?2, held_until = ?3
WHERE reservation_key = ?1
";

/// What a payment was to pay for is held again; the sale's reservations have keys from `?2`.
pub(super) const SET_HOLD_OF_PAYMENT: &str = "
-- set_hold_of_payment
UPDATE reservations
SET state = 'held', held_until = ?3
WHERE reservation_key = (SELECT ?2 + reservation_number FROM payments WHERE payment_key = ?1)
";

pub(super) const INSERT_PAYMENT: &str = "
-- insert_payment
INSERT OR FAIL INTO payments
    (payment_key, payment_id, sale_id, payment_number, reservation_id, reservation_number, amount,
     state, begun_at)
SELECT ?1, ?2, sale_id, ?3, reservation_id, reservation_number, amount, 'running', ?4
FROM reservations
WHERE reservation_key = ?5
";

pub(super) const SET_PAYMENT: &str = "
-- set_payment
UPDATE payments
SET state = ?2, settled_at = coalesce(?3, settled_at)
WHERE payment_key = ?1
";

pub(super) const DECLINE_PAYMENT: &str = "
-- decline_payment
UPDATE payments
SET state = 'declined', settled_at = ?2, decline_reason = ?3, retryable = ?4
WHERE payment_key = ?1
";

pub(super) const INSERT_REFUND: &str = "
-- insert_refund
INSERT OR FAIL INTO refunds (payment_id, sale_id, reservation_id, amount, state, due_at)
SELECT payment_id, sale_id, reservation_id, amount, 'due', ?2
FROM payments
WHERE payment_key = ?1
";

pub(super) const END_REFUND: &str = "
-- end_refund
UPDATE refunds
SET state = 'done', refunded_at = ?2
WHERE payment_id = (SELECT payment_id FROM payments WHERE payment_key = ?1)
";

/// What is unknown in a part of a minute is unknown in all of it.
pub(super) const ADD_TO_MINUTE: &str = r#"
-- add_to_minute
INSERT INTO line_minutes AS minutes
    (sale_id, minute, joined, admitted, passed_over, turns_missed, "left", chose_nothing, holds,
     holds_ended, payments_begun, declined, confirmed, seats_sold, income, places_expired, in_line,
     in_line_max)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
ON CONFLICT (sale_id, minute) DO UPDATE SET
    joined = minutes.joined + excluded.joined,
    admitted = minutes.admitted + excluded.admitted,
    passed_over = minutes.passed_over + excluded.passed_over,
    turns_missed = minutes.turns_missed + excluded.turns_missed,
    "left" = minutes."left" + excluded."left",
    chose_nothing = minutes.chose_nothing + excluded.chose_nothing,
    holds = minutes.holds + excluded.holds,
    holds_ended = minutes.holds_ended + excluded.holds_ended,
    payments_begun = minutes.payments_begun + excluded.payments_begun,
    declined = minutes.declined + excluded.declined,
    confirmed = minutes.confirmed + excluded.confirmed,
    seats_sold = minutes.seats_sold + excluded.seats_sold,
    income = minutes.income + excluded.income,
    places_expired = minutes.places_expired + excluded.places_expired,
    in_line = excluded.in_line,
    in_line_max = CASE
        WHEN minutes.in_line_max >= excluded.in_line_max THEN minutes.in_line_max
        WHEN minutes.in_line_max IS NULL THEN NULL
        ELSE excluded.in_line_max
    END
"#;

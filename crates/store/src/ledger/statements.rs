//! The statements that write the ledger. A time is text in UTC; `?1` is the sale wherever a number
//! of the sale's own names the row.

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
    stream, batch_number, batch_id, batch_ms, sale_id, stopped_ms,
    coalesce((SELECT max(visit_number) + 1 FROM visits WHERE visits.sale_id = positions.sale_id), 0),
    coalesce((SELECT max(reservation_number) + 1 FROM reservations
              WHERE reservations.sale_id = positions.sale_id), 0),
    coalesce((SELECT max(payment_number) + 1 FROM payments
              WHERE payments.sale_id = positions.sale_id), 0)
FROM positions
";

pub(super) const WRITE_POSITION: &str = "
-- write_position
INSERT INTO positions
    (stream, sale_id, batch_number, batch_id, batch_at, batch_ms, stopped_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (stream) DO UPDATE SET
    sale_id = excluded.sale_id, batch_number = excluded.batch_number,
    batch_id = excluded.batch_id, batch_at = excluded.batch_at, batch_ms = excluded.batch_ms,
    stopped_ms = excluded.stopped_ms
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

/// A seat that is there already keeps its state and owner; whom it is kept back for changes only where
/// the plan says otherwise than before, or has that pool no longer.
pub(super) const WRITE_SEAT: &str = "
-- write_seat
INSERT INTO seats
    (performance_id, seat_number, sale_id, seat_index, section, row, grade, price, state, pool,
     planned_pool)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)
ON CONFLICT (performance_id, seat_number) DO UPDATE SET
    seat_index = excluded.seat_index, section = excluded.section, row = excluded.row,
    grade = excluded.grade, price = excluded.price, planned_pool = excluded.planned_pool,
    (state, pool) = (
        SELECT excluded.state, excluded.pool
        WHERE seats.state IN ('free', 'withheld') AND (
            seats.planned_pool IS NOT excluded.planned_pool
            OR seats.pool NOT IN (SELECT name FROM pools WHERE sale_id = excluded.sale_id)
        )
        UNION ALL
        SELECT seats.state, seats.pool
        LIMIT 1
    )
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

/// Those that are not written anew after this are no longer there.
pub(super) const UNPLACE_SEATS: &str = "
-- unplace_seats
UPDATE seats
SET seat_index = -1
WHERE sale_id = ?1
";

pub(super) const UNPLACE_PERFORMANCES: &str = "
-- unplace_performances
UPDATE performances
SET performance_number = -1
WHERE sale_id = ?1
";

pub(super) const FORGET_SEATS: &str = "
-- forget_seats
DELETE FROM seats
WHERE sale_id = ?1 AND seat_index = -1
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

pub(super) const END_CHOOSING: &str = "
-- end_choosing
UPDATE visits
SET state = ?3, ended_at = ?2
WHERE sale_id = ?1 AND state = 'choosing'
";

pub(super) const WITHHOLD_SEAT: &str = "
-- withhold_seat
UPDATE seats
SET state = 'withheld', pool = (SELECT name FROM pools WHERE sale_id = ?1 AND pool_number = ?3)
WHERE sale_id = ?1 AND seat_index = ?2
";

pub(super) const RELEASE_SEAT: &str = "
-- release_seat
UPDATE seats
SET state = 'free', pool = NULL
WHERE sale_id = ?1 AND seat_index = ?2
";

/// The clocks stood still for `?2`, such as `+12.345 seconds`.
pub(super) const MOVE_DEADLINES: &str = "
-- move_deadlines
UPDATE reservations
SET held_until = strftime('%Y-%m-%dT%H:%M:%fZ', held_until, ?2),
    hard_end = strftime('%Y-%m-%dT%H:%M:%fZ', hard_end, ?2)
WHERE sale_id = ?1 AND state IN ('held', 'paying')
";

pub(super) const INSERT_VISIT: &str = "
-- insert_visit
INSERT INTO visits (sale_id, visit_number, entry_number, state, admitted_at)
VALUES (?1, ?2, ?3, 'choosing', ?4)
";

/// Whose a visit is.
pub(super) const READ_ENTRY: &str = "
-- read_entry
SELECT entry_number
FROM visits
WHERE sale_id = ?1 AND visit_number = ?2
";

pub(super) const SET_VISIT: &str = "
-- set_visit
UPDATE visits
SET state = ?3, ended_at = ?4
WHERE sale_id = ?1 AND visit_number = ?2
";

/// The last visit of an entry, if it is under way.
pub(super) const READ_VISIT: &str = "
-- read_visit
SELECT visit_number, state
FROM visits
WHERE sale_id = ?1 AND entry_number = ?2
ORDER BY visit_number DESC
LIMIT 1
";

pub(super) const INSERT_RESERVATION: &str = "
-- insert_reservation
INSERT INTO reservations
    (reservation_id, sale_id, reservation_number, visit_number, entry_number, state, amount,
     held_at, held_until, hard_end)
VALUES (?1, ?2, ?3, ?4, ?5, 'held', ?6, ?7, ?8, ?9)
";

/// A claim on a seat, at the price and grade it has now.
pub(super) const INSERT_LINE: &str = "
-- insert_line
INSERT INTO reservation_lines
    (reservation_id, line_number, sale_id, performance_id, seat_number, grade, price, live)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1)
";

pub(super) const READ_SEAT: &str = "
-- read_seat
SELECT performance_id, seat_number, grade, price
FROM seats
WHERE sale_id = ?1 AND seat_index = ?2
";

pub(super) const READ_OWNER: &str = "
-- read_owner
SELECT reservation_id
FROM reservation_lines
WHERE performance_id = ?1 AND seat_number = ?2 AND live = 1
";

pub(super) const HOLD_SEAT: &str = "
-- hold_seat
UPDATE seats
SET state = 'held', reservation_id = ?3
WHERE performance_id = ?1 AND seat_number = ?2
";

pub(super) const READ_RESERVATION: &str = "
-- read_reservation
SELECT reservation_id, visit_number, amount
FROM reservations
WHERE sale_id = ?1 AND reservation_number = ?2
";

/// What a visit holds unpaid.
pub(super) const READ_HELD: &str = "
-- read_held
SELECT reservation_number
FROM reservations
WHERE sale_id = ?1 AND visit_number = ?2 AND state = 'held'
";

pub(super) const END_RESERVATION: &str = "
-- end_reservation
UPDATE reservations
SET state = ?2, ended_at = ?3, held_until = NULL, hard_end = NULL
WHERE reservation_id = ?1
";

pub(super) const END_CLAIMS: &str = "
-- end_claims
UPDATE reservation_lines
SET live = 0
WHERE reservation_id = ?1
";

pub(super) const FREE_SEATS: &str = "
-- free_seats
UPDATE seats
SET state = 'free', reservation_id = NULL
WHERE (performance_id, seat_number) IN
    (SELECT performance_id, seat_number FROM reservation_lines WHERE reservation_id = ?1)
";

pub(super) const SELL_SEATS: &str = "
-- sell_seats
UPDATE seats
SET state = 'sold'
WHERE (performance_id, seat_number) IN
    (SELECT performance_id, seat_number FROM reservation_lines WHERE reservation_id = ?1)
";

pub(super) const SET_HOLD: &str = "
-- set_hold
UPDATE reservations
SET state = ?2, held_until = ?3
WHERE reservation_id = ?1
";

pub(super) const INSERT_PAYMENT: &str = "
-- insert_payment
INSERT INTO payments
    (payment_id, sale_id, payment_number, reservation_id, amount, state, begun_at)
VALUES (?1, ?2, ?3, ?4, ?5, 'running', ?6)
";

pub(super) const READ_PAYMENT: &str = "
-- read_payment
SELECT payments.payment_id, payments.amount, reservation_id, reservations.visit_number
FROM payments JOIN reservations USING (reservation_id)
WHERE payments.sale_id = ?1 AND payment_number = ?2
";

pub(super) const SET_PAYMENT: &str = "
-- set_payment
UPDATE payments
SET state = ?2, settled_at = coalesce(?3, settled_at)
WHERE payment_id = ?1
";

pub(super) const DECLINE_PAYMENT: &str = "
-- decline_payment
UPDATE payments
SET state = 'declined', settled_at = ?2, decline_reason = ?3, retryable = ?4
WHERE payment_id = ?1
";

pub(super) const INSERT_REFUND: &str = "
-- insert_refund
INSERT INTO refunds (payment_id, sale_id, reservation_id, amount, state, due_at)
VALUES (?1, ?2, ?3, ?4, 'due', ?5)
";

pub(super) const END_REFUND: &str = "
-- end_refund
UPDATE refunds
SET state = 'done', refunded_at = ?2
WHERE payment_id = ?1
";

pub(super) const ADD_TO_MINUTE: &str = "
-- add_to_minute
INSERT INTO line_minutes
    (sale_id, minute, joined, admitted, passed_over, turns_missed, left, chose_nothing, holds,
     holds_ended, payments_begun, declined, confirmed, seats_sold, income)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
ON CONFLICT (sale_id, minute) DO UPDATE SET
    joined = joined + excluded.joined, admitted = admitted + excluded.admitted,
    passed_over = passed_over + excluded.passed_over,
    turns_missed = turns_missed + excluded.turns_missed, left = left + excluded.left,
    chose_nothing = chose_nothing + excluded.chose_nothing, holds = holds + excluded.holds,
    holds_ended = holds_ended + excluded.holds_ended,
    payments_begun = payments_begun + excluded.payments_begun,
    declined = declined + excluded.declined, confirmed = confirmed + excluded.confirmed,
    seats_sold = seats_sold + excluded.seats_sold, income = income + excluded.income
";

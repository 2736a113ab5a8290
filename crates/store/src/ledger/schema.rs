//! The ledger's tables, and how its file is opened. They are described once: [`of_postgres`] says the same
//! to PostgreSQL.
//!
//! `synchronous=NORMAL`: after a loss of power the last transactions may be missing, never half of
//! one; what is missing is read from the journal again. A new version of the tables needs no
//! migration, for an older ledger is built anew.
//!
//! What a sale counts has a key of one integer, made of the sale's stream and the number, so that what
//! comes later stands behind what came before, and is found by one look into one tree. Every further index, and
//! every row that is written where rows lie in no order, costs as much at each hold as everything else
//! about it: so there is one such, that of the live claims, and what it says is written nowhere else.
//! Whose a seat is, `seats` looks up in it.
//! What a state may be is said without `IN`, for which SQLite makes a table each time.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::file::unusable;
use super::{LedgerError, statements};

/// The version of the tables below, kept in `user_version`. To be raised with every change of them.
pub(super) const VERSION: u32 = 3;

/// How long a transaction waits for somebody who writes into the file by hand.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// Statements that stay prepared: more than there are.
const STATEMENTS: usize = 64;

/// Memory for pages, at most. Rows of a crowd lie in no order, so each transaction writes to many
/// pages; those that do not fit are written to the log and read again, over and over.
const CACHE_KIB: i32 = 64 * 1024;
/// Pages in the log before they are brought home: a page that is written again meanwhile is brought
/// once.
const CHECKPOINT_PAGES: i32 = 16 * 1024;

const CREATE_TABLES: &str = r#"
-- create_ledger
CREATE TABLE history (
    epoch TEXT NOT NULL
) STRICT;

CREATE TABLE positions (
    stream       INTEGER PRIMARY KEY,
    sale_id      TEXT,
    batch_number INTEGER NOT NULL,
    batch_id     TEXT NOT NULL,
    batch_at     TEXT NOT NULL,
    batch_ms     INTEGER NOT NULL,
    stopped_ms   INTEGER NOT NULL,
    in_line      INTEGER
) STRICT;

CREATE TABLE sales (
    sale_id         TEXT PRIMARY KEY,
    state           TEXT NOT NULL CHECK (state IN ('scheduled', 'open', 'paused', 'closed')),
    currency        TEXT NOT NULL,
    time_zone       TEXT NOT NULL,
    scheduled_at    TEXT NOT NULL,
    opens_at        TEXT NOT NULL,
    closes_at       TEXT,
    opened_at       TEXT,
    closed_at       TEXT,
    line_ended_at   TEXT,
    line_end_reason TEXT
) STRICT;

CREATE TABLE sale_limits (
    sale_id TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   INTEGER NOT NULL,
    PRIMARY KEY (sale_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE pools (
    sale_id     TEXT NOT NULL,
    pool_number INTEGER NOT NULL,
    name        TEXT NOT NULL,
    PRIMARY KEY (sale_id, pool_number)
) STRICT, WITHOUT ROWID;

CREATE TABLE performances (
    performance_id     TEXT PRIMARY KEY,
    sale_id            TEXT NOT NULL,
    performance_number INTEGER NOT NULL,
    title              TEXT NOT NULL,
    venue              TEXT NOT NULL,
    date               TEXT NOT NULL,
    starts_at          TEXT NOT NULL
) STRICT;

CREATE TABLE plan_seats (
    seat_key       INTEGER PRIMARY KEY,
    performance_id TEXT NOT NULL,
    seat_number    TEXT NOT NULL,
    sale_id        TEXT NOT NULL,
    seat_index     INTEGER NOT NULL,
    section        TEXT NOT NULL,
    row            TEXT NOT NULL,
    grade          TEXT NOT NULL,
    price          INTEGER NOT NULL,
    pool           TEXT,
    planned_pool   TEXT,
    UNIQUE (performance_id, seat_number)
) STRICT;

CREATE TABLE visits (
    visit_key          INTEGER PRIMARY KEY,
    sale_id            TEXT NOT NULL,
    visit_number       INTEGER NOT NULL,
    entry_number       INTEGER NOT NULL,
    state              TEXT NOT NULL,
    admitted_at        TEXT NOT NULL,
    ended_at           TEXT,
    reservation_number INTEGER
) STRICT;

CREATE INDEX visits_by_entry ON visits (entry_number);

CREATE TABLE reservations (
    reservation_key    INTEGER PRIMARY KEY,
    reservation_id     TEXT NOT NULL,
    sale_id            TEXT NOT NULL,
    reservation_number INTEGER NOT NULL,
    visit_number       INTEGER NOT NULL,
    entry_number       INTEGER NOT NULL,
    state              TEXT NOT NULL
        CHECK (state = 'held' OR state = 'paying' OR state = 'confirmed' OR state = 'given_back'
            OR state = 'expired'),
    seats              INTEGER NOT NULL,
    amount             INTEGER NOT NULL,
    held_at            TEXT NOT NULL,
    held_until         TEXT,
    hard_end           TEXT,
    ended_at           TEXT
) STRICT;

CREATE TABLE reservation_lines (
    line_key       INTEGER PRIMARY KEY,
    reservation_id TEXT NOT NULL,
    line_number    INTEGER NOT NULL,
    sale_id        TEXT NOT NULL,
    performance_id TEXT NOT NULL,
    seat_number    TEXT NOT NULL,
    grade          TEXT NOT NULL,
    price          INTEGER NOT NULL,
    live           INTEGER NOT NULL CHECK (live IN (0, 1))
) STRICT;

CREATE UNIQUE INDEX one_live_owner ON reservation_lines (seat_number, performance_id)
WHERE live = 1;

CREATE VIEW seats AS
SELECT
    plan_seats.performance_id, plan_seats.seat_number, plan_seats.sale_id, seat_index, section, row,
    plan_seats.grade, plan_seats.price,
    CASE
        WHEN reservations.state = 'confirmed' THEN 'sold'
        WHEN live = 1 THEN 'held'
        WHEN pool IS NOT NULL THEN 'withheld'
        ELSE 'free'
    END AS state,
    pool, planned_pool, claims.reservation_id
FROM plan_seats
LEFT JOIN reservation_lines AS claims
    ON claims.seat_number = plan_seats.seat_number
    AND claims.performance_id = plan_seats.performance_id AND live = 1
LEFT JOIN reservations ON reservation_key = line_key >> 5;

CREATE TABLE payments (
    payment_key        INTEGER PRIMARY KEY,
    payment_id         TEXT NOT NULL,
    sale_id            TEXT NOT NULL,
    payment_number     INTEGER NOT NULL,
    reservation_id     TEXT NOT NULL,
    reservation_number INTEGER NOT NULL,
    amount             INTEGER NOT NULL,
    state              TEXT NOT NULL
        CHECK (state = 'running' OR state = 'unknown' OR state = 'approved' OR state = 'declined'
            OR state = 'refund_due' OR state = 'refunded'),
    begun_at           TEXT NOT NULL,
    settled_at         TEXT,
    decline_reason     TEXT,
    retryable          INTEGER
) STRICT;

CREATE TABLE refunds (
    payment_id     TEXT PRIMARY KEY,
    sale_id        TEXT NOT NULL,
    reservation_id TEXT NOT NULL,
    amount         INTEGER NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('due', 'done')),
    due_at         TEXT NOT NULL,
    refunded_at    TEXT
) STRICT;

CREATE TABLE line_minutes (
    sale_id        TEXT NOT NULL,
    minute         TEXT NOT NULL,
    joined         INTEGER NOT NULL,
    admitted       INTEGER NOT NULL,
    passed_over    INTEGER NOT NULL,
    turns_missed   INTEGER NOT NULL,
    "left"         INTEGER NOT NULL,
    places_expired INTEGER,
    in_line        INTEGER,
    in_line_max    INTEGER,
    chose_nothing  INTEGER NOT NULL,
    holds          INTEGER NOT NULL,
    holds_ended    INTEGER NOT NULL,
    payments_begun INTEGER NOT NULL,
    declined       INTEGER NOT NULL,
    confirmed      INTEGER NOT NULL,
    seats_sold     INTEGER NOT NULL,
    income         INTEGER NOT NULL,
    PRIMARY KEY (sale_id, minute)
) STRICT, WITHOUT ROWID;
"#;

/// Rows that change are written anew on their page, if it has room for them.
const WITH_ROOM: &str = ") WITH (fillfactor = 70)";

/// How the tables are made in PostgreSQL. There the rows of an index lie in no order of keys, so that an
/// entry's last visit is found by both.
pub(super) fn of_postgres() -> String {
    CREATE_TABLES
        .replace(" INTEGER", " bigint")
        .replace(" TEXT", " text")
        .replace(") STRICT, WITHOUT ROWID", ")")
        .replace(") STRICT", WITH_ROOM)
        .replace("visits (entry_number)", "visits (entry_number, visit_key)")
}

/// Whatever is read from now on is of one moment.
pub(super) const LOOK: &str = "
-- look
BEGIN
";

/// Opens the file at `path` as it is.
pub(super) fn connect(path: &Path) -> Result<Connection, LedgerError> {
    // No URI: a directory may be called anything.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    Ok(connection)
}

/// Which version the tables are of; 0 for a file without tables.
pub(super) fn version(connection: &Connection) -> Result<u32, LedgerError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Makes the tables in a new file for the owner's eyes alone.
pub(super) fn create(path: &Path, epoch: &str) -> Result<Connection, LedgerError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| unusable(path, &error))?;
    let mut connection = connect(path)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(CREATE_TABLES)?;
    transaction.execute(statements::INSERT_EPOCH, [epoch])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(connection)
}

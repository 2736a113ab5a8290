//! The ledger in PostgreSQL: the same tables in the database of the journal, in a schema of their own, kept by
//! one node at a time.
//!
//! **Nothing is written twice.** The transaction that writes a piece first moves its stream's position from
//! the very batch that the piece follows. Of two nodes that write the same, the second waits for the first,
//! finds that the position has moved, and undoes everything. So who keeps the ledger is a question of work
//! saved alone: [`KEPT_FOR_MS`] in the row of `keeper`, by the database's clock, put off before each piece in a
//! transaction of its own: a piece may take minutes, and nobody who looks waits for it.
//!
//! **Nothing is written that the journal could lose.** The same statement asks whether the piece's last batch
//! is in this database's journal. Its commit waits for no disk and no standby (`synchronous_commit` is off), and
//! is not told to anybody: where a server loses the journal's last batches, it loses what was written from
//! them too, for that came later, and the positions with it. A database that has not what the journal has is
//! not its server any more: it is left, for the next one in the address.
//!
//! **All learn of a violation.** Whoever finds it notes it in `violations`, and every node looks there.
//!
//! Deliberately absent: advisory locks, triggers, notifications; a plan that reads a whole table because it
//! was made when that was empty (`enable_seqscan` is off).

mod making;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use making::Making;

use super::projector::Projector;
use super::tables::{Row, Tables, out_of_reach, row, told};
use super::{Keeper, LedgerError, Position, Violation, head_of, schema, statements};
use crate::postgres::{Access, QUESTION_MAX, Transaction, Transactions};
use crate::{Batch, Epoch, Head, StreamId};

/// For how long a node keeps the ledger that says nothing more.
const KEPT_FOR_MS: i64 = 10_000;
/// With so much of it left, it says so again.
const PUT_OFF_AT_MS: i64 = 7_000;
/// How long an answer may take where many rows are read or written; the server gives up a minute sooner.
const LONG_MAX: Duration = Duration::from_mins(5);

const BEGIN: &str = "
-- begin_ledger
BEGIN;

SELECT
    set_config('search_path', 'ledger, ' || current_setting('search_path'), true),
    set_config('synchronous_commit', 'off', true),
    set_config('enable_seqscan', 'off', true)
";

/// Ends the transaction in which the keeping was put off, for others ask for that row, and begins that of a
/// piece. One event may move all rows of a sale.
const BEGIN_PIECE: &str = "
-- begin_piece
COMMIT;

BEGIN;

SELECT
    set_config('search_path', 'ledger, ' || current_setting('search_path'), true),
    set_config('synchronous_commit', 'off', true),
    set_config('enable_seqscan', 'off', true),
    set_config('statement_timeout', '4min', true)
";

/// Whatever is read from now on is of one moment, for an hour at most.
const BEGIN_LOOK: &str = "
-- begin_look
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

SELECT
    set_config('search_path', 'ledger, ' || current_setting('search_path'), true),
    set_config('idle_in_transaction_session_timeout', '1h', true),
    set_config('statement_timeout', '4min', true)
";

const FIND_LEDGER: &str = "
-- find_ledger
SELECT
    (to_regnamespace('ledger') IS NOT NULL)::integer::bigint,
    (to_regclass('ledger.keeper') IS NOT NULL)::integer::bigint,
    (to_regclass('journal_meta') IS NOT NULL)::integer::bigint
";

/// Takes the keeping if nobody has it, or puts off its end if we have it and that comes near.
const TAKE_KEEPING: &str = "
-- take_keeping
UPDATE keeper
SET node = ?1,
    until_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + ?2::bigint
WHERE (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    >= until_ms - CASE WHEN node = ?1 THEN ?3::bigint ELSE 0 END
";

const GIVE_UP_KEEPING: &str = "
-- give_up_keeping
UPDATE keeper
SET node = NULL, until_ms = 0
WHERE node = ?1
";

/// Who keeps it, and for how long that is settled.
const READ_KEEPER: &str = "
-- read_keeper
SELECT
    version, node,
    until_ms - (extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM keeper
";

const READ_VIOLATIONS: &str = "
-- read_violations
SELECT stream, sale_id, performance_id, seat_number, owner_id, claimant_id
FROM violations
";

/// Nothing, where what could not be written is no longer next.
const INSERT_VIOLATION: &str = "
-- insert_violation
INSERT INTO violations (stream, sale_id, performance_id, seat_number, owner_id, claimant_id)
SELECT ?1::bigint, ?2, ?3, ?4, ?5, ?6
WHERE ?7::bigint = coalesce((SELECT batch_number FROM positions WHERE stream = ?1), 0)
ON CONFLICT (stream) DO NOTHING
";

/// Where one stream is.
const READ_HEAD: &str = "
-- read_ledger_head
SELECT batch_number, batch_id
FROM positions
WHERE stream = ?1
";

const READ_HEADS: &str = "
-- read_ledger_heads
SELECT stream, batch_number, batch_id
FROM positions
";

/// The first piece of a stream.
const TAKE_POSITION: &str = "
-- take_position
INSERT INTO positions
    (stream, batch_number, batch_id, batch_at, batch_ms, stopped_ms)
SELECT ?1::bigint, number, ?3::text, '', 0, 0
FROM journal_batch
WHERE stream = ?1::bigint AND number = ?2::bigint AND id = decode(?3::text, 'hex')
ON CONFLICT (stream) DO NOTHING
";

/// Every further one.
const MOVE_POSITION: &str = "
-- move_position
UPDATE positions
SET batch_number = ?2::bigint, batch_id = ?3::text
FROM journal_batch
WHERE journal_batch.stream = ?1::bigint AND number = ?2::bigint AND id = decode(?3::text, 'hex')
    AND positions.stream = ?1::bigint AND batch_number = ?4::bigint AND batch_id = ?5::text
";

/// The tables in PostgreSQL, as one node sees them.
pub(super) struct Database {
    transactions: Transactions,
    epoch: Epoch,
    /// What this node is called.
    node: String,
    /// The moment of which everything is read, where nothing else is done.
    look: Option<Transaction>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Drop for Database {
    /// Says goodbye, so that the server has nothing to wonder about.
    fn drop(&mut self) {
        if let Some(look) = self.look.take() {
            look.roll_back();
        }
    }
}

/// What a node finds when it looks.
pub(super) struct Found {
    /// Whether this node keeps the ledger.
    pub(super) is_kept_here: bool,
    pub(super) violations: Vec<Violation>,
    /// How far each stream is.
    pub(super) heads: BTreeMap<StreamId, Head>,
}

impl Database {
    /// The tables of the journal of this epoch, made if there are none, or older ones, or those of another
    /// history.
    pub(super) fn open(
        address: &str,
        password: Option<&str>,
        node: &str,
        epoch: Epoch,
    ) -> Result<Self, LedgerError> {
        let opened = Self::reach(address, password, node, epoch, Access::Write)?;
        match opened.make(Making::WhatIsMissing) {
            Err(LedgerError::Damaged(why)) => {
                tracing::warn!(why, "the ledger is built anew");
                opened.make(Making::Anew)?;
            }
            other => other?,
        }
        Ok(opened)
    }

    /// The same, emptied, and kept by this node from now on.
    pub(super) fn open_anew(
        address: &str,
        password: Option<&str>,
        node: &str,
        epoch: Epoch,
    ) -> Result<Self, LedgerError> {
        let opened = Self::reach(address, password, node, epoch, Access::Write)?;
        opened.make(Making::Anew)?;
        Ok(opened)
    }

    /// As they are at one moment, or why they are of no use.
    pub(super) fn look_at(
        address: &str,
        password: Option<&str>,
        epoch: Epoch,
    ) -> Result<Self, LedgerError> {
        let mut opened = Self::reach(address, password, "", epoch, Access::Read)?;
        opened.look = Some(opened.begin(BEGIN_LOOK, LONG_MAX)?);
        opened.looked(|tables| {
            if tables.find(FIND_LEDGER, row![], |row| row.number(1))? != Some(1) {
                return Err(LedgerError::Absent("in this database".to_owned()));
            }
            if let (found @ 0..schema::VERSION, ..) = read_keeper(tables)? {
                return Err(LedgerError::Damaged(format!("it has schema version {found}")));
            }
            if read_epoch(tables)? != Some(epoch.to_string()) {
                return Err(LedgerError::Damaged("it is of another history".to_owned()));
            }
            Ok(())
        })?;
        Ok(opened)
    }

    fn reach(
        address: &str,
        password: Option<&str>,
        node: &str,
        epoch: Epoch,
        access: Access,
    ) -> Result<Self, LedgerError> {
        let transactions = Transactions::open(address, password, access, epoch)?;
        Ok(Self { transactions, epoch, node: node.to_owned(), look: None })
    }

    fn begin(
        &self,
        statements: &'static str,
        patience: Duration,
    ) -> Result<Transaction, LedgerError> {
        self.transactions.begin(statements, patience).map_err(out_of_reach)
    }

    /// Empties the tables, or makes them where they are gone. This node keeps them then.
    pub(super) fn start_over(&self) -> Result<(), LedgerError> {
        self.make(Making::Anew)
    }

    /// Does something in one transaction.
    fn within<T>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.within_for(QUESTION_MAX, work)
    }

    /// The same. An answer may take so long.
    fn within_for<T>(
        &self,
        patience: Duration,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut transaction = self.begin(BEGIN, patience)?;
        let done = {
            let mut tables = Tables::database(&mut transaction);
            work(&mut tables).and_then(|done| tables.settle().map(|()| done))
        };
        match done {
            Ok(done) => transaction.commit().map_err(told).map(|()| done),
            Err(error) => {
                transaction.roll_back();
                Err(error)
            }
        }
    }

    // ---- Keeping ----

    /// Sees who keeps it, and takes that over if nobody does; whether a seat has two owners; how far it is.
    pub(super) fn look(&self) -> Result<Found, LedgerError> {
        self.within(|tables| {
            tables.run(TAKE_KEEPING, row![&self.node, KEPT_FOR_MS, PUT_OFF_AT_MS])?;
            let (_, keeper) = read_keeper(tables)?;
            let is_kept_here = keeper.is_some_and(|keeper| keeper.node == self.node);
            let violations = read_violations(tables)?;
            let heads = tables.rows(READ_HEADS, row![], |row| {
                Ok((StreamId(row.count(0)?), head_of(row.number(1)?, &row.text(2)?)))
            })?;
            Ok(Found { is_kept_here, violations, heads: heads.into_iter().collect() })
        })
    }

    /// Writes what batches say that follow `position`, and moves it; or says that it has moved already, or
    /// that this is not in the database's journal.
    pub(super) fn write(
        &mut self,
        stream: StreamId,
        position: &mut Position,
        batches: &[Batch],
    ) -> Result<bool, LedgerError> {
        let before = position.clone();
        let written = match self.attempt(stream, position, batches, false) {
            // What was missed was missed too late to say where.
            Err(LedgerError::Damaged(_)) => {
                *position = before.clone();
                self.attempt(stream, position, batches, true)
            }
            other => other,
        };
        match &written {
            Ok(false) => self.leave_if_lost(stream, before.head)?,
            Err(LedgerError::Violated(violation)) => self.note(violation, before.head)?,
            Ok(true) | Err(_) => {}
        }
        written
    }

    fn attempt(
        &self,
        stream: StreamId,
        position: &mut Position,
        batches: &[Batch],
        waits: bool,
    ) -> Result<bool, LedgerError> {
        let Some(last) = batches.last() else { return Ok(true) };
        self.within_for(LONG_MAX, |tables| {
            tables.run(TAKE_KEEPING, row![&self.node, KEPT_FOR_MS, PUT_OFF_AT_MS])?;
            tables.script(BEGIN_PIECE);
            if !moves(tables, stream, position.head, last.head())? {
                return Ok(false);
            }
            tables.waits_for_each(waits);
            Projector::new(tables, stream, position).write(batches)?;
            Ok(true)
        })
    }

    /// Leaves a server whose position has not moved, and whose journal is not the one that is read: one that
    /// lost its place, and goes on answering.
    fn leave_if_lost(&self, stream: StreamId, known: Head) -> Result<(), LedgerError> {
        let found = self.within(|tables| {
            tables.find(READ_HEAD, row![stream.0], |row| Ok(head_of(row.number(0)?, &row.text(1)?)))
        })?;
        if found.unwrap_or(Head::EMPTY) == known {
            self.transactions.leave();
        }
        Ok(())
    }

    /// Lets everybody know that a seat has two owners.
    fn note(&self, violation: &Violation, before: Head) -> Result<(), LedgerError> {
        let Violation { stream, sale, performance, seat, owner, claimant } = violation;
        let before = before.number.cast_signed();
        let row = row![stream.0, sale, performance, seat, owner, claimant, before];
        self.within(|tables| tables.run(INSERT_VIOLATION, row))
    }

    /// Lets another node keep it from now on, if this one did.
    pub(super) fn give_up(&self) -> Result<(), LedgerError> {
        self.within(|tables| tables.run(GIVE_UP_KEEPING, row![&self.node]))
    }

    /// Reads from the tables, as they are at the moment of the look, or now.
    pub(super) fn looked<T>(
        &mut self,
        read: impl FnOnce(&mut Tables<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        if let Some(look) = &mut self.look {
            return read(&mut Tables::database(look));
        }
        self.within(read)
    }

    /// Who keeps it, if anybody does.
    pub(super) fn keeper(&mut self) -> Result<Option<Keeper>, LedgerError> {
        self.looked(|tables| read_keeper(tables).map(|(_, keeper)| keeper))
    }
}

/// Moves a position from where it is thought to be, if it is there, and if that is in the journal.
fn moves(
    tables: &mut Tables<'_>,
    stream: StreamId,
    from: Head,
    to: Head,
) -> Result<bool, LedgerError> {
    let (number, id) = (to.number.cast_signed(), to.id.to_string());
    if from == Head::EMPTY {
        return tables.changes(TAKE_POSITION, row![stream.0, number, id]);
    }
    let (from_number, from_id) = (from.number.cast_signed(), from.id.to_string());
    tables.changes(MOVE_POSITION, row![stream.0, number, id, from_number, from_id])
}

/// The version of the tables, which is not a newer one, and who keeps them.
fn read_keeper(tables: &mut Tables<'_>) -> Result<(u32, Option<Keeper>), LedgerError> {
    let read = |row: Row<'_>| {
        let left_ms = row.number(2)?;
        let keeper = row.maybe_text(1)?.filter(|_| left_ms > 0);
        Ok((row.count(0)?, keeper.map(|node| Keeper { node, left_ms: left_ms.cast_unsigned() })))
    };
    let found = tables.find(READ_KEEPER, row![], read)?;
    let Some((found, keeper)) = found else {
        return Err(LedgerError::Damaged("the table keeper has no row".to_owned()));
    };
    if found > schema::VERSION {
        return Err(LedgerError::NewerSchema { found, known: schema::VERSION });
    }
    Ok((found, keeper))
}

fn read_violations(tables: &mut Tables<'_>) -> Result<Vec<Violation>, LedgerError> {
    tables.rows(READ_VIOLATIONS, row![], |row| {
        Ok(Violation {
            stream: StreamId(row.count(0)?),
            sale: row.text(1)?,
            performance: row.text(2)?,
            seat: row.text(3)?,
            owner: row.text(4)?,
            claimant: row.text(5)?,
        })
    })
}

fn read_epoch(tables: &mut Tables<'_>) -> Result<Option<String>, LedgerError> {
    tables.find(statements::READ_EPOCH, row![], |row| row.text(0))
}

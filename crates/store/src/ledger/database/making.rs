//! Making the ledger's tables in PostgreSQL, and emptying them. Several nodes that start at a time make them
//! once: whoever comes second waits for the first one's transaction, at the row of `keeper`, or, where not even
//! that was there, fails at PostgreSQL's own tables and looks again.
//!
//! They are emptied where they can be, for then those who may read them still may.

use super::{BEGIN, Database, FIND_LEDGER, KEPT_FOR_MS, read_epoch};
use crate::ledger::tables::{Row, Tables, row, told};
use crate::ledger::{LedgerError, schema};
use crate::postgres::QUESTION_MAX;

/// How often somebody else who makes the tables may be in the way before it is said.
const RACES_MAX: u32 = 10;

const CREATE_SCHEMA: &str = "
-- create_ledger_schema
CREATE SCHEMA ledger
";

/// Version 0 has no other table.
const CREATE_KEEPER: &str = "
-- create_keeper
CREATE TABLE ledger.keeper (
    version  bigint PRIMARY KEY,
    journal  text,
    node     text,
    until_ms bigint NOT NULL
);

INSERT INTO ledger.keeper (version, until_ms)
VALUES (0, 0)
";

/// Whether its row is there.
const COUNT_KEEPERS: &str = "
-- count_keepers
SELECT count(*)
FROM ledger.keeper
";

/// Once, whoever else mends it.
const MEND_KEEPER: &str = "
-- mend_keeper
LOCK TABLE ledger.keeper IN SHARE ROW EXCLUSIVE MODE;

INSERT INTO ledger.keeper (version, until_ms)
SELECT 0, 0
WHERE NOT EXISTS (SELECT FROM ledger.keeper)
";

const CREATE_VIOLATIONS: &str = "
-- create_violations
CREATE TABLE violations (
    stream         bigint PRIMARY KEY,
    sale_id        text NOT NULL,
    performance_id text NOT NULL,
    seat_number    text NOT NULL,
    owner_id       text NOT NULL,
    claimant_id    text NOT NULL
)
";

/// In the order in which a look reads them and a piece writes them, so that neither waits for the other: all
/// begin with one of the first three, and reports read the view before what it is made of.
const DROP_TABLES: &str = "
-- drop_ledger
DROP TABLE IF EXISTS ledger.violations, ledger.history, ledger.positions;

DROP VIEW IF EXISTS ledger.seats;

DROP TABLE IF EXISTS
    ledger.sales, ledger.sale_limits, ledger.pools, ledger.performances, ledger.plan_seats,
    ledger.visits, ledger.reservations, ledger.reservation_lines, ledger.payments, ledger.refunds, ledger.line_minutes
";

/// In the same order.
const EMPTY_TABLES: &str = "
-- empty_ledger
TRUNCATE
    ledger.violations, ledger.history, ledger.positions, ledger.sales, ledger.sale_limits,
    ledger.pools, ledger.performances, ledger.plan_seats, ledger.visits, ledger.reservations,
    ledger.reservation_lines, ledger.payments, ledger.refunds, ledger.line_minutes
";

/// Whether all tables are there, and of this version.
const FIND_TABLES: &str = "
-- find_ledger_tables
SELECT (count(*) = 15 AND (SELECT version = ?1::bigint FROM keeper))::integer::bigint
FROM pg_class
WHERE relnamespace = 'ledger'::regnamespace
    AND relname IN (
        'history', 'positions', 'sales', 'sale_limits', 'pools', 'performances', 'plan_seats',
        'seats', 'visits', 'reservations', 'reservation_lines', 'payments', 'refunds',
        'line_minutes', 'violations'
    )
";

/// Of which version the tables are, for which journal, and where ours is.
const SEE_LEDGER: &str = "
-- see_ledger
SELECT
    version, journal,
    (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'journal_meta'::regclass)
FROM keeper
";

/// The same. Whoever else makes them waits here.
const LOCK_LEDGER: &str = "
-- lock_ledger
SELECT
    version, journal,
    (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'journal_meta'::regclass)
FROM keeper
FOR UPDATE
";

const SET_LEDGER: &str = "
-- set_ledger
UPDATE keeper
SET version = ?1,
    journal = (
        SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'journal_meta'::regclass
    )
";

/// Nothing, where the journal has another epoch by now.
const INSERT_EPOCH: &str = "
-- insert_ledger_epoch
INSERT INTO history (epoch)
SELECT ?1::text
FROM journal_meta
WHERE epoch = ?2::bigint
";

/// Takes the keeping from whoever has it.
const FORCE_KEEPING: &str = "
-- force_keeping
UPDATE keeper
SET node = ?1,
    until_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + ?2::bigint
";

/// Whether the tables are left as they are, if they are of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Making {
    WhatIsMissing,
    /// Everything, and they are kept by the node that makes them.
    Anew,
}

impl Database {
    /// Makes the tables, as far as that is needed.
    pub(super) fn make(&self, making: Making) -> Result<(), LedgerError> {
        self.make_keeper()?;
        self.within(|tables| {
            match making {
                Making::Anew => drop(version(tables, LOCK_LEDGER)?),
                Making::WhatIsMissing => {
                    if self.what_is_missing(tables, SEE_LEDGER)?.is_none() {
                        return Ok(());
                    }
                    let Some(why) = self.what_is_missing(tables, LOCK_LEDGER)? else {
                        return Ok(());
                    };
                    tracing::info!(why, "the ledger is made");
                }
            }
            let is_there = |row: Row<'_>| Ok(row.number(0)? == 1);
            if tables.find(FIND_TABLES, row![schema::VERSION], is_there)? == Some(true) {
                tables.script(EMPTY_TABLES);
            } else {
                tables.script(DROP_TABLES);
                tables.script(&schema::of_postgres());
                tables.script(CREATE_VIOLATIONS);
                tables.settle()?;
            }
            let epoch = row![self.epoch.to_string(), self.epoch.0.cast_signed()];
            tables.one("the journal's epoch", INSERT_EPOCH, epoch)?;
            tables.one("the row of keeper", SET_LEDGER, row![schema::VERSION])?;
            match making {
                Making::WhatIsMissing => Ok(()),
                Making::Anew => tables.run(FORCE_KEEPING, row![&self.node, KEPT_FOR_MS]),
            }
        })
    }

    /// Why the tables have to be made, if they have to be.
    fn what_is_missing(
        &self,
        tables: &mut Tables<'_>,
        statement: &'static str,
    ) -> Result<Option<&'static str>, LedgerError> {
        match version(tables, statement)? {
            0 => Ok(Some("there is none")),
            schema::VERSION => {
                let is_ours = read_epoch(tables)? == Some(self.epoch.to_string());
                Ok((!is_ours).then_some("it is of another history"))
            }
            found if found > schema::VERSION => {
                Err(LedgerError::NewerSchema { found, known: schema::VERSION })
            }
            _ => Ok(Some("it is of an older version")),
        }
    }

    /// Makes the row that everything else waits for.
    fn make_keeper(&self) -> Result<(), LedgerError> {
        let mut races = 0;
        loop {
            let mut transaction = self.begin(BEGIN, QUESTION_MAX)?;
            let is =
                |row: Row<'_>| Ok([row.number(0)? == 1, row.number(1)? == 1, row.number(2)? == 1]);
            let found = Tables::database(&mut transaction).find(FIND_LEDGER, row![], is)?;
            let [has_schema, has_keeper, has_journal] = found.unwrap_or_default();
            if !has_journal {
                // Somebody puts the database back: not a time to make anything.
                let why = "the journal is no longer in this database".to_owned();
                return Err(LedgerError::Unavailable(why));
            }
            if has_keeper {
                let count = |row: Row<'_>| row.number(0);
                let has_row =
                    Tables::database(&mut transaction).find(COUNT_KEEPERS, row![], count)?;
                if has_row != Some(0) {
                    transaction.roll_back();
                    return Ok(());
                }
                transaction.run(MEND_KEEPER.to_owned());
            } else {
                if !has_schema {
                    transaction.run(CREATE_SCHEMA.to_owned());
                }
                transaction.run(CREATE_KEEPER.to_owned());
            }
            let Err(broken) = transaction.commit() else { return Ok(()) };
            if broken.is_forbidden() {
                let why = broken.meaning();
                return Err(LedgerError::Refused(format!(
                    "the schema ledger cannot be made: {why}; let the role that serves own one: \
                     CREATE SCHEMA ledger AUTHORIZATION …"
                )));
            }
            races += 1;
            if !broken.is_race() || races > RACES_MAX {
                return Err(told(broken));
            }
        }
    }
}

/// Of which version the tables are, unless they are those of another journal.
fn version(tables: &mut Tables<'_>, statement: &'static str) -> Result<u32, LedgerError> {
    let read = |row: Row<'_>| Ok((row.count(0)?, row.maybe_text(1)?, row.maybe_text(2)?));
    let Some((version, journal, ours)) = tables.find(statement, row![], read)? else {
        return Err(LedgerError::Damaged("the table keeper has no row".to_owned()));
    };
    match journal {
        Some(other) if Some(&other) != ours.as_ref() => Err(LedgerError::Refused(format!(
            "the schema ledger of this database is that of the journal in the schema {other}; a \
             database has one ledger"
        ))),
        Some(_) | None => Ok(version),
    }
}

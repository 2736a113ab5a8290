//! The tables, which version of them is there, and the epoch.
//!
//! Everything is in the schema that the connection's `search_path` names first, and every table is
//! named `journal_…`, so that a database may have other things in it. Several nodes that start at a
//! time bring the tables up once: whoever comes second waits for the first one's transaction, at the
//! row that says the version, or, where not even that was there, fails at PostgreSQL's own tables and
//! looks again. A role that may not create anything can use tables that are up to date.
//!
//! The tables know the server they are in, so that a dump that was put into another one is noticed.

use tokio_postgres::Error;

use super::Access;
use super::connection::{Connection, value};
use super::failure;
use crate::{Epoch, Format, Options, StoreError};

/// How often somebody else may be in the way before it is said.
const RACES_MAX: u32 = 10;

pub(super) const BEGIN: &str = "
-- begin
BEGIN
";

pub(super) const COMMIT: &str = "
-- commit
COMMIT
";

pub(super) const ROLL_BACK: &str = "
-- roll_back
ROLLBACK
";

const FIND_SCHEMA: &str = "
-- find_schema
SELECT to_regclass('journal_schema') IS NOT NULL
";

const READ_VERSION: &str = "
-- read_version
SELECT version
FROM journal_schema
";

const CREATE_VERSION: &str = "
-- create_version
CREATE TABLE IF NOT EXISTS journal_schema (
    one     boolean NOT NULL,
    version integer NOT NULL,
    CONSTRAINT journal_schema_one_row PRIMARY KEY (one),
    CONSTRAINT journal_schema_row_is_one CHECK (one)
);

INSERT INTO journal_schema (one, version)
VALUES (true, 0)
ON CONFLICT ON CONSTRAINT journal_schema_one_row DO NOTHING
";

/// Whoever else brings up the tables waits here.
const LOCK_VERSION: &str = "
-- lock_version
SELECT version
FROM journal_schema
FOR UPDATE
";

const SET_VERSION: &str = "
-- set_version
UPDATE journal_schema
SET version = $1::integer
";

/// What leads from each version to the next. The latest an `at` may be stands beside it, so that the
/// database itself refuses what is too far ahead of its clock, or before what it follows; and by the
/// constraint's name the refusal is known. A body is not compressed: it is dense already, and read
/// whole.
///
/// A stream's row changes with each batch, and while any transaction of this database is open, of a report
/// or a backup, PostgreSQL keeps all that it was. The number in its key leads past those to the last.
///
/// The tables of the fifth step stay empty: they are there to be queued for ([`super::turns`]).
const STEPS: [&str; 5] = [
    "
-- create_schema_1
CREATE TABLE journal_meta (
    one                 boolean NOT NULL,
    epoch               bigint NOT NULL,
    heartbeat_ms        bigint,
    heartbeat_latest_ms bigint,
    confirmations       bigint NOT NULL,
    CONSTRAINT journal_meta_one_row PRIMARY KEY (one),
    CONSTRAINT journal_meta_row_is_one CHECK (one),
    CONSTRAINT journal_meta_heartbeat_is_a_time CHECK (heartbeat_ms >= 0),
    CONSTRAINT journal_meta_heartbeat_is_not_ahead CHECK (heartbeat_ms <= heartbeat_latest_ms)
);

CREATE TABLE journal_stream (
    stream         integer NOT NULL,
    number         bigint NOT NULL,
    id             bytea NOT NULL,
    previous_at_ms bigint NOT NULL,
    at_ms          bigint NOT NULL,
    latest_ms      bigint NOT NULL,
    CONSTRAINT journal_stream_one_row PRIMARY KEY (stream),
    CONSTRAINT journal_stream_id_is_128_bits CHECK (octet_length(id) = 16),
    CONSTRAINT journal_stream_time_goes_on CHECK (at_ms >= previous_at_ms),
    CONSTRAINT journal_stream_is_not_ahead CHECK (at_ms <= latest_ms)
) WITH (fillfactor = 20);

CREATE TABLE journal_batch (
    stream   integer NOT NULL,
    number   bigint NOT NULL,
    id       bytea NOT NULL,
    previous bytea NOT NULL,
    at_ms    bigint NOT NULL,
    checksum bytea NOT NULL,
    body     bytea NOT NULL,
    CONSTRAINT journal_batch_one_per_number PRIMARY KEY (stream, number),
    CONSTRAINT journal_batch_id_is_128_bits CHECK (octet_length(id) = 16),
    CONSTRAINT journal_batch_previous_is_128_bits CHECK (octet_length(previous) = 16),
    CONSTRAINT journal_batch_checksum_is_128_bits CHECK (octet_length(checksum) = 16)
);

ALTER TABLE journal_batch
ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE journal_snapshot (
    stream   integer NOT NULL,
    save     bigint NOT NULL,
    number   bigint NOT NULL,
    id       bytea NOT NULL,
    begun_at timestamptz NOT NULL,
    length   bigint,
    digest   bytea,
    CONSTRAINT journal_snapshot_one_per_save PRIMARY KEY (stream, save)
);

CREATE TABLE journal_snapshot_piece (
    stream integer NOT NULL,
    save   bigint NOT NULL,
    piece  integer NOT NULL,
    bytes  bytea NOT NULL,
    CONSTRAINT journal_snapshot_piece_one_per_place PRIMARY KEY (stream, save, piece),
    CONSTRAINT journal_snapshot_piece_is_of_a_save FOREIGN KEY (stream, save)
        REFERENCES journal_snapshot (stream, save) ON DELETE CASCADE
);

ALTER TABLE journal_snapshot_piece
ALTER COLUMN bytes SET STORAGE EXTERNAL
",
    "
-- create_schema_2
ALTER TABLE journal_meta
ADD COLUMN server bigint
",
    "
-- create_schema_3
ALTER TABLE journal_meta
ADD COLUMN format integer NOT NULL DEFAULT 1,
ADD CONSTRAINT journal_meta_format_is_a_number CHECK (format >= 1)
",
    "
-- create_schema_4
ALTER TABLE journal_stream
DROP CONSTRAINT journal_stream_one_row,
ADD CONSTRAINT journal_stream_one_row PRIMARY KEY (stream, number),
RESET (fillfactor)
",
    "
-- create_schema_5
CREATE TABLE journal_turn_0 ();
CREATE TABLE journal_turn_1 ();
CREATE TABLE journal_turn_2 ();
CREATE TABLE journal_turn_3 ();
CREATE TABLE journal_turn_4 ();
CREATE TABLE journal_turn_5 ();
CREATE TABLE journal_turn_6 ();
CREATE TABLE journal_turn_7 ()
",
];

/// A row that is there already keeps its format.
const INSERT_META: &str = "
-- insert_meta
INSERT INTO journal_meta (one, epoch, confirmations, format)
VALUES (true, $1::bigint, 0, $2::integer)
ON CONFLICT ON CONSTRAINT journal_meta_one_row DO NOTHING
";

const READ_EPOCH: &str = "
-- read_epoch
SELECT epoch
FROM journal_meta
";

/// Tables that are only read may be of a version before the third, when there was only the first format.
const READ_FORMAT: &str = "
-- read_format
SELECT coalesce((to_jsonb(meta) ->> 'format')::integer, 1)
FROM journal_meta AS meta
";

const RAISE_FORMAT: &str = "
-- raise_format
UPDATE journal_meta
SET format = $1::integer
WHERE format < $1::integer
";

const CHANGE_EPOCH: &str = "
-- change_epoch
UPDATE journal_meta
SET epoch = $1::bigint
";

/// Where the tables were made by another server, they were copied: a copy is another history, for the
/// first one may have gone on. A standby that takes over is no other server.
const MOVE_IN: &str = "
-- move_in
UPDATE journal_meta
SET
    epoch = CASE WHEN server IS NULL THEN epoch ELSE $1::bigint END,
    server = system_identifier
FROM pg_control_system()
WHERE server IS DISTINCT FROM system_identifier
RETURNING epoch
";

/// What a role needs on the tables to write the journal, and this one has not. `docs/operations.md` says the
/// same as grants.
const FIND_MISSING_RIGHT: &str = "
-- find_missing_right
SELECT needed.privilege, needed.name
FROM (
    VALUES
        ('SELECT', 'journal_schema'),
        ('SELECT', 'journal_meta'),
        ('UPDATE', 'journal_meta'),
        ('SELECT', 'journal_stream'),
        ('INSERT', 'journal_stream'),
        ('UPDATE', 'journal_stream'),
        ('SELECT', 'journal_batch'),
        ('INSERT', 'journal_batch'),
        ('UPDATE', 'journal_turn_0'),
        ('UPDATE', 'journal_turn_1'),
        ('UPDATE', 'journal_turn_2'),
        ('UPDATE', 'journal_turn_3'),
        ('UPDATE', 'journal_turn_4'),
        ('UPDATE', 'journal_turn_5'),
        ('UPDATE', 'journal_turn_6'),
        ('UPDATE', 'journal_turn_7'),
        ('SELECT', 'journal_snapshot'),
        ('INSERT', 'journal_snapshot'),
        ('UPDATE', 'journal_snapshot'),
        ('DELETE', 'journal_snapshot'),
        ('SELECT', 'journal_snapshot_piece'),
        ('INSERT', 'journal_snapshot_piece'),
        ('DELETE', 'journal_snapshot_piece')
) AS needed (privilege, name)
WHERE NOT has_table_privilege(needed.name, needed.privilege)
LIMIT 1
";

/// A stream whose last batch is not there, or is another one.
const FIND_BROKEN_END: &str = "
-- find_broken_end
SELECT stream.stream
FROM journal_stream AS stream
LEFT JOIN journal_batch AS batch
    ON batch.stream = stream.stream
    AND batch.number = stream.number
WHERE batch.id IS DISTINCT FROM stream.id
ORDER BY stream.stream
LIMIT 1
";

/// Makes sure that the tables are there and of a version and a format that this program knows, and says
/// which history they have: a new epoch, if [`Options::accept_shorter_history`] makes it another one.
pub(super) async fn prepare(
    connection: &Connection,
    access: Access,
    options: &Options,
) -> Result<Epoch, StoreError> {
    let found = check_version(connection).await?;
    if found.is_some_and(|found| found > 0) {
        crate::check_format(read_format(connection).await?)?;
    }
    match (access, found) {
        (Access::Read, None | Some(0)) => {
            return Err(StoreError::NotAStore("this database has no journal".to_owned()));
        }
        (Access::Read, Some(_)) => {}
        (Access::Write, found) => {
            if found < Some(newest()) {
                bring_up_once(connection, options.first_format).await?;
            }
            check_rights(connection).await?;
            let epoch = crate::new_epoch()?;
            if let Some(row) = connection.row(MOVE_IN, &[&epoch.0.cast_signed()]).await?
                && value::<i64>(&row, 0)? == epoch.0.cast_signed()
            {
                tracing::warn!(%epoch, "the history was copied to this server: it has a new epoch");
            }
            if options.accept_shorter_history {
                tracing::warn!(%epoch, "the history is accepted as it is, under a new epoch");
                connection.execute(CHANGE_EPOCH, &[&epoch.0.cast_signed()]).await?;
            }
        }
    }
    if let Some(broken) = connection.row(FIND_BROKEN_END, &[]).await? {
        let stream: i32 = value(&broken, 0)?;
        return Err(StoreError::Corrupt(format!("stream {stream} has lost its last batch")));
    }
    read_epoch(connection).await
}

/// Whoever lacks a right finds out at the start, and not when it is first needed.
async fn check_rights(connection: &Connection) -> Result<(), StoreError> {
    let Some(row) = connection.row(FIND_MISSING_RIGHT, &[]).await? else { return Ok(()) };
    let (privilege, table): (&str, &str) = (value(&row, 0)?, value(&row, 1)?);
    Err(StoreError::Unavailable(format!(
        "this role lacks {privilege} on {table}: the owner of the tables grants it"
    )))
}

/// Makes sure that this is the history it was, and of a version that this program knows: it may have
/// been brought up by another node.
pub(super) async fn check_epoch(connection: &Connection, epoch: Epoch) -> Result<(), StoreError> {
    check_version(connection).await?;
    let found = read_epoch(connection).await?;
    if found == epoch {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "this is another history: its epoch is {found}, and was {epoch} at the start"
    )))
}

/// The newest format that bodies may be in.
pub(super) async fn read_format(connection: &Connection) -> Result<Format, StoreError> {
    let row = connection.one(READ_FORMAT, &[]).await?;
    let found = u32::try_from(value::<i32>(&row, 0)?);
    found.map(Format).map_err(|_| failure::of_value("the format"))
}

/// Raises it, and says whether it was lower.
pub(super) async fn raise_format(connection: &Connection, to: Format) -> Result<bool, StoreError> {
    connection.take_doubt();
    let raised = connection.execute(RAISE_FORMAT, &[&to.0.cast_signed()]).await?;
    if connection.take_doubt() {
        connection.confirm().await?;
    }
    Ok(raised == 1)
}

async fn read_epoch(connection: &Connection) -> Result<Epoch, StoreError> {
    let row = connection.one(READ_EPOCH, &[]).await?;
    value(&row, 0).map(|epoch: i64| Epoch(epoch.cast_unsigned()))
}

/// The version of the tables, if there are any. A newer one is refused.
async fn check_version(connection: &Connection) -> Result<Option<u32>, StoreError> {
    let row = connection.one(FIND_SCHEMA, &[]).await?;
    if !value::<bool>(&row, 0)? {
        return Ok(None);
    }
    let row = connection.one(READ_VERSION, &[]).await?;
    let found = u32::try_from(value::<i32>(&row, 0)?)
        .map_err(|_| failure::of_value("the schema's version"))?;
    if found > newest() {
        return Err(StoreError::NewerSchema { found, known: newest() });
    }
    Ok(Some(found))
}

fn newest() -> u32 {
    u32::try_from(STEPS.len()).expect("a few")
}

/// Brings the tables up, or sees that somebody else did.
async fn bring_up_once(connection: &Connection, format: Format) -> Result<(), StoreError> {
    let epoch = crate::new_epoch()?;
    let mut races = 0;
    loop {
        let Err(error) = bring_up(connection, epoch, format).await else { break };
        connection.run(ROLL_BACK).await?;
        races += 1;
        if !failure::is_race(&error) || races > RACES_MAX {
            let why = failure::described(&error);
            return Err(StoreError::Unavailable(format!("the tables cannot be made: {why}")));
        }
    }
    check_version(connection).await.map(drop)
}

async fn bring_up(connection: &Connection, epoch: Epoch, format: Format) -> Result<(), Error> {
    let client = connection.client();
    client.batch_execute(BEGIN).await?;
    client.batch_execute(CREATE_VERSION).await?;
    let found: i32 = client.query_one(LOCK_VERSION, &[]).await?.try_get(0)?;
    // A newer one is left as it is; the next look refuses it.
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        client.batch_execute(step).await?;
    }
    let newest = newest().cast_signed();
    if found < newest {
        let first = format.0.cast_signed();
        client.execute(INSERT_META, &[&epoch.0.cast_signed(), &first]).await?;
        client.execute(SET_VERSION, &[&newest]).await?;
    }
    client.batch_execute(COMMIT).await
}

//! The database: its tables, its connections and how they are set.
//!
//! A batch is one row, found by one integer key made of its stream and number, so that appending
//! costs one insertion into one tree, and a stream lies in one piece.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{checkpointer, failure, transaction};
use crate::{Epoch, Format, StoreError};

/// The version of the tables below. A newer one is refused; an older one is brought up by [`bring_up`].
const SCHEMA_VERSION: u32 = 2;
/// From this one on the format is said; before it there was only the first.
const VERSION_WITH_FORMAT: u32 = 2;

/// Tells our database from any other SQLite file: "maep".
const APPLICATION_ID: i32 = 0x6d61_6570;

/// How long a connection waits for another one. In WAL mode a writer waits only while a reader in
/// another process recovers the WAL's index after a crash.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// The unit in which SQLite writes: a frame of the WAL is one page. Measured with bodies of 500
/// bytes, 10 KB and 100 KB: 8 KiB cost the same, 16 KiB more.
pub(super) const PAGE_BYTES: u64 = 4096;

const CREATE_SCHEMA: &str = "
-- create_schema
CREATE TABLE batch (
    key      INTEGER CONSTRAINT batch_one_per_number PRIMARY KEY,
    id       BLOB NOT NULL CONSTRAINT batch_id_is_128_bits CHECK (length(id) = 16),
    previous BLOB NOT NULL CONSTRAINT batch_previous_is_128_bits CHECK (length(previous) = 16),
    at_ms    INTEGER NOT NULL CONSTRAINT batch_at_is_a_time CHECK (at_ms >= 0),
    checksum BLOB NOT NULL CONSTRAINT batch_checksum_is_128_bits CHECK (length(checksum) = 16),
    body     BLOB NOT NULL
) STRICT;

CREATE TABLE meta (
    one            INTEGER CONSTRAINT meta_one_row PRIMARY KEY
                           CONSTRAINT meta_row_is_one CHECK (one = 1),
    schema_version INTEGER NOT NULL,
    epoch          INTEGER NOT NULL,
    heartbeat_ms   INTEGER CONSTRAINT meta_heartbeat_is_a_time CHECK (heartbeat_ms >= 0)
) STRICT;
";

const ADD_FORMAT: &str = "
-- add_format
ALTER TABLE meta
ADD COLUMN format INTEGER NOT NULL DEFAULT 1 CONSTRAINT meta_format_is_a_number CHECK (format >= 1);
";

const SET_SCHEMA_VERSION: &str = "
-- set_schema_version
UPDATE meta
SET schema_version = ?1
";

const INSERT_META: &str = "
-- insert_meta
INSERT INTO meta (one, schema_version, epoch, format)
VALUES (1, ?1, ?2, ?3)
";

const READ_FORMAT: &str = "
-- read_format
SELECT format
FROM meta
";

const READ_SCHEMA_VERSION: &str = "
-- read_schema_version
SELECT schema_version
FROM meta
";

const READ_EPOCH: &str = "
-- read_epoch
SELECT epoch
FROM meta
";

const CHANGE_EPOCH: &str = "
-- change_epoch
UPDATE meta
SET epoch = ?1
";

const COUNT_TABLES: &str = "
-- count_tables
SELECT count(*)
FROM sqlite_schema
";

/// The connection that appends. It makes the tables if the file is new, for bodies in `format`.
pub(super) fn open_writer(path: &Path, format: Format) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let is_new = is_new(&connection)?;
    if !is_new {
        check(&connection)?;
    }
    if is_new {
        set_new(&connection).map_err(|error| failure::of(&error))?;
    }
    set_writer(&connection)?;
    if is_new {
        let epoch = crate::new_epoch()?;
        transaction::run(&connection, |connection| {
            connection.execute_batch(CREATE_SCHEMA)?;
            connection.execute_batch(ADD_FORMAT)?;
            connection.execute(INSERT_META, (SCHEMA_VERSION, epoch.0.cast_signed(), format.0))
        })?;
        // Out of the WAL at once: a database whose WAL was lost later must not look like a new one.
        checkpointer::checkpoint_all(&connection)?;
    }
    Ok(connection)
}

/// Brings older tables up: once it is known that the start is not refused, for an older program cannot
/// use them after that.
pub(super) fn bring_up(connection: &Connection) -> Result<(), StoreError> {
    if read_version(connection)? >= SCHEMA_VERSION {
        return Ok(());
    }
    transaction::run(connection, |connection| {
        connection.execute_batch(ADD_FORMAT)?;
        connection.execute(SET_SCHEMA_VERSION, [SCHEMA_VERSION])
    })
    .map(drop)
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    if is_new(&connection)? {
        return Err(StoreError::NotAStore(format!("{} is empty", path.display())));
    }
    check(&connection)?;
    Ok(connection)
}

/// The connection that copies the WAL into the database beside the writer.
pub(super) fn open_checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_durable(&connection).map_err(|error| failure::of(&error))?;
    Ok(connection)
}

pub(super) fn read_epoch(connection: &Connection) -> Result<Epoch, StoreError> {
    connection
        .query_row(READ_EPOCH, [], |row| row.get(0))
        .map(|epoch: i64| Epoch(epoch.cast_unsigned()))
        .map_err(|error| failure::of(&error))
}

/// Makes this another history, durably.
pub(super) fn change_epoch(connection: &Connection, epoch: Epoch) -> Result<(), StoreError> {
    transaction::run(connection, |connection| {
        connection.execute(CHANGE_EPOCH, [epoch.0.cast_signed()])
    })
    .map(drop)
}

/// Takes its epoch from a database that nobody has opened, for it is a copy.
pub(super) fn end_epoch(path: &Path) -> Result<(), StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_durable(&connection).map_err(|error| failure::of(&error))?;
    change_epoch(&connection, Epoch::OF_A_BACKUP)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    // No URI: a directory may be called anything. No mutex: each connection stands behind our own.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        // Closing the last connection would copy the WAL, and nobody would hear of an error; and a
        // start that is refused must leave everything as it was found.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        connection.pragma_update(None, "cell_size_check", "ON")?;
        Ok(connection)
    };
    open().map_err(|error| failure::of(&error))
}

fn is_new(connection: &Connection) -> Result<bool, StoreError> {
    let tables: i64 = connection
        .query_row(COUNT_TABLES, [], |row| row.get(0))
        .map_err(|error| failure::of(&error))?;
    Ok(tables == 0)
}

/// Whether the tables are ours and of a version we know.
fn check(connection: &Connection) -> Result<(), StoreError> {
    let id: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(|error| failure::of(&error))?;
    if id != APPLICATION_ID {
        return Err(StoreError::NotAStore("it is a database of something else".to_owned()));
    }
    let found = read_version(connection)?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::NewerSchema { found, known: SCHEMA_VERSION });
    }
    crate::check_format(read_format(connection)?).map(drop)
}

fn read_version(connection: &Connection) -> Result<u32, StoreError> {
    connection
        .prepare_cached(READ_SCHEMA_VERSION)
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(|error| failure::of(&error))
}

/// The newest format that bodies may be in.
pub(super) fn read_format(connection: &Connection) -> Result<Format, StoreError> {
    if read_version(connection)? < VERSION_WITH_FORMAT {
        return Ok(Format::FIRST);
    }
    connection
        .prepare_cached(READ_FORMAT)
        .and_then(|mut statement| statement.query_row([], |row| row.get(0).map(Format)))
        .map_err(|error| failure::of(&error))
}

/// What goes into the file's header with the first write, and cannot be changed after it.
fn set_new(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE_BYTES.cast_signed())?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)
}

fn set_writer(connection: &Connection) -> Result<(), StoreError> {
    let set = || -> rusqlite::Result<String> {
        set_durable(connection)?;
        // All frames are written by the commit and none before it, so that an error of writing
        // means one thing only. A call's bodies are in memory anyway.
        connection.pragma_update(None, "cache_spill", "OFF")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
    };
    let mode = set().map_err(|error| failure::of(&error))?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(
            "this file system cannot share memory between processes, which a WAL needs; use a \
             local disk"
                .to_owned(),
        ));
    }
    Ok(())
}

fn set_durable(connection: &Connection) -> rusqlite::Result<()> {
    // FULL syncs the WAL at each commit, and the WAL and the database in a checkpoint.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Copying the WAL is the checkpointer's work, not that of an unlucky commit. The answer, the
    // number that was set, is not needed.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))
}

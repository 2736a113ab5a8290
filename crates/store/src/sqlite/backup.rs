//! A copy of a whole data directory, made beside the process that writes to it.
//!
//! The database is copied by SQLite itself, as it stands at one commit (`VACUUM INTO`). While it reads,
//! the WAL cannot be started anew, so it grows by what is written meanwhile; the writer never waits.
//! What is in the copy is checked from the first batch to the last before the copy gets its name: a
//! directory that is there is a backup that can be read.
//!
//! The copy has no epoch of its own ([`Epoch::OF_A_BACKUP`]): whoever opens it to go on from there gets
//! a new one, so that a token that was given after the backup was made is recognised and refused.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::data_dir::{self, DataDir, TEMPORARY_SUFFIX};
use super::snapshots::Snapshots;
use super::{failure, head_file, history, schema};
use crate::{BackedUp, Epoch, Head, StoreError, StreamId};

/// Bytes of batches that are checked at a time.
const READ_BYTES: usize = 16 << 20;

const COPY_INTO: &str = "
-- copy_into
VACUUM INTO ?1
";

/// Copies the directory `from` to `to`, which must not exist: the history, its snapshots, and the
/// files of `from` that `beside` names, if they are there. Those are copied last.
pub(crate) fn back_up(from: &Path, to: &Path, beside: &[&str]) -> Result<BackedUp, StoreError> {
    let unusable = |error: &io::Error| DataDir::new(to).unusable(error);
    let Some(partial) = partial_name(to).filter(|_| fs::symlink_metadata(to).is_err()) else {
        return Err(StoreError::Unavailable(format!(
            "{} is there already, and a backup is never written over anything",
            to.display()
        )));
    };
    let source = DataDir::new(from);
    // One that was left unfinished is of no use to anybody.
    match fs::remove_dir_all(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&error)),
        Ok(()) | Err(_) => {}
    }
    let copy = DataDir::new(&partial);
    copy.make().map_err(|error| unusable(&error))?;

    // The head file first: whatever it says is in the database by then.
    let slots = head_file::read_slots(&source.head_file()).map_err(|e| source.unusable(&e))?;
    if !source.database().exists() {
        return Err(StoreError::NotAStore(format!("{} has no journal.sqlite", source.display())));
    }
    let snapshots = copy_snapshots(&source, &copy, unusable)?;
    copy_database(&source, &copy)?;

    let connection = schema::open_reader(&copy.database())?;
    let heads = history::heads(&connection)?;
    head_file::check(slots.as_deref(), &connection, &heads)?;
    for (stream, head) in &heads {
        check_stream(&connection, *stream, *head)?;
    }
    drop(connection);
    schema::end_epoch(&copy.database())?;
    head_file::replace(&copy.head_file(), Epoch::OF_A_BACKUP, &heads)
        .map_err(|error| unusable(&error))?;

    for name in beside {
        copy_file(&from.join(name), &partial.join(name)).map_err(|error| unusable(&error))?;
    }
    finish(&partial, to).map_err(|error| unusable(&error))?;
    Ok(BackedUp { heads, snapshots })
}

/// Where it is made; none for what can only be there, such as `..`.
fn partial_name(to: &Path) -> Option<PathBuf> {
    Some(data_dir::temporary_name(&to.with_file_name(to.file_name()?)))
}

fn copy_database(source: &DataDir, copy: &DataDir) -> Result<(), StoreError> {
    // Made before SQLite would make it, for the owner's eyes alone.
    let path = copy.database();
    data_dir::open_private(&path).map_err(|error| copy.unusable(&error))?;
    let name = path.to_str().ok_or_else(|| {
        StoreError::Unavailable(format!("{} is not a name that SQLite takes", path.display()))
    })?;
    let connection = schema::open_reader(&source.database())?;
    connection.execute(COPY_INTO, [name]).map_err(|error| failure::of(&error))?;
    Ok(())
}

/// Reads a stream to its end, checking each batch.
fn check_stream(connection: &Connection, stream: StreamId, head: Head) -> Result<(), StoreError> {
    let mut at = Head::EMPTY;
    while at != head {
        let batches = history::read(connection, stream, at, READ_BYTES)?.check()?;
        at = batches.last().map(crate::Batch::head).ok_or_else(|| {
            StoreError::Corrupt(format!("stream {stream} ends at {at}, and not at {head}"))
        })?;
    }
    Ok(())
}

/// Copies the snapshots that are there. They are of no batch after the database's copy, which is made
/// after them; one that is replaced meanwhile is passed over.
fn copy_snapshots(
    source: &DataDir,
    copy: &DataDir,
    unusable: impl Fn(&io::Error) -> StoreError,
) -> Result<usize, StoreError> {
    let unusable = |error: io::Error| unusable(&error);
    let mut copied = 0;
    for from in Snapshots::new(source.snapshots()).entries()? {
        let is_whole = !from.to_string_lossy().ends_with(TEMPORARY_SUFFIX);
        let name = from.file_name().unwrap_or_default();
        if is_whole && copy_file(&from, &copy.snapshots().join(name)).map_err(unusable)? {
            copied += 1;
        }
    }
    Ok(copied)
}

/// Whether it was there to be copied.
fn copy_file(from: &Path, to: &Path) -> io::Result<bool> {
    let mut source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        source => source?,
    };
    let mut copy = data_dir::open_private(to)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()?;
    Ok(true)
}

/// Makes all of it durable, and only then gives it its name.
fn finish(partial: &Path, to: &Path) -> io::Result<()> {
    let copy = DataDir::new(partial);
    File::open(copy.database())?.sync_all()?;
    data_dir::sync_dir(&copy.snapshots())?;
    data_dir::sync_dir(partial)?;
    fs::rename(partial, to)?;
    to.parent().map_or(Ok(()), data_dir::sync_dir)
}

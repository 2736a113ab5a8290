//! What an error of SQLite means for the journal.
//!
//! Three questions decide: was it a *sync* that failed, was it at the *commit*, and is the fault in
//! what is stored.
//!
//! - **A failed sync** (`IOERR_FSYNC`, `IOERR_DIR_FSYNC`) ends the process, wherever it happens. The
//!   kernel may have marked the pages clean and forgotten the error, so that the next sync succeeds
//!   without them (<https://wiki.postgresql.org/wiki/Fsync_Errors>).
//! - **A commit** writes its pages to the end of the WAL, the last of them with the commit mark,
//!   then syncs, then shows them in the index. `FULL` and `IOERR_WRITE` come from the writing: the
//!   mark is not there in full, the transaction is rolled back and its pages will be overwritten.
//!   `BUSY` and `LOCKED` come from before the writing. Anything else (the index cannot grow, no
//!   memory) may come after the sync: the commit may be on disk although it failed, and a later
//!   crash could bring it back. It ends the process too; the next start reads what is there.
//! - **Elsewhere**, a damaged file is [`StoreError::Corrupt`], and the rest is
//!   [`StoreError::Unavailable`]: nothing was written.

use std::io;

use rusqlite::ffi;

use crate::StoreError;

/// A failure at the commit itself. It does not return when the outcome is unknown.
pub(super) fn of_commit(error: &rusqlite::Error) -> StoreError {
    end_if_unknown(meaning_at_commit(error))
}

/// A failure anywhere else: opening, reading, writing before the commit, checkpoints. It does not
/// return when a sync failed.
pub(super) fn of(error: &rusqlite::Error) -> StoreError {
    end_if_unknown(meaning_elsewhere(error))
}

/// A sync of a file of our own failed.
pub(super) fn of_sync(what: &str, error: &io::Error) -> StoreError {
    end_if_unknown(StoreError::SyncFailed(format!("{what}: {error}")))
}

/// Ends the process when what is on disk is no longer known; hands back any other error.
///
/// Starting again is the whole recovery: SQLite reads what reached the disk, and whoever waits for
/// an answer sends the same batch again.
fn end_if_unknown(error: StoreError) -> StoreError {
    if matches!(error, StoreError::SyncFailed(_)) {
        tracing::error!(%error, "the process ends now, and must be started again");
        std::process::abort();
    }
    error
}

fn meaning_at_commit(error: &rusqlite::Error) -> StoreError {
    let code = extended_code(error);
    match code.map(primary) {
        Some(ffi::SQLITE_FULL | ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED) => unavailable(error),
        _ if code == Some(ffi::SQLITE_IOERR_WRITE) => unavailable(error),
        _ => StoreError::SyncFailed(format!("a commit failed: {}", described(error))),
    }
}

fn meaning_elsewhere(error: &rusqlite::Error) -> StoreError {
    let Some(code) = extended_code(error) else {
        // Not from SQLite but from rusqlite: a value is not of the type or size we wrote.
        return StoreError::Corrupt(error.to_string());
    };
    match code {
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => {
            StoreError::SyncFailed(described(error))
        }
        ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA => {
            StoreError::Corrupt(described(error))
        }
        _ => match primary(code) {
            // A broken constraint is a row where none can be: the table is not what we wrote.
            ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB | ffi::SQLITE_CONSTRAINT => {
                StoreError::Corrupt(described(error))
            }
            _ => unavailable(error),
        },
    }
}

fn unavailable(error: &rusqlite::Error) -> StoreError {
    StoreError::Unavailable(described(error))
}

/// With the extended code, for SQLite's sentence is often only "disk I/O error".
fn described(error: &rusqlite::Error) -> String {
    extended_code(error).map_or_else(|| error.to_string(), |code| format!("{error} ({code})"))
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

/// The low byte says the kind, the rest what exactly.
fn primary(extended_code: i32) -> i32 {
    extended_code & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Means {
        SendAgain,
        Damaged,
        EndProcess,
    }

    fn meaning(error: &StoreError) -> Means {
        match error {
            StoreError::Unavailable(_) => Means::SendAgain,
            StoreError::Corrupt(_) => Means::Damaged,
            StoreError::SyncFailed(_) => Means::EndProcess,
            StoreError::InUse(_)
            | StoreError::NewerSchema { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::NotAStore(_)
            | StoreError::ReadOnly
            | StoreError::Invalid(_) => panic!("{error} does not come from SQLite"),
        }
    }

    #[test]
    fn every_code_has_its_meaning_at_the_commit_and_elsewhere() {
        use Means::{Damaged, EndProcess, SendAgain};
        let table = [
            (ffi::SQLITE_FULL, SendAgain, SendAgain),
            (ffi::SQLITE_BUSY, SendAgain, SendAgain),
            (ffi::SQLITE_BUSY_RECOVERY, SendAgain, SendAgain),
            (ffi::SQLITE_BUSY_SNAPSHOT, SendAgain, SendAgain),
            (ffi::SQLITE_LOCKED, SendAgain, SendAgain),
            (ffi::SQLITE_IOERR_WRITE, SendAgain, SendAgain),
            (ffi::SQLITE_IOERR_FSYNC, EndProcess, EndProcess),
            (ffi::SQLITE_IOERR_DIR_FSYNC, EndProcess, EndProcess),
            (ffi::SQLITE_IOERR_SHMMAP, EndProcess, SendAgain),
            (ffi::SQLITE_IOERR_SHMSIZE, EndProcess, SendAgain),
            (ffi::SQLITE_IOERR_READ, EndProcess, SendAgain),
            (ffi::SQLITE_IOERR, EndProcess, SendAgain),
            (ffi::SQLITE_NOMEM, EndProcess, SendAgain),
            (ffi::SQLITE_CANTOPEN, EndProcess, SendAgain),
            (ffi::SQLITE_READONLY, EndProcess, SendAgain),
            (ffi::SQLITE_IOERR_CORRUPTFS, EndProcess, Damaged),
            (ffi::SQLITE_CORRUPT, EndProcess, Damaged),
            (ffi::SQLITE_NOTADB, EndProcess, Damaged),
            (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, EndProcess, Damaged),
        ];
        for (code, commit, other) in table {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(meaning(&meaning_at_commit(&error)), commit, "code {code} at the commit");
            assert_eq!(meaning(&meaning_elsewhere(&error)), other, "code {code} elsewhere");
        }
        assert_eq!(meaning(&meaning_elsewhere(&rusqlite::Error::InvalidColumnIndex(9))), Damaged);
    }
}

//! What an error of PostgreSQL means for the journal.
//!
//! Nearly everything is [`StoreError::Unavailable`]: nothing is *known* to be written, and sending
//! the same again gives a definite answer, whether the connection was lost before the commit or after
//! it. A process need never end for it: PostgreSQL ends itself when a sync fails, and what it then
//! has is read again.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::StoreError;

/// What an error means.
pub(super) fn of(error: &Error) -> StoreError {
    match error.as_db_error() {
        Some(told) if is_damage(told.code()) => StoreError::Corrupt(described(error)),
        Some(_) | None => StoreError::Unavailable(described(error)),
    }
}

/// A value that is not of the kind we wrote.
pub(super) fn of_value(what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what} is not what was written"))
}

/// The constraint that was hit, if one was.
pub(super) fn constraint(error: &Error) -> Option<&str> {
    error.as_db_error().and_then(DbError::constraint)
}

/// Whether another one who brings up the same tables was in the way, and trying again settles it.
pub(super) fn is_race(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        [
            SqlState::UNIQUE_VIOLATION,
            SqlState::DUPLICATE_SCHEMA,
            SqlState::DUPLICATE_TABLE,
            // The type of a table's rows, which is made a moment before the table.
            SqlState::DUPLICATE_OBJECT,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            // "Tuple concurrently updated", of PostgreSQL's own tables.
            SqlState::INTERNAL_ERROR,
        ]
        .contains(code)
    })
}

/// A broken constraint is a row where none can be, and a table that is not there was dropped: the
/// database is not what we wrote.
fn is_damage(code: &SqlState) -> bool {
    code.code().starts_with("23")
        || [
            SqlState::DATA_CORRUPTED,
            SqlState::INDEX_CORRUPTED,
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
        ]
        .contains(code)
}

/// In words, with the code, and with what lies behind it. None of it knows the password.
pub(super) fn described(error: &Error) -> String {
    if let Some(told) = error.as_db_error() {
        return format!("PostgreSQL says: {} ({})", told.message(), told.code().code());
    }
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = deeper.source();
    }
    format!("PostgreSQL: {words}")
}

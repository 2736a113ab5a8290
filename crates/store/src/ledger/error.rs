//! Why a ledger could not go on.

use std::fmt;

use rusqlite::ffi;

use crate::{StoreError, StreamId};

/// Two reservations that both claim one seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The stream of the sale whose event could not be written.
    pub stream: StreamId,
    /// That sale.
    pub sale: String,
    /// The performance of the seat.
    pub performance: String,
    /// The seat's number.
    pub seat: String,
    /// Who has it by the ledger.
    pub owner: String,
    /// Who was to have it by the journal.
    pub claimant: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sale, performance, seat, owner, claimant, .. } = self;
        write!(
            f,
            "sale {sale}: seat {seat} of performance {performance} has two live owners, \
             reservations {owner} and {claimant}"
        )
    }
}

/// Why the ledger could not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The journal could not be read.
    #[error("{0}")]
    Journal(#[from] StoreError),
    /// There is none.
    #[error("there is no ledger {0}")]
    Absent(String),
    /// It cannot be used at present.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// It cannot be used until somebody has changed something outside of it.
    #[error("{0}")]
    Refused(String),
    /// The tables are not what the journal says, or not readable: build them anew.
    #[error("the ledger is damaged: {0}; `maepyo ledger rebuild` makes a new one")]
    Damaged(String),
    /// Written by a newer program.
    #[error(
        "the ledger has schema version {found}, and this program knows versions up to {known}; use \
         the program that wrote it, or a newer one, or `maepyo ledger rebuild`"
    )]
    NewerSchema {
        /// What the file says.
        found: u32,
        /// The newest this program can write.
        known: u32,
    },
    /// A batch says what this program cannot read: nothing of it was written.
    #[error("batch {number} of stream {stream} cannot be read: {reason}")]
    Unreadable {
        /// The stream.
        stream: StreamId,
        /// The batch's number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// A seat with two live owners: nothing of it was written.
    #[error("{0}")]
    Violated(Box<Violation>),
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        let primary = error.sqlite_error().map(|error| error.extended_code & 0xff);
        match primary {
            None | Some(ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB | ffi::SQLITE_CONSTRAINT) => {
                Self::Damaged(error.to_string())
            }
            // No such table or column: not our tables.
            Some(ffi::SQLITE_ERROR) => Self::Damaged(error.to_string()),
            Some(_) => Self::Unavailable(error.to_string()),
        }
    }
}

//! Where a ledger is. An address may have a password in it, and so is not shown.

use std::fmt;
use std::path::PathBuf;

/// Where a ledger is.
#[derive(Clone)]
pub enum Location {
    /// In a file of SQLite at this path.
    File(PathBuf),
    /// In PostgreSQL, in the database that the journal is in.
    Database {
        /// Its address, as for [`crate::open`].
        address: String,
        /// The password, for an address that has none.
        password: Option<String>,
        /// What this node is called, unlike all others.
        node: String,
    },
}

impl fmt::Debug for Location {
    /// Without the address, in which a password may stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Database { node, .. } => {
                f.debug_struct("Database").field("node", node).finish_non_exhaustive()
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Database { .. } => f.write_str("the schema ledger in PostgreSQL"),
        }
    }
}

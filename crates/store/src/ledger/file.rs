//! The ledger's file as a whole: what removes it, and what is said when it cannot be used.

use std::fs;
use std::path::Path;

use super::LedgerError;

/// Removes a database with what SQLite has beside it; the database first, for one that has lost its
/// WAL must not be taken for whole.
pub(super) fn remove(path: &Path) -> Result<(), LedgerError> {
    for end in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        let removed = fs::remove_file(&file);
        if let Err(error) = removed.or_else(absent_is_fine) {
            return Err(unusable(Path::new(&file), &error));
        }
    }
    Ok(())
}

fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

pub(super) fn unusable(path: &Path, error: &std::io::Error) -> LedgerError {
    LedgerError::Unavailable(format!("{}: {error}", path.display()))
}

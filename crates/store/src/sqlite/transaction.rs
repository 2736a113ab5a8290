//! One transaction: all of it is on disk, or nothing of it is known to be.

use rusqlite::Connection;

use super::failure;
use crate::StoreError;

const BEGIN: &str = "
-- begin
BEGIN IMMEDIATE
";

const COMMIT: &str = "
-- commit
COMMIT
";

const ROLL_BACK: &str = "
-- roll_back
ROLLBACK
";

/// Runs `work` in a transaction of its own and commits it: when this returns `Ok`, the work is
/// durable. When it returns an error, the work was rolled back; when neither can be known, it does
/// not return (see [`failure`]).
pub(super) fn run<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    execute(connection, BEGIN).map_err(|error| failure::of(&error))?;
    let worked = work(connection).map_err(|error| failure::of(&error)).and_then(|done| {
        execute(connection, COMMIT).map(|()| done).map_err(|error| failure::of_commit(&error))
    });
    // After some errors SQLite has rolled back by itself. A transaction that can be neither
    // committed nor rolled back leaves nothing to go on with.
    if worked.is_err() && !connection.is_autocommit() {
        execute(connection, ROLL_BACK).map_err(|error| failure::of_commit(&error))?;
    }
    worked
}

fn execute(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_halfway_is_rolled_back_and_the_next_may_begin() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (k INTEGER PRIMARY KEY)").unwrap();
        let insert = |connection: &Connection, keys: &[i64]| {
            keys.iter().try_for_each(|key| {
                connection.execute("INSERT INTO t VALUES (?1)", [key]).map(drop)
            })
        };
        let count = || -> i64 {
            connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
        };

        let answer = run(&connection, |connection| insert(connection, &[1, 2, 1]));
        assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{answer:?}");
        assert!(connection.is_autocommit());
        assert_eq!(count(), 0);
        run(&connection, |connection| insert(connection, &[1, 2])).unwrap();
        assert_eq!(count(), 2);
    }
}

//! Running statements on the tables within one transaction. Each is looked up once: by its text that
//! costs about as much as what it does.

use std::ptr;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};

use super::LedgerError;

/// The tables, as one transaction writes them.
pub(super) struct Tables<'c> {
    connection: &'c Connection,
    prepared: Vec<(&'static str, CachedStatement<'c>)>,
}

impl<'c> Tables<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection, prepared: Vec::new() }
    }

    /// Runs a statement, on however many rows.
    pub(super) fn run(
        &mut self,
        statement: &'static str,
        values: impl Params,
    ) -> Result<(), LedgerError> {
        self.count(statement, values)?;
        Ok(())
    }

    /// Runs a statement, and says how many rows it wrote.
    pub(super) fn count(
        &mut self,
        statement: &'static str,
        values: impl Params,
    ) -> rusqlite::Result<usize> {
        self.prepared(statement)?.execute(values)
    }

    /// Runs a statement about one row, which must be there.
    pub(super) fn one(
        &mut self,
        what: &str,
        statement: &'static str,
        values: impl Params,
    ) -> Result<(), LedgerError> {
        match self.count(statement, values)? {
            0 => Err(misfit(what)),
            _ => Ok(()),
        }
    }

    /// Reads a row, if it is there.
    pub(super) fn find<T>(
        &mut self,
        statement: &'static str,
        values: impl Params,
        row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, LedgerError> {
        Ok(self.prepared(statement)?.query_row(values, row).optional()?)
    }

    /// Reads a row, which must be there.
    pub(super) fn read<T>(
        &mut self,
        what: &str,
        statement: &'static str,
        values: impl Params,
        row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        self.find(statement, values, row)?.ok_or_else(|| misfit(what))
    }

    fn prepared(&mut self, statement: &'static str) -> rusqlite::Result<&mut CachedStatement<'c>> {
        let known = self.prepared.iter().position(|(known, _)| ptr::eq(*known, statement));
        let place = match known {
            Some(place) => place,
            None => {
                self.prepared.push((statement, self.connection.prepare_cached(statement)?));
                self.prepared.len() - 1
            }
        };
        Ok(&mut self.prepared[place].1)
    }
}

/// A row that should be there is not.
pub(super) fn misfit(what: &str) -> LedgerError {
    LedgerError::Damaged(format!("an event does not fit: {what} is not in the tables"))
}

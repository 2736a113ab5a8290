//! Running statements on the tables within one transaction, of a file or of PostgreSQL.
//!
//! In a file each is run at once, and looked up once: by its text that costs about as much as what it does.
//! To PostgreSQL each is sent, and what came of it is looked at when something has to be known: a row, the
//! sums, or that all went well. Then a row that should be there is missed later than where it was asked for.
//! Whoever has to know where says that each is waited for.

use std::borrow::Cow;
use std::error::Error;
use std::mem;
use std::ptr;

use bytes::BytesMut;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params_from_iter};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::{LedgerError, statements};
use crate::StoreError;
use crate::postgres::{Answer, Broken, Transaction};

/// Statements that are sent before their answers are waited for, at most.
const UNDER_WAY_MAX: usize = 1_000;

/// A value of a statement.
#[derive(Clone, Debug)]
pub(super) enum Value<'v> {
    Nothing,
    Number(i64),
    Text(Cow<'v, str>),
}

impl Value<'_> {
    /// The value as it is sent to PostgreSQL.
    fn into_owned(self) -> Value<'static> {
        match self {
            Self::Nothing => Value::Nothing,
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::Text(Cow::Owned(without_nul(text.into_owned()))),
        }
    }
}

/// A text as PostgreSQL takes it, which has no NUL in any.
pub(super) fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text }
}

macro_rules! from_numbers {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Value<'_> {
            fn from(number: $kind) -> Self {
                Self::Number(number.into())
            }
        }
    )*};
}
from_numbers!(bool, u16, u32, i64);

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(text: &'v String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'v, T: Into<Value<'v>>> From<Option<T>> for Value<'v> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Nothing => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Nothing => Ok(IsNull::Yes),
            Self::Number(number) if *kind == Type::INT8 => number.to_sql(kind, out),
            Self::Text(text) if *kind == Type::TEXT => text.to_sql(kind, out),
            Self::Number(_) | Self::Text(_) => Err(format!("{self:?} is no {kind}").into()),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT].contains(kind)
    }

    to_sql_checked!();
}

/// The values of a statement, in their order.
macro_rules! row {
    ($($value:expr),* $(,)?) => {
        &[$($crate::ledger::tables::Value::from($value)),*]
    };
}
pub(super) use row;

/// A row that was read.
#[derive(Clone, Copy)]
pub(super) enum Row<'r> {
    File(&'r rusqlite::Row<'r>),
    Database(&'r tokio_postgres::Row),
}

impl Row<'_> {
    fn value<T>(&self, column: usize) -> Result<T, LedgerError>
    where
        T: rusqlite::types::FromSql + for<'a> FromSql<'a>,
    {
        match self {
            Self::File(row) => Ok(row.get(column)?),
            Self::Database(row) => {
                row.try_get(column).map_err(|unlike| LedgerError::Damaged(unlike.to_string()))
            }
        }
    }

    pub(super) fn number(&self, column: usize) -> Result<i64, LedgerError> {
        self.value(column)
    }

    pub(super) fn maybe_number(&self, column: usize) -> Result<Option<i64>, LedgerError> {
        self.value(column)
    }

    /// One that counts within a sale.
    pub(super) fn count(&self, column: usize) -> Result<u32, LedgerError> {
        counted(self.number(column)?)
    }

    pub(super) fn maybe_count(&self, column: usize) -> Result<Option<u32>, LedgerError> {
        self.maybe_number(column)?.map(counted).transpose()
    }

    pub(super) fn text(&self, column: usize) -> Result<String, LedgerError> {
        self.value(column)
    }

    pub(super) fn maybe_text(&self, column: usize) -> Result<Option<String>, LedgerError> {
        self.value(column)
    }
}

fn counted(number: i64) -> Result<u32, LedgerError> {
    u32::try_from(number)
        .map_err(|_| LedgerError::Damaged(format!("{number} is no number of a row")))
}

/// What a statement that was sent has to come to.
enum Expected {
    /// Anything.
    Any,
    /// One row at least, which is this.
    One(&'static str),
    /// The same, and it gives two numbers that are added up.
    Numbers(&'static str),
}

/// The tables, as one transaction writes them.
pub(super) struct Tables<'t> {
    on: On<'t>,
    sums: [i64; 2],
}

enum On<'t> {
    File { connection: &'t Connection, prepared: Vec<(&'static str, CachedStatement<'t>)> },
    Database { transaction: &'t mut Transaction, expected: Vec<Expected>, waits: bool },
}

impl<'t> Tables<'t> {
    pub(super) fn file(connection: &'t Connection) -> Self {
        Self { on: On::File { connection, prepared: Vec::new() }, sums: [0; 2] }
    }

    pub(super) fn database(transaction: &'t mut Transaction) -> Self {
        // How it began, which may come to anything.
        let expected = (0..transaction.under_way()).map(|_| Expected::Any).collect();
        Self { on: On::Database { transaction, expected, waits: false }, sums: [0; 2] }
    }

    /// Whether each statement is waited for from now on, where they can be sent.
    pub(super) fn waits_for_each(&mut self, each: bool) {
        if let On::Database { waits, .. } = &mut self.on {
            *waits = each;
        }
    }

    /// Sends statements without values to PostgreSQL.
    pub(super) fn script(&mut self, statements: &str) {
        if let On::Database { transaction, expected, .. } = &mut self.on {
            transaction.run(statements.to_owned());
            expected.push(Expected::Any);
        }
    }

    /// Runs a statement, waits for it, and says whether it wrote anything.
    pub(super) fn changes(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<bool, LedgerError> {
        self.waits_for_each(true);
        let count = self.write(Expected::Any, statement, values)?;
        self.waits_for_each(false);
        Ok(count != Some(0))
    }

    /// Runs a statement, on however many rows.
    pub(super) fn run(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<(), LedgerError> {
        self.write(Expected::Any, statement, values).map(drop)
    }

    /// Runs a statement about one row, which must be there.
    pub(super) fn one(
        &mut self,
        what: &'static str,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<(), LedgerError> {
        match self.write(Expected::One(what), statement, values)? {
            Some(0) => Err(misfit(what)),
            Some(_) | None => Ok(()),
        }
    }

    /// The same, and says whether it is there. Where statements are not waited for, it is taken to be, and
    /// missed later.
    pub(super) fn is_one(
        &mut self,
        what: &'static str,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<bool, LedgerError> {
        Ok(self.write(Expected::One(what), statement, values)? != Some(0))
    }

    /// Runs a statement about one row, which must be there, and adds up the two numbers that it gives.
    pub(super) fn add(
        &mut self,
        what: &'static str,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<(), LedgerError> {
        if let On::Database { transaction, expected, waits } = &mut self.on {
            transaction.read(statement, statements::of_postgres, owned(values)).map_err(told)?;
            expected.push(Expected::Numbers(what));
            if *waits {
                self.settle()?;
            }
            return Ok(());
        }
        let numbers = self.find(statement, values, |row| Ok([row.number(0)?, row.number(1)?]))?;
        let [first, second] = numbers.ok_or_else(|| misfit(what))?;
        self.sums = [self.sums[0] + first, self.sums[1] + second];
        Ok(())
    }

    /// What was added up since this was last asked.
    pub(super) fn sums(&mut self) -> Result<[i64; 2], LedgerError> {
        self.settle()?;
        Ok(mem::take(&mut self.sums))
    }

    /// Reads a row, if it is there.
    pub(super) fn find<T>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
        read: impl FnOnce(Row<'_>) -> Result<T, LedgerError>,
    ) -> Result<Option<T>, LedgerError> {
        match &mut self.on {
            On::File { connection, prepared } => {
                let statement = look_up(connection, prepared, statement)?;
                let row = |row: &rusqlite::Row<'_>| Ok(read(Row::File(row)));
                statement.query_row(params_from_iter(values), row).optional()?.transpose()
            }
            On::Database { .. } => {
                let rows = self.ask(statement, values)?;
                rows.first().map(|row| read(Row::Database(row))).transpose()
            }
        }
    }

    /// Reads rows.
    pub(super) fn rows<T>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(Row<'_>) -> Result<T, LedgerError>,
    ) -> Result<Vec<T>, LedgerError> {
        match &mut self.on {
            On::File { connection, prepared } => {
                let statement = look_up(connection, prepared, statement)?;
                let mut found = statement.query(params_from_iter(values))?;
                let mut rows = Vec::new();
                while let Some(row) = found.next()? {
                    rows.push(read(Row::File(row))?);
                }
                Ok(rows)
            }
            On::Database { .. } => {
                let rows = self.ask(statement, values)?;
                rows.iter().map(|row| read(Row::Database(row))).collect()
            }
        }
    }

    /// Waits until all that was sent is done, and looks whether it came to what it had to.
    pub(super) fn settle(&mut self) -> Result<(), LedgerError> {
        self.last_answer().map(drop)
    }

    /// The same, and gives the answer to the last statement, of which nothing has to be expected.
    fn last_answer(&mut self) -> Result<Answer, LedgerError> {
        let On::Database { transaction, expected, .. } = &mut self.on else {
            return Ok(Answer::default());
        };
        let mut answers = transaction.answers().map_err(told)?;
        for (answer, expected) in answers.iter().zip(mem::take(expected)) {
            check(&mut self.sums, answer, &expected)?;
        }
        Ok(answers.pop().unwrap_or_default())
    }

    /// Runs a statement, and says how many rows it was about, if that is known now.
    fn write(
        &mut self,
        expect: Expected,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<usize>, LedgerError> {
        match &mut self.on {
            On::File { connection, prepared } => {
                let statement = look_up(connection, prepared, statement)?;
                Ok(Some(statement.execute(params_from_iter(values))?))
            }
            On::Database { transaction, expected, waits } => {
                transaction
                    .write(statement, statements::of_postgres, owned(values))
                    .map_err(told)?;
                if *waits {
                    let count = self.last_answer()?.count;
                    return Ok(Some(usize::try_from(count).unwrap_or(usize::MAX)));
                }
                expected.push(expect);
                if transaction.under_way() >= UNDER_WAY_MAX {
                    self.settle()?;
                }
                Ok(None)
            }
        }
    }

    /// The rows of a statement, after the answers to all before it.
    fn ask(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<tokio_postgres::Row>, LedgerError> {
        if let On::Database { transaction, .. } = &mut self.on {
            transaction.read(statement, statements::of_postgres, owned(values)).map_err(told)?;
        }
        Ok(self.last_answer()?.rows)
    }
}

/// Looks whether a statement came to what it had to.
fn check(sums: &mut [i64; 2], answer: &Answer, expected: &Expected) -> Result<(), LedgerError> {
    match expected {
        Expected::Any => Ok(()),
        Expected::One(what) if answer.count == 0 => Err(misfit(what)),
        Expected::One(_) => Ok(()),
        Expected::Numbers(what) => {
            let row = Row::Database(answer.rows.first().ok_or_else(|| misfit(what))?);
            *sums = [sums[0] + row.number(0)?, sums[1] + row.number(1)?];
            Ok(())
        }
    }
}

fn look_up<'p, 't>(
    connection: &'t Connection,
    prepared: &'p mut Vec<(&'static str, CachedStatement<'t>)>,
    statement: &'static str,
) -> rusqlite::Result<&'p mut CachedStatement<'t>> {
    let known = prepared.iter().position(|(known, _)| ptr::eq(*known, statement));
    let place = match known {
        Some(place) => place,
        None => {
            prepared.push((statement, connection.prepare_cached(statement)?));
            prepared.len() - 1
        }
    };
    Ok(&mut prepared[place].1)
}

fn owned(values: &[Value<'_>]) -> Vec<Value<'static>> {
    values.iter().cloned().map(Value::into_owned).collect()
}

/// What an error of the ledger's own statements means.
pub(super) fn told(broken: Broken) -> LedgerError {
    let error = broken.meaning();
    if let StoreError::Corrupt(why) = error {
        return LedgerError::Damaged(why);
    }
    out_of_reach(error)
}

/// What it means that the ledger's database cannot be reached.
pub(super) fn out_of_reach(error: StoreError) -> LedgerError {
    if let StoreError::Unavailable(why) = error {
        return LedgerError::Unavailable(why);
    }
    LedgerError::Journal(error)
}

/// A row that should be there is not.
pub(super) fn misfit(what: &str) -> LedgerError {
    LedgerError::Damaged(format!("an event does not fit: {what} is not in the tables"))
}

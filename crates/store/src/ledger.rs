//! The ledger: what happened, once more, as plain tables for people and their reporting tools.
//!
//! It is made from the journal and from nothing else, in a SQLite file of its own, so that it never
//! delays an append and can be thrown away and built again at any time. [`Ledger::catch_up`] reads
//! the batches behind those it has and writes their rows and how far it came in one transaction, so
//! that it may be killed anywhere. It works from events and its own tables; no sale is kept in
//! memory. It decides nothing, and nobody who serves buyers reads it.
//!
//! One thing it does guard: two live claims on one seat cannot be written here (`UNIQUE`). Whoever
//! runs the sale is told, with the seat and both reservations, and stops it.
//!
//! This is the only place in the store that speaks of the business, and the only reader of the
//! journal that may fall behind. `docs/ledger.md` describes every column.

mod compare;
mod keys;
mod names;
mod projector;
mod schema;
mod statements;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, ffi};

use crate::{BatchId, Head, Journal, StoreError, StreamId};
pub use compare::Differences;
use projector::Projector;

/// What the file is called, in the data directory.
pub const FILE_NAME: &str = "ledger.sqlite";

/// Bytes of batches that become one transaction, about: where nobody is in a hurry.
pub const PIECE_BYTES: usize = 1 << 20;
/// The catalogue's stream: what it lists, each sale's own stream says too.
const CATALOGUE: StreamId = StreamId(0);

/// The tables, and how far they are.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    path: PathBuf,
    streams: BTreeMap<StreamId, Position>,
    /// Streams that claimed a seat twice or cannot be read: nothing more of them is written.
    left_out: BTreeSet<StreamId>,
}

/// How far one stream has been written, and what the next events need to know.
#[derive(Clone, Debug)]
struct Position {
    head: Head,
    /// When the batch at `head` was made.
    at_ms: u64,
    /// The sale, once its first event has been read.
    sale: Option<String>,
    /// How long its clocks have stood still in all.
    stopped_ms: u64,
    /// How many have a place in line, unless an older journal did not say.
    in_line: Option<u32>,
    /// How many there are so far: the next one's number.
    visits: u32,
    reservations: u32,
    payments: u32,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            head: Head::EMPTY,
            at_ms: 0,
            sale: None,
            stopped_ms: 0,
            in_line: Some(0),
            visits: 0,
            reservations: 0,
            payments: 0,
        }
    }
}

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
    /// The file cannot be used at present.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
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

/// What one call of [`Ledger::catch_up`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Batches written.
    pub batches: u64,
    /// Whether there is nothing more to write of what the journal had when it was asked.
    pub is_level: bool,
    /// Whether a sale is left out, for a seat that was claimed twice or for what cannot be read.
    pub lacks: bool,
    /// What cannot be read, found now: each [`LedgerError::Unreadable`].
    pub unreadable: Vec<LedgerError>,
    /// Sales that claimed a seat twice, found now.
    pub violations: Vec<Violation>,
}

/// How far the ledger is in one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The sale.
    pub sale: String,
    /// The last batch in the ledger.
    pub batch: u64,
    /// The last batch in the journal.
    pub of: u64,
}

impl Ledger {
    /// Opens the ledger at `path`, or makes an empty one where there is none, or an older or damaged
    /// one, or one of another history than `journal`'s.
    ///
    /// # Errors
    /// [`LedgerError::NewerSchema`], [`LedgerError::Unavailable`].
    pub fn open(path: &Path, journal: &dyn Journal) -> Result<Self, LedgerError> {
        if path.exists() {
            let as_it_is = schema::connect(path)
                .and_then(|connection| Self::as_it_is(connection, path, journal));
            match as_it_is {
                Ok(Ok(ledger)) => return Ok(ledger),
                Ok(Err(why)) => tracing::warn!(why, "the ledger is built anew"),
                Err(LedgerError::Damaged(why)) => {
                    tracing::warn!(why, "the ledger is built anew");
                }
                Err(error) => return Err(error),
            }
        }
        Self::make(path, journal)
    }

    /// The ledger as it stands, or why it is of no use.
    fn as_it_is(
        connection: Connection,
        path: &Path,
        journal: &dyn Journal,
    ) -> Result<Result<Self, String>, LedgerError> {
        match schema::version(&connection)? {
            schema::VERSION => {}
            found if found > schema::VERSION => {
                return Err(LedgerError::NewerSchema { found, known: schema::VERSION });
            }
            found => return Ok(Err(format!("it has schema version {found}"))),
        }
        let epoch: Option<String> =
            connection.query_row(statements::READ_EPOCH, [], |row| row.get(0)).optional()?;
        if epoch != Some(journal.epoch().to_string()) {
            return Ok(Err("it is of another history".to_owned()));
        }
        let streams = positions(&connection)?;
        for (stream, position) in &streams {
            match journal.read(*stream, position.head, 0) {
                Ok(_) => {}
                Err(StoreError::Corrupt(_)) => {
                    return Ok(Err(format!("batch {} is not in the journal", position.head)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let path = path.to_owned();
        Ok(Ok(Self { connection, path, streams, left_out: BTreeSet::new() }))
    }

    /// An empty one in the place of whatever is there.
    fn make(path: &Path, journal: &dyn Journal) -> Result<Self, LedgerError> {
        remove(path)?;
        let connection = schema::create(path, &journal.epoch().to_string())?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            streams: BTreeMap::new(),
            left_out: BTreeSet::new(),
        })
    }

    /// Forgets everything: the next [`Ledger::catch_up`] begins with the first batch.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; then nothing can be written until it succeeds.
    pub fn start_over(&mut self, journal: &dyn Journal) -> Result<(), LedgerError> {
        *self = Self::make(&self.path, journal)?;
        Ok(())
    }

    /// Builds the ledger at `path` anew from the whole journal, beside the old one, and then puts it
    /// in its place. Nobody else may have it open for writing. Answers how many batches it read.
    ///
    /// # Errors
    /// The old one is untouched then. [`LedgerError::Violated`] when the journal itself claims a seat
    /// twice, [`LedgerError::Unreadable`] when a later program wrote to it.
    pub fn rebuild(path: &Path, journal: &dyn Journal) -> Result<u64, LedgerError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut ledger = Self::make(&beside, journal)?;
        let mut batches = 0;
        loop {
            let progress = ledger.catch_up(journal)?;
            batches += progress.batches;
            let violated = progress.violations.into_iter().map(Box::new).map(LedgerError::Violated);
            if let Some(error) = violated.chain(progress.unreadable).next() {
                drop(ledger);
                remove(&beside)?;
                return Err(error);
            }
            if progress.is_level {
                break;
            }
        }
        // Closing the last connection brings everything into the one file.
        ledger.connection.close().map_err(|(_, error)| error)?;
        // A crash between these leaves no ledger, and the next start makes one.
        remove(path)?;
        fs::rename(&beside, path).map_err(|error| unusable(path, &error))?;
        Ok(batches)
    }

    /// Writes what the journal has behind what is here, a piece of each stream: about a megabyte in
    /// one transaction.
    ///
    /// # Errors
    /// What was written before stays. [`LedgerError::Violated`] and [`LedgerError::Unreadable`] are not
    /// among them: they are in [`Progress`], and nothing more of that stream is written.
    pub fn catch_up(&mut self, journal: &dyn Journal) -> Result<Progress, LedgerError> {
        self.catch_up_by(PIECE_BYTES, journal)
    }

    /// The same, with so many bytes of batches at a time, about.
    ///
    /// # Errors
    /// As [`Ledger::catch_up`].
    pub fn catch_up_by(
        &mut self,
        piece_bytes: usize,
        journal: &dyn Journal,
    ) -> Result<Progress, LedgerError> {
        let mut progress = Progress { is_level: true, ..Progress::default() };
        for (stream, head) in journal.heads()? {
            let known = self.streams.get(&stream).map_or(Head::EMPTY, |position| position.head);
            if stream == CATALOGUE || known == head {
                continue;
            }
            if self.left_out.contains(&stream) {
                progress.lacks = true;
                continue;
            }
            let batches = journal.read(stream, known, piece_bytes)?;
            let mut position = self.streams.get(&stream).cloned().unwrap_or_default();
            let transaction = self.connection.transaction()?;
            let projector = Projector::new(&transaction, stream, &mut position);
            match projector.write(&batches) {
                Ok(()) => transaction.commit()?,
                Err(LedgerError::Violated(violation)) => {
                    transaction.rollback()?;
                    self.left_out.insert(stream);
                    progress.violations.push(*violation);
                    progress.lacks = true;
                    continue;
                }
                Err(error @ LedgerError::Unreadable { .. }) => {
                    transaction.rollback()?;
                    self.left_out.insert(stream);
                    progress.unreadable.push(error);
                    progress.lacks = true;
                    continue;
                }
                Err(error) => return Err(error),
            }
            progress.batches += batches.len() as u64;
            progress.is_level &= position.head.number >= head.number;
            self.streams.insert(stream, position);
        }
        Ok(progress)
    }

    /// How far it is, sale by sale.
    ///
    /// # Errors
    /// [`LedgerError::Journal`].
    pub fn standings(&self, journal: &dyn Journal) -> Result<Vec<Standing>, LedgerError> {
        let mut standings = Vec::new();
        for (stream, head) in journal.heads()? {
            if stream == CATALOGUE {
                continue;
            }
            let position = self.streams.get(&stream);
            let sale = position.and_then(|position| position.sale.clone());
            standings.push(Standing {
                sale: sale.unwrap_or_else(|| format!("stream {stream}")),
                batch: position.map_or(0, |position| position.head.number),
                of: head.number,
            });
        }
        Ok(standings)
    }

    /// Opens the ledger at `path` to ask what is in it, beside whoever writes it: what is written
    /// from now on does not show.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] also when it is of another schema or history.
    pub fn look(path: &Path, journal: &dyn Journal) -> Result<Self, LedgerError> {
        if !path.exists() {
            return Err(LedgerError::Unavailable(format!("there is none at {}", path.display())));
        }
        let connection = schema::connect(path)?;
        connection.execute_batch(statements::LOOK)?;
        Self::as_it_is(connection, path, journal)?.map_err(LedgerError::Damaged)
    }
}

/// Runs statements on the file at `path`: for tests that play somebody who writes into it by hand.
///
/// # Errors
/// What SQLite says.
#[doc(hidden)]
pub fn write_by_hand(path: &Path, statements: &str) -> Result<(), LedgerError> {
    schema::connect(path)?.execute_batch(statements)?;
    Ok(())
}

/// The number behind the last one.
fn behind(last: Option<u32>) -> u32 {
    last.map_or(0, |last| last + 1)
}

fn positions(connection: &Connection) -> Result<BTreeMap<StreamId, Position>, LedgerError> {
    let mut statement = connection.prepare(statements::READ_POSITIONS)?;
    let rows = statement.query_map([], |row| {
        let id: String = row.get(2)?;
        let id = u128::from_str_radix(&id, 16).unwrap_or_default();
        let position = Position {
            head: Head { number: row.get::<_, i64>(1)?.cast_unsigned(), id: BatchId(id) },
            at_ms: row.get::<_, i64>(3)?.cast_unsigned(),
            sale: row.get(4)?,
            stopped_ms: row.get::<_, i64>(5)?.cast_unsigned(),
            in_line: row.get(6)?,
            visits: behind(row.get(7)?),
            reservations: behind(row.get(8)?),
            payments: behind(row.get(9)?),
        };
        Ok((StreamId(row.get(0)?), position))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Removes a database with what SQLite has beside it; the database first, for one that has lost its
/// WAL must not be taken for whole.
fn remove(path: &Path) -> Result<(), LedgerError> {
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

fn unusable(path: &Path, error: &std::io::Error) -> LedgerError {
    LedgerError::Unavailable(format!("{}: {error}", path.display()))
}

//! The ledger: what happened, once more, as plain tables for people and their reporting tools.
//!
//! It is made from the journal and from nothing else, in a SQLite file of its own or, where the journal is
//! in PostgreSQL, in a schema of its own there (`ledger/database.rs`), so that it never delays an append and can be
//! thrown away and built again at any time. [`Ledger::catch_up`] reads the batches behind those it has and
//! writes their rows and how far it came in one transaction, so that it may be killed anywhere. It works
//! from events and its own tables; no sale is kept in memory. It decides nothing, and nobody who serves
//! buyers reads it.
//!
//! One thing it does guard: two live claims on one seat cannot be written here (`UNIQUE`). Whoever
//! runs the sale is told, with the seat and both reservations, and stops it.
//!
//! This is the only place in the store that speaks of the business, and the only reader of the
//! journal that may fall behind. `docs/ledger.md` describes every column.

mod compare;
mod database;
mod error;
mod file;
mod keys;
mod location;
mod names;
mod projector;
mod schema;
mod statements;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use crate::{Batch, BatchId, Head, Journal, StoreError, StreamId};
pub use compare::Differences;
use database::{Database, Found};
pub use error::{LedgerError, Violation};
use file::{remove, unusable};
pub use location::Location;
use projector::Projector;
use tables::{Tables, row, without_nul};

/// What the file is called, in the data directory.
pub const FILE_NAME: &str = "ledger.sqlite";

/// Bytes of batches that become one transaction, about: where nobody is in a hurry.
pub const PIECE_BYTES: usize = 1 << 20;
/// The catalogue's stream: what it lists, each sale's own stream says too.
const CATALOGUE: StreamId = StreamId(0);

/// The tables, and how far they are.
#[derive(Debug)]
pub struct Ledger {
    home: Home,
    streams: BTreeMap<StreamId, Position>,
    /// Streams that claimed a seat twice: nothing more of them is written.
    violated: BTreeSet<StreamId>,
    /// In which streams which batch cannot be read: nothing is written from there on.
    unreadable: BTreeMap<StreamId, u64>,
    /// Where another node keeps it: how far the journal was, until it is as far.
    awaited: Option<Vec<(StreamId, Head)>>,
}

/// Where the tables are.
#[derive(Debug)]
enum Home {
    File { connection: Connection, path: PathBuf },
    Database(Database),
}

impl Home {
    /// Reads from the tables.
    fn looked<T>(
        &mut self,
        read: impl FnOnce(&mut Tables<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        match self {
            Self::File { connection, .. } => read(&mut Tables::file(connection)),
            Self::Database(database) => database.looked(read),
        }
    }

    /// A text as it stands in the tables.
    fn text(&self, text: String) -> String {
        match self {
            Self::File { .. } => text,
            Self::Database(_) => without_nul(text),
        }
    }

    /// Writes what batches say that follow `position`, and moves it; or says that it was moved by another
    /// node meanwhile.
    fn write(
        &mut self,
        stream: StreamId,
        position: &mut Position,
        batches: &[Batch],
    ) -> Result<bool, LedgerError> {
        match self {
            Self::File { connection, .. } => {
                let transaction = connection.transaction()?;
                Projector::new(&mut Tables::file(&transaction), stream, position).write(batches)?;
                transaction.commit()?;
                Ok(true)
            }
            Self::Database(database) => database.write(stream, position, batches),
        }
    }
}

/// Who keeps a ledger that several nodes could keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// What that node is called.
    pub node: String,
    /// For how many milliseconds more nobody else does, whatever becomes of it.
    pub left_ms: u64,
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

/// What one call of [`Ledger::catch_up`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Batches written.
    pub batches: u64,
    /// Whether it has everything that the journal had when it was asked; where another node keeps it, when
    /// it was first asked after the last time that this was so.
    pub is_level: bool,
    /// Whether another node keeps it, or has written what was to be written here.
    pub is_elsewhere: bool,
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
    /// Opens the ledger at `location`, or makes an empty one where there is none, or an older or damaged
    /// one, or one of another history than `journal`'s.
    ///
    /// # Errors
    /// [`LedgerError::NewerSchema`], [`LedgerError::Refused`]; [`LedgerError::Unavailable`], which may pass.
    pub fn open(location: &Location, journal: &dyn Journal) -> Result<Self, LedgerError> {
        match location {
            Location::File(path) => Self::open_file(path, journal),
            Location::Database { address, password, node } => {
                let database = Database::open(address, password.as_deref(), node, journal.epoch())?;
                Ok(Self::of(Home::Database(database), BTreeMap::new()))
            }
        }
    }

    fn of(home: Home, streams: BTreeMap<StreamId, Position>) -> Self {
        let (violated, unreadable) = (BTreeSet::new(), BTreeMap::new());
        Self { home, streams, violated, unreadable, awaited: None }
    }

    fn open_file(path: &Path, journal: &dyn Journal) -> Result<Self, LedgerError> {
        if path.exists() {
            let as_it_is = schema::connect(path)
                .and_then(|connection| Self::as_it_is(connection, path, journal));
            match as_it_is {
                Ok(ledger) => return Ok(ledger),
                Err(LedgerError::Damaged(why)) => {
                    tracing::warn!(why, "the ledger is built anew");
                }
                Err(error) => return Err(error),
            }
        }
        Self::make(path, journal)
    }

    /// The ledger as it stands; [`LedgerError::Damaged`] says why it is of no use.
    fn as_it_is(
        connection: Connection,
        path: &Path,
        journal: &dyn Journal,
    ) -> Result<Self, LedgerError> {
        match schema::version(&connection)? {
            schema::VERSION => {}
            found if found > schema::VERSION => {
                return Err(LedgerError::NewerSchema { found, known: schema::VERSION });
            }
            found => return Err(LedgerError::Damaged(format!("it has schema version {found}"))),
        }
        let epoch: Option<String> =
            connection.query_row(statements::READ_EPOCH, [], |row| row.get(0)).optional()?;
        if epoch != Some(journal.epoch().to_string()) {
            return Err(LedgerError::Damaged("it is of another history".to_owned()));
        }
        let streams = positions(&mut Tables::file(&connection))?;
        check_positions(&streams, journal)?;
        Ok(Self::of(Home::File { connection, path: path.to_owned() }, streams))
    }

    /// An empty one in the place of whatever is there.
    fn make(path: &Path, journal: &dyn Journal) -> Result<Self, LedgerError> {
        remove(path)?;
        let connection = schema::create(path, &journal.epoch().to_string())?;
        let path = path.to_owned();
        Ok(Self::of(Home::File { connection, path }, BTreeMap::new()))
    }

    /// Forgets everything: the next [`Ledger::catch_up`] begins with the first batch.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; then nothing can be written until it succeeds.
    pub fn start_over(&mut self, journal: &dyn Journal) -> Result<(), LedgerError> {
        match &self.home {
            Home::File { path, .. } => *self = Self::make(&path.clone(), journal)?,
            Home::Database(database) => {
                database.start_over()?;
                self.streams.clear();
                self.violated.clear();
            }
        }
        Ok(())
    }

    /// Builds the ledger at `location` anew from the whole journal, and answers how many batches it read.
    ///
    /// A file is built beside the old one, which nobody else may have open for writing, and then put in its
    /// place. In PostgreSQL the tables are emptied, in one transaction, and kept from here until they are
    /// full; nodes may run, and one of them keeps them afterwards.
    ///
    /// # Errors
    /// An old file is untouched then. [`LedgerError::Violated`] when the journal itself claims a seat
    /// twice, [`LedgerError::Unreadable`] when a later program wrote to it.
    pub fn rebuild(location: &Location, journal: &dyn Journal) -> Result<u64, LedgerError> {
        match location {
            Location::File(path) => Self::rebuild_file(path, journal),
            Location::Database { address, password, node } => {
                let database =
                    Database::open_anew(address, password.as_deref(), node, journal.epoch())?;
                let mut ledger = Self::of(Home::Database(database), BTreeMap::new());
                let batches = ledger.fill(journal);
                ledger.give_up()?;
                batches
            }
        }
    }

    fn rebuild_file(path: &Path, journal: &dyn Journal) -> Result<u64, LedgerError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut ledger = Self::make(&beside, journal)?;
        let batches = match ledger.fill(journal) {
            Err(error @ (LedgerError::Violated(_) | LedgerError::Unreadable { .. })) => {
                drop(ledger);
                remove(&beside)?;
                return Err(error);
            }
            other => other?,
        };
        if let Home::File { connection, .. } = ledger.home {
            // Closing the last connection brings everything into the one file.
            connection.close().map_err(|(_, error)| error)?;
        }
        // A crash between these leaves no ledger, and the next start makes one.
        remove(path)?;
        fs::rename(&beside, path).map_err(|error| unusable(path, &error))?;
        Ok(batches)
    }

    /// Writes all that the journal has, and says how many batches that was.
    fn fill(&mut self, journal: &dyn Journal) -> Result<u64, LedgerError> {
        let mut batches = 0;
        loop {
            let progress = self.catch_up(journal)?;
            batches += progress.batches;
            let violated = progress.violations.into_iter().map(Box::new).map(LedgerError::Violated);
            if let Some(error) = violated.chain(progress.unreadable).next() {
                return Err(error);
            }
            if progress.is_elsewhere {
                return Err(LedgerError::Unavailable(
                    "another node keeps it now, and goes on with it".to_owned(),
                ));
            }
            if progress.is_level {
                return Ok(batches);
            }
        }
    }

    /// Lets another node keep it, where one could.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]: then one does some seconds later.
    pub fn give_up(&mut self) -> Result<(), LedgerError> {
        match &self.home {
            Home::File { .. } => Ok(()),
            Home::Database(database) => database.give_up(),
        }
    }

    /// Writes what the journal has behind what is here, a piece of each stream: about a megabyte in
    /// one transaction. Where another node keeps it, this only looks how far it is.
    ///
    /// # Errors
    /// What was written before stays, and where one stream cannot be written the others are. So an error is
    /// only said at the end, or, where there is something else to be told, by the next call, which meets it
    /// again. [`LedgerError::Violated`] and [`LedgerError::Unreadable`] are not among them: they are in
    /// [`Progress`], and nothing more of that stream is written.
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
        let heads = journal.heads()?;
        if let Home::Database(database) = &self.home {
            let found = database.look()?;
            self.learn(&found, &mut progress);
            if progress.is_elsewhere {
                progress.is_level = self.is_as_far(heads, &found);
                return Ok(progress);
            }
            self.begin_behind(&found, journal)?;
        }
        let mut failed = None;
        for (stream, head) in heads {
            let known = self.streams.get(&stream).map_or(Head::EMPTY, |position| position.head);
            if stream == CATALOGUE || known == head {
                continue;
            }
            if self.is_left_out(stream, known) {
                progress.lacks = true;
                continue;
            }
            let piece = read_behind(journal, stream, known, piece_bytes)
                .and_then(|batches| self.piece(stream, head, &batches, &mut progress));
            if let Err(error) = piece {
                progress.is_level = false;
                failed.get_or_insert(error);
            }
        }
        match failed {
            Some(error) if progress.violations.is_empty() && progress.unreadable.is_empty() => {
                Err(error)
            }
            Some(_) | None => Ok(progress),
        }
    }

    /// Writes a piece of one stream, which the journal has up to `head`.
    fn piece(
        &mut self,
        stream: StreamId,
        head: Head,
        batches: &[Batch],
        progress: &mut Progress,
    ) -> Result<(), LedgerError> {
        let mut position = self.streams.get(&stream).cloned().unwrap_or_default();
        match self.home.write(stream, &mut position, batches) {
            Ok(true) => {
                progress.batches += batches.len() as u64;
                progress.is_level &= position.head.number >= head.number;
                self.streams.insert(stream, position);
            }
            Ok(false) => (progress.is_level, progress.is_elsewhere) = (false, true),
            Err(LedgerError::Violated(violation)) => {
                self.violated.insert(stream);
                progress.violations.push(*violation);
                progress.lacks = true;
            }
            Err(error @ LedgerError::Unreadable { number, .. }) => {
                if self.unreadable.insert(stream, number) != Some(number) {
                    progress.unreadable.push(error);
                }
                progress.lacks = true;
                let readable = batches.partition_point(|batch| batch.number < number);
                if readable > 0 {
                    let last = batches[readable - 1].head();
                    return self.piece(stream, last, &batches[..readable], progress);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether nothing can follow what is known of a stream.
    fn is_left_out(&self, stream: StreamId, known: Head) -> bool {
        self.violated.contains(&stream) || self.unreadable.get(&stream) == Some(&(known.number + 1))
    }

    /// Takes note of who keeps it, and of what whoever does has found.
    fn learn(&mut self, found: &Found, progress: &mut Progress) {
        progress.is_elsewhere = !found.is_kept_here;
        let is_new = |violation: &&Violation| !self.violated.contains(&violation.stream);
        progress.violations = found.violations.iter().filter(is_new).cloned().collect();
        self.violated = found.violations.iter().map(|violation| violation.stream).collect();
        progress.lacks = !self.violated.is_empty();
    }

    /// Whether another node has written what the journal had when it was first looked.
    fn is_as_far(&mut self, heads: Vec<(StreamId, Head)>, found: &Found) -> bool {
        let awaited = self.awaited.take().unwrap_or(heads);
        let is_written = |(stream, head): &(StreamId, Head)| {
            *stream == CATALOGUE
                || self.violated.contains(stream)
                || found.heads.get(stream).is_some_and(|found| found.number >= head.number)
        };
        let is_as_far = awaited.iter().all(is_written);
        self.awaited = (!is_as_far).then_some(awaited);
        is_as_far
    }

    /// Goes on from where the tables are, if that is not where this node left them.
    fn begin_behind(&mut self, found: &Found, journal: &dyn Journal) -> Result<(), LedgerError> {
        self.awaited = None;
        let ours = self.streams.iter().map(|(stream, position)| (stream, &position.head));
        if !ours.eq(&found.heads) {
            self.streams = self.home.looked(positions)?;
            check_positions(&self.streams, journal)?;
        }
        Ok(())
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

    /// Opens the ledger at `location` to ask what is in it, beside whoever writes it: what is written
    /// from now on does not show.
    ///
    /// # Errors
    /// [`LedgerError::Absent`]; [`LedgerError::Damaged`] also when it is of another schema or history.
    pub fn look(location: &Location, journal: &dyn Journal) -> Result<Self, LedgerError> {
        match location {
            Location::File(path) => {
                if !path.exists() {
                    return Err(LedgerError::Absent(format!("at {}", path.display())));
                }
                let connection = schema::connect(path)?;
                connection.execute_batch(schema::LOOK)?;
                Self::as_it_is(connection, path, journal)
            }
            Location::Database { address, password, .. } => {
                let mut database =
                    Database::look_at(address, password.as_deref(), journal.epoch())?;
                let streams = database.looked(positions)?;
                check_positions(&streams, journal)?;
                Ok(Self::of(Home::Database(database), streams))
            }
        }
    }

    /// Who keeps it, where several nodes could: then nobody, if there is none.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn keeper(&mut self) -> Result<Option<Keeper>, LedgerError> {
        match &mut self.home {
            Home::File { .. } => Ok(None),
            Home::Database(database) => database.keeper(),
        }
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

fn positions(tables: &mut Tables<'_>) -> Result<BTreeMap<StreamId, Position>, LedgerError> {
    let found = tables.rows(statements::READ_POSITIONS, row![], |row| {
        let position = Position {
            head: head_of(row.number(1)?, &row.text(2)?),
            at_ms: row.number(3)?.cast_unsigned(),
            sale: row.maybe_text(4)?,
            stopped_ms: row.number(5)?.cast_unsigned(),
            in_line: row.maybe_count(6)?,
            visits: behind(row.maybe_count(7)?),
            reservations: behind(row.maybe_count(8)?),
            payments: behind(row.maybe_count(9)?),
        };
        Ok((StreamId(row.count(0)?), position))
    })?;
    Ok(found.into_iter().collect())
}

/// A batch as the tables name it.
fn head_of(number: i64, id: &str) -> Head {
    let id = u128::from_str_radix(id, 16).unwrap_or_default();
    Head { number: number.cast_unsigned(), id: BatchId(id) }
}

/// Makes sure that the journal has every batch that the tables are at.
fn check_positions(
    streams: &BTreeMap<StreamId, Position>,
    journal: &dyn Journal,
) -> Result<(), LedgerError> {
    for (stream, position) in streams {
        read_behind(journal, *stream, position.head, 0)?;
    }
    Ok(())
}

/// What follows a batch that the tables are at. Where that cannot be read, the tables are to be made anew, for
/// it may be that batch that is not in the journal; if it is not that, they then stop where the journal does.
fn read_behind(
    journal: &dyn Journal,
    stream: StreamId,
    known: Head,
    limit_bytes: usize,
) -> Result<Vec<Batch>, LedgerError> {
    let read = journal.read(stream, known, limit_bytes);
    if let Err(StoreError::Corrupt(why)) = &read
        && known != Head::EMPTY
    {
        return Err(LedgerError::Damaged(format!("nothing can follow batch {known}: {why}")));
    }
    Ok(read?)
}

//! How history is kept: streams of batches, each batch a durable commit, behind one small seam.
//!
//! A [`Journal`] stores numbered batches of bytes in streams and accepts a batch only behind the
//! very batch it was made for (*compare-and-append*). Batches are chained: each carries the id of
//! the one before it and a checksum over everything, so a gap, a foreign batch or a flipped bit is
//! noticed when it is read. What the bytes mean is not known here: the backends know streams and
//! bytes, and no word of the business.
//!
//! What holds for every backend, and is checked for every backend by `tests/conformance.rs`:
//!
//! 1. What was answered with [`Appended`] is on disk before the answer.
//! 2. A stream is one chain without gaps: numbers 1, 2, 3, ...; each batch names the id of the one
//!    before it; `at_ms` never decreases.
//! 3. An error means that nothing is *known* to be written. The same batch can always be sent
//!    again, and the answer to it is definite.
//! 4. A snapshot is a shortcut and never the truth: a damaged or foreign one is passed over.

mod chain;
pub mod codec;
pub mod ledger;
mod lock;
mod memory;
mod pieces;
mod postgres;
mod sqlite;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use lock::{Lock, Locked, Newer};
pub use memory::MemoryJournal;
use postgres::{Access, PostgresJournal};

/// The number of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The highest stream: a million of them, so that a stream and a number share one integer key,
    /// and a table with one entry for each stream stays small.
    pub const MAX: Self = Self((1 << 20) - 1);
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a batch, random and made by whoever made the batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u128);

impl BatchId {
    /// Stands before the first batch of every stream; no batch has it.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchId({self})")
    }
}

/// A place in a stream: the last batch up to there; before the first one unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many batches stand up to here; the first batch has number 1.
    pub number: u64,
    /// The id of the batch with that number.
    pub id: BatchId,
}

impl Head {
    /// Before the first batch.
    pub const EMPTY: Self = Self { number: 0, id: BatchId::NONE };
    /// The highest number in a stream: at 10,000 batches a second it is reached after 27 years.
    pub const NUMBER_MAX: u64 = (1 << 43) - 1;
}

impl Default for Head {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.id)
    }
}

/// One durable step of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// From 1 on, without gaps.
    pub number: u64,
    /// Never [`BatchId::NONE`].
    pub id: BatchId,
    /// The id of the batch before, [`BatchId::NONE`] for the first.
    pub previous: BatchId,
    /// When it was made, in milliseconds since the Unix epoch; never before the previous one's.
    pub at_ms: u64,
    /// What it says: opaque here.
    pub body: Vec<u8>,
}

impl Batch {
    /// The longest body. A batch carries the work of milliseconds, some 10 KB; a description of
    /// something very large may take a few MB.
    pub const BODY_MAX_BYTES: usize = 64 << 20;

    /// Where the stream stands once this batch is in it.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { number: self.number, id: self.id }
    }
}

/// A batch for a stream. It is accepted only behind the batch `(number - 1, previous)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The stream it is for.
    pub stream: StreamId,
    /// The batch.
    pub batch: Batch,
}

/// The definite answer to an [`Append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the stream now, and on disk.
    Appended,
    /// Exactly this batch was in the stream already: an earlier answer was lost.
    AlreadyThere,
    /// The stream's last batch is not the one it was made for; nothing of it was written, and as
    /// it stands it never will be.
    Conflict {
        /// Where the stream stands instead.
        head: Head,
    },
}

/// Which history this is. Made at random with the store, and again when an operator accepts a
/// history that was restored or cut off, so that promises made under another one are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// In a backup that nobody has gone on from yet; whoever opens it for writing gets a new one.
    pub const OF_A_BACKUP: Self = Self(0);
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How the bodies of batches are written, numbered from 1 on. What each number means is said in
/// [`codec`]; here it only counts that a program which knows one knows all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Format(pub u32);

impl Format {
    /// The one that every program can read and write.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why the store could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, a file cannot be reached, a connection is lost: nothing is known to be
    /// written. Send the same again, later.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What is stored is not what was written. Trying again changes nothing.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// A sync failed, or the outcome of a commit cannot be known, so that what is in memory can no
    /// longer be trusted to be what is on disk: the process must end. SQLite's backend ends it
    /// itself, and never returns this.
    #[error("the store could not make sure of what is on disk: {0}")]
    SyncFailed(String),
    /// Another process works in this directory.
    #[error("{} is in use by another process; stop that one or choose another directory", .0.display())]
    InUse(PathBuf),
    /// The store was written by a newer program.
    #[error(
        "the store has schema version {found}, and this program knows versions up to {known}; \
         use the program that wrote it, or a newer one"
    )]
    NewerSchema {
        /// What the store says.
        found: u32,
        /// The newest this program can read.
        known: u32,
    },
    /// Newer programs may have written to it what this one cannot read.
    #[error(
        "the store is in format {found}, and this program knows formats up to {known}; use the \
         program that raised it, or a newer one"
    )]
    NewerFormat {
        /// What the store says.
        found: Format,
        /// The newest this program can read.
        known: Format,
    },
    /// There is no store at this place, or something else is.
    #[error("there is no journal here: {0}")]
    NotAStore(String),
    /// The journal was opened for reading only.
    #[error("the journal is open for reading only")]
    ReadOnly,
    /// The caller asked for what may never be asked: a bug, not a state of the world.
    #[error("the journal cannot take this: {0}")]
    Invalid(String),
}

/// Streams of batches, kept.
///
/// Every verb blocks until it is done, and may be called from any thread. There are no default
/// methods, so that a wrapper (one that counts, one that fails on purpose) cannot miss a verb.
pub trait Journal: Send + Sync {
    /// Which history this is; fixed while the journal is open.
    fn epoch(&self) -> Epoch;

    /// The newest format that bodies may be written in now, by any process.
    ///
    /// # Errors
    /// As for any reading: [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    fn format(&self) -> Result<Format, StoreError>;

    /// Lets bodies be written in every format up to `to`, durably. There is no way back: an earlier
    /// format than the present one changes nothing. Whether all who write can read it is for the
    /// caller to know ([`Journal::writers`]).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Invalid`] for one that this program does not know.
    fn raise_format(&self, to: Format) -> Result<(), StoreError>;

    /// The newest format that each process knows which has the journal open for writing now, this one
    /// among them, lowest first. Who only reads a journal inside another process sees none.
    ///
    /// # Errors
    /// As for any reading: [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    fn writers(&self) -> Result<Vec<Format>, StoreError>;

    /// Appends batches, in one durable commit for all of them.
    ///
    /// The answers come in the order of `appends`. One stream's conflict does not hinder the
    /// others. When it returns `Ok`, everything it answers for is on disk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: send the same again. [`StoreError::Invalid`], with nothing
    /// written: a stream stands twice in `appends`, a number, stream or body is out of bounds, an
    /// id is [`BatchId::NONE`], or `at_ms` lies before that of the batch it would follow.
    fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, StoreError>;

    /// Waits until nobody else is about to append to these streams, keeps others from it, and says what
    /// stands in each of them behind the given head, or the first of it where that is much. What is appended
    /// with the lock therefore does not come too late, as it may where several processes append to one stream
    /// and each finds out only afterwards that another one came first. Whoever has waited longest is next.
    ///
    /// It saves work and no more. Appends compare as ever, for a lock ends when its process is silent for a
    /// second, where one process has the journal there is nobody to keep out, and nobody is kept from writing
    /// the first batch of a stream without a lock.
    ///
    /// # Errors
    /// Those of [`Journal::append`]; no lock is held then. What is wrong with one stream alone, as of
    /// [`Journal::read`], is said in its place.
    fn lock(&self, streams: &[(StreamId, Head)]) -> Result<Locked<'_>, StoreError>;

    /// The batches of a stream after `after`, in order: as many as fit `limit_bytes` (bodies and a
    /// small allowance for each batch), but at least one if there is any. Each is checked: its
    /// number and `previous` follow, its checksum is right, `at_ms` does not decrease.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a check fails, and when `after` is not in the stream.
    fn read(
        &self,
        stream: StreamId,
        after: Head,
        limit_bytes: usize,
    ) -> Result<Vec<Batch>, StoreError>;

    /// Where a stream stands; [`Head::EMPTY`] for one that nothing was appended to.
    ///
    /// # Errors
    /// As for any reading: [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    fn head(&self, stream: StreamId) -> Result<Head, StoreError>;

    /// Where every stream stands that has a batch, in the order of the streams.
    ///
    /// # Errors
    /// As for any reading: [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    fn heads(&self) -> Result<Vec<(StreamId, Head)>, StoreError>;

    /// Says, durably, that somebody was at work at `at_ms`. It never moves backwards: an earlier
    /// time than the last one changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Invalid`] for a time past 63 bits.
    fn heartbeat(&self, at_ms: u64) -> Result<(), StoreError>;

    /// The latest heartbeat there ever was.
    ///
    /// # Errors
    /// As for any reading: [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    fn last_heartbeat(&self) -> Result<Option<u64>, StoreError>;

    /// The store's clock, in milliseconds since the Unix epoch: the one clock of all nodes that
    /// share a store. Of a store inside the process it is [`Options::wall_clock`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the store cannot be asked.
    fn now_ms(&self) -> Result<u64, StoreError>;

    /// Keeps what a stream amounts to at `head`, as `snapshot` writes it; the two newest of a stream
    /// are kept.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when `head` is not in the stream; [`StoreError::Unavailable`] when it
    /// cannot be written, or is longer than [`SNAPSHOT_MAX_BYTES`]: the older ones are still there.
    fn save_snapshot(
        &self,
        stream: StreamId,
        head: Head,
        snapshot: WriteSnapshot<'_>,
    ) -> Result<(), StoreError>;

    /// The newest snapshot that is intact and whose head is in this stream's history. Damaged and
    /// foreign ones are passed over, with a warning in the log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the snapshots cannot be looked for.
    fn load_snapshot(&self, stream: StreamId) -> Result<Option<(Head, Vec<u8>)>, StoreError>;

    /// Brings everything into its place on disk, for a shutdown: the next start has nothing to
    /// catch up with. Nothing depends on it, for what was answered is durable without.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn sync(&self) -> Result<(), StoreError>;

    /// How many durable commits this journal has made since it was opened.
    fn sync_count(&self) -> u64;
}

/// Writes a snapshot, in pieces of any size, so that it need not stand in memory as a whole.
pub type WriteSnapshot<'w> = &'w dyn Fn(&mut dyn Write) -> io::Result<()>;

/// The longest snapshot, 4 GiB: ten million entries of a few dozen bytes take a tenth of it.
pub const SNAPSHOT_MAX_BYTES: u64 = 4 << 30;

/// Reads a wall clock, in milliseconds since the Unix epoch.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How a journal is opened.
#[derive(Clone)]
pub struct Options {
    /// The clock behind [`Journal::now_ms`] of a store that has none of its own.
    pub wall_clock: WallClock,
    /// Take the history as it is, although it may end before what was acknowledged, and give it a
    /// new [`Epoch`]. It is for one start, by an operator who restored a backup or who has decided
    /// that what is missing is lost; it must not stay set, for it makes a new epoch at each start.
    pub accept_shorter_history: bool,
    /// The password for an address of PostgreSQL that has none.
    pub password: Option<String>,
    /// The format of a journal that is made now: the newest, unless a program that knows only an
    /// earlier one is to write to it too. One that is there keeps its own.
    pub first_format: Format,
}

impl Options {
    /// The everyday way: a history that ends too early is refused.
    #[must_use]
    pub fn new(wall_clock: WallClock) -> Self {
        Self {
            wall_clock,
            accept_shorter_history: false,
            password: None,
            first_format: codec::FORMAT_MAX,
        }
    }
}

/// Opens the journal at `location`, creating it if there is none: `memory:` (gone with the
/// process), `sqlite:DIR`, or just `DIR`, or `postgres://USER@HOST:PORT/DATABASE`, which several
/// processes may have open.
///
/// # Errors
/// [`StoreError::InUse`], [`StoreError::NewerSchema`], [`StoreError::NewerFormat`],
/// [`StoreError::NotAStore`]; [`StoreError::Corrupt`] when the history ends before what was acknowledged.
pub fn open(location: &str, options: Options) -> Result<Arc<dyn Journal>, StoreError> {
    if location == "memory:" {
        let journal = MemoryJournal::new(new_epoch()?, options.wall_clock, options.first_format);
        return Ok(Arc::new(journal));
    }
    if postgres::is_address(location) {
        return Ok(Arc::new(PostgresJournal::open(location, &options, Access::Write)?));
    }
    let dir = directory(location)?;
    Ok(Arc::new(sqlite::SqliteJournal::open(dir, options)?))
}

/// Opens the journal in `location` (as for [`open`], but not `memory:`) for reading, beside a process
/// that may be writing to it. Nothing is locked or healed there, and nothing created but what SQLite
/// shares between processes.
///
/// With [`Options::accept_shorter_history`] it also shows a history that ends too early.
///
/// # Errors
/// As [`open`], without [`StoreError::InUse`].
pub fn open_read_only(location: &str, options: Options) -> Result<Arc<dyn Journal>, StoreError> {
    if postgres::is_address(location) {
        return Ok(Arc::new(PostgresJournal::open(location, &options, Access::Read)?));
    }
    let dir = directory(location)?;
    Ok(Arc::new(sqlite::SqliteReader::open(dir, options)?))
}

/// What was copied by [`back_up`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// Where each stream stands in the copy.
    pub heads: Vec<(StreamId, Head)>,
    /// How many snapshots are in it.
    pub snapshots: usize,
}

/// Copies the journal in `location` (`sqlite:DIR` or `DIR`) into the new directory `to`, also beside a
/// process that writes to it: as it stands at one commit, and checked to its last batch. Then those of
/// the files `beside` it that are there, by their names. The copy is whole or not there.
///
/// To go on from it, open it as any other journal; it gets a new [`Epoch`] then.
///
/// # Errors
/// [`StoreError::Unavailable`] when `to` is there already or cannot be written,
/// [`StoreError::NotAStore`], also for PostgreSQL, which has its own ways, and
/// [`StoreError::Corrupt`] when what is copied is not sound.
pub fn back_up(location: &str, to: &Path, beside: &[&str]) -> Result<BackedUp, StoreError> {
    if postgres::is_address(location) {
        return Err(StoreError::NotAStore(
            "a journal in PostgreSQL is backed up with PostgreSQL's own programs".to_owned(),
        ));
    }
    sqlite::back_up(directory(location)?, to, beside)
}

fn directory(location: &str) -> Result<&Path, StoreError> {
    let dir = location.strip_prefix("sqlite:").unwrap_or(location);
    if dir.is_empty() || dir.contains("://") || dir == "memory:" {
        // Of a mistyped address no more than its kind is shown, for a password may be in it.
        let shown = location.split_once("://").map_or(location, |(kind, _)| kind);
        return Err(StoreError::NotAStore(format!(
            "{shown:?} is not a place this program can use; write a directory, sqlite:DIR, memory: \
             or postgres://USER@HOST/DATABASE"
        )));
    }
    Ok(Path::new(dir))
}

/// Refuses a format that this program does not know.
fn check_format(format: Format) -> Result<Format, StoreError> {
    let known = codec::FORMAT_MAX;
    if format > known { Err(StoreError::NewerFormat { found: format, known }) } else { Ok(format) }
}

/// Refuses to raise a store to what this program does not know.
fn check_raise(to: Format) -> Result<(), StoreError> {
    check_format(to).map(drop).map_err(|_| {
        StoreError::Invalid(format!("format {to}: this program knows up to {}", codec::FORMAT_MAX))
    })
}

fn new_epoch() -> Result<Epoch, StoreError> {
    getrandom::u64()
        .map(|random| Epoch(random.max(1)))
        .map_err(|error| StoreError::Unavailable(format!("no randomness for an epoch: {error}")))
}

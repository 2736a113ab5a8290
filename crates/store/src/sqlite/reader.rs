//! The reading half of the journal, which is the whole of it for a process that may not write.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use rusqlite::Connection;

use super::data_dir::DataDir;
use super::snapshots::Snapshots;
use super::{head_file, history, schema};
use crate::chain;
use crate::{
    Append, Appended, Batch, Epoch, Format, Head, Journal, Locked, Options, StoreError, StreamId,
    WallClock, WriteSnapshot,
};

/// A journal that is only read, in the process that writes it or beside that.
pub(crate) struct SqliteReader {
    connection: Mutex<Connection>,
    epoch: Epoch,
    wall_clock: WallClock,
    snapshots: Snapshots,
}

impl SqliteReader {
    /// Reads a directory that another process may be writing to. It takes no lock, makes no file
    /// but SQLite's shared memory, and heals nothing.
    pub(crate) fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let dir = DataDir::new(dir);
        // The head file first: whatever it says is in the database by then.
        let slots = head_file::read_slots(&dir.head_file()).map_err(|e| dir.unusable(&e))?;
        if !dir.database().exists() {
            head_file::check_database_exists(slots.as_deref(), &dir.database())?;
            return Err(StoreError::NotAStore(format!("{} has no journal.sqlite", dir.display())));
        }
        let reader = Self::beside_writer(&dir, options.wall_clock)?;
        if !options.accept_shorter_history {
            let connection = reader.connection();
            head_file::check(slots.as_deref(), &connection, &history::heads(&connection)?)?;
        }
        Ok(reader)
    }

    /// Reads what the writer of this process has opened and checked.
    pub(super) fn beside_writer(dir: &DataDir, wall_clock: WallClock) -> Result<Self, StoreError> {
        let connection = schema::open_reader(&dir.database())?;
        Ok(Self {
            epoch: schema::read_epoch(&connection)?,
            connection: Mutex::new(connection),
            wall_clock,
            snapshots: Snapshots::new(dir.snapshots()),
        })
    }

    pub(super) fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// Saving writes no row, so it is here: it needs what a reader knows, and the right to write
    /// is with the caller.
    pub(super) fn save_snapshot_of(
        &self,
        stream: StreamId,
        head: Head,
        snapshot: WriteSnapshot<'_>,
    ) -> Result<(), StoreError> {
        chain::check_stream(stream)?;
        if head == Head::EMPTY || !self.contains(stream, head)? {
            return Err(StoreError::Invalid(format!("batch {head} is not in stream {stream}")));
        }
        self.snapshots.save(stream, self.epoch, head, snapshot, |head| self.contains(stream, head))
    }

    fn contains(&self, stream: StreamId, head: Head) -> Result<bool, StoreError> {
        history::contains(&self.connection(), stream, head)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().expect("reading does not panic")
    }
}

impl Journal for SqliteReader {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn format(&self) -> Result<Format, StoreError> {
        schema::read_format(&self.connection())
    }

    fn raise_format(&self, _: Format) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn writers(&self) -> Result<Vec<Format>, StoreError> {
        Ok(Vec::new())
    }

    fn append(&self, _: &[Append]) -> Result<Vec<Appended>, StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn lock(&self, _: &[(StreamId, Head)]) -> Result<Locked<'_>, StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn read(
        &self,
        stream: StreamId,
        after: Head,
        limit_bytes: usize,
    ) -> Result<Vec<Batch>, StoreError> {
        chain::check_stream(stream)?;
        let page = history::read(&self.connection(), stream, after, limit_bytes)?;
        page.check()
    }

    fn head(&self, stream: StreamId) -> Result<Head, StoreError> {
        chain::check_stream(stream)?;
        history::head(&self.connection(), stream)
    }

    fn heads(&self) -> Result<Vec<(StreamId, Head)>, StoreError> {
        history::heads(&self.connection())
    }

    fn heartbeat(&self, _: u64) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn last_heartbeat(&self) -> Result<Option<u64>, StoreError> {
        history::heartbeat(&self.connection())
    }

    fn now_ms(&self) -> Result<u64, StoreError> {
        Ok((self.wall_clock)())
    }

    fn save_snapshot(&self, _: StreamId, _: Head, _: WriteSnapshot<'_>) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn load_snapshot(&self, stream: StreamId) -> Result<Option<(Head, Vec<u8>)>, StoreError> {
        chain::check_stream(stream)?;
        self.snapshots.load(stream, |head| self.contains(stream, head))
    }

    fn sync(&self) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn sync_count(&self) -> u64 {
        0
    }
}

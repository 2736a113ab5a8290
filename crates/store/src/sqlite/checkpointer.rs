//! Keeps the WAL short: copies it into the database, beside the writer.
//!
//! A checkpoint that a commit runs into is tens of milliseconds on the path of everyone who waits
//! for that commit. So it is made on a thread and a connection of its own, in rounds: copy what is
//! in the WAL (SQLite's PASSIVE mode, which neither waits for the writer nor lets it wait), then sync
//! the database file. Each round has only to copy what was written during the last one. When a round
//! was small, the writer is made to wait, and the little that is left is copied, synced, and the WAL
//! started anew from its beginning (RESTART). The file keeps its size: overwriting blocks that exist
//! costs half of what appending new ones costs (measured: 0.09 ms to 0.19 ms for a synced 20 KB).
//!
//! SQLite syncs the database only in a checkpoint that reaches the end of the WAL, which beside a
//! busy writer none does. If the rounds did not sync, the last one would sync everything, with the
//! writer waiting. These syncs only bring work forward; what SQLite may forget of the WAL it decides
//! on its own.
//!
//! A reader that needs the WAL keeps it from being started anew. Those of this process read for
//! milliseconds. One in another process that keeps a statement open for long lets the WAL grow for
//! as long: the only case in which it has no bound.

use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use super::head_file::HeadFile;
use super::schema::PAGE_BYTES;
use super::turn::Turn;
use super::{Writer, failure};
use crate::StoreError;

/// When and how hard to work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// So much written since the last checkpoint starts the next.
    pub(super) start_bytes: u64,
    /// A round that copied less is the last one beside the writer.
    pub(super) small_bytes: u64,
    /// So many rounds at most, for a disk on which each is larger than the one before.
    pub(super) rounds_max: u32,
    /// With a WAL longer than this the writer waits at once, and for readers too.
    pub(super) high_bytes: u64,
}

/// 8 MiB are half a second of a busy journal: seldom enough for the syncs to cost little, and short
/// enough to be read in a moment at the start after a crash. 512 KiB are copied and synced in one or
/// two milliseconds. 64 MiB are reached only when the disk cannot follow; then it is the writer who
/// must slow down. The WAL stays below that plus what is written during one round.
pub(super) const LIMITS: Limits =
    Limits { start_bytes: 8 << 20, small_bytes: 512 << 10, rounds_max: 4, high_bytes: 64 << 20 };

/// How long the writer may be made to wait for readers, when the WAL is long or at a shutdown.
const READERS_WAIT: Duration = Duration::from_millis(50);

const CHECKPOINT_BESIDE_WRITER: &str = "
-- checkpoint_beside_writer
PRAGMA wal_checkpoint(PASSIVE)
";

const CHECKPOINT_AND_RESTART: &str = "
-- checkpoint_and_restart
PRAGMA wal_checkpoint(RESTART)
";

const CHECKPOINT_AND_TRUNCATE: &str = "
-- checkpoint_and_truncate
PRAGMA wal_checkpoint(TRUNCATE)
";

/// The thread and what it works on. Dropping it stops the thread and waits for it.
pub(super) struct Checkpointer {
    work: Arc<Work>,
    thread: Option<JoinHandle<()>>,
}

struct Work {
    writer: Arc<Turn<Writer>>,
    head_file: Arc<HeadFile>,
    connection: Mutex<Connection>,
    limits: Limits,
    wanted: Mutex<Wanted>,
    wake: Condvar,
    /// Must be closed after every connection of this process: closing any file on the database
    /// takes away the locks that SQLite has on it (a rule of POSIX). So it stands last here, and
    /// this is dropped last in the journal.
    database: File,
}

/// What the thread is asked to do.
#[derive(Default)]
struct Wanted {
    checkpoint: bool,
    stop: bool,
}

/// How far the WAL is copied, in frames.
struct Progress {
    readers_in_the_way: bool,
    in_wal: u64,
    copied: u64,
}

impl Checkpointer {
    pub(super) fn start(
        writer: Arc<Turn<Writer>>,
        head_file: Arc<HeadFile>,
        connection: Connection,
        database: File,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        let work = Arc::new(Work {
            writer,
            head_file,
            connection: Mutex::new(connection),
            limits,
            wanted: Mutex::default(),
            wake: Condvar::new(),
            database,
        });
        let thread = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn({
                let work = Arc::clone(&work);
                move || work.run()
            })
            .map_err(|error| StoreError::Unavailable(format!("no thread: {error}")))?;
        Ok(Self { work, thread: Some(thread) })
    }

    /// Whether so much, written since the last request, asks for a checkpoint.
    pub(super) fn is_due(&self, written_bytes: u64) -> bool {
        written_bytes >= self.work.limits.start_bytes
    }

    /// Asks for a checkpoint soon.
    pub(super) fn request(&self) {
        self.work.wanted().checkpoint = true;
        self.work.wake.notify_one();
    }

    /// Copies everything, and cuts the WAL to nothing, while the writer waits.
    pub(super) fn finish(&self) -> Result<(), StoreError> {
        let connection = self.work.connection();
        let _writer_waits = self.work.writer.lock();
        self.work.wait_for_readers(&connection, READERS_WAIT)?;
        let progress = checkpoint(&connection, CHECKPOINT_AND_TRUNCATE)?;
        if progress.readers_in_the_way {
            // It is as durable in the WAL.
            tracing::info!(frames = progress.in_wal, "a reader keeps the WAL from being emptied");
        }
        self.work.sync_heads()
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.work.wanted().stop = true;
        self.work.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpointer had stopped with a panic");
        }
    }
}

impl Work {
    fn run(&self) {
        let mut fails = false;
        while self.wait() {
            match self.checkpoint() {
                Ok(()) => fails = false,
                // The journal goes on without; the WAL grows until there is room, and it is tried
                // again when it has grown. One line says so: on a full disk it fails many times.
                Err(error) if !fails => {
                    tracing::warn!(%error, "checkpoints fail");
                    fails = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Waits for the next request; false when there will be none.
    fn wait(&self) -> bool {
        let mut wanted = self
            .wake
            .wait_while(self.wanted(), |wanted| !wanted.checkpoint && !wanted.stop)
            .expect("nobody panics while wishing");
        wanted.checkpoint = false;
        !wanted.stop
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        let connection = self.connection();
        let (mut copied, mut is_long) = (0, false);
        for _ in 0..self.limits.rounds_max {
            let progress = checkpoint(&connection, CHECKPOINT_BESIDE_WRITER)?;
            self.sync_database()?;
            let round = progress.copied.saturating_sub(copied) * PAGE_BYTES;
            is_long = progress.in_wal * PAGE_BYTES > self.limits.high_bytes;
            if round < self.limits.small_bytes || is_long || self.wanted().stop {
                break;
            }
            copied = progress.copied;
        }
        self.wait_for_readers(&connection, if is_long { READERS_WAIT } else { Duration::ZERO })?;
        let progress = {
            let _writer_waits = self.writer.lock();
            checkpoint(&connection, CHECKPOINT_AND_RESTART)?
        };
        tracing::debug!(
            frames = progress.in_wal,
            readers_in_the_way = progress.readers_in_the_way,
            "checkpoint"
        );
        self.sync_heads()
    }

    fn wait_for_readers(&self, connection: &Connection, wait: Duration) -> Result<(), StoreError> {
        connection.busy_timeout(wait).map_err(|error| failure::of(&error))
    }

    fn sync_database(&self) -> Result<(), StoreError> {
        self.database.sync_data().map_err(|error| failure::of_sync("the database", &error))
    }

    fn sync_heads(&self) -> Result<(), StoreError> {
        self.head_file.sync().map_err(|error| failure::of_sync("the head file", &error))
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().expect("nobody panics while wishing")
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().expect("a checkpoint does not panic")
    }
}

/// Copies everything, and cuts the WAL to nothing, before anyone else is there.
pub(super) fn checkpoint_all(connection: &Connection) -> Result<(), StoreError> {
    checkpoint(connection, CHECKPOINT_AND_TRUNCATE).map(drop)
}

fn checkpoint(connection: &Connection, statement: &str) -> Result<Progress, StoreError> {
    connection
        .prepare_cached(statement)
        .and_then(|mut statement| {
            statement.query_row([], |row| {
                // Minus one when there is nothing to say: there is no WAL yet.
                let frames =
                    |column| row.get(column).map(|count: i64| count.max(0).cast_unsigned());
                Ok(Progress {
                    readers_in_the_way: row.get(0)?,
                    in_wal: frames(1)?,
                    copied: frames(2)?,
                })
            })
        })
        .map_err(|error| failure::of(&error))
}

//! The journal in SQLite, inside the process: the default backend.
//!
//! A directory with `journal.sqlite` (and SQLite's `-wal` and `-shm`), `head`, `snapshots/` and
//! `lock`. One connection writes, one reads, one copies the WAL into the database; each stands
//! behind a lock, for a connection may move between threads but not be shared. `synchronous=FULL`:
//! a commit is one sync of the WAL.
//!
//! **What is noticed.** Every batch is checked when it is read ([`crate::chain`]): flipped bits,
//! missing, foreign and misplaced batches. At the start the last batch of every stream is checked,
//! and the ends of the streams are compared with the head file, so that a WAL that was cut off or
//! deleted, a database that was deleted or put back from a backup, is refused.
//!
//! **What stays undetectable.**
//! - A whole directory put back as it was, head file included: then the history only looks young.
//!   Open it once with `accept_shorter_history`, for the new epoch.
//! - A disk that acknowledges a sync without doing it, and then loses power: the head file's last
//!   slots may be lost with the WAL's end, for they are synced only at checkpoints.
//! - A stream whose end was lost together with its slot (torn, or zeroed).
//! - Damage to a batch that nobody has read since; a wrong heartbeat, for it has no checksum.
//! - Intent: whoever can write to the directory can also compute every checksum.

mod backup;
mod checkpointer;
mod data_dir;
mod failure;
mod head_file;
mod history;
mod reader;
mod schema;
mod snapshots;
#[cfg(test)]
mod tests;
mod transaction;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use crate::chain::{self, Checksum, Fit, Tail};
use crate::codec::FORMAT_MAX;
use crate::lock;
use crate::{
    Append, Appended, Batch, Epoch, Format, Head, Journal, Locked, Options, StoreError, StreamId,
    WriteSnapshot,
};
pub(crate) use backup::back_up;
use checkpointer::{Checkpointer, LIMITS, Limits};
use data_dir::DataDir;
use head_file::HeadFile;
pub(crate) use reader::SqliteReader;
use schema::PAGE_BYTES;
use turn::Turn;

/// What a batch adds to the WAL beside its body, in pages: the leaf it is on, the page above it now
/// and then, and the first page, which counts the others.
const PAGES_PER_BATCH: u64 = 3;

const APPEND_BATCH: &str = "
-- append_batch
INSERT INTO batch (key, id, previous, at_ms, checksum, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
";

const MOVE_HEARTBEAT: &str = "
-- move_heartbeat
UPDATE meta
SET heartbeat_ms = ?1
";

const RAISE_FORMAT: &str = "
-- raise_format
UPDATE meta
SET format = ?1
";

/// The journal of the one process that may write.
pub(crate) struct SqliteJournal {
    reader: SqliteReader,
    writer: Arc<Turn<Writer>>,
    head_file: Arc<HeadFile>,
    sync_count: AtomicU64,
    checkpointer: Checkpointer,
    /// Last: others may have the directory only when all else is closed.
    _lock: File,
}

/// What only one thread at a time may do, and knows.
struct Writer {
    connection: Connection,
    epoch: Epoch,
    head_file: Arc<HeadFile>,
    /// The ends of all streams that have a batch. No other process writes, so this is the truth,
    /// and comparing costs no look into the database.
    tails: BTreeMap<StreamId, Tail>,
    heartbeat_ms: Option<u64>,
    format: Format,
    /// Streams whose slot in the head file does not say the end of the stream yet.
    unsaid: BTreeSet<StreamId>,
    /// About how much was written to the WAL since a checkpoint was last asked for.
    written_bytes: u64,
}

impl SqliteJournal {
    /// Takes the directory, and checks that the history is all there.
    pub(crate) fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        Self::open_with(dir, options, LIMITS)
    }

    fn open_with(dir: &Path, options: Options, limits: Limits) -> Result<Self, StoreError> {
        let dir = DataDir::new(dir);
        let lock = dir.take()?;
        let database_path = dir.database();
        let accept = options.accept_shorter_history;

        // The head file first: whatever it says is in the database by then.
        let slots = head_file::read_slots(&dir.head_file()).map_err(|e| dir.unusable(&e))?;
        if !accept {
            head_file::check_database_exists(slots.as_deref(), &database_path)?;
        }
        let database = data_dir::open_private(&database_path).map_err(|e| dir.unusable(&e))?;
        let connection = schema::open_writer(&database_path, options.first_format)?;
        let heads = history::heads(&connection)?;
        if accept {
            let epoch = crate::new_epoch()?;
            tracing::warn!(%epoch, "the history is accepted as it is, under a new epoch");
            schema::change_epoch(&connection, epoch)?;
        } else {
            head_file::check(slots.as_deref(), &connection, &heads)?;
            if schema::read_epoch(&connection)? == Epoch::OF_A_BACKUP {
                let epoch = crate::new_epoch()?;
                tracing::warn!(%epoch, "this is a backup; what came after it is not known here");
                schema::change_epoch(&connection, epoch)?;
            }
        }
        schema::bring_up(&connection)?;
        let epoch = schema::read_epoch(&connection)?;
        // Not without need: a disk that is full is no reason not to start.
        if !head_file::says(slots.as_deref(), epoch, &heads) {
            head_file::replace(&dir.head_file(), epoch, &heads).map_err(|e| dir.unusable(&e))?;
        }
        let head_file = HeadFile::open(&dir.head_file()).map_err(|e| dir.unusable(&e))?;
        let head_file = Arc::new(head_file);

        let writer = Writer {
            epoch,
            head_file: Arc::clone(&head_file),
            tails: tails(&connection, &heads)?,
            heartbeat_ms: history::heartbeat(&connection)?,
            format: schema::read_format(&connection)?,
            unsaid: BTreeSet::new(),
            written_bytes: 0,
            connection,
        };
        let writer = Arc::new(Turn::new(writer));
        let reader = SqliteReader::beside_writer(&dir, options.wall_clock)?;
        reader.snapshots().remove_temporaries()?;
        // SQLite has made its files by now, and does not hear of an error of syncing their names.
        dir.sync()?;
        let checkpointer = Checkpointer::start(
            Arc::clone(&writer),
            Arc::clone(&head_file),
            schema::open_checkpointer(&database_path)?,
            database,
            limits,
        )?;
        Ok(Self {
            reader,
            writer,
            head_file,
            sync_count: AtomicU64::new(0),
            checkpointer,
            _lock: lock,
        })
    }

    /// To be told of each attempt to write: counts the commits, and asks for a checkpoint when one
    /// is due. After a failure one is always due: when the disk is full, it may make room, for the
    /// WAL starts anew.
    fn account<T>(
        &self,
        writer: &mut Writer,
        written: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if written.is_ok() {
            self.sync_count.fetch_add(1, Ordering::Relaxed);
        }
        if written.is_err() || self.checkpointer.is_due(writer.written_bytes) {
            writer.written_bytes = 0;
            self.checkpointer.request();
        }
        written
    }
}

/// The ends of the streams, each checked.
fn tails(
    connection: &Connection,
    heads: &[(StreamId, Head)],
) -> Result<BTreeMap<StreamId, Tail>, StoreError> {
    let tail = |(stream, head): &(StreamId, Head)| {
        let batch = history::batch_at(connection, *stream, head.number)?
            .ok_or_else(|| chain::not_in_stream(*stream, *head))?;
        Ok((*stream, Tail::of(&batch)))
    };
    heads.iter().map(tail).collect()
}

impl Writer {
    fn tail(&self, stream: StreamId) -> Tail {
        self.tails.get(&stream).copied().unwrap_or(Tail::EMPTY)
    }

    /// Answers for everything but the batches that come next, which are still to be written.
    fn compare(&self, append: &Append) -> Result<Appended, StoreError> {
        let Append { stream, batch } = append;
        let tail = self.tail(*stream);
        match tail.fit(append)? {
            Fit::Next => Ok(Appended::Appended),
            Fit::Taken => {
                let stored = history::batch_at(&self.connection, *stream, batch.number)?;
                let place = Head { number: batch.number, id: batch.id };
                let stored = stored.ok_or_else(|| chain::not_in_stream(*stream, place))?;
                Ok(tail.answer_taken(batch, &stored))
            }
            Fit::Foreign => Ok(Appended::Conflict { head: tail.head }),
        }
    }

    /// Writes batches that come next, durably, and then says so in the head file.
    fn write(&mut self, next: &[(&Append, Checksum)]) -> Result<(), StoreError> {
        transaction::run(&self.connection, |connection| {
            let mut insert = connection.prepare_cached(APPEND_BATCH)?;
            for (Append { stream, batch }, checksum) in next {
                insert.execute((
                    history::key(*stream, batch.number),
                    batch.id.0.to_be_bytes(),
                    batch.previous.0.to_be_bytes(),
                    batch.at_ms.cast_signed(),
                    checksum.0,
                    &batch.body,
                ))?;
            }
            Ok(())
        })?;
        for (Append { stream, batch }, _) in next {
            self.tails.insert(*stream, Tail::of(batch));
            self.unsaid.insert(*stream);
            self.written_bytes += batch.body.len() as u64 + PAGES_PER_BATCH * PAGE_BYTES;
        }
        self.say_heads();
        Ok(())
    }

    /// Brings the head file up to date. An error is no reason to take back what is durable: the
    /// slot says less than it could until the next attempt, which is the next append.
    fn say_heads(&mut self) {
        let Self { unsaid, tails, head_file, epoch, .. } = self;
        let mut failed = None;
        unsaid.retain(|stream| {
            let said = head_file.write(*stream, *epoch, tails[stream].head);
            said.inspect_err(|error| failed = Some(error.to_string())).is_err()
        });
        if let Some(error) = failed {
            tracing::warn!(%error, "the head file falls behind");
        }
    }

    fn move_heartbeat(&mut self, at_ms: u64) -> Result<(), StoreError> {
        transaction::run(&self.connection, |connection| {
            connection.prepare_cached(MOVE_HEARTBEAT)?.execute([at_ms.cast_signed()])
        })?;
        self.heartbeat_ms = Some(at_ms);
        self.written_bytes += PAGE_BYTES;
        Ok(())
    }

    fn raise_format(&mut self, to: Format) -> Result<(), StoreError> {
        transaction::run(&self.connection, |connection| connection.execute(RAISE_FORMAT, [to.0]))?;
        self.format = to;
        self.written_bytes += PAGE_BYTES;
        Ok(())
    }
}

impl Journal for SqliteJournal {
    fn epoch(&self) -> Epoch {
        self.reader.epoch()
    }

    fn format(&self) -> Result<Format, StoreError> {
        Ok(self.writer.lock().format)
    }

    fn raise_format(&self, to: Format) -> Result<(), StoreError> {
        crate::check_raise(to)?;
        let mut writer = self.writer.lock();
        if writer.format >= to {
            return Ok(());
        }
        let written = writer.raise_format(to);
        self.account(&mut writer, written)
    }

    fn writers(&self) -> Result<Vec<Format>, StoreError> {
        Ok(vec![FORMAT_MAX])
    }

    fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, StoreError> {
        chain::check_appends(appends)?;
        // Before the lock: hashing is most of the work that can be done beside another commit.
        let checksums: Vec<Checksum> =
            appends.iter().map(|append| Checksum::of(append.stream, &append.batch)).collect();
        let mut writer = self.writer.lock();
        let answers = appends
            .iter()
            .map(|append| writer.compare(append))
            .collect::<Result<Vec<Appended>, StoreError>>()?;
        let next: Vec<(&Append, Checksum)> = appends
            .iter()
            .zip(checksums)
            .zip(&answers)
            .filter_map(|(next, answer)| (*answer == Appended::Appended).then_some(next))
            .collect();
        if !next.is_empty() {
            let written = writer.write(&next);
            self.account(&mut writer, written)?;
        }
        Ok(answers)
    }

    fn lock(&self, streams: &[(StreamId, Head)]) -> Result<Locked<'_>, StoreError> {
        lock::alone(self, streams)
    }

    fn read(
        &self,
        stream: StreamId,
        after: Head,
        limit_bytes: usize,
    ) -> Result<Vec<Batch>, StoreError> {
        self.reader.read(stream, after, limit_bytes)
    }

    fn head(&self, stream: StreamId) -> Result<Head, StoreError> {
        self.reader.head(stream)
    }

    fn heads(&self) -> Result<Vec<(StreamId, Head)>, StoreError> {
        self.reader.heads()
    }

    fn heartbeat(&self, at_ms: u64) -> Result<(), StoreError> {
        chain::check_time(at_ms)?;
        let mut writer = self.writer.lock();
        if writer.heartbeat_ms >= Some(at_ms) {
            return Ok(());
        }
        let written = writer.move_heartbeat(at_ms);
        self.account(&mut writer, written)
    }

    fn last_heartbeat(&self) -> Result<Option<u64>, StoreError> {
        self.reader.last_heartbeat()
    }

    fn now_ms(&self) -> Result<u64, StoreError> {
        self.reader.now_ms()
    }

    fn save_snapshot(
        &self,
        stream: StreamId,
        head: Head,
        snapshot: WriteSnapshot<'_>,
    ) -> Result<(), StoreError> {
        self.reader.save_snapshot_of(stream, head, snapshot)?;
        self.head_file.sync().map_err(|error| failure::of_sync("the head file", &error))
    }

    fn load_snapshot(&self, stream: StreamId) -> Result<Option<(Head, Vec<u8>)>, StoreError> {
        self.reader.load_snapshot(stream)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.checkpointer.finish()
    }

    fn sync_count(&self) -> u64 {
        self.sync_count.load(Ordering::Relaxed)
    }
}

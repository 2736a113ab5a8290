//! The journal in PostgreSQL: for one node or for several, which are all alike.
//!
//! Who comes first in a stream is decided by the database: a batch comes in only behind the very batch
//! it was made for ([`append`]). Nodes that append to the same one take turns ([`turns`]), which saves
//! work and decides nothing. There is no leader and no lease, and nothing but plain SQL: no advisory
//! locks, triggers, extensions or notifications.
//!
//! **What is noticed.** Every batch is checked when it is read ([`crate::chain`]). Every new connection
//! is asked for the epoch and for our last batch of every stream ([`pool`]): a server that was put
//! back, or that took over without all that was acknowledged, is refused, until an operator starts
//! anew. A commit that may not have reached the standby does not count ([`connection`]).
//!
//! **What stays undetectable.**
//! - A database put back as it was while no node ran: start once with `accept_shorter_history`, for
//!   the new epoch.
//! - What a server loses that does not do what it says: `fsync` off, or a disk that lies to it.
//! - That what was *read* of another node's work is not on the standby yet, if its commit's wait was
//!   cancelled by hand: only what this journal itself appends, and what was there when a connection
//!   was made, is confirmed.
//! - A primary that others have left, and that can still be written to: whoever reaches only that one, or
//!   starts anew and finds it first, waits there for a standby that does not come, or sells from it if
//!   it needs none. Whoever promotes a standby makes sure that the old primary is gone.
//! - Damage to a batch that nobody has read since; a wrong heartbeat, for it has no checksum.
//! - Intent: whoever can write to the tables can also compute every checksum.

mod address;
mod append;
mod calls;
mod connection;
mod failure;
mod history;
mod pool;
mod schema;
mod snapshots;
mod tls;
mod transaction;
mod turns;
mod writers;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::chain;
use crate::{
    Append, Appended, Batch, Epoch, Format, Head, Journal, Locked, Newer, Options, StoreError,
    StreamId, WriteSnapshot,
};
pub(crate) use address::is_address;
use calls::Calls;
use connection::Connection;
use pool::Pool;
pub(crate) use pool::QUESTION_MAX;
pub(crate) use transaction::{Answer, Broken, Transaction, Transactions};
use turns::Turn;
use writers::Writer;

const READ_PROMISES: &str = "
-- read_promises
SELECT
    current_setting('fsync'),
    current_setting('full_page_writes'),
    current_setting('synchronous_commit'),
    current_setting('synchronous_standby_names')
";

const MOVE_HEARTBEAT: &str = "
-- move_heartbeat
UPDATE journal_meta
SET
    heartbeat_ms = $1::bigint,
    heartbeat_latest_ms =
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $2::bigint
WHERE heartbeat_ms IS NULL
    OR heartbeat_ms < $1::bigint
";

/// Whether a journal may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It may.
    Write,
    /// It only reads.
    Read,
}

/// The journal of one node.
pub(crate) struct PostgresJournal {
    access: Access,
    epoch: Epoch,
    sync_count: AtomicU64,
    pool: Pool,
    /// After the connections, which it runs.
    calls: Calls,
}

impl PostgresJournal {
    /// Connects, makes the tables if there are none, and checks the ends of the streams.
    pub(crate) fn open(
        location: &str,
        options: &Options,
        access: Access,
    ) -> Result<Self, StoreError> {
        let servers = address::read(location, options.password.as_deref(), access)?;
        let calls = Calls::start()?;
        let writer = Writer::new()?;
        let pool = Pool::new(servers, access, Some(writer));
        let epoch = calls.wait(async || {
            pool.ask(async |connection: &Connection| {
                match access {
                    Access::Write => warn_of_weak_promises(connection, pool.has_several()).await?,
                    Access::Read => {}
                }
                let epoch = schema::prepare(connection, access, options).await?;
                match access {
                    Access::Write => {
                        writer.say(connection, epoch).await?;
                        connection.confirm().await?;
                    }
                    Access::Read => {}
                }
                Ok(epoch)
            })
            .await
        })?;
        pool.belongs_to(epoch);
        Ok(Self { access, epoch, sync_count: AtomicU64::new(0), pool, calls })
    }

    /// Asks, and waits for the answer.
    fn ask<T: Send>(
        &self,
        question: impl AsyncFnOnce(&Connection) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        self.calls.wait(async move || self.pool.ask(question).await)
    }

    /// Keeps what was answered.
    fn noted(&self, appends: &[Append], answers: &[Appended]) {
        for (Append { stream, batch }, answer) in appends.iter().zip(answers) {
            match answer {
                Appended::Appended | Appended::AlreadyThere => {
                    self.pool.knows(*stream, batch.head());
                }
                Appended::Conflict { .. } => {}
            }
        }
        if answers.contains(&Appended::Appended) {
            self.sync_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn may_write(&self) -> Result<(), StoreError> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(StoreError::ReadOnly),
        }
    }
}

/// Says what PostgreSQL is set to that makes less of a commit than the journal promises, and that it may
/// be meant so all the same.
async fn warn_of_weak_promises(
    connection: &Connection,
    has_several: bool,
) -> Result<(), StoreError> {
    let row = connection.one(READ_PROMISES, &[]).await?;
    let is = |column, value: &str| Ok(connection::value::<&str>(&row, column)? == value);
    if is(0, "off")? {
        tracing::warn!("PostgreSQL has fsync off: a loss of power loses what was acknowledged");
    }
    if is(1, "off")? {
        tracing::warn!(
            "PostgreSQL has full_page_writes off: a loss of power may damage what is kept"
        );
    }
    if is(2, "remote_write")? {
        tracing::warn!(
            "PostgreSQL has synchronous_commit remote_write: what was acknowledged is lost with the \
             primary, if the standby loses its power at the same time"
        );
    }
    if has_several && is(3, "")? {
        tracing::warn!(
            "several hosts are named, and PostgreSQL has no synchronous_standby_names: a standby \
             that takes over may lack what was acknowledged"
        );
    }
    Ok(())
}

async fn move_heartbeat(connection: &Connection, at_ms: i64) -> Result<bool, StoreError> {
    let statement = connection.prepared(MOVE_HEARTBEAT).await?;
    connection.take_doubt();
    let moved =
        connection.client().execute(&statement, &[&at_ms, &append::AHEAD_MAX_MS]).await.map_err(
            |error| match failure::constraint(&error) {
                Some("journal_meta_heartbeat_is_not_ahead") => append::ahead(),
                Some(_) | None => failure::of(&error),
            },
        )?;
    if connection.take_doubt() {
        connection.confirm().await?;
    }
    Ok(moved == 1)
}

impl Journal for PostgresJournal {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn format(&self) -> Result<Format, StoreError> {
        self.ask(async |connection| schema::read_format(connection).await)
    }

    fn raise_format(&self, to: Format) -> Result<(), StoreError> {
        self.may_write()?;
        crate::check_raise(to)?;
        if self.ask(async |connection| schema::raise_format(connection, to).await)? {
            self.sync_count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn writers(&self) -> Result<Vec<Format>, StoreError> {
        self.ask(async |connection| writers::list(connection, self.epoch).await)
    }

    fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, StoreError> {
        self.may_write()?;
        chain::check_appends(appends)?;
        if appends.is_empty() {
            return Ok(Vec::new());
        }
        let checksums = append::checksums(appends);
        let answers =
            self.ask(async |connection| append::append(connection, appends, &checksums).await)?;
        self.noted(appends, &answers);
        Ok(answers)
    }

    fn lock(&self, streams: &[(StreamId, Head)]) -> Result<Locked<'_>, StoreError> {
        self.may_write()?;
        streams.iter().try_for_each(|(stream, _)| chain::check_stream(*stream))?;
        let take = async |connection: &Connection| turns::take(connection, streams).await;
        let (newer, kept) = self.calls.wait(async || self.pool.ask_and_keep(take).await)?;
        for Newer { stream, batches, .. } in newer.iter().flatten() {
            if let Some(last) = batches.last() {
                self.pool.knows(*stream, last.head());
            }
        }
        Ok(Locked { newer, lock: Box::new(Turn::new(self, streams, kept)) })
    }

    fn read(
        &self,
        stream: StreamId,
        after: Head,
        limit_bytes: usize,
    ) -> Result<Vec<Batch>, StoreError> {
        chain::check_stream(stream)?;
        let batches = self
            .ask(async |connection| history::read(connection, stream, after, limit_bytes).await)?;
        if let Some(last) = batches.last() {
            self.pool.knows(stream, last.head());
        }
        Ok(batches)
    }

    fn head(&self, stream: StreamId) -> Result<Head, StoreError> {
        chain::check_stream(stream)?;
        self.ask(async |connection| history::end(connection, stream).await.map(|end| end.head))
    }

    fn heads(&self) -> Result<Vec<(StreamId, Head)>, StoreError> {
        self.ask(async |connection| history::heads(connection).await)
    }

    fn heartbeat(&self, at_ms: u64) -> Result<(), StoreError> {
        self.may_write()?;
        chain::check_time(at_ms)?;
        let at_ms = at_ms.cast_signed();
        if self.ask(async |connection| move_heartbeat(connection, at_ms).await)? {
            self.sync_count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn last_heartbeat(&self) -> Result<Option<u64>, StoreError> {
        self.ask(async |connection| history::heartbeat(connection).await)
    }

    fn now_ms(&self) -> Result<u64, StoreError> {
        self.ask(async |connection| history::clock(connection).await)
    }

    fn save_snapshot(
        &self,
        stream: StreamId,
        head: Head,
        snapshot: WriteSnapshot<'_>,
    ) -> Result<(), StoreError> {
        self.may_write()?;
        chain::check_stream(stream)?;
        let is_there = head != Head::EMPTY
            && self.ask(async |connection| history::contains(connection, stream, head).await)?;
        if !is_there {
            return Err(StoreError::Invalid(format!("batch {head} is not in stream {stream}")));
        }
        snapshots::save(self, stream, head, snapshot)
    }

    fn load_snapshot(&self, stream: StreamId) -> Result<Option<(Head, Vec<u8>)>, StoreError> {
        chain::check_stream(stream)?;
        snapshots::load(self, stream)
    }

    /// Everything is in its place with each commit.
    fn sync(&self) -> Result<(), StoreError> {
        self.may_write()
    }

    fn sync_count(&self) -> u64 {
        self.sync_count.load(Ordering::Relaxed)
    }
}

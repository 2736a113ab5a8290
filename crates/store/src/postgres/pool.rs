//! The connections: a few, each checked when it is made, given out one question at a time.
//!
//! A connection that a question failed on is not used again. Every new one is asked whether this is
//! still the same history: its epoch, and at our last number of every stream our batch. A server that
//! was put back, or a standby that was behind when it took over, is noticed so, before anything is
//! built on what it lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_postgres::Config;

use super::connection::{Connection, value};
use super::{Access, schema};
use crate::{Epoch, Head, StoreError, StreamId};

/// Connections, at most. One appends, one reads, one writes snapshots, and others are for whoever
/// looks; more would only wait for each other in the server.
const CONNECTIONS_MAX: usize = 6;

/// How long a question may take, with connecting for it: less than a caller waits for an append.
const QUESTION_MAX: Duration = Duration::from_secs(8);

const FIND_LOST: &str = "
-- find_lost
SELECT ours.stream, ours.number
FROM unnest($1::integer[], $2::bigint[], $3::bytea[]) AS ours (stream, number, id)
LEFT JOIN journal_batch AS batch
    ON batch.stream = ours.stream
    AND batch.number = ours.number
WHERE batch.id IS DISTINCT FROM ours.id
ORDER BY ours.stream
LIMIT 1
";

/// The connections of one journal.
pub(super) struct Pool {
    config: Config,
    access: Access,
    idle: Mutex<Vec<Connection>>,
    room: Semaphore,
    /// Which history this is, once that is known.
    epoch: OnceLock<Epoch>,
    /// How far each stream is known to be durable: what was appended or read.
    known: Mutex<BTreeMap<StreamId, Head>>,
}

impl Pool {
    pub(super) fn new(config: Config, access: Access) -> Self {
        Self {
            config,
            access,
            idle: Mutex::default(),
            room: Semaphore::new(CONNECTIONS_MAX),
            epoch: OnceLock::new(),
            known: Mutex::default(),
        }
    }

    /// From now on another epoch is another history.
    pub(super) fn belongs_to(&self, epoch: Epoch) {
        self.epoch.get_or_init(|| epoch);
    }

    /// From now on a history without this batch is another one.
    pub(super) fn knows(&self, stream: StreamId, head: Head) {
        let mut known = self.known();
        let last = known.entry(stream).or_insert(Head::EMPTY);
        if last.number < head.number {
            *last = head;
        }
    }

    /// Asks on a connection of its own.
    pub(super) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let asked = async {
            let _turn = self.room.acquire().await.expect("it is never closed");
            let connection = match self.take_idle() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let answer = question(&connection).await?;
            self.idle().push(connection);
            Ok(answer)
        };
        tokio::time::timeout(QUESTION_MAX, asked).await.unwrap_or_else(|_late| {
            // Where one host does not answer, the others of it will not either.
            self.idle().clear();
            let seconds = QUESTION_MAX.as_secs();
            Err(StoreError::Unavailable(format!("PostgreSQL gave no answer within {seconds} s")))
        })
    }

    /// One that nobody uses and that is not known to be lost.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle();
        idle.retain(|connection| !connection.is_closed());
        idle.pop()
    }

    async fn connect(&self) -> Result<Connection, StoreError> {
        let connection = Connection::open(&self.config, self.access).await?;
        if let Some(epoch) = self.epoch.get() {
            schema::check_epoch(&connection, *epoch).await?;
            self.check_known(&connection).await?;
        }
        Ok(connection)
    }

    async fn check_known(&self, connection: &Connection) -> Result<(), StoreError> {
        let known: Vec<(StreamId, Head)> =
            self.known().iter().map(|(stream, head)| (*stream, *head)).collect();
        let streams: Vec<i32> = known.iter().map(|(stream, _)| stream.0.cast_signed()).collect();
        let numbers: Vec<i64> = known.iter().map(|(_, head)| head.number.cast_signed()).collect();
        let ids: Vec<Vec<u8>> =
            known.iter().map(|(_, head)| head.id.0.to_be_bytes().to_vec()).collect();
        let Some(lost) = connection.row(FIND_LOST, &[&streams, &numbers, &ids]).await? else {
            return Ok(());
        };
        let (stream, number): (i32, i64) = (value(&lost, 0)?, value(&lost, 1)?);
        Err(StoreError::Corrupt(format!(
            "batch {number} of stream {stream}, which was acknowledged, is no longer in the \
             history: PostgreSQL was put back, or a standby took over that was behind"
        )))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("taking a connection does not panic")
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<StreamId, Head>> {
        self.known.lock().expect("noting a head does not panic")
    }
}

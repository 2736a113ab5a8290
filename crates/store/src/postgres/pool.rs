//! The connections: a few, each checked when it is made, given out one question at a time.
//!
//! A connection that a question failed on is not used again. Every new one is asked whether this is
//! still the same history: its epoch, and at our last number of every stream our batch. A server that
//! was put back, or a standby that was behind when it took over, is noticed so, before anything is
//! built on what it lost. Then it confirms what is there: see [`super::connection`].
//!
//! **Several servers.** All connections lead to one of them. Another one is looked for, in the order of
//! the address and around, when that one refuses a new connection or lets a question wait in vain: a
//! primary that nobody else uses any more may go on answering, and commit nothing.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::address::Server;
use super::connection::{Connection, value};
use super::writers::Writer;
use super::{Access, schema};
use crate::{Epoch, Head, StoreError, StreamId};

/// Connections, at most, beside one that is taken for longer. One appends, one reads, one writes
/// snapshots, and others are for whoever looks; more would only wait for each other in the server.
const CONNECTIONS_MAX: usize = 5;

/// How long a question may take, with connecting for it: less than a caller waits for an append.
pub(crate) const QUESTION_MAX: Duration = Duration::from_secs(8);

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
    /// One at least.
    servers: Vec<Server>,
    /// The one that is asked, or asked first.
    chosen: AtomicUsize,
    access: Access,
    /// Who writes the journal, if that is what it is for.
    writer: Option<Writer>,
    /// Each with the server it leads to.
    idle: Mutex<Vec<(usize, Connection)>>,
    room: Semaphore,
    /// Which history this is, once that is known.
    epoch: OnceLock<Epoch>,
    /// How far each stream is known to be durable: what was appended or read.
    known: Mutex<BTreeMap<StreamId, Head>>,
}

impl Pool {
    pub(super) fn new(servers: Vec<Server>, access: Access, writer: Option<Writer>) -> Self {
        Self {
            servers,
            chosen: AtomicUsize::new(0),
            access,
            writer,
            idle: Mutex::default(),
            room: Semaphore::new(CONNECTIONS_MAX),
            epoch: OnceLock::new(),
            known: Mutex::default(),
        }
    }

    /// Whether there is another server to look for.
    pub(super) fn has_several(&self) -> bool {
        self.servers.len() > 1
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
        self.in_time(async |asked: &Cell<usize>| {
            let _turn = self.room.acquire().await.expect("it is never closed");
            let (server, connection) = self.find(asked).await?;
            let answer = question(&connection).await?;
            self.give_back(server, connection);
            Ok(answer)
        })
        .await
    }

    /// Asks on one that is kept, with the server it leads to, unless it fails.
    pub(super) async fn ask_and_keep<T>(
        &self,
        question: impl AsyncFnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<(T, (usize, Connection)), StoreError> {
        self.in_time(async |asked: &Cell<usize>| {
            let (server, connection) = self.find(asked).await?;
            Ok((question(&connection).await?, (server, connection)))
        })
        .await
    }

    /// Asks on one that was kept, and gives it back.
    pub(super) async fn ask_on<T>(
        &self,
        server: usize,
        connection: Connection,
        question: impl AsyncFnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.in_time(async |asked: &Cell<usize>| {
            asked.set(server);
            let answer = question(&connection).await?;
            self.give_back(server, connection);
            Ok(answer)
        })
        .await
    }

    /// A connection for longer than one question, with the server it leads to. It is given back, or dropped.
    pub(super) async fn take(&self) -> Result<(usize, Connection), StoreError> {
        self.in_time(async |asked: &Cell<usize>| self.find(asked).await).await
    }

    /// Asks something that says which server it asks, for as long as a question may take.
    async fn in_time<T>(
        &self,
        ask: impl AsyncFnOnce(&Cell<usize>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let asked = Cell::new(self.chosen.load(Ordering::Relaxed));
        let answer = tokio::time::timeout(QUESTION_MAX, ask(&asked)).await;
        answer.unwrap_or_else(|_late| Err(self.gave_no_answer(asked.get(), QUESTION_MAX)))
    }

    /// One that is idle, or a new one.
    async fn find(&self, asked: &Cell<usize>) -> Result<(usize, Connection), StoreError> {
        let (server, connection) = match self.take_idle() {
            Some(idle) => idle,
            None => self.connect().await?,
        };
        asked.set(server);
        Ok((server, connection))
    }

    /// Gives back one that was taken, and on which nothing is under way.
    pub(super) fn give_back(&self, server: usize, connection: Connection) {
        self.idle().push((server, connection));
    }

    /// What is said of a server that let somebody wait for so long: another one is asked next.
    pub(super) fn gave_no_answer(&self, server: usize, waited: Duration) -> StoreError {
        // Where one connection is not answered, the others to that server will not be either.
        self.leave(server);
        let seconds = waited.as_secs();
        StoreError::Unavailable(format!("PostgreSQL gave no answer within {seconds} s"))
    }

    /// One that nobody uses and that is not known to be lost.
    fn take_idle(&self) -> Option<(usize, Connection)> {
        let chosen = self.chosen.load(Ordering::Relaxed);
        let mut idle = self.idle();
        idle.retain(|(server, connection)| *server == chosen && !connection.is_closed());
        idle.pop()
    }

    /// A new connection to the first server that takes it and has our history.
    async fn connect(&self) -> Result<(usize, Connection), StoreError> {
        let first = self.chosen.load(Ordering::Relaxed);
        let mut refusals = Vec::new();
        for at in (0..self.servers.len()).map(|step| (first + step) % self.servers.len()) {
            match self.connect_to(&self.servers[at]).await {
                Ok(connection) => {
                    self.chosen.store(at, Ordering::Relaxed);
                    return Ok((at, connection));
                }
                Err(error) => refusals.push(error),
            }
        }
        Err(most_telling(refusals))
    }

    async fn connect_to(&self, server: &Server) -> Result<Connection, StoreError> {
        let connection = Connection::open(server, self.access).await?;
        if let Some(epoch) = self.epoch.get() {
            schema::check_epoch(&connection, *epoch).await?;
            self.check_known(&connection).await?;
            match self.access {
                Access::Write => {
                    if let Some(writer) = self.writer {
                        writer.say(&connection, *epoch).await?;
                    }
                    connection.confirm().await?;
                }
                Access::Read => {}
            }
        }
        Ok(connection)
    }

    /// Asks the next server first from now on, on a new connection.
    pub(super) fn leave_chosen(&self) {
        self.leave(self.chosen.load(Ordering::Relaxed));
    }

    /// Asks the next server first from now on, if it was this one.
    fn leave(&self, server: usize) {
        let next = (server + 1) % self.servers.len();
        let _left_already =
            self.chosen.compare_exchange(server, next, Ordering::Relaxed, Ordering::Relaxed);
        self.idle().retain(|(other, _)| *other != server);
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

    fn idle(&self) -> MutexGuard<'_, Vec<(usize, Connection)>> {
        self.idle.lock().expect("taking a connection does not panic")
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<StreamId, Head>> {
        self.known.lock().expect("noting a head does not panic")
    }
}

/// Of what several servers say, what is not only that one is away; else all of it. Which one it was is
/// not said, for an address may be misread, and then a piece of the password is a host.
fn most_telling(refusals: Vec<StoreError>) -> StoreError {
    let mut away: Vec<String> = Vec::new();
    for refusal in refusals {
        let StoreError::Unavailable(why) = refusal else { return refusal };
        if !away.contains(&why) {
            away.push(why);
        }
    }
    StoreError::Unavailable(away.join("; and another server: "))
}

//! Taking turns, where several nodes append to one stream: a place in a queue, from before a node decides
//! until its commit.
//!
//! Compare-and-append alone lets whoever comes second find out only afterwards: all that it decided is
//! decided again, and by then the first one's next batch is there. So a node that knows of others waits
//! *before* it decides. In one go it queues for its streams, locks the rows of their heads and reads what
//! is new behind them; it decides; and in one go it appends and commits, which lets the next one in.
//!
//! The queue is the one that PostgreSQL keeps for a table, the only one in plain SQL that is strict: a lock
//! is handed to whoever has waited longest. A row goes to whoever asks when it is free, so that a node that
//! asks again at once passes those who have not woken yet. The row is locked as well, against those who
//! append without a turn.
//!
//! Nothing rests on it. A node that is silent in its turn for long loses it
//! ([`super::writers`]), and its batch compares as any other.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::connection::{Connection, value};
use super::schema::ROLL_BACK;
use super::{PostgresJournal, append, failure, history};
use crate::chain::{self, Checksum, Tail};
use crate::lock::check_locked;
use crate::{Append, Appended, Batch, Head, Lock, Newer, StoreError, StreamId};

/// Batches of a stream that are read while others wait, at most, and their bytes, unless the first has more.
const BATCHES_MAX: i64 = 64;
const BYTES_MAX: i64 = 256 << 10;

/// How many tables there are to be queued for, named by their number. Streams that share one wait for each
/// other's turns.
const QUEUES: i32 = 8;

/// One after the other, as they are named. Whoever had to wait gets the row as it is then.
const LOCK_STREAMS: &str = "
-- lock_streams
SELECT locked.number, locked.id, locked.at_ms, locked.stream
FROM unnest($1::integer[]) AS wanted (stream)
CROSS JOIN LATERAL (
    SELECT number, id, at_ms, stream
    FROM journal_stream
    WHERE stream = wanted.stream
    ORDER BY number DESC
    LIMIT 1
    FOR NO KEY UPDATE
) AS locked
";

/// What is known comes first, without its body, so that the rest can be checked to follow it.
const READ_NEWER: &str = "
-- read_newer
SELECT
    batch.number,
    batch.id,
    batch.previous,
    batch.at_ms,
    batch.checksum,
    CASE
        WHEN batch.number > known.number THEN batch.body
        ELSE ''::bytea
    END,
    known.stream
FROM unnest($1::integer[], $2::bigint[]) AS known (stream, number)
CROSS JOIN LATERAL (
    SELECT
        number,
        id,
        previous,
        at_ms,
        checksum,
        body,
        sum(octet_length(body)) OVER (ORDER BY number) AS page_bytes
    FROM (
        SELECT number, id, previous, at_ms, checksum, body
        FROM journal_batch
        WHERE stream = known.stream
            AND number >= known.number
        ORDER BY number
        LIMIT $3::bigint + 1
    ) AS page
) AS batch
WHERE batch.number <= known.number + 1
    OR batch.page_bytes <= $4::bigint
";

/// A transaction that has the turn in some streams.
pub(super) struct Turn<'j> {
    journal: &'j PostgresJournal,
    streams: Vec<StreamId>,
    server: usize,
    connection: Connection,
}

impl<'j> Turn<'j> {
    pub(super) fn new(
        journal: &'j PostgresJournal,
        streams: &[(StreamId, Head)],
        (server, connection): (usize, Connection),
    ) -> Self {
        let streams = streams.iter().map(|(stream, _)| *stream).collect();
        Self { journal, streams, server, connection }
    }
}

impl Lock for Turn<'_> {
    fn append(self: Box<Self>, appends: &[Append]) -> Result<Vec<Appended>, StoreError> {
        let Self { journal, streams, server, connection } = *self;
        chain::check_appends(appends)?;
        check_locked(&streams, appends)?;
        let checksums = append::checksums(appends);
        let question = async |connection: &Connection| {
            if appends.is_empty() {
                connection.run(ROLL_BACK).await?;
                return Ok(Vec::new());
            }
            append::append_in_turn(connection, appends, &checksums).await
        };
        let answers =
            journal.calls.wait(async || journal.pool.ask_on(server, connection, question).await)?;
        journal.noted(appends, &answers);
        Ok(answers)
    }
}

/// Begins a transaction in which nobody else has a turn in these streams. The queues are waited for in their
/// order, so that nobody waits in a circle; the mode is the weakest that keeps out its like.
fn begin_turn(streams: &[i32]) -> String {
    let queues: BTreeSet<i32> = streams.iter().map(|stream| stream.rem_euclid(QUEUES)).collect();
    let tables: Vec<String> = queues.iter().map(|queue| format!("journal_turn_{queue}")).collect();
    format!(
        "
-- begin_turn
BEGIN;
LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE
",
        tables.join(", ")
    )
}

/// Waits for the turn, and reads what came before it.
pub(super) async fn take(
    connection: &Connection,
    streams: &[(StreamId, Head)],
) -> Result<Vec<Result<Newer, StoreError>>, StoreError> {
    let mut known: Vec<(StreamId, Head)> = streams.to_vec();
    known.sort_unstable_by_key(|(stream, _)| *stream);
    let keys: Vec<i32> = known.iter().map(|(stream, _)| stream.0.cast_signed()).collect();
    let numbers: Vec<i64> = known.iter().map(|(_, after)| after.number.cast_signed()).collect();
    let which: [&(dyn ToSql + Sync); 1] = [&keys];
    let known: [&(dyn ToSql + Sync); 4] = [&keys, &numbers, &BATCHES_MAX, &BYTES_MAX];
    // Now, so that nothing has to be waited for in between.
    let lock = connection.prepared(LOCK_STREAMS).await?;
    let read = connection.prepared(READ_NEWER).await?;
    let begin = begin_turn(&keys);
    let client = connection.client();
    let (begun, ends, rows) = tokio::join!(
        biased;
        client.batch_execute(&begin),
        client.query(&lock, &which),
        client.query(&read, &known),
    );
    // After the first error all others say only that there was one.
    let told = |error: Error| failure::of(&error);
    begun.map_err(told)?;
    let (ends, rows) = (ends.map_err(told)?, rows.map_err(told)?);
    let ends = history::ends_of(&ends)?;
    let mut found: BTreeMap<StreamId, Vec<Row>> = BTreeMap::new();
    for row in rows {
        let stream: i32 = value(&row, 6)?;
        found.entry(StreamId(stream.cast_unsigned())).or_default().push(row);
    }
    let newer = |(stream, after): &(StreamId, Head)| {
        let rows = found.remove(stream).unwrap_or_default();
        let head = ends.get(stream).map_or(Head::EMPTY, |end| end.head);
        Ok(Newer { stream: *stream, batches: follow(*stream, *after, &rows)?, head })
    };
    Ok(streams.iter().map(newer).collect())
}

/// The batches of these rows, the first of which is the known one, if there is one.
fn follow(stream: StreamId, after: Head, rows: &[Row]) -> Result<Vec<Batch>, StoreError> {
    let (mut tail, new) = match rows.split_first() {
        _ if after == Head::EMPTY => (Tail::EMPTY, rows),
        None => return Err(chain::not_in_stream(stream, after)),
        Some((known, new)) => {
            let (known, Checksum(_)) = history::stored(known)?;
            if known.head() != after {
                return Err(chain::not_in_stream(stream, after));
            }
            (Tail::of(&known), new)
        }
    };
    let mut batches = Vec::with_capacity(new.len());
    for row in new {
        let (batch, checksum) = history::stored(row)?;
        tail.follow(stream, &batch, checksum)?;
        batches.push(batch);
    }
    Ok(batches)
}

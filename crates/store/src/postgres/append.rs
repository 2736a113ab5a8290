//! Compare and append, by the database itself: one statement for the next batches of any streams.
//!
//! The statement moves the head of a stream, if it is the one that the batch was made for, and only
//! then inserts the batch. Of two nodes that race, the second waits for the row of the first, sees
//! that it has moved, and does nothing. It goes through the streams in their order, so that no two nodes
//! wait for each other in a circle. A stream's first batch needs another statement, in one transaction.
//!
//! What did not come in is looked at afterwards: whether it was there already, or what is there
//! instead. A batch from before the one it follows, or from too far ahead of the database's clock,
//! fails by a constraint, and everything sent with it is undone.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use super::connection::{Connection, value};
use super::schema::{BEGIN, COMMIT};
use super::{failure, history};
use crate::chain::{self, Checksum, Fit};
use crate::{Append, Appended, BatchId, Head, StoreError, StreamId};

/// How far an `at` may lie ahead of the database's clock.
pub(super) const AHEAD_MAX_MS: i64 = 2_000;

/// The constraint that a batch from the past hits.
const TIME_GOES_ON: &str = "journal_stream_time_goes_on";
/// And one from the future.
const IS_NOT_AHEAD: &str = "journal_stream_is_not_ahead";
/// A first batch hits this while others write the first and the second.
const IS_NEW: &str = "journal_batch_one_per_number";

const APPEND_FIRST: &str = "
-- append_first
WITH moved AS (
    INSERT INTO journal_stream (stream, number, id, previous_at_ms, at_ms, latest_ms)
    SELECT
        new.stream,
        new.number,
        new.id,
        0,
        new.at_ms,
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $8::bigint
    FROM unnest($1::integer[], $2::bigint[], $3::bytea[], $5::bigint[])
        AS new (stream, number, id, at_ms)
    WHERE NOT EXISTS (
        SELECT FROM journal_batch AS batch
        WHERE batch.stream = new.stream
            AND batch.number = new.number
    )
    ON CONFLICT ON CONSTRAINT journal_stream_one_row DO NOTHING
    RETURNING stream
)
INSERT INTO journal_batch (stream, number, id, previous, at_ms, checksum, body)
SELECT new.stream, new.number, new.id, new.previous, new.at_ms, new.checksum, new.body
FROM unnest(
    $1::integer[],
    $2::bigint[],
    $3::bytea[],
    $4::bytea[],
    $5::bigint[],
    $6::bytea[],
    $7::bytea[]
) AS new (stream, number, id, previous, at_ms, checksum, body)
INNER JOIN moved
    ON moved.stream = new.stream
RETURNING stream
";

const APPEND_NEXT: &str = "
-- append_next
WITH moved AS (
    UPDATE journal_stream AS head
    SET
        number = new.number,
        id = new.id,
        previous_at_ms = head.at_ms,
        at_ms = new.at_ms,
        latest_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $8::bigint
    FROM unnest(
        $1::integer[],
        $2::bigint[],
        $3::bytea[],
        $4::bytea[],
        $5::bigint[],
        $6::bytea[],
        $7::bytea[]
    ) AS new (stream, number, id, previous, at_ms, checksum, body)
    WHERE head.stream = new.stream
        AND head.number = new.number - 1
        AND head.id = new.previous
    RETURNING
        new.stream, new.number, new.id, new.previous, new.at_ms, new.checksum, new.body
)
INSERT INTO journal_batch (stream, number, id, previous, at_ms, checksum, body)
SELECT stream, number, id, previous, at_ms, checksum, body
FROM moved
RETURNING stream
";

/// The checksums of batches, in their order.
pub(super) fn checksums(appends: &[Append]) -> Vec<Checksum> {
    appends.iter().map(|append| Checksum::of(append.stream, &append.batch)).collect()
}

/// Appends, and answers for each in their order.
pub(super) async fn append(
    connection: &Connection,
    appends: &[Append],
    checksums: &[Checksum],
) -> Result<Vec<Appended>, StoreError> {
    append_as(connection, appends, checksums, false).await
}

/// The same in a transaction that was begun, which this ends.
pub(super) async fn append_in_turn(
    connection: &Connection,
    appends: &[Append],
    checksums: &[Checksum],
) -> Result<Vec<Appended>, StoreError> {
    append_as(connection, appends, checksums, true).await
}

async fn append_as(
    connection: &Connection,
    appends: &[Append],
    checksums: &[Checksum],
    is_begun: bool,
) -> Result<Vec<Appended>, StoreError> {
    connection.take_doubt();
    let moved = write(connection, appends, checksums, is_begun).await?;
    let mut answers = Vec::with_capacity(appends.len());
    for append in appends {
        answers.push(if moved.contains(&append.stream) {
            Appended::Appended
        } else {
            look(connection, append).await?
        });
    }
    if connection.take_doubt() || answers.contains(&Appended::AlreadyThere) {
        connection.confirm().await?;
    }
    Ok(answers)
}

/// Writes those that come next, durably, and says in which streams they did.
async fn write(
    connection: &Connection,
    appends: &[Append],
    checksums: &[Checksum],
    is_begun: bool,
) -> Result<BTreeSet<StreamId>, StoreError> {
    let mut new: Vec<(&Append, &Checksum)> = appends.iter().zip(checksums).collect();
    new.retain(|(append, _)| can_come(append));
    new.sort_by_key(|(append, _)| append.stream);
    let (first, next): (Vec<_>, Vec<_>) =
        new.into_iter().partition(|(append, _)| append.batch.number == 1);
    let statements = [(APPEND_FIRST, first), (APPEND_NEXT, next)];
    let statements = statements.into_iter().filter(|(_, new)| !new.is_empty());
    let statements: Vec<(&str, Columns<'_>)> =
        statements.map(|(text, new)| (text, Columns::of(&new))).collect();
    let mut prepared = Vec::with_capacity(statements.len());
    for (text, _) in &statements {
        prepared.push(connection.prepared(text).await?);
    }
    // One statement is a transaction by itself.
    let (begins, ends) = (!is_begun && statements.len() > 1, is_begun || statements.len() > 1);
    let mut sent: Vec<Sent<'_>> = Vec::with_capacity(4);
    if begins {
        sent.push(Box::pin(command(connection, BEGIN)));
    }
    for (statement, (_, new)) in prepared.iter().zip(&statements) {
        sent.push(Box::pin(new.insert(connection, statement)));
    }
    if ends {
        sent.push(Box::pin(command(connection, COMMIT)));
    }
    let mut moved = BTreeSet::new();
    for answer in in_one_go(sent).await {
        // After the first error all others say only that there was one.
        for row in answer.map_err(|error| meaning(&error))? {
            let stream: i32 = value(&row, 0)?;
            moved.insert(StreamId(stream.cast_unsigned()));
        }
    }
    Ok(moved)
}

/// A first batch names none before it.
fn can_come(append: &Append) -> bool {
    (append.batch.number == 1) == (append.batch.previous == BatchId::NONE)
}

/// Batches, by the columns of their table.
struct Columns<'b> {
    streams: Vec<i32>,
    numbers: Vec<i64>,
    ids: Vec<Vec<u8>>,
    previous: Vec<Vec<u8>>,
    at_ms: Vec<i64>,
    checksums: Vec<&'b [u8]>,
    bodies: Vec<&'b [u8]>,
}

impl<'b> Columns<'b> {
    fn of(new: &[(&'b Append, &'b Checksum)]) -> Self {
        let batches = || new.iter().map(|(append, _)| &append.batch);
        Self {
            streams: new.iter().map(|(append, _)| append.stream.0.cast_signed()).collect(),
            numbers: batches().map(|batch| batch.number.cast_signed()).collect(),
            ids: batches().map(|batch| batch.id.0.to_be_bytes().to_vec()).collect(),
            previous: batches().map(|batch| batch.previous.0.to_be_bytes().to_vec()).collect(),
            at_ms: batches().map(|batch| batch.at_ms.cast_signed()).collect(),
            checksums: new.iter().map(|(_, checksum)| &checksum.0[..]).collect(),
            bodies: batches().map(|batch| &batch.body[..]).collect(),
        }
    }

    async fn insert(
        &self,
        connection: &Connection,
        statement: &Statement,
    ) -> Result<Vec<Row>, Error> {
        let Self { streams, numbers, ids, previous, at_ms, checksums, bodies } = self;
        let values: [&(dyn ToSql + Sync); 8] =
            [streams, numbers, ids, previous, at_ms, checksums, bodies, &AHEAD_MAX_MS];
        connection.client().query(statement, &values).await
    }
}

async fn command(connection: &Connection, text: &str) -> Result<Vec<Row>, Error> {
    connection.client().batch_execute(text).await.map(|()| Vec::new())
}

/// Something that is sent as soon as it is looked at, and then waited for.
type Sent<'s> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + 's>>;

/// Sends all of them, in their order and without waiting for answers in between.
async fn in_one_go(mut sent: Vec<Sent<'_>>) -> Vec<Result<Vec<Row>, Error>> {
    let mut answers: Vec<Option<_>> = sent.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (sent, answer) in sent.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(now) = sent.as_mut().poll(context)
            {
                *answer = Some(now);
            }
        }
        if answers.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

/// The answer for a batch that did not come in.
async fn look(connection: &Connection, append: &Append) -> Result<Appended, StoreError> {
    let Append { stream, batch } = append;
    let end = history::end(connection, *stream).await?;
    match end.fit(append)? {
        Fit::Taken => {
            let stored = history::batch_at(connection, *stream, batch.number).await?;
            let place = Head { number: batch.number, id: batch.id };
            let stored = stored.ok_or_else(|| chain::not_in_stream(*stream, place))?;
            Ok(end.answer_taken(batch, &stored))
        }
        Fit::Foreign => Ok(Appended::Conflict { head: end.head }),
        // What it follows came in after it was refused.
        Fit::Next => Err(moved()),
    }
}

/// What an error means for those who wanted to append.
fn meaning(error: &Error) -> StoreError {
    match failure::constraint(error) {
        Some(TIME_GOES_ON) => {
            StoreError::Invalid("a batch is of an earlier time than the one it follows".to_owned())
        }
        Some(IS_NOT_AHEAD) => ahead(),
        Some(IS_NEW) => moved(),
        Some(_) | None => failure::of(error),
    }
}

/// Others were faster, and what they did is seen by looking again.
fn moved() -> StoreError {
    let why = "a stream moved while it was written; the same can be sent again";
    StoreError::Unavailable(why.to_owned())
}

/// A time that the database's clock has not come to yet.
pub(super) fn ahead() -> StoreError {
    StoreError::Unavailable(format!(
        "this node's time is more than {AHEAD_MAX_MS} ms ahead of PostgreSQL's clock"
    ))
}

//! Compare and append, by the database itself: one statement for each stream.
//!
//! The statement moves the head of the stream, if it is the one that the batch was made for, and only
//! then inserts the batch. Of two nodes that race, the second waits for the row of the first, sees
//! that it has moved, and does nothing. The appends of several streams are one transaction, sent in
//! one go and in the order of the streams, so that no two of them wait for each other in a circle.
//!
//! What did not come in is looked at afterwards: whether it was there already, or what is there
//! instead. A batch from before the one it follows, or from too far ahead of the database's clock,
//! fails by a constraint, and everything sent with it is undone.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio_postgres::{Error, Statement};

use super::connection::Connection;
use super::schema::{BEGIN, COMMIT};
use super::{failure, history};
use crate::chain::{self, Checksum, Fit};
use crate::{Append, Appended, BatchId, Head, StoreError};

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
        $1::integer,
        $2::bigint,
        $3::bytea,
        0,
        $5::bigint,
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $8::bigint
    WHERE NOT EXISTS (
        SELECT FROM journal_batch
        WHERE stream = $1::integer
            AND number = $2::bigint
    )
    ON CONFLICT ON CONSTRAINT journal_stream_one_row DO NOTHING
    RETURNING stream
)
INSERT INTO journal_batch (stream, number, id, previous, at_ms, checksum, body)
SELECT stream, $2::bigint, $3::bytea, $4::bytea, $5::bigint, $6::bytea, $7::bytea
FROM moved
";

const APPEND_NEXT: &str = "
-- append_next
WITH moved AS (
    UPDATE journal_stream
    SET
        number = $2::bigint,
        id = $3::bytea,
        previous_at_ms = at_ms,
        at_ms = $5::bigint,
        latest_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $8::bigint
    WHERE stream = $1::integer
        AND number = $2::bigint - 1
        AND id = $4::bytea
    RETURNING stream
)
INSERT INTO journal_batch (stream, number, id, previous, at_ms, checksum, body)
SELECT stream, $2::bigint, $3::bytea, $4::bytea, $5::bigint, $6::bytea, $7::bytea
FROM moved
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
    // One statement is a transaction by itself.
    let frame = if appends.len() == 1 { Frame::None } else { Frame::Whole };
    append_as(connection, appends, checksums, frame).await
}

/// The same in a transaction that was begun, which this ends.
pub(super) async fn append_in_turn(
    connection: &Connection,
    appends: &[Append],
    checksums: &[Checksum],
) -> Result<Vec<Appended>, StoreError> {
    append_as(connection, appends, checksums, Frame::End).await
}

/// What is sent around the statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    None,
    /// The beginning of a transaction, and its end.
    Whole,
    End,
}

async fn append_as(
    connection: &Connection,
    appends: &[Append],
    checksums: &[Checksum],
    frame: Frame,
) -> Result<Vec<Appended>, StoreError> {
    connection.take_doubt();
    let moved = write(connection, appends, checksums, frame).await?;
    let mut answers = Vec::with_capacity(appends.len());
    for (append, moved) in appends.iter().zip(moved) {
        answers.push(if moved { Appended::Appended } else { look(connection, append).await? });
    }
    if connection.take_doubt() || answers.contains(&Appended::AlreadyThere) {
        connection.confirm().await?;
    }
    Ok(answers)
}

/// Writes those that come next, durably, and says which they were.
async fn write(
    connection: &Connection,
    appends: &[Append],
    checksums: &[Checksum],
    frame: Frame,
) -> Result<Vec<bool>, StoreError> {
    let first = connection.prepared(APPEND_FIRST).await?;
    let next = connection.prepared(APPEND_NEXT).await?;
    let mut ordered: Vec<usize> = (0..appends.len()).filter(|at| can_come(&appends[*at])).collect();
    ordered.sort_by_key(|at| appends[*at].stream);

    let mut sent: Vec<Sent<'_>> = Vec::with_capacity(ordered.len() + 2);
    if frame == Frame::Whole {
        sent.push(Box::pin(command(connection, BEGIN)));
    }
    for at in &ordered {
        let statement = if appends[*at].batch.number == 1 { &first } else { &next };
        sent.push(Box::pin(insert(connection, statement, &appends[*at], checksums[*at])));
    }
    if frame != Frame::None {
        sent.push(Box::pin(command(connection, COMMIT)));
    }
    let mut rows = Vec::with_capacity(sent.len());
    for answer in in_one_go(sent).await {
        // After the first error all others say only that there was one.
        rows.push(answer.map_err(|error| meaning(&error))?);
    }
    let mut moved = vec![false; appends.len()];
    let rows = rows.into_iter().skip(usize::from(frame == Frame::Whole));
    for (at, rows) in ordered.iter().zip(rows) {
        moved[*at] = rows == 1;
    }
    Ok(moved)
}

/// A first batch names none before it.
fn can_come(append: &Append) -> bool {
    (append.batch.number == 1) == (append.batch.previous == BatchId::NONE)
}

async fn insert(
    connection: &Connection,
    statement: &Statement,
    Append { stream, batch }: &Append,
    checksum: Checksum,
) -> Result<u64, Error> {
    let (key, number) = (stream.0.cast_signed(), batch.number.cast_signed());
    let (id, previous) = (batch.id.0.to_be_bytes(), batch.previous.0.to_be_bytes());
    let at_ms = batch.at_ms.cast_signed();
    connection
        .client()
        .execute(
            statement,
            &[
                &key,
                &number,
                &&id[..],
                &&previous[..],
                &at_ms,
                &&checksum.0[..],
                &batch.body,
                &AHEAD_MAX_MS,
            ],
        )
        .await
}

async fn command(connection: &Connection, text: &str) -> Result<u64, Error> {
    connection.client().batch_execute(text).await.map(|()| 0)
}

/// Something that is sent as soon as it is looked at, and then waited for.
type Sent<'s> = Pin<Box<dyn Future<Output = Result<u64, Error>> + 's>>;

/// Sends all of them, in their order and without waiting for answers in between.
async fn in_one_go(mut sent: Vec<Sent<'_>>) -> Vec<Result<u64, Error>> {
    let mut answers: Vec<Option<Result<u64, Error>>> = sent.iter().map(|_| None).collect();
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

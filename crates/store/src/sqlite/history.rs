//! What the database says: batches, heads, the heartbeat. Reading only.
//!
//! Every function is one statement, and so sees one state of the database, also beside a writer.

use rusqlite::{Connection, OptionalExtension, Row};

use super::failure;
use crate::chain::{self, Checksum, Tail};
use crate::{Batch, BatchId, Head, StoreError, StreamId};

/// A key is the stream in the high bits and the number in these low ones. Both have their limits
/// ([`StreamId::MAX`], [`Head::NUMBER_MAX`]), so that a key is a positive 64-bit integer.
const NUMBER_BITS: u32 = 43;

const READ_BATCHES: &str = "
-- read_batches
SELECT key, id, previous, at_ms, checksum, body
FROM batch
WHERE key BETWEEN ?1 AND ?2
ORDER BY key
";

const READ_HEAD: &str = "
-- read_head
SELECT key, id
FROM batch
WHERE key BETWEEN ?1 AND ?2
ORDER BY key DESC
LIMIT 1
";

/// From the last stream to the first, one step down the tree for each: the head of the stream
/// before is the last key that is less than the first one this stream can have.
const LIST_HEADS: &str = "
-- list_heads
WITH RECURSIVE head (key) AS (
    SELECT max(key)
    FROM batch
    UNION ALL
    SELECT (SELECT max(batch.key) FROM batch WHERE batch.key < (head.key >> ?1) << ?1)
    FROM head
    WHERE head.key IS NOT NULL
)
SELECT batch.key, batch.id
FROM head
JOIN batch ON batch.key = head.key
ORDER BY batch.key
";

const READ_ID: &str = "
-- read_id
SELECT id
FROM batch
WHERE key = ?1
";

const READ_HEARTBEAT: &str = "
-- read_heartbeat
SELECT heartbeat_ms
FROM meta
";

/// The key of a batch. Both arguments were checked at the edge.
pub(super) fn key(stream: StreamId, number: u64) -> i64 {
    debug_assert!(stream <= StreamId::MAX && number <= Head::NUMBER_MAX, "{stream}, {number}");
    (i64::from(stream.0) << NUMBER_BITS) | number.cast_signed()
}

fn split(key: i64) -> Option<(StreamId, u64)> {
    let key = u64::try_from(key).ok()?;
    let stream = u32::try_from(key >> NUMBER_BITS).ok()?;
    Some((StreamId(stream), key & Head::NUMBER_MAX))
}

/// Batches as they were read, not yet checked: the checks need no connection, so they are made
/// after it was given back.
pub(super) struct Page {
    stream: StreamId,
    tail: Tail,
    rows: Vec<(Batch, Checksum)>,
}

impl Page {
    /// The batches, each checked to follow the one before.
    pub(super) fn check(mut self) -> Result<Vec<Batch>, StoreError> {
        let follow = |(batch, checksum): (Batch, Checksum)| {
            self.tail.follow(self.stream, &batch, checksum)?;
            Ok(batch)
        };
        self.rows.into_iter().map(follow).collect()
    }
}

/// A page of a stream's batches after `after`, which must be there.
pub(super) fn read(
    connection: &Connection,
    stream: StreamId,
    after: Head,
    limit_bytes: usize,
) -> Result<Page, StoreError> {
    read_page(connection, stream, after, limit_bytes)
        .map_err(|error| failure::of(&error))?
        .ok_or_else(|| chain::not_in_stream(stream, after))
}

fn read_page(
    connection: &Connection,
    stream: StreamId,
    after: Head,
    limit_bytes: usize,
) -> rusqlite::Result<Option<Page>> {
    let mut statement = connection.prepare_cached(READ_BATCHES)?;
    let first = key(stream, after.number.min(Head::NUMBER_MAX));
    let mut found = statement.query((first, key(stream, Head::NUMBER_MAX)))?;
    let tail = if after == Head::EMPTY {
        Tail::EMPTY
    } else {
        // The row of `after` itself. Its body is not asked for, and so is not read.
        let Some(row) = found.next()? else { return Ok(None) };
        let head = Head { number: number(row)?, id: batch_id(row, 1)? };
        if head != after {
            return Ok(None);
        }
        Tail { head, at_ms: at_ms(row)? }
    };
    let (mut rows, mut page_bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let body_bytes = row.get_ref(5)?.as_blob()?.len();
        if !chain::has_room(&mut page_bytes, body_bytes, limit_bytes) {
            break;
        }
        rows.push(stored(row)?);
    }
    Ok(Some(Page { stream, tail, rows }))
}

/// One batch as it is stored; `None` when there is none.
pub(super) fn batch_at(
    connection: &Connection,
    stream: StreamId,
    number: u64,
) -> Result<Option<Batch>, StoreError> {
    let key = key(stream, number);
    let found = connection
        .prepare_cached(READ_BATCHES)
        .and_then(|mut statement| statement.query_row((key, key), stored).optional())
        .map_err(|error| failure::of(&error))?;
    let Some((batch, checksum)) = found else { return Ok(None) };
    if Checksum::of(stream, &batch) != checksum {
        return Err(StoreError::Corrupt(format!(
            "stream {stream}: the checksum of batch {number} is wrong"
        )));
    }
    Ok(Some(batch))
}

/// Whether `head` is in the stream's history.
pub(super) fn contains(
    connection: &Connection,
    stream: StreamId,
    head: Head,
) -> Result<bool, StoreError> {
    if head == Head::EMPTY {
        return Ok(true);
    }
    if head.number > Head::NUMBER_MAX {
        return Ok(false);
    }
    let id = connection
        .prepare_cached(READ_ID)
        .and_then(|mut statement| {
            statement.query_row([key(stream, head.number)], |row| batch_id(row, 0)).optional()
        })
        .map_err(|error| failure::of(&error))?;
    Ok(id == Some(head.id))
}

pub(super) fn head(connection: &Connection, stream: StreamId) -> Result<Head, StoreError> {
    let range = (key(stream, 0), key(stream, Head::NUMBER_MAX));
    let found = connection
        .prepare_cached(READ_HEAD)
        .and_then(|mut statement| {
            statement
                .query_row(range, |row| Ok(Head { number: number(row)?, id: batch_id(row, 1)? }))
                .optional()
        })
        .map_err(|error| failure::of(&error))?;
    Ok(found.unwrap_or(Head::EMPTY))
}

pub(super) fn heads(connection: &Connection) -> Result<Vec<(StreamId, Head)>, StoreError> {
    let list = || -> rusqlite::Result<Vec<(StreamId, Head)>> {
        let mut statement = connection.prepare_cached(LIST_HEADS)?;
        let heads = statement.query_map([NUMBER_BITS], |row| {
            let (stream, number) = place(row)?;
            Ok((stream, Head { number, id: batch_id(row, 1)? }))
        })?;
        heads.collect()
    };
    list().map_err(|error| failure::of(&error))
}

pub(super) fn heartbeat(connection: &Connection) -> Result<Option<u64>, StoreError> {
    connection
        .prepare_cached(READ_HEARTBEAT)
        .and_then(|mut statement| {
            statement.query_row([], |row| match row.get(0)? {
                Some(at_ms) => unsigned(0, at_ms).map(Some),
                None => Ok(None),
            })
        })
        .map_err(|error| failure::of(&error))
}

/// A row of [`READ_BATCHES`].
fn stored(row: &Row<'_>) -> rusqlite::Result<(Batch, Checksum)> {
    let batch = Batch {
        number: number(row)?,
        id: batch_id(row, 1)?,
        previous: batch_id(row, 2)?,
        at_ms: at_ms(row)?,
        body: row.get(5)?,
    };
    Ok((batch, Checksum(row.get(4)?)))
}

fn place(row: &Row<'_>) -> rusqlite::Result<(StreamId, u64)> {
    let key = row.get(0)?;
    split(key).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, key))
}

fn number(row: &Row<'_>) -> rusqlite::Result<u64> {
    place(row).map(|(_, number)| number)
}

fn batch_id(row: &Row<'_>, column: usize) -> rusqlite::Result<BatchId> {
    row.get(column).map(|bytes| BatchId(u128::from_be_bytes(bytes)))
}

fn at_ms(row: &Row<'_>) -> rusqlite::Result<u64> {
    unsigned(3, row.get(3)?)
}

fn unsigned(column: usize, value: i64) -> rusqlite::Result<u64> {
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

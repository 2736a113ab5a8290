//! What the database says: batches, heads, the heartbeat, its clock. Reading only.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::connection::{Connection, value};
use super::failure;
use crate::chain::{self, Checksum, Tail};
use crate::{Batch, BatchId, Head, StoreError, StreamId};

/// Rows that are asked for at a time. A page of small batches takes several questions.
const ROWS_MAX: usize = 2_000;

/// The first row is always among them, and then as many as fit: the rest is not sent.
const READ_BATCHES: &str = "
-- read_batches
SELECT number, id, previous, at_ms, checksum, body
FROM (
    SELECT
        number,
        id,
        previous,
        at_ms,
        checksum,
        body,
        row_number() OVER page AS place,
        sum(octet_length(body)) OVER page AS page_bytes
    FROM journal_batch
    WHERE stream = $1::integer
        AND number > $2::bigint
    WINDOW page AS (ORDER BY number)
    ORDER BY number
    LIMIT $3::bigint
) AS page
WHERE place = 1
    OR page_bytes <= $4::bigint
ORDER BY number
";

const READ_BATCH: &str = "
-- read_batch
SELECT number, id, previous, at_ms, checksum, body
FROM journal_batch
WHERE stream = $1::integer
    AND number = $2::bigint
";

const READ_PLACE: &str = "
-- read_place
SELECT number, id, at_ms
FROM journal_batch
WHERE stream = $1::integer
    AND number = $2::bigint
";

const READ_HEAD: &str = "
-- read_head
SELECT number, id, at_ms
FROM journal_stream
WHERE stream = $1::integer
ORDER BY number DESC
LIMIT 1
";

const LIST_HEADS: &str = "
-- list_heads
SELECT number, id, at_ms, stream
FROM journal_stream
";

const READ_HEARTBEAT: &str = "
-- read_heartbeat
SELECT heartbeat_ms
FROM journal_meta
";

const READ_CLOCK: &str = "
-- read_clock
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
";

/// A page of a stream's batches after `after`, which must be there; each is checked to follow the
/// one before.
pub(super) async fn read(
    connection: &Connection,
    stream: StreamId,
    after: Head,
    limit_bytes: usize,
) -> Result<Vec<Batch>, StoreError> {
    let mut tail = tail_at(connection, stream, after)
        .await?
        .ok_or_else(|| chain::not_in_stream(stream, after))?;
    let (mut batches, mut page_bytes) = (Vec::new(), 0);
    loop {
        let rows_max = i64::try_from(ROWS_MAX).unwrap_or(i64::MAX);
        let rest_bytes = i64::try_from(limit_bytes.saturating_sub(page_bytes)).unwrap_or(i64::MAX);
        let (key, number) = (stream.0.cast_signed(), tail.head.number.cast_signed());
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&key, &number, &rows_max, &rest_bytes];
        let rows = connection.rows(READ_BATCHES, &values).await?;
        for row in &rows {
            let (batch, checksum) = stored(row)?;
            if !chain::has_room(&mut page_bytes, batch.body.len(), limit_bytes) {
                return Ok(batches);
            }
            tail.follow(stream, &batch, checksum)?;
            batches.push(batch);
        }
        if rows.len() < ROWS_MAX {
            return Ok(batches);
        }
    }
}

/// The end of the chain at `head`, if that is in the stream.
async fn tail_at(
    connection: &Connection,
    stream: StreamId,
    head: Head,
) -> Result<Option<Tail>, StoreError> {
    if head == Head::EMPTY {
        return Ok(Some(Tail::EMPTY));
    }
    if head.number > Head::NUMBER_MAX {
        return Ok(None);
    }
    let (key, number) = (stream.0.cast_signed(), head.number.cast_signed());
    let Some(row) = connection.row(READ_PLACE, &[&key, &number]).await? else { return Ok(None) };
    Ok(Some(tail(&row)?).filter(|tail| tail.head == head))
}

/// Whether `head` is in the stream's history.
pub(super) async fn contains(
    connection: &Connection,
    stream: StreamId,
    head: Head,
) -> Result<bool, StoreError> {
    tail_at(connection, stream, head).await.map(|tail| tail.is_some())
}

/// One batch as it is stored; `None` when there is none.
pub(super) async fn batch_at(
    connection: &Connection,
    stream: StreamId,
    number: u64,
) -> Result<Option<Batch>, StoreError> {
    let (key, place) = (stream.0.cast_signed(), number.cast_signed());
    let Some(row) = connection.row(READ_BATCH, &[&key, &place]).await? else { return Ok(None) };
    let (batch, checksum) = stored(&row)?;
    if Checksum::of(stream, &batch) != checksum {
        return Err(StoreError::Corrupt(format!(
            "stream {stream}: the checksum of batch {number} is wrong"
        )));
    }
    Ok(Some(batch))
}

/// The end of a stream.
pub(super) async fn end(connection: &Connection, stream: StreamId) -> Result<Tail, StoreError> {
    let row = connection.row(READ_HEAD, &[&stream.0.cast_signed()]).await?;
    row.map_or(Ok(Tail::EMPTY), |row| tail(&row))
}

/// The ends in rows of a number, an id, a time and a stream.
pub(super) fn ends_of(rows: &[Row]) -> Result<BTreeMap<StreamId, Tail>, StoreError> {
    let end = |row: &Row| {
        let stream: i32 = value(row, 3)?;
        Ok((StreamId(stream.cast_unsigned()), tail(row)?))
    };
    rows.iter().map(end).collect()
}

pub(super) async fn heads(connection: &Connection) -> Result<Vec<(StreamId, Head)>, StoreError> {
    let ends = ends_of(&connection.rows(LIST_HEADS, &[]).await?)?;
    Ok(ends.into_iter().map(|(stream, end)| (stream, end.head)).collect())
}

pub(super) async fn heartbeat(connection: &Connection) -> Result<Option<u64>, StoreError> {
    let row = connection.one(READ_HEARTBEAT, &[]).await?;
    value::<Option<i64>>(&row, 0)?.map(|at_ms| unsigned(at_ms, "the heartbeat")).transpose()
}

pub(super) async fn clock(connection: &Connection) -> Result<u64, StoreError> {
    let row = connection.one(READ_CLOCK, &[]).await?;
    unsigned(value(&row, 0)?, "the clock")
}

/// A row that begins with a number, an id and a time.
fn tail(row: &Row) -> Result<Tail, StoreError> {
    let head = Head { number: unsigned(value(row, 0)?, "a number")?, id: BatchId(id(row, 1)?) };
    Ok(Tail { head, at_ms: unsigned(value(row, 2)?, "a time")? })
}

/// A batch in a row of all its columns, with its checksum, which is not looked at here.
pub(super) fn stored(row: &Row) -> Result<(Batch, Checksum), StoreError> {
    let batch = Batch {
        number: unsigned(value(row, 0)?, "a number")?,
        id: BatchId(id(row, 1)?),
        previous: BatchId(id(row, 2)?),
        at_ms: unsigned(value(row, 3)?, "a time")?,
        body: value(row, 5)?,
    };
    Ok((batch, Checksum(id(row, 4)?.to_be_bytes())))
}

/// 128 bits.
fn id(row: &Row, column: usize) -> Result<u128, StoreError> {
    let bytes: [u8; 16] = value::<&[u8]>(row, column)?
        .try_into()
        .map_err(|_| failure::of_value("an id of a batch"))?;
    Ok(u128::from_be_bytes(bytes))
}

fn unsigned(value: i64, what: &str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| failure::of_value(what))
}

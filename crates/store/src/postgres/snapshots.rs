//! Snapshots: rows of a mebibyte each, behind one that says what they are pieces of.
//!
//! Each piece is a commit of its own, so that no transaction is open for long and nothing stands in
//! memory as a whole. The row before them is finished last, with the length and a SHA-256 over all:
//! until then nobody loads it. What a node that died was still writing is removed after an hour, by
//! the next one who saves; two that save at a time do not disturb each other. Of each stream the two
//! newest that are in its history are kept.

use std::io;

use sha2::{Digest, Sha256};
use tokio_postgres::Row;

use super::connection::{Connection, value};
use super::{PostgresJournal, failure, history};
use crate::pieces::{PIECE_BYTES, Pieces};
use crate::{BatchId, Head, StoreError, StreamId, WriteSnapshot};

/// Snapshots kept of each stream.
const KEPT: i64 = 2;

/// After so long one that is not finished was given up by whoever began it.
const GIVEN_UP_AFTER_S: f64 = 3_600.0;

/// What stands before the bytes that are checked, so that a digest of another kind never fits.
const DOMAIN: &[u8] = b"maepyo snapshot in pieces 1\0\0\0\0\0";

const BEGIN_SNAPSHOT: &str = "
-- begin_snapshot
INSERT INTO journal_snapshot (stream, save, number, id, begun_at)
VALUES ($1::integer, $2::bigint, $3::bigint, $4::bytea, clock_timestamp())
";

const WRITE_PIECE: &str = "
-- write_piece
INSERT INTO journal_snapshot_piece (stream, save, piece, bytes)
VALUES ($1::integer, $2::bigint, $3::integer, $4::bytea)
";

const FINISH_SNAPSHOT: &str = "
-- finish_snapshot
UPDATE journal_snapshot
SET
    length = $3::bigint,
    digest = $4::bytea
WHERE stream = $1::integer
    AND save = $2::bigint
";

const DROP_SNAPSHOT: &str = "
-- drop_snapshot
DELETE FROM journal_snapshot
WHERE stream = $1::integer
    AND save = $2::bigint
";

/// All but the newest of the history, one for each batch, and those that may still be written.
const DROP_SURPLUS: &str = "
-- drop_surplus
DELETE FROM journal_snapshot
WHERE stream = $1::integer
    AND save NOT IN (
        SELECT save
        FROM (
            SELECT DISTINCT ON (snapshot.number) snapshot.number, snapshot.save
            FROM journal_snapshot AS snapshot
            JOIN journal_batch AS batch
                ON batch.stream = snapshot.stream
                AND batch.number = snapshot.number
                AND batch.id = snapshot.id
            WHERE snapshot.stream = $1::integer
                AND snapshot.length IS NOT NULL
            ORDER BY snapshot.number DESC, snapshot.begun_at DESC
            LIMIT $2::bigint
        ) AS kept
    )
    AND (
        length IS NOT NULL
        OR begun_at < clock_timestamp() - make_interval(secs => $3::double precision)
    )
";

const LIST_SNAPSHOTS: &str = "
-- list_snapshots
SELECT save, number, id, length, digest
FROM journal_snapshot
WHERE stream = $1::integer
    AND length IS NOT NULL
ORDER BY number DESC, begun_at DESC
";

const READ_PIECE: &str = "
-- read_piece
SELECT bytes
FROM journal_snapshot_piece
WHERE stream = $1::integer
    AND save = $2::bigint
    AND piece = $3::integer
";

/// Writes a snapshot of a head that is in the stream, and removes those that it makes superfluous.
pub(super) fn save(
    journal: &PostgresJournal,
    stream: StreamId,
    head: Head,
    snapshot: WriteSnapshot<'_>,
) -> Result<(), StoreError> {
    let save = crate::new_epoch()?.0.cast_signed();
    let (key, number) = (stream.0.cast_signed(), head.number.cast_signed());
    let id = head.id.0.to_be_bytes();
    journal.ask(async |connection| {
        connection.execute(BEGIN_SNAPSHOT, &[&key, &save, &number, &&id[..]]).await
    })?;
    let written = write(journal, stream, save, head, snapshot);
    let tidied = journal.ask(async |connection| match &written {
        Ok(()) => {
            connection.execute(DROP_SURPLUS, &[&key, &KEPT, &GIVEN_UP_AFTER_S]).await.map(drop)
        }
        Err(_) => connection.execute(DROP_SNAPSHOT, &[&key, &save]).await.map(drop),
    });
    if let Err(error) = tidied {
        // They take room, and nothing else: the next save tries again.
        tracing::warn!(%stream, %error, "old snapshots stay");
    }
    written
}

fn write(
    journal: &PostgresJournal,
    stream: StreamId,
    save: i64,
    head: Head,
    snapshot: WriteSnapshot<'_>,
) -> Result<(), StoreError> {
    let key = stream.0.cast_signed();
    let mut pieces = Pieces::new(|before, piece| {
        let place = i32::try_from(before / PIECE_BYTES as u64).map_err(io::Error::other)?;
        let put = journal.ask(async |connection| {
            connection.execute(WRITE_PIECE, &[&key, &save, &place, &piece]).await
        });
        put.map(drop).map_err(io::Error::other)
    });
    let (length, digest) = snapshot(&mut pieces)
        .and_then(|()| pieces.end())
        .map_err(|error| StoreError::Unavailable(format!("a snapshot: {error}")))?;
    let digest = sealed(digest, stream, head, length);
    let length = length.cast_signed();
    let finished = journal.ask(async |connection| {
        connection.execute(FINISH_SNAPSHOT, &[&key, &save, &length, &&digest[..]]).await
    })?;
    if finished == 1 {
        return Ok(());
    }
    Err(StoreError::Unavailable("a snapshot took so long that it was given up".to_owned()))
}

/// The newest that is intact and in the history.
pub(super) fn load(
    journal: &PostgresJournal,
    stream: StreamId,
) -> Result<Option<(Head, Vec<u8>)>, StoreError> {
    let key = stream.0.cast_signed();
    let listed = journal.ask(async |connection| {
        let rows = connection.rows(LIST_SNAPSHOTS, &[&key]).await?;
        rows.iter().map(Listed::of).collect::<Result<Vec<Listed>, StoreError>>()
    })?;
    for listed in listed {
        let head = listed.head;
        if !journal.ask(async |connection| history::contains(connection, stream, head).await)? {
            tracing::warn!(%stream, %head, "a snapshot is passed over: its batch is not in the history");
            continue;
        }
        match read(journal, stream, &listed)? {
            Ok(bytes) => return Ok(Some((head, bytes))),
            Err(fault) => tracing::warn!(%stream, %head, fault, "a snapshot is passed over"),
        }
    }
    Ok(None)
}

/// A snapshot that was finished.
struct Listed {
    save: i64,
    head: Head,
    length: u64,
    digest: Vec<u8>,
}

impl Listed {
    fn of(row: &Row) -> Result<Self, StoreError> {
        let id: [u8; 16] = value::<&[u8]>(row, 2)?
            .try_into()
            .map_err(|_| failure::of_value("the id of a snapshot"))?;
        let number: i64 = value(row, 1)?;
        let length: i64 = value(row, 3)?;
        Ok(Self {
            save: value(row, 0)?,
            head: Head { number: number.cast_unsigned(), id: BatchId(u128::from_be_bytes(id)) },
            length: length.cast_unsigned(),
            digest: value(row, 4)?,
        })
    }
}

/// Reads a whole snapshot and checks all of it; or says what is wrong with it.
fn read(
    journal: &PostgresJournal,
    stream: StreamId,
    listed: &Listed,
) -> Result<Result<Vec<u8>, &'static str>, StoreError> {
    let (mut bytes, mut digest, mut place) = (Vec::new(), Sha256::new(), 0_i32);
    loop {
        let piece =
            journal.ask(async |connection| piece(connection, stream, listed.save, place).await)?;
        let Some(piece) = piece else { break };
        digest.update(&piece);
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > listed.length {
            return Ok(Err("it is longer than it says"));
        }
        place += 1;
    }
    if bytes.len() as u64 != listed.length {
        return Ok(Err("it is shorter than it says"));
    }
    if sealed(digest, stream, listed.head, listed.length)[..] != listed.digest[..] {
        return Ok(Err("its digest is wrong"));
    }
    Ok(Ok(bytes))
}

async fn piece(
    connection: &Connection,
    stream: StreamId,
    save: i64,
    place: i32,
) -> Result<Option<Vec<u8>>, StoreError> {
    let row = connection.row(READ_PIECE, &[&stream.0.cast_signed(), &save, &place]).await?;
    row.map(|row| value(&row, 0)).transpose()
}

/// The digest over the bytes and what they are a snapshot of.
fn sealed(digest_of_bytes: Sha256, stream: StreamId, head: Head, length: u64) -> [u8; 32] {
    digest_of_bytes
        .chain_update(DOMAIN)
        .chain_update(stream.0.to_be_bytes())
        .chain_update(head.number.to_be_bytes())
        .chain_update(head.id.0.to_be_bytes())
        .chain_update(length.to_be_bytes())
        .finalize()
        .into()
}

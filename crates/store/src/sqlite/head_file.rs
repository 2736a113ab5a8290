//! The head file: for each stream, the last batch that was acknowledged.
//!
//! SQLite's WAL does not notice that its end is missing: it opens with fewer rows and says that all
//! is well. So after each commit, and before the answer, the number and id of the stream's last
//! batch are written into its slot of this file. A start that finds more here than in the database
//! is refused.
//!
//! A slot is 64 bytes at `stream * 64`, so it never crosses a sector. The file is *not* synced with
//! each commit, only at checkpoints, snapshots and [`sync`](crate::Journal::sync): a second sync
//! would double the cost of a commit. After a loss of power a slot can therefore be older than the
//! database, or torn where a disk does not write whole sectors; neither speaks against the history.
//! An old slot says less, a torn one says nothing, and both are written anew at the start. A slot is
//! written after its commit is durable, so it never says more than an honest disk has.
//!
//! The file as a whole is synced, with its name, before the first batch: that it is missing, or
//! that it names another epoch, means that somebody moved files, and is refused.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::{data_dir, history, schema};
use crate::chain::first_half;
use crate::{BatchId, Epoch, Head, StoreError, StreamId};

const SLOT_BYTES: usize = 64;
const MAGIC: [u8; 4] = *b"head";
const DOMAIN: &[u8] = b"maepyo head 1\0\0\0";

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nothing was acknowledged, or it never reached the disk.
    Empty,
    /// Not what was written.
    Torn,
    /// Up to here the stream was acknowledged.
    Acknowledged { epoch: Epoch, head: Head },
}

/// The open file.
pub(super) struct HeadFile(File);

impl HeadFile {
    /// Opens the file, creating it empty.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        data_dir::open_private(path).map(Self)
    }

    /// Overwrites the stream's slot. It does not sync.
    pub(super) fn write(&self, stream: StreamId, epoch: Epoch, head: Head) -> io::Result<()> {
        self.0.write_all_at(&encode(stream, epoch, head), u64::from(stream.0) * SLOT_BYTES as u64)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// All slots in the order of the streams; `None` when there is no such file.
pub(super) fn read_slots(path: &Path) -> io::Result<Option<Vec<(StreamId, Slot)>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let streams = (0..=StreamId::MAX.0).map(StreamId);
    let slots = streams.zip(bytes.chunks(SLOT_BYTES));
    Ok(Some(slots.map(|(stream, slot)| (stream, decode(stream, slot))).collect()))
}

/// Whether the slots say just this.
pub(super) fn says(
    slots: Option<&[(StreamId, Slot)]>,
    epoch: Epoch,
    heads: &[(StreamId, Head)],
) -> bool {
    let said = slots.map(|slots| slots.iter().filter(|(_, slot)| *slot != Slot::Empty));
    let heads = heads.iter().map(|(stream, head)| (*stream, *head));
    said.is_some_and(|said| {
        said.copied().eq(heads.map(|(stream, head)| (stream, Slot::Acknowledged { epoch, head })))
    })
}

/// Replaces the file by one that says just this, durably: after a crash it is the old one or this.
pub(super) fn replace(path: &Path, epoch: Epoch, heads: &[(StreamId, Head)]) -> io::Result<()> {
    let slots = heads.last().map_or(0, |(last, _)| last.0 as usize + 1);
    let mut bytes = vec![0; slots * SLOT_BYTES];
    for (stream, head) in heads {
        let at = stream.0 as usize * SLOT_BYTES;
        bytes[at..at + SLOT_BYTES].copy_from_slice(&encode(*stream, epoch, *head));
    }
    data_dir::replace_file(path, |file| file.write_all_at(&bytes, 0))
}

/// Refuses to start afresh where a history was acknowledged and its database is gone.
pub(super) fn check_database_exists(
    slots: Option<&[(StreamId, Slot)]>,
    database: &Path,
) -> Result<(), StoreError> {
    let is_there = fs::metadata(database).is_ok_and(|metadata| metadata.len() > 0);
    let acknowledged = slots.unwrap_or_default().iter().find_map(|(stream, slot)| match slot {
        Slot::Acknowledged { head, .. } => Some((stream, head.number)),
        Slot::Empty | Slot::Torn => None,
    });
    match acknowledged {
        Some((stream, number)) if !is_there => Err(refusal(&format!(
            "{} is missing, but stream {stream} was acknowledged up to {number}",
            database.display()
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a history that ends before what was acknowledged, or is another one.
pub(super) fn check(
    slots: Option<&[(StreamId, Slot)]>,
    connection: &Connection,
    heads: &[(StreamId, Head)],
) -> Result<(), StoreError> {
    let Some(slots) = slots else {
        return match heads.first() {
            Some((stream, head)) => Err(refusal(&format!(
                "the head file is missing, so nobody knows whether the history is all there \
                 (stream {stream} ends at {})",
                head.number
            ))),
            None => Ok(()),
        };
    };
    let epoch = schema::read_epoch(connection)?;
    for (stream, slot) in slots {
        match slot {
            Slot::Empty => {}
            Slot::Torn => {
                tracing::warn!(%stream, "the head file's slot is torn, and is written anew");
            }
            Slot::Acknowledged { epoch: other, head } => {
                if *other != epoch {
                    return Err(refusal(&format!(
                        "the head file is that of another history (epoch {other}, not {epoch})"
                    )));
                }
                check_stream(connection, *stream, *head)?;
            }
        }
    }
    Ok(())
}

fn check_stream(
    connection: &Connection,
    stream: StreamId,
    acknowledged: Head,
) -> Result<(), StoreError> {
    if history::contains(connection, stream, acknowledged)? {
        return Ok(());
    }
    let end = history::head(connection, stream)?;
    let Head { number, .. } = acknowledged;
    Err(refusal(&if end.number < number {
        format!(
            "the history of stream {stream} ends at {} but was acknowledged up to {number}",
            end.number
        )
    } else {
        format!("batch {number} of stream {stream} is not the one that was acknowledged")
    }))
}

/// Every refusal says what can be done.
fn refusal(fault: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{fault}; put the missing files back, or, if they are lost, start once with \
         --accept-shorter-history to go on from what is there"
    ))
}

fn encode(stream: StreamId, epoch: Epoch, head: Head) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..4].copy_from_slice(&MAGIC);
    slot[4..8].copy_from_slice(&stream.0.to_be_bytes());
    slot[8..16].copy_from_slice(&epoch.0.to_be_bytes());
    slot[16..24].copy_from_slice(&head.number.to_be_bytes());
    slot[24..40].copy_from_slice(&head.id.0.to_be_bytes());
    let checksum = checksum(&slot[..40]);
    slot[40..56].copy_from_slice(&checksum);
    slot
}

fn decode(stream: StreamId, slot: &[u8]) -> Slot {
    if slot.iter().all(|byte| *byte == 0) {
        return Slot::Empty;
    }
    let Ok(slot) = <&[u8; SLOT_BYTES]>::try_from(slot) else { return Slot::Torn };
    let epoch = Epoch(u64::from_be_bytes(*field(slot, 8)));
    let number = u64::from_be_bytes(*field(slot, 16));
    let id = BatchId(u128::from_be_bytes(*field(slot, 24)));
    let head = Head { number, id };
    // One comparison covers the magic, the stream, the checksum and the unused rest.
    if *slot == encode(stream, epoch, head) {
        Slot::Acknowledged { epoch, head }
    } else {
        Slot::Torn
    }
}

fn field<const N: usize>(slot: &[u8; SLOT_BYTES], at: usize) -> &[u8; N] {
    slot[at..].first_chunk().expect("every field lies in the slot")
}

fn checksum(fields: &[u8]) -> [u8; 16] {
    first_half(Sha256::new().chain_update(DOMAIN).chain_update(fields).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head { number: 140, id: BatchId(7) };

    #[test]
    fn a_slot_says_what_was_written_or_that_it_is_torn() {
        let slot = encode(StreamId(3), Epoch(9), HEAD);
        assert_eq!(decode(StreamId(3), &slot), Slot::Acknowledged { epoch: Epoch(9), head: HEAD });
        assert_eq!(decode(StreamId(4), &slot), Slot::Torn, "a slot of another stream");
        assert_eq!(decode(StreamId(3), &[0; SLOT_BYTES]), Slot::Empty);
        assert_eq!(decode(StreamId(3), &slot[..63]), Slot::Torn);
        for at in 0..SLOT_BYTES {
            let mut torn = slot;
            torn[at] ^= 1;
            assert_eq!(decode(StreamId(3), &torn), Slot::Torn, "byte {at} flipped");
        }
    }

    /// What is on disk outlives the program that wrote it.
    #[test]
    fn the_format_stays() {
        let slot = encode(StreamId(3), Epoch(9), HEAD);
        let hex: String = slot.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "68656164\
             00000003\
             0000000000000009\
             000000000000008c\
             00000000000000000000000000000007\
             3d4923fc7c1716e3f70c45e6d93d44bf\
             0000000000000000"
        );
    }

    #[test]
    fn streams_that_said_nothing_leave_holes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        assert_eq!(read_slots(&path).unwrap(), None);

        let file = HeadFile::open(&path).unwrap();
        assert_eq!(read_slots(&path).unwrap(), Some(vec![]));
        file.write(StreamId(2), Epoch(9), HEAD).unwrap();
        let said = Slot::Acknowledged { epoch: Epoch(9), head: HEAD };
        let slots = read_slots(&path).unwrap().unwrap();
        assert!(says(Some(&slots), Epoch(9), &[(StreamId(2), HEAD)]));
        assert!(!says(Some(&slots), Epoch(9), &[]));
        assert!(!says(Some(&slots), Epoch(8), &[(StreamId(2), HEAD)]));
        assert!(!says(None, Epoch(9), &[]));
        assert_eq!(
            slots,
            [(StreamId(0), Slot::Empty), (StreamId(1), Slot::Empty), (StreamId(2), said)]
        );

        replace(&path, Epoch(9), &[(StreamId(2), HEAD)]).unwrap();
        assert_eq!(read_slots(&path).unwrap().unwrap(), slots);
    }
}

//! What makes batches a chain, the same for every backend.
//!
//! Pure: bytes in, verdict out. The checksum is SHA-256 cut to 128 bits. It finds damage; it is no
//! signature, and whoever can write to the store can also compute it.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::{Append, Appended, Batch, BatchId, Head, StoreError, StreamId};

/// What stands before the bytes that are checked, so that a checksum of another kind or of another
/// version never fits.
const DOMAIN: &[u8] = b"maepyo batch 1\0\0";

/// What a batch counts in a page beside its body, so that a page of empty bodies ends too.
const PAGE_ALLOWANCE_BYTES: usize = 64;

/// The checksum that is stored with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksum(pub(crate) [u8; 16]);

impl Checksum {
    /// Over all that is stored of the batch, and the stream it is in. Every field but the last has
    /// a fixed length, so different batches are different bytes.
    pub(crate) fn of(stream: StreamId, batch: &Batch) -> Self {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(stream.0.to_be_bytes());
        hash.update(batch.number.to_be_bytes());
        hash.update(batch.id.0.to_be_bytes());
        hash.update(batch.previous.0.to_be_bytes());
        hash.update(batch.at_ms.to_be_bytes());
        hash.update(&batch.body);
        Self(first_half(hash.finalize().into()))
    }
}

/// The first 128 bits of a SHA-256.
pub(crate) fn first_half(digest: [u8; 32]) -> [u8; 16] {
    let (half, _) = digest.split_first_chunk().expect("16 is less than 32");
    *half
}

/// The end of a chain: what the next batch must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) head: Head,
    pub(crate) at_ms: u64,
}

/// How a new batch stands to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is the next.
    Next,
    /// There is a batch with its number, which may be itself.
    Taken,
    /// It can never come in.
    Foreign,
}

impl Tail {
    pub(crate) const EMPTY: Self = Self { head: Head::EMPTY, at_ms: 0 };

    pub(crate) fn of(batch: &Batch) -> Self {
        Self { head: batch.head(), at_ms: batch.at_ms }
    }

    /// Compare, for compare-and-append. A batch from the past is the caller's bug: the caller knows
    /// the batch it follows, and its time.
    pub(crate) fn fit(self, append: &Append) -> Result<Fit, StoreError> {
        let batch = &append.batch;
        if batch.number <= self.head.number {
            return Ok(Fit::Taken);
        }
        if batch.number != self.head.number + 1 || batch.previous != self.head.id {
            return Ok(Fit::Foreign);
        }
        if batch.at_ms < self.at_ms {
            return Err(StoreError::Invalid(format!(
                "batch {} of stream {} is of {}, before {} of the batch it follows",
                batch.number, append.stream, batch.at_ms, self.at_ms
            )));
        }
        Ok(Fit::Next)
    }

    /// The answer for a batch whose number is taken by `stored`: a lost answer, or a foreign batch.
    pub(crate) fn answer_taken(self, new: &Batch, stored: &Batch) -> Appended {
        if new == stored { Appended::AlreadyThere } else { Appended::Conflict { head: self.head } }
    }

    /// Checks a batch that was read behind this one, and steps onto it.
    pub(crate) fn follow(
        &mut self,
        stream: StreamId,
        batch: &Batch,
        checksum: Checksum,
    ) -> Result<(), StoreError> {
        let fault = if batch.number != self.head.number + 1 {
            format!("it is followed by batch {}", batch.number)
        } else if Checksum::of(stream, batch) != checksum {
            format!("the checksum of batch {} is wrong", batch.number)
        } else if batch.previous != self.head.id {
            format!("batch {} follows another one, {}", batch.number, batch.previous)
        } else if batch.id == BatchId::NONE {
            format!("batch {} has no id", batch.number)
        } else if batch.at_ms < self.at_ms {
            format!("batch {} is of an earlier time", batch.number)
        } else {
            *self = Self::of(batch);
            return Ok(());
        };
        Err(StoreError::Corrupt(format!("stream {stream}, after {}: {fault}", self.head)))
    }
}

/// Whether a page of batches with `page_bytes` so far has room for one more, and then its weight.
/// The first always has.
pub(crate) fn has_room(page_bytes: &mut usize, body_bytes: usize, limit_bytes: usize) -> bool {
    let weight = page_bytes.saturating_add(body_bytes).saturating_add(PAGE_ALLOWANCE_BYTES);
    let room = *page_bytes == 0 || weight <= limit_bytes;
    *page_bytes = weight;
    room
}

/// Refuses what no stream can take, before anything is written.
pub(crate) fn check_appends(appends: &[Append]) -> Result<(), StoreError> {
    let mut streams = BTreeSet::new();
    for Append { stream, batch } in appends {
        check_stream(*stream)?;
        check_time(batch.at_ms)?;
        let fault = if !streams.insert(stream) {
            format!("stream {stream} stands twice in one call")
        } else if batch.number == 0 || batch.number > Head::NUMBER_MAX {
            format!("no batch can have number {}", batch.number)
        } else if batch.id == BatchId::NONE {
            format!("batch {} of stream {stream} has no id", batch.number)
        } else if batch.body.len() > Batch::BODY_MAX_BYTES {
            format!(
                "the body of batch {} of stream {stream} has {} bytes, and {} are the most",
                batch.number,
                batch.body.len(),
                Batch::BODY_MAX_BYTES
            )
        } else {
            continue;
        };
        return Err(StoreError::Invalid(fault));
    }
    Ok(())
}

/// Refuses a stream past [`StreamId::MAX`].
pub(crate) fn check_stream(stream: StreamId) -> Result<(), StoreError> {
    if stream <= StreamId::MAX {
        return Ok(());
    }
    Err(StoreError::Invalid(format!("stream {stream} is past the last one, {}", StreamId::MAX)))
}

/// Refuses a time that not every backend can store: they keep it in 63 bits.
pub(crate) fn check_time(at_ms: u64) -> Result<(), StoreError> {
    if i64::try_from(at_ms).is_ok() {
        return Ok(());
    }
    Err(StoreError::Invalid(format!("{at_ms} is no time in milliseconds")))
}

/// What is said when a reader asks for what comes after a batch that is not there.
pub(crate) fn not_in_stream(stream: StreamId, head: Head) -> StoreError {
    StoreError::Corrupt(format!("batch {head} is not in stream {stream}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId(3);

    fn batch() -> Batch {
        Batch {
            number: 7,
            id: BatchId(0xa),
            previous: BatchId(0xb),
            at_ms: 1_767_225_600_000,
            body: b"body".to_vec(),
        }
    }

    /// What is on disk outlives the program that wrote it.
    #[test]
    fn the_checksum_stays() {
        let hex = format!("{:032x}", u128::from_be_bytes(Checksum::of(STREAM, &batch()).0));
        assert_eq!(hex, "a36451b196c8751481f3355137f4bde7");
    }

    #[test]
    fn every_break_of_the_chain_is_noticed_though_its_checksum_is_right() {
        let good = batch();
        let tail =
            Tail { head: Head { number: good.number - 1, id: good.previous }, at_ms: good.at_ms };
        let follow = |batch: &Batch, checksum| {
            let mut tail = tail;
            tail.follow(STREAM, batch, checksum).map(|()| tail)
        };
        assert_eq!(follow(&good, Checksum::of(STREAM, &good)), Ok(Tail::of(&good)));

        let bad = [
            (Batch { number: 6, ..good.clone() }, "it is followed by batch 6"),
            (Batch { number: 8, ..good.clone() }, "it is followed by batch 8"),
            (Batch { previous: BatchId(1), ..good.clone() }, "batch 7 follows another one"),
            (Batch { id: BatchId::NONE, ..good.clone() }, "batch 7 has no id"),
            (Batch { at_ms: good.at_ms - 1, ..good.clone() }, "batch 7 is of an earlier time"),
        ];
        for (batch, fault) in bad {
            let error = follow(&batch, Checksum::of(STREAM, &batch)).unwrap_err().to_string();
            assert!(error.contains(fault), "{error:?} does not say {fault:?}");
        }
        let elsewhere = Checksum::of(StreamId(4), &good);
        let error = follow(&good, elsewhere).unwrap_err().to_string();
        assert!(error.contains("the checksum of batch 7 is wrong"), "{error}");
    }
}

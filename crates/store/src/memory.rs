//! A journal in memory, for tests and for the simulator.
//!
//! It keeps every promise of [`Journal`] but one: it ends with the process. It makes the same checks
//! as the durable backends, so that what passes here is not refused there. Reading is checked too,
//! although nothing can rot: a journal that is a model should not be more lenient.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crate::chain::{self, Checksum, Fit, Tail};
use crate::codec::FORMAT_MAX;
use crate::lock;
use crate::{
    Append, Appended, Batch, Epoch, Format, Head, Journal, Locked, StoreError, StreamId, WallClock,
    WriteSnapshot,
};

/// Snapshots kept of each stream.
const SNAPSHOTS_KEPT: usize = 2;

/// A [`Journal`] whose epoch and clock are given, so that a run with it can be repeated exactly.
pub struct MemoryJournal {
    epoch: Epoch,
    wall_clock: WallClock,
    kept: Mutex<Kept>,
}

struct Kept {
    streams: BTreeMap<StreamId, Stream>,
    format: Format,
    heartbeat_ms: Option<u64>,
    sync_count: u64,
}

#[derive(Default)]
struct Stream {
    /// The batch with number n stands at n - 1.
    batches: Vec<(Batch, Checksum)>,
    /// Oldest first.
    snapshots: Vec<(Head, Vec<u8>)>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new(epoch: Epoch, wall_clock: WallClock, format: Format) -> Self {
        let kept = Kept { streams: BTreeMap::new(), format, heartbeat_ms: None, sync_count: 0 };
        Self { epoch, wall_clock, kept: Mutex::new(kept) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("a panic while the journal is locked is a bug of its own")
    }
}

impl Stream {
    fn batch(&self, number: u64) -> Option<&Batch> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        self.batches.get(at).map(|(batch, _)| batch)
    }

    /// The end of the chain at `head`, if that is in it.
    fn tail_at(&self, head: Head) -> Option<Tail> {
        if head == Head::EMPTY {
            return Some(Tail::EMPTY);
        }
        self.batch(head.number).map(Tail::of).filter(|tail| tail.head == head)
    }

    fn tail(&self) -> Tail {
        self.batches.last().map_or(Tail::EMPTY, |(batch, _)| Tail::of(batch))
    }
}

impl Journal for MemoryJournal {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn format(&self) -> Result<Format, StoreError> {
        Ok(self.kept().format)
    }

    fn raise_format(&self, to: Format) -> Result<(), StoreError> {
        crate::check_raise(to)?;
        let mut kept = self.kept();
        if kept.format < to {
            kept.format = to;
            kept.sync_count += 1;
        }
        Ok(())
    }

    fn writers(&self) -> Result<Vec<Format>, StoreError> {
        Ok(vec![FORMAT_MAX])
    }

    fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, StoreError> {
        chain::check_appends(appends)?;
        let mut kept = self.kept();
        let tail_of = |stream| kept.streams.get(&stream).map_or(Tail::EMPTY, Stream::tail);
        // All are compared before any is written: an error leaves everything as it was.
        let fits = appends
            .iter()
            .map(|append| tail_of(append.stream).fit(append))
            .collect::<Result<Vec<Fit>, StoreError>>()?;
        if fits.contains(&Fit::Next) {
            kept.sync_count += 1;
        }
        let answers = appends.iter().zip(fits).map(|(Append { stream, batch }, fit)| {
            let kept = kept.streams.entry(*stream).or_default();
            match fit {
                Fit::Next => {
                    kept.batches.push((batch.clone(), Checksum::of(*stream, batch)));
                    Appended::Appended
                }
                Fit::Taken => {
                    let stored = kept.batch(batch.number).expect("numbers have no gaps");
                    kept.tail().answer_taken(batch, stored)
                }
                Fit::Foreign => Appended::Conflict { head: kept.tail().head },
            }
        });
        Ok(answers.collect())
    }

    fn lock(&self, streams: &[(StreamId, Head)]) -> Result<Locked<'_>, StoreError> {
        lock::alone(self, streams)
    }

    fn read(
        &self,
        stream: StreamId,
        after: Head,
        limit_bytes: usize,
    ) -> Result<Vec<Batch>, StoreError> {
        chain::check_stream(stream)?;
        let kept = self.kept();
        let nothing = Stream::default();
        let stored = kept.streams.get(&stream).unwrap_or(&nothing);
        let mut tail = stored.tail_at(after).ok_or_else(|| chain::not_in_stream(stream, after))?;
        let (mut batches, mut page_bytes) = (Vec::new(), 0);
        let start = usize::try_from(after.number).expect("the batch with that number is here");
        for (batch, checksum) in &stored.batches[start..] {
            if !chain::has_room(&mut page_bytes, batch.body.len(), limit_bytes) {
                break;
            }
            tail.follow(stream, batch, *checksum)?;
            batches.push(batch.clone());
        }
        Ok(batches)
    }

    fn head(&self, stream: StreamId) -> Result<Head, StoreError> {
        chain::check_stream(stream)?;
        Ok(self.kept().streams.get(&stream).map_or(Head::EMPTY, |kept| kept.tail().head))
    }

    fn heads(&self) -> Result<Vec<(StreamId, Head)>, StoreError> {
        let kept = self.kept();
        let heads = kept.streams.iter().map(|(stream, kept)| (*stream, kept.tail().head));
        Ok(heads.filter(|(_, head)| *head != Head::EMPTY).collect())
    }

    fn heartbeat(&self, at_ms: u64) -> Result<(), StoreError> {
        chain::check_time(at_ms)?;
        let mut kept = self.kept();
        if kept.heartbeat_ms < Some(at_ms) {
            kept.heartbeat_ms = Some(at_ms);
            kept.sync_count += 1;
        }
        Ok(())
    }

    fn last_heartbeat(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.kept().heartbeat_ms)
    }

    fn now_ms(&self) -> Result<u64, StoreError> {
        Ok((self.wall_clock)())
    }

    fn save_snapshot(
        &self,
        stream: StreamId,
        head: Head,
        snapshot: WriteSnapshot<'_>,
    ) -> Result<(), StoreError> {
        chain::check_stream(stream)?;
        let mut bytes = Vec::new();
        snapshot(&mut bytes).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let mut kept = self.kept();
        let Some(stored) = kept
            .streams
            .get_mut(&stream)
            .filter(|stored| head != Head::EMPTY && stored.tail_at(head).is_some())
        else {
            return Err(StoreError::Invalid(format!("batch {head} is not in stream {stream}")));
        };
        stored.snapshots.retain(|(other, _)| *other != head);
        stored.snapshots.push((head, bytes));
        stored.snapshots.sort_by_key(|(head, _)| head.number);
        let surplus = stored.snapshots.len().saturating_sub(SNAPSHOTS_KEPT);
        stored.snapshots.drain(..surplus);
        Ok(())
    }

    fn load_snapshot(&self, stream: StreamId) -> Result<Option<(Head, Vec<u8>)>, StoreError> {
        chain::check_stream(stream)?;
        Ok(self.kept().streams.get(&stream).and_then(|kept| kept.snapshots.last().cloned()))
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn sync_count(&self) -> u64 {
        self.kept().sync_count
    }
}

//! The journal as a model: one stream, compare-and-append by (number, id), and what can happen to a
//! write between a node and the disk of the standby.
//!
//! A batch that was written is not safe yet. It is *known* once its author was told, or once
//! anybody has read it: then the standby has it too. A failover loses what is not known, never
//! more. The simulator decides when writes land, fail and are answered; this file decides only what
//! they meet.

use engine::{Recovered, ReplayError, recover, replay};
use store::codec::FORMAT_MAX;
use store::{
    Append, Appended, Batch, BatchId, Epoch, Format, Head, Journal, Locked, StoreError, StreamId,
    WriteSnapshot,
};

/// The stream of the one sale.
pub(crate) const STREAM: StreamId = StreamId(1);

/// One stream of batches, its snapshots, and the heartbeat.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    batches: Vec<Batch>,
    known: usize,
    heartbeat_ms: Option<u64>,
    snapshots: Vec<(Head, Vec<u8>)>,
}

impl Archive {
    /// A write arrives.
    ///
    /// # Errors
    /// A sentence, when the store would call the batch invalid: a bug of whoever made it.
    pub(crate) fn land(&mut self, append: &Append) -> Result<Appended, String> {
        let Append { stream, batch } = append;
        if *stream != STREAM || batch.id == BatchId::NONE || batch.number == 0 {
            return Err(format!("batch {} of stream {stream} is no batch", batch.head()));
        }
        if let Some(stored) = self.batch(batch.number) {
            if stored != batch {
                if stored.id == batch.id {
                    return Err(format!("two batches are called {}", batch.head()));
                }
                return Ok(Appended::Conflict { head: self.head() });
            }
            return Ok(Appended::AlreadyThere);
        }
        let head = self.head();
        if batch.number != head.number + 1 || batch.previous != head.id {
            return Ok(Appended::Conflict { head });
        }
        let last_ms = self.batches.last().map_or(0, |last| last.at_ms);
        if batch.at_ms < last_ms {
            return Err(format!("batch {} is of {}, before {last_ms}", batch.head(), batch.at_ms));
        }
        self.batches.push(batch.clone());
        Ok(Appended::Appended)
    }

    /// Somebody is told of, or reads, everything up to here.
    pub(crate) fn know(&mut self, number: u64) {
        let number = usize::try_from(number).expect("a number of this run");
        self.known = self.known.max(number.min(self.batches.len()));
    }

    /// Somebody reads everything.
    pub(crate) fn know_all(&mut self) {
        self.known = self.batches.len();
    }

    /// What can no longer be lost.
    pub(crate) fn known(&self) -> &[Batch] {
        &self.batches[..self.known]
    }

    /// The standby takes over; says how many batches it lacks.
    pub(crate) fn fail_over(&mut self) -> usize {
        let lost = self.batches.len() - self.known;
        self.batches.truncate(self.known);
        self.snapshots.retain(|(head, _)| head.number <= self.known as u64);
        lost
    }

    /// Somebody says to be at work at this time.
    pub(crate) fn beat(&mut self, at_ms: u64) {
        self.heartbeat_ms = self.heartbeat_ms.max(Some(at_ms));
    }

    /// The last time that somebody said so; 0 if nobody has.
    pub(crate) fn heartbeat_ms(&self) -> u64 {
        self.heartbeat_ms.unwrap_or(0)
    }

    /// The last batch.
    pub(crate) fn head(&self) -> Head {
        self.batches.last().map_or(Head::EMPTY, Batch::head)
    }

    /// The batches after this one.
    ///
    /// # Errors
    /// When there is no such batch: somebody went on from what was lost.
    pub(crate) fn after(&self, after: Head) -> Result<Vec<Batch>, StoreError> {
        if after != Head::EMPTY && self.batch(after.number).map(Batch::head) != Some(after) {
            return Err(StoreError::Corrupt(format!("batch {after} is not in the stream")));
        }
        let number = usize::try_from(after.number).expect("a number of this run");
        Ok(self.batches[number..].to_vec())
    }

    /// Keeps a snapshot beside the one before it.
    pub(crate) fn keep_snapshot(&mut self, head: Head, bytes: Vec<u8>) {
        if self.batch(head.number).map(Batch::head) != Some(head) {
            return;
        }
        self.snapshots.retain(|(other, _)| *other != head);
        self.snapshots.push((head, bytes));
        self.snapshots.sort_by_key(|(head, _)| head.number);
        let surplus = self.snapshots.len().saturating_sub(2);
        self.snapshots.drain(..surplus);
    }

    /// The newest snapshot.
    pub(crate) fn snapshot(&mut self) -> Option<&mut Vec<u8>> {
        self.snapshots.last_mut().map(|(_, bytes)| bytes)
    }

    /// When the store was last written, as far as it says.
    pub(crate) fn alive_at_ms(&self) -> u64 {
        let last_ms = self.batches.last().map_or(0, |last| last.at_ms);
        last_ms.max(self.heartbeat_ms.unwrap_or(0))
    }

    /// The state, as a start finds it.
    pub(crate) fn recover(&mut self) -> Result<Recovered, ReplayError> {
        self.know_all();
        recover(self, STREAM)
    }

    /// The state, from every batch there is.
    pub(crate) fn replay(&self) -> Result<Recovered, ReplayError> {
        replay(self, STREAM, |_| {})
    }

    fn batch(&self, number: u64) -> Option<&Batch> {
        self.batches.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }
}

/// For reading only: recovery takes a journal, and writes take their way through the simulator.
impl Journal for Archive {
    fn epoch(&self) -> Epoch {
        Epoch(1)
    }

    fn append(&self, _: &[Append]) -> Result<Vec<Appended>, StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn lock(&self, _: &[(StreamId, Head)]) -> Result<Locked<'_>, StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn format(&self) -> Result<Format, StoreError> {
        Ok(FORMAT_MAX)
    }

    fn raise_format(&self, _: Format) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn writers(&self) -> Result<Vec<Format>, StoreError> {
        Ok(Vec::new())
    }

    fn read(&self, stream: StreamId, after: Head, _: usize) -> Result<Vec<Batch>, StoreError> {
        if stream == STREAM { self.after(after) } else { Ok(Vec::new()) }
    }

    fn head(&self, stream: StreamId) -> Result<Head, StoreError> {
        Ok(if stream == STREAM { Archive::head(self) } else { Head::EMPTY })
    }

    fn heads(&self) -> Result<Vec<(StreamId, Head)>, StoreError> {
        Ok(vec![(STREAM, Archive::head(self))])
    }

    fn heartbeat(&self, _: u64) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn last_heartbeat(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.heartbeat_ms)
    }

    fn now_ms(&self) -> Result<u64, StoreError> {
        Err(StoreError::Unavailable("its clock is the simulator's".to_owned()))
    }

    fn save_snapshot(&self, _: StreamId, _: Head, _: WriteSnapshot<'_>) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn load_snapshot(&self, stream: StreamId) -> Result<Option<(Head, Vec<u8>)>, StoreError> {
        Ok(if stream == STREAM { self.snapshots.last().cloned() } else { None })
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn sync_count(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(number: u64, id: u128, previous: u128) -> Append {
        let (id, previous) = (BatchId(id), BatchId(previous));
        let batch = Batch { number, id, previous, at_ms: number, body: vec![] };
        Append { stream: STREAM, batch }
    }

    #[test]
    fn a_batch_comes_in_only_behind_the_very_one_it_was_made_for() {
        let mut archive = Archive::default();
        assert_eq!(archive.land(&append(1, 10, 0)), Ok(Appended::Appended));
        assert_eq!(archive.land(&append(1, 10, 0)), Ok(Appended::AlreadyThere));
        let head = Head { number: 1, id: BatchId(10) };
        for foreign in [append(1, 11, 0), append(2, 12, 11), append(3, 12, 10)] {
            assert_eq!(archive.land(&foreign), Ok(Appended::Conflict { head }));
        }
        assert_eq!(archive.land(&append(2, 12, 10)), Ok(Appended::Appended));
        assert!(archive.land(&append(0, 1, 0)).is_err());
    }

    #[test]
    fn a_standby_lacks_only_what_nobody_knows() {
        let mut archive = Archive::default();
        archive.land(&append(1, 10, 0)).unwrap();
        archive.know(1);
        archive.land(&append(2, 20, 10)).unwrap();
        assert_eq!(archive.fail_over(), 1);
        assert_eq!(archive.head().number, 1);
        archive.land(&append(2, 21, 10)).unwrap();
        assert_eq!(archive.after(Head { number: 1, id: BatchId(10) }).unwrap().len(), 1);
        archive.know_all();
        assert_eq!(archive.fail_over(), 0);
        assert!(archive.after(Head { number: 2, id: BatchId(20) }).is_err());
    }
}

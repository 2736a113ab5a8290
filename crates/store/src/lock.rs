//! Streams that others are kept from appending to, for the moment in which one process decides.

use std::fmt;

use crate::chain;
use crate::{Append, Appended, Batch, Head, Journal, StoreError, StreamId};

/// Keeps others from appending to the streams it was asked for ([`Journal::lock`]). Dropped, it lets go of
/// them; to append nothing does the same and is cheaper.
pub trait Lock {
    /// Appends to those streams in one durable commit, as [`Journal::append`] does, and lets go of all.
    ///
    /// # Errors
    /// Those of [`Journal::append`], with which the same can be sent again; and [`StoreError::Invalid`]
    /// for a stream that the lock was not asked for.
    fn append(self: Box<Self>, appends: &[Append]) -> Result<Vec<Appended>, StoreError>;
}

/// What came in behind a head that was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer {
    /// The stream.
    pub stream: StreamId,
    /// Its batches, the oldest first: all of them, or as many as there was room for.
    pub batches: Vec<Batch>,
    /// Where it stands.
    pub head: Head,
}

/// A lock, and what is new in the streams that it is for, in the order in which they were asked for.
pub struct Locked<'j> {
    /// What is new, or why it cannot be read, which is no matter of the other streams.
    pub newer: Vec<Result<Newer, StoreError>>,
    /// Keeps others out.
    pub lock: Box<dyn Lock + 'j>,
}

impl fmt::Debug for Locked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").field("newer", &self.newer).finish_non_exhaustive()
    }
}

/// Bytes of a stream that are read for a lock, at most.
const BYTES_MAX: usize = 16 << 20;

/// The lock of a journal that one process has.
struct Alone<'j> {
    journal: &'j dyn Journal,
    streams: Vec<StreamId>,
}

impl Lock for Alone<'_> {
    fn append(self: Box<Self>, appends: &[Append]) -> Result<Vec<Appended>, StoreError> {
        check_locked(&self.streams, appends)?;
        self.journal.append(appends)
    }
}

/// A lock where there is nobody to keep out.
pub(crate) fn alone<'j>(
    journal: &'j dyn Journal,
    streams: &[(StreamId, Head)],
) -> Result<Locked<'j>, StoreError> {
    streams.iter().try_for_each(|(stream, _)| chain::check_stream(*stream))?;
    let newer = |(stream, after): &(StreamId, Head)| {
        let batches = journal.read(*stream, *after, BYTES_MAX)?;
        Ok(Newer { stream: *stream, batches, head: journal.head(*stream)? })
    };
    let newer = streams.iter().map(newer).collect();
    let streams = streams.iter().map(|(stream, _)| *stream).collect();
    Ok(Locked { newer, lock: Box::new(Alone { journal, streams }) })
}

/// Refuses to append to what a lock was not asked for.
pub(crate) fn check_locked(locked: &[StreamId], appends: &[Append]) -> Result<(), StoreError> {
    match appends.iter().find(|append| !locked.contains(&append.stream)) {
        None => Ok(()),
        Some(append) => Err(StoreError::Invalid(format!("stream {} is not locked", append.stream))),
    }
}

//! The threads that wait for the disk: one for the journal, one for turns among other nodes, and one for
//! snapshots.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use domain::Sale;
use domain::time::{Millis, Timestamp};
use store::{Append, Appended, Format, Head, Journal, Locked, StoreError, StreamId};

use super::Shared;
use super::inbox::Input;
use crate::Commit;
use crate::clock::Stopwatch;
use crate::recovery::write_snapshot;

/// How often the store's clock is looked at, and which format bodies may be written in: an operator raises
/// that once all nodes can read it, and nobody waits for it.
const STEER_EVERY: Millis = 2_000;
/// Bytes read when a core catches up, at a time.
const CATCH_UP_BYTES: usize = 16 << 20;

/// Something for the writer.
#[derive(Debug)]
pub(super) enum Job {
    /// One append each of several sales.
    Append(Vec<Append>),
    /// Say that somebody was at work at this time, when no sale owed a silence; however long it takes
    /// until it is written.
    Beat { at: Timestamp },
    /// Read what stands in a stream behind `after`.
    CatchUp { stream: u32, after: Head },
    /// Sync, and end.
    Stop,
}

/// A part of a turn among other nodes, each of which has both.
#[derive(Debug)]
pub(super) enum Turn {
    /// Lock these streams and read what stands behind these heads.
    Lock(Vec<(StreamId, Head)>),
    /// What was decided with the locks, which end.
    Append(Vec<Append>),
}

/// Something for the snapshot thread.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) stream: StreamId,
    pub(super) head: Head,
    pub(super) last_at: Timestamp,
    pub(super) sale: Sale,
}

/// Writes until told to stop: all appends that wait as one commit, and the heartbeat.
pub(super) fn write(
    journal: &dyn Journal,
    shared: &Arc<Shared>,
    mut format: Format,
    jobs: &Receiver<Job>,
) {
    let mut steer_at = Timestamp::default();
    let (mut appends, mut to_read, mut beat_at) = (Vec::new(), Vec::new(), None);
    loop {
        let now = shared.clock.now();
        if now >= steer_at {
            if let Ok(store_now) = journal.now_ms() {
                shared.clock.steer(Timestamp(store_now));
                // Only of a store that has just answered: what is to be appended waits for both.
                if let Ok(found) = journal.format()
                    && found != format
                {
                    format = found;
                    shared.inbox.put(Input::Format(format));
                }
            }
            steer_at = now.plus(STEER_EVERY);
        }
        let patience = Duration::from_millis(steer_at.since(now));
        let mut next = match jobs.recv_timeout(patience) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        while let Some(job) = next {
            match job {
                Job::Append(more) => appends.extend(more),
                Job::Beat { at } => beat_at = Some(at),
                Job::CatchUp { stream, after } => to_read.push((stream, after)),
                Job::Stop => {
                    if !appends.is_empty() {
                        append(shared, appends, false, |appends| journal.append(appends));
                    }
                    if let Err(error) = journal.sync() {
                        tracing::error!(%error, "the journal could not be synced at the end");
                    }
                    return;
                }
            }
            next = jobs.try_recv().ok();
        }
        for (stream, after) in to_read.drain(..) {
            let batches = read_on(journal, StreamId(stream), after);
            shared.inbox.put(Input::Batches { stream, after, batches });
        }
        if !appends.is_empty() {
            let appends = std::mem::take(&mut appends);
            append(shared, appends, false, |appends| journal.append(appends));
        }
        if let Some(at) = beat_at.take() {
            beat(journal, shared, at);
        }
    }
}

/// Takes turns among other nodes until nobody asks for any more: waits for the locks, hands over what is
/// new, and appends what is decided then. A thread of its own, for a node that is asleep in its turn keeps
/// others waiting, and sales that they have for themselves shall not.
pub(super) fn take_turns(journal: &dyn Journal, shared: &Shared, turns: &Receiver<Turn>) {
    let mut held = None;
    for turn in turns {
        match turn {
            Turn::Lock(streams) => {
                let began = Stopwatch::start();
                let locked = journal.lock(&streams);
                shared.meters.lock_time.observe(began.nanos());
                told(shared, locked.as_ref().err());
                let newer = locked.map(|Locked { newer, lock }| {
                    held = Some(lock);
                    newer
                });
                let streams = streams.into_iter().map(|(stream, _)| stream).collect();
                shared.inbox.put(Input::Locked { streams, newer });
            }
            Turn::Append(appends) => {
                let lock = held.take().expect("it was said that the streams are locked");
                append(shared, appends, true, |appends| lock.append(appends));
            }
        }
    }
}

/// Appends, with the locks that are held or without, and says what came of it.
fn append(
    shared: &Shared,
    appends: Vec<Append>,
    unlocked: bool,
    to: impl FnOnce(&[Append]) -> Result<Vec<Appended>, StoreError>,
) {
    let (batches, sizes) = (appends.len(), appends.iter().map(|append| append.batch.body.len()));
    let bytes = sizes.sum::<usize>() as u64;
    let began = Stopwatch::start();
    let result = to(&appends);
    if batches > 0 {
        let commit = Commit { took_ns: began.nanos(), batches, bytes, failed: result.is_err() };
        shared.meters.committed(&commit);
        if let Some(watch) = &shared.watch {
            watch.committed(&commit);
        }
        told(shared, result.as_ref().err());
    }
    shared.inbox.put(Input::Appended { appends, result, unlocked });
}

fn beat(journal: &dyn Journal, shared: &Shared, at: Timestamp) {
    let result = journal.heartbeat(at.0);
    told(shared, result.as_ref().err());
    if result.is_ok() {
        shared.inbox.put(Input::Heartbeat { at });
    }
}

/// Keeps why the store cannot be written, and says so once when that begins or ends.
fn told(shared: &Shared, error: Option<&StoreError>) {
    let mut trouble = shared.trouble.lock().expect("no thread has panicked");
    match (error, trouble.is_some()) {
        (Some(error), false) => tracing::error!(%error, "the store cannot be written"),
        (None, true) => tracing::info!("the store can be written again"),
        (Some(_), true) | (None, false) => {}
    }
    *trouble = error.map(ToString::to_string);
}

fn read_on(
    journal: &dyn Journal,
    stream: StreamId,
    mut after: Head,
) -> Result<Vec<store::Batch>, StoreError> {
    let mut all = Vec::new();
    loop {
        let more = journal.read(stream, after, CATCH_UP_BYTES)?;
        let Some(last) = more.last() else { return Ok(all) };
        after = last.head();
        all.extend(more);
    }
}

/// Writes snapshots until nobody asks for any more, with what time the others leave: encoding a
/// large hall takes longer than any buyer should wait.
pub(super) fn keep(journal: &dyn Journal, snapshots: &Receiver<Snapshot>) {
    step_back();
    for Snapshot { stream, head, last_at, sale } in snapshots {
        let snapshot = |to: &mut dyn io::Write| write_snapshot(&sale, last_at, to);
        match journal.save_snapshot(stream, head, &snapshot) {
            Ok(()) => tracing::debug!(%stream, %head, "snapshot written"),
            Err(error) => tracing::warn!(%stream, %error, "a snapshot could not be written"),
        }
    }
}

/// The least priority there is, as `nice` counts it.
#[cfg(target_os = "linux")]
const NICE_MAX: i32 = 19;

/// Gives this thread the least priority, where threads have one of their own. Without it its work is
/// only in the way.
pub(crate) fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE_MAX)
    {
        tracing::debug!(%error, "this thread works with full priority");
    }
}

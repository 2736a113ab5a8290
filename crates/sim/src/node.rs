//! One node: a core, its handle, its inbox and the thread that waits for the journal.
//!
//! It is what `engine`'s driver is, without threads: a turn takes out everything that came in, hands
//! it to the core, lets the core advance and does what the core wants done; one operation on the
//! journal at a time, and a heartbeat every two seconds. What several nodes on one journal need
//! besides, and the driver does not have, is here: a look at the journal's head now and then.

use std::collections::{BTreeMap, VecDeque};

use domain::id::{EntryIndex, PaymentIndex, Place};
use domain::time::{Millis, Timestamp};
use engine::core::Core;
use engine::{CallResult, Request, SaleHandle};
use store::{Append, Appended, Batch, Head};

use crate::clock::{Moment, NodeClock};

/// How often the heartbeat is written.
pub(crate) const BEAT_EVERY: Millis = 2_000;
/// How often a node looks whether others have written.
pub(crate) const LOOK_EVERY: Millis = 400;
/// How long a heartbeat waits while a silence is owed, before it is thought of again.
pub(crate) const RETRY_AFTER: Millis = 200;
/// The longest sleep of the deciding thread.
pub(crate) const SLEEP_MAX: Millis = 1_000;

/// The name of a request in a run.
pub(crate) type RequestId = u64;

/// Something for the deciding thread.
#[derive(Debug)]
pub(crate) enum Input {
    Request { request: Box<Request>, to: RequestId },
    Written { append: Append, answer: Option<Appended> },
    Beaten { at: Timestamp },
    Head { head: Head },
    Batches { batches: Option<Vec<Batch>> },
    CallFinished { payment: PaymentIndex, result: CallResult },
}

/// Something for the writing thread.
#[derive(Debug)]
pub(crate) enum Job {
    Append(Append),
    Beat { at: Timestamp },
    CatchUp { after: Head },
}

/// A buyer whose read waits for a publication.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    pub(crate) buyer: usize,
    pub(crate) turn: u32,
    pub(crate) place: Place,
    pub(crate) since: Moment,
}

/// A process while it lives.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) core: Core<RequestId>,
    pub(crate) handle: SaleHandle,
    pub(crate) inbox: Vec<Input>,
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) writing: bool,
    pub(crate) beat_at: Timestamp,
    /// When the writing thread looks up next, of those times that are on the agenda.
    pub(crate) idle_until: Moment,
    pub(crate) steer_at: Timestamp,
    pub(crate) look_at: Timestamp,
    /// When the last batch was made that this process knows to be durable.
    pub(crate) last_at: Timestamp,
    /// The last batch that this process knows.
    pub(crate) tip: Head,
    /// An append whose answer is awaited.
    pub(crate) append_out: bool,
    /// The newer batches are being read.
    pub(crate) catching_up: bool,
    pub(crate) wake_at: Timestamp,
    /// When the next turn comes, of those that are on the agenda.
    pub(crate) turn_at: Moment,
    /// Requests that were not answered yet, and when they came, in node time.
    pub(crate) callers: BTreeMap<RequestId, Timestamp>,
    pub(crate) readers: Vec<Reader>,
    /// What each buyer was answered from last, by this process.
    pub(crate) answered: BTreeMap<EntryIndex, u64>,
    /// The outputs after which it will be killed.
    pub(crate) killed_after: Option<u64>,
}

/// A machine.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) process: Option<Process>,
    /// Counts the processes, so that what was meant for one does not reach the next.
    pub(crate) life: u32,
    pub(crate) clock: NodeClock,
    /// Until when it does nothing.
    pub(crate) frozen_until: Moment,
    /// How far its clock is set apart, when it starts.
    pub(crate) apart_ms: Millis,
    pub(crate) drift_ppm: i64,
}

impl Node {
    pub(crate) fn is_frozen(&self, now: Moment) -> bool {
        now < self.frozen_until
    }
}

//! One node: a core, its handle, its inbox and the threads that wait for the journal.
//!
//! It is what `engine`'s driver is, without threads: a turn takes out everything that came in, hands
//! it to the core, lets the core advance and does what the core wants done; one operation on the
//! journal at a time, beside it one for turns among the nodes, and a heartbeat every two seconds. Where
//! there are several nodes, each looks at the journal's head now and then and when its core or a reader
//! asks for it, beside the operations; and reads wait for looks as those of the server do.

use std::collections::{BTreeMap, VecDeque};

use domain::id::{EntryIndex, PaymentIndex, Place};
use domain::time::{Millis, Timestamp};
use engine::core::Core;
use engine::{CallResult, Looks, Request, SaleHandle};
use store::{Append, Appended, Batch, Head};

use crate::clock::{Moment, NodeClock};

/// How often the heartbeat is written.
pub(crate) const BEAT_EVERY: Millis = 2_000;
/// How often a node looks whether others have written.
pub(crate) const LOOK_EVERY: Millis = 400;
/// How long a read waits for what other nodes have written.
pub(crate) const READ_WAIT: Millis = 1_000;
/// How long a heartbeat waits while a silence is owed, before it is thought of again.
pub(crate) const RETRY_AFTER: Millis = 200;
/// The longest sleep of the deciding thread.
pub(crate) const SLEEP_MAX: Millis = 1_000;

/// The name of a request in a run.
pub(crate) type RequestId = u64;

/// Something for the deciding thread.
#[derive(Debug)]
pub(crate) enum Input {
    Request {
        request: Box<Request>,
        to: RequestId,
    },
    Written {
        append: Append,
        answer: Option<Appended>,
    },
    Beaten {
        at: Timestamp,
    },
    Looked(Looked),
    /// What followed this batch, if it could be read.
    Batches {
        after: Head,
        batches: Option<Vec<Batch>>,
    },
    /// A lock, with what is new or the first of it, and where the journal stands; or none is to be had.
    Locked {
        newer: Option<(Vec<Batch>, Head)>,
    },
    CallFinished {
        payment: PaymentIndex,
        result: CallResult,
    },
}

/// Something for the writing thread, or for the one that takes turns.
#[derive(Debug)]
pub(crate) enum Job {
    Append(Append),
    Beat { at: Timestamp },
    CatchUp { after: Head },
    Lock { after: Head },
}

/// What a look found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    pub(crate) look: u64,
    pub(crate) began: Timestamp,
    pub(crate) began_at: Moment,
    /// None when it came to nothing: where the journal stood, and the last heartbeat if it was asked for.
    pub(crate) found: Option<(Head, Option<Timestamp>)>,
}

/// A buyer whose read waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    pub(crate) buyer: usize,
    pub(crate) turn: u32,
    pub(crate) place: Place,
    /// The batch after which the token was made.
    pub(crate) token_as_of: u64,
    /// The last batch that anybody knew of when it came.
    pub(crate) known: u64,
    pub(crate) since: Moment,
    pub(crate) stage: ReadStage,
}

/// What a read waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadStage {
    /// That what is shown is not too old; for this look, if one was asked for.
    Recent(Option<u64>),
    /// A publication that is new enough, what is shown being so old at most since then.
    Shown { since: Moment, age: Millis },
    /// This look, because the place is not known, as old as before.
    Confirmed { look: u64, since: Moment, age: Millis },
}

/// A process while it lives.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) core: Core<RequestId>,
    pub(crate) handle: SaleHandle,
    pub(crate) inbox: Vec<Input>,
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) writing: bool,
    /// Of a turn among the nodes: a lock, and what is appended with it.
    pub(crate) turns: VecDeque<Job>,
    pub(crate) taking_turn: bool,
    /// What the next advance wants appended is appended with the lock.
    pub(crate) has_lock: bool,
    pub(crate) beat_at: Timestamp,
    /// When the writing thread looks up next, of those times that are on the agenda.
    pub(crate) idle_until: Moment,
    pub(crate) steer_at: Timestamp,
    pub(crate) look_at: Timestamp,
    /// When the last batch was made that this process knows to be durable.
    pub(crate) last_at: Timestamp,
    /// The last batch that this process knows.
    pub(crate) tip: Head,
    /// What is known of the journal's head.
    pub(crate) looks: Looks,
    pub(crate) looking: bool,
    pub(crate) wants_look: bool,
    pub(crate) wants_heartbeat: bool,
    /// The least number of the look that the core has asked for.
    pub(crate) asked_look: Option<u64>,
    /// Looks that found what is not shown yet.
    pub(crate) looked: Vec<Looked>,
    /// An append whose answer is awaited, and whether it is one of a turn.
    pub(crate) append_out: bool,
    pub(crate) append_in_turn: bool,
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

impl Process {
    /// Asks for a look, and says the least number that it may have.
    pub(crate) fn ask_for_look(&mut self) -> u64 {
        self.wants_look = true;
        self.looks.next()
    }

    /// Says with which look that what is shown has caught up.
    pub(crate) fn catch_up(&mut self) {
        let shown = self.handle.publication().as_of;
        let is_shown = |looked: &Looked| looked.found.is_some_and(|(head, _)| head.number <= shown);
        if let Some(newest) = self.looked.iter().rposition(is_shown) {
            let Looked { look, began_at, .. } = self.looked[newest];
            self.looked.drain(..=newest);
            self.looks.catch_up(look, began_at.0);
        }
    }
}

impl Node {
    pub(crate) fn is_frozen(&self, now: Moment) -> bool {
        now < self.frozen_until
    }
}

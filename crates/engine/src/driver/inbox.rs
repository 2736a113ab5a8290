//! What comes in for the deciding thread: taken out all at once.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use domain::Refusal;
use domain::id::PaymentIndex;
use domain::time::Timestamp;
use store::{Append, Appended, Format, Head, Newer, StoreError, StreamId};
use tokio::sync::oneshot;

use super::follower::Looked;
use crate::{CallResult, Failure, NewSale, Reply, Request, Warrant};

/// Something for the deciding thread.
#[derive(Debug)]
pub(super) enum Input {
    /// A command for a sale.
    Request { stream: u32, request: Request, to: oneshot::Sender<Result<Reply, Failure>> },
    /// A sale to be added, or to be described anew.
    AddSale {
        sale: Box<NewSale>,
        /// Whether it is there already.
        anew: bool,
        id: u64,
        warrant: Option<Box<Warrant>>,
        to: oneshot::Sender<Result<Result<(), Refusal>, Failure>>,
    },
    /// What the store says to one commit: to each of its appends, or to none.
    Appended {
        appends: Vec<Append>,
        result: Result<Vec<Appended>, StoreError>,
        /// Whether it ended the locks that were held; then it may be of nothing.
        unlocked: bool,
    },
    /// The newest format that bodies may be written in, as the store says.
    Format(Format),
    /// The heartbeat was written.
    Heartbeat { at: Timestamp },
    /// What the provider says.
    CallFinished { stream: u32, payment: PaymentIndex, result: CallResult },
    /// Where the streams stand.
    Looked(Looked),
    /// What stands in a stream behind `after`.
    Batches { stream: u32, after: Head, batches: Result<Vec<store::Batch>, StoreError> },
    /// What is new in streams that nobody else appends to until [`super::writer::Turn::Append`], or that
    /// they cannot be locked.
    Locked {
        streams: Vec<StreamId>,
        /// To each of them in its place.
        newer: Result<Vec<Result<Newer, StoreError>>, StoreError>,
    },
    /// Finish what was accepted.
    Stop,
}

/// A list that many fill and one empties.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    list: Mutex<List>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct List {
    inputs: Vec<Input>,
    /// Something is there that is not one of a crowd: neither a request nor a provider's answer.
    urgent: bool,
    /// From how many requests on the deciding thread is to be woken.
    crowd: usize,
    closed: bool,
}

impl List {
    fn is_worth_waking(&self) -> bool {
        self.urgent || self.inputs.len() >= self.crowd
    }
}

impl Inbox {
    /// Adds an input, and wakes the deciding thread when that is worth it. Says whether anybody
    /// will look at it: dropping it tells its caller otherwise.
    pub(super) fn put(&self, input: Input) -> bool {
        let mut list = self.list.lock().expect("no thread has panicked");
        if list.closed {
            return false;
        }
        let waking_already = list.is_worth_waking();
        list.urgent |= !matches!(input, Input::Request { .. } | Input::CallFinished { .. });
        list.inputs.push(input);
        let wake = !waking_already && list.is_worth_waking();
        drop(list);
        if wake {
            self.filled.notify_one();
        }
        true
    }

    /// Appends what came in to `inputs`, after waiting up to `patience` for as many requests as
    /// `crowd`, or for anything that is not one of a crowd.
    pub(super) fn take(&self, inputs: &mut Vec<Input>, crowd: usize, patience: Duration) {
        let mut list = self.list.lock().expect("no thread has panicked");
        list.crowd = crowd;
        if !list.is_worth_waking() && !patience.is_zero() {
            list = self
                .filled
                .wait_timeout_while(list, patience, |list| !list.is_worth_waking())
                .expect("no thread has panicked")
                .0;
        }
        list.urgent = false;
        if inputs.is_empty() {
            std::mem::swap(&mut list.inputs, inputs);
        } else {
            inputs.append(&mut list.inputs);
        }
    }

    /// Whether nobody will look at anything more.
    pub(super) fn is_closed(&self) -> bool {
        self.list.lock().expect("no thread has panicked").closed
    }

    /// Lets nothing more in, and drops what nobody will look at.
    pub(super) fn close(&self) {
        let mut list = self.list.lock().expect("no thread has panicked");
        list.closed = true;
        list.inputs.clear();
    }
}

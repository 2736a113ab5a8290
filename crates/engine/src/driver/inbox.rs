//! What comes in for the deciding thread: taken out all at once.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use domain::Refusal;
use domain::id::PaymentIndex;
use domain::time::Timestamp;
use store::{Append, Appended, StoreError};
use tokio::sync::oneshot;

use crate::{CallResult, Failure, NewSale, Reply, Request};

/// Something for the deciding thread.
#[derive(Debug)]
pub(super) enum Input {
    /// A command for a sale.
    Request { stream: u32, request: Request, to: oneshot::Sender<Result<Reply, Failure>> },
    /// A sale to be added.
    AddSale {
        sale: Box<NewSale>,
        id: u64,
        to: oneshot::Sender<Result<Result<(), Refusal>, Failure>>,
    },
    /// What the store says to one commit: to each of its appends, or to none.
    Appended { appends: Vec<Append>, result: Result<Vec<Appended>, StoreError> },
    /// The heartbeat was written.
    Heartbeat { at: Timestamp },
    /// What the provider says.
    CallFinished { stream: u32, payment: PaymentIndex, result: CallResult },
    /// What stands in a stream behind the last publication.
    Batches { stream: u32, batches: Result<Vec<store::Batch>, StoreError> },
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
    closed: bool,
}

impl Inbox {
    /// Adds an input, and wakes the deciding thread when the list was empty. Says whether anybody
    /// will look at it: dropping it tells its caller otherwise.
    pub(super) fn put(&self, input: Input) -> bool {
        let mut list = self.list.lock().expect("no thread has panicked");
        if list.closed {
            return false;
        }
        list.inputs.push(input);
        let first = list.inputs.len() == 1;
        drop(list);
        if first {
            self.filled.notify_one();
        }
        true
    }

    /// Swaps the filled list for an empty one, waiting up to `patience` for something to be there.
    pub(super) fn take(&self, empty: &mut Vec<Input>, patience: Duration) {
        let mut list = self.list.lock().expect("no thread has panicked");
        if list.inputs.is_empty() && !patience.is_zero() {
            list = self
                .filled
                .wait_timeout_while(list, patience, |list| list.inputs.is_empty())
                .expect("no thread has panicked")
                .0;
        }
        std::mem::swap(&mut list.inputs, empty);
    }

    /// Lets nothing more in, and drops what nobody will look at.
    pub(super) fn close(&self) {
        let mut list = self.list.lock().expect("no thread has panicked");
        list.closed = true;
        list.inputs.clear();
    }
}

//! Answers on their way out: told together.
//!
//! Each answer wakes the task of a connection. From this thread that is a wake-up of another one,
//! which on a busy machine then takes turns with this one, answer by answer. So a crowd of answers
//! is handed over whole, to a task that wakes the others from among them.

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::{Failure, Reply};

/// Up to so many are told one by one, which is sooner.
const FEW: usize = 4;

/// Where an answer goes.
pub(super) type ReplyTo = oneshot::Sender<Result<Reply, Failure>>;

/// Answers to be told.
#[derive(Debug)]
pub(super) struct Replies {
    list: Vec<(ReplyTo, Result<Reply, Failure>)>,
    /// Where those who wait live, if it is known.
    runtime: Option<Handle>,
}

impl Replies {
    /// For those who wait in the runtime that this is called in, if it is in one.
    pub(super) fn new() -> Self {
        Self { list: Vec::new(), runtime: Handle::try_current().ok() }
    }

    /// One more answer.
    pub(super) fn add(&mut self, to: ReplyTo, result: Result<Reply, Failure>) {
        self.list.push((to, result));
    }

    /// Tells all of them.
    pub(super) fn tell(&mut self) {
        match &self.runtime {
            Some(runtime) if self.list.len() > FEW => {
                let list = std::mem::take(&mut self.list);
                runtime.spawn(async { tell(list) });
            }
            _ => tell(self.list.drain(..)),
        }
    }
}

fn tell(list: impl IntoIterator<Item = (ReplyTo, Result<Reply, Failure>)>) {
    for (to, result) in list {
        // A caller who has gone away is not told.
        let _gone = to.send(result);
    }
}

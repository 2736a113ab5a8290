//! The thread that looks for what other nodes have written. It only says where the streams stand;
//! whoever owns them decides what to read.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use domain::time::Millis;
use store::{Head, Journal, StreamId};

use super::Shared;
use super::inbox::Input;

/// Looks every so many milliseconds, until it is stopped.
pub(super) fn follow(
    journal: &dyn Journal,
    shared: &Shared,
    every: Millis,
    stopping: &Receiver<()>,
) {
    let every = Duration::from_millis(every);
    let mut known: BTreeMap<StreamId, Head> = BTreeMap::new();
    while stopping.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        let heads = match journal.heads() {
            Ok(heads) => heads,
            Err(error) => {
                // Whoever writes says so louder.
                tracing::debug!(%error, "what other nodes have written is not known");
                continue;
            }
        };
        let moved: Vec<(StreamId, Head)> = heads
            .into_iter()
            .filter(|(stream, head)| known.insert(*stream, *head) != Some(*head))
            .collect();
        if !moved.is_empty() {
            shared.inbox.put(Input::Heads(moved));
        }
    }
}

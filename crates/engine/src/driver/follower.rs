//! The thread that looks for what other nodes have written: now and then, and when somebody waits for
//! it. It only says where the streams stand; whoever owns them decides what to read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use domain::time::{Millis, Timestamp};
use store::{Head, Journal, StoreError, StreamId};

use super::Shared;
use super::inbox::Input;
use crate::clock::uptime_ms;
use crate::looks::Looks;

/// What a look found.
#[derive(Debug)]
pub(super) struct Looked {
    /// Its number.
    pub(super) look: u64,
    /// When it began, by [`uptime_ms`] and in node time.
    pub(super) began_ms: Millis,
    pub(super) began: Timestamp,
    /// Where each stream stands that has a batch, in their order.
    pub(super) heads: Vec<(StreamId, Head)>,
    /// The latest heartbeat of any node, if somebody asked for it.
    pub(super) heartbeat: Option<Timestamp>,
}

impl Looked {
    /// Where a stream stands.
    pub(super) fn head(&self, stream: u32) -> Head {
        let found = self.heads.binary_search_by_key(&StreamId(stream), |(stream, _)| *stream);
        found.map_or(Head::EMPTY, |at| self.heads[at].1)
    }
}

/// The looks, and how to ask for one.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) looks: Looks,
    ask: SyncSender<()>,
    wants_heartbeat: AtomicBool,
}

impl Following {
    /// With what the thread waits for; what is shown was read from `began_ms` on.
    pub(super) fn new(began_ms: Millis) -> (Self, Receiver<()>) {
        let (ask, asked) = sync_channel(1);
        let looks = Looks::new(began_ms);
        (Self { looks, ask, wants_heartbeat: AtomicBool::new(false) }, asked)
    }

    /// Asks for a look now, and says the least number that it may have.
    pub(super) fn ask(&self) -> u64 {
        let look = self.looks.next();
        // Where it is full somebody has asked, and that look has not begun.
        let _asked = self.ask.try_send(());
        look
    }

    /// The same, and for when the last heartbeat was written.
    pub(super) fn ask_for_heartbeat(&self) -> u64 {
        self.wants_heartbeat.store(true, Ordering::SeqCst);
        self.ask()
    }
}

/// Looks every so many milliseconds and when it is asked to, until nobody listens.
pub(super) fn follow(
    journal: &dyn Journal,
    shared: &Shared,
    following: &Following,
    every: Millis,
    asked: &Receiver<()>,
) {
    let every = Duration::from_millis(every);
    while !shared.inbox.is_closed() {
        // Nobody has asked, or somebody has.
        let _asked = asked.recv_timeout(every);
        let look = following.looks.begin();
        let (began_ms, began) = (uptime_ms(), shared.clock.now());
        match find(journal, following) {
            Ok((heads, heartbeat)) => {
                let looked = Looked { look, began_ms, began, heads, heartbeat };
                shared.inbox.put(Input::Looked(looked));
            }
            Err(error) => {
                // Whoever writes says so louder.
                tracing::debug!(%error, "what other nodes have written is not known");
                following.looks.fail(look);
            }
        }
    }
}

type Found = (Vec<(StreamId, Head)>, Option<Timestamp>);

fn find(journal: &dyn Journal, following: &Following) -> Result<Found, StoreError> {
    let heartbeat = match following.wants_heartbeat.swap(false, Ordering::SeqCst) {
        true => Some(Timestamp(journal.last_heartbeat()?.unwrap_or(0))),
        false => None,
    };
    Ok((journal.heads()?, heartbeat))
}

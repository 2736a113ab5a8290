//! Somebody who follows a place: what was said last, what is to be said, and whom to wake for it.
//!
//! Nothing is queued for a follower. What is due is a few flags; what they mean is looked up when it
//! is said, so that whoever is slow hears the newest and nothing of what was before. And nothing
//! more becomes due while what was said last has not left this process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::Waker;

use domain::id::Place;
use domain::sale::PlaceView;
use domain::time::{Millis, Timestamp};
use engine::Publication;

/// Somebody who follows a place.
#[derive(Debug)]
pub(super) struct Follower {
    place: Place,
    /// Counts what the connection has written; none where nobody counts.
    written: OnceLock<Arc<AtomicU64>>,
    slot: Mutex<Slot>,
}

/// What changes of a follower.
#[derive(Debug)]
struct Slot {
    told: Told,
    due: Due,
    waker: Option<Waker>,
    /// The turn in which there was something to say last.
    spoke_at: Timestamp,
    /// What `written` was when something was handed over last.
    written_then: u64,
    /// Whether the buyer was counted as seen since.
    is_seen: bool,
}

/// What a follower knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// The place.
    pub(super) view: PlaceView,
    /// From when on a fresh token is due.
    pub(super) renew_at: Timestamp,
    /// The number of the seats' change, for whom they matter.
    pub(super) seats: Option<u64>,
}

/// What is to be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// The place stands somewhere else.
    pub(super) place: bool,
    /// The token grows old.
    pub(super) token: bool,
    /// Seats changed hands.
    pub(super) seats: bool,
    /// It has been quiet for long.
    pub(super) comment: bool,
    /// This node ends.
    pub(super) farewell: bool,
}

/// One look at all followers of a sale.
pub(super) struct Round<'a> {
    /// The newest state.
    pub(super) publication: &'a Publication,
    /// What time it is.
    pub(super) now: Timestamp,
    /// The number of the newest change of seats.
    pub(super) seats: u64,
    /// How long it may be quiet.
    pub(super) quiet_max: Millis,
}

impl Follower {
    /// Somebody who was just told this.
    pub(super) fn new(told: Told, now: Timestamp) -> Self {
        let slot = Slot {
            told,
            due: Due::default(),
            waker: None,
            spoke_at: now,
            written_then: 0,
            is_seen: true,
        };
        Self { place: told.view.place, written: OnceLock::new(), slot: Mutex::new(slot) }
    }

    /// The place.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Says who counts what the connection writes.
    pub(super) fn is_written_by(&self, written: &Arc<AtomicU64>) {
        // The first one is right: a stream has one connection.
        let _ = self.written.set(Arc::clone(written));
    }

    /// A look between turns: only another status is news.
    pub(super) fn glance(&self, round: &Round<'_>) {
        let Some(view) = round.publication.sale.place(self.place.entry) else { return };
        let mut slot = self.slot();
        if self.has_left(&slot) && view.status != slot.told.view.status {
            slot.due.place = true;
            slot.wake();
        }
    }

    /// The follower's turn, once a second. What the buyer sees now, if the last words have arrived
    /// since the turn before, as far as can be known: the buyer is there.
    pub(super) fn turn(&self, round: &Round<'_>) -> Option<PlaceView> {
        let view = round.publication.sale.place(self.place.entry)?;
        let mut slot = self.slot();
        if !self.has_left(&slot) {
            return None;
        }
        let told = slot.told;
        slot.due.place |= differs(&view, &told.view);
        slot.due.token |= round.now >= told.renew_at;
        slot.due.seats |= told.seats.is_some_and(|seats| seats < round.seats);
        slot.due.comment |= round.now.since(slot.spoke_at) >= round.quiet_max;
        if slot.due != Due::default() {
            slot.spoke_at = round.now;
            slot.wake();
        }
        (!std::mem::replace(&mut slot.is_seen, true)).then_some(view)
    }

    /// This node ends: to be said at once.
    pub(super) fn bid_farewell(&self) {
        let mut slot = self.slot();
        slot.due.farewell = true;
        slot.wake();
    }

    /// What is to be said now; where there is nothing, `waker` is woken when there is.
    pub(super) fn due(&self, waker: &Waker) -> Option<Due> {
        let mut slot = self.slot();
        if slot.due == Due::default() {
            match &mut slot.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return None;
        }
        Some(std::mem::take(&mut slot.due))
    }

    /// What the follower knows.
    pub(super) fn told(&self) -> Told {
        self.slot().told
    }

    /// Notes what is said now.
    pub(super) fn tell(&self, told: Told) {
        self.slot().told = told;
    }

    /// Notes that something is handed over, to be written to the connection.
    pub(super) fn hand_over(&self) {
        let written = self.written().unwrap_or_default();
        let mut slot = self.slot();
        (slot.written_then, slot.is_seen) = (written, false);
    }

    /// Whether the connection has written anything since something was handed over. Where nobody
    /// counts, it has.
    fn has_left(&self, slot: &Slot) -> bool {
        self.written().is_none_or(|written| written != slot.written_then)
    }

    fn written(&self) -> Option<u64> {
        self.written.get().map(|written| written.load(Ordering::Relaxed))
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().expect("a look at a follower does not panic")
    }
}

impl Slot {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Whether there is something to tell of a place.
pub(super) fn differs(view: &PlaceView, told: &PlaceView) -> bool {
    view.status != told.status || (view.position, view.total) != (told.position, told.total)
}

//! What readers hold of a sale: its newest publication.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use domain::Sale;
use domain::id::{EntryIndex, SaleId};
use domain::sale::{PlaceView, Status};
use domain::time::Timestamp;
use tokio::sync::watch;

use crate::core::is_news;
use crate::meters::{CoreState, SharedCoreState};
use crate::seconds;
use crate::seen::SeenTable;

/// A durable state of one sale, for reading. It never changes.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The state.
    pub sale: Sale,
    /// The number of the batch after which it is the state.
    pub as_of: u64,
    /// Admissions per second, of late; none when too few were seen to say.
    pub pace: Option<f64>,
    pub(crate) seen: SeenTable,
}

/// Slots for the reads that must wait for a publication; more buyers than slots share them, which
/// costs them a wait they did not need, of 20 ms at most.
const SLOTS: usize = 4096;

/// One sale, for readers and for those who submit commands.
#[derive(Debug)]
pub struct SaleHandle {
    id: SaleId,
    stream: u32,
    publication: ArcSwap<Publication>,
    as_of: watch::Sender<u64>,
    /// For each slot, the batch after which somebody's write was answered last.
    written: Box<[AtomicU64]>,
    is_unreadable: AtomicBool,
    core: SharedCoreState,
}

impl SaleHandle {
    /// A handle that shows `publication`. The driver makes one for each sale, and a simulator for
    /// each core that it drives.
    #[must_use]
    pub fn new(id: SaleId, stream: u32, publication: Publication) -> Self {
        Self {
            id,
            stream,
            as_of: watch::Sender::new(publication.as_of),
            publication: ArcSwap::from_pointee(publication),
            written: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            is_unreadable: AtomicBool::new(false),
            core: SharedCoreState::default(),
        }
    }

    /// Whether what is shown may be told. It is not where this program cannot read what others have
    /// written since: see [`Directory::is_whole`](crate::Directory::is_whole) too.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !self.is_unreadable.load(Ordering::Acquire)
    }

    /// From now on it is not.
    pub(crate) fn cannot_read(&self) {
        self.is_unreadable.store(true, Ordering::Release);
    }

    /// The sale's name.
    #[must_use]
    pub fn id(&self) -> &SaleId {
        &self.id
    }

    /// The number of the sale's stream in the journal.
    #[must_use]
    pub fn stream(&self) -> u32 {
        self.stream
    }

    /// The newest publication.
    #[must_use]
    pub fn publication(&self) -> Guard<Arc<Publication>> {
        self.publication.load()
    }

    /// The newest publication, at least as new as what this buyer was last answered: people read
    /// their own writes. Waits only then, for 20 ms at most while the store can be written; while it
    /// hangs there is no bound, so the caller sets one.
    pub async fn read(&self, entry: EntryIndex) -> Guard<Arc<Publication>> {
        let needed = self.slot(entry).load(Ordering::Acquire);
        let publication = self.publication.load();
        if publication.as_of >= needed {
            return publication;
        }
        self.reaches(needed).await;
        self.publication.load()
    }

    /// Waits until the newest publication is that of this batch or a later one.
    pub(crate) async fn reaches(&self, needed: u64) {
        // The sender lives in `self`, so waiting ends only with the publication.
        let _ = self.as_of.subscribe().wait_for(|as_of| *as_of >= needed).await;
    }

    /// Whether a token that was signed for what was so after batch `as_of` is of something that this
    /// node does not know yet.
    #[must_use]
    pub fn is_behind(&self, entry: EntryIndex, as_of: u64) -> bool {
        self.publication.load().as_of < as_of && self.slot(entry).load(Ordering::Acquire) < as_of
    }

    /// Shows a newer publication, and wakes those whose read waits for it.
    pub fn publish(&self, publication: Publication) {
        let as_of = publication.as_of;
        self.publication.store(Arc::new(publication));
        self.as_of.send_replace(as_of);
    }

    /// How the sale's core stands.
    #[must_use]
    pub fn core_state(&self) -> CoreState {
        self.core.load()
    }

    /// Since when something durable is not shown yet, if it is not.
    #[must_use]
    pub fn behind_since(&self) -> Option<Timestamp> {
        self.core.behind_since()
    }

    /// Notes how the core stands.
    pub(crate) fn core_stands(&self, state: &CoreState, now: Timestamp) {
        self.core.store(state, self.publication().as_of, now);
    }

    /// Notes that a buyer was answered from the state after batch `as_of`.
    pub fn answered(&self, entry: EntryIndex, as_of: u64) {
        self.slot(entry).fetch_max(as_of, Ordering::Release);
    }

    /// Notes that the buyer of a place is there. Says whether the engine must be told at once, for
    /// it changes what the buyer may expect: one who is away, was away for nearly too long, or is admitted
    /// and not yet seen.
    #[must_use]
    pub fn saw(&self, publication: &Publication, view: &PlaceView, now: Timestamp) -> bool {
        let entry = view.place.entry;
        let now = seconds(&publication.sale, now);
        let first = publication.seen.mark(entry, now);
        // For one whose turn came also when the mark of this second is of before that: nothing else
        // might be heard of this buyer until it is over.
        let waits = matches!(view.status, Status::Waiting { .. });
        (first || !waits) && is_news(&publication.sale, view, now)
    }

    fn slot(&self, entry: EntryIndex) -> &AtomicU64 {
        &self.written[entry.at() % SLOTS]
    }
}

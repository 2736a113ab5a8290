//! All open streams, and the one clock by which they speak.
//!
//! Twenty times a second one of twenty slices has its turn: of each of its followers the place is
//! looked up in the newest publication, and only those are woken who have something to hear. So
//! everybody is told the position once a second, nobody older than that, and not all in the same
//! moment. Between the turns, five times a second, all are looked at for a turn that has come.
//!
//! A follower costs a few hundred bytes here: no timer, no channel, no publication of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use bytes::Bytes;
use domain::sale::PlaceView;
use domain::time::{Millis, Timestamp};
use engine::{Engine, Failure, Publication, SaleHandle};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::super::problem::Problem;
use super::follower::{Follower, Round};
use super::seat_changes::SeatChanges;
use super::text::Kind;

/// Slices of the followers, each with one turn a second.
pub(super) const SLICES: u64 = 20;
/// From one slice's turn to the next one's.
const BEAT: Duration = Duration::from_millis(1_000 / SLICES);
/// Beats between two glances at all followers.
const GLANCE_BEATS: u64 = 4;
/// Beats in which what is shown is too old to be shown, from which on nobody follows it here: a node
/// that was asleep needs a moment to look.
const OLD_BEATS_MAX: u32 = 20;
/// How long it is quiet at the most, until the next turn: with that, under 15 s.
const QUIET_MAX: Millis = 13_000;

/// All open streams of all sales.
#[derive(Debug)]
pub(crate) struct Streams {
    max: u32,
    quiet_max: Millis,
    open: AtomicU32,
    is_ending: AtomicBool,
    old_beats: AtomicU32,
    sales: Mutex<BTreeMap<u32, Arc<SaleStreams>>>,
    opened: Notify,
    /// Events by kind.
    said: [AtomicU64; Kind::ALL.len()],
}

/// Room for one stream, until it is dropped.
#[derive(Debug)]
pub(super) struct Room(Arc<Streams>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Streams {
    /// Room for so many streams, on connections that are closed when nothing moves for `idle`.
    pub(crate) fn new(max: u32, idle: Duration) -> Arc<Self> {
        let idle_ms = Millis::try_from(idle.as_millis()).unwrap_or(Millis::MAX);
        Arc::new(Self {
            max,
            quiet_max: QUIET_MAX.min(idle_ms / 3),
            open: AtomicU32::new(0),
            is_ending: AtomicBool::new(false),
            old_beats: AtomicU32::new(0),
            sales: Mutex::default(),
            opened: Notify::new(),
            said: Default::default(),
        })
    }

    /// Open streams, and how many may be.
    pub(crate) fn open(&self) -> (u32, u32) {
        (self.open.load(Ordering::Relaxed), self.max)
    }

    /// How often something of each kind was said.
    pub(crate) fn said(&self) -> impl Iterator<Item = (Kind, u64)> {
        let counts = self.said.iter().map(|count| count.load(Ordering::Relaxed));
        Kind::ALL.into_iter().zip(counts)
    }

    /// Counts what is said.
    pub(super) fn count(&self, kind: Kind) {
        self.said[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Speaks to all of them, for as long as there is an engine.
    pub(crate) async fn keep(self: Arc<Self>, engine: Weak<Engine>) {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for beat in 0.. {
            if self.open().0 == 0 && self.sales().is_empty() {
                self.opened.notified().await;
            }
            beats.tick().await;
            let Some(engine) = engine.upgrade() else { return };
            self.beat(&engine, engine.now(), beat);
        }
    }

    /// The turn of one slice of the followers of each sale.
    pub(in crate::http) fn beat(&self, engine: &Engine, now: Timestamp, beat: u64) {
        if engine.may_be_shown() {
            self.old_beats.store(0, Ordering::Relaxed);
        } else if self.old_beats.fetch_add(1, Ordering::Relaxed) == OLD_BEATS_MAX {
            self.bid_farewell();
        }
        let sales: Vec<Arc<SaleStreams>> = {
            let mut sales = self.sales();
            sales.retain(|_, sale| !sale.followers().is_empty());
            sales.values().cloned().collect()
        };
        for sale in sales {
            sale.beat(now, beat, self.quiet_max, |publication, view| {
                engine.saw(&sale.sale, publication, view);
            });
        }
    }

    /// Ends them all: each is told to connect again in a while, to the node that is there then.
    pub(crate) fn end(&self) {
        // First, so that whoever comes meanwhile hears it too.
        self.is_ending.store(true, Ordering::SeqCst);
        self.bid_farewell();
    }

    fn bid_farewell(&self) {
        for sale in self.sales().values() {
            sale.followers().slices.iter().flatten().for_each(|follower| follower.bid_farewell());
        }
    }

    /// Room for one more stream.
    ///
    /// # Errors
    /// `overloaded`, with the limit `streams`.
    pub(super) fn room(self: &Arc<Self>) -> Result<Room, Problem> {
        let more = |open: u32| (open < self.max).then_some(open + 1);
        let counted = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.map_err(|_| Problem::from(Failure::Overloaded).met("streams", self.max))?;
        self.opened.notify_one();
        Ok(Room(Arc::clone(self)))
    }

    /// Adds a follower to a sale. `new` is given the seats' change after which to begin.
    pub(super) fn follow(
        &self,
        sale: &Arc<SaleHandle>,
        publication: &Publication,
        new: impl FnOnce(u64) -> Follower,
    ) -> (Arc<SaleStreams>, Arc<Follower>) {
        // Held until the follower is in, for a sale without followers is forgotten.
        let mut sales = self.sales();
        let of_sale = sales
            .entry(sale.stream())
            .or_insert_with(|| Arc::new(SaleStreams::new(Arc::clone(sale), publication)));
        let follower = Arc::new(new(of_sale.seats().beginning()));
        if self.is_ending.load(Ordering::SeqCst) {
            follower.bid_farewell();
        }
        of_sale.followers().add(Arc::clone(&follower));
        (Arc::clone(of_sale), follower)
    }

    fn sales(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<SaleStreams>>> {
        self.sales.lock().expect("a beat does not panic")
    }
}

/// The open streams of one sale.
#[derive(Debug)]
pub(super) struct SaleStreams {
    /// The sale.
    pub(super) sale: Arc<SaleHandle>,
    followers: Mutex<Followers>,
    seats: Mutex<SeatChanges>,
}

#[derive(Debug)]
struct Followers {
    slices: Vec<Vec<Arc<Follower>>>,
    /// Where the next one is put.
    next: usize,
    /// The batch at which all were glanced at last.
    glanced_at: u64,
}

impl SaleStreams {
    fn new(sale: Arc<SaleHandle>, publication: &Publication) -> Self {
        let followers = Followers {
            slices: (0..SLICES).map(|_| Vec::new()).collect(),
            next: 0,
            glanced_at: publication.as_of,
        };
        let seats = SeatChanges::new(&publication.sale, publication.as_of);
        Self { sale, followers: Mutex::new(followers), seats: Mutex::new(seats) }
    }

    /// The events of the seats' changes after the one of this number, and the number of the newest.
    pub(super) fn seats_after(&self, told: u64, as_of: u64) -> (Option<Bytes>, u64) {
        let seats = self.seats();
        (seats.after(told, as_of), seats.newest())
    }

    /// The seats' change after which somebody begins whose turn has come.
    pub(super) fn seats_beginning(&self) -> u64 {
        self.seats().beginning()
    }

    fn beat(
        &self,
        now: Timestamp,
        beat: u64,
        quiet_max: Millis,
        saw: impl Fn(&Publication, &PlaceView),
    ) {
        let slice = usize::try_from(beat % SLICES).expect("there are few");
        if !self.sale.is_readable() {
            let slice = &mut self.followers().slices[slice];
            slice.retain(|follower| Arc::strong_count(follower) > 1);
            slice.iter().for_each(|follower| follower.bid_farewell());
            return;
        }
        let publication = Arc::clone(&self.sale.publication());
        let seats = {
            let mut seats = self.seats();
            if slice == 0 {
                seats.note(&publication.sale, publication.as_of);
            }
            seats.newest()
        };
        // Whoever hears us is there, so it must not be quiet for as long as that is believed.
        let window_ms = Millis::from(publication.sale.limits().presence_window) * 1_000;
        let quiet_max = quiet_max.min(window_ms / 3);
        let round = Round { publication: &publication, now, seats, quiet_max };

        let mut followers = self.followers();
        if beat.is_multiple_of(GLANCE_BEATS) && followers.is_news(publication.as_of) {
            followers.slices.iter().flatten().for_each(|follower| follower.glance(&round));
        }
        let slice = &mut followers.slices[slice];
        // The others are known to a stream, too; a stream that has ended is forgotten here.
        slice.retain(|follower| Arc::strong_count(follower) > 1);
        for follower in slice {
            if let Some(view) = follower.turn(&round) {
                saw(&publication, &view);
            }
        }
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().expect("a beat does not panic")
    }

    fn seats(&self) -> MutexGuard<'_, SeatChanges> {
        self.seats.lock().expect("comparing seats does not panic")
    }
}

impl Followers {
    fn add(&mut self, follower: Arc<Follower>) {
        let slices = self.slices.len();
        self.slices[self.next % slices].push(follower);
        self.next = (self.next + 1) % slices;
    }

    fn is_empty(&self) -> bool {
        self.slices.iter().all(Vec::is_empty)
    }

    /// Whether something happened since all were glanced at.
    fn is_news(&mut self, as_of: u64) -> bool {
        std::mem::replace(&mut self.glanced_at, as_of) != as_of
    }
}

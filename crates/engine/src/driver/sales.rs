//! The deciding thread: the cores of all sales, the catalogue, and what goes where.
//!
//! One idea: all that this thread owns, and every way into it and out of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, SyncSender};
use std::time::Duration;

use domain::catalogue::{Catalogue, CatalogueEvent, Listing};
use domain::command::{SILENCE_MIN, Schedule};
use domain::id::PerformanceId;
use domain::time::{Millis, Timestamp};
use domain::{Command, Refusal, Sale};
use store::codec::{FORMAT_MAX, write_catalogue};
use store::{Append, Appended, Batch, BatchId, Format, Head, Journal, Newer, StoreError, StreamId};
use tokio::sync::oneshot;

use super::Shared;
use super::crowd::{self, Crowd};
use super::follower::Looked;
use super::inbox::Input;
use super::replies::{Replies, ReplyTo};
use super::writer::{Job, Snapshot, Turn};
use crate::clock::uptime_ms;
use crate::core::{Core, Look, Output};
use crate::directory::Directory;
use crate::handle::SaleHandle;
use crate::meters::Asked;
use crate::recovery::{self, CATALOGUE, Recovered, ReplayError};
use crate::{Calls, Config, Failure, NewSale, Reply, Request, Warrant};

/// How long stopping waits for what was accepted: longer than a buyer waits for the provider.
const STOP_WAIT: Millis = 12_000;
/// Sales that wait to be added, at most.
const ADDING_MAX: usize = 100;
/// How long to wait before a catalogue batch is sent again after a failure.
const RETRY_AFTER: Millis = 200;
/// How often the store-wide heartbeat is written.
const HEARTBEAT_EVERY: Millis = 2_000;
/// Requests that wake the deciding thread while a commit is on its way.
const CROWD: usize = 256;
/// Looks that are not caught up with yet, at most.
const LOOKED_MAX: usize = 16;
/// The longest sleep, so that a clock that was slewed is looked at again.
const SLEEP_MAX: Millis = 1_000;

/// Everything the journal has.
pub(super) struct AllRecovered {
    catalogue: Catalogue,
    catalogue_head: Head,
    /// Each as far as it can be read, and what it stops at.
    sales: Vec<(Listing, Recovered, Option<ReplayError>)>,
    alive_at: Timestamp,
}

impl AllRecovered {
    /// When the store was last written, as far as it says.
    pub(super) fn alive_at(&self) -> Timestamp {
        self.alive_at
    }
}

fn tell(to: Option<AddedTo>, result: Result<Result<(), Refusal>, Failure>) {
    if let Some(to) = to {
        // Whoever has gone away is not told.
        let _gone = to.send(result);
    }
}

/// Reads everything the journal has. A sale that cannot be read to its end does not hinder the others, but
/// the catalogue does: nobody would know which sales there are.
pub(super) fn recover(journal: &dyn Journal) -> Result<AllRecovered, ReplayError> {
    let (catalogue, catalogue_head, mut alive_at) = recovery::recover_catalogue(journal)?;
    alive_at = alive_at.max(Timestamp(journal.last_heartbeat()?.unwrap_or(0)));
    let mut sales = Vec::new();
    for listing in catalogue.listings() {
        let (recovered, stop) = recovery::recover_readable(journal, StreamId(listing.stream))?;
        alive_at = alive_at.max(recovered.last_at);
        sales.push((listing.clone(), recovered, stop));
    }
    Ok(AllRecovered { catalogue, catalogue_head, sales, alive_at })
}

type AddedTo = oneshot::Sender<Result<Result<(), Refusal>, Failure>>;

/// Who waits for a reply.
#[derive(Debug)]
enum To {
    /// Whoever submitted a command.
    Caller(ReplyTo, Asked),
    /// Whoever added a sale: told once it can be read, not only decided.
    Adder(Option<AddedTo>),
}

#[derive(Debug)]
struct Running {
    core: Core<To>,
    handle: Arc<SaleHandle>,
    default: bool,
    last_at: Timestamp,
    wake_at: Timestamp,
    /// The least number of the look that the core has asked for.
    asked_look: Option<u64>,
    /// Adders who wait for the publication of this batch.
    adders: Vec<(u64, Option<AddedTo>)>,
}

/// A sale that is being added, or described anew.
#[derive(Debug)]
struct Adding {
    sale: Box<NewSale>,
    anew: bool,
    id: u64,
    warrant: Option<Box<Warrant>>,
    since: Timestamp,
    /// None once told that the outcome is unknown.
    to: Option<AddedTo>,
}

/// What leads to the threads that wait for the disk, which end after this one.
#[derive(Debug)]
pub(super) struct Writers {
    pub(super) writes: Sender<Job>,
    pub(super) turns: Sender<Turn>,
    pub(super) snapshots: SyncSender<Snapshot>,
}

/// Streams that others are kept from.
#[derive(Debug, PartialEq, Eq)]
enum Locks {
    None,
    /// They were asked for.
    Asked,
    /// They are held, until what is decided with them is handed out.
    Held(Vec<StreamId>),
    /// They end with an append.
    Ending,
}

/// All sales of the store.
pub(super) struct Sales {
    running: BTreeMap<u32, Running>,
    catalogue: Catalogue,
    catalogue_head: Head,
    catalogue_at: Timestamp,
    /// The first of these has its catalogue entry in flight.
    adding: VecDeque<Adding>,
    adding_in_flight: Option<CatalogueEvent>,
    catalogue_retry: Option<(Append, Timestamp)>,
    /// The highest number that somebody was seen to have written to the catalogue.
    catalogue_seen: u64,
    /// What others have written to it is being read.
    catalogue_behind: bool,
    /// And cannot be: no sale is added here any more.
    catalogue_unreadable: bool,
    /// What batches are written in.
    format: Format,
    /// Where streams stand of which the catalogue did not tell yet.
    unlisted: BTreeMap<u32, Head>,
    /// Looks that found what is not shown yet, in their order.
    looked: VecDeque<Looked>,
    /// What could not be read, to be read again.
    read_again: VecDeque<(Timestamp, Job)>,
    alive_at: Timestamp,
    beat_at: Timestamp,
    config: Arc<Config>,
    shared: Arc<Shared>,
    calls: Box<dyn Calls>,
    writers: Writers,
    appends: Vec<Append>,
    appends_in_flight: usize,
    /// Streams to be locked, behind these batches, once the locks before have ended.
    to_lock: Vec<(StreamId, Head)>,
    locks: Locks,
    /// Requests that came in since the last commit began.
    requests: usize,
    crowd: Crowd,
    replies: Replies,
    out: Vec<Output<To>>,
}

impl Sales {
    pub(super) fn new(
        recovered: AllRecovered,
        config: Arc<Config>,
        shared: Arc<Shared>,
        calls: Box<dyn Calls>,
        writers: Writers,
    ) -> Self {
        let AllRecovered { catalogue, catalogue_head, sales, alive_at } = recovered;
        let mut all = Self {
            running: BTreeMap::new(),
            catalogue,
            catalogue_head,
            catalogue_at: alive_at,
            adding: VecDeque::new(),
            adding_in_flight: None,
            catalogue_retry: None,
            catalogue_seen: 0,
            catalogue_behind: false,
            catalogue_unreadable: false,
            format: FORMAT_MAX.min(shared.format()),
            unlisted: BTreeMap::new(),
            looked: VecDeque::new(),
            read_again: VecDeque::new(),
            alive_at,
            beat_at: Timestamp(0),
            config,
            shared,
            calls,
            writers,
            appends: Vec::new(),
            appends_in_flight: 0,
            to_lock: Vec::new(),
            locks: Locks::None,
            requests: 0,
            crowd: Crowd::default(),
            replies: Replies::new(),
            out: Vec::new(),
        };
        for (listing, recovered, stop) in sales {
            all.run_sale(&listing, recovered);
            if let Some(error) = stop {
                let sale = all.running.get_mut(&listing.stream).expect("it was just run");
                sale.core.cannot_read(&mut all.out);
                all.cannot_read(listing.stream, &error);
            }
        }
        all.list();
        all
    }

    fn run_sale(&mut self, listing: &Listing, recovered: Recovered) {
        let stream = StreamId(listing.stream);
        let now = self.shared.clock.now();
        let last_at = recovered.last_at;
        let mut core = Core::new(stream, recovered, self.config.clone(), self.alive_at, now);
        core.may_write(self.format);
        let handle = SaleHandle::new(listing.sale.clone(), listing.stream, core.publication());
        let running = Running {
            core,
            handle: Arc::new(handle),
            default: listing.default,
            last_at,
            wake_at: Timestamp(0),
            asked_look: None,
            adders: Vec::new(),
        };
        self.running.insert(listing.stream, running);
        if let Some(head) = self.unlisted.remove(&listing.stream) {
            self.behind(listing.stream, head, now);
        }
    }

    /// Shows readers which sales there are.
    fn list(&self) {
        let sales = self.running.values().map(|sale| (sale.handle.clone(), sale.default));
        let directory = Directory::of(sales, self.catalogue_unreadable);
        self.shared.directory.store(Arc::new(directory));
    }

    /// A sale cannot be read here to its end, and its core has said so to all who wait.
    fn cannot_read(&mut self, stream: u32, error: &ReplayError) {
        let sale = self.running.get_mut(&stream).expect("a running sale");
        let name = sale.handle.id();
        tracing::error!(sale = %name, %error, "nothing is decided on what cannot be read");
        self.shared.halt(stream, format!("sale {name}: {error}"));
        sale.handle.cannot_read();
        for (_, to) in sale.adders.drain(..) {
            tell(to, Err(Failure::OutcomeUnknown));
        }
        self.put_out(stream);
        self.list();
    }

    /// Decides until told to stop.
    pub(super) fn run(mut self) {
        let mut inputs = Vec::new();
        let mut stop_at = None;
        loop {
            let now = self.shared.clock.now();
            let patience = self.wake_at(now, stop_at).since(now).min(SLEEP_MAX);
            let patience = Duration::from_millis(patience);
            if self.appends_in_flight > 0 || self.locks != Locks::None {
                // Nothing that comes in now could be answered before that is over, and on a busy
                // machine a wake-up for each request costs more than deciding it.
                self.shared.inbox.take(&mut inputs, CROWD, patience.min(crowd::WAIT_MAX));
            } else {
                self.shared.inbox.take(&mut inputs, 1, patience);
            }
            let mut now = self.inputs(&mut inputs, &mut stop_at);
            let more = self.crowd.more(self.requests);
            // While a lock is waited for, company comes by itself; with one, everybody else waits.
            if self.appends_in_flight == 0 && self.locks == Locks::None && more > 0 {
                self.shared.inbox.take(&mut inputs, more, crowd::WAIT_MAX);
                now = self.inputs(&mut inputs, &mut stop_at);
            }
            self.advance(now);
            let idle = self.adding.is_empty() && self.running.values().all(|s| s.core.is_idle());
            if stop_at.is_some_and(|stop_at| idle || now >= stop_at) {
                self.end();
                return;
            }
        }
    }

    /// Takes in what came, and says when it did.
    fn inputs(&mut self, inputs: &mut Vec<Input>, stop_at: &mut Option<Timestamp>) -> Timestamp {
        let now = self.shared.clock.now();
        for input in inputs.drain(..) {
            if let Input::Stop = input {
                stop_at.get_or_insert(now.plus(STOP_WAIT));
            } else {
                self.input(input, now);
            }
        }
        self.replies.tell();
        now
    }

    fn wake_at(&self, now: Timestamp, stop_at: Option<Timestamp>) -> Timestamp {
        let sales = self.running.values().map(|sale| sale.wake_at);
        let retry = self.catalogue_retry.as_ref().map(|(_, at)| *at);
        let again = self.read_again.front().map(|(at, _)| *at);
        let others = [Some(self.beat_at), stop_at, retry, again];
        sales.chain(others.into_iter().flatten()).min().unwrap_or(now.plus(SLEEP_MAX))
    }

    fn input(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Request { stream, request, to } => {
                self.requests += 1;
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                let asked = Asked::of(&request.command);
                self.offer(stream, request, To::Caller(to, asked), now);
            }
            Input::AddSale { sale, anew, id, warrant, to } => {
                if self.catalogue_unreadable {
                    tell(Some(to), Err(Failure::Unavailable));
                } else if self.adding.len() >= ADDING_MAX {
                    tell(Some(to), Err(Failure::Overloaded));
                } else {
                    let (since, to) = (now, Some(to));
                    self.adding.push_back(Adding { sale, anew, id, warrant, since, to });
                    self.add_next(now);
                }
            }
            Input::Appended { appends, result, unlocked } => {
                if unlocked {
                    self.locks = Locks::None;
                }
                self.appends_in_flight -= appends.len();
                self.appended(appends, result, now);
            }
            Input::Format(format) => {
                tracing::info!(%format, known = %FORMAT_MAX, "the store's format was raised");
                self.shared.format.store(format.0, Ordering::Relaxed);
                self.format = FORMAT_MAX.min(format);
                self.running.values_mut().for_each(|sale| sale.core.may_write(self.format));
            }
            Input::Heartbeat { at } => {
                self.alive_at = at;
                self.running.values_mut().for_each(|sale| sale.core.heartbeat(at));
            }
            Input::CallFinished { stream, payment, result } => {
                self.requests += 1;
                if let Some(sale) = self.running.get_mut(&stream) {
                    sale.core.call_finished(payment, result, now);
                    sale.wake_at = now;
                }
            }
            Input::Looked(looked) => self.looked(looked, now),
            Input::Batches { stream, batches: Ok(batches), .. } if stream == CATALOGUE.0 => {
                self.catalogue_caught_up(&batches, now);
            }
            Input::Batches { stream, batches: Ok(batches), .. } => {
                self.caught_up(stream, &batches, now);
            }
            Input::Batches { stream, after, batches: Err(error) } => {
                tracing::warn!(stream, %error, "cannot catch up; trying again");
                let job = Job::CatchUp { stream, after };
                self.read_again.push_back((now.plus(RETRY_AFTER), job));
            }
            Input::Locked { streams, newer } => self.locked(streams, newer, now),
            Input::Stop => {}
        }
    }

    fn offer(&mut self, stream: u32, request: Request, to: To, now: Timestamp) {
        let Some(sale) = self.running.get_mut(&stream) else { return };
        sale.core.offer(request, to, now, &mut self.out);
        sale.wake_at = now;
        if !self.out.is_empty() {
            self.put_out(stream);
        }
    }

    fn appended(
        &mut self,
        appends: Vec<Append>,
        result: Result<Vec<Appended>, StoreError>,
        now: Timestamp,
    ) {
        let answers = match result {
            Ok(answers) => answers.into_iter().map(Some).collect(),
            Err(_unknown) => vec![None; appends.len()],
        };
        for (append, answer) in appends.into_iter().zip(answers) {
            let stream = append.stream;
            if stream == CATALOGUE {
                self.catalogue_appended(append, answer, now);
                continue;
            }
            let Some(sale) = self.running.get_mut(&stream.0) else { continue };
            sale.wake_at = now;
            match answer {
                Some(Appended::Appended | Appended::AlreadyThere) => {
                    sale.last_at = Timestamp(append.batch.at_ms);
                    sale.core.appended(now, &mut self.out);
                }
                Some(Appended::Conflict { .. }) => sale.core.conflict(&mut self.out),
                None => sale.core.append_failed(append, now),
            }
            self.put_out(stream.0);
        }
    }

    /// A stream was seen to stand there.
    fn behind(&mut self, stream: u32, head: Head, now: Timestamp) {
        if stream == CATALOGUE.0 {
            self.catalogue_seen = self.catalogue_seen.max(head.number);
            self.follow_catalogue();
        } else if let Some(sale) = self.running.get_mut(&stream) {
            sale.core.behind(head);
            sale.wake_at = now;
        } else {
            self.unlisted.insert(stream, head);
        }
    }

    /// The journal was looked at.
    fn looked(&mut self, looked: Looked, now: Timestamp) {
        for (stream, head) in &looked.heads {
            if !self.running.contains_key(&stream.0) {
                self.behind(stream.0, *head, now);
            }
        }
        self.alive_at = self.alive_at.max(looked.heartbeat.unwrap_or_default());
        let streams: Vec<u32> = self.running.keys().copied().collect();
        for stream in streams {
            let sale = self.running.get_mut(&stream).expect("it was just found");
            let is_asked = sale.asked_look.take_if(|asked| *asked <= looked.look).is_some();
            let head = looked.head(stream);
            let Looked { began, heartbeat, .. } = looked;
            let look = Look { head, began, heartbeat, is_asked };
            sale.core.looked(&look, now, &mut self.out);
            if is_asked || heartbeat.is_some() || sale.handle.publication().as_of < head.number {
                sale.wake_at = now;
            }
            self.put_out(stream);
        }
        self.looked.push_back(looked);
        if self.looked.len() > LOOKED_MAX {
            // The first are the soonest caught up with, and the last are of use to more.
            self.looked.remove(LOOKED_MAX / 2);
        }
    }

    /// Says what was caught up with.
    fn caught_up_with_looks(&mut self) {
        let is_shown = |(stream, head): &(StreamId, Head)| match self.running.get(&stream.0) {
            // What cannot be read is not shown at all.
            Some(sale) => {
                !sale.handle.is_readable() || sale.handle.publication().as_of >= head.number
            }
            None => {
                *stream != CATALOGUE
                    || self.catalogue_unreadable
                    || self.catalogue_head.number >= head.number
            }
        };
        let newest = self.looked.iter().rposition(|looked| looked.heads.iter().all(is_shown));
        let looked = newest.and_then(|newest| self.looked.drain(..=newest).next_back());
        if let (Some(looked), Some(following)) = (looked, &self.shared.following) {
            following.looks.catch_up(looked.look, looked.began_ms);
        }
    }

    fn caught_up(&mut self, stream: u32, batches: &[Batch], now: Timestamp) {
        let Some(sale) = self.running.get_mut(&stream) else { return };
        if let Err(error) = sale.core.caught_up(batches, now, &mut self.out) {
            self.cannot_read(stream, &error);
            return;
        }
        self.has_read(stream, batches, now);
    }

    /// A core has read these.
    fn has_read(&mut self, stream: u32, batches: &[Batch], now: Timestamp) {
        let sale = self.running.get_mut(&stream).expect("a running sale");
        if let Some(last) = batches.last() {
            sale.last_at = Timestamp(last.at_ms);
        }
        sale.wake_at = now;
        self.put_out(stream);
    }

    /// Others are kept out of these streams, or cannot be.
    fn locked(
        &mut self,
        streams: Vec<StreamId>,
        newer: Result<Vec<Result<Newer, StoreError>>, StoreError>,
        now: Timestamp,
    ) {
        let Ok(newer) = newer else {
            self.locks = Locks::None;
            for stream in &streams {
                let Some(sale) = self.running.get_mut(&stream.0) else { continue };
                sale.core.lock_failed(now);
                sale.wake_at = now;
            }
            return;
        };
        for (stream, newer) in streams.iter().zip(newer) {
            let StreamId(stream) = *stream;
            let Some(sale) = self.running.get_mut(&stream) else { continue };
            match newer {
                Ok(Newer { batches, head, .. }) => {
                    match sale.core.locked(&batches, head, now, &mut self.out) {
                        Ok(()) => self.has_read(stream, &batches, now),
                        Err(error) => self.cannot_read(stream, &error),
                    }
                }
                // Whoever reads it alone says why it cannot be read.
                Err(_unread) => {
                    sale.core.locked_blindly(&mut self.out);
                    self.put_out(stream);
                }
            }
        }
        self.locks = Locks::Held(streams);
    }

    /// Lets every core that has something to do advance, and sends what they want appended as one
    /// commit, after another one of what was decided with locks.
    fn advance(&mut self, now: Timestamp) {
        let due: Vec<u32> = self
            .running
            .iter()
            .filter(|(_, sale)| sale.wake_at <= now || sale.core.owes_silence(now))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in due {
            let sale = self.running.get_mut(&stream).expect("it was just found");
            sale.core.advance(now, &mut self.out);
            self.put_out(stream);
            let sale = self.running.get_mut(&stream).expect("it was just found");
            sale.wake_at = sale.core.next_wake(now);
            sale.handle.core_stands(&sale.core.state(), now);
        }
        self.send_locked();
        self.replies.tell();
        self.caught_up_with_looks();
        self.lose_patience(now);
        if let Some((append, _)) = self.catalogue_retry.take_if(|(_, at)| *at <= now) {
            self.appends.push(append);
        }
        while let Some((_, job)) = self.read_again.pop_front_if(|(at, _)| *at <= now) {
            let _ended = self.writers.writes.send(job);
        }
        if !self.appends.is_empty() {
            self.note_requests();
            self.appends_in_flight += self.appends.len();
            // The writer ends only after this thread told it to.
            let _ended = self.writers.writes.send(Job::Append(std::mem::take(&mut self.appends)));
        } else if self.appends_in_flight == 0
            && self.locks == Locks::None
            && self.to_lock.is_empty()
        {
            // They were all answered without a commit.
            self.requests = 0;
        }
        if self.locks == Locks::None && !self.to_lock.is_empty() {
            let _ended = self.writers.turns.send(Turn::Lock(std::mem::take(&mut self.to_lock)));
            self.locks = Locks::Asked;
        }
        if self.beat_at <= now {
            let owes = self.running.values().any(|sale| sale.core.owes_silence(now))
                || self.may_lack_sales(now);
            self.beat_at = now.plus(if owes { RETRY_AFTER } else { HEARTBEAT_EVERY });
            if !owes {
                let _ended = self.writers.writes.send(Job::Beat { at: now });
            }
        }
    }

    /// Hands out what was decided with the locks, first of all, for others wait for their end.
    fn send_locked(&mut self) {
        if let Locks::Held(streams) = &self.locks {
            let is_locked = |append: &mut Append| streams.contains(&append.stream);
            let locked: Vec<Append> = self.appends.extract_if(.., is_locked).collect();
            if !locked.is_empty() {
                self.note_requests();
            }
            self.appends_in_flight += locked.len();
            let _ended = self.writers.turns.send(Turn::Append(locked));
            self.locks = Locks::Ending;
        }
    }

    /// A commit begins.
    fn note_requests(&mut self) {
        let requests = std::mem::take(&mut self.requests);
        self.shared.meters.commit_requests.observe(requests as u64);
        self.crowd.came(requests);
    }

    /// After a silence: whether another node may have put on a sale before it that is not known here. A
    /// heartbeat would hide the silence from that one.
    fn may_lack_sales(&self, now: Timestamp) -> bool {
        let following = self.shared.following.as_ref();
        now.since(self.alive_at) >= SILENCE_MIN
            && following.is_some_and(|following| !following.looks.is_recent(uptime_ms()))
    }

    /// Does what a core wants done.
    fn put_out(&mut self, stream: u32) {
        let mut out = std::mem::take(&mut self.out);
        for output in out.drain(..) {
            let sale = self.running.get_mut(&stream).expect("a running sale");
            match output {
                Output::Append(append) => self.appends.push(append),
                Output::Reply { to: To::Caller(to, asked), entry, result } => {
                    self.shared.meters.told(asked, &result);
                    if let (Some(entry), Ok(reply)) = (entry, &result) {
                        sale.handle.answered(entry, reply.as_of);
                    }
                    self.replies.add(to, result);
                }
                Output::Reply { to: To::Adder(to), result, .. } => {
                    self.shared.meters.told(Asked::SCHEDULE, &result);
                    match result {
                        Ok(Reply { as_of, answer: Ok(_) }) => {
                            if sale.handle.publication().as_of >= as_of {
                                tell(to, Ok(Ok(())));
                            } else {
                                sale.adders.push((as_of, to));
                            }
                        }
                        Ok(Reply { answer: Err(refusal), .. }) => {
                            tell(to, Ok(Err(refusal)));
                        }
                        Err(failure) => tell(to, Err(failure)),
                    }
                }
                Output::Publish(publication) => {
                    let as_of = publication.as_of;
                    let before = sale.handle.publication().sale.hall().map(Arc::as_ptr);
                    let new = before != publication.sale.hall().map(Arc::as_ptr);
                    sale.handle.publish(publication);
                    let adders = std::mem::take(&mut sale.adders);
                    let (told, waiting): (Vec<_>, Vec<_>) =
                        adders.into_iter().partition(|(at, _)| *at <= as_of);
                    sale.adders = waiting;
                    if new {
                        self.list();
                    }
                    for (_, to) in told {
                        tell(to, Ok(Ok(())));
                    }
                }
                Output::Call(call) => self.calls.begin(call),
                Output::Look { heartbeat } => {
                    let following = self.shared.following.as_ref();
                    sale.asked_look = following.map(|following| match heartbeat {
                        true => following.ask_for_heartbeat(),
                        false => following.ask(),
                    });
                }
                Output::CatchUp { after } => {
                    let _ended = self.writers.writes.send(Job::CatchUp { stream, after });
                }
                Output::Lock { after } => self.to_lock.push((StreamId(stream), after)),
                Output::Snapshot { sale: state, head } => {
                    let last_at = sale.last_at;
                    let snapshot =
                        Snapshot { stream: StreamId(stream), head, last_at, sale: state };
                    if self.writers.snapshots.try_send(snapshot).is_err() {
                        tracing::debug!(
                            stream,
                            "a snapshot is being written; the next one is due later"
                        );
                    }
                }
            }
        }
        self.out = out;
    }

    /// Begins to add the first sale that waits, unless one is on its way.
    fn add_next(&mut self, now: Timestamp) {
        while self.adding_in_flight.is_none() && !self.catalogue_behind {
            let Some(adding) = self.adding.front() else { return };
            let schedule = &adding.sale.schedule;
            let decided = if adding.anew {
                self.decide_change(schedule, now)
            } else {
                self.decide_add(schedule, adding.sale.default, now)
            };
            match decided {
                Err(refusal) => {
                    let adding = self.adding.pop_front().expect("a front");
                    tell(adding.to, Ok(Err(refusal)));
                }
                Ok(None) => self.schedule_first(now),
                Ok(Some(event)) => {
                    let at = now.max(self.catalogue_at);
                    let number = self.catalogue_head.number + 1;
                    let batch = Batch {
                        number,
                        id: BatchId(u128::from(self.config.node) << 64 | u128::from(number)),
                        previous: self.catalogue_head.id,
                        at_ms: at.0,
                        body: write_catalogue(&event, self.format),
                    };
                    self.appends.push(Append { stream: CATALOGUE, batch });
                    self.adding_in_flight = Some(event);
                }
            }
        }
    }

    /// Tells those who have waited too long for a sale to be added: whose entry may be on its way to
    /// the disk, that the outcome is unknown; whose is behind that one, that nothing was written.
    fn lose_patience(&mut self, now: Timestamp) {
        let late = |adding: &Adding| now.since(adding.since) >= self.config.append_wait_max;
        let on_its_way = usize::from(self.adding_in_flight.is_some());
        while self.adding.len() > on_its_way && late(&self.adding[on_its_way]) {
            let adding = self.adding.remove(on_its_way).expect("one that waits");
            tell(adding.to, Err(Failure::Unavailable));
        }
        if let Some(first) = self.adding.front_mut().filter(|adding| late(adding)) {
            tell(first.to.take(), Err(Failure::OutcomeUnknown));
        }
    }

    fn decide_add(
        &self,
        schedule: &Schedule,
        default: bool,
        now: Timestamp,
    ) -> Result<Option<CatalogueEvent>, Refusal> {
        let performances: Vec<PerformanceId> =
            schedule.plan.performances.iter().map(|p| p.id.clone()).collect();
        let event = self.catalogue.decide_add(&schedule.sale, &performances, default)?;
        if event.is_some() {
            // What the sale itself would refuse must not enter the catalogue.
            Sale::default().decide(&Command::Schedule(Box::new(schedule.clone())), now)?;
        }
        Ok(event)
    }

    fn decide_change(
        &self,
        schedule: &Schedule,
        now: Timestamp,
    ) -> Result<Option<CatalogueEvent>, Refusal> {
        let performances: Vec<PerformanceId> =
            schedule.plan.performances.iter().map(|p| p.id.clone()).collect();
        let event = self.catalogue.decide_extend(&schedule.sale, &performances)?;
        if event.is_some() {
            // As it was last shown, which is not the last word: the sale itself decides again.
            let listing = self.catalogue.find(&schedule.sale).ok_or(Refusal::SaleNotFound)?;
            let sale = self.running.get(&listing.stream).ok_or(Refusal::SaleNotFound)?;
            let shown = sale.handle.publication();
            shown.sale.decide(&Command::Change(Box::new(schedule.clone())), now)?;
        }
        Ok(event)
    }

    /// The first sale that waits is in the catalogue with all its performances: schedules it, or
    /// describes it anew.
    fn schedule_first(&mut self, now: Timestamp) {
        let Adding { sale, anew, id, warrant, to, .. } =
            self.adding.pop_front().expect("a sale that is being added");
        let listing = self.catalogue.find(&sale.schedule.sale).expect("it was just listed");
        let stream = listing.stream;
        let schedule = Box::new(sale.schedule);
        let command = if anew { Command::Change(schedule) } else { Command::Schedule(schedule) };
        let request = Request::operator(command, id, warrant);
        self.offer(stream, request, To::Adder(to), now);
    }

    fn catalogue_appended(&mut self, append: Append, answer: Option<Appended>, now: Timestamp) {
        match answer {
            Some(Appended::Appended | Appended::AlreadyThere) => {
                let event = self.adding_in_flight.take().expect("a catalogue event in flight");
                self.catalogue_head = append.batch.head();
                self.catalogue_at = Timestamp(append.batch.at_ms);
                self.catalogue.evolve(&event);
                self.run_added(event);
                self.schedule_first(now);
                self.follow_catalogue();
                self.add_next(now);
            }
            Some(Appended::Conflict { head }) => {
                // Decided again, once it is known what others have written.
                self.adding_in_flight = None;
                self.behind(CATALOGUE.0, head, now);
            }
            None => {
                // Never guessed: the same batch is sent again until the answer is definite.
                for adding in &mut self.adding {
                    tell(adding.to.take(), Err(Failure::OutcomeUnknown));
                }
                self.catalogue_retry = Some((append, now.plus(RETRY_AFTER)));
            }
        }
    }

    /// Reads what others have written to the catalogue, unless an entry of ours is on its way, whose
    /// answer would tell.
    fn follow_catalogue(&mut self) {
        let is_behind = self.catalogue_head.number < self.catalogue_seen;
        if is_behind && self.adding_in_flight.is_none() && !self.catalogue_behind {
            self.catalogue_behind = true;
            let (stream, after) = (CATALOGUE.0, self.catalogue_head);
            let _ended = self.writers.writes.send(Job::CatchUp { stream, after });
        }
    }

    /// Runs the sales that others have added, and then adds those that wait.
    fn catalogue_caught_up(&mut self, batches: &[Batch], now: Timestamp) {
        for batch in batches {
            let events = match recovery::catalogue_events(batch) {
                Ok(events) => events,
                Err(error) => return self.cannot_read_catalogue(&error),
            };
            (self.catalogue_head, self.catalogue_at) = (batch.head(), Timestamp(batch.at_ms));
            for event in events {
                self.catalogue.evolve(&event);
                self.run_added(event);
            }
        }
        self.catalogue_behind = false;
        self.follow_catalogue();
        self.add_next(now);
    }

    /// Others have written to the catalogue what cannot be read here. What is known goes on; what is not may
    /// be there all the same.
    fn cannot_read_catalogue(&mut self, error: &ReplayError) {
        tracing::error!(%error, "which sales there are is no longer known");
        self.shared.halt(CATALOGUE.0, format!("which sales there are: {error}"));
        // It stays behind, so nothing more is added.
        self.catalogue_unreadable = true;
        for adding in self.adding.drain(..) {
            tell(adding.to, Err(Failure::Unavailable));
        }
        self.list();
    }

    /// Runs the sale that an entry of the catalogue has added, if it has.
    fn run_added(&mut self, event: CatalogueEvent) {
        if let CatalogueEvent::SaleAdded(listing) = event {
            let recovered = Recovered { last_at: self.catalogue_at, ..Recovered::default() };
            self.run_sale(&listing, recovered);
        }
    }

    /// The last words: a snapshot of every sale, and the journal synced.
    fn end(self) {
        self.shared.inbox.close();
        for (stream, sale) in &self.running {
            let (state, head) = sale.core.snapshot();
            if head != Head::EMPTY {
                let snapshot = Snapshot {
                    stream: StreamId(*stream),
                    head,
                    last_at: sale.last_at,
                    sale: state,
                };
                let _ended = self.writers.snapshots.send(snapshot);
            }
        }
        let _ended = self.writers.writes.send(Job::Stop);
    }
}

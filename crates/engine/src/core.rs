//! The core: one sale's state machine between its requests and its journal.
//!
//! Inputs are requests ([`Core::offer`]), the store's answers ([`Core::appended`],
//! [`Core::append_failed`], [`Core::conflict`] with [`Core::caught_up`], [`Core::locked`],
//! [`Core::lock_failed`], [`Core::looked`]), the provider's answers ([`Core::call_finished`]), signs of
//! life of the store ([`Core::heartbeat`]) and time ([`Core::advance`]). Outputs are [`Output`]s. Nothing here does I/O, reads a clock or makes
//! randomness; `R` is whatever names a caller.
//!
//! Commands are decided one after another on the working copy and collect in the *open* batch.
//! When no batch is in flight, the open one is sealed and handed out to be appended, and the next
//! one fills meanwhile. What was decided is answered when its batch is durable: never before, and
//! a refusal not before the batch it was decided after. On a conflict the working copy is dropped,
//! rebuilt from the last publication and the newer batches, and the same commands are decided
//! again; and from then on, as long as others are about, nothing is decided but with a lock on the
//! journal ([`Output::Lock`], [`Core::locked`]), so that it need not be decided again. Where other nodes
//! write too, what wrote nothing waits for a look at the journal ([`Output::Look`], [`Core::looked`]),
//! and so does a silence before it is journalled. One idea: what may leave when; hence one file.

mod calls;
mod presence;
mod unsure;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use domain::command::SILENCE_MIN;
use domain::event::Event;
use domain::id::{EntryIndex, PaymentIndex, Place};
use domain::sale::{Outcome, Phase, ReservationView, Sale};
use domain::time::{Millis, Timestamp};
use domain::{Command, Refusal};
use store::codec::{self, Actor, Cause, CommandKind, write_record};
use store::{Append, Batch, BatchId, Format, Head, StreamId};

use crate::handle::Publication;
use crate::meters::{CoreState, PaymentCounts};
use crate::recovery::{Recovered, ReplayError};
use crate::seen::SeenTable;
use crate::{
    Answer, CallResult, Config, Failure, Instrument, PendingCall, Priority, Reply, Request,
};
use calls::{Due, OpenCalls};
pub(crate) use presence::is_news;
use presence::{Pace, Presence};
use unsure::{Unsure, UnsureAnswer};

/// How long a buyer's request waits for the provider before it hears that the payment is pending.
pub const PAYMENT_WAIT: Millis = 10_000;

/// Commands in one batch, at most; the rest wait for the next.
const BATCH_COMMANDS_MAX: usize = 4_096;
/// Bytes in one batch, about, at most.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// How long to wait before the same batch is sent again after a failure.
const RETRY_AFTER: Millis = 200;
/// How old what is being appended may be before nothing more is decided behind it: it hangs, and the
/// time may turn out to have stood still since.
const APPEND_MAX: Millis = 1_000;
/// Commands in one batch from which on there is load, and publications are made to wait.
const CALM: usize = 16;
/// Buyers turned away whose presence is remembered until the next commands are decided, at most.
const TURNED_AWAY_MAX: usize = 4_096;
/// Answers that wait for a look at the journal, beyond which nothing more is decided.
const UNSURE_MAX: usize = 4_096;
/// How long it is good for what a look found of the others' heartbeats.
const WITNESS_MAX: Millis = 2_000;
/// How long whoever wrote last has to write what is due by time alone, before others do.
const OTHERS_SETTLE_AFTER: Millis = 200;
/// So many locks in a row that find nothing new, others are no longer thought to be about.
const OTHERS_FOR: u32 = 16;
/// How often waiting requests are looked through for those that have waited too long.
const PATIENCE_EVERY: Millis = 250;

/// What the core wants done.
#[derive(Debug)]
pub enum Output<R> {
    /// Append this, and say what came of it.
    Append(Append),
    /// Tell a caller.
    Reply {
        /// Whom.
        to: R,
        /// The buyer whose own writes this shows, if it is one's.
        entry: Option<EntryIndex>,
        /// What.
        result: Result<Reply, Failure>,
    },
    /// Let everybody read this.
    Publish(Publication),
    /// Ask the provider.
    Call(PendingCall),
    /// Read the batches after this one and hand them to [`Core::caught_up`].
    CatchUp {
        /// The last batch that is known here.
        after: Head,
    },
    /// Keep others from appending, read the batches after this one, and hand them to [`Core::locked`]. The
    /// lock is let go after the next [`Core::advance`], with what that wants appended.
    Lock {
        /// The last batch that is known here.
        after: Head,
    },
    /// Look where the journal stands, from now on, and say so to [`Core::looked`]; however often that
    /// fails. Only where other nodes write too.
    Look {
        /// Whether it matters when the last heartbeat was written.
        heartbeat: bool,
    },
    /// Keep this as a snapshot.
    Snapshot {
        /// The state.
        sale: Sale,
        /// The batch after which it is the state.
        head: Head,
    },
}

/// What a look at the journal found.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Where the stream stood at some time after it began.
    pub head: Head,
    /// When it began.
    pub began: Timestamp,
    /// The latest heartbeat of any node, if that was looked for.
    pub heartbeat: Option<Timestamp>,
    /// Whether it began after the last [`Output::Look`].
    pub is_asked: bool,
}

/// How it stands with the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    None,
    /// It was asked for, then.
    Asked(Timestamp),
    /// It was asked for then, and is held until the end of the next advance.
    Held(Timestamp),
}

/// A request with its caller.
#[derive(Debug)]
struct Waiting<R> {
    request: Request,
    to: Option<R>,
    since: Timestamp,
    /// From which batch on an answer is known to be new enough, if a look was waited for already.
    sure_from: Option<u64>,
}

/// A request that was decided, and what to tell once its batch is durable.
#[derive(Debug)]
struct Decided<R> {
    waiting: Waiting<R>,
    entry: Option<EntryIndex>,
    tell: Tell,
    /// Whether nothing newer than what it was decided after was there when the request came, once
    /// that is durable.
    is_sure: bool,
}

#[derive(Debug)]
enum Tell {
    /// The caller, at once.
    Reply(Reply),
    /// The provider first: a payment was begun.
    Charge(PaymentIndex),
    /// Those who wait for this payment.
    Settled(PaymentIndex, Reply),
}

/// A batch that is being filled.
#[derive(Debug)]
struct Open<R> {
    body: Vec<u8>,
    events: u64,
    at: Timestamp,
    decided: Vec<Decided<R>>,
    /// What the provider must be asked about payments once this is durable, or no longer.
    open_payments: Vec<(PaymentIndex, Option<Due>)>,
    /// The silence that this batch takes out of the clock.
    silent_since: Option<Timestamp>,
    /// Whether this batch says who was seen.
    saw: bool,
    payments: PaymentCounts,
}

impl<R> Default for Open<R> {
    fn default() -> Self {
        Self::like(0, 0)
    }
}

impl<R> Open<R> {
    /// An empty one with room for a batch of so many bytes and commands.
    fn like(bytes: usize, commands: usize) -> Self {
        Self {
            body: Vec::with_capacity(bytes),
            events: 0,
            at: Timestamp::default(),
            decided: Vec::with_capacity(commands),
            open_payments: Vec::new(),
            silent_since: None,
            saw: false,
            payments: PaymentCounts::default(),
        }
    }
}

/// A batch on its way to the disk.
#[derive(Debug)]
struct InFlight<R> {
    head: Head,
    at: Timestamp,
    events: u64,
    decided: Vec<Decided<R>>,
    open_payments: Vec<(PaymentIndex, Option<Due>)>,
    silent_since: Option<Timestamp>,
    saw: bool,
    payments: PaymentCounts,
    publication: Option<Sale>,
    /// The batch itself, while it waits to be sent again.
    retry: Option<(Append, Timestamp)>,
}

/// Somebody who waits for the provider's answer to a payment.
#[derive(Debug)]
struct PayingCaller<R> {
    to: Option<R>,
    entry: Option<EntryIndex>,
    since: Timestamp,
    /// What to tell when the answer takes too long: what is durable of the payment, and no more.
    pending: Reply,
}

/// One sale's state machine.
#[derive(Debug)]
pub struct Core<R> {
    stream: StreamId,
    config: Arc<Config>,
    sale: Sale,
    /// The last batch known to be durable.
    tip: Head,
    /// The highest number that somebody was seen to have written.
    seen_head: u64,
    /// The time of the newest batch, decided or durable; time never goes back behind it.
    last_at: Timestamp,
    /// The last publication, from which the working copy can be rebuilt.
    base: Sale,
    base_head: Head,
    published_at: Timestamp,
    batches_made: u64,
    queues: [VecDeque<Waiting<R>>; 5],
    open: Open<R>,
    in_flight: Option<InFlight<R>>,
    catching_up: bool,
    /// For how many more locks others are thought to be about: while they are, nothing is decided without.
    others_for: u32,
    lock: Lock,
    /// When it may be asked for again, after a failure.
    lock_at: Timestamp,
    /// The store failed to append and has not succeeded since.
    store_failing: bool,
    /// When the store was last known to be written, by anybody.
    alive_at: Timestamp,
    /// Nothing was written from then until something was: to be journalled before anything else.
    silent_since: Option<Timestamp>,
    unsure: Unsure<R>,
    /// What batches that are begun are written in.
    format: Format,
    /// A batch cannot be read here, so nothing more is decided.
    is_unreadable: bool,
    /// The look from which on somebody else should take out a silence, for this node cannot.
    owed_since: Option<Timestamp>,
    /// When the last look began, and the last that asked for the others' heartbeats.
    looked_at: Timestamp,
    witnessed_at: Timestamp,
    paying: BTreeMap<PaymentIndex, PayingCaller<R>>,
    /// Payments that are decided and not durable yet.
    begun: usize,
    calls: OpenCalls,
    payments: PaymentCounts,
    /// What the provider said while the working copy was being rebuilt.
    unheard: Vec<(PaymentIndex, CallResult)>,
    presence: Presence,
    /// Buyers whose commands were shed: they are there all the same.
    turned_away: Vec<Place>,
    seen: SeenTable,
    pace: Pace,
    events_since_snapshot: u64,
    patience_at: Timestamp,
    events: Vec<Event>,
}

impl<R> Core<R> {
    /// The core of a sale as it was recovered. `alive_at` is when the store was last known to be
    /// written before this start; when that is long ago, the clocks stood still since.
    #[must_use]
    pub fn new(
        stream: StreamId,
        recovered: Recovered,
        config: Arc<Config>,
        alive_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        let Recovered { sale, head, last_at, events_since_snapshot } = recovered;
        let mut seen = SeenTable::default();
        seen.grow(sale.line().joined());
        let calls = OpenCalls::of(&sale, now);
        Self {
            stream,
            config,
            base: sale.clone(),
            base_head: head,
            sale,
            tip: head,
            seen_head: 0,
            last_at,
            published_at: now,
            batches_made: 0,
            queues: Default::default(),
            open: Open::default(),
            in_flight: None,
            catching_up: false,
            others_for: 0,
            lock: Lock::None,
            lock_at: Timestamp::default(),
            store_failing: false,
            alive_at: alive_at.max(last_at),
            silent_since: None,
            unsure: Unsure::default(),
            format: Format::FIRST,
            is_unreadable: false,
            owed_since: None,
            looked_at: Timestamp::default(),
            witnessed_at: Timestamp::default(),
            paying: BTreeMap::new(),
            begun: 0,
            calls,
            payments: PaymentCounts::default(),
            unheard: Vec::new(),
            presence: Presence::default(),
            turned_away: Vec::new(),
            seen,
            pace: Pace::default(),
            events_since_snapshot,
            patience_at: now,
            events: Vec::new(),
        }
    }

    /// The newest durable state, as it was last published.
    #[must_use]
    pub fn publication(&self) -> Publication {
        self.publish(self.base.clone(), self.base_head.number)
    }

    /// How it stands, for those who watch it.
    #[must_use]
    pub fn state(&self) -> CoreState {
        CoreState {
            durable: self.tip.number,
            queues: std::array::from_fn(|priority| self.queues[priority].len()),
            payments: self.payments,
            oldest_unknown: self.calls.oldest_unknown(),
        }
    }

    /// Whether everything that was accepted is answered and durable.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none()
            && self.open.events == 0
            && self.paying.is_empty()
            && self.unheard.is_empty()
            && self.unsure.is_empty()
            && self.queues.iter().all(VecDeque::is_empty)
    }

    /// Batches that are begun from now on may be written in every format up to this one, which is not
    /// later than [`codec::FORMAT_MAX`]; until this is said, in the first. One that is open keeps its own.
    pub fn may_write(&mut self, format: Format) {
        self.format = format;
    }

    /// Takes a request in, or sheds it.
    pub fn offer(&mut self, request: Request, to: R, now: Timestamp, out: &mut Vec<Output<R>>) {
        let priority = Priority::of(&request.command);
        let queue = &self.queues[priority as usize];
        let full = queue.len() >= self.config.queue_max[priority as usize]
            || (priority == Priority::Payment
                && self.paying.len() + self.begun + queue.len() >= self.config.payments_in_flight);
        // While the store cannot be written, what waits already may still succeed; more would only
        // wait in vain.
        let failure = if self.store_failing || self.is_unreadable {
            Some(Failure::Unavailable)
        } else if full {
            Some(Failure::Overloaded)
        } else {
            None
        };
        if let Some(failure) = failure {
            if failure == Failure::Overloaded
                && self.turned_away.len() < TURNED_AWAY_MAX
                && let Some(place) = place_of(&request.command)
            {
                self.turned_away.push(place);
            }
            out.push(Output::Reply { to, entry: None, result: Err(failure) });
            return;
        }
        let waiting = Waiting { request, to: Some(to), since: now, sure_from: None };
        self.queues[priority as usize].push_back(waiting);
    }

    /// The provider's answer to a call.
    pub fn call_finished(&mut self, payment: PaymentIndex, result: CallResult, now: Timestamp) {
        if self.is_unreadable {
            // Whoever can read the sale asks the provider too.
            return;
        }
        if self.catching_up {
            // The working copy is older than what is durable, and may not know the payment.
            self.unheard.push((payment, result));
            return;
        }
        let Some(id) = self.sale.payment(payment).map(|payment| payment.id) else { return };
        if let Some(command) = self.calls.finished(payment, id, result, now) {
            self.enqueue(command, now);
        }
    }

    /// The store was written at `at`, by this node.
    pub fn heartbeat(&mut self, at: Timestamp) {
        if !self.is_unreadable && at.since(self.alive_at) >= SILENCE_MIN {
            self.silent_since.get_or_insert(self.alive_at);
        }
        self.alive_at = self.alive_at.max(at);
    }

    /// Whether a silence is still to be journalled. Until it is, nobody may write a heartbeat: a
    /// start after it would find the store alive, and never know how long it was not.
    ///
    /// Of a sale that cannot be read here, another node has to do it, and has the time for that.
    #[must_use]
    pub fn owes_silence(&self, now: Timestamp) -> bool {
        if self.is_unreadable {
            return self.is_shared() && self.is_silent(now);
        }
        let in_flight = self.in_flight.as_ref().and_then(|batch| batch.silent_since);
        let is_open = self.open.silent_since.or(in_flight).is_some();
        is_open || self.store_failing || self.is_silent(now) || self.may_be_scheduled(now)
    }

    /// After a silence: whether another node may have scheduled the sale before it, and has not been heard
    /// of here.
    fn may_be_scheduled(&self, now: Timestamp) -> bool {
        let is_behind = self.catching_up || self.tip.number < self.seen_head;
        !self.is_scheduled()
            && self.is_shared()
            && now.since(self.alive_at) >= SILENCE_MIN
            && (is_behind || now.since(self.looked_at) >= WITNESS_MAX)
    }

    /// Whether a silence must be journalled before anything else is decided.
    fn is_silent(&self, now: Timestamp) -> bool {
        self.is_scheduled()
            && (self.silent_since.is_some() || now.since(self.alive_at) >= SILENCE_MIN)
    }

    /// Whether it is not known if a silence was one, for others may have been at work all the while.
    fn is_in_doubt(&self, now: Timestamp) -> bool {
        self.is_shared() && self.is_silent(now) && now.since(self.witnessed_at) >= WITNESS_MAX
    }

    /// Whether other nodes write too.
    fn is_shared(&self) -> bool {
        self.config.follow_every.is_some()
    }

    /// The batch in flight is durable.
    ///
    /// # Panics
    /// When no batch is in flight.
    pub fn appended(&mut self, now: Timestamp, out: &mut Vec<Output<R>>) {
        let done = self.in_flight.take().expect("an append in flight");
        self.tip = done.head;
        self.store_failing = false;
        self.stands_written(done.at);
        let sure = self.unsure.followed_by(done.head.number);
        self.tell_sure(sure, now, out);
        for decided in done.decided {
            self.tell(decided, now, out);
        }
        for (payment, due) in done.open_payments {
            match due {
                Some(due) => self.calls.opened(payment, due, now),
                None => self.calls.closed(payment),
            }
        }
        self.payments.add(&done.payments);
        self.events_since_snapshot += done.events;
        if let Some(sale) = done.publication {
            self.published(sale, now, out);
        }
    }

    /// A batch of this time is in the journal: whoever made it took out any silence before it, also one
    /// that a batch of ours takes out that may still conflict.
    fn stands_written(&mut self, at: Timestamp) {
        self.alive_at = self.alive_at.max(at);
        self.silent_since = self.silent_since.map(|since| since.max(at));
        let of_batches = self.in_flight.as_mut().map(|batch| &mut batch.silent_since);
        for since in of_batches.into_iter().chain([&mut self.open.silent_since]).flatten() {
            *since = at.max(*since);
        }
    }

    /// The store could not append the batch in flight, as far as is known. The same batch is sent
    /// again until the answer is definite.
    ///
    /// # Panics
    /// When no batch is in flight.
    pub fn append_failed(&mut self, append: Append, now: Timestamp) {
        self.store_failing = true;
        let in_flight = self.in_flight.as_mut().expect("an append in flight");
        in_flight.retry = Some((append, now.plus(RETRY_AFTER)));
    }

    /// Somebody else's batch came in between: everything that is not durable is decided again.
    pub fn conflict(&mut self, out: &mut Vec<Output<R>>) {
        let in_flight = self.in_flight.take();
        let open = std::mem::take(&mut self.open);
        self.begun = 0;
        let in_flight_silence = in_flight.as_ref().and_then(|batch| batch.silent_since);
        let silences = [in_flight_silence, open.silent_since, self.silent_since];
        self.silent_since = silences.into_iter().flatten().min();
        if open.saw || in_flight.as_ref().is_some_and(|batch| batch.saw) {
            self.presence.look_again();
        }
        let again = in_flight.map(|batch| batch.decided).unwrap_or_default();
        for decided in again.into_iter().chain(open.decided).rev() {
            let waiting = decided.waiting;
            // Whoever was told that the outcome is unknown does not wait for it; what the provider
            // said, and who was seen, must not be lost however often others come first.
            if waiting.to.is_some() || waiting.request.actor == Actor::System {
                self.put_back(waiting);
            }
        }
        self.sale = self.base.clone();
        self.others_for = OTHERS_FOR;
        self.catch_up(self.base_head, out);
    }

    /// Goes on from this batch, after which the working copy is the state, once what followed is read.
    fn catch_up(&mut self, after: Head, out: &mut Vec<Output<R>>) {
        self.tip = after;
        self.catching_up = true;
        out.push(Output::CatchUp { after });
    }

    /// Somebody wrote up to there. It is caught up with by the next [`Core::advance`] that has no
    /// append on its way, whose answer would tell.
    pub fn behind(&mut self, head: Head) {
        self.seen_head = self.seen_head.max(head.number);
    }

    /// The journal was looked at. What it has of others is caught up with as after
    /// [`Core::behind`].
    pub fn looked(&mut self, look: &Look, now: Timestamp, out: &mut Vec<Output<R>>) {
        self.behind(look.head);
        self.looked_at = self.looked_at.max(look.began);
        if let Some(at) = look.heartbeat {
            // Nobody writes one who still owes a silence.
            self.stands_written(at);
            self.witnessed_at = self.witnessed_at.max(look.began);
        }
        if !self.is_unreadable || !self.is_silent(look.began) {
            self.owed_since = None;
        } else if look.began.since(*self.owed_since.get_or_insert(look.began)) >= SILENCE_MIN {
            self.stands_written(look.began);
            self.owed_since = None;
        }
        if !look.is_asked {
            return;
        }
        let number = look.head.number;
        let (sure, stale): (Vec<_>, Vec<_>) =
            self.unsure.looked().into_iter().partition(|answer| number <= answer.reply.as_of);
        self.tell_sure(sure, now, out);
        for UnsureAnswer { mut waiting, .. } in stale.into_iter().rev() {
            waiting.sure_from = Some(number);
            self.put_back(waiting);
        }
    }

    /// Has what was decided once decided again, before all that came later: of several that came at the same
    /// time the last is to be put back first.
    fn put_back(&mut self, waiting: Waiting<R>) {
        let queue = &mut self.queues[Priority::of(&waiting.request.command) as usize];
        let place = queue.partition_point(|other| other.since < waiting.since);
        queue.insert(place, waiting);
    }

    fn tell_sure(&mut self, sure: Vec<UnsureAnswer<R>>, now: Timestamp, out: &mut Vec<Output<R>>) {
        for UnsureAnswer { waiting, entry, reply } in sure {
            let tell = Tell::Reply(reply);
            self.tell(Decided { waiting, entry, tell, is_sure: true }, now, out);
        }
    }

    /// Asks for a look, where somebody waits for one.
    fn ask_for_look(&mut self, now: Timestamp, out: &mut Vec<Output<R>>) {
        let heartbeat = self.is_in_doubt(now);
        if self.unsure.asks(heartbeat) {
            out.push(Output::Look { heartbeat });
        }
    }

    /// The batches that [`Output::CatchUp`] asked for, up to the journal's head.
    ///
    /// # Errors
    /// Why a batch cannot be read; nothing more is decided then, as after [`Core::cannot_read`].
    pub fn caught_up(
        &mut self,
        batches: &[Batch],
        now: Timestamp,
        out: &mut Vec<Output<R>>,
    ) -> Result<(), ReplayError> {
        self.follow(batches, out)?;
        self.catching_up = false;
        self.store_failing = false;
        // What was seen beyond, and is not there, a failover has lost.
        self.seen_head = self.tip.number;
        self.calls.go_on_from(&self.sale, now);
        for (payment, result) in std::mem::take(&mut self.unheard) {
            self.call_finished(payment, result, now);
        }
        self.published(self.sale.clone(), now, out);
        Ok(())
    }

    /// Makes the working copy the state after these, which follow it.
    fn follow(&mut self, batches: &[Batch], out: &mut Vec<Output<R>>) -> Result<(), ReplayError> {
        for batch in batches {
            if let Err(error) = crate::recovery::apply(&mut self.sale, self.stream, batch) {
                self.cannot_read(out);
                return Err(error);
            }
            self.tip = batch.head();
            let at = Timestamp(batch.at_ms);
            self.last_at = self.last_at.max(at);
            self.stands_written(at);
        }
        Ok(())
    }

    /// Others are kept out until after the next [`Core::advance`], which must be called at once. What they
    /// have written comes first, and if that is not all up to `head`, the rest is read without a lock.
    ///
    /// # Errors
    /// As of [`Core::caught_up`].
    pub fn locked(
        &mut self,
        batches: &[Batch],
        head: Head,
        now: Timestamp,
        out: &mut Vec<Output<R>>,
    ) -> Result<(), ReplayError> {
        let Lock::Asked(asked) = self.lock else { return Ok(()) };
        self.lock = Lock::None;
        self.store_failing = false;
        self.others_for = self.others_for.saturating_sub(1);
        if !batches.is_empty() {
            self.others_for = OTHERS_FOR;
            self.follow(batches, out)?;
            self.calls.go_on_from(&self.sale, now);
        }
        if self.tip == head {
            self.lock = Lock::Held(asked);
            self.seen_head = head.number;
        } else {
            self.behind(head);
        }
        Ok(())
    }

    /// Others are kept out, and what they have written could not be read: it is read without a lock.
    pub fn locked_blindly(&mut self, out: &mut Vec<Output<R>>) {
        if self.lock != Lock::None {
            self.lock = Lock::None;
            self.catch_up(self.tip, out);
        }
    }

    /// There is no lock to be had at present.
    pub fn lock_failed(&mut self, now: Timestamp) {
        if self.lock != Lock::None {
            self.lock = Lock::None;
            self.lock_at = now.plus(RETRY_AFTER);
            self.store_failing = true;
        }
    }

    /// There is a batch that cannot be read here: nothing is decided any more, for it would be decided by
    /// a state that is known to be old. Tells all who wait, and from now on whoever comes. To be called
    /// while nothing is open or in flight.
    pub fn cannot_read(&mut self, out: &mut Vec<Output<R>>) {
        self.is_unreadable = true;
        self.lock = Lock::None;
        // So that nothing goes on from the working copy.
        self.catching_up = true;
        self.sale = self.base.clone();
        self.silent_since = None;
        self.unheard.clear();
        self.turned_away.clear();
        let queued = self.queues.iter_mut().flat_map(std::mem::take);
        for waiting in queued.chain(self.unsure.late(|_| true)) {
            let Some(to) = waiting.to else { continue };
            out.push(Output::Reply { to, entry: None, result: Err(Failure::Unavailable) });
        }
        for caller in std::mem::take(&mut self.paying).into_values() {
            let Some(to) = caller.to else { continue };
            out.push(Output::Reply { to, entry: None, result: Err(Failure::OutcomeUnknown) });
        }
    }

    /// Lets time pass: decides what waits, seals, publishes, asks, loses patience.
    pub fn advance(&mut self, now: Timestamp, out: &mut Vec<Output<R>>) {
        if now >= self.patience_at {
            self.lose_patience(now, out);
            self.patience_at = now.plus(PATIENCE_EVERY);
        }
        self.ask_for_look(now, out);
        if self.catching_up {
            return;
        }
        // A lock that was asked for brings what is missing.
        let is_behind = self.tip.number < self.seen_head && self.lock == Lock::None;
        if is_behind && self.in_flight.is_none() {
            if self.open.events > 0 {
                self.conflict(out);
            } else {
                self.catch_up(self.tip, out);
            }
            return;
        }
        self.retry(now, out);
        if self.others_for == 0 || matches!(self.lock, Lock::Held(_)) {
            self.decide_all(now, out);
            self.lock = Lock::None;
        } else if self.locks_at(now) == Some(now) {
            self.lock = Lock::Asked(now);
            out.push(Output::Lock { after: self.tip });
        }
        if self.shows_at().is_some_and(|at| at <= now) {
            self.published(self.sale.clone(), now, out);
        }
        for call in self.calls.due(&self.sale, self.stream, now) {
            out.push(Output::Call(call));
        }
    }

    /// Decides what waits and what is due, and hands out what that wrote.
    fn decide_all(&mut self, now: Timestamp, out: &mut Vec<Output<R>>) {
        if self.has_room(now) {
            if let Some(entries) = self.presence.due(&self.sale, &self.seen, now) {
                self.saw(entries, now);
            }
            if self.is_silent(now) || self.settles_at().is_some_and(|at| at <= now) {
                self.settle_due(now);
            }
            let turned_away = std::mem::take(&mut self.turned_away);
            self.see_refused(&turned_away, now);
        }
        while self.has_room(now) && self.unsure.len() < UNSURE_MAX {
            let Some(waiting) = self.queues.iter_mut().find_map(VecDeque::pop_front) else { break };
            self.decide(waiting, now, out);
        }
        self.ask_for_look(now, out);
        self.seal(now, out);
    }

    /// Whether others are about, and it is time to wait for a turn among them.
    fn may_lock(&self) -> bool {
        self.others_for > 0 && self.lock == Lock::None && self.in_flight.is_none()
    }

    /// When a lock may be asked for, if there is something to decide with one.
    fn locks_at(&self, now: Timestamp) -> Option<Timestamp> {
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let waits = self.queues.iter().any(|queue| !queue.is_empty());
        let is_worth_it = self.store_failing
            || self.is_silent(now)
            || !self.turned_away.is_empty()
            || (waits && self.unsure.len() < UNSURE_MAX)
            || is_due(self.settles_at())
            || is_due(self.presence.next_at(&self.sale));
        (self.may_lock() && !self.is_in_doubt(now) && is_worth_it).then(|| self.lock_at.max(now))
    }

    /// When what is durable is shown, if it is not yet: at once, or a little later where another batch is
    /// about to come.
    fn shows_at(&self) -> Option<Timestamp> {
        let is_state = self.in_flight.is_none() && self.open.events == 0 && !self.catching_up;
        let is_new = self.base_head.number < self.tip.number;
        let pause = if self.lock == Lock::None { 0 } else { self.config.publish_every };
        (is_state && is_new).then(|| self.published_at.plus(pause))
    }

    /// When [`Core::advance`] must be called again at the latest.
    #[must_use]
    pub fn next_wake(&self, now: Timestamp) -> Timestamp {
        if self.catching_up {
            return now.plus(PATIENCE_EVERY);
        }
        let waits = self.in_flight.is_some()
            || !self.paying.is_empty()
            || !self.unsure.is_empty()
            || self.lock != Lock::None
            || self.is_in_doubt(now);
        let is_free = self.others_for == 0;
        // What is due already waits for the lock with all the rest.
        let later = |at: Timestamp| is_free || at > now;
        let room = (is_free || self.may_lock()) && self.has_room(now);
        [
            self.locks_at(now),
            self.shows_at(),
            self.settles_at().filter(|at| room && later(*at)),
            self.calls.next_at(),
            self.presence.next_at(&self.sale).filter(|at| room && later(*at)),
            self.in_flight.as_ref().and_then(|b| b.retry.as_ref()).map(|(_, at)| *at),
            waits.then_some(self.patience_at),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Timestamp(u64::MAX))
    }

    /// When what is due by time alone is to be written from here: of several nodes by the one that wrote last,
    /// and by the others if that one does not, so that they need not all try at once.
    fn settles_at(&self) -> Option<Timestamp> {
        let wrote_last = self.tip.id.0 >> u64::BITS == u128::from(self.config.node);
        let waits = self.is_shared() && !wrote_last;
        let deadline = self.sale.next_deadline()?;
        Some(if waits { deadline.plus(OTHERS_SETTLE_AFTER) } else { deadline })
    }

    /// A command of the system's own.
    fn enqueue(&mut self, command: Command, now: Timestamp) {
        let request = Request::system(command);
        let priority = Priority::of(&request.command);
        let waiting = Waiting { request, to: None, since: now, sure_from: None };
        self.queues[priority as usize].push_back(waiting);
    }

    /// Whether more may be decided. Nothing is while the store fails: time that passes then will
    /// turn out to have stood still.
    fn has_room(&self, now: Timestamp) -> bool {
        // How long a silence was is known once the batch that was made in it is written.
        let hangs = |batch: &InFlight<R>| now.since(batch.at) >= APPEND_MAX || self.is_silent(now);
        !self.store_failing
            && !self.is_in_doubt(now)
            && !self.in_flight.as_ref().is_some_and(hangs)
            && self.open.decided.len() < BATCH_COMMANDS_MAX
            && self.open.body.len() < BATCH_BYTES_MAX
    }

    /// The number of the batch after which the working copy is the state.
    fn decided_after(&self) -> u64 {
        let known = self.in_flight.as_ref().map_or(self.tip, |batch| batch.head).number;
        known + u64::from(self.open.events > 0)
    }

    /// Executes a command on the working copy and records its events.
    fn execute(
        &mut self,
        command: &Command,
        cause: &Cause,
        now: Timestamp,
    ) -> Result<Outcome, Refusal> {
        let mut events = std::mem::take(&mut self.events);
        let result = self.sale.execute(command, now, &mut events);
        if !events.is_empty() {
            if self.open.body.is_empty() {
                codec::begin(&mut self.open.body, self.format);
            }
            write_record(&mut self.open.body, cause, &events);
            self.open.events += events.len() as u64;
            self.open.at = now;
            self.last_at = now;
            for event in &events {
                self.note(event, now);
                count(event, &mut self.open.payments);
            }
        }
        events.clear();
        self.events = events;
        result
    }

    /// Executes a command of the system's own.
    fn execute_own(&mut self, command: &Command, now: Timestamp) -> Result<Outcome, Refusal> {
        self.execute(command, &Cause::system(CommandKind::from(command)), now)
    }

    /// What an event means for the core's own books, once it is durable.
    fn note(&mut self, event: &Event, now: Timestamp) {
        if let Event::Scheduled(_) = event
            && let Some(silent_since) = self.end_silence(now)
        {
            // It was before this sale, unless the batch conflicts with another node's that was sooner.
            self.open.silent_since.get_or_insert(silent_since);
        }
        if let Event::Admitted { .. } = event {
            self.pace.admitted(now);
        }
        if let Event::PaymentUnknown { payment } = event {
            self.open.open_payments.push((*payment, Some(Due::Answer)));
        }
        if let Event::RefundDue { payment } = event {
            self.open.open_payments.push((*payment, Some(Due::Refund)));
        }
        if let Event::PaymentApproved { payment, .. }
        | Event::PaymentDeclined { payment, .. }
        | Event::PaymentRefunded { payment, .. } = event
        {
            self.open.open_payments.push((*payment, None));
        }
    }

    /// Journals that these are there, if there are any.
    fn saw(&mut self, entries: Vec<EntryIndex>, now: Timestamp) {
        if entries.is_empty() {
            return;
        }
        let now = self.resume(now);
        let _done = self.execute_own(&Command::Seen { entries }, now);
        self.open.saw = true;
    }

    /// Journals who is there at the front of the line, before `turns` turns may come free: nobody
    /// is passed over because the journal has not heard of them yet.
    fn see_front(&mut self, turns: usize, now: Timestamp) {
        self.saw(presence::front(&self.sale, &self.seen, turns, now), now);
    }

    /// Whoever was refused or turned away is there all the same: a mark, and journalled at once when
    /// that matters, for one who was away, and for one whose turn came and of whom nothing was heard
    /// yet. A command that was not refused says so by itself.
    fn see_refused(&mut self, places: &[Place], now: Timestamp) {
        let mut entries = Vec::new();
        for place in places {
            let view = self.sale.place(place.entry).filter(|view| view.place == *place);
            let Some(view) = view else { continue };
            let now = crate::seconds(&self.sale, now);
            self.seen.mark(place.entry, now);
            if is_news(&self.sale, &view, now) {
                entries.push(place.entry);
            }
        }
        entries.sort_unstable();
        entries.dedup();
        self.saw(entries, now);
    }

    /// Lets happen what is due, as an act of the system.
    fn settle_due(&mut self, now: Timestamp) {
        let now = self.resume(now);
        self.see_front(presence::front_len(&self.sale), now);
        let _done = self.execute_own(&Command::Tick, now);
    }

    /// Journals a silence before anything is decided after it, and gives the time to decide at. While
    /// no sale is scheduled here a silence is kept: another node may have scheduled it before.
    fn resume(&mut self, now: Timestamp) -> Timestamp {
        let now = now.max(self.last_at);
        if self.is_scheduled()
            && let Some(silent_since) = self.end_silence(now)
        {
            let events = self.open.events;
            let resume = Command::Resume { silent_since };
            let _nothing_due = self.execute_own(&resume, now);
            if self.open.events > events {
                self.open.silent_since.get_or_insert(silent_since);
            }
        }
        now
    }

    /// Since when nothing was written until now, if that was for long.
    fn end_silence(&mut self, now: Timestamp) -> Option<Timestamp> {
        if now.since(self.alive_at) >= SILENCE_MIN {
            // This process itself may have been asleep: then no heartbeat tells of the silence.
            self.silent_since.get_or_insert(self.alive_at);
        }
        let silent_since = self.silent_since.take();
        if silent_since.is_some() {
            self.alive_at = now;
        }
        silent_since
    }

    fn is_scheduled(&self) -> bool {
        self.sale.phase() != Phase::Unscheduled
    }

    fn decide(&mut self, waiting: Waiting<R>, now: Timestamp, out: &mut Vec<Output<R>>) {
        let now = self.resume(now);
        if self.sale.next_deadline().is_some_and(|deadline| deadline <= now) {
            // Apart from the command, so that history does not blame a buyer for the time.
            self.settle_due(now);
        }
        let turns = turns_freed(&waiting.request.command, &self.sale);
        if turns > 0 {
            self.see_front(turns, now);
        }
        let Request { command, actor, id, warrant, .. } = &waiting.request;
        let cause = Cause {
            actor: *actor,
            command: CommandKind::from(command),
            request: (*actor != Actor::System).then_some(*id),
            warrant: warrant.clone(),
        };
        let result = self.execute(command, &cause, now);
        let refused = place_of(command).filter(|_| result.is_err());
        let as_of = self.decided_after();
        let (entry, tell) = match result {
            Err(refusal) => {
                let entry = place_of(command).map(|place| place.entry);
                (entry, Tell::Reply(Reply { as_of, answer: Err(refusal) }))
            }
            Ok(outcome) => self.answer(command, outcome, as_of),
        };
        self.begun += usize::from(matches!(tell, Tell::Charge(_)));
        let is_sure = self.open.events > 0
            || !self.is_shared()
            || waiting.request.actor == Actor::System
            || matches!(self.lock, Lock::Held(asked) if waiting.since < asked)
            || waiting.sure_from.is_some_and(|number| number <= as_of);
        let decided = Decided { waiting, entry, tell, is_sure };
        if self.open.events > 0 {
            self.open.decided.push(decided);
        } else if let Some(in_flight) = &mut self.in_flight {
            in_flight.decided.push(decided);
        } else {
            self.tell(decided, now, out);
        }
        if let Some(place) = refused {
            self.see_refused(&[place], now);
        }
    }

    /// What to tell of an outcome, by the working copy as it is now.
    fn answer(
        &self,
        command: &Command,
        outcome: Outcome,
        as_of: u64,
    ) -> (Option<EntryIndex>, Tell) {
        let reply = |answer| Tell::Reply(Reply { as_of, answer: Ok(answer) });
        let place = |entry| self.sale.place(entry).expect("an entry of the line");
        match outcome {
            Outcome::Joined { entry, created } => {
                (Some(entry), reply(Answer::Place { view: place(entry), created }))
            }
            Outcome::Held { reservation } => {
                let view = self.sale.reservation_view(reservation).expect("a reservation");
                let (entry, answer) = self.reservation_answer(view);
                (Some(entry), reply(answer))
            }
            Outcome::Payment { payment, begun: true } => {
                (place_of(command).map(|place| place.entry), Tell::Charge(payment))
            }
            Outcome::Payment { payment, begun: false } => {
                let (entry, answer) = self.payment_answer(payment);
                (Some(entry), reply(answer))
            }
            Outcome::Settled { payment } => {
                let (entry, answer) = self.payment_answer(payment);
                (Some(entry), Tell::Settled(payment, Reply { as_of, answer: Ok(answer) }))
            }
            Outcome::Done => {
                if let Command::Leave { place: Place { entry, .. } } = command {
                    (Some(*entry), reply(Answer::Place { view: place(*entry), created: false }))
                } else if let Command::GiveBack { place: Place { entry, .. }, reservation } =
                    command
                {
                    let visit = self.sale.visit_of_entry(*entry).expect("a visit that gave back");
                    let (index, _) = self
                        .sale
                        .reservations_of(visit)
                        .find(|(_, of_visit)| of_visit.id == *reservation)
                        .expect("the reservation that was given back");
                    let view = self.sale.reservation_view(index).expect("a reservation");
                    (Some(*entry), reply(self.reservation_answer(view).1))
                } else {
                    (None, reply(Answer::Done))
                }
            }
        }
    }

    fn reservation_answer(&self, view: ReservationView) -> (EntryIndex, Answer) {
        let visit = self.sale.visit(view.reservation.visit).expect("a reservation's visit");
        let place = self.sale.place(visit.entry).expect("a visit's entry");
        (visit.entry, Answer::Reservation { view: Box::new(view), place })
    }

    /// The reservation of a payment, shown with that very payment.
    fn payment_answer(&self, index: PaymentIndex) -> (EntryIndex, Answer) {
        let payment = self.sale.payment(index).expect("a payment").clone();
        let mut view =
            self.sale.reservation_view(payment.reservation).expect("what a payment pays for");
        view.payment = Some(payment);
        self.reservation_answer(view)
    }

    /// Tells what was decided, now that it is durable.
    fn tell(&mut self, decided: Decided<R>, now: Timestamp, out: &mut Vec<Output<R>>) {
        let Decided { waiting, entry, tell, is_sure } = decided;
        if !is_sure && let Tell::Reply(reply) = tell {
            if waiting.to.is_some() {
                self.unsure.add(UnsureAnswer { waiting, entry, reply });
            }
            return;
        }
        let Waiting { request, mut to, since, .. } = waiting;
        match tell {
            Tell::Reply(reply) => {
                if let Some(to) = to {
                    out.push(Output::Reply { to, entry, result: Ok(reply) });
                }
            }
            Tell::Charge(payment) => {
                self.begun -= 1;
                let pending = self.pending(payment);
                // Whoever has waited for the disk for as long as can be does not wait for the provider too.
                let is_late = now.since(since) >= self.config.append_wait_max;
                if let Some(to) = to.take_if(|_| is_late) {
                    out.push(Output::Reply { to, entry, result: Ok(pending.clone()) });
                }
                self.paying.insert(payment, PayingCaller { to, entry, since: now, pending });
                out.push(Output::Call(self.charge(payment, request.instrument)));
            }
            Tell::Settled(payment, reply) => {
                let caller = self.paying.remove(&payment).and_then(|caller| caller.to);
                for to in caller.into_iter().chain(to) {
                    out.push(Output::Reply { to, entry, result: Ok(reply.clone()) });
                }
            }
        }
    }

    fn charge(&self, index: PaymentIndex, instrument: Option<Instrument>) -> PendingCall {
        calls::charge(&self.sale, self.stream, index, instrument)
    }

    /// Seals the open batch and hands it out, when none is in flight.
    fn seal(&mut self, now: Timestamp, out: &mut Vec<Output<R>>) {
        if self.in_flight.is_some() || self.open.events == 0 {
            return;
        }
        // The next one is likely to become as large.
        let next = Open::like(self.open.body.len(), self.open.decided.len());
        let open = std::mem::replace(&mut self.open, next);
        self.batches_made += 1;
        let id = u128::from(self.config.node) << 64
            | u128::from(self.stream.0) << 44
            | u128::from(self.batches_made);
        let batch = Batch {
            number: self.tip.number + 1,
            id: BatchId(id),
            previous: self.tip.id,
            at_ms: open.at.0,
            body: open.body,
        };
        // Under load each publication costs a copy of every page that is then changed again.
        let is_calm = open.decided.len() < CALM && self.others_for == 0;
        let due = is_calm || now.since(self.published_at) >= self.config.publish_every;
        self.in_flight = Some(InFlight {
            head: batch.head(),
            at: open.at,
            events: open.events,
            decided: open.decided,
            open_payments: open.open_payments,
            silent_since: open.silent_since,
            saw: open.saw,
            payments: open.payments,
            publication: due.then(|| self.sale.clone()),
            retry: None,
        });
        out.push(Output::Append(Append { stream: self.stream, batch }));
    }

    fn retry(&mut self, now: Timestamp, out: &mut Vec<Output<R>>) {
        let Some(in_flight) = &mut self.in_flight else { return };
        if in_flight.retry.as_ref().is_some_and(|(_, at)| *at <= now)
            && let Some((append, _)) = in_flight.retry.take()
        {
            out.push(Output::Append(append));
        }
    }

    /// Publishes the state after the last durable batch.
    fn published(&mut self, sale: Sale, now: Timestamp, out: &mut Vec<Output<R>>) {
        self.seen.grow(sale.line().joined());
        self.base = sale;
        self.base_head = self.tip;
        self.published_at = now;
        self.pace.forget(now);
        out.push(Output::Publish(self.publication()));
        if self.events_since_snapshot >= self.config.snapshot_every {
            self.events_since_snapshot = 0;
            out.push(Output::Snapshot { sale: self.base.clone(), head: self.base_head });
        }
    }

    fn publish(&self, sale: Sale, as_of: u64) -> Publication {
        let pace = self.pace.per_second(self.published_at);
        Publication { sale, as_of, pace, seen: self.seen.clone() }
    }

    /// A snapshot of what was last published.
    #[must_use]
    pub fn snapshot(&self) -> (Sale, Head) {
        (self.base.clone(), self.base_head)
    }

    /// Tells those who have waited too long: whose command was decided and may be written, that
    /// the outcome is unknown; whose command was not looked at or wrote nothing, that nothing was
    /// written; who waits for the provider, that the payment is pending.
    fn lose_patience(&mut self, now: Timestamp, out: &mut Vec<Output<R>>) {
        let late = |since: Timestamp| now.since(since) >= self.config.append_wait_max;
        let in_flight = self.in_flight.iter_mut().flat_map(|batch| &mut batch.decided);
        for decided in in_flight.chain(&mut self.open.decided) {
            if late(decided.waiting.since)
                && let Some(to) = decided.waiting.to.take()
            {
                let result = Err(Failure::OutcomeUnknown);
                out.push(Output::Reply { to, entry: None, result });
            }
        }
        for waiting in self.unsure.late(|waiting| late(waiting.since)) {
            let Some(to) = waiting.to else { continue };
            out.push(Output::Reply { to, entry: None, result: Err(Failure::Unavailable) });
        }
        for (priority, queue) in self.queues.iter_mut().enumerate() {
            // What a provider said is nobody's request, and is decided however late.
            if priority == Priority::Settle as usize {
                continue;
            }
            while let Some(waiting) = queue.pop_front_if(|waiting| late(waiting.since)) {
                let Some(to) = waiting.to else { continue };
                out.push(Output::Reply { to, entry: None, result: Err(Failure::Unavailable) });
            }
        }
        let tired: Vec<_> = self
            .paying
            .iter()
            .filter(|(_, caller)| now.since(caller.since) >= PAYMENT_WAIT)
            .map(|(payment, _)| *payment)
            .collect();
        for payment in tired {
            let caller = self.paying.remove(&payment).expect("it was just found");
            let Some(to) = caller.to else { continue };
            let result = Ok(caller.pending);
            out.push(Output::Reply { to, entry: caller.entry, result });
        }
    }

    /// What is durable of a payment whose provider is about to be asked. Not looked up later: the
    /// working copy may know more than the disk then, or, while it catches up, less.
    fn pending(&self, payment: PaymentIndex) -> Reply {
        let (_, mut answer) = self.payment_answer(payment);
        if let Answer::Reservation { view, .. } = &mut answer
            && let Some(shown) = &mut view.payment
        {
            // When this is told, nobody has said what became of it.
            shown.state = domain::payment::PaymentState::Unknown;
        }
        Reply { as_of: self.tip.number, answer: Ok(answer) }
    }
}

/// Counts what becomes of payments.
fn count(event: &Event, payments: &mut PaymentCounts) {
    match event {
        Event::PaymentBegun { .. } => payments.begun += 1,
        Event::PaymentApproved { .. } => payments.approved += 1,
        Event::PaymentDeclined { .. } => payments.declined += 1,
        Event::PaymentUnknown { .. } => payments.unknown += 1,
        Event::RefundDue { .. } => payments.refund_due += 1,
        Event::PaymentRefunded { .. } => payments.refunded += 1,
        Event::Scheduled(_)
        | Event::Changed { .. }
        | Event::Opened
        | Event::Paused
        | Event::Unpaused
        | Event::Closed { .. }
        | Event::LimitsChanged { .. }
        | Event::SeatsWithheld { .. }
        | Event::SeatsReleased { .. }
        | Event::Resumed { .. }
        | Event::Joined { .. }
        | Event::Seen { .. }
        | Event::PlacesExpired { .. }
        | Event::Left { .. }
        | Event::PassedOver { .. }
        | Event::Admitted { .. }
        | Event::TurnMissed { .. }
        | Event::ChoosingEnded { .. }
        | Event::SeatsHeld { .. }
        | Event::SeatsGivenBack { .. }
        | Event::HoldExpired { .. }
        | Event::LineEnded { .. } => {}
    }
}

/// How many turns a command may free, at the most, to be given to those in line.
fn turns_freed(command: &Command, sale: &Sale) -> usize {
    match command {
        Command::Leave { .. }
        | Command::GiveBack { .. }
        | Command::SettlePayment { .. }
        | Command::SettleRefund { .. } => 1,
        Command::Open
        | Command::Unpause
        | Command::ChangeLimits(_)
        | Command::Change(_)
        | Command::Release { .. } => presence::front_len(sale),
        Command::Join { .. }
        | Command::Seen { .. }
        | Command::Hold { .. }
        | Command::BeginPayment { .. }
        | Command::Tick
        | Command::Resume { .. }
        | Command::Schedule(_)
        | Command::Pause
        | Command::Close
        | Command::Withhold { .. } => 0,
    }
}

fn place_of(command: &Command) -> Option<Place> {
    match command {
        Command::Leave { place }
        | Command::Hold { place, .. }
        | Command::GiveBack { place, .. }
        | Command::BeginPayment { place, .. } => Some(*place),
        Command::Join { .. }
        | Command::Seen { .. }
        | Command::SettlePayment { .. }
        | Command::SettleRefund { .. }
        | Command::Tick
        | Command::Resume { .. }
        | Command::Schedule(_)
        | Command::Open
        | Command::Pause
        | Command::Unpause
        | Command::Close
        | Command::ChangeLimits(_)
        | Command::Change(_)
        | Command::Withhold { .. }
        | Command::Release { .. } => None,
    }
}

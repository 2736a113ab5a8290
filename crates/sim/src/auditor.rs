//! The auditor: watches every answer, every publication and every write of a run, keeps a small
//! history of its own, and says what must never be. It shares the vocabulary of the rules (ids,
//! events, refusals) and none of their logic.
//!
//! # What counts as a failure
//!
//! Each word is the name of a check, as a failure is told. The numbers are those of the invariants
//! in `domain`.
//!
//! What may not follow what has happened, event by event, as the journal says it:
//!
//! - *one owner* (1): a seat that becomes somebody's while it is another's, or is kept back. *seats*,
//!   *held*, *left*, *visits*: seats that are none, of two evenings, too many, or of a visit that
//!   chooses nothing.
//! - *wished*: seats that are held and are not those that were asked for; or, where the choice was left
//!   to the box office, not so many, not of the grade, or not beside each other.
//! - *admitted* (3, 4): an admission over the limit, in a pause, in vain, or of somebody who is not
//!   there. *order* (4): before somebody of lower rank who is. *passed over*: of somebody who was
//!   seen. *kept out*: a batch after which somebody who is there could come in and was not let in.
//!   Nobody starves.
//! - *positions* (5): an entry that is counted again, or a position told that is higher than one told
//!   of an earlier batch.
//! - *joined*: over the capacity, or when nothing is left to buy. *turn missed*, *seen*, *places
//!   expired*: of somebody of whom that cannot be, or of more or fewer than the event says. *line
//!   ended*: while seats may still come back.
//!   *in vain*: somebody waits for what is sold.
//! - *time*: a deadline that is not where the limits put it (6). *too soon*, *too late*: something
//!   that ends before its time, or is granted after it.
//! - *holds*, *payments*, *refund*, *given back* (6 to 8): a hold or a payment in a state that knows no
//!   such thing, so a second settlement, a second running payment, a second refund.
//! - *keys* (9): a key that brings about something twice. *limits*: limits out of their range.
//! - *events*: a batch that cannot be read, says nothing, or has a cause that nobody asked for, or that
//!   had its effect before.
//! - *gap*: a gap in the clock that was no silence, for somebody wrote in it, or was taken out already.
//!   *silence*: a silence of
//!   ten seconds or more that was not taken out before anything else happened.
//!
//! What is said and shown:
//!
//! - *durable*: an answer, a publication or a call to the provider that says what is not in the
//!   journal, or not yet. What was answered is in the journal, and what is known there stays.
//! - *answers*: an answer that was not so while the batch was decided that it names: a place, a
//!   position, a reservation, an amount, a payment, a refusal without its reason; a repetition with
//!   its key that is told something else; "nothing was written" of something that was.
//! - *answered*: a request that is answered twice, or never, or not within twelve seconds by a node
//!   that lives, 22 when it waits for the provider.
//! - *own writes*: a poll older than what its buyer was told by that node, or one that waits long.
//! - *newest*: among several nodes, an answer that wrote nothing, or a poll of a place that is said to
//!   be none, by a state that was older than what somebody knew when it came; a poll older than its
//!   token; and one of a state that was not the newest for two seconds before, ten while nothing newer
//!   could be had.
//! - *published*: a publication that goes back, differs from the journal, or stays behind it.
//! - *recovered*, *read*: a start, or a node that catches up, that comes to another state than the
//!   whole journal does, or to none.
//! - *check*: a shown state that does not hold by `Sale::check`.
//!
//! While everything is sound:
//!
//! - *prompt*: a deadline, an opening, an admission or a place that is more than a second overdue;
//!   a request that waits for more than two, or a word of the provider that was not noted by then.
//! - *faithful*: a turn or a place that is lost by somebody who polls as told, or somebody at the
//!   front of whom the journal has not heard for seconds.
//!
//! With others, and at the end:
//!
//! - *money*: a call to the provider that may not be made, a second charge among them; at the end,
//!   money that is neither for confirmed seats nor was given back (7), or a payment on which our book
//!   and the provider's differ. *provider*: a refund of what was not taken.
//! - *journal*: a batch that the journal calls invalid, because of its number, its id or its time.
//! - *bounds*: more charges at a time than the setting says.
//! - *idle*: somebody who still waits, chooses, holds or pays long after everybody has gone; a node
//!   that does not come to rest; a run that does not end.
//! - *panic*: one of the rules' or of the engine's.
//!
//! # What does not
//!
//! - A request without an answer because its node died or its connection broke; `unavailable`,
//!   `overloaded`, `outcome_unknown`: this node could not, and said so.
//! - Anything late while a trouble lasts and shortly after, but for the bounds of *answered*.
//! - A place, a turn or a hold that its buyer let lapse, and a buyer passed over who was not there;
//!   or whose marks were shed because so few may wait that it was chosen so; or who came in the very
//!   millisecond of the decision or later.
//! - What stands in one batch: an answer is made in the middle of its batch, so what was so at any
//!   time in it, or right before, counts as so; and more than `DUE_MAX` things that are due at once may
//!   take several batches.
//! - Among several nodes: a poll of one that shows a lower position than another did, within two
//!   seconds; a buyer who hears late of a payment that another node settled.
//! - Among several nodes: a silence of less than fifteen seconds that was not taken out; and a clock
//!   that stands still for more than three seconds with its node, for it is then far behind the others.
//! - What an operator does to the store's clock while several nodes run, beyond a second.
//! - A batch that nobody was told of and nobody read, and that a failover lost; that a journal loses
//!   what it has acknowledged is not tried.
//! - A provider that breaks its word, as long as the money it took after a no goes back once.
//! - How fast anything is, and what HTTP, the tokens' signatures, the disk and the driver's threads
//!   do: they are not here.

mod answers;
mod best;
mod closing;
mod fold;
mod history;
mod presence;
mod shown;
mod silence;

use std::collections::{BTreeMap, BTreeSet};

use domain::Command;
use domain::event::Event;
use domain::id::{EntryIndex, PaymentId, PaymentIndex};
use domain::time::{Millis, Timestamp};
use engine::{Call, PendingCall, Publication, Recovered};
use store::Batch;
use store::codec::{CommandKind, Record, read_records};

use crate::archive::Archive;
use crate::clock::Moment;
use crate::counts::Counts;
use crate::knobs::Knobs;
use crate::node::{ReadStage, Reader, RequestId};
use crate::world::Asked;
use fold::Reading;
use history::{History, Page, PayState, Stage, event_word};
use presence::Presence;
use silence::Silence;

/// What must never be, and is.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    /// Which check says so.
    pub(crate) check: &'static str,
    /// What was found.
    pub(crate) what: String,
}

impl Broken {
    pub(crate) fn of(check: &'static str, what: String) -> Self {
        Self { check, what }
    }
}

/// How long after a payment was settled the provider may still be asked about it.
const SETTLED_MS: Millis = 60_000;

/// How late something may be while everything is sound.
const LATE_MAX_MS: Millis = 1_000;

/// How long after the last write something may be decided without it: a second while an append is
/// under way, after the two between heartbeats.
const DECIDED_ON_MAX_MS: Millis = 3_500;

/// The auditor of a run.
#[derive(Debug)]
pub(crate) struct Auditor {
    history: History,
    silence: Silence,
    presence: Presence,
    /// Requests that had an effect, and in which batch.
    effects: BTreeMap<RequestId, u64>,
    /// Requests of which a node said that nothing was written.
    nothing_written: BTreeSet<RequestId>,
    /// Positions that were told, by entry: (batch, whether after it) and position.
    told: BTreeMap<EntryIndex, BTreeMap<(u64, bool), u32>>,
    /// From when on which batch was known to somebody.
    knew: Vec<(Moment, u64)>,
    /// The last batch that each node has shown.
    shown: Vec<u64>,
    publications: u64,
    counts: Counts,
}

impl Auditor {
    pub(crate) fn new(knobs: &Knobs) -> Self {
        Self {
            history: History::new(),
            silence: Silence::new(knobs),
            presence: Presence::new(knobs),
            effects: BTreeMap::new(),
            nothing_written: BTreeSet::new(),
            told: BTreeMap::new(),
            knew: Vec::new(),
            shown: vec![0; knobs.nodes],
            publications: 0,
            counts: Counts::default(),
        }
    }

    /// Adds what the auditor counted.
    pub(crate) fn count_into(&self, counts: &mut Counts) {
        counts.merge(&self.counts);
    }

    /// The store was written, by a batch with this time.
    pub(crate) fn wrote(&mut self, at: Timestamp) {
        self.silence.wrote(at);
    }

    /// The store was written now, by a heartbeat with this time.
    pub(crate) fn beat(&mut self, at: Timestamp, now: Moment) {
        self.silence.beat(at, now);
    }

    /// Everything has been sound since then, and is now.
    pub(crate) fn is_sound(&mut self, since: Moment, now: Moment) {
        self.presence.sound = since..now;
    }

    /// Reads the batches that have become known.
    pub(crate) fn read(
        &mut self,
        archive: &Archive,
        asked: &[Asked],
        now: Moment,
    ) -> Result<(), Broken> {
        let known = usize::try_from(self.history.head()).expect("a number of this run");
        for batch in &archive.known()[known..] {
            self.batch(batch, asked).map_err(|Broken { check, what }| {
                Broken::of(check, format!("batch {}: {what}", batch.number))
            })?;
        }
        if self.knew.last().is_none_or(|(_, last)| *last < self.known()) {
            self.knew.push((now, self.known()));
        }
        Ok(())
    }

    /// The last batch that anybody knows.
    pub(crate) fn known(&self) -> u64 {
        self.history.head()
    }

    /// The last batch that somebody knew before that moment.
    fn known_before(&self, moment: Moment) -> u64 {
        let upto = self.knew.partition_point(|(since, _)| *since < moment);
        upto.checked_sub(1).map_or(0, |last| self.knew[last].1)
    }

    /// A poll is answered from a publication, of which the reader was told how old it may be.
    pub(crate) fn reads(
        &self,
        reader: &Reader,
        publication: &Publication,
        is_known: bool,
    ) -> Result<(), Broken> {
        let as_of = publication.as_of;
        let old = |than: u64, what: &str| {
            let what = format!("batch {as_of} is read by {reader:?}: {what} batch {than}");
            Err(Broken::of("newest", what))
        };
        if self.shown.len() == 1 {
            return Ok(());
        }
        if as_of < reader.token_as_of {
            return old(reader.token_as_of, "the token is of");
        }
        if !is_known && as_of < reader.known {
            return old(reader.known, "no such place, and there was");
        }
        if let ReadStage::Shown { since, age } | ReadStage::Confirmed { since, age, .. } =
            reader.stage
        {
            let known = self.known_before(Moment(since.0.saturating_sub(age)));
            if as_of < known {
                return old(known, "long before there was");
            }
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, asked: &[Asked]) -> Result<(), Broken> {
        let records = read_records(&batch.body)
            .map_err(|error| Broken::of("events", format!("it cannot be read: {error}")))?;
        if records.iter().any(|record| record.events.is_empty()) || records.is_empty() {
            return Err(Broken::of("events", "it says nothing".to_owned()));
        }
        let from_ms = self.history.pages.last().expect("there is a first page").at_ms;
        let mut reading = Reading { batch: batch.number, from_ms, to_ms: batch.at_ms };
        let mut events = 0;
        // What stands before a gap in its batch was decided before anybody knew of the silence.
        let mut gaps = Vec::new();
        for event in records.iter().flat_map(|record| &record.events) {
            if let Event::Resumed { gap, until } = event {
                gaps.push(until.0 - gap + DECIDED_ON_MAX_MS);
            }
        }
        let mut gaps = gaps.into_iter().peekable();
        for record in &records {
            self.cause(record, batch, asked)?;
            for event in &record.events {
                events += 1;
                if let Event::Resumed { .. } = event {
                    gaps.next();
                    reading.to_ms = batch.at_ms;
                } else if let Some(to_ms) = gaps.peek() {
                    reading.to_ms = batch.at_ms.min(*to_ms);
                }
                self.counts.add("event", event_word(event));
                self.silence.event(event, &reading, &self.history)?;
                self.presence.event(event, &reading, &self.history)?;
                self.history.event(event, &mut reading)?;
                self.as_wished(event, record, asked)?;
                self.by_its_time(event, record, &reading)?;
            }
        }
        if events < domain::sale::DUE_MAX {
            if self.history.somebody_is_kept_out() {
                let what = format!("{:?}, limits {:?}", self.history.tally, self.history.limits);
                return Err(Broken::of("kept out", what));
            }
            if self.history.somebody_waits_in_vain() {
                return Err(Broken::of("in vain", format!("{:?}", self.history.tally)));
            }
        }
        let (offset_ms, tally) = (self.history.offset_ms, self.history.tally);
        self.history.pages.push(Page { at_ms: batch.at_ms, offset_ms, tally });
        Ok(())
    }

    /// Seats that are held are those that were wished for.
    fn as_wished(&self, event: &Event, record: &Record, asked: &[Asked]) -> Result<(), Broken> {
        let Event::SeatsHeld { seats, .. } = event else { return Ok(()) };
        let request = record.cause.request.and_then(|request| usize::try_from(request).ok());
        let asked = request.and_then(|request| asked.get(request));
        let Some(Command::Hold { wish, .. }) = asked.map(|asked| &asked.command) else {
            return Ok(());
        };
        if self.history.fulfils(wish, seats) {
            return Ok(());
        }
        Err(Broken::of("wished", format!("{wish:?} is answered by {seats:?}")))
    }

    /// What opened or closed by itself did so at its time.
    fn by_its_time(&self, event: &Event, record: &Record, reading: &Reading) -> Result<(), Broken> {
        let by = record.cause.command;
        let due_ms = if *event == Event::Opened && by != CommandKind::Open {
            self.history.opens_at_ms
        } else if matches!(event, Event::Closed { .. }) && by != CommandKind::Close {
            self.history.closes_at_ms.unwrap_or(u64::MAX)
        } else {
            return Ok(());
        };
        if reading.to_ms >= due_ms {
            return Ok(());
        }
        Err(Broken::of("too soon", format!("{event:?} at {}, due {due_ms}", reading.to_ms)))
    }

    /// Who is said to have brought this about asked for it, and was not told that it was not so.
    fn cause(&mut self, record: &Record, batch: &Batch, asked: &[Asked]) -> Result<(), Broken> {
        let Some(request) = record.cause.request else { return Ok(()) };
        let of = usize::try_from(request).ok().and_then(|index| asked.get(index));
        let kind = of.map(|asked| CommandKind::from(&asked.command));
        if kind != Some(record.cause.command) {
            let what = format!("request {request} is {kind:?}, not {:?}", record.cause.command);
            return Err(Broken::of("events", what));
        }
        if self.effects.insert(request, batch.number).is_some() {
            return Err(Broken::of("events", format!("request {request} had two effects")));
        }
        if self.nothing_written.contains(&request) {
            return Err(Broken::of("answers", format!("request {request} was written after all")));
        }
        Ok(())
    }

    /// A node saw the buyer of a place, and told whether it is the buyer's turn.
    pub(crate) fn saw(
        &mut self,
        entry: EntryIndex,
        now: Timestamp,
        moment: Moment,
        admitted: bool,
    ) {
        self.presence.saw(entry, now, moment, admitted);
    }

    /// While everything is sound, the journal hears of those who are there.
    pub(crate) fn is_heard_of(&self, moment: Moment) -> Result<(), Broken> {
        self.presence.is_heard_of(&self.history, moment)
    }

    /// While everything is sound, nothing is overdue by a node's clock.
    pub(crate) fn pressing(&self, now: Timestamp) -> Result<(), Broken> {
        let history = &self.history;
        let late = |what: String| Err(Broken::of("prompt", format!("{what}, and it is {}", now.0)));
        let service_ms = now.0.saturating_sub(history.offset_ms);
        let overdue_ms = |second: u32| u64::from(second) * 1000 + LATE_MAX_MS < service_ms;
        if let Some((second, visit)) = history.deadlines.first()
            && overdue_ms(*second)
        {
            let entry = history.visits[*visit].entry;
            let standing = history.entries[entry].standing.now();
            return late(format!("{standing:?} of {entry} ended at {second}"));
        }
        let last_ms = history.pages.last().expect("there is a first page").at_ms;
        if last_ms + LATE_MAX_MS < now.0 && history.somebody_is_kept_out() {
            return late(format!("somebody could come in since {last_ms}"));
        }
        let stage = *history.stage.now();
        if stage == Stage::Scheduled && history.opens_at_ms + LATE_MAX_MS < now.0 {
            return late(format!("the sale was to open at {}", history.opens_at_ms));
        }
        let closes_ms = history.closes_at_ms.unwrap_or(u64::MAX - LATE_MAX_MS);
        let is_on = matches!(stage, Stage::Open | Stage::Paused);
        if is_on && closes_ms + LATE_MAX_MS < now.0 {
            return late(format!("the sale was to close at {closes_ms}"));
        }
        Ok(())
    }

    /// While everything is sound, no place outlives its buyer.
    pub(crate) fn outlived(&self, now: Timestamp) -> Result<(), Broken> {
        let history = &self.history;
        let service_ms = now.0.saturating_sub(history.offset_ms);
        let ttl = history.place_ttl_max;
        let outlived = history.entries.iter().enumerate().find(|(_, entry)| {
            entry.standing.now().is_in_line()
                && u64::from(entry.seen + ttl) * 1000 + LATE_MAX_MS < service_ms
        });
        match outlived {
            None => Ok(()),
            Some((entry, of)) => {
                Err(Broken::of("prompt", format!("{entry}, seen at {}, still waits", of.seen)))
            }
        }
    }

    /// A node asks the provider.
    pub(crate) fn called(&mut self, call: &PendingCall, now: Timestamp) -> Result<(), Broken> {
        let number = self.history.payments_by_id.get(&call.id).copied();
        let Some(number) = number.filter(|number| *number == call.payment.at()) else {
            return Err(Broken::of("durable", format!("{call:?} of no known payment")));
        };
        let payment = &mut self.history.payments[number];
        let (state, amount) = (*payment.state.now(), payment.amount);
        // One node alone knows at once what is settled, but for what was on its way.
        let settled = matches!(state, PayState::Approved | PayState::Declined | PayState::Refunded);
        let since = self.history.pages.get(payment.state.since()).map_or(0, |page| page.at_ms);
        let too_late = self.shown.len() == 1 && settled && now.0 > since + SETTLED_MS;
        let sound = !too_late
            && match &call.call {
                Call::Charge { amount: asked, .. } => {
                    !std::mem::replace(&mut payment.charged, true) && asked.0 == amount
                }
                Call::Find | Call::Void => !matches!(state, PayState::Running(_)),
                Call::Refund { amount: asked, .. } => {
                    matches!(state, PayState::RefundDue | PayState::Refunded) && asked.0 == amount
                }
            };
        if sound {
            return Ok(());
        }
        Err(Broken::of("money", format!("{call:?} of a payment of {amount} that is {state:?}")))
    }

    /// A node starts: what it starts from is what the whole journal says.
    pub(crate) fn recovered(
        &mut self,
        recovered: &Recovered,
        archive: &Archive,
    ) -> Result<(), Broken> {
        closing::same_as_replayed(recovered, archive)
    }

    /// Whether what the provider says of a payment still changes something.
    pub(crate) fn is_open(&self, payment: PaymentIndex) -> bool {
        let state = self.history.payment_at(payment).map(|payment| *payment.state.now());
        matches!(state, Some(PayState::Running(_) | PayState::Unknown))
    }

    /// When it was journalled what became of a payment.
    pub(crate) fn settled_at(&self, payment: PaymentId) -> Option<Timestamp> {
        let state = &self.history.payment(payment)?.state;
        match state.now() {
            PayState::Running(_) | PayState::Unknown => None,
            PayState::Approved | PayState::Declined | PayState::RefundDue | PayState::Refunded => {
                self.history.pages.get(state.since()).map(|page| Timestamp(page.at_ms))
            }
        }
    }

    /// The payment's index, as long as nobody has noted that its money was taken.
    pub(crate) fn is_unaware(&self, payment: PaymentId) -> Option<PaymentIndex> {
        let number = *self.history.payments_by_id.get(&payment)?;
        match self.history.payments[number].state.now() {
            PayState::Running(_) | PayState::Unknown | PayState::Declined => {
                Some(PaymentIndex::after(number))
            }
            PayState::Approved | PayState::RefundDue | PayState::Refunded => None,
        }
    }

    /// The longest that anything can still last once everybody has gone.
    pub(crate) fn longest_wait_ms(&self) -> Millis {
        let limits = &self.history.limits;
        let seconds = self.history.place_ttl_max
            + limits.arrive_ttl
            + limits.choose_ttl
            + limits.hold_ttl
            + limits.payment_deadline;
        u64::from(seconds + 60) * 1_000
    }

    /// Whether nobody waits, chooses, holds or pays, and no money is on its way.
    pub(crate) fn is_over(&self) -> bool {
        let tally = &self.history.tally;
        let open =
            |state| matches!(state, PayState::Running(_) | PayState::Unknown | PayState::RefundDue);
        tally.in_line() == 0
            && tally.active == 0
            && !self.history.payments.iter().any(|payment| open(*payment.state.now()))
    }
}

/// The kind of a command, for counting.
pub(crate) fn kind_of(command: &Command) -> &'static str {
    CommandKind::from(command).as_str()
}

//! The auditor: watches every answer, every publication and every write of a run, keeps a small
//! history of its own, and says what must never be. It shares the vocabulary of the rules (ids,
//! events, refusals) and none of their logic.
//!
//! # What counts as a failure
//!
//! - *One owner*, *counts*, *order*, *admitted*, *positions*: an event that may not follow what has
//!   happened: a seat with two owners, an admission over the limit, in vain, out of order or of
//!   somebody who is not there, an entry that is counted again, a hold or a payment in a state that
//!   knows no such thing, a key that brings about something twice. These are the invariants of
//!   `domain`, 1 to 9.
//! - *Time*, *too soon*, *too late*: a deadline that is not where the limits put it, something that
//!   ends before its time, something granted after its time.
//! - *Kept out*, *in vain*: a batch after which somebody who is there could come in and was not let
//!   in, or waits for what is sold. Nobody starves.
//! - *Prompt*: while everything is sound, a deadline that is more than a second old.
//! - *Faithful*: while everything is sound, a turn or a place that is lost by somebody who polls as
//!   told.
//! - *Silence*: a silence of ten seconds or more that was not taken out of the clock before
//!   anything else happened; or a gap that was none.
//! - *Durable*: an answer, a publication or a call to the provider that says what is not in the
//!   journal, or not yet.
//! - *Answers*: an answer that is not so after the batch that it names: a place, a position, a
//!   reservation, an amount, a payment, a refusal without its reason; a repetition with its key that
//!   is told something else; "nothing was written" of something that was.
//! - *Answered*: a request that is answered twice, or never by a node that lives.
//! - *Own writes*: a poll older than what its buyer was told by that node, or one that waits long.
//! - *Published*: a publication that goes back, or differs from the journal.
//! - *Recovered*: a start that comes to another state than the whole journal does.
//! - *Money*: at the end, money that is neither for confirmed seats nor was given back, once; a
//!   payment that stays unknown; a charge that was asked for twice.
//! - A panic of the rules or of the engine.
//!
//! # What does not
//!
//! - A request without an answer because its node died or its connection broke, `unavailable`,
//!   `overloaded`, `outcome_unknown`: this node could not, and said so.
//! - Anything late while a trouble lasts and shortly after.
//! - A place, a turn or a hold that its buyer let lapse, and a buyer passed over who was not there.
//! - Among several nodes: a poll of one that shows less than another said; a token that a node does
//!   not know yet; refusals that are true only of what the node knows.
//! - Among several nodes: a silence that was not taken out, or was by a node that slept while others
//!   worked. Telling the two apart is work of the journal that they share.
//! - What an operator does to the store's clock while several nodes run, beyond a second.
//! - A provider that breaks its word, as long as the money it took after a no goes back once.

mod answers;
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
use engine::{Call, PendingCall, Recovered};
use store::Batch;
use store::codec::{CommandKind, Record, read_records};

use crate::archive::Archive;
use crate::counts::Counts;
use crate::knobs::Knobs;
use crate::node::RequestId;
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
            shown: vec![0; knobs.nodes],
            publications: 0,
            counts: Counts::default(),
        }
    }

    /// Adds what the auditor counted.
    pub(crate) fn count_into(&self, counts: &mut Counts) {
        counts.merge(&self.counts);
    }

    /// The store was written, by a batch or a heartbeat with this time.
    pub(crate) fn wrote(&mut self, at: Timestamp) {
        self.silence.wrote(at);
    }

    /// Everything has been sound for so long.
    pub(crate) fn sound_for(&mut self, ms: Millis) {
        self.presence.sound_ms = ms;
    }

    /// Reads the batches that have become known.
    pub(crate) fn read(&mut self, archive: &Archive, asked: &[Asked]) -> Result<(), Broken> {
        let known = usize::try_from(self.history.head()).expect("a number of this run");
        for batch in &archive.known()[known..] {
            self.batch(batch, asked).map_err(|Broken { check, what }| {
                Broken::of(check, format!("batch {}: {what}", batch.number))
            })?;
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
    pub(crate) fn saw(&mut self, entry: EntryIndex, now: Timestamp, admitted: bool) {
        self.presence.saw(entry, now, admitted);
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
    pub(crate) fn called(&mut self, call: &PendingCall) -> Result<(), Broken> {
        let number = self.history.payments_by_id.get(&call.id).copied();
        let Some(number) = number.filter(|number| *number == call.payment.at()) else {
            return Err(Broken::of("durable", format!("{call:?} of no known payment")));
        };
        let payment = &mut self.history.payments[number];
        let (state, amount) = (*payment.state.now(), payment.amount);
        let sound = match &call.call {
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

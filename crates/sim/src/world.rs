//! The world of a run: the agenda, and what happens when its time comes.
//!
//! One agenda in true time drives everything, and everything that is drawn comes from the seed, so
//! that a seed is a run. A run has a main part, in which people come and troubles strike, and an
//! end: the troubles stop, those who are there go on honestly for a while, everybody goes, and time
//! runs until nothing is left to happen. Then the auditor closes the books.

mod asking;
mod paying;
mod striking;
mod turns;
mod writing;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use domain::id::{PaymentId, PaymentIndex};
use domain::time::{Millis, Timestamp};
use engine::{CallResult, PendingCall, Reply};
use store::{Append, Head};

use crate::archive::Archive;
use crate::auditor::{Auditor, Broken};
use crate::buyer::Buyer;
use crate::clock::{Moment, NodeClock, START, StoreClock};
use crate::counts::{Counts, Digest};
use crate::hall;
use crate::knobs::Knobs;
use crate::node::{Node, RequestId};
use crate::operator::Operator;
use crate::provider::Provider;
use crate::random::Random;
use crate::trial::{Trial, Trouble};
pub(crate) use asking::{Asked, Asker};
use asking::{Message, Told};

/// How long those who are there go on honestly, once the troubles have ended.
const HONEST_MS: Millis = 40_000;
/// Steps after which a run is one that never ends.
const STEPS_MAX: u64 = 20_000_000;
/// Buyers from which on a run counts as one of a crowd.
const CROWD: usize = 1_000;
/// How long after a trouble everything must be prompt again.
const RECOVERY_MS: Millis = 2_500;

/// Something that happens at its time.
#[derive(Debug)]
enum Event {
    /// The deciding thread of a process wakes.
    Turn { node: usize, life: u32 },
    /// The writing thread of a process has nothing to do, and looks whether a heartbeat is due.
    Idle { node: usize, life: u32 },
    /// An operation of the writing thread is over.
    Done { node: usize, life: u32, done: writing::Done },
    /// A lock is there, and what is new behind `after` is read; the answer takes so much longer.
    Locks { node: usize, life: u32, after: Head, back: Millis },
    /// A write reaches the journal; whoever waits for the answer gets it so much later.
    Lands { append: Append, answer: Option<(usize, u32, Millis)> },
    /// A write whose connection was lost reaches the journal.
    LandsLate { write: u64 },
    /// A snapshot is written.
    Kept { head: Head, bytes: Vec<u8> },
    /// Something reaches a node.
    Arrives { node: usize, message: Message },
    /// Something reaches whoever asked.
    Reaches { request: RequestId, told: Told },
    /// The answer to a poll reaches a buyer.
    Shown { buyer: usize, turn: u32, shown: asking::Shown },
    /// A buyer does the next thing.
    Acts { buyer: usize, turn: u32 },
    /// An operator does the next thing.
    Operates { turn: u32 },
    /// A trouble strikes by itself.
    Strikes { trouble: Trouble },
    /// The journal can be reached again, and then it cannot.
    Relapses,
    /// A machine starts its process.
    Starts { node: usize },
    /// A call reaches the provider.
    Hears { call: usize },
    /// An answer of the provider's reaches a node.
    Answers { call: usize, result: CallResult, echo: bool },
    /// Nobody listens to the provider any longer.
    GivesUp { call: usize },
    /// The provider takes the money that it said it would not take.
    TakesAfterAll { payment: PaymentId },
    /// The provider says so, until somebody has noted it.
    Notices { payment: PaymentId },
}

/// A call to the provider.
#[derive(Debug)]
struct Call {
    pending: PendingCall,
    node: usize,
    life: u32,
    since: Moment,
    answered: bool,
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    trial: Trial,
    knobs: Knobs,
    now: Moment,
    steps: Steps,
    agenda: BTreeMap<(Moment, u64), Event>,
    noted: u64,
    ending: bool,
    /// Nobody acts any more.
    empty: bool,
    random: Random,
    store_clock: StoreClock,
    archive: Archive,
    /// Writes whose connection was lost, on their way.
    under_way: BTreeMap<u64, Append>,
    outage_until: Moment,
    /// When the effects of the last trouble are over.
    troubled_until: Moment,
    nodes: Vec<Node>,
    provider: Provider,
    calls: Vec<Call>,
    /// What nodes were told for certain, and when.
    heard: BTreeMap<PaymentIndex, (usize, u32, Moment)>,
    buyers: Vec<Buyer>,
    operator: Operator,
    asked: Vec<Asked>,
    auditor: Auditor,
    counts: Counts,
    digest: Digest,
    /// What happened, in words, when somebody wants to read it.
    story: Option<Story>,
}

/// How many things have happened; kept outside, for a panic takes the world with it.
pub(crate) type Steps = Rc<Cell<u64>>;

/// What happened, in words; kept outside too.
pub(crate) type Story = Rc<RefCell<Vec<String>>>;

/// What a sound run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of everything that was written and said.
    pub digest: u64,
    /// What happened.
    pub counts: Counts,
}

/// What went wrong, and when.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which check failed.
    pub check: &'static str,
    /// What was found.
    pub what: String,
    /// After how many steps.
    pub step: u64,
    /// The story, when it was asked for.
    pub story: Vec<String>,
}

impl World {
    pub(crate) fn new(trial: &Trial, steps: Steps, story: Option<Story>) -> Self {
        let knobs = Knobs::of(trial);
        let schedule = hall::schedule(&knobs);
        let mut random = Random::of(trial.seed, "world", 0);
        let nodes = (0..knobs.nodes).map(|_| {
            let apart = knobs.has(Trouble::ClocksApart);
            let (apart_ms, drift_ppm) = (random.below(1_000), random.between(0, 400));
            Node {
                process: None,
                life: 0,
                clock: NodeClock::start(START, 0, Moment(0)),
                frozen_until: Moment(0),
                apart_ms: if apart { apart_ms } else { 0 },
                drift_ppm: if apart { i64::try_from(drift_ppm).expect("small") - 200 } else { 0 },
            }
        });
        let nodes = nodes.collect();
        let buyers = (0..knobs.buyers).map(|index| Buyer::of(trial.seed, index, &knobs)).collect();
        Self {
            trial: trial.clone(),
            now: Moment(0),
            steps,
            agenda: BTreeMap::new(),
            noted: 0,
            ending: false,
            empty: false,
            random,
            store_clock: StoreClock::default(),
            archive: Archive::default(),
            under_way: BTreeMap::new(),
            outage_until: Moment(0),
            troubled_until: Moment(0),
            nodes,
            provider: Provider::default(),
            calls: Vec::new(),
            heard: BTreeMap::new(),
            buyers,
            operator: Operator::of(trial.seed, &knobs, schedule),
            asked: Vec::new(),
            auditor: Auditor::new(&knobs),
            counts: Counts::default(),
            digest: Digest::default(),
            story,
            knobs,
        }
    }

    /// Runs from the first moment to the last.
    pub(crate) fn run(mut self) -> Result<Report, Failure> {
        match self.play() {
            Ok(()) => Ok(Report { digest: self.digest.0, counts: self.counts }),
            Err(Broken { check, what }) => {
                Err(Failure { check, what, step: self.steps.get(), story: Vec::new() })
            }
        }
    }

    fn play(&mut self) -> Result<(), Broken> {
        self.begin();
        while self.steps.get() < self.trial.steps && self.now < Moment(self.knobs.main) {
            if !self.step()? {
                break;
            }
        }
        self.end_troubles();
        let until = self.now.plus(HONEST_MS);
        self.run_until(until)?;
        self.empty = true;
        // Whatever is still to happen has a deadline, and the provider is asked every 30 s at most.
        let mut until = self.now.plus(self.auditor.longest_wait_ms() + 120_000);
        for _ in 0..20 {
            self.run_until(until)?;
            if self.auditor.is_over() && self.nodes_agree() {
                break;
            }
            until = self.now.plus(30_000);
        }
        self.close_the_books()
    }

    fn begin(&mut self) {
        self.archive.beat(START.0);
        self.auditor.wrote(START);
        for node in 0..self.nodes.len() {
            self.at(Moment(0), Event::Starts { node });
        }
        self.at(Moment(0), Event::Operates { turn: 0 });
        for buyer in 0..self.buyers.len() {
            let index = u32::try_from(buyer).expect("a few thousand buyers");
            if !self.trial.absent.contains(&index) {
                let comes_at = self.buyers[buyer].comes_at;
                self.at(comes_at, Event::Acts { buyer, turn: 0 });
            }
        }
        self.begin_troubles();
    }

    fn run_until(&mut self, until: Moment) -> Result<(), Broken> {
        while self.agenda.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            self.step()?;
        }
        self.now = until;
        Ok(())
    }

    /// Puts something on the agenda.
    fn at(&mut self, moment: Moment, event: Event) {
        self.noted += 1;
        self.agenda.insert((moment.max(self.now), self.noted), event);
    }

    fn after(&mut self, ms: Millis, event: Event) {
        self.at(self.now.plus(ms), event);
    }

    /// Lets the next thing happen; says whether there was one.
    fn step(&mut self) -> Result<bool, Broken> {
        let Some(((at, _), event)) = self.agenda.pop_first() else { return Ok(false) };
        self.now = at;
        if let Some(until) = self.node_of(&event).and_then(|node| self.thaws(node)) {
            // It is still there when the machine goes on.
            self.at(until, event);
            return Ok(true);
        }
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() == STEPS_MAX {
            return Err(Broken::of("idle", format!("it never ends; now comes {event:?}")));
        }
        self.happens(event)?;
        Ok(true)
    }

    /// The node that an event can only happen at while it is not frozen.
    fn node_of(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Turn { node, .. }
            | Event::Idle { node, .. }
            | Event::Done { node, .. }
            | Event::Arrives { node, .. } => Some(*node),
            Event::Answers { call, .. } | Event::GivesUp { call } => Some(self.calls[*call].node),
            Event::Lands { .. }
            | Event::LandsLate { .. }
            | Event::Kept { .. }
            | Event::Reaches { .. }
            | Event::Shown { .. }
            | Event::Acts { .. }
            | Event::Operates { .. }
            | Event::Strikes { .. }
            | Event::Relapses
            | Event::Starts { .. }
            | Event::Hears { .. }
            | Event::TakesAfterAll { .. }
            | Event::Locks { .. }
            | Event::Notices { .. } => None,
        }
    }

    fn thaws(&self, node: usize) -> Option<Moment> {
        let node = &self.nodes[node];
        node.is_frozen(self.now).then_some(node.frozen_until)
    }

    fn happens(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Turn { node, life } => self.turn(node, life),
            Event::Idle { node, life } => {
                self.is_idle(node, life);
                Ok(())
            }
            Event::Done { node, life, done } => self.done(node, life, done),
            Event::Locks { node, life, after, back } => self.locks(node, life, after, back),
            Event::Lands { append, answer } => self.lands(append, answer),
            Event::LandsLate { write } => match self.under_way.remove(&write) {
                Some(append) => self.lands(append, None),
                None => Ok(()),
            },
            Event::Kept { head, bytes } => {
                self.kept(head, bytes);
                Ok(())
            }
            Event::Arrives { node, message } => self.arrives(node, message),
            Event::Reaches { request, told } => {
                self.reaches(request, &told);
                Ok(())
            }
            Event::Shown { buyer, turn, shown } => {
                self.shown(buyer, turn, shown);
                Ok(())
            }
            Event::Acts { buyer, turn } => {
                self.acts(buyer, turn);
                Ok(())
            }
            Event::Operates { turn } => {
                self.operates(turn);
                Ok(())
            }
            Event::Strikes { trouble } => {
                self.strikes(trouble);
                Ok(())
            }
            Event::Relapses => {
                self.relapses();
                Ok(())
            }
            Event::Starts { node } => self.starts(node),
            Event::Hears { call } => self.hears(call),
            Event::Answers { call, result, echo } => {
                self.answers(call, result, echo);
                Ok(())
            }
            Event::GivesUp { call } => {
                self.gives_up(call);
                Ok(())
            }
            Event::TakesAfterAll { payment } => {
                self.takes_after_all(payment);
                Ok(())
            }
            Event::Notices { payment } => {
                self.notices(payment);
                Ok(())
            }
        }
    }

    fn lives(&self, node: usize, life: u32) -> bool {
        self.nodes[node].life == life && self.nodes[node].process.is_some()
    }

    /// Node time.
    fn clock(&self, node: usize) -> Timestamp {
        self.nodes[node].clock.now(self.now)
    }

    /// Something is wrong from now on for so long, and by a known cause.
    fn troubled(&mut self, ms: Millis) {
        self.troubled_until = self.troubled_until.max(self.now.plus(ms));
    }

    /// Whether everything has been sound for so long that everything must be prompt.
    fn is_quiet(&self) -> bool {
        self.now >= self.troubled_until.plus(RECOVERY_MS)
    }

    /// Whether a trouble that can strike here strikes now.
    fn struck(&mut self, trouble: Trouble) -> bool {
        // A provider is asked far less often than a journal.
        let of_provider = matches!(
            trouble,
            Trouble::SlowProvider
                | Trouble::SilentProvider
                | Trouble::Echoes
                | Trouble::Contradictions
        );
        let often = if of_provider { (self.knobs.rate * 5).min(400) } else { self.knobs.rate };
        let struck = self.knobs.has(trouble) && !self.ending && self.random.chance(often);
        if struck {
            self.counts.add("trouble", trouble.word());
        }
        struck
    }

    fn tell(&mut self, sentence: impl FnOnce(&Self) -> String) {
        if self.story.is_some() {
            let line = format!("{:>9} {}", self.now.0, sentence(self));
            if let Some(story) = &self.story {
                story.borrow_mut().push(line);
            }
        }
    }

    /// Whether every node that runs shows the journal's last batch.
    fn nodes_agree(&self) -> bool {
        let number = self.archive.head().number;
        let shown = |node: &Node| node.process.as_ref().map(|p| p.handle.publication().as_of);
        self.nodes.iter().all(|node| shown(node) == Some(number))
    }

    /// The end: nothing may be left over.
    fn close_the_books(&mut self) -> Result<(), Broken> {
        for request in 0..self.asked.len() {
            let asked = &self.asked[request];
            if asked.arrived && !asked.answered && self.lives(asked.node, asked.life) {
                return Err(Broken::of("answered", format!("nobody answered {asked:?}")));
            }
        }
        for node in 0..self.nodes.len() {
            let process = self.nodes[node].process.as_ref().expect("all run at the end");
            if !process.readers.is_empty() || !process.core.is_idle() {
                return Err(Broken::of("idle", format!("node {node} never comes to rest")));
            }
        }
        if !self.nodes_agree() {
            return Err(Broken::of("published", "nodes show old states at the end".to_owned()));
        }
        let shown: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|node| node.process.as_ref())
            .map(|process| process.handle.publication().sale.clone())
            .collect();
        self.auditor.close(&mut self.archive, &shown, &self.provider)?;
        for batch in self.archive.known() {
            self.digest.bytes(&batch.body);
            self.digest.number(batch.at_ms);
        }
        self.counts.add_many("run", "batches", self.archive.known().len() as u64);
        self.counts.add_many("run", "steps", self.steps.get());
        self.counts.add_many("run", "buyers", self.buyers.len() as u64);
        self.counts.add("run", "seeds");
        if self.buyers.len() >= CROWD {
            self.counts.add("run", "crowds");
        }
        for trouble in &self.knobs.troubles {
            self.counts.add("in play", trouble.word());
        }
        self.auditor.count_into(&mut self.counts);
        Ok(())
    }

    fn note_reply(&mut self, request: RequestId, reply: &Reply) {
        self.digest.number(request);
        self.digest.number(reply.as_of);
        let said = match &reply.answer {
            Ok(_) => "ok",
            Err(refusal) => refusal.code(),
        };
        self.digest.bytes(said.as_bytes());
    }
}

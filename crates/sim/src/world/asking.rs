//! Requests and polls: from whoever asks to a node, and back.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use domain::Command;
use domain::id::{EntryIndex, Place};
use domain::sale::{PlaceView, Status};
use domain::time::{Millis, Timestamp};
use engine::{Actor, Failure, Publication, Reply, Request};

use super::{Event, RECOVERY_MS, World};
use crate::auditor::Broken;
use crate::buyer::{Ask, Deed};
use crate::node::{Input, READ_WAIT, ReadStage, Reader, RequestId};
use crate::provider::Token;
use crate::trial::Trouble;
use crate::wish::{payment_of, place_of};

/// How long a buyer waits for an answer.
const PATIENCE_MS: Millis = 15_000;
/// How long a read may wait for a publication while everything is sound: a commit that is under
/// way, the next one, and then some.
const READ_MAX_MS: Millis = 1_000;
/// How old what is shown may be, and how old while nothing newer can be had; as `engine`'s `Looks` has it.
const RECENT_MAX: Millis = 2_000;
const SHOWN_MAX: Millis = 10_000;
/// How long a request may wait for its answer, whatever goes wrong: ten seconds for the journal, and
/// until the node looks up next.
const ANSWER_MAX_MS: Millis = 12_000;
/// How long one may wait that asks the provider: ten seconds more.
const PAID_MAX_MS: Millis = 22_000;
/// How long a request that asks no provider may wait while everything is sound.
const PROMPT_MS: Millis = 2_000;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    Buyer {
        buyer: usize,
        turn: u32,
    },
    Operator {
        turn: u32,
    },
    /// A buyer who pressed twice and does not wait for this one.
    Impatience,
    /// The node itself.
    System,
}

/// A request, from when it was made.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) by: Asker,
    pub(crate) command: Command,
    pub(crate) token: Option<Token>,
    pub(crate) node: usize,
    pub(crate) life: u32,
    pub(crate) arrived: bool,
    /// The last batch that anybody knew of when it arrived.
    pub(crate) known: u64,
    pub(crate) answered: bool,
}

/// Something on its way to a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    Request { request: RequestId },
    Poll { buyer: usize, turn: u32, place: Place, token_as_of: u64 },
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Reply(Result<Reply, Failure>),
    /// The connection broke: nobody knows.
    Lost,
}

/// What becomes of a poll.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    Place {
        view: PlaceView,
        as_of: u64,
    },
    /// The token names no place.
    NoPlace,
    Lost,
}

impl World {
    fn network_ms(&mut self) -> Millis {
        self.random.between(0, self.knobs.network_ms)
    }

    fn asked(&mut self, request: RequestId) -> &mut Asked {
        let index = usize::try_from(request).expect("few requests");
        &mut self.asked[index]
    }

    fn make(&mut self, by: Asker, node: usize, ask: Ask) -> RequestId {
        let Ask { command, token } = ask;
        let life = self.nodes[node].life;
        let (arrived, known, answered) = (false, 0, false);
        let asked = Asked { by, command, token, node, life, arrived, known, answered };
        self.asked.push(asked);
        self.asked.len() as u64 - 1
    }

    /// Sends a request to a node. It may be lost on the way.
    fn send(&mut self, by: Asker, node: usize, ask: Ask) {
        let request = self.make(by, node, ask);
        let ms = self.network_ms();
        if self.struck(Trouble::LostAnswers) && self.random.chance(300) {
            let ms = self.random.between(10, PATIENCE_MS);
            return self.after(ms, Event::Reaches { request, told: Told::Lost });
        }
        self.after(ms, Event::Arrives { node, message: Message::Request { request } });
    }

    /// A buyer does the next thing.
    pub(super) fn acts(&mut self, buyer: usize, turn: u32) {
        if self.buyers[buyer].turn != turn || self.empty {
            return;
        }
        let node = self.buyers[buyer].node;
        let shown = self.nodes[node]
            .process
            .as_ref()
            .map(|process| Arc::clone(&process.handle.publication()));
        let sale = shown.as_deref().map(|publication| &publication.sale);
        let deed = self.buyers[buyer].next(&self.knobs, self.ending, sale);
        for did in self.buyers[buyer].did() {
            self.counts.add("buyer", did);
        }
        let node = self.buyers[buyer].node;
        self.tell(|_| format!("buyer {buyer} at node {node}: {deed:?}"));
        let turn = turn + 1;
        self.buyers[buyer].turn = turn;
        match deed {
            Deed::Go => {}
            Deed::Wait(ms) => self.after(ms, Event::Acts { buyer, turn }),
            Deed::Poll(place) => {
                let ms = self.network_ms();
                let token_as_of = self.buyers[buyer].token_as_of;
                let message = Message::Poll { buyer, turn, place, token_as_of };
                self.after(ms, Event::Arrives { node, message });
                self.after(PATIENCE_MS, Event::Acts { buyer, turn });
            }
            Deed::Ask { ask, twice } => {
                if twice && self.knobs.has(Trouble::Repeats) && !self.ending {
                    let other = self.random.index(self.nodes.len());
                    self.counts.add("trouble", Trouble::Repeats.word());
                    let again = self.buyers[buyer].again(&ask);
                    self.send(Asker::Impatience, other, again);
                }
                self.send(Asker::Buyer { buyer, turn }, node, ask);
                self.after(PATIENCE_MS, Event::Acts { buyer, turn });
            }
        }
    }

    /// An operator does the next thing.
    pub(super) fn operates(&mut self, turn: u32) {
        if self.operator.turn != turn {
            return;
        }
        let Some(at) = self.operator.next_at() else { return };
        if at > self.now {
            return self.at(at, Event::Operates { turn });
        }
        let node = self.operator.node(self.nodes.len());
        let shown = self.nodes[node]
            .process
            .as_ref()
            .map(|process| Arc::clone(&process.handle.publication()));
        let sale = shown.as_deref().map(|publication| &publication.sale);
        let now = self.clock(node);
        let turn = turn + 1;
        self.operator.turn = turn;
        match self.operator.command(sale, now) {
            Some(command) => {
                self.tell(|_| format!("operator at node {node}: {command:?}"));
                self.send(Asker::Operator { turn }, node, Ask { command, token: None });
                self.after(PATIENCE_MS, Event::Operates { turn });
            }
            None => {
                let ms = self.operator.patience_ms();
                self.after(ms, Event::Operates { turn });
            }
        }
    }

    /// Something reaches a node.
    pub(super) fn arrives(&mut self, node: usize, message: Message) -> Result<(), Broken> {
        let runs = self.nodes[node].process.is_some();
        match message {
            Message::Request { request } if !runs => {
                let ms = self.network_ms();
                self.after(ms, Event::Reaches { request, told: Told::Lost });
                Ok(())
            }
            Message::Request { request } => {
                let (life, now) = (self.nodes[node].life, self.clock(node));
                let known = self.auditor.known();
                let asked = self.asked(request);
                (asked.arrived, asked.life, asked.known) = (true, life, known);
                let (by, command) = (asked.by, asked.command.clone());
                let instrument = asked.token.map(Token::instrument);
                if let Some(place) = place_of(&command) {
                    self.glance(node, place);
                }
                let actor = match by {
                    Asker::Operator { .. } => Actor::Operator,
                    Asker::Buyer { .. } | Asker::Impatience => Actor::Buyer,
                    Asker::System => Actor::System,
                };
                let asked = Request { command, actor, id: request, instrument, warrant: None };
                if let Some(process) = &mut self.nodes[node].process {
                    process.callers.insert(request, now);
                }
                self.put_in(node, Input::Request { request: Box::new(asked), to: request });
                Ok(())
            }
            Message::Poll { buyer, turn, .. } if !runs => {
                let ms = self.network_ms();
                self.after(ms, Event::Shown { buyer, turn, shown: Shown::Lost });
                Ok(())
            }
            Message::Poll { buyer, turn, place, token_as_of } => {
                let (known, since) = (self.auditor.known(), self.now);
                let stage = ReadStage::Recent(None);
                self.reads(node, Reader { buyer, turn, place, token_as_of, known, since, stage })?;
                // For what it asks for, if it waits.
                self.write_next(node);
                Ok(())
            }
        }
    }

    /// A poll that reached a node: answered from the newest publication, at least as new as what
    /// this buyer was told last by this node, and as the token says.
    fn reads(&mut self, node: usize, mut reader: Reader) -> Result<(), Broken> {
        let several = self.nodes.len() > 1;
        let process = self.nodes[node].process.as_mut().expect("it runs");
        let (now, entry) = (self.now, reader.place.entry);
        let tires = several && now.since(reader.since) >= READ_WAIT;
        if let ReadStage::Recent(look) = reader.stage {
            let looks = &process.looks;
            let is_over = look.is_some_and(|look| is_ready(looks.over(look)));
            let age = if !several || looks.is_recent(now.0) {
                Some(RECENT_MAX)
            } else if is_over || tires {
                if !looks.may_be_shown(now.0) {
                    return self.gives_up_reading(reader);
                }
                Some(SHOWN_MAX)
            } else {
                None
            };
            match age {
                Some(age) => reader.stage = ReadStage::Shown { since: now, age },
                None => {
                    let asked = look.unwrap_or_else(|| process.ask_for_look());
                    reader.stage = ReadStage::Recent(Some(asked));
                    process.readers.push(reader);
                    return Ok(());
                }
            }
        }
        if tires {
            return self.gives_up_reading(reader);
        }
        let is_behind = several && process.handle.is_behind(entry, reader.token_as_of);
        let Some(publication) = read_now(&process.handle, entry).filter(|_| !is_behind) else {
            process.wants_look |= is_behind;
            process.readers.push(reader);
            return Ok(());
        };
        let view = publication.sale.place(entry).filter(|view| view.place == reader.place);
        match reader.stage {
            ReadStage::Shown { since, age } if several && view.is_none() => {
                let look = process.ask_for_look();
                reader.stage = ReadStage::Confirmed { look, since, age };
                process.readers.push(reader);
                return Ok(());
            }
            ReadStage::Confirmed { look, .. } if !is_ready(process.looks.caught_up_with(look)) => {
                process.readers.push(reader);
                return Ok(());
            }
            ReadStage::Recent(_) | ReadStage::Shown { .. } | ReadStage::Confirmed { .. } => {}
        }
        let told = process.answered.get(&entry).copied().unwrap_or(0);
        if publication.as_of < told {
            let what = format!(
                "entry {entry} was told of batch {told} and reads batch {}",
                publication.as_of
            );
            return Err(Broken::of("own writes", what));
        }
        self.auditor.reads(&reader, &publication, view.is_some())?;
        self.counts.add("run", "polls");
        self.digest.number(publication.as_of);
        self.digest.number(u64::from(view.and_then(|view| view.position).unwrap_or(0)));
        self.auditor.shown(&publication, reader.place, view.as_ref())?;
        let shown = match view {
            None => Shown::NoPlace,
            Some(view) => {
                self.saw(node, &publication, &view);
                Shown::Place { view, as_of: publication.as_of }
            }
        };
        let (buyer, turn) = (reader.buyer, reader.turn);
        let lost = self.struck(Trouble::LostAnswers);
        let (ms, shown) = match lost {
            true => (self.random.between(10, PATIENCE_MS), Shown::Lost),
            false => (self.network_ms(), shown),
        };
        self.after(ms, Event::Shown { buyer, turn, shown });
        Ok(())
    }

    /// A read that can be answered with nothing that is new enough.
    fn gives_up_reading(&mut self, reader: Reader) -> Result<(), Broken> {
        let Reader { buyer, turn, .. } = reader;
        self.counts.add("run", "polls without an answer");
        if self.is_quiet() {
            return Err(Broken::of("own writes", format!("{reader:?} is not answered")));
        }
        let ms = self.network_ms();
        self.after(ms, Event::Shown { buyer, turn, shown: Shown::Lost });
        Ok(())
    }

    /// Those whose read waited for a publication look again.
    pub(super) fn read_again(&mut self, node: usize) -> Result<(), Broken> {
        let process = self.nodes[node].process.as_mut().expect("it runs");
        for reader in std::mem::take(&mut process.readers) {
            self.reads(node, reader)?;
        }
        Ok(())
    }

    /// While everything is sound, nobody waits long for a publication.
    pub(super) fn no_reader_waits(&self, node: usize) -> Result<(), Broken> {
        let process = self.nodes[node].process.as_ref().expect("it runs");
        match process.readers.iter().find(|reader| self.now.since(reader.since) > READ_MAX_MS) {
            None => Ok(()),
            Some(reader) => {
                let what =
                    format!("the read of {} waits since {}", reader.place.entry, reader.since.0);
                Err(Broken::of("own writes", what))
            }
        }
    }

    /// Every wait has an end: who asked is told something in time, and while everything is sound,
    /// soon.
    pub(super) fn no_caller_waits(&self, node: usize, now: Timestamp) -> Result<(), Broken> {
        let process = self.nodes[node].process.as_ref().expect("it runs");
        let sound_ms = self.now.since(self.troubled_until.plus(RECOVERY_MS));
        for (request, since) in &process.callers {
            let index = usize::try_from(*request).expect("few requests");
            let asked = &self.asked[index];
            let pays = payment_of(&asked.command);
            let waits_ms = now.since(*since);
            if waits_ms > if pays.is_some() { PAID_MAX_MS } else { ANSWER_MAX_MS } {
                let what = format!("it waits since {}: {asked:?}", since.0);
                return Err(Broken::of("answered", what));
            }
            // From when on there is an answer. Another node may have heard what this one asked.
            let told_by = match pays {
                None => Some(*since),
                Some(_) if self.nodes.len() > 1 => None,
                Some(payment) => self.auditor.settled_at(payment),
            };
            let late = told_by.is_some_and(|by| now.since(by) > PROMPT_MS);
            if late && sound_ms > waits_ms {
                let what = format!("it waits since {}: {asked:?}", since.0);
                return Err(Broken::of("prompt", what));
            }
        }
        Ok(())
    }

    /// A buyer with a token asks for something: that is a sign of life, and whoever decides it takes
    /// it for one.
    fn glance(&mut self, node: usize, place: Place) {
        let Some(process) = &self.nodes[node].process else { return };
        let publication = Arc::clone(&process.handle.publication());
        let view = publication.sale.place(place.entry).filter(|view| view.place == place);
        if let Some(view) = view {
            self.is_there(node, &view);
        }
    }

    fn is_there(&mut self, node: usize, view: &PlaceView) {
        let admitted = matches!(view.status, Status::Admitted { .. });
        self.auditor.saw(view.place.entry, self.clock(node), self.now, admitted);
    }

    /// Notes that the buyer of a place is there, as the engine's front does.
    fn saw(&mut self, node: usize, publication: &Publication, view: &PlaceView) {
        self.is_there(node, view);
        let now = self.clock(node);
        let Some(process) = &self.nodes[node].process else { return };
        if process.handle.saw(publication, view, now) {
            let command = Command::Seen { entries: vec![view.place.entry] };
            let request =
                self.make(Asker::System, node, Ask { command: command.clone(), token: None });
            self.asked(request).arrived = true;
            let actor = Actor::System;
            let seen = Request { command, actor, id: 0, instrument: None, warrant: None };
            self.put_in(node, Input::Request { request: Box::new(seen), to: request });
        }
    }

    /// A core answers a request.
    pub(super) fn replies(
        &mut self,
        request: RequestId,
        result: Result<Reply, Failure>,
    ) -> Result<(), Broken> {
        let index = usize::try_from(request).expect("few requests");
        let asked = &mut self.asked[index];
        if std::mem::replace(&mut asked.answered, true) {
            return Err(Broken::of("answered", format!("twice: {asked:?}")));
        }
        let asked = self.asked[index].clone();
        self.tell(|_| format!("request {request} is answered: {result:?}"));
        self.auditor.replied(request, &asked, &result)?;
        match &result {
            Ok(reply) => {
                self.note_reply(request, reply);
                match &reply.answer {
                    Ok(_) => self.counts.add("answer", crate::auditor::kind_of(&asked.command)),
                    Err(refusal) => self.counts.add("refusal", refusal.code()),
                }
            }
            Err(Failure::Overloaded) => self.counts.add("failure", "overloaded"),
            Err(Failure::Unavailable) => self.counts.add("failure", "unavailable"),
            Err(Failure::OutcomeUnknown) => self.counts.add("failure", "outcome_unknown"),
        }
        let (ms, told) = match self.struck(Trouble::LostAnswers) {
            true => (self.random.between(10, PATIENCE_MS), Told::Lost),
            false => (self.network_ms(), Told::Reply(result)),
        };
        self.after(ms, Event::Reaches { request, told });
        Ok(())
    }

    /// An answer reaches whoever asked.
    pub(super) fn reaches(&mut self, request: RequestId, told: &Told) {
        let asked = self.asked(request).clone();
        let reply = match told {
            Told::Reply(reply) => Some(reply),
            Told::Lost => None,
        };
        match asked.by {
            Asker::Impatience | Asker::System => {}
            Asker::Operator { turn } => {
                if turn != self.operator.turn {
                    return;
                }
                if let Some(Ok(_)) = reply {
                    self.operator.is_done();
                }
                let ms = self.operator.patience_ms();
                self.operator.turn += 1;
                let turn = self.operator.turn;
                self.after(ms, Event::Operates { turn });
            }
            Asker::Buyer { buyer, turn } => {
                if turn != self.buyers[buyer].turn {
                    return;
                }
                if reply.is_none() {
                    self.buyers[buyer].tries_elsewhere(&self.knobs);
                }
                let ask = Ask { command: asked.command, token: asked.token };
                self.buyers[buyer].was_told(&ask, reply);
                self.thinks(buyer);
            }
        }
    }

    /// The answer to a poll reaches a buyer.
    pub(super) fn shown(&mut self, buyer: usize, turn: u32, shown: Shown) {
        if turn != self.buyers[buyer].turn {
            return;
        }
        match shown {
            Shown::Place { view, as_of } => {
                let buyer = &mut self.buyers[buyer];
                buyer.was_shown(Some(view.status));
                // As the server does: who waits keeps the token.
                if !matches!(view.status, Status::Waiting { .. } | Status::Ended { .. }) {
                    buyer.token_as_of = as_of.max(buyer.token_as_of);
                }
            }
            Shown::NoPlace => {}
            Shown::Lost => self.buyers[buyer].tries_elsewhere(&self.knobs),
        }
        self.thinks(buyer);
    }

    fn thinks(&mut self, buyer: usize) {
        let ms = self.buyers[buyer].thinks_ms(&self.knobs, self.ending);
        self.buyers[buyer].turn += 1;
        let turn = self.buyers[buyer].turn;
        self.after(ms, Event::Acts { buyer, turn });
    }
}

/// A read that does not wait.
fn read_now(handle: &engine::SaleHandle, entry: EntryIndex) -> Option<Arc<Publication>> {
    now_or_never(handle.read(entry)).map(|publication| Arc::clone(&publication))
}

fn is_ready(future: impl Future<Output = ()>) -> bool {
    now_or_never(future).is_some()
}

fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

//! A node's deciding thread: what came in, the core, and what the core wants done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use domain::time::{Millis, Timestamp};
use engine::core::{Core, Look, Output};
use engine::{Config, Looks, SaleHandle, write_snapshot};
use store::codec::FORMAT_MAX;
use store::{Appended, Batch, Format};

use super::{Event, World};
use crate::archive::STREAM;
use crate::auditor::Broken;
use crate::clock::{Moment, NodeClock};
use crate::hall;
use crate::node::{
    BEAT_EVERY, Input, Job, LOOK_EVERY, Looked, Process, RETRY_AFTER, RequestId, SLEEP_MAX,
};
use crate::trial::Trouble;

/// How long a batch may be known and not shown, while everything is sound and nothing is written.
const SHOWN_MAX_MS: Millis = 1_500;

impl Process {
    /// The newest batches that this process knows.
    fn has_read(&mut self, batches: &[Batch]) {
        if let Some(last) = batches.last() {
            self.tip = last.head();
            self.last_at = self.last_at.max(Timestamp(last.at_ms));
        }
    }

    /// What a look found, as the driver takes it in.
    fn takes_in(&mut self, looked: Looked, now: Timestamp, out: &mut Vec<Output<RequestId>>) {
        let Some((head, heartbeat)) = looked.found else { return self.looks.fail(looked.look) };
        let is_asked = self.asked_look.take_if(|asked| *asked <= looked.look).is_some();
        let look = Look { head, began: looked.began, heartbeat, is_asked };
        self.core.looked(&look, now, out);
        if is_asked || heartbeat.is_some() || self.handle.publication().as_of < head.number {
            self.wake_at = now;
        }
        self.looked.push(looked);
    }
}

impl World {
    /// A machine starts its process, from what the journal has.
    pub(super) fn starts(&mut self, node: usize) -> Result<(), Broken> {
        if self.nodes[node].process.is_some() {
            return Ok(());
        }
        if self.now < self.outage_until {
            // There is nothing to start from.
            self.at(self.outage_until.plus(1), Event::Starts { node });
            return Ok(());
        }
        let recovered = self
            .archive
            .recover()
            .map_err(|error| Broken::of("recovered", format!("node {node}: {error}")))?;
        self.fold()?;
        self.auditor.recovered(&recovered, &self.archive)?;
        let alive_at = Timestamp(self.archive.alive_at_ms()).max(recovered.last_at);
        let store_now = self.store_clock.now(self.now);
        let machine = &mut self.nodes[node];
        let base = store_now.plus(machine.apart_ms).max(alive_at);
        machine.clock = NodeClock::start(base, machine.drift_ppm, self.now);
        machine.life += 1;
        let (life, now) = (machine.life, machine.clock.now(self.now));
        let config = Config {
            node: u64::from(life) << 8 | node as u64,
            publish_every: self.knobs.publish_every,
            queue_max: [20_000, 1_000, 8_000, 8_000, self.knobs.queue_max],
            payments_in_flight: self.knobs.payments_in_flight,
            snapshot_every: self.knobs.snapshot_every,
            follow_every: (self.knobs.nodes > 1).then_some(LOOK_EVERY),
            ..Config::default()
        };
        let (head, last_at) = (recovered.head, recovered.last_at);
        let mut core = Core::new(STREAM, recovered, Arc::new(config), alive_at, now);
        // Some hear later than others that the format was raised.
        let has_heard = (u64::from(life) + node as u64).is_multiple_of(2);
        core.may_write(if has_heard { FORMAT_MAX } else { Format::FIRST });
        let handle = SaleHandle::new(hall::sale(), STREAM.0, core.publication());
        self.auditor.started(node, &core.publication())?;
        self.nodes[node].process = Some(Process {
            core,
            handle,
            inbox: Vec::new(),
            jobs: VecDeque::new(),
            writing: false,
            turns: VecDeque::new(),
            taking_turn: false,
            has_lock: false,
            beat_at: Timestamp(0),
            idle_until: Moment(u64::MAX),
            steer_at: Timestamp(0),
            look_at: now,
            last_at,
            tip: head,
            looks: Looks::new(self.now.0),
            looking: false,
            wants_look: false,
            wants_heartbeat: false,
            asked_look: None,
            looked: Vec::new(),
            append_out: false,
            append_in_turn: false,
            catching_up: false,
            wake_at: Timestamp(0),
            turn_at: Moment(u64::MAX),
            callers: BTreeMap::new(),
            readers: Vec::new(),
            answered: BTreeMap::new(),
            killed_after: None,
        });
        self.lands_at_the_start();
        self.tell(|world| format!("node {node} starts at batch {}", world.archive.head()));
        self.write_next(node);
        self.wake(node, 0);
        Ok(())
    }

    /// Lets the deciding thread have a turn in `ms`, if none comes sooner.
    pub(super) fn wake(&mut self, node: usize, ms: u64) {
        let at = self.now.plus(ms);
        let life = self.nodes[node].life;
        let Some(process) = &mut self.nodes[node].process else { return };
        if at < process.turn_at {
            process.turn_at = at;
            self.at(at, Event::Turn { node, life });
        }
    }

    /// Something for the deciding thread.
    pub(super) fn put_in(&mut self, node: usize, input: Input) {
        let Some(process) = &mut self.nodes[node].process else { return };
        process.inbox.push(input);
        self.wake(node, 0);
    }

    pub(super) fn turn(&mut self, node: usize, life: u32) -> Result<(), Broken> {
        if !self.lives(node, life) {
            return Ok(());
        }
        let now = self.clock(node);
        let process = self.nodes[node].process.as_mut().expect("it lives");
        if self.now < process.turn_at {
            // Another turn was put before this one, and has been.
            return Ok(());
        }
        process.turn_at = Moment(u64::MAX);
        for input in std::mem::take(&mut process.inbox) {
            self.takes_in(node, input, now)?;
            if !self.lives(node, life) {
                return Ok(());
            }
        }
        let process = self.nodes[node].process.as_mut().expect("it lives");
        if process.wake_at <= now || process.core.owes_silence(now) {
            let mut out = Vec::new();
            process.core.advance(now, &mut out);
            self.put_out(node, out)?;
            let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
            process.has_lock = false;
            process.wake_at = process.core.next_wake(now);
        }
        let process = self.nodes[node].process.as_mut().expect("it lives");
        process.catch_up();
        self.read_again(node)?;
        let process = self.nodes[node].process.as_mut().expect("it lives");
        if process.beat_at <= now {
            let owes = process.core.owes_silence(now);
            process.beat_at = now.plus(if owes { RETRY_AFTER } else { BEAT_EVERY });
            if !owes {
                process.jobs.retain(|job| !matches!(job, Job::Beat { .. }));
                process.jobs.push_back(Job::Beat { at: now });
            }
        }
        let sleep = process.wake_at.min(process.beat_at).since(now).clamp(1, SLEEP_MAX);
        self.wake(node, sleep);
        self.write_next(node);
        self.no_caller_waits(node, now)?;
        if self.is_quiet() {
            self.auditor.pressing(now)?;
            self.no_reader_waits(node)?;
            self.shows_what_is_known(node, now)?;
            self.nothing_is_unheard()?;
        }
        Ok(())
    }

    /// While everything is sound, a process soon shows the last batch that it knows.
    fn shows_what_is_known(&self, node: usize, now: Timestamp) -> Result<(), Broken> {
        let process = self.nodes[node].process.as_ref().expect("it lives");
        let (shown, known) = (process.handle.publication().as_of, process.tip.number);
        let busy = process.append_out || process.catching_up;
        if busy || shown >= known || now.since(process.last_at) <= SHOWN_MAX_MS {
            return Ok(());
        }
        let what = format!("node {node} knows batch {known} and shows {shown}");
        Err(Broken::of("published", what))
    }

    fn takes_in(&mut self, node: usize, input: Input, now: Timestamp) -> Result<(), Broken> {
        let process = self.nodes[node].process.as_mut().expect("it lives");
        let mut out = Vec::new();
        // A heartbeat alone is no reason to look at a core, and the driver does not.
        let wakes = !matches!(input, Input::Beaten { .. } | Input::Looked(_));
        match input {
            Input::Request { request, to } => process.core.offer(*request, to, now, &mut out),
            Input::Written { append, answer } => {
                // One that failed may still be written: it is out until the answer is definite.
                process.append_out = answer.is_none();
                match answer {
                    Some(Appended::Appended | Appended::AlreadyThere) => {
                        process.last_at = Timestamp(append.batch.at_ms);
                        process.tip = append.batch.head();
                        process.core.appended(now, &mut out);
                    }
                    Some(Appended::Conflict { .. }) => {
                        self.counts.add("run", "conflicts");
                        process.core.conflict(&mut out);
                    }
                    None => process.core.append_failed(append, now),
                }
            }
            Input::Beaten { at } => process.core.heartbeat(at),
            Input::Looked(looked) => process.takes_in(looked, now, &mut out),
            Input::Batches { batches: Some(batches), .. } => {
                process.catching_up = false;
                process.has_read(&batches);
                process
                    .core
                    .caught_up(&batches, now, &mut out)
                    .map_err(|reason| Broken::of("read", format!("node {node}: {reason}")))?;
            }
            Input::Batches { after, batches: None } => {
                process.jobs.push_back(Job::CatchUp { after });
            }
            Input::Locked { newer: Some((batches, head)) } => {
                process.has_read(&batches);
                self.counts.add("run", "locks");
                process.has_lock = true;
                process
                    .core
                    .locked(&batches, head, now, &mut out)
                    .map_err(|reason| Broken::of("read", format!("node {node}: {reason}")))?;
            }
            Input::Locked { newer: None } => process.core.lock_failed(now),
            Input::CallFinished { payment, result } => {
                process.core.call_finished(payment, result, now);
            }
        }
        if wakes {
            process.wake_at = now;
        }
        self.put_out(node, out)
    }

    /// Does what a core wants done. A process that is killed in the middle leaves the rest undone.
    fn put_out(&mut self, node: usize, out: Vec<Output<RequestId>>) -> Result<(), Broken> {
        for output in out {
            let process = self.nodes[node].process.as_mut().expect("it lives");
            if let Some(left) = &mut process.killed_after {
                if *left == 0 {
                    self.kill(node);
                    return Ok(());
                }
                *left -= 1;
            }
            match output {
                Output::Append(append) => {
                    process.append_out = true;
                    process.append_in_turn = process.has_lock;
                    let jobs =
                        if process.has_lock { &mut process.turns } else { &mut process.jobs };
                    jobs.push_back(Job::Append(append));
                }
                Output::Reply { to, entry, result } => {
                    process.callers.remove(&to);
                    if let (Some(entry), Ok(reply)) = (entry, &result) {
                        process.handle.answered(entry, reply.as_of);
                        let last = process.answered.entry(entry).or_default();
                        *last = reply.as_of.max(*last);
                    }
                    self.replies(to, result)?;
                }
                Output::Publish(publication) => {
                    self.auditor.published(node, &publication)?;
                    self.digest.number(publication.as_of);
                    process.handle.publish(publication);
                    self.read_again(node)?;
                }
                Output::Call(call) => {
                    let now = self.clock(node);
                    self.auditor.called(&call, now)?;
                    self.begins(node, call)?;
                }
                Output::CatchUp { after } => {
                    process.catching_up = true;
                    process.jobs.push_back(Job::CatchUp { after });
                }
                Output::Lock { after } => process.turns.push_back(Job::Lock { after }),
                Output::Look { heartbeat } => {
                    process.wants_heartbeat |= heartbeat;
                    process.asked_look = Some(process.ask_for_look());
                }
                Output::Snapshot { sale, head } => {
                    let mut bytes = Vec::new();
                    write_snapshot(&sale, process.last_at, &mut bytes)
                        .expect("writing to memory does not fail");
                    let ms = self.random.between(1, 500);
                    self.after(ms, Event::Kept { head, bytes });
                }
            }
        }
        Ok(())
    }

    /// A process ends in the middle of whatever it does.
    pub(super) fn kill(&mut self, node: usize) {
        self.tell(|_| format!("node {node} is killed"));
        let Some(process) = self.nodes[node].process.take() else { return };
        self.counts.add("trouble", Trouble::Kill.word());
        for request in process.callers.into_keys() {
            let ms = self.random.between(1, 50);
            self.after(ms, Event::Reaches { request, told: super::Told::Lost });
        }
        for reader in process.readers {
            self.after(
                1,
                Event::Shown {
                    buyer: reader.buyer,
                    turn: reader.turn,
                    shown: super::asking::Shown::Lost,
                },
            );
        }
        let down = match self.random.chance(300) {
            true => self.random.between(10_000, 40_000),
            false => self.random.between(50, 5_000),
        };
        let down = if self.ending { 50 } else { down };
        self.troubled(down + 1_000);
        self.after(down, Event::Starts { node });
    }
}

//! A node's writing threads, and what happens to their writes on their way.

use domain::time::{Millis, Timestamp};
use store::{Append, Appended, Batch, Head};

use super::{Event, World};
use crate::auditor::Broken;
use crate::clock::Moment;
use crate::node::{Input, Job, LOOK_EVERY, Looked};
use crate::trial::Trouble;

/// How often the store's clock is looked at.
const STEER_EVERY: Millis = 2_000;

/// One lock in so many finds more than it reads.
const PART_OF: u64 = 8;

/// How an operation on the journal ended.
#[derive(Debug)]
pub(super) enum Done {
    /// The answer to an append; none is a failure.
    Append { append: Append, answer: Option<Appended> },
    /// The batches after this one can be read, or not.
    CatchUp { after: Head },
    /// A lock, with what was new when it was had and where the journal stood, or none.
    Lock { newer: Option<(Vec<Batch>, Head)> },
    /// A heartbeat with this time.
    Beat { at: Timestamp, written: bool },
    /// A look.
    Look(Looked),
}

impl World {
    /// The next operation of each of a node's writing threads that has none under way.
    pub(super) fn write_next(&mut self, node: usize) {
        self.look_next(node);
        self.take_turn_next(node);
        let (now, life) = (self.clock(node), self.nodes[node].life);
        let several = self.nodes.len() > 1;
        let Some(process) = &mut self.nodes[node].process else { return };
        if process.writing {
            return;
        }
        if now >= process.steer_at {
            process.steer_at = now.plus(STEER_EVERY);
            if self.now >= self.outage_until {
                let machine = &mut self.nodes[node];
                let store_now = self.store_clock.now(self.now).plus(machine.apart_ms);
                machine.clock.steer(store_now, self.now);
            }
        }
        let Some(process) = &mut self.nodes[node].process else { return };
        if let Some(job) = process.jobs.pop_front() {
            process.writing = true;
            return self.operate(node, job);
        }
        let idle = if several { process.look_at.min(process.steer_at) } else { process.steer_at };
        let until = self.now.plus(idle.since(now).max(1));
        if until < process.idle_until {
            process.idle_until = until;
            self.at(until, Event::Idle { node, life });
        }
    }

    /// The next operation of the thread that takes turns, when it has none under way.
    fn take_turn_next(&mut self, node: usize) {
        let Some(process) = &mut self.nodes[node].process else { return };
        if !process.taking_turn
            && let Some(job) = process.turns.pop_front()
        {
            process.taking_turn = true;
            self.operate(node, job);
        }
    }

    fn operate(&mut self, node: usize, job: Job) {
        match job {
            Job::Append(append) => self.append(node, append),
            Job::Beat { at } => self.beat(node, at),
            Job::CatchUp { after } => self.read(node, after),
            Job::Lock { after } => {
                let (there, back) = (self.journal_ms(), self.slow_ms());
                let life = self.nodes[node].life;
                self.after(there, Event::Locks { node, life, after, back });
            }
        }
    }

    /// The next look, when none is under way: now and then, and when somebody waits for one.
    fn look_next(&mut self, node: usize) {
        let (now, life) = (self.clock(node), self.nodes[node].life);
        let several = self.nodes.len() > 1;
        let Some(process) = &mut self.nodes[node].process else { return };
        if !several || process.looking || !(process.wants_look || now >= process.look_at) {
            return;
        }
        process.looking = true;
        process.look_at = now.plus(LOOK_EVERY);
        process.wants_look = false;
        let wants_heartbeat = std::mem::take(&mut process.wants_heartbeat);
        let look = process.looks.begin();
        let found = (self.now >= self.outage_until).then(|| {
            let heartbeat = wants_heartbeat.then(|| Timestamp(self.archive.heartbeat_ms()));
            // As it is now: what comes in until it is answered is not seen.
            (self.archive.head(), heartbeat)
        });
        let looked = Looked { look, began: now, began_at: self.now, found };
        let ms = self.journal_ms();
        self.after(ms, Event::Done { node, life, done: Done::Look(looked) });
    }

    /// The writing thread looks up.
    pub(super) fn is_idle(&mut self, node: usize, life: u32) {
        if !self.lives(node, life) {
            return;
        }
        let now = self.now;
        let process = self.nodes[node].process.as_mut().expect("it lives");
        if process.idle_until <= now {
            process.idle_until = Moment(u64::MAX);
        }
        self.write_next(node);
    }

    fn journal_ms(&mut self) -> Millis {
        self.random.between(0, self.knobs.journal_ms)
    }

    /// How long the journal takes this time.
    fn slow_ms(&mut self) -> Millis {
        if !self.struck(Trouble::SlowJournal) {
            return self.journal_ms();
        }
        let ms = self.random.scale(100, 14_000);
        self.troubled(ms);
        ms
    }

    fn beat(&mut self, node: usize, at: Timestamp) {
        let life = self.nodes[node].life;
        let written = self.now >= self.outage_until;
        if written {
            self.archive.beat(at.0);
            self.auditor.beat(at, self.now);
        }
        let ms = self.slow_ms();
        self.tell(|_| format!("node {node} beats at {}: {written}, known in {ms} ms", at.0));
        self.after(ms, Event::Done { node, life, done: Done::Beat { at, written } });
    }

    /// What is read when it is answered: what comes in until then is seen.
    fn read(&mut self, node: usize, after: Head) {
        let life = self.nodes[node].life;
        let ms = self.slow_ms();
        self.after(ms, Event::Done { node, life, done: Done::CatchUp { after } });
    }

    /// A lock is there, and what is new is read: what comes in until the answer is there is not seen.
    ///
    /// It keeps nobody out here. A real one does only as long as all goes well, so nothing may rely on it.
    pub(super) fn locks(
        &mut self,
        node: usize,
        life: u32,
        after: Head,
        back: Millis,
    ) -> Result<(), Broken> {
        if !self.lives(node, life) {
            return Ok(());
        }
        let newer = self.found(node, after)?.map(|mut batches| {
            let head = batches.last().map_or(after, Batch::head);
            // Now and then there is no room for all of it.
            if head.number.is_multiple_of(PART_OF) {
                batches.truncate(batches.len().div_ceil(2));
            }
            (batches, head)
        });
        self.after(back, Event::Done { node, life, done: Done::Lock { newer } });
        Ok(())
    }

    /// What was read after a batch, if the journal can be reached.
    fn found(&mut self, node: usize, after: Head) -> Result<Option<Vec<Batch>>, Broken> {
        if self.now < self.outage_until {
            return Ok(None);
        }
        let found = self.archive.after(after);
        let found = found.map_err(|error| Broken::of("read", format!("node {node}: {error}")))?;
        self.archive.know_all();
        self.fold()?;
        Ok(Some(found))
    }

    fn append(&mut self, node: usize, append: Append) {
        let life = self.nodes[node].life;
        let failed = |append| Done::Append { append, answer: None };
        if self.now < self.outage_until {
            let ms = self.random.between(1, 300);
            return self.after(ms, Event::Done { node, life, done: failed(append) });
        }
        let (there, back) = (self.slow_ms(), self.journal_ms());
        if self.struck(Trouble::FailBefore) {
            self.troubled(there + 300);
            return self.after(there, Event::Done { node, life, done: failed(append) });
        }
        if self.struck(Trouble::FailAfter) {
            self.troubled(there + back + 300);
            let unanswered = Event::Lands { append: append.clone(), answer: None };
            self.after(there, unanswered);
            return self.after(there + back, Event::Done { node, life, done: failed(append) });
        }
        if self.struck(Trouble::WriteUnderWay) {
            let late = there + self.random.scale(1, 20_000);
            self.troubled(there + 300);
            let write = self.noted;
            self.under_way.insert(write, append.clone());
            self.after(late, Event::LandsLate { write });
            return self.after(there, Event::Done { node, life, done: failed(append) });
        }
        self.after(there, Event::Lands { append, answer: Some((node, life, back)) });
    }

    /// A process starts, and what the one before it had on its way comes in before its own.
    pub(super) fn lands_at_the_start(&mut self) {
        if self.under_way.is_empty() || self.random.chance(500) {
            return;
        }
        for write in self.under_way.keys().copied().collect::<Vec<_>>() {
            let ms = self.random.between(0, 2 * self.knobs.journal_ms);
            self.after(ms, Event::LandsLate { write });
        }
    }

    /// A write reaches the journal.
    pub(super) fn lands(
        &mut self,
        append: Append,
        answer: Option<(usize, u32, Millis)>,
    ) -> Result<(), Broken> {
        if self.now < self.outage_until {
            // It met the outage on its way.
            if let Some((node, life, back)) = answer {
                let done = Done::Append { append, answer: None };
                self.after(back, Event::Done { node, life, done });
            }
            return Ok(());
        }
        let landed = self.archive.land(&append).map_err(|what| Broken::of("journal", what))?;
        if let Appended::Appended = landed {
            self.auditor.wrote(Timestamp(append.batch.at_ms));
        }
        self.tell(|_| {
            let answered = if answer.is_some() { "" } else { ", and nobody is told" };
            let says = store::codec::read_records(&append.batch.body);
            let (head, at_ms) = (append.batch.head(), append.batch.at_ms);
            format!("batch {head} of {at_ms} lands: {landed:?}{answered}: {says:?}")
        });
        let Some((node, life, back)) = answer else {
            // Now the standby lacks a batch that is written and that nobody was told of.
            if self.knobs.has(Trouble::Failover) && !self.ending && self.random.chance(50) {
                self.fail_over(0);
            }
            return Ok(());
        };
        if let Appended::Appended | Appended::AlreadyThere = landed {
            self.archive.know(append.batch.number);
            self.fold()?;
        }
        if let Appended::Conflict { .. } = landed
            && self.knobs.has(Trouble::Outage)
            && self.random.chance(100)
        {
            // Just when what came in between is to be read.
            self.after(0, Event::Relapses);
        }
        let done = Done::Append { append, answer: Some(landed) };
        self.after(back, Event::Done { node, life, done });
        Ok(())
    }

    /// The auditor reads what has become known.
    pub(super) fn fold(&mut self) -> Result<(), Broken> {
        self.auditor.is_sound(self.troubled_until, self.now);
        self.auditor.read(&self.archive, &self.asked, self.now)
    }

    /// An operation is over.
    pub(super) fn done(&mut self, node: usize, life: u32, done: Done) -> Result<(), Broken> {
        if !self.lives(node, life) {
            return Ok(());
        }
        if let Some(process) = &mut self.nodes[node].process {
            match done {
                Done::Look(_) => process.looking = false,
                Done::Lock { .. } => process.taking_turn = false,
                Done::Append { .. } if process.append_in_turn => process.taking_turn = false,
                Done::Append { .. } | Done::CatchUp { .. } | Done::Beat { .. } => {
                    process.writing = false;
                }
            }
        }
        match done {
            Done::Append { append, answer } => {
                if answer.is_none() {
                    self.counts.add("run", "failed appends");
                }
                self.put_in(node, Input::Written { append, answer });
            }
            Done::CatchUp { after } => {
                let batches = self.found(node, after)?;
                self.put_in(node, Input::Batches { after, batches });
            }
            Done::Lock { newer } => self.put_in(node, Input::Locked { newer }),
            Done::Beat { at, written } => {
                if written {
                    self.put_in(node, Input::Beaten { at });
                    if self.is_quiet() {
                        let now = self.clock(node);
                        self.auditor.outlived(now)?;
                        self.auditor.is_sound(self.troubled_until, self.now);
                        self.auditor.is_heard_of(self.now)?;
                    }
                }
            }
            Done::Look(looked) => self.put_in(node, Input::Looked(looked)),
        }
        self.write_next(node);
        Ok(())
    }

    /// A snapshot is written.
    pub(super) fn kept(&mut self, head: Head, bytes: Vec<u8>) {
        self.counts.add("run", "snapshots");
        self.archive.keep_snapshot(head, bytes);
        if self.knobs.has(Trouble::BadSnapshots)
            && !self.ending
            && self.random.chance(300)
            && let Some(bytes) = self.archive.snapshot()
        {
            bytes.truncate(bytes.len() / 2);
            self.counts.add("trouble", Trouble::BadSnapshots.word());
        }
    }
}

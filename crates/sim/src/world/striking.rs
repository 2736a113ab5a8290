//! Troubles that strike by themselves, and their end.

use domain::time::Millis;

use super::{Event, World};
use crate::clock::Moment;
use crate::trial::Trouble;

/// What a trouble does to the node that it strikes.
type Strike = fn(&mut World, usize);

/// What strikes by itself, and how.
const BY_THEMSELVES: [(Trouble, Strike); 5] = [
    (Trouble::Outage, World::outage),
    (Trouble::Failover, World::fail_over),
    (Trouble::Kill, World::kill_some_time),
    (Trouble::Freeze, World::freeze),
    (Trouble::ClockSet, World::set_clock),
];

impl World {
    pub(super) fn begin_troubles(&mut self) {
        for (trouble, _) in BY_THEMSELVES {
            self.strikes_later(trouble);
        }
    }

    /// No trouble begins from here on; those that have begun run out.
    pub(super) fn end_troubles(&mut self) {
        self.ending = true;
        self.operator.ends();
        self.now = self.now.max(self.troubled_until);
        for node in 0..self.nodes.len() {
            if let Some(process) = &mut self.nodes[node].process {
                process.killed_after = None;
            }
            self.at(self.now, Event::Starts { node });
        }
    }

    fn strikes_later(&mut self, trouble: Trouble) {
        if self.knobs.has(trouble) {
            let ms = self.random.between(1, 2 * self.knobs.pause);
            self.after(ms, Event::Strikes { trouble });
        }
    }

    pub(super) fn strikes(&mut self, trouble: Trouble) {
        if self.ending {
            return;
        }
        let node = self.random.index(self.nodes.len());
        let how = BY_THEMSELVES.iter().find(|(other, _)| *other == trouble);
        let (_, strike) = how.expect("only what strikes by itself is on the agenda");
        strike(self, node);
        self.strikes_later(trouble);
    }

    fn outage(&mut self, _: usize) {
        let ms = self.random.scale(500, 45_000);
        self.no_journal_for(ms);
        self.counts.add("trouble", Trouble::Outage.word());
        if self.random.chance(300) {
            let ms = self.random.between(1, 4 * self.knobs.journal_ms);
            self.at(self.outage_until.plus(ms), Event::Relapses);
        }
    }

    /// What has just come back goes away again.
    pub(super) fn relapses(&mut self) {
        if !self.ending {
            self.outage(0);
        }
    }

    pub(super) fn fail_over(&mut self, _: usize) {
        let lost = self.archive.fail_over() as u64;
        let ms = self.random.scale(100, 5_000);
        self.tell(|_| format!("the standby takes over and lacks {lost} batches"));
        self.no_journal_for(ms);
        self.counts.add("trouble", Trouble::Failover.word());
        self.counts.add_many("run", "batches lost by a failover", lost);
    }

    /// At once, or between two of the things that the process is about to do.
    fn kill_some_time(&mut self, node: usize) {
        let after = self.random.below(6);
        if self.random.chance(300) {
            self.kill(node);
        } else if let Some(process) = &mut self.nodes[node].process {
            process.killed_after = Some(after);
        }
    }

    fn set_clock(&mut self, _: usize) {
        // Several nodes share one clock, and that is never far off.
        let most = if self.nodes.len() > 1 { 1_000 } else { 4_000_000 };
        let by = i64::try_from(self.random.scale(1, most)).expect("an hour or so");
        let by = if self.random.chance(500) { by } else { -by };
        self.store_clock.set_by_ms = by;
        self.tell(|_| format!("the store's clock is set {by} ms off"));
        self.counts.add("trouble", Trouble::ClockSet.word());
    }

    fn no_journal_for(&mut self, ms: Millis) {
        self.tell(|_| format!("the journal cannot be reached for {ms} ms"));
        self.outage_until = self.outage_until.max(self.now.plus(ms));
        self.troubled(ms + 1_000);
    }

    fn freeze(&mut self, node: usize) {
        let ms = self.random.scale(100, 60_000);
        let until: Moment = self.now.plus(ms);
        // Of several nodes none has a clock that is far behind; see the auditor's list of what is not
        // checked.
        let may_stand = self.nodes.len() == 1 || ms <= 3_000;
        let suspended = self.random.chance(500) && may_stand;
        self.tell(|_| format!("node {node} stops for {ms} ms"));
        self.counts.add("trouble", Trouble::Freeze.word());
        let machine = &mut self.nodes[node];
        if machine.is_frozen(self.now) {
            return;
        }
        machine.frozen_until = until;
        if suspended {
            machine.clock.stand(self.now, until);
        }
        self.troubled(ms + 500);
    }
}

//! Silences of the store: each of ten seconds or more must have been taken out of the clock before
//! anything else happens after it.

use std::collections::BTreeSet;

use domain::event::Event;
use domain::time::Timestamp;

use super::Broken;
use super::fold::Reading;
use super::history::{History, Stage};
use crate::clock::{Moment, START};
use crate::knobs::Knobs;
use crate::node::BEAT_EVERY;

const SILENCE_MS: u64 = 10_000;
/// Two seconds between the clocks, two between heartbeats, and one on the way.
const APART_MS: u64 = 5_000;

/// When the store was written, as far as it matters.
#[derive(Debug)]
pub(super) struct Silence {
    last_ms: u64,
    /// When heartbeats were written, in true time, by somebody who was at work just then.
    beats: BTreeSet<u64>,
    /// Silences that nobody has taken out yet: from, to.
    owed: Vec<(u64, u64)>,
    /// How far several nodes may differ in what they call a silence: their clocks, their heartbeats,
    /// and when each of them was heard of last.
    apart_ms: u64,
}

impl Silence {
    pub(super) fn new(knobs: &Knobs) -> Self {
        let apart_ms = if knobs.nodes > 1 { APART_MS } else { 0 };
        Self { last_ms: 0, beats: BTreeSet::new(), owed: Vec::new(), apart_ms }
    }

    /// A heartbeat of this time is written now. One that was under way for long says nothing of the
    /// time meanwhile.
    pub(super) fn beat(&mut self, at: Timestamp, now: Moment) {
        let now = START.plus(now.0);
        if now.since(at) <= BEAT_EVERY {
            self.beats.insert(now.0);
        }
        self.wrote(at);
    }

    /// The store was written with this time.
    pub(super) fn wrote(&mut self, at: Timestamp) {
        // A batch that was under way all the while was made at its time, and nothing before it owes.
        for (since, upto) in &mut self.owed {
            if at.0 <= *upto {
                *since = at.0.max(*since);
            }
        }
        self.forgive();
        if self.last_ms > 0 {
            self.owed.push((self.last_ms, at.0));
            self.forgive();
        }
        self.last_ms = self.last_ms.max(at.0);
    }

    /// What is too short is no silence.
    fn forgive(&mut self) {
        let least = SILENCE_MS + self.apart_ms;
        self.owed.retain(|(since, upto)| upto.saturating_sub(*since) >= least);
    }

    /// Of several nodes none may take for a silence what was none for the others.
    fn was_one(&self, from: u64, to: u64) -> Result<(), Broken> {
        let inside = from + self.apart_ms + 1..to.saturating_sub(self.apart_ms);
        if self.apart_ms == 0 || inside.is_empty() {
            return Ok(());
        }
        match self.beats.range(inside).next() {
            None => Ok(()),
            Some(at) => {
                Err(Broken::of("gap", format!("from {from} to {to}, with a heartbeat at {at}")))
            }
        }
    }

    /// An event that is read.
    pub(super) fn event(
        &mut self,
        event: &Event,
        reading: &Reading,
        history: &History,
    ) -> Result<(), Broken> {
        if *history.stage.now() == Stage::Nothing {
            self.owed.clear();
            return Ok(());
        }
        if let Event::Resumed { gap, until } = event {
            // A long one may be taken out in pieces.
            let (from, to) = (until.0 - gap, until.0);
            self.was_one(from, to)?;
            for (since, _) in &mut self.owed {
                if from <= *since + BEAT_EVERY + self.apart_ms {
                    *since = to.max(*since);
                }
            }
            self.forgive();
            return Ok(());
        }
        match self.owed.iter().find(|(_, upto)| upto + self.apart_ms < reading.to_ms) {
            None => Ok(()),
            Some((from, to)) => Err(Broken::of(
                "silence",
                format!("nothing was written from {from} to {to}, and then {event:?}"),
            )),
        }
    }
}

//! Who was there: while everything is sound, nobody who asks as told loses a turn or a place.

use std::collections::BTreeMap;
use std::ops::Range;

use domain::event::Event;
use domain::id::EntryIndex;
use domain::time::{Millis, Timestamp};

use super::Broken;
use super::fold::Reading;
use super::history::{History, Standing};
use crate::clock::Moment;
use crate::knobs::Knobs;

/// After so long every mark of every node has been looked at; their clocks may differ by two
/// seconds.
const LOOKED_AT_MS: Millis = 5_000;
/// How long before the end of a turn somebody must have come, to be counted: a request that comes
/// in the last moment may be decided after the end.
const LAST_MOMENT_MS: Millis = 1_500;
/// So long after a buyer was seen, a node has looked at its marks, and has tried again when others
/// came first.
const HEARD_MS: Millis = 4_000;
/// How far the clocks of several nodes may differ, in seconds, and that of one from itself: it counts
/// in whole ones.
const APART_S: u32 = 5;
const ROUNDED_S: u32 = 2;
/// More at the front than these are not looked at every second.
const FRONT: usize = 500;
/// Parts of the line of which one is looked through for old places in a second, at the most.
const PARTS_MAX: u32 = 16;

/// When a node saw a buyer.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    /// By the node's clock, which may be set.
    by_node: Timestamp,
    at: Moment,
}

/// When nodes saw whom.
#[derive(Debug)]
pub(super) struct Presence {
    saw: BTreeMap<EntryIndex, Vec<Sighting>>,
    /// When somebody whose turn it is was first seen to be there.
    came: BTreeMap<EntryIndex, Timestamp>,
    /// Since when everything has been sound, and until when.
    pub(super) sound: Range<Moment>,
    alone: bool,
    /// A mark that is shed is left again, a second later at the soonest.
    sheds: bool,
}

impl Presence {
    pub(super) fn new(knobs: &Knobs) -> Self {
        Self {
            saw: BTreeMap::new(),
            came: BTreeMap::new(),
            sound: Moment(0)..Moment(0),
            alone: knobs.nodes == 1,
            sheds: knobs.queue_max < 100,
        }
    }

    /// A node saw the buyer of a place, and told whether it is the buyer's turn.
    pub(super) fn saw(
        &mut self,
        entry: EntryIndex,
        now: Timestamp,
        moment: Moment,
        admitted: bool,
    ) {
        self.saw.entry(entry).or_default().push(Sighting { by_node: now, at: moment });
        if admitted {
            self.came.entry(entry).or_insert(now);
        }
    }

    /// While everything is sound, the journal soon knows of those at the front who are there, as
    /// finely as a quarter of the `presence_window`.
    pub(super) fn is_heard_of(&self, history: &History, moment: Moment) -> Result<(), Broken> {
        let window = history.limits.presence_window;
        if self.sheds || !self.is_sound_for(window) || history.entries.len() > FRONT {
            return Ok(());
        }
        let apart_s = if self.alone { ROUNDED_S } else { APART_S };
        for (entry, saw) in &self.saw {
            let of = &history.entries[entry.at()];
            if *of.standing.now() != Standing::Waiting {
                continue;
            }
            let heard = saw.partition_point(|saw| moment.since(saw.at) >= HEARD_MS);
            let Some(last) = heard.checked_sub(1) else { continue };
            let Sighting { by_node: saw, at } = saw[last];
            if moment.since(at) > u64::from(window - 2) * 1_000 {
                continue;
            }
            let saw_s = saw.0.saturating_sub(history.offset_ms) / 1_000;
            let least_s = saw_s.saturating_sub(u64::from((window / 4).max(1) + apart_s));
            if u64::from(of.seen) < least_s {
                let what =
                    format!("{entry} was seen at {}, and the journal knows {}", saw.0, of.seen);
                return Err(Broken::of("faithful", what));
            }
        }
        Ok(())
    }

    /// An event that is read.
    pub(super) fn event(
        &mut self,
        event: &Event,
        reading: &Reading,
        history: &History,
    ) -> Result<(), Broken> {
        if let Event::Admitted { entry, .. } = event {
            self.came.remove(entry);
        }
        if self.sheds {
            return Ok(());
        }
        if let Event::PassedOver { entry } = event {
            return self.passed_over(*entry, reading, history);
        }
        if let Event::TurnMissed { visit, .. } = event {
            let entry = history.visits.get(visit.at()).map(|visit| EntryIndex::after(visit.entry));
            return entry.map_or(Ok(()), |entry| self.turn_missed(entry, reading));
        }
        if let Event::PlacesExpired { until, .. } = event {
            return self.places_expired(until.0, reading, history);
        }
        Ok(())
    }

    fn is_sound_for(&self, seconds: u32) -> bool {
        self.sound_ms() > u64::from(seconds) * 1_000 + 5_000
    }

    fn sound_ms(&self) -> Millis {
        self.sound.end.since(self.sound.start)
    }

    /// When somebody was seen within these milliseconds before the end of a batch, by a clock that has
    /// not been set since. Who comes in the batch's last millisecond, or while it is on its way, may
    /// have come after it was decided.
    fn seen_within(
        &self,
        entry: EntryIndex,
        within_ms: &Range<Millis>,
        reading: &Reading,
    ) -> Option<Timestamp> {
        let saw = self.saw.get(&entry)?;
        let since_it_is_sound = saw.iter().rev().take_while(|saw| saw.at >= self.sound.start);
        let mut by_node = since_it_is_sound.map(|saw| saw.by_node);
        by_node.find(|saw| {
            let ago_ms = reading.to_ms.checked_sub(saw.0).filter(|ago_ms| *ago_ms > 0);
            ago_ms.is_some_and(|ago_ms| within_ms.contains(&ago_ms))
        })
    }

    fn passed_over(
        &self,
        entry: EntryIndex,
        reading: &Reading,
        history: &History,
    ) -> Result<(), Broken> {
        let window = history.limits.presence_window;
        // A node that saw somebody knows so at once. Of other nodes' it hears once a second, and
        // what it hears may be a quarter of the window old.
        let within_ms = if self.alone {
            0..u64::from(window - 1) * 1_000
        } else {
            LOOKED_AT_MS..u64::from(window - window / 4).saturating_sub(3) * 1_000
        };
        match self.seen_within(entry, &within_ms, reading) {
            Some(saw) if self.is_sound_for(window) => Err(Broken::of(
                "faithful",
                format!("{entry} was seen at {} and passed over by {}", saw.0, reading.to_ms),
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn turn_missed(&mut self, entry: EntryIndex, reading: &Reading) -> Result<(), Broken> {
        let came = self.came.remove(&entry);
        let in_time = came.filter(|came| reading.to_ms.saturating_sub(came.0) > LAST_MOMENT_MS);
        match in_time {
            Some(came) if self.alone && self.sound_ms() > reading.to_ms.saturating_sub(came.0) => {
                let what = format!(
                    "{entry} came at {} and has missed its turn by {}",
                    came.0, reading.to_ms
                );
                Err(Broken::of("faithful", what))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn places_expired(
        &self,
        until: u32,
        reading: &Reading,
        history: &History,
    ) -> Result<(), Broken> {
        let ttl = history.limits.place_ttl;
        // What is half as old as a place may be is journalled, within one walk along the line.
        let within_s = (ttl / 2).saturating_sub((ttl / 8).clamp(1, PARTS_MAX) + 3);
        let within_ms = 0..u64::from(within_s) * 1_000;
        if !self.alone || !self.is_sound_for(ttl) || ttl != history.place_ttl_max {
            return Ok(());
        }
        for (index, entry) in history.entries.iter().enumerate() {
            if !entry.standing.now().is_in_line() || entry.seen > until {
                continue;
            }
            if let Some(saw) = self.seen_within(EntryIndex::after(index), &within_ms, reading) {
                let what =
                    format!("{index} was seen at {} and expired by {}", saw.0, reading.to_ms);
                return Err(Broken::of("faithful", what));
            }
        }
        Ok(())
    }
}

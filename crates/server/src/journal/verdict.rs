//! Whether a sale's history is sound: every batch read and applied, every invariant counted anew.
//!
//! The journal itself sees to the chain: numbers without a gap, each batch behind the one it names,
//! checksums, times that never go back. Counting everything costs as much as the sale is large, so
//! it is done when enough has happened since the last time: after every batch of a small sale, every
//! few hundred events of an arena, and always at the end.

use std::fmt;

use domain::Sale;
use domain::sale::Broken;
use engine::{Replayed, replay};
use store::{Head, Journal, StreamId};

/// What counting anew may cost for each event, in seats and entries looked at.
const LOOKS_PER_EVENT: usize = 64;

/// What was found in one stream.
#[derive(Debug, Default)]
pub(super) struct Inspection {
    batches: u64,
    events: usize,
    checks: u64,
    events_since_check: usize,
    /// What is wrong, and the last batch that was applied then.
    fault: Option<(Option<u64>, Fault)>,
}

#[derive(Debug)]
enum Fault {
    Invariant(Broken),
    Unreadable(String),
}

impl Inspection {
    /// Replays a stream and checks it.
    pub(super) fn of(journal: &dyn Journal, stream: StreamId) -> Self {
        let mut inspection = Self::default();
        match replay(journal, stream, |replayed| inspection.look_at(&replayed)) {
            Ok(recovered) => {
                let end = (recovered.head != Head::EMPTY).then_some(recovered.head.number);
                inspection.check(&recovered.sale, end);
            }
            Err(error) => {
                let fault = Fault::Unreadable(error.to_string());
                inspection.fault.get_or_insert((None, fault));
            }
        }
        inspection
    }

    /// Whether nothing is wrong.
    pub(super) fn is_sound(&self) -> bool {
        self.fault.is_none()
    }

    fn look_at(&mut self, Replayed { batch, records, sale }: &Replayed<'_>) {
        let events = records.iter().map(|record| record.events.len()).sum::<usize>();
        self.batches += 1;
        self.events += events;
        self.events_since_check += events;
        let size = sale.hall().map_or(0, |hall| hall.seats().len()) + sale.line().joined();
        if self.events_since_check * LOOKS_PER_EVENT >= size {
            self.check(sale, Some(batch.number));
        }
    }

    /// Counts everything, unless a fault was found before: what follows one means little.
    fn check(&mut self, sale: &Sale, after: Option<u64>) {
        if self.fault.is_some() {
            return;
        }
        self.checks += 1;
        self.events_since_check = 0;
        self.fault = sale.check().err().map(|broken| (after, Fault::Invariant(broken)));
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batches, events, checks, .. } = self;
        match &self.fault {
            None => write!(
                f,
                "sound: {batches} batches, {events} events, all invariants hold ({checks} checks)"
            ),
            Some((after, Fault::Invariant(Broken { invariant, found }))) => {
                let after = after.unwrap_or_default();
                write!(
                    f,
                    "BROKEN: invariant {invariant} does not hold after batch {after}: {found}"
                )
            }
            Some((_, Fault::Unreadable(why))) => write!(f, "BROKEN: {why}"),
        }
    }
}

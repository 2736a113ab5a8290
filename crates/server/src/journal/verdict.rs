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
use store::ledger::{Differences, Ledger, LedgerError};
use store::{Head, Journal, StreamId};

/// What counting anew may cost for each event, in seats and entries looked at.
const LOOKS_PER_EVENT: usize = 64;

/// What was found in one stream.
#[derive(Debug, Default)]
pub(super) struct Inspection<'l> {
    /// The ledger, and the last batch of the stream that is in it.
    beside: Option<(&'l mut Ledger, u64)>,
    batches: u64,
    events: usize,
    checks: u64,
    events_since_check: usize,
    /// What the ledger says, where there is one.
    ledger: Option<Compared>,
    /// What is wrong, and the last batch that was applied then.
    fault: Option<(Option<u64>, Fault)>,
}

/// What the ledger says.
#[derive(Debug)]
enum Compared {
    /// Nothing yet.
    Nothing,
    /// This, with a batch.
    After(u64, Result<Differences, LedgerError>),
}

#[derive(Debug)]
enum Fault {
    Invariant(Broken),
    Unreadable(String),
}

impl<'l> Inspection<'l> {
    /// Replays a stream and checks it, and the ledger beside it.
    pub(super) fn of(
        journal: &dyn Journal,
        stream: StreamId,
        ledger: Option<&'l mut Ledger>,
    ) -> Self {
        let compared = ledger.as_ref().map(|_| Compared::Nothing);
        let beside = ledger.and_then(|ledger| Some((ledger.batch(stream)?, ledger)));
        let beside = beside.map(|(last, ledger)| (ledger, last));
        let mut inspection = Self { beside, ledger: compared, ..Self::default() };
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
        let same = match &self.ledger {
            None | Some(Compared::Nothing) => true,
            Some(Compared::After(_, Ok(differences))) => differences.count == 0,
            Some(Compared::After(_, Err(_))) => false,
        };
        self.fault.is_none() && same
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
        // One that is behind is compared with the sale as it was then.
        if let Some((ledger, last)) = &mut self.beside
            && *last == batch.number
        {
            self.ledger = Some(Compared::After(*last, ledger.compare(sale)));
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

impl fmt::Display for Inspection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.say_fault(f)?;
        match &self.ledger {
            None => Ok(()),
            Some(Compared::Nothing) => write!(f, "; the ledger has nothing of it yet"),
            Some(Compared::After(batch, Ok(differences))) if differences.count == 0 => {
                write!(f, "; the ledger says the same after batch {batch}")
            }
            Some(Compared::After(batch, Ok(Differences { count, told }))) => {
                write!(f, "; THE LEDGER DIFFERS after batch {batch}, {count} times:")?;
                told.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
            }
            Some(Compared::After(_, Err(error))) => {
                write!(f, "; THE LEDGER cannot be read: {error}")
            }
        }
    }
}

impl Inspection<'_> {
    fn say_fault(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

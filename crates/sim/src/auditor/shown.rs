//! What readers are shown: publications, and places in them.

use std::collections::BTreeMap;

use domain::id::{EntryIndex, Place, ReservationIndex, SeatIndex};
use domain::reservation::ReservationState;
use domain::sale::{Phase, PlaceView, Status};
use domain::seats::SeatState;
use engine::Publication;

use super::history::{HoldState, SeatOwner, Stage, Standing, Tally};
use super::{Auditor, Broken};

/// Every so many publications, one is compared to the last seat.
const WHOLE_EVERY: u64 = 24;

impl Auditor {
    /// A node has started and shows this.
    pub(crate) fn started(&mut self, node: usize, publication: &Publication) -> Result<(), Broken> {
        self.shown[node] = 0;
        self.published(node, publication)
    }

    /// A node publishes.
    pub(crate) fn published(
        &mut self,
        node: usize,
        publication: &Publication,
    ) -> Result<(), Broken> {
        let as_of = publication.as_of;
        let before = std::mem::replace(&mut self.shown[node], as_of);
        if as_of < before {
            let what = format!("node {node} showed batch {before} and shows {as_of}");
            return Err(Broken::of("published", what));
        }
        let Some(page) = self.history.page(as_of) else {
            let what = format!("batch {as_of} is shown, and {} is known", self.history.head());
            return Err(Broken::of("durable", what));
        };
        let tally = tally_of(publication);
        if tally != page.tally {
            let what = format!("batch {as_of} is {:?} and is shown as {tally:?}", page.tally);
            return Err(Broken::of("published", what));
        }
        let stage = match publication.sale.phase() {
            Phase::Unscheduled => Stage::Nothing,
            Phase::Scheduled => Stage::Scheduled,
            Phase::Open => Stage::Open,
            Phase::Paused => Stage::Paused,
            Phase::Closed => Stage::Closed,
        };
        if self.history.stage.after(as_of) != Some(&stage) {
            return Err(Broken::of("published", format!("batch {as_of} is shown as {stage:?}")));
        }
        self.publications += 1;
        if self.publications.is_multiple_of(WHOLE_EVERY) {
            self.whole(publication)?;
        }
        Ok(())
    }

    /// Compares everything that a publication says.
    pub(super) fn whole(&self, publication: &Publication) -> Result<(), Broken> {
        let (sale, as_of) = (&publication.sale, publication.as_of);
        sale.check().map_err(|broken| {
            Broken::of("check", format!("invariant {}: {}", broken.invariant, broken.found))
        })?;
        let differs = |what: String| Err(Broken::of("published", format!("batch {as_of}: {what}")));
        for (index, owners) in self.history.seats.iter().enumerate() {
            let Some(owner) = owners.after(as_of) else { continue };
            let state = sale.seats().state(SeatIndex::after(index));
            let same = match (state, *owner) {
                (SeatState::Free, SeatOwner::Free)
                | (SeatState::Withheld(_), SeatOwner::Withheld) => true,
                (SeatState::Held(of), SeatOwner::Held(by))
                | (SeatState::Sold(of), SeatOwner::Sold(by)) => of.at() == by,
                (
                    SeatState::Free
                    | SeatState::Withheld(_)
                    | SeatState::Held(_)
                    | SeatState::Sold(_),
                    _,
                ) => false,
            };
            if !same {
                return differs(format!("seat {index} is {owner:?} and is shown as {state:?}"));
            }
        }
        for (index, known) in self.history.reservations.iter().enumerate() {
            let shown = sale.reservation(ReservationIndex::after(index));
            match (known.state.after(as_of), shown) {
                (None, None) => {}
                (Some(state), Some(shown))
                    if shown.id == known.id && same_hold(*state, shown.state) => {}
                (state, shown) => {
                    return differs(format!(
                        "{:?} is {state:?} and is shown as {shown:?}",
                        known.id
                    ));
                }
            }
        }
        let mut before = 0;
        for (index, known) in self.history.entries.iter().enumerate() {
            let entry = EntryIndex::after(index);
            let place = Place { entry, nonce: known.nonce };
            self.compare(publication, place, sale.place(entry).as_ref(), before)?;
            before += u32::from(known.uncounted > as_of);
        }
        Ok(())
    }

    /// A poll is answered with a place, or with none.
    pub(crate) fn shown(
        &mut self,
        publication: &Publication,
        place: Place,
        view: Option<&PlaceView>,
    ) -> Result<(), Broken> {
        let before = self.history.before(place.entry, publication.as_of);
        self.compare(publication, place, view, before)?;
        match view {
            Some(view) => self.position_told(view, (publication.as_of, true)),
            None => Ok(()),
        }
    }

    /// Compares what is shown of a place with what is known of it, `before` others being counted
    /// before it.
    fn compare(
        &self,
        publication: &Publication,
        place: Place,
        view: Option<&PlaceView>,
        before: u32,
    ) -> Result<(), Broken> {
        let as_of = publication.as_of;
        let history = &self.history;
        let page = history.page(as_of).expect("it was published");
        let known = history.entry_of(place).and_then(|entry| entry.standing.after(as_of));
        let expected = known.map(|standing| {
            let node = |second: u32| u64::from(second) * 1000 + page.offset_ms;
            let position = standing.position(|| before);
            (status_word(*standing), until_of(*standing).map(node), position)
        });
        let told = view.map(|view| {
            let (word, until) = told_word(view);
            (word, until, view.position)
        });
        let total = view.map(|view| view.total);
        if expected != told || total.is_some_and(|total| total != 1 + page.tally.counted) {
            let what = format!(
                "{place:?} after batch {as_of} is {known:?} at {expected:?}, and {view:?} is shown",
            );
            return Err(Broken::of("answers", what));
        }
        Ok(())
    }

    /// Somebody is told a position: in the order of the batches, it never grows. `when` is the
    /// batch, and whether it is the position after all of it.
    pub(super) fn position_told(
        &mut self,
        view: &PlaceView,
        when: (u64, bool),
    ) -> Result<(), Broken> {
        let Some(position) = view.position else { return Ok(()) };
        let entry = view.place.entry;
        let told: &mut BTreeMap<_, u32> = self.told.entry(entry).or_default();
        let before = told.range(..when).next_back().map(|(_, position)| *position);
        let after = told.range((when.0, true)..).find(|(at, _)| **at > when);
        if before.is_some_and(|before| position > before) {
            let what = format!("{entry} was at {before:?} and is at {position} at {when:?}");
            return Err(Broken::of("positions", what));
        }
        if let Some((at, later)) = after
            && *later > position
        {
            let what = format!("{entry} is at {position} at {when:?} and was at {later} at {at:?}");
            return Err(Broken::of("positions", what));
        }
        if before != Some(position) {
            told.insert(when, position);
        }
        Ok(())
    }
}

fn tally_of(publication: &Publication) -> Tally {
    let sale = &publication.sale;
    let (counts, takings) = (sale.seats().counts(), sale.takings());
    Tally {
        free: counts.free,
        withheld: counts.withheld,
        held: counts.held,
        sold: counts.sold,
        counted: sale.line().counted(),
        missed: sale.line().missed(),
        active: sale.active(),
        choosing: sale.choosing(),
        approved: takings.approved.0,
        confirmed: takings.confirmed.0,
        refund_due: takings.refund_due.0,
        refunded: takings.refunded.0,
    }
}

/// What a status says, in a form that the auditor and the rules can both give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Waiting,
    Away,
    Admitted,
    Holding(u64),
    Paying(u64),
    Done(u64),
    Ended(domain::reservation::EndReason),
}

pub(super) fn status_word(standing: Standing) -> Word {
    match standing {
        Standing::Waiting | Standing::Recalled => Word::Waiting,
        Standing::Away | Standing::Missed => Word::Away,
        Standing::Choosing(_) => Word::Admitted,
        Standing::Holding(id, _) => Word::Holding(id.0),
        Standing::Paying(id) => Word::Paying(id.0),
        Standing::Done(id) => Word::Done(id.0),
        Standing::Over(reason) => Word::Ended(reason),
    }
}

fn until_of(standing: Standing) -> Option<u32> {
    match standing {
        Standing::Choosing(until) | Standing::Holding(_, until) => Some(until),
        Standing::Waiting
        | Standing::Away
        | Standing::Missed
        | Standing::Recalled
        | Standing::Paying(_)
        | Standing::Done(_)
        | Standing::Over(_) => None,
    }
}

pub(super) fn told_word(view: &PlaceView) -> (Word, Option<u64>) {
    match view.status {
        Status::Waiting { away: false } => (Word::Waiting, None),
        Status::Waiting { away: true } => (Word::Away, None),
        Status::Admitted { until } => (Word::Admitted, Some(until.0)),
        Status::Holding { reservation, until } => (Word::Holding(reservation.0), Some(until.0)),
        Status::Paying { reservation } => (Word::Paying(reservation.0), None),
        Status::Done { reservation } => (Word::Done(reservation.0), None),
        Status::Ended { reason } => (Word::Ended(reason), None),
    }
}

pub(super) fn same_hold(known: HoldState, shown: ReservationState) -> bool {
    use domain::reservation::ReleaseReason;
    match (known, shown) {
        (HoldState::Held(until), ReservationState::Held(shown))
        | (HoldState::Paying(until), ReservationState::Paying(shown)) => until == shown.0,
        (HoldState::Confirmed, ReservationState::Confirmed)
        | (HoldState::GivenBack, ReservationState::Released(ReleaseReason::GivenBack, _))
        | (HoldState::Expired, ReservationState::Released(ReleaseReason::Expired, _)) => true,
        (
            HoldState::Held(_)
            | HoldState::Paying(_)
            | HoldState::Confirmed
            | HoldState::GivenBack
            | HoldState::Expired,
            _,
        ) => false,
    }
}

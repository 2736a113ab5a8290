//! What has happened, as the auditor knows it: every fact with the batch in which it came to be, so
//! that it can be asked what was so after any batch. Nothing here is shared with the rules but
//! their vocabulary.

use std::collections::{BTreeMap, BTreeSet};

use domain::command::Schedule;
use domain::event::Event;
use domain::id::{
    EntryIndex, KeyHash, Nonce, PaymentId, PaymentIndex, Place, ReservationId, SeatIndex,
};
use domain::limits::Limits;
use domain::reservation::EndReason;

use super::best::{Spot, spots};

/// What was so, from which batch on. Several values of one batch stand in their order.
#[derive(Clone, Debug)]
pub(super) struct Timeline<T>(Vec<(u64, T)>);

impl<T> Timeline<T> {
    pub(super) fn new(batch: u64, value: T) -> Self {
        Self(vec![(batch, value)])
    }

    pub(super) fn set(&mut self, batch: u64, value: T) {
        self.0.push((batch, value));
    }

    pub(super) fn now(&self) -> &T {
        &self.0.last().expect("a timeline begins with a value").1
    }

    /// Since which batch it is so.
    pub(super) fn since(&self) -> usize {
        let (batch, _) = self.0.last().expect("a timeline begins with a value");
        usize::try_from(*batch).expect("a number of this run")
    }

    /// What was so after a batch; none before the first value.
    pub(super) fn after(&self, batch: u64) -> Option<&T> {
        let end = self.0.partition_point(|(of, _)| *of <= batch);
        self.0[..end].last().map(|(_, value)| value)
    }

    /// Everything that was so at some time while a batch was decided, or right before or after.
    pub(super) fn during(&self, batch: u64) -> impl Iterator<Item = &T> {
        let begin = self.0.partition_point(|(of, _)| *of < batch).saturating_sub(1);
        let upto = self.0[begin..].iter().take_while(move |(of, _)| *of <= batch);
        upto.map(|(_, value)| value)
    }
}

/// Where somebody stands, as the buyer may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Waiting,
    Away,
    Missed,
    Recalled,
    /// Until that second.
    Choosing(u32),
    /// With that reservation, until that second.
    Holding(ReservationId, u32),
    Paying(ReservationId),
    Done(ReservationId),
    Over(EndReason),
}

impl Standing {
    pub(super) fn is_in_line(self) -> bool {
        match self {
            Self::Waiting | Self::Away | Self::Missed | Self::Recalled => true,
            Self::Choosing(_)
            | Self::Holding(..)
            | Self::Paying(_)
            | Self::Done(_)
            | Self::Over(_) => false,
        }
    }

    /// The position of somebody who stands like this, where `before` says how many are counted
    /// before.
    pub(super) fn position(self, before: impl FnOnce() -> u32) -> Option<u32> {
        match self {
            Self::Waiting | Self::Away => Some(2 + before()),
            Self::Missed
            | Self::Recalled
            | Self::Choosing(_)
            | Self::Holding(..)
            | Self::Paying(_) => Some(1),
            Self::Done(_) | Self::Over(_) => None,
        }
    }
}

/// Somebody who joined.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) nonce: Nonce,
    pub(super) key: Option<KeyHash>,
    pub(super) joined: u64,
    pub(super) standing: Timeline<Standing>,
    pub(super) seen: u32,
    /// The batch in which it stopped to be counted.
    pub(super) uncounted: u64,
    pub(super) visit: Option<usize>,
}

/// Somebody's turn.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) entry: usize,
    /// Until when to show up; none once seen.
    pub(super) arrive: Option<u32>,
    pub(super) choose: u32,
    pub(super) seen_before: u32,
    pub(super) give_backs: u32,
    pub(super) reservations: Vec<usize>,
    pub(super) keys: Vec<(KeyHash, u64, Effect, u64)>,
}

/// What a key brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Held(ReservationId),
    Paid(PaymentId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HoldState {
    Held(u32),
    Paying(u32),
    Confirmed,
    GivenBack,
    Expired,
}

#[derive(Clone, Debug)]
pub(super) struct Reservation {
    pub(super) id: ReservationId,
    pub(super) visit: usize,
    pub(super) seats: Vec<SeatIndex>,
    pub(super) amount: u64,
    pub(super) hard_end: u32,
    pub(super) state: Timeline<HoldState>,
    pub(super) payments: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PayState {
    /// Until that second.
    Running(u32),
    Unknown,
    Approved,
    Declined,
    RefundDue,
    Refunded,
}

#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) id: PaymentId,
    pub(super) reservation: usize,
    pub(super) amount: u64,
    pub(super) state: Timeline<PayState>,
    pub(super) charged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeatOwner {
    Free,
    Withheld,
    Held(usize),
    Sold(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Nothing,
    Scheduled,
    Open,
    Paused,
    Closed,
}

/// What is counted after every batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) free: u32,
    pub(super) withheld: u32,
    pub(super) held: u32,
    pub(super) sold: u32,
    pub(super) counted: u32,
    pub(super) missed: u32,
    pub(super) active: u32,
    pub(super) choosing: u32,
    pub(super) approved: u64,
    pub(super) confirmed: u64,
    pub(super) refund_due: u64,
    pub(super) refunded: u64,
}

impl Tally {
    pub(super) fn in_line(&self) -> u32 {
        self.counted + self.missed
    }
}

/// A batch that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) at_ms: u64,
    /// What stood still until then, in all.
    pub(super) offset_ms: u64,
    pub(super) tally: Tally,
}

/// Everything that has happened.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) prices: Vec<u64>,
    pub(super) evenings: Vec<u16>,
    pub(super) spots: Vec<Spot>,
    pub(super) seats: Vec<Timeline<SeatOwner>>,
    pub(super) limits: Limits,
    pub(super) place_ttl_max: u32,
    /// From which second on which `place_ttl` was in force.
    pub(super) place_ttls: Vec<(u32, u32)>,
    pub(super) stage: Timeline<Stage>,
    pub(super) sold_out: Timeline<bool>,
    pub(super) full: Timeline<bool>,
    pub(super) opens_at_ms: u64,
    pub(super) closes_at_ms: Option<u64>,
    pub(super) offset_ms: u64,
    pub(super) pages: Vec<Page>,
    pub(super) entries: Vec<Entry>,
    pub(super) visits: Vec<Visit>,
    pub(super) reservations: Vec<Reservation>,
    pub(super) by_id: BTreeMap<ReservationId, usize>,
    pub(super) payments: Vec<Payment>,
    pub(super) payments_by_id: BTreeMap<PaymentId, usize>,
    pub(super) join_keys: BTreeMap<KeyHash, usize>,
    /// Those who may be admitted.
    pub(super) ready: BTreeSet<usize>,
    pub(super) tally: Tally,
    /// (second, visit): what ends then.
    pub(super) deadlines: BTreeSet<(u32, usize)>,
    pub(super) deadline_of: BTreeMap<usize, u32>,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            prices: Vec::new(),
            evenings: Vec::new(),
            spots: Vec::new(),
            seats: Vec::new(),
            limits: Limits::default(),
            place_ttl_max: 0,
            place_ttls: Vec::new(),
            stage: Timeline::new(0, Stage::Nothing),
            sold_out: Timeline::new(0, false),
            full: Timeline::new(0, false),
            opens_at_ms: 0,
            closes_at_ms: None,
            offset_ms: 0,
            pages: vec![Page { at_ms: 0, offset_ms: 0, tally: Tally::default() }],
            entries: Vec::new(),
            visits: Vec::new(),
            reservations: Vec::new(),
            by_id: BTreeMap::new(),
            payments: Vec::new(),
            payments_by_id: BTreeMap::new(),
            join_keys: BTreeMap::new(),
            ready: BTreeSet::new(),
            tally: Tally::default(),
            deadlines: BTreeSet::new(),
            deadline_of: BTreeMap::new(),
        }
    }

    /// The number of the last batch that was read.
    pub(super) fn head(&self) -> u64 {
        self.pages.len() as u64 - 1
    }

    pub(super) fn page(&self, batch: u64) -> Option<&Page> {
        self.pages.get(usize::try_from(batch).ok()?)
    }

    /// The entry that a token names, if its nonce is right.
    pub(super) fn entry_of(&self, place: Place) -> Option<&Entry> {
        self.entries.get(place.entry.at()).filter(|entry| entry.nonce == place.nonce)
    }

    /// The position of somebody who stands like this after a batch.
    pub(super) fn position(
        &self,
        entry: EntryIndex,
        standing: Standing,
        batch: u64,
    ) -> Option<u32> {
        standing.position(|| self.before(entry, batch))
    }

    /// How many are counted before an entry, after a batch.
    pub(super) fn before(&self, entry: EntryIndex, batch: u64) -> u32 {
        let joined = self.entries.len().min(entry.at());
        let before = self.entries[..joined].iter().filter(|other| other.uncounted > batch);
        u32::try_from(before.count()).expect("a few thousand")
    }

    pub(super) fn reservation(&self, id: ReservationId) -> Option<&Reservation> {
        self.by_id.get(&id).map(|index| &self.reservations[*index])
    }

    pub(super) fn payment(&self, id: PaymentId) -> Option<&Payment> {
        self.payments_by_id.get(&id).map(|index| &self.payments[*index])
    }

    pub(super) fn payment_at(&self, index: PaymentIndex) -> Option<&Payment> {
        self.payments.get(index.at())
    }

    pub(super) fn lay_out(&mut self, schedule: &Schedule) {
        self.spots = spots(&schedule.plan);
        for (evening, performance) in (0..).zip(&schedule.plan.performances) {
            let rows = performance.sections.iter().flat_map(|section| &section.rows);
            for seat in rows.flat_map(|row| &row.seats) {
                self.prices.push(performance.grades[usize::from(seat.grade)].price.0);
                self.evenings.push(evening);
                let owner = match seat.pool {
                    Some(_) => SeatOwner::Withheld,
                    None => SeatOwner::Free,
                };
                self.seats.push(Timeline::new(1, owner));
                *self.tally.of(owner) += 1;
            }
        }
    }
}

impl Tally {
    pub(super) fn of(&mut self, owner: SeatOwner) -> &mut u32 {
        match owner {
            SeatOwner::Free => &mut self.free,
            SeatOwner::Withheld => &mut self.withheld,
            SeatOwner::Held(_) => &mut self.held,
            SeatOwner::Sold(_) => &mut self.sold,
        }
    }
}

/// The word of an event, for counting.
pub(super) fn event_word(event: &Event) -> &'static str {
    match event {
        Event::Scheduled(_) => "scheduled",
        Event::Opened => "opened",
        Event::Paused => "paused",
        Event::Unpaused => "unpaused",
        Event::Closed { .. } => "closed",
        Event::LimitsChanged { .. } => "limits changed",
        Event::Changed { .. } => "described anew",
        Event::SeatsWithheld { .. } => "seats withheld",
        Event::SeatsReleased { .. } => "seats released",
        Event::Resumed { .. } => "resumed",
        Event::Joined { .. } => "joined",
        Event::Seen { .. } => "seen",
        Event::PlacesExpired { .. } => "places expired",
        Event::Left { .. } => "left",
        Event::PassedOver { .. } => "passed over",
        Event::Admitted { .. } => "admitted",
        Event::TurnMissed { .. } => "turn missed",
        Event::ChoosingEnded { .. } => "choosing ended",
        Event::SeatsHeld { .. } => "seats held",
        Event::SeatsGivenBack { .. } => "seats given back",
        Event::HoldExpired { .. } => "hold expired",
        Event::PaymentBegun { .. } => "payment begun",
        Event::PaymentApproved { .. } => "payment approved",
        Event::PaymentDeclined { .. } => "payment declined",
        Event::PaymentUnknown { .. } => "payment unknown",
        Event::RefundDue { .. } => "refund due",
        Event::PaymentRefunded { .. } => "payment refunded",
        Event::LineEnded { .. } => "line ended",
    }
}

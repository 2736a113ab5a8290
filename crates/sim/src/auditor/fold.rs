//! What the journal says, batch by batch: every event is held against what was so before it.
//!
//! One idea: whether an event may follow what has happened, for every kind of event; so it is one
//! match, in one file.

use domain::command::Schedule;
use domain::event::Event;
use domain::id::{EntryIndex, ReservationId, ReservationIndex, SeatIndex, VisitIndex};
use domain::reservation::EndReason;
use domain::time::Second;

use super::Broken;
use super::history::{
    Effect, Entry, History, HoldState, PayState, Payment, Reservation, SeatOwner, Stage, Standing,
    Timeline, Visit,
};

/// Seconds that a payment runs before it is unknown.
const ANSWER_S: u32 = 15;
/// Seconds that a buyer has for another try or choice.
const AGAIN_S: u32 = 60;
/// Times that seats may be given back.
const GIVE_BACKS: u32 = 2;
/// Milliseconds of silence that stop the clocks.
const SILENCE_MS: u64 = 10_000;

macro_rules! require {
    ($condition:expr, $check:literal, $($what:tt)+) => {
        if !$condition {
            return Err(Broken::of($check, format!($($what)+)));
        }
    };
}

/// The batch that is being read: its number, and between which times it was decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) batch: u64,
    /// Node time of the batch before, or of the last gap's end.
    pub(super) from_ms: u64,
    /// Node time of this batch.
    pub(super) to_ms: u64,
}

type Read = Result<(), Broken>;

impl History {
    fn low_ms(&self, now: Reading) -> u64 {
        now.from_ms.saturating_sub(self.offset_ms)
    }

    fn high_ms(&self, now: Reading) -> u64 {
        now.to_ms.saturating_sub(self.offset_ms)
    }

    /// The seconds that a decision of this batch may call now.
    fn floors(&self, now: Reading) -> std::ops::RangeInclusive<u32> {
        seconds(self.low_ms(now) / 1000)..=seconds(self.high_ms(now) / 1000)
    }

    fn ceils(&self, now: Reading) -> std::ops::RangeInclusive<u32> {
        seconds(self.low_ms(now).div_ceil(1000))..=seconds(self.high_ms(now).div_ceil(1000))
    }

    fn is_now(&self, at: Second, now: Reading) -> Read {
        let floors = self.floors(now);
        require!(floors.contains(&at.0), "time", "{} is not within {floors:?}", at.0);
        Ok(())
    }

    /// Whether a second has come by the end of this batch.
    fn came(&self, second: u32, now: Reading) -> Read {
        let high_ms = self.high_ms(now);
        require!(
            high_ms >= u64::from(second) * 1000,
            "too soon",
            "second {second} has not come at {high_ms}"
        );
        Ok(())
    }

    /// Reads one event.
    pub(super) fn event(&mut self, event: &Event, now: &mut Reading) -> Read {
        let batch = now.batch;
        let stage = *self.stage.now();
        require!(
            (stage == Stage::Nothing) == matches!(event, Event::Scheduled(_)),
            "events",
            "{event:?} in a sale that is {stage:?}"
        );
        match event {
            Event::Scheduled(schedule) => {
                self.lay_out(schedule);
                self.limits = schedule.limits;
                self.place_ttl_max = schedule.limits.place_ttl;
                self.place_ttls.push((0, schedule.limits.place_ttl));
                self.opens_at_ms = schedule.opens_at.0;
                self.closes_at_ms = schedule.closes_at.map(|at| at.0);
                self.stage.set(batch, Stage::Scheduled);
            }
            Event::Opened => self.moves(batch, &[Stage::Scheduled], Stage::Open)?,
            Event::Paused => self.moves(batch, &[Stage::Open], Stage::Paused)?,
            Event::Unpaused => self.moves(batch, &[Stage::Paused], Stage::Open)?,
            Event::Closed { at } => {
                self.is_now(*at, *now)?;
                let before = [Stage::Scheduled, Stage::Open, Stage::Paused];
                self.moves(batch, &before, Stage::Closed)?;
                self.line_ends(EndReason::Closed, batch);
            }
            Event::LimitsChanged { limits, at } => {
                self.is_now(*at, *now)?;
                require!(limits.check().is_ok(), "limits", "{limits:?}");
                self.limits = *limits;
                self.place_ttl_max = self.place_ttl_max.max(limits.place_ttl);
                self.place_ttls.push((at.0, limits.place_ttl));
            }
            Event::Changed { schedule, at } => {
                self.is_now(*at, *now)?;
                let limits = schedule.limits;
                require!(limits.check().is_ok(), "limits", "{limits:?}");
                let moved = schedule.opens_at.0 != self.opens_at_ms;
                require!(!moved || stage == Stage::Scheduled, "times", "it opened at another time");
                // The simulator's operators leave the seats as they are.
                let prices = prices(schedule);
                require!(prices == self.prices, "plan", "other seats, or other prices");
                self.limits = limits;
                self.place_ttl_max = self.place_ttl_max.max(limits.place_ttl);
                self.place_ttls.push((at.0, limits.place_ttl));
                self.opens_at_ms = schedule.opens_at.0;
                self.closes_at_ms = schedule.closes_at.map(|at| at.0);
            }
            Event::SeatsWithheld { seats, .. } => {
                self.seats_become(seats, |was| was == SeatOwner::Free, SeatOwner::Withheld, batch)?;
            }
            Event::SeatsReleased { seats } => {
                let withheld = |was| was == SeatOwner::Withheld;
                self.seats_become(seats, withheld, SeatOwner::Free, batch)?;
            }
            Event::Resumed { gap, until } => {
                require!(*gap >= SILENCE_MS, "gap", "a gap of {gap} ms is none");
                require!(until.0 <= now.to_ms, "gap", "it ends at {} after its batch", until.0);
                let from_ms = until.0 - gap;
                require!(from_ms >= now.from_ms, "gap", "it begins at {from_ms}, before {now:?}");
                self.offset_ms += gap;
                now.from_ms = until.0;
            }
            Event::Joined { nonce, at, keys } => {
                self.is_now(*at, *now)?;
                self.joined(*nonce, at.0, keys.and_then(|keys| keys.key), batch)?;
            }
            Event::Seen { at, entries } => {
                self.is_now(*at, *now)?;
                let sorted = entries.0.windows(2).all(|pair| pair[0] < pair[1]);
                require!(sorted && !entries.0.is_empty(), "seen", "{entries:?}");
                for entry in &entries.0 {
                    self.seen(*entry, at.0, batch)?;
                }
            }
            Event::PlacesExpired { until, at, places } => {
                self.is_now(*at, *now)?;
                let expired = self.places_expired(until.0, at.0, batch)?;
                let told = *places == Some(expired);
                require!(told, "places expired", "{expired} expired, and it says {places:?}");
            }
            Event::Left { entry, at } => {
                self.is_now(*at, *now)?;
                self.left(*entry, batch)?;
            }
            Event::PassedOver { entry } => {
                let of = self.next_in_turn(*entry)?;
                let floor = *self.floors(*now).end();
                require!(
                    floor.saturating_sub(of.seen) > self.limits.presence_window,
                    "passed over",
                    "{entry} was seen at {}, and it is {floor}",
                    of.seen
                );
                let missed = *of.standing.now() == Standing::Recalled;
                let standing = if missed { Standing::Missed } else { Standing::Away };
                self.stands(entry.at(), standing, batch)?;
            }
            Event::Admitted { entry, arrive_until, choose_until } => {
                self.admitted(*entry, arrive_until.0, choose_until.0, *now)?;
            }
            Event::TurnMissed { visit, seen } => {
                let index = self.choosing(*visit)?;
                let of = &self.visits[index];
                let Some(arrive) = of.arrive else {
                    return Err(Broken::of("turn missed", format!("{visit} was seen")));
                };
                require!(of.seen_before == seen.0, "turn missed", "{visit} was seen otherwise");
                let entry = of.entry;
                self.came(arrive.min(of.choose), *now)?;
                self.tally.active -= 1;
                self.tally.choosing -= 1;
                self.entries[entry].seen = seen.0;
                self.entries[entry].visit = None;
                self.due(index, None);
                self.stands(entry, Standing::Missed, batch)?;
            }
            Event::ChoosingEnded { visit, at } => {
                self.is_now(*at, *now)?;
                let index = self.choosing(*visit)?;
                let (choose, entry) = (self.visits[index].choose, self.visits[index].entry);
                self.came(choose, *now)?;
                self.tally.active -= 1;
                self.tally.choosing -= 1;
                self.due(index, None);
                self.stands(entry, Standing::Over(EndReason::TooSlow), batch)?;
            }
            Event::SeatsHeld { visit, reservation, seats, until, hard_end, key } => {
                let index = self.choosing(*visit)?;
                let key = key.map(|(hash, body)| (hash, body));
                self.held(index, *reservation, seats, (until.0, hard_end.0), key, *now)?;
            }
            Event::SeatsGivenBack { reservation, at, choose_until } => {
                self.is_now(*at, *now)?;
                self.given_back(*reservation, choose_until.map(|until| until.0), *now)?;
            }
            Event::HoldExpired { reservation, at } => {
                self.is_now(*at, *now)?;
                let (index, until) = self.held_until(*reservation)?;
                self.came(until, *now)?;
                let visit = self.releases(index, HoldState::Expired, batch)?;
                self.tally.active -= 1;
                self.due(visit, None);
                let entry = self.visits[visit].entry;
                self.stands(entry, Standing::Over(EndReason::HoldExpired), batch)?;
            }
            Event::PaymentBegun { reservation, payment, hold_until, answer_until, key } => {
                let (index, until) = self.held_until(*reservation)?;
                require!(
                    self.low_ms(*now) < u64::from(until) * 1000,
                    "too late",
                    "a payment for a hold that ended at {until}"
                );
                let known = self.payments_by_id.contains_key(payment);
                require!(!known, "payments", "{payment:?} is begun twice");
                let window = self.limits.payment_deadline;
                self.prolonged(index, (until, hold_until.0), window, *now)?;
                let ceils = self.ceils(*now);
                let begun = answer_until.0.saturating_sub(ANSWER_S);
                require!(ceils.contains(&begun), "time", "an answer by {answer_until:?}");
                let number = self.payments.len();
                let amount = self.reservations[index].amount;
                self.payments.push(Payment {
                    id: *payment,
                    reservation: index,
                    amount,
                    state: Timeline::new(batch, PayState::Running(answer_until.0)),
                    charged: false,
                });
                self.payments_by_id.insert(*payment, number);
                let paid = &mut self.reservations[index];
                paid.state.set(batch, HoldState::Paying(hold_until.0));
                paid.payments.push(number);
                let (id, visit) = (paid.id, paid.visit);
                if let Some((hash, body)) = *key {
                    self.remembers(visit, hash, body, Effect::Paid(*payment), batch)?;
                }
                self.due(visit, Some(answer_until.0));
                self.stands(self.visits[visit].entry, Standing::Paying(id), batch)?;
            }
            Event::PaymentApproved { payment, at } => {
                self.is_now(*at, *now)?;
                let number = self.unsettled(payment.at())?;
                let (index, amount) = self.pays(number, PayState::Approved, batch);
                self.tally.approved += amount;
                self.tally.confirmed += amount;
                self.tally.active -= 1;
                let paid = &mut self.reservations[index];
                paid.state.set(batch, HoldState::Confirmed);
                let (id, visit, seats) = (paid.id, paid.visit, paid.seats.clone());
                let held = |was| was == SeatOwner::Held(index);
                self.seats_become(&seats, held, SeatOwner::Sold(index), batch)?;
                self.due(visit, None);
                self.stands(self.visits[visit].entry, Standing::Done(id), batch)?;
            }
            Event::PaymentDeclined { payment, at, hold_until, .. } => {
                self.is_now(*at, *now)?;
                let number = self.unsettled(payment.at())?;
                let (index, _) = self.pays(number, PayState::Declined, batch);
                let HoldState::Paying(until) = *self.reservations[index].state.now() else {
                    return Err(Broken::of("payments", format!("{payment} pays for nothing")));
                };
                self.prolonged(index, (until, hold_until.0), AGAIN_S, *now)?;
                let held = &mut self.reservations[index];
                held.state.set(batch, HoldState::Held(hold_until.0));
                let (id, visit) = (held.id, held.visit);
                self.due(visit, Some(hold_until.0));
                let standing = Standing::Holding(id, hold_until.0);
                self.stands(self.visits[visit].entry, standing, batch)?;
            }
            Event::PaymentUnknown { payment } => {
                let number = self.unsettled(payment.at())?;
                let running = matches!(self.payments[number].state.now(), PayState::Running(_));
                require!(running, "payments", "{payment} is unknown already");
                let (index, _) = self.pays(number, PayState::Unknown, batch);
                self.due(self.reservations[index].visit, None);
            }
            Event::RefundDue { payment } => {
                let declined = self.payment_at(*payment).map(|payment| *payment.state.now());
                require!(
                    declined == Some(PayState::Declined),
                    "refund",
                    "{payment} is {declined:?} and is to be refunded"
                );
                let (_, amount) = self.pays(payment.at(), PayState::RefundDue, batch);
                self.tally.approved += amount;
                self.tally.refund_due += amount;
            }
            Event::PaymentRefunded { payment, at } => {
                self.is_now(*at, *now)?;
                let due = self.payment_at(*payment).map(|payment| *payment.state.now());
                require!(
                    due == Some(PayState::RefundDue),
                    "refund",
                    "{payment} is {due:?} and was refunded"
                );
                let (_, amount) = self.pays(payment.at(), PayState::Refunded, batch);
                self.tally.refund_due -= amount;
                self.tally.refunded += amount;
            }
            Event::LineEnded { reason, at } => {
                self.is_now(*at, *now)?;
                let nothing_left = self.tally.free == 0 && self.tally.held == 0;
                require!(
                    nothing_left && *reason == EndReason::SoldOut,
                    "line ended",
                    "{reason:?} with {:?}",
                    self.tally
                );
                self.line_ends(EndReason::SoldOut, batch);
            }
        }
        self.note_ends(batch);
        Ok(())
    }

    fn note_ends(&mut self, batch: u64) {
        let sold_out = self.tally.free == 0 && self.tally.held == 0;
        if *self.sold_out.now() != sold_out {
            self.sold_out.set(batch, sold_out);
        }
        let full = self.tally.in_line() >= self.limits.line_capacity;
        if *self.full.now() != full {
            self.full.set(batch, full);
        }
    }

    /// Whether somebody could be let in and is there to be.
    pub(super) fn somebody_is_kept_out(&self) -> bool {
        self.has_room() && !self.ready.is_empty()
    }

    /// Whether somebody waits for seats that will never come.
    pub(super) fn somebody_waits_in_vain(&self) -> bool {
        *self.stage.now() == Stage::Open
            && *self.sold_out.now()
            && self.tally.in_line() + self.tally.choosing > 0
    }

    fn has_room(&self) -> bool {
        *self.stage.now() == Stage::Open
            && self.tally.active < self.limits.active_limit
            && self.tally.choosing < self.tally.free
    }

    fn moves(&mut self, batch: u64, from: &[Stage], to: Stage) -> Read {
        let stage = *self.stage.now();
        require!(from.contains(&stage), "events", "from {stage:?} to {to:?}");
        self.stage.set(batch, to);
        Ok(())
    }

    fn seats_become(
        &mut self,
        seats: &[SeatIndex],
        may: impl Fn(SeatOwner) -> bool,
        owner: SeatOwner,
        batch: u64,
    ) -> Read {
        require!(!seats.is_empty(), "seats", "no seat becomes {owner:?}");
        for seat in seats {
            let Some(of) = self.seats.get_mut(seat.at()) else {
                return Err(Broken::of("seats", format!("there is no seat {seat}")));
            };
            let was = *of.now();
            require!(may(was), "one owner", "seat {seat} was {was:?} and becomes {owner:?}");
            of.set(batch, owner);
            *self.tally.of(was) -= 1;
            *self.tally.of(owner) += 1;
        }
        Ok(())
    }

    /// Somebody stands elsewhere from now on.
    fn stands(&mut self, entry: usize, standing: Standing, batch: u64) -> Read {
        let of = &mut self.entries[entry];
        let counted = |standing| matches!(standing, Standing::Waiting | Standing::Away);
        let missed = |standing| matches!(standing, Standing::Missed | Standing::Recalled);
        let was = *of.standing.now();
        require!(
            !counted(standing) || counted(was),
            "positions",
            "{entry} was {was:?} and is counted again: those behind move back"
        );
        of.standing.set(batch, standing);
        if counted(was) && !counted(standing) {
            of.uncounted = batch;
            self.tally.counted -= 1;
        }
        self.tally.missed -= u32::from(missed(was));
        self.tally.missed += u32::from(missed(standing));
        if matches!(standing, Standing::Waiting | Standing::Recalled) {
            self.ready.insert(entry);
        } else {
            self.ready.remove(&entry);
        }
        if let Standing::Done(_) | Standing::Over(_) = standing
            && let Some(key) = of.key
            && self.join_keys.get(&key) == Some(&entry)
        {
            self.join_keys.remove(&key);
        }
        Ok(())
    }

    /// What ends a visit next, and when.
    fn due(&mut self, visit: usize, second: Option<u32>) {
        if let Some(before) = self.deadline_of.remove(&visit) {
            self.deadlines.remove(&(before, visit));
        }
        if let Some(second) = second {
            self.deadline_of.insert(visit, second);
            self.deadlines.insert((second, visit));
        }
    }

    fn line_ends(&mut self, reason: EndReason, batch: u64) {
        for entry in 0..self.entries.len() {
            let standing = *self.entries[entry].standing.now();
            let chooses = matches!(standing, Standing::Choosing(_));
            if chooses {
                self.tally.active -= 1;
                self.tally.choosing -= 1;
                let visit = self.entries[entry].visit.expect("somebody who chooses");
                self.due(visit, None);
            }
            if chooses || standing.is_in_line() {
                self.stands(entry, Standing::Over(reason), batch).expect("it only leaves");
            }
        }
    }

    fn joined(
        &mut self,
        nonce: domain::id::Nonce,
        at: u32,
        key: Option<domain::id::KeyHash>,
        batch: u64,
    ) -> Read {
        let stage = *self.stage.now();
        require!(matches!(stage, Stage::Open | Stage::Paused), "joined", "a sale {stage:?}");
        require!(!*self.sold_out.now(), "joined", "nothing is left to buy");
        let in_line = self.tally.in_line();
        require!(in_line < self.limits.line_capacity, "joined", "{in_line} are in line already");
        let entry = self.entries.len();
        if let Some(key) = key {
            let other = self.join_keys.insert(key, entry);
            require!(other.is_none(), "keys", "{other:?} lives with the key of {entry}");
        }
        self.entries.push(Entry {
            nonce,
            key,
            joined: batch,
            standing: Timeline::new(batch, Standing::Waiting),
            seen: at,
            uncounted: u64::MAX,
            visit: None,
        });
        self.tally.counted += 1;
        self.ready.insert(entry);
        Ok(())
    }

    fn seen(&mut self, entry: EntryIndex, at: u32, batch: u64) -> Read {
        let Some(of) = self.entries.get_mut(entry.at()) else {
            return Err(Broken::of("seen", format!("there is no {entry}")));
        };
        let standing = *of.standing.now();
        match standing {
            Standing::Waiting | Standing::Away => {
                of.seen = of.seen.max(at);
                self.stands(entry.at(), Standing::Waiting, batch)
            }
            Standing::Missed | Standing::Recalled => {
                of.seen = of.seen.max(at);
                self.stands(entry.at(), Standing::Recalled, batch)
            }
            Standing::Choosing(_) => {
                let visit = of.visit.expect("somebody who chooses");
                self.visits[visit].arrive = None;
                self.due(visit, Some(self.visits[visit].choose));
                Ok(())
            }
            Standing::Holding(..) | Standing::Paying(_) | Standing::Done(_) | Standing::Over(_) => {
                Err(Broken::of("seen", format!("{entry} is {standing:?}")))
            }
        }
    }

    /// Says how many.
    fn places_expired(&mut self, until: u32, at: u32, batch: u64) -> Result<u32, Broken> {
        let mut expired = 0;
        for entry in 0..self.entries.len() {
            let of = &self.entries[entry];
            if of.standing.now().is_in_line() && of.seen <= until {
                expired += 1;
                // Whoever was seen under a longer life keeps it.
                let life = self.place_ttl_at(of.seen).max(self.limits.place_ttl);
                require!(
                    at.saturating_sub(of.seen) >= life,
                    "too soon",
                    "{entry} was seen at {} and expired at {at}",
                    of.seen
                );
                self.stands(entry, Standing::Over(EndReason::Absent), batch)?;
            }
        }
        require!(expired > 0, "places expired", "nobody was last seen by {until}");
        Ok(expired)
    }

    /// The limit in force at a second.
    fn place_ttl_at(&self, second: u32) -> u32 {
        let until = self.place_ttls.partition_point(|(from, _)| *from <= second);
        self.place_ttls[..until].last().map_or(0, |(_, ttl)| *ttl)
    }

    fn left(&mut self, entry: EntryIndex, batch: u64) -> Read {
        let Some(of) = self.entries.get(entry.at()) else {
            return Err(Broken::of("left", format!("there is no {entry}")));
        };
        let (standing, visit) = (*of.standing.now(), of.visit);
        match standing {
            Standing::Waiting | Standing::Away | Standing::Missed | Standing::Recalled => {}
            Standing::Choosing(_) => {
                self.tally.active -= 1;
                self.tally.choosing -= 1;
                self.due(visit.expect("somebody who chooses"), None);
            }
            Standing::Holding(id, _) => {
                self.releases(self.by_id[&id], HoldState::GivenBack, batch)?;
                self.tally.active -= 1;
                self.due(visit.expect("somebody who holds"), None);
            }
            Standing::Paying(_) | Standing::Done(_) | Standing::Over(_) => {
                return Err(Broken::of("left", format!("{entry} is {standing:?}")));
            }
        }
        self.stands(entry.at(), Standing::Over(EndReason::Left), batch)
    }

    /// The one whose turn it is: somebody must be able to come in, and nobody may be passed.
    fn next_in_turn(&self, entry: EntryIndex) -> Result<&Entry, Broken> {
        require!(self.has_room(), "admitted", "{entry} with {:?}", self.tally);
        let first = self.ready.first().copied();
        require!(first == Some(entry.at()), "order", "{entry} before {first:?}, who is there");
        Ok(&self.entries[entry.at()])
    }

    fn admitted(&mut self, entry: EntryIndex, arrive: u32, choose: u32, now: Reading) -> Read {
        let seen = self.next_in_turn(entry)?.seen;
        let (arrives, chooses) = (
            arrive.saturating_sub(self.limits.arrive_ttl),
            choose.saturating_sub(self.limits.choose_ttl),
        );
        let ceils = self.ceils(now);
        require!(
            arrives == chooses && ceils.contains(&arrives),
            "time",
            "{entry} may arrive by {arrive} and choose until {choose}, within {ceils:?}"
        );
        require!(
            arrives.saturating_sub(1).saturating_sub(seen) <= self.limits.presence_window,
            "admitted",
            "{entry} was seen at {seen} and not since"
        );
        let visit = self.visits.len();
        self.visits.push(Visit {
            entry: entry.at(),
            arrive: Some(arrive),
            choose,
            seen_before: seen,
            give_backs: 0,
            reservations: Vec::new(),
            keys: Vec::new(),
        });
        self.entries[entry.at()].visit = Some(visit);
        self.tally.active += 1;
        self.tally.choosing += 1;
        self.due(visit, Some(arrive.min(choose)));
        self.stands(entry.at(), Standing::Choosing(choose), now.batch)
    }

    /// A visit whose buyer chooses.
    fn choosing(&self, visit: VisitIndex) -> Result<usize, Broken> {
        let standing = self.visits.get(visit.at()).map(|visit| &self.entries[visit.entry]);
        let chooses = standing.is_some_and(|entry| {
            entry.visit == Some(visit.at()) && matches!(entry.standing.now(), Standing::Choosing(_))
        });
        require!(chooses, "visits", "{visit} chooses nothing");
        Ok(visit.at())
    }

    fn held(
        &mut self,
        visit: usize,
        id: ReservationId,
        seats: &[SeatIndex],
        (until, hard_end): (u32, u32),
        key: Option<(domain::id::KeyHash, u64)>,
        now: Reading,
    ) -> Read {
        let limits = self.limits;
        require!(
            self.low_ms(now) < u64::from(self.visits[visit].choose) * 1000,
            "too late",
            "visit {visit} might choose until {}",
            self.visits[visit].choose
        );
        require!(
            seats.len() <= limits.seats_per_reservation as usize,
            "held",
            "{} seats at once",
            seats.len()
        );
        let floors = self.floors(now);
        require!(
            floors.contains(&until.saturating_sub(limits.hold_ttl))
                && hard_end == until + limits.payment_deadline,
            "time",
            "held until {until} and {hard_end}, within {floors:?}"
        );
        let index = self.reservations.len();
        require!(self.by_id.insert(id, index).is_none(), "held", "{id:?} twice");
        self.seats_become(seats, |was| was == SeatOwner::Free, SeatOwner::Held(index), now.batch)?;
        let evenings =
            seats.windows(2).all(|pair| self.evenings[pair[0].at()] == self.evenings[pair[1].at()]);
        require!(evenings, "held", "seats of two evenings");
        self.reservations.push(Reservation {
            id,
            visit,
            seats: seats.to_vec(),
            amount: seats.iter().map(|seat| self.prices[seat.at()]).sum(),
            hard_end,
            state: Timeline::new(now.batch, HoldState::Held(until)),
            payments: Vec::new(),
        });
        if let Some((hash, body)) = key {
            self.remembers(visit, hash, body, Effect::Held(id), now.batch)?;
        }
        let of = &mut self.visits[visit];
        of.reservations.push(index);
        of.arrive = None;
        let entry = of.entry;
        self.tally.choosing -= 1;
        self.due(visit, Some(until));
        self.stands(entry, Standing::Holding(id, until), now.batch)
    }

    fn remembers(
        &mut self,
        visit: usize,
        hash: domain::id::KeyHash,
        body: u64,
        effect: Effect,
        batch: u64,
    ) -> Read {
        let keys = &mut self.visits[visit].keys;
        let remembered = keys.iter().rev().take(16).any(|(other, ..)| *other == hash);
        require!(!remembered, "keys", "{hash:?} brought about {effect:?} again");
        keys.push((hash, body, effect, batch));
        Ok(())
    }

    fn held_until(&self, reservation: ReservationIndex) -> Result<(usize, u32), Broken> {
        match self.reservations.get(reservation.at()).map(|held| *held.state.now()) {
            Some(HoldState::Held(until)) => Ok((reservation.at(), until)),
            other => Err(Broken::of("holds", format!("{reservation} is {other:?}, not held"))),
        }
    }

    /// Whether a hold was given the time that it must have, and no more.
    fn prolonged(&self, index: usize, (was, until): (u32, u32), window: u32, now: Reading) -> Read {
        let hard_end = self.reservations[index].hard_end;
        let least = was.max(hard_end.min(self.floors(now).start() + window));
        let most = was.max(hard_end.min(self.ceils(now).end() + window));
        require!(
            (least..=most).contains(&until) && until <= hard_end,
            "time",
            "a hold until {was} goes on until {until}, not {least} to {most}"
        );
        Ok(())
    }

    fn releases(&mut self, index: usize, state: HoldState, batch: u64) -> Result<usize, Broken> {
        let held = &mut self.reservations[index];
        held.state.set(batch, state);
        let (visit, seats) = (held.visit, held.seats.clone());
        let ours = |was| was == SeatOwner::Held(index);
        self.seats_become(&seats, ours, SeatOwner::Free, batch)?;
        Ok(visit)
    }

    fn given_back(
        &mut self,
        reservation: ReservationIndex,
        choose_until: Option<u32>,
        now: Reading,
    ) -> Read {
        let (index, _) = self.held_until(reservation)?;
        let visit = self.releases(index, HoldState::GivenBack, now.batch)?;
        let of = &mut self.visits[visit];
        let entry = of.entry;
        let again = of.give_backs < GIVE_BACKS && *self.stage.now() != Stage::Closed;
        require!(choose_until.is_some() == again, "given back", "{choose_until:?}");
        let Some(until) = choose_until else {
            self.tally.active -= 1;
            self.due(visit, None);
            return self.stands(entry, Standing::Over(EndReason::Left), now.batch);
        };
        of.give_backs += 1;
        let was = std::mem::replace(&mut of.choose, until);
        let (least, most) = (self.floors(now).start() + AGAIN_S, self.ceils(now).end() + AGAIN_S);
        require!(
            (was.max(least)..=was.max(most)).contains(&until),
            "time",
            "choosing again until {until}"
        );
        self.tally.choosing += 1;
        self.due(visit, Some(until));
        self.stands(entry, Standing::Choosing(until), now.batch)
    }

    fn unsettled(&self, payment: usize) -> Result<usize, Broken> {
        match self.payments.get(payment).map(|payment| *payment.state.now()) {
            Some(PayState::Running(_) | PayState::Unknown) => Ok(payment),
            other => Err(Broken::of("payments", format!("{payment} is {other:?}, not open"))),
        }
    }

    fn pays(&mut self, payment: usize, state: PayState, batch: u64) -> (usize, u64) {
        let of = &mut self.payments[payment];
        of.state.set(batch, state);
        (of.reservation, of.amount)
    }
}

fn seconds(number: u64) -> u32 {
    u32::try_from(number).expect("seconds since 1970 in 32 bits")
}

/// What each seat costs, in plan order.
fn prices(schedule: &Schedule) -> Vec<u64> {
    let mut prices = Vec::new();
    for performance in &schedule.plan.performances {
        let rows = performance.sections.iter().flat_map(|section| &section.rows);
        let seats = rows.flat_map(|row| &row.seats);
        prices.extend(seats.map(|seat| performance.grades[usize::from(seat.grade)].price.0));
    }
    prices
}

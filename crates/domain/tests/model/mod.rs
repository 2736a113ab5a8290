//! The rules a second time, as plainly as they can be said: lists that are searched from the
//! front, nothing counted in advance, no index, no event. Slow, and obviously right.
//!
//! It shares the words of the crate (ids, commands, refusals, states as they are shown), and none
//! of its logic.
//!
//! One idea: the rules once more, to be read from the top to the bottom.

mod best;
mod change;

use domain::command::{Key, PaymentOutcome, Schedule, Wish};
use domain::id::{
    EntryIndex, FileHash, KeyHash, Name, Nonce, PaymentId, PaymentIndex, PerformanceId, Place,
    ReservationId, ReservationIndex, SeatIndex,
};
use domain::limits::Limits;
use domain::line::JoinKeys;
use domain::money::Money;
use domain::payment::PaymentState;
use domain::reservation::{EndReason, ReleaseReason, ReservationState};
use domain::sale::{Phase, PlaceView, Status};
use domain::seats::SeatState;
use domain::time::{Second, Timestamp};
use domain::{Command, Outcome, Refusal, Sale};

pub(crate) struct Model {
    pub(crate) schedule: Schedule,
    pub(crate) phase: Phase,
    pub(crate) limits: Limits,
    pub(crate) seats: Vec<ModelSeat>,
    pub(crate) buyers: Vec<Buyer>,
    /// Which buyer was admitted, first one first.
    visits: Vec<usize>,
    pub(crate) bookings: Vec<Booking>,
    pub(crate) payments: Vec<Charge>,
    /// Milliseconds in which the clocks stood still.
    stood_still: u64,
    /// Until when that is counted.
    counted_until: u64,
    /// A longer life of places that still counts, until then.
    kept_ttl: (u32, u32),
    /// Files that the sale was described by.
    files: Vec<FileHash>,
}

pub(crate) struct ModelSeat {
    performance: u16,
    /// Of the performance.
    id: PerformanceId,
    number: Name,
    /// What its owner knows of it: grade, section, row, its wheelchair place or whether it is one.
    known_by: [String; 4],
    /// Whom the organiser's plan keeps it for.
    kept_for: Option<Name>,
    price: Money,
    pub(crate) state: SeatState,
    /// The wheelchair place without which nobody holds it.
    beside: Option<usize>,
}

pub(crate) struct Buyer {
    pub(crate) nonce: Nonce,
    keys: JoinKeys,
    pub(crate) place: BuyerPlace,
    /// What was done under a key, newest last.
    done: Vec<(KeyHash, u64, Outcome)>,
    pub(crate) bookings: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum BuyerPlace {
    Line {
        seen: u32,
        away: bool,
        missed: bool,
    },
    Inside {
        visit: usize,
        booked: bool,
        arrive: Option<u32>,
        choose: u32,
        gave_back: u8,
        seen: u32,
    },
    Done,
    Over {
        reason: EndReason,
        was_inside: bool,
    },
}

pub(crate) struct Booking {
    pub(crate) id: ReservationId,
    buyer: usize,
    pub(crate) seats: Vec<usize>,
    /// As it was when it was made.
    amount: Money,
    pub(crate) state: ReservationState,
    hard_end: u32,
    payments: Vec<usize>,
}

pub(crate) struct Charge {
    pub(crate) id: PaymentId,
    booking: usize,
    pub(crate) state: ChargeState,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum ChargeState {
    Running(u32),
    Unknown,
    Approved,
    Declined,
    RefundDue,
    Refunded,
}

type Answer = Result<Outcome, Refusal>;

fn newest(list: &[usize]) -> usize {
    *list.last().expect("one at least")
}

fn small(number: u64) -> u32 {
    u32::try_from(number).expect("a small world")
}

fn ended(reason: EndReason, was_inside: bool) -> BuyerPlace {
    BuyerPlace::Over { reason, was_inside }
}

impl Model {
    /// A sale that was just scheduled.
    pub(crate) fn new(schedule: &Schedule) -> Self {
        Self {
            schedule: schedule.clone(),
            phase: Phase::Scheduled,
            limits: schedule.limits,
            seats: change::seats(schedule),
            files: schedule.file.into_iter().collect(),
            buyers: Vec::new(),
            visits: Vec::new(),
            bookings: Vec::new(),
            payments: Vec::new(),
            stood_still: 0,
            counted_until: 0,
            kept_ttl: (0, 0),
        }
    }

    pub(crate) fn execute(&mut self, command: &Command, now: Timestamp) -> Answer {
        if let Command::Resume { silent_since } = command {
            let gap = now.0.saturating_sub(silent_since.0.max(self.counted_until));
            if gap >= 10_000 {
                self.stood_still += gap;
                self.counted_until = now.0;
            }
            self.let_happen(now);
            return Ok(Outcome::Done);
        }
        if !matches!(command, Command::Seen { .. }) {
            self.let_happen(now);
        }
        let answer = self.answer(command, now);
        self.let_happen(now);
        answer
    }

    fn ms(&self, now: Timestamp) -> u64 {
        now.0 - self.stood_still
    }

    /// The whole second that `now` and `later` more seconds lie in.
    fn within(&self, now: Timestamp, later: u32) -> u32 {
        small(self.ms(now) / 1000) + later
    }

    /// The first whole second that is `later` after `now` or more.
    fn until(&self, now: Timestamp, later: u32) -> u32 {
        small(self.ms(now).div_ceil(1000)) + later
    }

    fn come(&self, deadline: u32, now: Timestamp) -> bool {
        self.ms(now) >= u64::from(deadline) * 1000
    }

    // ---- What happens by itself ----

    fn let_happen(&mut self, now: Timestamp) {
        while self.one_thing_happens(now) {}
    }

    fn one_thing_happens(&mut self, now: Timestamp) -> bool {
        if self.phase == Phase::Scheduled && now >= self.schedule.opens_at {
            self.phase = Phase::Open;
            return true;
        }
        let on = matches!(self.phase, Phase::Open | Phase::Paused);
        if on && self.schedule.closes_at.is_some_and(|closes| now >= closes) {
            self.close();
            return true;
        }
        let due = (0..self.visits.len())
            .filter_map(|visit| Some((self.deadline(visit)?, visit)))
            .filter(|(deadline, _)| self.come(*deadline, now))
            .min();
        if let Some((_, visit)) = due {
            self.time_is_up(self.visits[visit], now);
            return true;
        }
        if self.absent_go(now) {
            return true;
        }
        let ends = self.phase == Phase::Open && self.sold_out();
        if ends && self.end_those_without_seats(EndReason::SoldOut) {
            return true;
        }
        self.admit_one(now)
    }

    /// Until when a visit stays as it is.
    fn deadline(&self, visit: usize) -> Option<u32> {
        let buyer = &self.buyers[self.visits[visit]];
        let BuyerPlace::Inside { visit: current, booked, arrive, choose, .. } = buyer.place else {
            return None;
        };
        if current != visit {
            return None;
        }
        if !booked {
            return Some(arrive.map_or(choose, |arrive| arrive.min(choose)));
        }
        let booking = &self.bookings[newest(&buyer.bookings)];
        match booking.state {
            ReservationState::Held(until) => Some(until.0),
            ReservationState::Paying(_) => match self.payments[newest(&booking.payments)].state {
                ChargeState::Running(until) => Some(until),
                ChargeState::Unknown
                | ChargeState::Approved
                | ChargeState::Declined
                | ChargeState::RefundDue
                | ChargeState::Refunded => None,
            },
            ReservationState::Confirmed | ReservationState::Released(..) => {
                panic!("a visit without a live booking")
            }
        }
    }

    fn time_is_up(&mut self, buyer: usize, now: Timestamp) {
        let BuyerPlace::Inside { booked, arrive, seen, .. } = self.buyers[buyer].place else {
            panic!("somebody inside");
        };
        if !booked {
            self.buyers[buyer].place = match arrive {
                Some(_) => BuyerPlace::Line { seen, away: true, missed: true },
                None => ended(EndReason::TooSlow, true),
            };
            return;
        }
        let booking = newest(&self.buyers[buyer].bookings);
        if let ReservationState::Paying(_) = self.bookings[booking].state {
            let payment = newest(&self.bookings[booking].payments);
            self.payments[payment].state = ChargeState::Unknown;
        } else {
            self.free(booking, ReleaseReason::Expired, now);
            self.buyers[buyer].place = ended(EndReason::HoldExpired, true);
        }
    }

    fn absent_go(&mut self, now: Timestamp) -> bool {
        let second = self.within(now, 0);
        let ttl = self.place_ttl(second);
        let mut any = false;
        for buyer in &mut self.buyers {
            if let BuyerPlace::Line { seen, .. } = buyer.place
                && second >= seen + ttl
            {
                buyer.place = ended(EndReason::Absent, false);
                any = true;
            }
        }
        any
    }

    fn place_ttl(&self, second: u32) -> u32 {
        let (ttl, until) = self.kept_ttl;
        if second < until { ttl.max(self.limits.place_ttl) } else { self.limits.place_ttl }
    }

    fn admit_one(&mut self, now: Timestamp) -> bool {
        let free = self.seats.iter().filter(|seat| seat.state == SeatState::Free).count();
        let room = self.phase == Phase::Open
            && self.inside().count() < self.limits.active_limit as usize
            && self.choosing().count() < free;
        let there = |buyer: &Buyer| matches!(buyer.place, BuyerPlace::Line { away: false, .. });
        let Some(first) = self.buyers.iter().position(there).filter(|_| room) else { return false };
        let BuyerPlace::Line { seen, missed, .. } = self.buyers[first].place else {
            unreachable!("somebody in line")
        };
        self.buyers[first].place =
            if self.within(now, 0).saturating_sub(seen) > self.limits.presence_window {
                BuyerPlace::Line { seen, missed, away: true }
            } else {
                self.visits.push(first);
                BuyerPlace::Inside {
                    visit: self.visits.len() - 1,
                    booked: false,
                    arrive: Some(self.until(now, self.limits.arrive_ttl)),
                    choose: self.until(now, self.limits.choose_ttl),
                    gave_back: 0,
                    seen,
                }
            };
        true
    }

    // ---- What is there ----

    pub(crate) fn inside(&self) -> impl Iterator<Item = usize> {
        (0..self.buyers.len())
            .filter(|buyer| matches!(self.buyers[*buyer].place, BuyerPlace::Inside { .. }))
    }

    pub(crate) fn choosing(&self) -> impl Iterator<Item = usize> {
        self.inside().filter(|buyer| {
            matches!(self.buyers[*buyer].place, BuyerPlace::Inside { booked: false, .. })
        })
    }

    pub(crate) fn has_seats(&self, buyer: usize) -> bool {
        matches!(self.buyers[buyer].place, BuyerPlace::Inside { booked: true, .. })
    }

    pub(crate) fn is_alive(&self, buyer: usize) -> bool {
        matches!(self.buyers[buyer].place, BuyerPlace::Line { .. } | BuyerPlace::Inside { .. })
    }

    fn in_line(&self) -> usize {
        let in_line = |buyer: &&Buyer| matches!(buyer.place, BuyerPlace::Line { .. });
        self.buyers.iter().filter(in_line).count()
    }

    fn sold_out(&self) -> bool {
        let hope = |seat: &ModelSeat| matches!(seat.state, SeatState::Free | SeatState::Held(_));
        !self.seats.iter().any(hope)
    }

    /// Those in line before a buyer, but for those whose turn has been.
    fn before(&self, buyer: usize) -> u32 {
        let counted = |b: &&Buyer| matches!(b.place, BuyerPlace::Line { missed: false, .. });
        small(self.buyers[..buyer].iter().filter(counted).count() as u64)
    }

    fn total(&self) -> u32 {
        1 + self.before(self.buyers.len())
    }

    pub(crate) fn amount(&self, seats: &[usize]) -> Money {
        Money(seats.iter().map(|seat| self.seats[*seat].price.0).sum())
    }

    fn place_of(&self, place: Place) -> Result<usize, Refusal> {
        match self.buyers.get(place.entry.at()) {
            Some(buyer) if buyer.nonce == place.nonce => Ok(place.entry.at()),
            _ => Err(Refusal::UnknownPlace),
        }
    }

    /// Somebody who is inside or has been.
    fn visitor(&self, place: Place) -> Result<usize, Refusal> {
        let buyer = self.place_of(place)?;
        match self.buyers[buyer].place {
            BuyerPlace::Line { missed, .. } => {
                let position = if missed { 1 } else { 2 + self.before(buyer) };
                Err(Refusal::NotAdmitted { position, total: self.total() })
            }
            BuyerPlace::Over { reason, was_inside: false } => Err(Refusal::PlaceEnded { reason }),
            BuyerPlace::Inside { .. } | BuyerPlace::Done | BuyerPlace::Over { .. } => Ok(buyer),
        }
    }

    fn remembered(&self, buyer: usize, key: Option<Key>) -> Result<Option<Outcome>, Refusal> {
        let Some(key) = key else { return Ok(None) };
        match self.buyers[buyer].done.iter().find(|(hash, ..)| *hash == key.hash) {
            Some((_, body, outcome)) if *body == key.body => Ok(Some(*outcome)),
            Some(_) => Err(Refusal::IdempotencyMismatch),
            None => Ok(None),
        }
    }

    fn remember(&mut self, buyer: usize, key: Option<Key>, outcome: Outcome) {
        if let Some(key) = key {
            let done = &mut self.buyers[buyer].done;
            done.push((key.hash, key.body, outcome));
            if done.len() > 16 {
                done.remove(0);
            }
        }
    }

    fn booking_of(&self, buyer: usize, id: ReservationId) -> Result<usize, Refusal> {
        let mine = |booking: &&usize| self.bookings[**booking].id == id;
        self.buyers[buyer].bookings.iter().find(mine).copied().ok_or(Refusal::ReservationNotFound)
    }

    fn newest_payment(&self, booking: usize) -> PaymentId {
        self.payments[newest(&self.bookings[booking].payments)].id
    }

    // ---- What is asked ----

    fn answer(&mut self, command: &Command, now: Timestamp) -> Answer {
        match command {
            Command::Join { nonce, keys } => self.join(*nonce, *keys, now),
            Command::Seen { entries } => {
                entries.iter().for_each(|entry| self.see(*entry, now));
                Ok(Outcome::Done)
            }
            Command::Leave { place } => self.leave(*place, now),
            Command::Hold { place, wish, expected, reservation, key } => {
                self.hold(*place, wish, *expected, *reservation, *key, now)
            }
            Command::GiveBack { place, reservation } => self.give_back(*place, *reservation, now),
            Command::BeginPayment { place, reservation, payment, expected, key } => {
                self.pay(*place, *reservation, *payment, *expected, *key, now)
            }
            Command::SettlePayment { payment, outcome } => self.settle(*payment, outcome, now),
            Command::SettleRefund { payment } => self.refund(*payment),
            Command::Tick => Ok(Outcome::Done),
            Command::Resume { .. } => unreachable!("answered before"),
            Command::Schedule(schedule) => {
                let same = schedule.sale == self.schedule.sale
                    && schedule.plan == self.schedule.plan
                    && schedule.opens_at == self.schedule.opens_at
                    && schedule.closes_at == self.schedule.closes_at;
                if same { Ok(Outcome::Done) } else { Err(Refusal::SaleExists) }
            }
            Command::Open => self.turn(&[Phase::Scheduled], Phase::Open),
            Command::Pause => self.turn(&[Phase::Open], Phase::Paused),
            Command::Unpause => self.turn(&[Phase::Paused], Phase::Open),
            Command::Close => {
                if self.phase != Phase::Closed {
                    self.close();
                }
                Ok(Outcome::Done)
            }
            Command::ChangeLimits(limits) => {
                change::in_range(limits)?;
                self.change_limits(limits, now);
                Ok(Outcome::Done)
            }
            Command::Change(schedule) => self.change(schedule, now),
            Command::Withhold { seats, pool } => {
                if usize::from(*pool) >= self.schedule.plan.pools.len() {
                    return Err(Refusal::PoolNotFound);
                }
                let free = |state| state == SeatState::Free;
                self.turn_seats(seats, free, SeatState::Withheld(*pool))
            }
            Command::Release { seats } => {
                let withheld = |state| matches!(state, SeatState::Withheld(_));
                self.turn_seats(seats, withheld, SeatState::Free)
            }
        }
    }

    fn join(&mut self, nonce: Nonce, keys: JoinKeys, now: Timestamp) -> Answer {
        let living = |buyer: &&(usize, &Buyer)| {
            matches!(buyer.1.place, BuyerPlace::Line { .. } | BuyerPlace::Inside { .. })
        };
        let all: Vec<_> = self.buyers.iter().enumerate().collect();
        let all = || all.iter().filter(living);
        let by_key = all().find(|(_, buyer)| keys.key.is_some() && buyer.keys.key == keys.key);
        let by_holder =
            all().find(|(_, buyer)| keys.holder.is_some() && buyer.keys.holder == keys.holder);
        if let Some((entry, _)) = by_key.or(by_holder) {
            return Ok(Outcome::Joined { entry: EntryIndex::after(*entry), created: false });
        }
        match self.phase {
            Phase::Unscheduled => unreachable!("it is scheduled"),
            Phase::Scheduled => {
                return Err(Refusal::SaleNotOpen { opens_at: self.schedule.opens_at });
            }
            Phase::Closed => return Err(Refusal::SaleClosed),
            Phase::Open | Phase::Paused => {}
        }
        if self.sold_out() {
            return Err(Refusal::SoldOut);
        }
        if self.in_line() >= self.limits.line_capacity as usize {
            return Err(Refusal::QueueFull { line_capacity: self.limits.line_capacity });
        }
        let place = BuyerPlace::Line { seen: self.within(now, 0), away: false, missed: false };
        self.buyers.push(Buyer { nonce, keys, place, done: Vec::new(), bookings: Vec::new() });
        Ok(Outcome::Joined { entry: EntryIndex::after(self.buyers.len() - 1), created: true })
    }

    fn see(&mut self, entry: EntryIndex, now: Timestamp) {
        let second = self.within(now, 0);
        match self.buyers.get_mut(entry.at()).map(|buyer| &mut buyer.place) {
            Some(BuyerPlace::Line { seen, away, .. }) => {
                *seen = second.max(*seen);
                *away = false;
            }
            Some(BuyerPlace::Inside { arrive, .. }) => *arrive = None,
            Some(BuyerPlace::Done | BuyerPlace::Over { .. }) | None => {}
        }
    }

    fn leave(&mut self, place: Place, now: Timestamp) -> Answer {
        let buyer = self.place_of(place)?;
        match self.buyers[buyer].place {
            BuyerPlace::Done | BuyerPlace::Over { .. } => return Ok(Outcome::Done),
            BuyerPlace::Line { .. } | BuyerPlace::Inside { booked: false, .. } => {}
            BuyerPlace::Inside { booked: true, .. } => {
                let booking = newest(&self.buyers[buyer].bookings);
                if let ReservationState::Paying(_) = self.bookings[booking].state {
                    let payment = self.newest_payment(booking);
                    return Err(Refusal::PaymentInProgress { payment });
                }
                self.free(booking, ReleaseReason::GivenBack, now);
            }
        }
        let was_inside = matches!(self.buyers[buyer].place, BuyerPlace::Inside { .. });
        self.buyers[buyer].place = ended(EndReason::Left, was_inside);
        Ok(Outcome::Done)
    }

    fn hold(
        &mut self,
        place: Place,
        wish: &Wish,
        expected: Option<Money>,
        id: ReservationId,
        key: Option<Key>,
        now: Timestamp,
    ) -> Answer {
        let buyer = self.visitor(place)?;
        match self.remembered(buyer, key)? {
            Some(Outcome::Held { reservation }) => return Ok(Outcome::Held { reservation }),
            Some(_) => return Err(Refusal::IdempotencyMismatch),
            None => {}
        }
        match self.buyers[buyer].place {
            BuyerPlace::Over { reason, .. } => return Err(Refusal::PlaceEnded { reason }),
            BuyerPlace::Done | BuyerPlace::Inside { booked: true, .. } => {
                let newest = newest(&self.buyers[buyer].bookings);
                return Err(Refusal::ReservationExists { reservation: self.bookings[newest].id });
            }
            BuyerPlace::Inside { .. } => {}
            BuyerPlace::Line { .. } => unreachable!("a visitor"),
        }
        let seats = match wish {
            Wish::Seats { performance, seats } => self.wanted(*performance, seats, expected)?,
            Wish::Best { performance, count, grade } => {
                self.best(*performance, *count, grade.as_ref(), expected)?
            }
        };
        let until = self.within(now, self.limits.hold_ttl);
        let reservation = ReservationIndex::after(self.bookings.len());
        for seat in &seats {
            self.seats[*seat].state = SeatState::Held(reservation);
        }
        let amount = self.amount(&seats);
        self.bookings.push(Booking {
            id,
            buyer,
            seats,
            amount,
            state: ReservationState::Held(Second(until)),
            hard_end: until + self.limits.payment_deadline,
            payments: Vec::new(),
        });
        self.buyers[buyer].bookings.push(reservation.at());
        if let BuyerPlace::Inside { booked, arrive, .. } = &mut self.buyers[buyer].place {
            (*booked, *arrive) = (true, None);
        }
        self.remember(buyer, key, Outcome::Held { reservation });
        Ok(Outcome::Held { reservation })
    }

    /// The seats that are asked for, if they may all be had together.
    fn wanted(
        &self,
        performance: Option<u16>,
        seats: &[SeatIndex],
        expected: Option<Money>,
    ) -> Result<Vec<usize>, Refusal> {
        let most = self.limits.seats_per_reservation;
        if seats.is_empty() {
            return Err(Refusal::NoSeats);
        }
        if seats.len() > most as usize {
            return Err(Refusal::TooManySeats { seats_per_reservation: most });
        }
        // The first seat that is wrong by itself says what is wrong.
        for (n, seat) in seats.iter().enumerate() {
            let Some(found) = self.seats.get(seat.at()) else { return Err(Refusal::SeatNotFound) };
            if seats[..n].contains(seat) {
                return Err(Refusal::DuplicateSeat { seat: *seat });
            }
            let asked = performance.unwrap_or(self.seats[seats[0].at()].performance);
            if found.performance != asked {
                return Err(Refusal::WrongPerformance);
            }
        }
        let numbers: Vec<_> = seats.iter().map(|seat| seat.at()).collect();
        let alone = |at: &&usize| self.seats[**at].beside.is_some_and(|p| !numbers.contains(&p));
        if let Some(at) = numbers.iter().find(alone) {
            return Err(Refusal::CompanionAlone { seat: SeatIndex::after(*at) });
        }
        let amount = self.amount(&numbers);
        if expected.is_some_and(|expected| expected != amount) {
            return Err(Refusal::PriceChanged { amount });
        }
        let taken: Vec<_> =
            seats.iter().copied().filter(|s| self.seats[s.at()].state != SeatState::Free).collect();
        if taken.is_empty() { Ok(numbers) } else { Err(Refusal::SeatTaken { taken }) }
    }

    fn best(
        &self,
        performance: u16,
        count: u32,
        grade: Option<&Name>,
        expected: Option<Money>,
    ) -> Result<Vec<usize>, Refusal> {
        let most = self.limits.seats_per_reservation;
        if count == 0 {
            return Err(Refusal::NoSeats);
        }
        if count > most {
            return Err(Refusal::TooManySeats { seats_per_reservation: most });
        }
        let Some(first) = self.seats.iter().position(|seat| seat.performance == performance) else {
            return Err(Refusal::WrongPerformance);
        };
        let plan = &self.schedule.plan.performances[usize::from(performance)];
        let free = |seat: usize| self.seats[first + seat].state == SeatState::Free;
        let best = best::best(plan, count as usize, grade.map(|name| &**name), free)?;
        let seats: Vec<_> = best.into_iter().map(|seat| first + seat).collect();
        let amount = self.amount(&seats);
        if expected.is_some_and(|expected| expected != amount) {
            return Err(Refusal::PriceChanged { amount });
        }
        Ok(seats)
    }

    /// Who was never let in has no reservation.
    fn visitor_with_seats(&self, place: Place) -> Result<usize, Refusal> {
        self.visitor(place).map_err(|refusal| {
            let never_in =
                matches!(refusal, Refusal::NotAdmitted { .. } | Refusal::PlaceEnded { .. });
            if never_in { Refusal::ReservationNotFound } else { refusal }
        })
    }

    fn give_back(&mut self, place: Place, id: ReservationId, now: Timestamp) -> Answer {
        let buyer = self.visitor_with_seats(place)?;
        let booking = self.booking_of(buyer, id)?;
        match self.bookings[booking].state {
            ReservationState::Paying(_) => {
                let payment = self.newest_payment(booking);
                return Err(Refusal::PaymentInProgress { payment });
            }
            ReservationState::Confirmed => {
                return Err(Refusal::AlreadyPaid { payment: self.newest_payment(booking) });
            }
            ReservationState::Released(ReleaseReason::GivenBack, _) => return Ok(Outcome::Done),
            ReservationState::Released(ReleaseReason::Expired, _) => {
                return Err(Refusal::ReservationExpired);
            }
            ReservationState::Held(_) => {}
        }
        self.free(booking, ReleaseReason::GivenBack, now);
        let (open, minute) = (self.phase != Phase::Closed, self.until(now, 60));
        let place = &mut self.buyers[buyer].place;
        if let BuyerPlace::Inside { gave_back, booked, choose, .. } = place
            && *gave_back < 2
            && open
        {
            *gave_back += 1;
            *booked = false;
            *choose = minute.max(*choose);
        } else {
            *place = ended(EndReason::Left, true);
        }
        Ok(Outcome::Done)
    }

    fn pay(
        &mut self,
        place: Place,
        id: ReservationId,
        payment: PaymentId,
        expected: Option<Money>,
        key: Option<Key>,
        now: Timestamp,
    ) -> Answer {
        let buyer = self.visitor_with_seats(place)?;
        match self.remembered(buyer, key)? {
            Some(Outcome::Payment { payment, .. }) => {
                return Ok(Outcome::Payment { payment, begun: false });
            }
            Some(_) => return Err(Refusal::IdempotencyMismatch),
            None => {}
        }
        let booking = self.booking_of(buyer, id)?;
        let until = match self.bookings[booking].state {
            ReservationState::Paying(_) => {
                let payment = newest(&self.bookings[booking].payments);
                return Ok(Outcome::Payment {
                    payment: PaymentIndex::after(payment),
                    begun: false,
                });
            }
            ReservationState::Confirmed => {
                return Err(Refusal::AlreadyPaid { payment: self.newest_payment(booking) });
            }
            ReservationState::Released(..) => return Err(Refusal::ReservationExpired),
            ReservationState::Held(until) => until,
        };
        let amount = self.bookings[booking].amount;
        if expected.is_some_and(|expected| expected != amount) {
            return Err(Refusal::PriceChanged { amount });
        }
        if self.payments.iter().any(|known| known.id == payment) {
            return Err(Refusal::IdempotencyMismatch);
        }
        let longer = self.longer(booking, until, self.limits.payment_deadline, now);
        self.bookings[booking].state = ReservationState::Paying(longer);
        self.bookings[booking].payments.push(self.payments.len());
        let state = ChargeState::Running(self.until(now, 15));
        self.payments.push(Charge { id: payment, booking, state });
        let payment = PaymentIndex::after(self.payments.len() - 1);
        self.remember(buyer, key, Outcome::Payment { payment, begun: true });
        Ok(Outcome::Payment { payment, begun: true })
    }

    /// A hold that is good for `window` more seconds: no shorter than it was, and not beyond its
    /// last end.
    fn longer(&self, booking: usize, until: Second, window: u32, now: Timestamp) -> Second {
        let granted = self.until(now, window).min(self.bookings[booking].hard_end);
        Second(granted.max(until.0))
    }

    fn settle(&mut self, id: PaymentId, outcome: &PaymentOutcome, now: Timestamp) -> Answer {
        let Some(payment) = self.payments.iter().position(|payment| payment.id == id) else {
            return Err(Refusal::PaymentNotFound);
        };
        let booking = self.payments[payment].booking;
        let running =
            matches!(self.payments[payment].state, ChargeState::Running(_) | ChargeState::Unknown);
        let next = match outcome {
            PaymentOutcome::Approved if running => {
                self.bookings[booking].state = ReservationState::Confirmed;
                let sold = SeatState::Sold(ReservationIndex::after(booking));
                for seat in &self.bookings[booking].seats {
                    self.seats[*seat].state = sold;
                }
                self.buyers[self.bookings[booking].buyer].place = BuyerPlace::Done;
                ChargeState::Approved
            }
            PaymentOutcome::Declined { .. } if running => {
                let ReservationState::Paying(until) = self.bookings[booking].state else {
                    panic!("a booking that is being paid");
                };
                let longer = self.longer(booking, until, 60, now);
                self.bookings[booking].state = ReservationState::Held(longer);
                ChargeState::Declined
            }
            PaymentOutcome::Unknown if running => ChargeState::Unknown,
            PaymentOutcome::Approved if self.payments[payment].state == ChargeState::Declined => {
                ChargeState::RefundDue
            }
            PaymentOutcome::Approved
            | PaymentOutcome::Declined { .. }
            | PaymentOutcome::Unknown => self.payments[payment].state,
        };
        self.payments[payment].state = next;
        Ok(Outcome::Settled { payment: PaymentIndex::after(payment) })
    }

    fn refund(&mut self, id: PaymentId) -> Answer {
        let Some(payment) = self.payments.iter().position(|payment| payment.id == id) else {
            return Err(Refusal::PaymentNotFound);
        };
        match self.payments[payment].state {
            ChargeState::RefundDue | ChargeState::Refunded => {
                self.payments[payment].state = ChargeState::Refunded;
                Ok(Outcome::Settled { payment: PaymentIndex::after(payment) })
            }
            ChargeState::Running(_)
            | ChargeState::Unknown
            | ChargeState::Approved
            | ChargeState::Declined => Err(Refusal::WrongState),
        }
    }

    fn turn(&mut self, from: &[Phase], to: Phase) -> Answer {
        if self.phase != to && !from.contains(&self.phase) {
            return Err(Refusal::WrongState);
        }
        self.phase = to;
        Ok(Outcome::Done)
    }

    fn close(&mut self) {
        self.phase = Phase::Closed;
        self.end_those_without_seats(EndReason::Closed);
    }

    fn end_those_without_seats(&mut self, reason: EndReason) -> bool {
        let mut any = false;
        for buyer in &mut self.buyers {
            let was_inside = match buyer.place {
                BuyerPlace::Line { .. } => false,
                BuyerPlace::Inside { booked: false, .. } => true,
                BuyerPlace::Inside { .. } | BuyerPlace::Done | BuyerPlace::Over { .. } => continue,
            };
            buyer.place = ended(reason, was_inside);
            any = true;
        }
        any
    }

    fn free(&mut self, booking: usize, reason: ReleaseReason, now: Timestamp) {
        let at = Second(self.within(now, 0));
        self.bookings[booking].state = ReservationState::Released(reason, at);
        for seat in &self.bookings[booking].seats {
            self.seats[*seat].state = SeatState::Free;
        }
    }

    fn turn_seats(
        &mut self,
        seats: &[SeatIndex],
        wanted: impl Fn(SeatState) -> bool,
        to: SeatState,
    ) -> Answer {
        if seats.is_empty() {
            return Err(Refusal::NoSeats);
        }
        for (n, seat) in seats.iter().enumerate() {
            if seat.at() >= self.seats.len() {
                return Err(Refusal::SeatNotFound);
            }
            if seats[..n].contains(seat) {
                return Err(Refusal::DuplicateSeat { seat: *seat });
            }
        }
        let wrong: Vec<_> =
            seats.iter().copied().filter(|seat| !wanted(self.seats[seat.at()].state)).collect();
        if !wrong.is_empty() {
            return Err(Refusal::SeatNotFree { seats: wrong });
        }
        for seat in seats {
            self.seats[seat.at()].state = to;
        }
        Ok(Outcome::Done)
    }

    // ---- Comparing ----

    fn view(&self, number: usize) -> PlaceView {
        let buyer = &self.buyers[number];
        let node = |second: u32| Timestamp(u64::from(second) * 1000 + self.stood_still);
        let booking = || &self.bookings[newest(&buyer.bookings)];
        let (status, position) = match buyer.place {
            BuyerPlace::Line { away, missed, .. } => {
                (Status::Waiting { away }, Some(if missed { 1 } else { 2 + self.before(number) }))
            }
            BuyerPlace::Inside { booked: false, choose, .. } => {
                (Status::Admitted { until: node(choose) }, Some(1))
            }
            BuyerPlace::Inside { .. } => {
                let reservation = booking().id;
                let status = match booking().state {
                    ReservationState::Held(until) => {
                        Status::Holding { reservation, until: node(until.0) }
                    }
                    ReservationState::Paying(_)
                    | ReservationState::Confirmed
                    | ReservationState::Released(..) => Status::Paying { reservation },
                };
                (status, Some(1))
            }
            BuyerPlace::Done => (Status::Done { reservation: booking().id }, None),
            BuyerPlace::Over { reason, .. } => (Status::Ended { reason }, None),
        };
        let place = Place { entry: EntryIndex::after(number), nonce: buyer.nonce };
        PlaceView { place, status, position, total: self.total() }
    }

    /// Panics unless the sale shows exactly what this model does.
    pub(crate) fn assert_shown_by(&self, sale: &Sale) {
        assert_eq!(sale.phase(), self.phase);
        assert_eq!(*sale.limits(), self.limits);
        assert_eq!(sale.line().joined(), self.buyers.len());
        assert_eq!(sale.line().in_line() as usize, self.in_line());
        assert_eq!(sale.active() as usize, self.inside().count());
        assert_eq!(sale.choosing() as usize, self.choosing().count());
        assert_eq!(sale.sold_out(), self.sold_out());
        for (seat, expected) in self.seats.iter().enumerate() {
            assert_eq!(sale.seats().state(SeatIndex::after(seat)), expected.state, "seat {seat}");
        }
        for buyer in 0..self.buyers.len() {
            let view = sale.place(EntryIndex::after(buyer)).expect("a buyer");
            assert_eq!(view, self.view(buyer));
        }
        assert_eq!(sale.reservations().count(), self.bookings.len());
        for (reservation, expected) in sale.reservations().zip(&self.bookings) {
            assert_eq!(reservation.id, expected.id);
            assert_eq!(reservation.state, expected.state);
            assert_eq!(reservation.hard_end.0, expected.hard_end);
            assert_eq!(reservation.amount(), expected.amount);
            assert!(reservation.seats().map(SeatIndex::at).eq(expected.seats.iter().copied()));
            assert_eq!(
                reservation.payment.map(PaymentIndex::at),
                expected.payments.last().copied()
            );
        }
        self.assert_money_shown_by(sale);
    }

    fn assert_money_shown_by(&self, sale: &Sale) {
        let mut sums = [0; 4];
        let mut open = Vec::new();
        for (index, payment) in self.payments.iter().enumerate() {
            let index = PaymentIndex::after(index);
            assert_eq!(sale.payment_by_id(payment.id), Some(index));
            let shown = match &sale.payment(index).expect("a payment").state {
                PaymentState::Running(until) => ChargeState::Running(until.0),
                PaymentState::Unknown => ChargeState::Unknown,
                PaymentState::Approved(_) => ChargeState::Approved,
                PaymentState::Declined(_) => ChargeState::Declined,
                PaymentState::RefundDue => ChargeState::RefundDue,
                PaymentState::Refunded(_) => ChargeState::Refunded,
            };
            assert_eq!(shown, payment.state, "payment {index}");
            let amount = self.bookings[payment.booking].amount.0;
            let column = match payment.state {
                ChargeState::Running(_) | ChargeState::Unknown | ChargeState::Declined => None,
                ChargeState::Approved => Some(1),
                ChargeState::RefundDue => Some(2),
                ChargeState::Refunded => Some(3),
            };
            if let Some(column) = column {
                sums[0] += amount;
                sums[column] += amount;
            }
            if matches!(payment.state, ChargeState::Unknown | ChargeState::RefundDue) {
                open.push(index);
            }
        }
        let shown = sale.takings();
        let shown = [shown.approved, shown.confirmed, shown.refund_due, shown.refunded];
        assert_eq!(shown.map(|money| money.0), sums);
        assert!(sale.open_payments().eq(open));
    }
}

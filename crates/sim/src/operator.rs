//! The organiser's people: they put the sale on the calendar, and meddle with it.

use domain::Command;
use domain::command::Schedule;
use domain::id::SeatIndex;
use domain::limits::Limits;
use domain::money::Currency;
use domain::sale::Sale;
use domain::seats::SeatState;
use domain::time::{Millis, Timestamp};

use crate::clock::Moment;
use crate::hall::POOLS;
use crate::knobs::Knobs;
use crate::random::Random;
use crate::trial::Trouble;

/// Something the operators do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chore {
    Schedule,
    ScheduleWrongly,
    Open,
    Pause,
    Unpause,
    Withhold,
    Release,
    ChangeLimits,
    Describe,
    Close,
}

/// The operators, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    random: Random,
    /// What is said when the sale is described anew.
    telling: Random,
    schedule: Schedule,
    /// What is still to be done, and when; the next one last.
    chores: Vec<(Moment, Chore)>,
    pub(crate) turn: u32,
    limits: Limits,
}

impl Operator {
    pub(crate) fn of(seed: u64, knobs: &Knobs, schedule: Schedule) -> Self {
        let mut random = Random::of(seed, "operator", 0);
        let mut chores = vec![(Moment(random.below(800)), Chore::Schedule)];
        let mut add = |random: &mut Random, trouble, kinds: &[Chore], most: u64| {
            for _ in 0..random.between(1, most) {
                let at = Moment(random.between(1_000, knobs.main));
                let chore = *random.pick(kinds);
                if knobs.has(trouble) {
                    chores.push((at, chore));
                }
            }
        };
        add(
            &mut random,
            Trouble::Misuse,
            &[Chore::ScheduleWrongly, Chore::Open, Chore::Unpause],
            4,
        );
        for _ in 0..random.between(1, 4) {
            let at = random.between(1_000, knobs.main);
            let long = random.between(500, 30_000);
            if knobs.has(Trouble::Pauses) {
                chores.push((Moment(at), Chore::Pause));
                chores.push((Moment(at + long), Chore::Unpause));
            }
        }
        let mut add = |random: &mut Random, trouble, kinds: &[Chore], most: u64| {
            for _ in 0..random.between(1, most) {
                let at = Moment(random.between(1_000, knobs.main));
                let chore = *random.pick(kinds);
                if knobs.has(trouble) {
                    chores.push((at, chore));
                }
            }
        };
        add(&mut random, Trouble::Withholding, &[Chore::Withhold, Chore::Release], 12);
        add(&mut random, Trouble::NewLimits, &[Chore::ChangeLimits], 6);
        let closes_at = Moment(random.between(knobs.main / 2, knobs.main));
        if knobs.has(Trouble::EarlyEnd) && knobs.closes_after.is_none() {
            chores.push((closes_at, Chore::Close));
        }
        if knobs.has(Trouble::Misuse) {
            let tries = random.between(0, 6);
            chores.extend((0..tries).map(|_| (Moment(0), Chore::ScheduleWrongly)));
        }
        // Of their own chance, so that the other chores are what they were without them.
        let mut telling = Random::of(seed, "describe", 0);
        for _ in 0..telling.between(1, 4) {
            let at = Moment(telling.between(1_000, knobs.main));
            if knobs.has(Trouble::NewLimits) {
                chores.push((at, Chore::Describe));
            }
        }
        chores.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Self { random, telling, schedule, chores, turn: 0, limits: knobs.limits }
    }

    /// When the next chore is due, if there is one.
    pub(crate) fn next_at(&self) -> Option<Moment> {
        self.chores.last().map(|(at, _)| *at)
    }

    /// The chore that is due, as a command; none when it cannot be asked for now.
    pub(crate) fn command(&mut self, sale: Option<&Sale>, now: Timestamp) -> Option<Command> {
        let (_, chore) = *self.chores.last()?;
        Some(match chore {
            Chore::Schedule => Command::Schedule(Box::new(self.schedule.clone())),
            Chore::ScheduleWrongly => Command::Schedule(Box::new(self.wrong_schedule(now))),
            Chore::Open => Command::Open,
            Chore::Pause => Command::Pause,
            Chore::Unpause => Command::Unpause,
            Chore::Close => Command::Close,
            Chore::ChangeLimits => Command::ChangeLimits(self.other_limits()),
            Chore::Describe => Command::Change(Box::new(self.described_anew(sale?))),
            Chore::Withhold => {
                let seats = self.seats(sale, |state| state == SeatState::Free)?;
                let pool = u16::try_from(self.random.below(u64::from(POOLS) + 1)).expect("few");
                Command::Withhold { seats, pool }
            }
            Chore::Release => {
                let withheld = |state| matches!(state, SeatState::Withheld(_));
                Command::Release { seats: self.seats(sale, withheld)? }
            }
        })
    }

    /// The chore is done, or was refused.
    pub(crate) fn is_done(&mut self) {
        self.chores.pop();
    }

    /// No more chores, but for the one without which there is no sale.
    pub(crate) fn ends(&mut self) {
        self.chores.retain(|(_, chore)| *chore == Chore::Schedule);
    }

    /// How long before a chore that failed is tried again.
    pub(crate) fn patience_ms(&mut self) -> Millis {
        self.random.between(100, 2_000)
    }

    pub(crate) fn node(&mut self, nodes: usize) -> usize {
        self.random.index(nodes)
    }

    fn seats(
        &mut self,
        sale: Option<&Sale>,
        wanted: impl Fn(SeatState) -> bool,
    ) -> Option<Vec<SeatIndex>> {
        let sale = sale?;
        let all = sale.hall()?.seats().len();
        if self.random.chance(100) {
            let odd = [vec![], vec![SeatIndex::after(all)], vec![SeatIndex(0), SeatIndex(0)]];
            return Some(self.random.pick(&odd).clone());
        }
        let mut seats: Vec<_> = (0..all)
            .map(SeatIndex::after)
            .filter(|seat| wanted(sale.seats().state(*seat)))
            .collect();
        if seats.is_empty() || self.random.chance(50) {
            return Some(vec![SeatIndex::after(self.random.index(all))]);
        }
        let (first, many) = (self.random.index(seats.len()), self.random.index(8) + 1);
        seats.drain(..first);
        seats.truncate(many);
        Some(seats)
    }

    fn other_limits(&mut self) -> Limits {
        let random = &mut self.random;
        let limits = &mut self.limits;
        match random.below(9) {
            0 => limits.line_capacity = random.between_u32(1, 200),
            1 | 2 => limits.active_limit = random.between_u32(1, 20),
            3 => limits.seats_per_reservation = random.between_u32(1, 5),
            4 => limits.hold_ttl = random.between_u32(3, 80),
            5 => limits.place_ttl = random.between_u32(20, 150),
            6 => limits.choose_ttl = random.between_u32(2, 60),
            7 => limits.payment_deadline = random.between_u32(1, 60),
            _ => return Limits { active_limit: 0, ..*limits },
        }
        *limits
    }

    /// The sale as it is, but for one thing; now and then for one that nobody may change.
    fn described_anew(&mut self, sale: &Sale) -> Schedule {
        let mut schedule = self.schedule.clone();
        if let Some(hall) = sale.hall() {
            schedule.plan = hall.plan().clone();
        }
        schedule.opens_at = sale.opens_at();
        schedule.closes_at = sale.closes_at();
        schedule.limits = *sale.limits();
        match self.telling.below(8) {
            0 => schedule.limits.hold_ttl = self.telling.between_u32(3, 80),
            1 => schedule.plan.performances[0].title = "encore".into(),
            2 => schedule.plan.pools.push("late guests".into()),
            3 => {
                let starts_at = &mut schedule.plan.performances[0].starts_at;
                *starts_at = starts_at.plus(3_600_000);
                schedule.closes_at = schedule.closes_at.map(|at| at.plus(20_000));
            }
            // What somebody has must stay where it is.
            4 | 5 => schedule.plan.performances[0].sections[0].name = "ground floor".into(),
            6 => schedule.plan.currency = Currency::parse("USD").expect("a code"),
            _ => schedule.closes_at = Some(schedule.opens_at),
        }
        schedule
    }

    fn wrong_schedule(&mut self, now: Timestamp) -> Schedule {
        let mut schedule = self.schedule.clone();
        match self.random.below(4) {
            0 => schedule.closes_at = Some(schedule.opens_at),
            1 => schedule.plan.performances.clear(),
            2 => schedule.limits.hold_ttl = 0,
            _ => schedule.opens_at = now,
        }
        schedule
    }
}

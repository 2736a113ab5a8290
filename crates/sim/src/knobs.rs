//! What a seed makes of a run: how many of what, the limits, how fast everything is, what goes wrong.

use std::collections::BTreeSet;

use domain::limits::Limits;
use domain::time::Millis;

use crate::random::Random;
use crate::trial::{Trial, Trouble};

/// Everything about a run that does not change while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Knobs {
    pub(crate) nodes: usize,
    pub(crate) buyers: u32,
    /// Of these, how many come at the opening, join, and are never heard of again.
    pub(crate) onlookers: u32,
    /// Seats in each performance.
    pub(crate) performances: Vec<u32>,
    pub(crate) limits: Limits,
    /// When the schedule says that the sale opens.
    pub(crate) opens_after: Millis,
    /// When the schedule says that it closes.
    pub(crate) closes_after: Option<Millis>,
    /// How long buyers come and troubles last.
    pub(crate) main: Millis,
    pub(crate) troubles: BTreeSet<Trouble>,
    /// How often each trouble strikes where it can, in a thousand.
    pub(crate) rate: u64,
    /// The mean time between two troubles that strike by themselves.
    pub(crate) pause: Millis,
    /// The longest that a sound journal takes.
    pub(crate) journal_ms: Millis,
    /// The longest that a message between a buyer and a node takes.
    pub(crate) network_ms: Millis,
    /// The longest that a prompt provider takes.
    pub(crate) provider_ms: Millis,
    pub(crate) publish_every: Millis,
    pub(crate) queue_max: usize,
    pub(crate) payments_in_flight: usize,
    pub(crate) snapshot_every: u64,
}

impl Knobs {
    pub(crate) fn of(trial: &Trial) -> Self {
        let random = &mut Random::of(trial.seed, "knobs", 0);
        let troubles = troubles(random, trial);
        let crowd = random.chance(60);
        let buyers = if crowd { random.between(500, 3_000) } else { random.scale(4, 300) };
        // Seats for all in some runs, for a few in others.
        let seats = random.scale(1, (buyers * 3).clamp(4, 400));
        // More than one command passes over.
        let onlookers = if random.chance(60) { random.between(4_500, 6_000) } else { 0 };
        let onlookers = if troubles.contains(&Trouble::Vanishing) { onlookers } else { 0 };
        let number = |of: u64| u32::try_from(of).expect("a few thousand");
        let (buyers, onlookers) = (number(buyers), number(onlookers));
        let performances = match random.between(1, 4) {
            1 => vec![2, u32::try_from(seats).expect("a few hundred")],
            _ => vec![u32::try_from(seats).expect("a few hundred")],
        };
        let main = random.between(90_000, 300_000);
        Self {
            nodes: match troubles.contains(&Trouble::SeveralNodes) {
                true => random.index(2) + 2,
                false => 1,
            },
            buyers: (buyers + onlookers).min(trial.buyers),
            onlookers,
            performances,
            limits: limits(random, crowd || onlookers > 0),
            opens_after: random.between(1_000, 15_000),
            closes_after: (troubles.contains(&Trouble::EarlyEnd) && random.chance(500))
                .then(|| random.between(main / 2, main)),
            main,
            troubles,
            rate: random.scale(4, 200),
            pause: random.between(8_000, 60_000),
            journal_ms: random.between(1, 20),
            network_ms: random.between(1, 60),
            provider_ms: random.between(1, 400),
            publish_every: *random.pick(&[20, 20, 20, 0, 200]),
            queue_max: *random.pick(&[8_000, 8_000, 8_000, 8_000, 4]),
            payments_in_flight: *random.pick(&[1_000, 1_000, 1_000, 2]),
            snapshot_every: random.scale(20, 5_000),
        }
    }

    pub(crate) fn has(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }
}

fn troubles(random: &mut Random, trial: &Trial) -> BTreeSet<Trouble> {
    // From none to all of them, so that each is met by itself and in every company.
    let share = *random.pick(&[0, 60, 120, 250, 400, 1_000]);
    // Every one is drawn, so that leaving one out leaves the others as they are.
    let drawn: Vec<bool> = Trouble::ALL.iter().map(|_| random.chance(share)).collect();
    let drawn = Trouble::ALL.iter().zip(drawn).filter(|(_, drawn)| *drawn);
    drawn.map(|(trouble, _)| *trouble).filter(|trouble| !trial.without.contains(trouble)).collect()
}

fn limits(random: &mut Random, crowd: bool) -> Limits {
    if random.chance(50) && !crowd {
        // As they are by default; only the number inside is small enough that people wait.
        return Limits { active_limit: random.between_u32(1, 10), ..Limits::default() };
    }
    let few = random.chance(150);
    let most_inside = if crowd { 100 } else { 20 };
    Limits {
        line_capacity: if few { random.between_u32(1, 20) } else { 100_000 },
        active_limit: u32::try_from(random.scale(1, most_inside)).expect("small"),
        seats_per_reservation: random.between_u32(1, 4),
        hold_ttl: random.between_u32(4, 60),
        payment_deadline: random.between_u32(1, 40),
        place_ttl: random.between_u32(30, 120),
        arrive_ttl: random.between_u32(4, 20),
        choose_ttl: random.between_u32(3, 40),
        presence_window: random.between_u32(8, 20),
    }
}

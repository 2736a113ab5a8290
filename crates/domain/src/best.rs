//! The best seats beside each other: which ones somebody gets who says only how many.
//!
//! Within a grade the best group is the one whose middle is nearest to the middle of the stage's
//! edge, of several the first in plan order. Groups that leave a single free seat behind, between
//! others or at the end of a stretch, come after all that do not: nobody buys such a seat with
//! friends. Of several grades the first one in the plan that has a group at all gives it. Places for
//! wheelchairs and companions' seats are nobody's best, for they are for those who need them.
//!
//! The choice depends on the hall and its free seats alone, so that a command that is decided again
//! comes to the same. It is made with whole numbers.
//!
//! # What it costs
//!
//! The stretches of a grade stand in the order of how near they can be, so that the search ends as
//! soon as nothing nearer can follow, and free seats are looked at in words of 64. Among 50,000 seats
//! that is a microsecond at most while the front is free, and 10 µs when nine tenths are sold. Where
//! there is no group every stretch is looked at twice: that takes 22 µs when all is sold and 45 µs at
//! worst with 25 seats to a stretch, 75 µs with 10 to a stretch, and grows with the hall. A stretch
//! that is free is measured group by group, 5 ns each.

use crate::id::SeatIndex;
use crate::plan::{Hall, Stretch, distance};
use crate::refusal::Refusal;
use crate::seats::Seats;

/// Seats in one group, at most: more than any limit of a sale, and so few that a word has room for the
/// starts of several groups.
pub const GROUP_MAX: u32 = 50;

/// The best `count` free seats beside each other, of the grade that is called `grade` or, without
/// one, of the first that has so many.
///
/// # Errors
/// `wrong_performance`, `grade_not_found`, `no_adjacent_seats`.
///
/// # Panics
/// When `count` is 0 or over [`GROUP_MAX`].
pub fn best_seats(
    hall: &Hall,
    seats: &Seats,
    performance: u16,
    count: u32,
    grade: Option<&str>,
) -> Result<Vec<SeatIndex>, Refusal> {
    assert!((1..=GROUP_MAX).contains(&count), "nobody wants {count} seats");
    let plan = hall.plan().performances.get(usize::from(performance));
    let all = (0..).zip(&plan.ok_or(Refusal::WrongPerformance)?.grades);
    // A plan may call two grades the same, at two prices.
    let called = all.filter(|(_, of)| grade.is_none_or(|name| *of.name == *name));
    let numbers: Vec<u16> = called.map(|(number, _)| number).collect();
    if numbers.is_empty() {
        return Err(Refusal::GradeNotFound);
    }
    let of_grades = || numbers.iter().map(|number| hall.stretches(performance, *number));
    match of_grades().find_map(|stretches| best_group(hall, seats, stretches, count)) {
        Some(best) => Ok((best.first..best.first + count).map(SeatIndex).collect()),
        None => Err(what_there_is(seats, of_grades().flatten())),
    }
}

/// Seats beside each other that somebody could have; the least is the best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// Whether a single free seat stays behind.
    strands: bool,
    distance: u64,
    first: u32,
}

/// The best group of these stretches, which are those of a grade.
fn best_group(hall: &Hall, seats: &Seats, stretches: &[Stretch], count: u32) -> Option<Group> {
    let mut best: Option<Group> = None;
    for stretch in stretches {
        // No group of this stretch, nor of any that follows, comes before these.
        let at_best = |strands| Group { strands, distance: stretch.nearest, first: 0 };
        let worth_it =
            |best: Option<Group>, strands| best.is_none_or(|best| best > at_best(strands));
        if !worth_it(best, false) {
            break;
        }
        if stretch.len() < count {
            continue;
        }
        for offset in (0..stretch.len()).step_by(Starts::step(count) as usize) {
            let starts = Starts::among(seats, stretch, offset, count);
            for (strands, mut starts) in [(false, starts.good), (true, starts.stranding)] {
                if starts == 0 || !worth_it(best, strands) {
                    continue;
                }
                let places = hall.places(stretch);
                while starts != 0 {
                    let start = offset + starts.trailing_zeros();
                    starts &= starts - 1;
                    let (front, back) = (start as usize, (start + count - 1) as usize);
                    let distance = distance(&places[front], &places[back]);
                    let group = Group { strands, distance, first: stretch.first() + start };
                    best = Some(best.map_or(group, |best| best.min(group)));
                }
            }
        }
    }
    best
}

/// What is told instead of a group.
fn what_there_is<'s>(seats: &Seats, stretches: impl Iterator<Item = &'s Stretch>) -> Refusal {
    let (mut available_count, mut largest_adjacent) = (0, 0);
    for stretch in stretches {
        // Free seats that stand together and end where the last word did.
        let mut run = 0;
        for offset in (0..stretch.len()).step_by(u64::BITS as usize) {
            let free = free_word(seats, stretch, offset);
            if free == 0 {
                run = 0;
                continue;
            }
            available_count += free.count_ones();
            largest_adjacent = largest_adjacent.max(run + free.trailing_ones());
            // Not all of a word is free, for then there would have been a group.
            run = free.leading_ones();
            while largest_adjacent < GROUP_MAX && runs(free, largest_adjacent + 1) != 0 {
                largest_adjacent += 1;
            }
        }
    }
    Refusal::NoAdjacentSeats { available_count, largest_adjacent }
}

/// The free seats of a stretch from the `offset`-th on, 64 at most, the lowest bit first.
fn free_word(seats: &Seats, stretch: &Stretch, offset: u32) -> u64 {
    let left = stretch.len().saturating_sub(offset).min(u64::BITS);
    seats.free_among(stretch.first() + offset, left)
}

/// Where `count` bits in a row begin.
fn runs(bits: u64, count: u32) -> u64 {
    let (mut starts, mut length) = (bits, 1);
    while length < count {
        let more = length.min(count - length);
        starts &= starts >> more;
        length += more;
    }
    starts
}

/// Where groups may start among seats of a stretch, the first of them at the lowest bit.
struct Starts {
    /// Groups that leave no single seat behind.
    good: u64,
    /// Groups that do.
    stranding: u64,
}

impl Starts {
    /// How many seats are looked at together: all that leave room in a word for two seats before
    /// and, behind a group that starts with the last, for two more.
    fn step(count: u32) -> u32 {
        u64::BITS - 3 - count
    }

    /// Groups of `count` that start with one of [`Self::step`] seats from the `offset`-th on.
    fn among(seats: &Seats, stretch: &Stretch, offset: u32, count: u32) -> Self {
        let free = match offset {
            0 => free_word(seats, stretch, 0) << 2,
            _ => free_word(seats, stretch, offset - 2),
        };
        if free == 0 {
            return Self { good: 0, stranding: 0 };
        }
        let starts = runs(free, count) & ((1 << Self::step(count)) - 1) << 2;
        let alone_before = free << 1 & !(free << 2);
        let alone_behind = free >> count & !(free >> (count + 1));
        let strands = alone_before | alone_behind;
        Self { good: (starts & !strands) >> 2, stranding: (starts & strands) >> 2 }
    }
}

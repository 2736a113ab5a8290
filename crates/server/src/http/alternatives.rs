//! Which seats somebody might like instead of those that were taken: near, free, of the same grade,
//! as many as were asked for. Hints only: by the time they are read they may be taken too.
//!
//! Where seats beside each other were wanted and are not to be had, those of another grade, or as
//! many as near to each other as can be.
//!
//! Seats beside each other in one row come first, the nearest ones; then the nearest single ones.
//! Only seats within [`REACH`] places of the plan are looked at, so that a stampede for one row
//! does not make every refusal walk through the whole hall.

use domain::best::best_seats;
use domain::command::Wish;
use domain::id::SeatIndex;
use domain::plan::Hall;
use domain::seats::{SeatState, Seats};

/// Places of the plan that are looked at before and behind the wish.
const REACH: usize = 1024;
/// A row further away counts as so many seats to the side.
const ROW_SEATS: u32 = 2;

/// A free seat near the wish.
#[derive(Clone, Copy)]
struct Candidate {
    index: SeatIndex,
    row: u32,
    /// The place in its row.
    place: u32,
    distance: u32,
}

/// As many free seats as were wished for, of the grade of the first that was taken, in plan order;
/// none when there are not so many near by. `seats` may be older than the refusal and still show
/// those that were taken as free.
pub(super) fn alternatives(
    hall: &Hall,
    seats: &Seats,
    taken: &[SeatIndex],
    count: usize,
) -> Option<Vec<SeatIndex>> {
    let mut candidates = candidates(hall, seats, *taken.first()?)?;
    candidates.retain(|seat| !taken.contains(&seat.index));
    beside_each_other(&candidates, count).or_else(|| nearest(candidates, count))
}

/// As many free seats as were to stand beside each other: of another grade if they do there, else
/// the best `largest` that do, and the nearest ones to these.
pub(super) fn instead_of_best(
    hall: &Hall,
    seats: &Seats,
    wish: &Wish,
    largest: u32,
) -> Option<Vec<SeatIndex>> {
    let (performance, count, grade) = match wish {
        Wish::Best { performance, count, grade } => (*performance, *count, grade.as_deref()),
        Wish::Seats { .. } => return None,
    };
    let best = |count, grade| best_seats(hall, seats, performance, count, grade).ok();
    if let Some(of_another) = grade.and_then(|_| best(count, None)) {
        return Some(of_another);
    }
    let mut chosen = if largest > 0 { best(largest, grade)? } else { return None };
    let mut others = candidates(hall, seats, chosen[0])?;
    others.retain(|seat| !chosen.contains(&seat.index));
    chosen.extend(nearest(others, count.checked_sub(largest)? as usize)?);
    chosen.sort();
    Some(chosen)
}

fn candidates(hall: &Hall, seats: &Seats, taken: SeatIndex) -> Option<Vec<Candidate>> {
    let wish = hall.seat(taken)?;
    let all = hall.seats_of(wish.performance);
    let (first, last) = (SeatIndex(all.start).at(), SeatIndex(all.end).at());
    let row_of = |index: usize| hall.seats()[index].row;

    // From the beginning of a row, so that places in it can be counted.
    let mut start = taken.at().saturating_sub(REACH).max(first);
    while start > first && row_of(start - 1) == row_of(start) {
        start -= 1;
    }
    let end = (taken.at() + REACH).min(last);

    let places: Vec<u32> = (start..end)
        .scan((None, 0), |(row, place), index| {
            let same = row.replace(row_of(index)) == Some(row_of(index));
            *place = if same { *place + 1 } else { 0 };
            Some(*place)
        })
        .collect();
    let wished = places[taken.at() - start];
    let candidates = (start..end).zip(places).filter_map(|(at, place)| {
        let (index, seat) = (SeatIndex::after(at), &hall.seats()[at]);
        // Nobody is sent to a wheelchair place, nor to a companion's seat, who did not ask for it.
        let free = seats.state(index) == SeatState::Free
            && seat.grade == wish.grade
            && hall.access(index).is_none();
        let distance = seat.row.abs_diff(wish.row) * ROW_SEATS + place.abs_diff(wished);
        free.then_some(Candidate { index, row: seat.row, place, distance })
    });
    Some(candidates.collect())
}

/// The nearest seats that stand beside each other.
fn beside_each_other(candidates: &[Candidate], count: usize) -> Option<Vec<SeatIndex>> {
    let groups = candidates.windows(count.max(1)).filter(|group| {
        let beside =
            |pair: &[Candidate]| pair[0].row == pair[1].row && pair[0].place + 1 == pair[1].place;
        group.windows(2).all(beside)
    });
    let nearest = groups.min_by_key(|group| group.iter().map(|seat| seat.distance).sum::<u32>())?;
    Some(nearest.iter().map(|seat| seat.index).collect())
}

fn nearest(mut candidates: Vec<Candidate>, count: usize) -> Option<Vec<SeatIndex>> {
    candidates.sort_by_key(|seat| (seat.distance, seat.index));
    candidates.truncate(count);
    let mut seats: Vec<SeatIndex> = candidates.iter().map(|seat| seat.index).collect();
    seats.sort();
    (seats.len() == count).then_some(seats)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::Refusal;
    use domain::sale::Sale;

    use super::super::fixture::{LARGE, SMALL, open, performance, withhold};
    use super::*;

    /// A sale in which only these seats of the second performance are free.
    fn only_free(free: &str) -> (Sale, Arc<Hall>) {
        let mut sale = open(vec![
            performance("one", "2026-05-01", SMALL),
            performance("two", "2026-05-02", LARGE),
        ]);
        let hall = sale.hall().unwrap().clone();
        let free: Vec<_> = free.split(' ').filter_map(|number| hall.find(1, number)).collect();
        let others = hall.seats_of(1).filter(|seat| !free.contains(&SeatIndex(*seat)));
        withhold(&mut sale, others);
        (sale, hall)
    }

    fn hints(free: &str, taken: &str, count: usize) -> String {
        let (sale, hall) = only_free(free);
        let taken = hall.find(1, taken).unwrap();
        let found = alternatives(&hall, sale.seats(), &[taken], count).unwrap_or_default();
        let numbers: Vec<&str> =
            found.iter().map(|seat| &*hall.seats()[seat.at()].number).collect();
        numbers.join(" ")
    }

    #[test]
    fn the_nearest_of_the_same_grade_are_found() {
        let table = [
            // One seat: the neighbour, then the row behind, then further to the side.
            ("C10 C13 D11", "C11", 1, "C10"),
            ("C20 D11", "C11", 1, "D11"),
            ("C1 T33", "C33", 1, "C1"),
            // Several: beside each other, although single ones are nearer.
            ("C10 C12 F1 F2", "C11", 2, "F1 F2"),
            ("B33 C1 A5 A9", "C2", 2, "A5 C1"),
            // No other grade, nobody's second floor.
            ("2-A1 2-A2", "A1", 1, ""),
            ("2-A1 2-A2", "2-J40", 2, "2-A1 2-A2"),
            // Not fewer than were asked for.
            ("A1", "A2", 2, ""),
            ("", "A2", 1, ""),
            ("A1 A2 A3", "A33", 3, "A1 A2 A3"),
            // Not what was just taken, although the list does not know that yet.
            ("C10 C11 C12", "C11", 1, "C10"),
            ("C10 C11", "C11", 2, ""),
        ];
        for (free, taken, count, expected) in table {
            assert_eq!(hints(free, taken, count), expected, "{free} for {count} of {taken}");
        }
    }

    #[test]
    fn who_cannot_sit_together_sits_near_by_or_in_another_grade() {
        let table = [
            ("A1 A2 A4 C9", Some("R"), 3, "A1 A2 A4"),
            ("A1 A3 2-B1 2-B2", Some("R"), 2, "2-B1 2-B2"),
            ("2-B1 2-B4 A1", Some("S"), 2, "2-B1 2-B4"),
            ("A1 A3 2-B5", None, 2, "A1 A3"),
            ("A1 2-B1", None, 2, ""),
            ("A1", Some("R"), 2, ""),
            ("", None, 2, ""),
        ];
        for (free, grade, count, expected) in table {
            let (sale, hall) = only_free(free);
            let wish = Wish::Best { performance: 1, count, grade: grade.map(Into::into) };
            let refused = best_seats(&hall, sale.seats(), 1, count, grade);
            let Err(Refusal::NoAdjacentSeats { largest_adjacent, .. }) = refused else {
                panic!("{refused:?}")
            };
            let found = instead_of_best(&hall, sale.seats(), &wish, largest_adjacent);
            let found = found.unwrap_or_default();
            let numbers: Vec<&str> =
                found.iter().map(|seat| &*hall.seats()[seat.at()].number).collect();
            assert_eq!(numbers.join(" "), expected, "{free} for {count} of {grade:?}");
        }
    }

    #[test]
    fn it_stays_within_the_performance_and_never_panics() {
        let (sale, hall) = only_free("");
        for seat in 0..SeatIndex::after(hall.seats().len()).0 {
            for count in [0, 1, 4] {
                let found = alternatives(&hall, sale.seats(), &[SeatIndex(seat)], count);
                let performance = hall.seats()[SeatIndex(seat).at()].performance;
                let inside =
                    |other: &SeatIndex| hall.seats()[other.at()].performance == performance;
                assert!(found.unwrap_or_default().iter().all(inside));
            }
        }
        assert_eq!(alternatives(&hall, sale.seats(), &[SeatIndex(u32::MAX)], 1), None);
        assert_eq!(alternatives(&hall, sale.seats(), &[], 1), None);
    }
}

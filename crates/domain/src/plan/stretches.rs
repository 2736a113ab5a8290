//! Which seats stand beside each other: the stretches of a hall's rows.
//!
//! A stretch is what stands beside each other in one row and is of one grade. Two neighbours stand
//! beside each other when they are at most one and a half times as far apart as the nearest two
//! neighbours of their row: an aisle or a missing seat ends a stretch. So does a place for a
//! wheelchair or a companion's seat, which is in none. In a plan that puts all seats of a row on one
//! spot they all stand beside each other.
//!
//! They are found once for each hall. Which seats are free is not known here.

use super::{Hall, Performance, Seat};
use crate::id::SeatIndex;

/// Seats of one row and grade that stand beside each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    first: u32,
    len: u32,
    /// Where the first stands: performance, section in it, row in that, place in that.
    at: (u16, u16, u32, u32),
    /// No group of these seats is nearer to the stage, as [`distance`] measures it.
    pub(crate) nearest: u64,
}

impl Stretch {
    /// The first of its seats, as an index of [`Hall::seats`].
    pub(crate) fn first(&self) -> u32 {
        self.first
    }

    /// How many seats it has; their indices follow each other.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }
}

/// How far the middle of a group is from the middle of the stage's edge, when these are the first
/// and the last of its seats: the square of twice the distance. No square root, no rounding; what is
/// farther than the Earth is wide counts as equally far.
pub(crate) fn distance(first: &Seat, last: &Seat) -> u64 {
    let doubled = |one: i32, other: i32| (i64::from(one) + i64::from(other)).unsigned_abs();
    square_sum(doubled(first.x, last.x), doubled(first.y, last.y))
}

fn square_sum(right: u64, back: u64) -> u64 {
    right.saturating_mul(right).saturating_add(back.saturating_mul(back))
}

impl Hall {
    /// The stretches of a grade of a performance, those that may be nearest to the stage first.
    pub(crate) fn stretches(&self, performance: u16, grade: u16) -> &[Stretch] {
        &self.performances[usize::from(performance)].stretches[usize::from(grade)]
    }

    /// The seats of a stretch as the plan places them.
    pub(crate) fn places(&self, stretch: &Stretch) -> &[Seat] {
        let (performance, section, row, place) = stretch.at;
        let section =
            &self.plan.performances[usize::from(performance)].sections[usize::from(section)];
        &section.rows[row as usize].seats[place as usize..][..stretch.len as usize]
    }
}

/// The stretches of a performance, by grade.
pub(super) fn find(hall: &Hall, number: u16) -> Vec<Vec<Stretch>> {
    let performance: &Performance = &hall.plan.performances[usize::from(number)];
    let mut stretches = vec![Vec::new(); performance.grades.len()];
    let mut row_starts = hall.seats_of(number).start;
    for (section_number, section) in (0..).zip(&performance.sections) {
        for (row_number, row) in (0..).zip(&section.rows) {
            let reach = Reach::of(&row.seats);
            let ordinary = |at: &u32| hall.access(SeatIndex(row_starts + at)).is_none();
            let seats: Vec<(u32, &Seat)> =
                (0..).zip(&row.seats).filter(|(at, _)| ordinary(at)).collect();
            let beside = |(at, seat): &(u32, &Seat), (next, other): &(u32, &Seat)| {
                at + 1 == *next && seat.grade == other.grade && reach.covers(seat, other)
            };
            for together in seats.chunk_by(beside) {
                let (place, seat) = together[0];
                stretches[usize::from(seat.grade)].push(Stretch {
                    first: row_starts + place,
                    len: SeatIndex::after(together.len()).0,
                    at: (number, section_number, row_number, place),
                    nearest: nearest(together),
                });
            }
            row_starts += SeatIndex::after(row.seats.len()).0;
        }
    }
    for of_grade in &mut stretches {
        of_grade.sort_by_key(|stretch| (stretch.nearest, stretch.first));
    }
    stretches
}

/// How far apart neighbours of a row may be and stand beside each other.
struct Reach {
    /// The square of the smallest distance of two neighbours that is not 0.
    smallest: Option<u128>,
}

impl Reach {
    fn of(row: &[Seat]) -> Self {
        let apart = row.windows(2).map(|pair| apart(&pair[0], &pair[1]));
        Self { smallest: apart.filter(|apart| *apart > 0).min() }
    }

    fn covers(&self, seat: &Seat, neighbour: &Seat) -> bool {
        // One and a half times, squared: nine quarters.
        self.smallest.is_none_or(|smallest| 4 * apart(seat, neighbour) <= 9 * smallest)
    }
}

/// The square of the distance of two seats.
fn apart(seat: &Seat, other: &Seat) -> u128 {
    let square = |one: i32, other: i32| u128::from(one.abs_diff(other)).pow(2);
    square(seat.x, other.x) + square(seat.y, other.y)
}

/// What no group of these seats can be nearer than: a rectangle around all of them is there.
fn nearest(together: &[(u32, &Seat)]) -> u64 {
    let away = |along: fn(&Seat) -> i32| {
        let all = || together.iter().map(|(_, seat)| along(seat));
        let (least, most) = (all().min().unwrap_or_default(), all().max().unwrap_or_default());
        // Where it reaches across the middle it is not away from it at all.
        u64::from(0_i32.clamp(least, most).unsigned_abs())
    };
    square_sum(2 * away(|seat| seat.x), 2 * away(|seat| seat.y))
}

#[cfg(test)]
mod tests {
    use super::super::WheelchairPlace;
    use super::super::tests::{performance, plan};
    use super::*;

    /// A hall of one row with seats at these places.
    fn hall(places: &[(i32, i32)], change: impl FnOnce(&mut Performance)) -> Hall {
        let numbers: Vec<String> = (1..=places.len()).map(|number| format!("A{number}")).collect();
        let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let mut plan = plan();
        plan.performances[1] = performance("two", &numbers);
        let performance = &mut plan.performances[1];
        performance.grades.push(performance.grades[0].clone());
        for (seat, (x, y)) in performance.sections[0].rows[0].seats.iter_mut().zip(places) {
            (seat.x, seat.y) = (*x, *y);
        }
        change(performance);
        Hall::build(plan).unwrap()
    }

    /// The stretches of a grade as numbers of seats: `1-3 5-5`.
    fn of_grade(hall: &Hall, grade: u16) -> String {
        let first = hall.seats_of(1).start;
        let all = hall.stretches(1, grade).iter().map(|stretch| {
            let before = stretch.first() - first;
            format!("{}-{}", before + 1, before + stretch.len())
        });
        all.collect::<Vec<_>>().join(" ")
    }

    fn row(across: &[i32]) -> Vec<(i32, i32)> {
        across.iter().map(|x| (*x, 100)).collect()
    }

    #[test]
    fn an_aisle_a_gap_and_a_wheelchair_end_a_stretch() {
        let same = |_: &mut Performance| {};
        // Up to one and a half times as far as the nearest two are apart.
        assert_eq!(of_grade(&hall(&row(&[0, 50, 125, 175]), same), 0), "1-4");
        assert_eq!(of_grade(&hall(&row(&[0, 50, 126, 176]), same), 0), "1-2 3-4");
        assert_eq!(of_grade(&hall(&row(&[175, 125, 50, 0]), same), 0), "1-4");
        // Aslant, and all on one spot.
        let aslant = |x| [(0, 0), (40, 30), (x, 75), (x + 40, 105)];
        assert_eq!(of_grade(&hall(&aslant(100), same), 0), "1-4");
        assert_eq!(of_grade(&hall(&aslant(101), same), 0), "1-2 3-4");
        assert_eq!(of_grade(&hall(&[(7, 7); 3], same), 0), "1-3");
        let wheelchair = hall(&row(&[-150, -50, 50, 150]), |performance| {
            let place = WheelchairPlace { place: "A2".into(), companions: Vec::new() };
            performance.wheelchair_places = vec![place];
        });
        assert_eq!(of_grade(&wheelchair, 0), "3-4 1-1");
        let grades = hall(&row(&[-150, -50, 50, 150]), |performance| {
            performance.sections[0].rows[0].seats[3].grade = 1;
        });
        assert_eq!([0, 1].map(|grade| of_grade(&grades, grade)), ["1-3", "4-4"]);
    }

    #[test]
    fn nothing_is_nearer_than_it_is_said() {
        let rows =
            [row(&[-125, -75, -25]), row(&[-25, 25]), row(&[75, 125]), vec![(-3, 9), (5, -2)]];
        let nearest = [2 * 25, 0, 2 * 75, 0];
        for (row, away) in rows.iter().zip(nearest) {
            let hall = hall(row, |_| ());
            let stretch = hall.stretches(1, 0)[0];
            let back = if row[0].1 == 100 { 2 * 100 } else { 0 };
            assert_eq!(stretch.nearest, square_sum(away, back), "{row:?}");
            let seats = hall.places(&stretch);
            for (n, first) in seats.iter().enumerate() {
                assert!(seats[n..].iter().all(|last| distance(first, last) >= stretch.nearest));
            }
        }
    }

    #[test]
    fn the_far_end_of_the_world_is_a_place_too() {
        let far = [(i32::MIN, i32::MAX), (i32::MAX, i32::MIN), (i32::MIN, i32::MIN)];
        let hall = hall(&far, |_| ());
        let seats = hall.stretches(1, 0).iter().flat_map(|stretch| hall.places(stretch));
        assert_eq!(seats.count(), 3);
        let at = |(x, y): (i32, i32)| Seat { number: "A1".into(), grade: 0, x, y, pool: None };
        assert_eq!(distance(&at(far[2]), &at(far[2])), u64::MAX);
        assert_eq!(distance(&at(far[0]), &at(far[1])), 2);
    }
}

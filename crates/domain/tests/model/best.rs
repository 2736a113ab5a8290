//! The best seats beside each other, as plainly as it can be said: every group there is, one after
//! another.

use domain::Refusal;
use domain::plan::{Performance, Seat};

/// The best seats of a performance, counted in plan order; `free` says of each whether it is.
pub(crate) fn best(
    performance: &Performance,
    count: usize,
    grade: Option<&str>,
    free: impl Fn(usize) -> bool,
) -> Result<Vec<usize>, Refusal> {
    let wanted = |number: u16| grade.is_none_or(|name| *grade_name(performance, number) == *name);
    if !(0..).take(performance.grades.len()).any(wanted) {
        return Err(Refusal::GradeNotFound);
    }
    let rows = rows(performance);
    let mut groups = Vec::new();
    let (mut available, mut largest) = (0, 0);
    for row in &rows {
        // Whether the seat at that place in the row may be had, and whether it and the next one may
        // be had together.
        let may = |at: usize| {
            let seat = row.seats.get(at);
            seat.is_some_and(|seat| {
                free(row.first + at) && wanted(seat.grade) && !is_marked(performance, seat)
            })
        };
        let both = |at: usize| may(at) && may(at + 1) && row.beside(at);
        for from in 0..row.seats.len() {
            available += u32::from(may(from));
            for to in from..row.seats.len() {
                if !(may(from) && (from..to).all(both)) {
                    continue;
                }
                let length = to - from + 1;
                largest = largest.max(length);
                if length != count {
                    continue;
                }
                let alone_before = from > 0 && both(from - 1) && !(from > 1 && both(from - 2));
                let alone_behind = both(to) && !both(to + 1);
                let (x, y) = (
                    i128::from(row.seats[from].x) + i128::from(row.seats[to].x),
                    i128::from(row.seats[from].y) + i128::from(row.seats[to].y),
                );
                let grade = row.seats[from].grade;
                let first = row.first + from;
                groups.push((grade, alone_before || alone_behind, x * x + y * y, first));
            }
        }
    }
    match groups.iter().min() {
        Some((.., first)) => Ok((*first..first + count).collect()),
        None => Err(Refusal::NoAdjacentSeats {
            available_count: available,
            largest_adjacent: u32::try_from(largest).expect("a small hall"),
        }),
    }
}

fn grade_name(performance: &Performance, number: u16) -> &str {
    &performance.grades[usize::from(number)].name
}

/// Whether it is a place for a wheelchair or a companion's seat.
fn is_marked(performance: &Performance, seat: &Seat) -> bool {
    performance
        .wheelchair_places
        .iter()
        .any(|place| place.place == seat.number || place.companions.contains(&seat.number))
}

struct Row<'p> {
    /// The number of its first seat.
    first: usize,
    seats: &'p [Seat],
    /// How far apart the nearest two neighbours are, unless that is not at all.
    smallest: f64,
}

fn rows(performance: &Performance) -> Vec<Row<'_>> {
    let mut first = 0;
    let mut rows = Vec::new();
    for row in performance.sections.iter().flat_map(|section| &section.rows) {
        let apart = row.seats.windows(2).map(|pair| apart(&pair[0], &pair[1]));
        let smallest = apart.filter(|apart| *apart > 0.0).fold(f64::INFINITY, f64::min);
        rows.push(Row { first, seats: &row.seats, smallest });
        first += row.seats.len();
    }
    rows
}

impl Row<'_> {
    /// Whether two neighbours are of one grade, with no aisle between them.
    fn beside(&self, at: usize) -> bool {
        let (seat, next) = (&self.seats[at], &self.seats[at + 1]);
        seat.grade == next.grade && apart(seat, next) <= 1.5 * self.smallest
    }
}

fn apart(seat: &Seat, other: &Seat) -> f64 {
    let right = f64::from(seat.x) - f64::from(other.x);
    let back = f64::from(seat.y) - f64::from(other.y);
    right.hypot(back)
}

//! A hall as text: the stage on top, one character for each seat, aisles as blanks, every section in
//! its place. A hall that is wider than a screen is condensed: one character then stands for a square
//! of seats.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::SeatIndex;
use domain::plan::{Access, Hall};

use crate::table::column_width;

/// Columns of a drawing, at most.
const COLUMNS_MAX: usize = 110;
/// Lines of a drawing in which a character is a seat, at most.
const LINES_MAX: usize = 120;
/// Lines without a seat that are drawn in a row, at most: far balconies come nearer.
const BLANK_LINES_MAX: usize = 2;
/// From one seat to the next, and one row to the next, where a hall does not say: centimetres.
const PITCH: (i32, i32) = (55, 100);

/// What is drawn for seats that are not simply for sale.
const WITHHELD: char = 'x';
const WHEELCHAIR: char = 'w';
const COMPANION: char = 'c';

/// A seat as it is drawn.
struct Dot {
    x: i32,
    y: i32,
    section: usize,
    row: u32,
    mark: char,
}

/// Draws the hall of one performance, with its legend.
pub(super) fn draw(hall: &Hall, number: u16) -> String {
    let performance = &hall.plan().performances[usize::from(number)];
    let marks = marks(performance.grades.iter().map(|grade| &*grade.name));
    let planned = performance.sections.iter().flat_map(|section| &section.rows);
    let planned = planned.flat_map(|row| &row.seats);
    let dots: Vec<Dot> = hall
        .seats_of(number)
        .zip(planned)
        .map(|(index, planned)| {
            let seat = &hall.seats()[index as usize];
            let mark = match hall.access(SeatIndex(index)) {
                Some(Access::Wheelchair) => WHEELCHAIR,
                Some(Access::Companion(_)) => COMPANION,
                None if seat.pool.is_some() => WITHHELD,
                None => marks[usize::from(seat.grade)],
            };
            let section = usize::from(seat.section);
            Dot { x: planned.x, y: planned.y, section, row: seat.row, mark }
        })
        .collect();

    let grid = Grid::of(&dots);
    let names: Vec<&str> = performance.sections.iter().map(|section| &*section.name).collect();
    let rows = performance.sections.iter().flat_map(|section| &section.rows);
    let rows: Vec<&str> = rows.map(|row| &*row.name).collect();
    let mut text = grid.draw(&dots, &names, &rows);
    text.push('\n');
    for (grade, mark) in performance.grades.iter().zip(&marks) {
        text.push_str(&format!("  {mark}  {}\n", grade.name));
    }
    let drawn: BTreeSet<char> = dots.iter().map(|dot| dot.mark).collect();
    let others = [
        (WITHHELD, "withheld"),
        (WHEELCHAIR, "wheelchair place"),
        (COMPANION, "companion's seat, only together with its wheelchair place"),
    ];
    for (mark, meaning) in others.into_iter().filter(|(mark, _)| drawn.contains(mark)) {
        text.push_str(&format!("  {mark}  {meaning}\n"));
    }
    if grid.seats > 1 {
        let seats = grid.seats;
        text.push_str(&format!(
            "  one character stands for a square of {seats} by {seats} seats\n"
        ));
    }
    text
}

/// One character for each grade: the first of its name where that is a capital or a digit that
/// nobody has yet, else the next capital.
fn marks<'n>(grades: impl Iterator<Item = &'n str>) -> Vec<char> {
    let mut used = BTreeSet::new();
    let mut marks = Vec::new();
    for name in grades {
        let own = name.chars().next().filter(|mark| {
            (mark.is_ascii_uppercase() || mark.is_ascii_digit()) && !used.contains(mark)
        });
        let mark = own.or_else(|| ('A'..='Z').find(|mark| !used.contains(mark))).unwrap_or('?');
        used.insert(mark);
        marks.push(mark);
    }
    marks
}

/// Which character a place in the hall is.
struct Grid {
    left: i32,
    top: i32,
    /// Centimetres from one character to the next.
    step: (i32, i32),
    columns: usize,
    /// Seats along a side of the square that one character stands for.
    seats: i32,
}

impl Grid {
    fn of(dots: &[Dot]) -> Self {
        let (x, y) = (|dot: &Dot| dot.x, |dot: &Dot| dot.y);
        let bounds = |of: fn(&Dot) -> i32| {
            let all = || dots.iter().map(of);
            (all().min().unwrap_or(0), all().max().unwrap_or(0))
        };
        let ((left, right), (top, bottom)) = (bounds(x), bounds(y));
        // The middle of the stage's edge is in every drawing.
        let (left, right) = (left.min(0), right.max(0));
        let pitch = (pitch_of_seats(dots), pitch_of_rows(dots));
        let fits = |seats: i32| {
            let columns = (right - left) / (pitch.0 * seats) + 1;
            let lines = (bottom - top) / (pitch.1 * seats) + 1;
            let fits = |count: i32, max: usize| usize::try_from(count).is_ok_and(|n| n <= max);
            fits(columns, COLUMNS_MAX) && fits(lines, LINES_MAX)
        };
        // A hall is bounded in metres, so some square is large enough.
        let seats = (1..).find(|seats| fits(*seats)).unwrap_or(1);
        let step = (pitch.0 * seats, pitch.1 * seats);
        let columns = usize::try_from((right - left) / step.0 + 2).unwrap_or(COLUMNS_MAX);
        Self { left, top, step, columns, seats }
    }

    fn column(&self, x: i32) -> usize {
        usize::try_from((x - self.left + self.step.0 / 2) / self.step.0).unwrap_or(0)
    }

    fn line(&self, y: i32) -> usize {
        usize::try_from((y - self.top + self.step.1 / 2) / self.step.1).unwrap_or(0)
    }

    fn draw(&self, dots: &[Dot], sections: &[&str], rows: &[&str]) -> String {
        let mut cells: BTreeMap<usize, BTreeMap<usize, BTreeMap<char, usize>>> = BTreeMap::new();
        // Where each row begins to be named, and each section.
        let mut row_names: BTreeMap<usize, &str> = BTreeMap::new();
        let mut begins: BTreeMap<usize, usize> = BTreeMap::new();
        for dot in dots {
            let line = self.line(dot.y);
            let cell = cells.entry(line).or_default().entry(self.column(dot.x)).or_default();
            *cell.entry(dot.mark).or_default() += 1;
            row_names.entry(line).or_insert(rows[dot.row as usize]);
            let first = begins.entry(dot.section).or_insert(line);
            *first = line.min(*first);
        }
        if self.seats > 1 {
            row_names.clear();
            // A square that is mostly an aisle is drawn as one.
            let seats = |cell: &BTreeMap<char, usize>| cell.values().sum::<usize>();
            let fullest = cells.values().flat_map(BTreeMap::values).map(seats).max().unwrap_or(0);
            for line in cells.values_mut() {
                line.retain(|_, cell| seats(cell) * 2 >= fullest);
            }
        }
        let margin = row_names.values().map(|name| column_width(name)).max().unwrap_or(0);

        let mut text = self.stage(margin);
        let (mut drawn, last) = (0, cells.keys().next_back().copied().unwrap_or(0));
        let mut blank = 0;
        while drawn <= last {
            let marks = cells.get(&drawn);
            blank = if marks.is_some() { 0 } else { blank + 1 };
            if blank <= BLANK_LINES_MAX {
                let name = row_names.get(&drawn).copied().unwrap_or("");
                let mut line = " ".repeat(2 + margin - column_width(name));
                line.push_str(name);
                line.push_str("  ");
                for column in 0..self.columns {
                    let cell = marks.and_then(|marks| marks.get(&column));
                    line.push(cell.map_or(' ', commonest));
                }
                let new: Vec<&str> = begins
                    .iter()
                    .filter(|(_, line)| **line == drawn)
                    .map(|(section, _)| sections[*section])
                    .collect();
                if !new.is_empty() {
                    line.push_str("  ");
                    line.push_str(&new.join(" "));
                }
                text.push_str(line.trim_end());
                text.push('\n');
            }
            drawn += 1;
        }
        text
    }

    /// The stage's edge, its middle where it is in the hall.
    fn stage(&self, margin: usize) -> String {
        const STAGE: &str = "[ stage ]";
        let middle = margin + 4 + self.column(0);
        format!("{}{STAGE}\n\n", " ".repeat(middle.saturating_sub(STAGE.len() / 2)))
    }
}

/// The mark that most seats of a square have.
fn commonest(marks: &BTreeMap<char, usize>) -> char {
    marks.iter().max_by_key(|(_, count)| **count).map_or(' ', |(mark, _)| *mark)
}

/// The least distance of two seats in a row.
fn pitch_of_seats(dots: &[Dot]) -> i32 {
    let beside = dots.windows(2).filter(|pair| pair[0].row == pair[1].row);
    let least = beside.map(|pair| (pair[1].x - pair[0].x).abs()).filter(|gap| *gap > 0).min();
    least.unwrap_or(PITCH.0)
}

/// The least distance of two rows of a section.
fn pitch_of_rows(dots: &[Dot]) -> i32 {
    let behind = dots.windows(2).filter(|pair| pair[0].section == pair[1].section);
    let least = behind.map(|pair| (pair[1].y - pair[0].y).abs()).filter(|gap| *gap > 0).min();
    least.unwrap_or(PITCH.1)
}

#[cfg(test)]
mod tests;

//! Sections as a file describes them, laid out seat by seat, each with its place in the drawing.
//!
//! A section is a block of rows, one behind the other, with as many seats in each; what is missing
//! in a row is an exception and leaves a gap. A section without a place of its own stands behind
//! those before it, in the middle.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::Name;
use domain::plan::{Row, SEATS_MAX, Seat, Section};
use serde::Deserialize;

use super::ranges::names;
use super::{GradeFile, Path, SaleFileError};

/// From one seat to the next, in centimetres.
const SEAT_PITCH: i32 = 55;
/// From one row to the next, in centimetres.
const ROW_PITCH: i32 = 100;
/// Between sections, and between the stage and the first, in centimetres.
const AISLE: i32 = 250;
/// The farthest from the stage that a section may be put, in centimetres.
const FAR: i32 = 100_000;

/// A part of the hall: a block of rows of seats.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SectionFile {
    name: String,
    /// From the stage backwards: `A-T`.
    rows: String,
    /// From left to right: `1-40`.
    seats: String,
    /// How a seat's number is made of `{section}`, `{row}` and `{seat}`.
    #[serde(default = "row_and_seat")]
    seat_number: String,
    /// Of all seats, but for the next.
    grade: String,
    /// Rows of another grade: `{"A-E": "R"}`.
    #[serde(default)]
    grades_of_rows: BTreeMap<String, String>,
    /// Seats that do not exist, by their rows: `{"A-B": "1-4"}`.
    #[serde(default)]
    except: BTreeMap<String, String>,
    /// Seats withheld from the start, by pool and row: `{"press": {"B": "19-22"}}`.
    #[serde(default)]
    withheld: BTreeMap<String, BTreeMap<String, String>>,
    at: Option<At>,
}

/// Where the middle of the first row stands: centimetres to the right of the middle of the stage's
/// edge, and away from it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    x: i32,
    y: i32,
}

fn row_and_seat() -> String {
    "{row}{seat}".to_owned()
}

/// Lays the sections of one performance out. `seats_left` is how many seats the sale may still have.
pub(super) fn sections(
    sections: &[SectionFile],
    grades: &[GradeFile],
    pools: &[String],
    seats_left: &mut usize,
    path: &Path<'_>,
) -> Result<Vec<Section>, SaleFileError> {
    let mut laid_out = Vec::new();
    let mut behind = AISLE;
    for (number, section) in sections.iter().enumerate() {
        let path = Path::Item(path, "sections", number);
        let block = Block::read(section, grades, pools, seats_left, &path)?;
        let at = section.at.unwrap_or(At { x: 0, y: behind });
        if !(-FAR..=FAR).contains(&at.x) || !(0..=FAR).contains(&at.y) {
            return Err(Path::Field(&path, "at").is(format!("is over {FAR} cm from the stage")));
        }
        behind = behind.max(at.y + ROW_PITCH * length(&block.rows) + AISLE);
        laid_out.push(Section { name: section.name.as_str().into(), rows: block.lay_out(at) });
    }
    Ok(laid_out)
}

/// Rows or seats of one section, few enough to be counted here.
fn length(names: &[String]) -> i32 {
    i32::try_from(names.len()).expect("a list of names is bounded")
}

/// A section whose names have all been found.
struct Block {
    rows: Vec<String>,
    seats: Vec<String>,
    number: Vec<Part>,
    section: String,
    /// For each row.
    grades: Vec<u16>,
    /// By row and seat.
    except: BTreeSet<(usize, usize)>,
    /// By row and seat, for which pool.
    withheld: BTreeMap<(usize, usize), u16>,
}

impl Block {
    fn read(
        section: &SectionFile,
        grades: &[GradeFile],
        pools: &[String],
        seats_left: &mut usize,
        path: &Path<'_>,
    ) -> Result<Self, SaleFileError> {
        let rows = names(&section.rows).map_err(|why| Path::Field(path, "rows").is(why))?;
        let seats = names(&section.seats).map_err(|why| Path::Field(path, "seats").is(why))?;
        let count = rows.len() * seats.len();
        *seats_left = seats_left.checked_sub(count).ok_or_else(|| {
            Path::Field(path, "rows").is(format!("makes it more than {SEATS_MAX} seats in all"))
        })?;
        let number = read_pattern(&section.seat_number)
            .map_err(|why| Path::Field(path, "seat_number").is(why))?;

        let grade_of = |name: &str, field: &Path<'_>| {
            index_of(name, grades.iter().map(|grade| grade.name.as_str()))
                .ok_or_else(|| field.is(format!("has `{name}`, which is none of the grades")))
        };
        let grade = grade_of(&section.grade, &Path::Field(path, "grade"))?;
        let mut row_grades = vec![grade; rows.len()];
        let field = Path::Field(path, "grades_of_rows");
        for (which, name) in &section.grades_of_rows {
            let grade = grade_of(name, &field)?;
            for row in find_all(which, &rows, "rows", &field)? {
                row_grades[row] = grade;
            }
        }

        let field = Path::Field(path, "except");
        let except = find_seats(&section.except, &rows, &seats, &field)?.into_iter().collect();
        let mut withheld = BTreeMap::new();
        let field = Path::Field(path, "withheld");
        for (name, which) in &section.withheld {
            let pool = index_of(name, pools.iter().map(String::as_str))
                .ok_or_else(|| field.is(format!("has `{name}`, which is none of the pools")))?;
            let which = find_seats(which, &rows, &seats, &Path::Field(&field, name))?;
            withheld.extend(which.into_iter().map(|seat| (seat, pool)));
        }
        let section = section.name.clone();
        Ok(Self { rows, seats, number, section, grades: row_grades, except, withheld })
    }

    fn lay_out(&self, at: At) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.rows.len());
        let (mut y, left) = (at.y, at.x - (length(&self.seats) - 1) * SEAT_PITCH / 2);
        for (row, row_name) in self.rows.iter().enumerate() {
            let mut x = left;
            let mut seats = Vec::with_capacity(self.seats.len());
            for (seat, seat_name) in self.seats.iter().enumerate() {
                if !self.except.contains(&(row, seat)) {
                    let pool = self.withheld.get(&(row, seat)).copied();
                    let number = self.number(row_name, seat_name);
                    seats.push(Seat { number, grade: self.grades[row], x, y, pool });
                }
                x += SEAT_PITCH;
            }
            rows.push(Row { name: row_name.as_str().into(), seats });
            y += ROW_PITCH;
        }
        rows
    }

    fn number(&self, row: &str, seat: &str) -> Name {
        let parts = self.number.iter().map(|part| match part {
            Part::Text(text) => text,
            Part::Section => self.section.as_str(),
            Part::Row => row,
            Part::Seat => seat,
        });
        Name::from(parts.collect::<String>())
    }
}

/// A piece of a seat number.
enum Part {
    Text(String),
    Section,
    Row,
    Seat,
}

fn read_pattern(pattern: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut pieces = pattern.split('{');
    parts.extend(pieces.next().map(|text| Part::Text(text.to_owned())));
    for piece in pieces {
        let (name, text) = piece.split_once('}').ok_or("has a { without its }")?;
        parts.push(match name {
            "section" => Part::Section,
            "row" => Part::Row,
            "seat" => Part::Seat,
            _ => {
                return Err(format!("has {{{name}}}, and knows {{section}}, {{row}} and {{seat}}"));
            }
        });
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(parts)
}

fn index_of<'n>(name: &str, mut names: impl Iterator<Item = &'n str>) -> Option<u16> {
    names.position(|known| known == name)?.try_into().ok()
}

/// Which of `all` a text names.
fn find_all(
    text: &str,
    all: &[String],
    kind: &str,
    path: &Path<'_>,
) -> Result<Vec<usize>, SaleFileError> {
    let wanted = names(text).map_err(|why| path.is(why))?;
    let find = |name: &String| {
        let at = all.iter().position(|known| known == name);
        at.ok_or_else(|| path.is(format!("has `{name}`, which is none of the {kind}")))
    };
    wanted.iter().map(find).collect()
}

/// Which seats are named, as row and seat.
fn find_seats(
    named: &BTreeMap<String, String>,
    rows: &[String],
    seats: &[String],
    path: &Path<'_>,
) -> Result<Vec<(usize, usize)>, SaleFileError> {
    let mut found = Vec::new();
    for (which_rows, which_seats) in named {
        let which_seats = find_all(which_seats, seats, "seats", path)?;
        for row in find_all(which_rows, rows, "rows", path)? {
            found.extend(which_seats.iter().map(|seat| (row, *seat)));
        }
    }
    Ok(found)
}

//! Sections as a file describes them, laid out seat by seat, each with its place in the drawing.
//!
//! A section is a block of rows, one behind the other, with as many seats in each; what is missing
//! in a row is an exception and leaves a gap. A section without a place of its own stands behind
//! those before it, in the middle.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::Name;
use domain::plan::{Row, SEATS_MAX, Seat, Section, WheelchairPlace};
use serde::Deserialize;

use super::place::Path;
use super::ranges::names;
use super::words::Names;
use super::{GradeFile, SaleFileError};

/// From one seat to the next, in centimetres.
const SEAT_PITCH: i32 = 55;
/// From one row to the next, in centimetres.
const ROW_PITCH: i32 = 100;
/// Between sections, and between the stage and the first, in centimetres.
const AISLE: i32 = 250;
/// How much farther apart seats are that an aisle runs between, in centimetres.
const AISLE_OF_SEATS: i32 = 2 * SEAT_PITCH;
/// How much farther apart rows are that an aisle runs between, in centimetres.
const AISLE_OF_ROWS: i32 = ROW_PITCH;
/// The farthest from the stage that a section may be put, in centimetres.
const FAR: i32 = 100_000;

/// A part of the hall: a block of rows of seats.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SectionFile {
    name: String,
    /// From the stage backwards: `A-T`.
    rows: Names,
    /// From left to right: `1-40`.
    seats: Names,
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
    except: BTreeMap<String, Names>,
    /// Seats withheld from the start, by pool and row: `{"press": {"B": "19-22"}}`.
    #[serde(default)]
    withheld: BTreeMap<String, BTreeMap<String, Names>>,
    /// Places for wheelchairs, and the seats beside them for those who come along.
    #[serde(default)]
    wheelchair: Vec<WheelchairFile>,
    /// Seats with an aisle to their right.
    aisles_after: Option<Names>,
    /// Rows with an aisle behind them.
    aisles_after_rows: Option<Names>,
    at: Option<At>,
}

/// A place for a wheelchair.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WheelchairFile {
    row: Names,
    place: Names,
    /// Of the same row.
    companions: Option<Names>,
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
) -> Result<(Vec<Section>, Vec<WheelchairPlace>), SaleFileError> {
    let (mut laid_out, mut places) = (Vec::new(), Vec::new());
    let mut behind = AISLE;
    for (number, section) in sections.iter().enumerate() {
        let path = Path::Item(path, "sections", number);
        let block = Block::read(section, grades, pools, seats_left, &path)?;
        let at = section.at.unwrap_or(At { x: 0, y: behind });
        if !(-FAR..=FAR).contains(&at.x) || !(0..=FAR).contains(&at.y) {
            return Err(Path::Field(&path, "at").is(format!("is over {FAR} cm from the stage")));
        }
        behind = behind.max(at.y + block.depth() + AISLE);
        places.extend(block.wheelchair_places());
        laid_out.push(Section { name: section.name.as_str().into(), rows: block.lay_out(at) });
    }
    Ok((laid_out, places))
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
    wheelchairs: Vec<Wheelchair>,
    /// Seats with an aisle to their right.
    aisles: BTreeSet<usize>,
    /// Rows with an aisle behind them.
    aisles_of_rows: BTreeSet<usize>,
}

/// A place for a wheelchair; it and its companions as places in the row.
struct Wheelchair {
    row: usize,
    place: usize,
    companions: Vec<usize>,
}

impl Block {
    fn read(
        section: &SectionFile,
        grades: &[GradeFile],
        pools: &[String],
        seats_left: &mut usize,
        path: &Path<'_>,
    ) -> Result<Self, SaleFileError> {
        let rows = names(&section.rows.0).map_err(|why| Path::Field(path, "rows").is(why))?;
        let seats = names(&section.seats.0).map_err(|why| Path::Field(path, "seats").is(why))?;
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
            let field = Path::Field(&field, which);
            let grade = grade_of(name, &field)?;
            for row in find_all(which, &rows, "rows", &field)? {
                row_grades[row] = grade;
            }
        }

        let field = Path::Field(path, "except");
        let except: BTreeSet<_> =
            find_seats(&section.except, &rows, &seats, &field)?.into_iter().collect();
        let mut withheld = BTreeMap::new();
        let field = Path::Field(path, "withheld");
        for (name, which) in &section.withheld {
            let pool = index_of(name, pools.iter().map(String::as_str))
                .ok_or_else(|| field.is(format!("has `{name}`, which is none of the pools")))?;
            let which = find_seats(which, &rows, &seats, &Path::Field(&field, name))?;
            withheld.extend(which.into_iter().map(|seat| (seat, pool)));
        }
        let mut wheelchairs = Vec::new();
        for (number, wheelchair) in section.wheelchair.iter().enumerate() {
            let path = Path::Item(path, "wheelchair", number);
            wheelchairs.push(Wheelchair::read(wheelchair, &rows, &seats, &except, &path)?);
        }
        let aisles = |which: &Option<Names>, all: &[String], kind: &str, field: &str| {
            let Some(Names(which)) = which else { return Ok(BTreeSet::new()) };
            let found = find_all(which, all, kind, &Path::Field(path, field))?;
            Ok(found.into_iter().collect::<BTreeSet<usize>>())
        };
        Ok(Self {
            aisles: aisles(&section.aisles_after, &seats, "seats", "aisles_after")?,
            aisles_of_rows: aisles(&section.aisles_after_rows, &rows, "rows", "aisles_after_rows")?,
            rows,
            seats,
            number,
            section: section.name.clone(),
            grades: row_grades,
            except,
            withheld,
            wheelchairs,
        })
    }

    /// From its first row to where the one behind its last would stand, in centimetres.
    fn depth(&self) -> i32 {
        let aisles = i32::try_from(self.aisles_of_rows.len()).expect("rows are bounded");
        ROW_PITCH * length(&self.rows) + AISLE_OF_ROWS * aisles
    }

    /// From the middle of the first seat to that of the last, in centimetres.
    fn width(&self) -> i32 {
        let last = self.seats.len() - 1;
        let inside = self.aisles.iter().filter(|seat| **seat != last).count();
        let aisles = i32::try_from(inside).expect("seats are bounded");
        SEAT_PITCH * (length(&self.seats) - 1) + AISLE_OF_SEATS * aisles
    }

    fn wheelchair_places(&self) -> impl Iterator<Item = WheelchairPlace> {
        self.wheelchairs.iter().map(|wheelchair| {
            let number = |seat: &usize| self.number(&self.rows[wheelchair.row], &self.seats[*seat]);
            WheelchairPlace {
                place: number(&wheelchair.place),
                companions: wheelchair.companions.iter().map(number).collect(),
            }
        })
    }

    fn lay_out(&self, at: At) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.rows.len());
        let (mut y, left) = (at.y, at.x - self.width() / 2);
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
                if self.aisles.contains(&seat) {
                    x += AISLE_OF_SEATS;
                }
            }
            rows.push(Row { name: row_name.as_str().into(), seats });
            y += ROW_PITCH;
            if self.aisles_of_rows.contains(&row) {
                y += AISLE_OF_ROWS;
            }
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

impl Wheelchair {
    fn read(
        file: &WheelchairFile,
        rows: &[String],
        seats: &[String],
        except: &BTreeSet<(usize, usize)>,
        path: &Path<'_>,
    ) -> Result<Self, SaleFileError> {
        let row = find_one(&file.row.0, rows, "rows", &Path::Field(path, "row"))?;
        let there = |found: &[usize], field: &Path<'_>| match found
            .iter()
            .find(|seat| except.contains(&(row, **seat)))
        {
            Some(seat) => Err(field.is(format!("has `{}`, which is an exception", seats[*seat]))),
            None => Ok(()),
        };
        let field = Path::Field(path, "place");
        let place = find_one(&file.place.0, seats, "seats", &field)?;
        there(&[place], &field)?;
        let field = Path::Field(path, "companions");
        let companions = match &file.companions {
            Some(Names(names)) => find_all(names, seats, "seats", &field)?,
            None => Vec::new(),
        };
        there(&companions, &field)?;
        Ok(Self { row, place, companions })
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

/// Which one of `all` a text names.
fn find_one(
    text: &str,
    all: &[String],
    kind: &str,
    path: &Path<'_>,
) -> Result<usize, SaleFileError> {
    match find_all(text, all, kind, path)?[..] {
        [one] => Ok(one),
        _ => Err(path.is(format!("has `{text}`, which is more than one of the {kind}"))),
    }
}

/// Which seats are named, as row and seat.
fn find_seats(
    named: &BTreeMap<String, Names>,
    rows: &[String],
    seats: &[String],
    path: &Path<'_>,
) -> Result<Vec<(usize, usize)>, SaleFileError> {
    let mut found = Vec::new();
    for (which_rows, Names(which_seats)) in named {
        let path = Path::Field(path, which_rows);
        let which_seats = find_all(which_seats, seats, "seats", &path)?;
        for row in find_all(which_rows, rows, "rows", &path)? {
            found.extend(which_seats.iter().map(|seat| (row, *seat)));
        }
    }
    Ok(found)
}

//! Reads a file and asks the rules about it, so that its author is told what is wrong in the file's
//! own words, with line and column.

use std::fmt;

use domain::id::{Name, SaleId};
use domain::plan::{Hall, Performance, Plan, PlanError};
use engine::NewSale;

use super::place::{Field, Place};
use super::{SaleFile, SaleFileError};
use crate::http::bad_plan;
use crate::language::Language;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// None when it is in no one place.
    pub(crate) place: Option<Place>,
    /// What is wrong: a clause without an end, for its author.
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// The sale that a file in TOML describes, under the name `sale`; the rules would take it.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn read_toml(text: &[u8], sale: SaleId) -> Result<NewSale, Fault> {
    let text = std::str::from_utf8(text).map_err(|error| Fault {
        place: Some(Place::of(&String::from_utf8_lossy(text), error.valid_up_to())),
        what: "the file is not text in UTF-8".to_owned(),
    })?;
    let fault = |error: SaleFileError| match &error {
        SaleFileError::Unreadable { place, reason } => {
            Fault { place: *place, what: reason.clone() }
        }
        SaleFileError::Field { field, .. } => {
            Fault { place: field.place_in(text), what: error.to_string() }
        }
    };
    let file = SaleFile::from_toml(text).map_err(fault)?;
    let new = file.schedule(sale).map_err(fault)?;
    let schedule = &new.schedule;
    if schedule.closes_at.is_some_and(|closes| closes <= schedule.opens_at) {
        return Err(Fault {
            place: Field::top("closes_at").place_in(text),
            what: "`closes_at` is not after `opens_at`".to_owned(),
        });
    }
    match Hall::build(schedule.plan.clone()) {
        Ok(_) => Ok(new),
        Err(error) => {
            let field = file.field_of(&schedule.plan, &error);
            let sentence = bad_plan(&error, Language::En);
            let what = format!("`{field}` cannot be sold so: {}", sentence.trim_end_matches('.'));
            Err(Fault { place: field.place_in(text), what })
        }
    }
}

impl SaleFile {
    /// The field that the rules complain about, as nearly as can be said.
    pub(super) fn field_of(&self, plan: &Plan, error: &PlanError) -> Field {
        let performances = || Field::top("performances");
        let found = match error {
            PlanError::PerformanceCount | PlanError::TooMany => None,
            PlanError::PerformanceTwice(id) => {
                let last = plan.performances.iter().rposition(|other| other.id == *id);
                last.map(|number| performances().item(number).name("id"))
            }
            PlanError::SeatCount => plan
                .performances
                .iter()
                .position(|performance| seats(performance).next().is_none())
                .map(|number| self.shared(number, "sections")),
            PlanError::SeatTwice(seat) | PlanError::UnknownGrade(seat) => {
                self.section_of(plan, seat, 1)
            }
            PlanError::UnknownPool(seat)
            | PlanError::UnknownPlace(seat)
            | PlanError::PlaceTwice(seat) => self.section_of(plan, seat, 0),
            PlanError::Price(grade) => self.in_all(plan, |performance| {
                let grades = &performance.grades;
                let number = grades.iter().position(|other| {
                    other.name == *grade && other.price > domain::money::Money::PRICE_MAX
                })?;
                Some(("grades", Some((number, "price"))))
            }),
            PlanError::Name(name) => {
                let pool = plan.pools.iter().position(|pool| pool == name);
                let pool = pool.map(|number| Field::top("pools").item(number));
                pool.or_else(|| {
                    self.in_all(plan, |performance| {
                        let found = names_of(performance).find(|(other, _)| *other == name);
                        found.map(|(_, field)| field)
                    })
                })
            }
        };
        found.unwrap_or_else(performances)
    }

    /// The field of a performance, or the sale's that stands for it.
    fn shared(&self, performance: usize, field: &str) -> Field {
        let own = self.performances.get(performance).is_some_and(|own| match field {
            "title" => own.title.is_some(),
            "venue" => own.venue.is_some(),
            "grades" => own.grades.is_some(),
            _ => own.sections.is_some(),
        });
        if own {
            Field::top("performances").item(performance).name(field)
        } else {
            Field::top(field)
        }
    }

    /// The section that has a seat of this number, the first or, for `nth` = 1, the second that has
    /// it, or has it twice.
    fn section_of(&self, plan: &Plan, seat: &Name, nth: usize) -> Option<Field> {
        self.in_all(plan, |performance| {
            let all = seats(performance).filter(|(_, number)| *number == seat);
            let (section, _) = { all }.nth(nth)?;
            Some(("sections", Some((section, "seat_number"))))
        })
    }

    /// The first field that is found in a performance: a list, a number in it and a field of that,
    /// or a field of the performance itself.
    fn in_all(&self, plan: &Plan, find: impl Fn(&Performance) -> Option<Named>) -> Option<Field> {
        let mut found = plan.performances.iter().enumerate();
        let (number, (field, item)) =
            found.find_map(|(number, performance)| Some((number, find(performance)?)))?;
        let field = self.shared(number, field);
        Some(match item {
            Some((item, name)) => field.item(item).name(name),
            None => field,
        })
    }
}

/// Every name that people read.
pub(super) fn names(plan: &Plan) -> impl Iterator<Item = &Name> {
    let performances = plan.performances.iter().flat_map(names_of);
    plan.pools.iter().chain(performances.map(|(name, _)| name))
}

/// Every seat's section and number.
fn seats(performance: &Performance) -> impl Iterator<Item = (usize, &Name)> {
    performance.sections.iter().enumerate().flat_map(|(number, section)| {
        let rows = section.rows.iter();
        rows.flat_map(move |row| row.seats.iter().map(move |seat| (number, &seat.number)))
    })
}

/// A field of a performance, or of an item of one of its lists.
type Named = (&'static str, Option<(usize, &'static str)>);

/// Every name in a performance, with the field that it is in.
fn names_of(performance: &Performance) -> impl Iterator<Item = (&Name, Named)> {
    let own = [(&performance.title, ("title", None)), (&performance.venue, ("venue", None))];
    let grades = performance.grades.iter().enumerate();
    let grades = grades.map(|(number, grade)| (&grade.name, ("grades", Some((number, "name")))));
    let sections = || performance.sections.iter().enumerate();
    let in_section = |number, field| ("sections", Some((number, field)));
    let rows = sections().flat_map(move |(number, section)| {
        section.rows.iter().map(move |row| (&row.name, in_section(number, "rows")))
    });
    let sections =
        sections().map(move |(number, section)| (&section.name, in_section(number, "name")));
    let seats =
        seats(performance).map(move |(number, seat)| (seat, in_section(number, "seat_number")));
    own.into_iter().chain(grades).chain(sections).chain(rows).chain(seats)
}

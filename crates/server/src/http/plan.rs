//! The plan of a performance as people draw it: sections, rows, seats with coordinates, grades.
//!
//! Whether a seat is free is not said here, so that the plan can be kept. It is written and compressed
//! when somebody first asks for it, aside, for a large one takes a while.

use domain::id::SeatIndex;
use domain::plan::{Access, Grade, Hall, Row, Seat, Section};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::to_json;
use super::document::{Document, version_of};
use super::seat_list::access_word;
use super::time::Utc;

/// The plan of a performance. It hardly ever changes, and its tag does when it does.
#[derive(Serialize, ToSchema)]
#[schema(as = Plan)]
pub(super) struct PlanBody<'a> {
    /// Which version of the plan it is; the availability names the same.
    #[schema(min_length = 32, max_length = 32)]
    plan: &'a str,
    /// Which performance.
    performance_id: &'a str,
    /// What is played.
    title: &'a str,
    /// Where.
    venue: &'a str,
    /// The local date at the venue.
    date: String,
    /// When it begins.
    starts_at: Utc,
    /// The IANA name of the venue's time zone.
    time_zone: &'a str,
    /// What all prices are in (ISO 4217).
    currency: &'a str,
    /// The price classes.
    grades: Vec<GradeBody<'a>>,
    /// The parts of the hall, in plan order.
    sections: Vec<SectionBody<'a>>,
}

/// A price class.
#[derive(Serialize, ToSchema)]
#[schema(as = Grade)]
struct GradeBody<'a> {
    /// As people see it.
    name: &'a str,
    /// Of each seat, in the currency's smallest unit.
    price: u64,
}

/// A part of the hall.
#[derive(Serialize, ToSchema)]
#[schema(as = Section)]
struct SectionBody<'a> {
    /// As people see it.
    name: &'a str,
    /// From the stage backwards.
    rows: Vec<RowBody<'a>>,
}

/// Seats beside each other.
#[derive(Serialize, ToSchema)]
#[schema(as = Row)]
struct RowBody<'a> {
    /// As people see it.
    name: &'a str,
    /// In the order in which they stand.
    seats: Vec<SeatBody<'a>>,
}

/// A seat and where to draw it.
#[derive(Serialize, ToSchema)]
#[schema(as = Seat)]
struct SeatBody<'a> {
    /// Unique in its performance.
    seat_number: &'a str,
    /// The name of its grade.
    grade: &'a str,
    /// Centimetres to the right of the middle of the stage's edge.
    x: i32,
    /// Centimetres away from the stage.
    y: i32,
    /// `wheelchair` for a wheelchair place, `companion` for a seat that is held only together with
    /// one; absent for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("companion"))]
    accessible: Option<&'static str>,
    /// The number of the wheelchair place that a companion's seat belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    companion_of: Option<&'a str>,
}

/// A plan as it is sent.
pub(super) struct DrawnPlan {
    /// Which version it is: 32 characters, the same wherever the plan is the same.
    pub(super) version: String,
    /// The plan.
    pub(super) document: Document,
}

impl DrawnPlan {
    /// Draws the plan of one performance of a hall.
    pub(super) fn new(hall: &Hall, number: u16) -> Self {
        let mut json = plan_json(hall, number);
        let version = version_of(&json);
        json[VERSION].copy_from_slice(version.as_bytes());
        Self { document: Document::of_version(&version, json), version }
    }
}

/// Stands for the version until it is known, for it is made from everything else.
const NO_VERSION: &str = "................................";
/// Where the version stands: in the first field, `{"plan":"…"`.
const VERSION: std::ops::Range<usize> = 9..9 + NO_VERSION.len();

/// The plan of one performance of a hall, in JSON, without its version.
fn plan_json(hall: &Hall, number: u16) -> Vec<u8> {
    let plan = hall.plan();
    let performance = &plan.performances[usize::from(number)];
    let mut index = hall.seats_of(number).start;
    let grades = &performance.grades;
    let graded = grades.iter().map(|grade| GradeBody { name: &grade.name, price: grade.price.0 });
    to_json(&PlanBody {
        plan: NO_VERSION,
        performance_id: performance.id.as_str(),
        title: &performance.title,
        venue: &performance.venue,
        date: performance.date.to_string(),
        starts_at: Utc(performance.starts_at),
        time_zone: &plan.time_zone,
        currency: plan.currency.as_str(),
        grades: graded.collect(),
        sections: performance
            .sections
            .iter()
            .map(|section| SectionBody::new(section, grades, hall, &mut index))
            .collect(),
    })
}

impl<'a> SectionBody<'a> {
    /// `index` is that of the section's first seat, and then of the one behind its last.
    fn new(section: &'a Section, grades: &'a [Grade], hall: &'a Hall, index: &mut u32) -> Self {
        let rows = section.rows.iter().map(|row| RowBody::new(row, grades, hall, index));
        Self { name: &section.name, rows: rows.collect() }
    }
}

impl<'a> RowBody<'a> {
    fn new(row: &'a Row, grades: &'a [Grade], hall: &'a Hall, index: &mut u32) -> Self {
        let seat = |seat: &'a Seat| {
            let access = hall.access(SeatIndex(*index));
            *index += 1;
            SeatBody {
                seat_number: &seat.number,
                grade: &grades[usize::from(seat.grade)].name,
                x: seat.x,
                y: seat.y,
                accessible: access.map(access_word),
                companion_of: match access {
                    Some(Access::Companion(place)) => Some(&hall.seats()[place.at()].number),
                    Some(Access::Wheelchair) | None => None,
                },
            }
        };
        Self { name: &row.name, seats: row.seats.iter().map(seat).collect() }
    }
}

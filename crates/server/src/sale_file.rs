//! A sale as an organiser describes it in a file: TOML, or the same in JSON, in the words of the
//! API. `docs/sales.md` describes every field.
//!
//! ```toml
//! time_zone = "Asia/Seoul"
//! currency = "KRW"
//! opens_at = 2026-05-01T20:00:00
//! closes_at = "2026-06-20T18:00"
//! limits = { active_limit = 200 }
//! pools = ["press"]
//! title = "봄 콘서트"
//! venue = "한강홀"
//! grades = [{ name = "R", price = 132_000 }, { name = "S", price = 99_000 }]
//!
//! [[sections]]
//! name = "1층"
//! rows = "A-T"
//! seats = "1-40"
//! seat_number = "{row}{seat}"
//! grade = "S"
//! grades_of_rows = { "A-E" = "R" }
//! aisles_after = [10, 30]
//! except = { A = "1-2,39-40", T = "1-10" }
//! withheld = { press = { B = "19-22" } }
//! wheelchair = [{ row = "T", place = 40, companions = 39 }]
//!
//! [[performances]]
//! id = "spring-sat"
//! date = 2026-06-20
//! starts_at = 19:00:00
//!
//! [[performances]]
//! id = "spring-sun"
//! date = "2026-06-21"
//! starts_at = "17:00"
//! ```
//!
//! What a performance does not say (title, venue, grades, sections) the sale says for it. Times
//! without an offset are the venue's. A field that is not known is refused: it is a mistyped one.
//!
//! Not here: whether such a sale may be sold, which is for the rules to say; only what has lost its
//! name by then (a grade, a pool, a row) is refused here, naming the field. [`read_toml`] asks the
//! rules as well, so that whoever wrote a file is told all of it in the file's own words.

mod check;
mod place;
mod ranges;
mod reading;
mod seating;
mod words;

use domain::command::Schedule;
use domain::id::{Name, PerformanceId, SaleId};
use domain::limits::Limits;
use domain::money::{Currency, Money};
use domain::plan::{Grade, Performance, Plan, PlanError, SEATS_MAX};
use domain::time::Timestamp;
use engine::NewSale;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde::Deserialize;

use place::Path;
use seating::SectionFile;
use words::When;

pub(crate) use check::{Fault, read_toml};
pub(crate) use place::{Field, Place};
pub(crate) use reading::{SaleFileId, read_file};

/// What a sale's file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SaleFile {
    /// Whether buyers who name no sale join this one.
    #[serde(default)]
    default: bool,
    /// The venue's, by its IANA name.
    time_zone: String,
    /// By its ISO 4217 code.
    currency: String,
    opens_at: When,
    closes_at: Option<When>,
    #[serde(default)]
    limits: LimitsFile,
    /// For whom seats may be withheld.
    #[serde(default)]
    pools: Vec<String>,
    /// For the performances that have no title of their own; likewise the next three.
    title: Option<String>,
    venue: Option<String>,
    grades: Option<Vec<GradeFile>>,
    sections: Option<Vec<SectionFile>>,
    performances: Vec<PerformanceFile>,
}

/// One evening.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PerformanceFile {
    id: String,
    /// At the venue; likewise when it starts.
    date: When,
    starts_at: When,
    title: Option<String>,
    venue: Option<String>,
    grades: Option<Vec<GradeFile>>,
    sections: Option<Vec<SectionFile>>,
}

/// A price class.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GradeFile {
    name: String,
    /// In the currency's smallest unit.
    price: u64,
}

/// The limits; what is not said is as by default.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitsFile {
    line_capacity: u32,
    active_limit: u32,
    seats_per_reservation: u32,
    hold_ttl: u32,
    payment_deadline: u32,
    place_ttl: u32,
    arrive_ttl: u32,
    choose_ttl: u32,
    presence_window: u32,
}

/// What is wrong with a sale's file: a sentence for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SaleFileError {
    /// It is neither JSON nor TOML, or not of this shape.
    #[error("the sale cannot be read: {reason}")]
    Unreadable {
        /// Why not; for JSON with line and column.
        reason: String,
        /// Where, for TOML.
        place: Option<Place>,
    },
    /// A field says what cannot be.
    #[error("`{field}` {reason}")]
    Field {
        /// Which.
        field: Field,
        /// Why not: a sentence whose subject is the field.
        reason: String,
    },
}

impl Path<'_> {
    fn is(&self, reason: impl Into<String>) -> SaleFileError {
        SaleFileError::Field { field: self.field(), reason: reason.into() }
    }
}

impl SaleFile {
    /// Reads a text in JSON.
    ///
    /// # Errors
    /// [`SaleFileError::Unreadable`], with line and column.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, SaleFileError> {
        serde_json::from_slice(text)
            .map_err(|error| SaleFileError::Unreadable { reason: error.to_string(), place: None })
    }

    /// Reads a text in TOML.
    ///
    /// # Errors
    /// [`SaleFileError::Unreadable`], with its place.
    pub(crate) fn from_toml(text: &str) -> Result<Self, SaleFileError> {
        toml::from_str(text).map_err(|error| SaleFileError::Unreadable {
            reason: error.message().trim_end().replace('\n', "; "),
            place: error.span().map(|span| Place::of(text, span.start)),
        })
    }

    /// The sale it describes, under the name `sale`.
    ///
    /// # Errors
    /// [`SaleFileError::Field`], the first there is.
    pub(crate) fn schedule(&self, sale: SaleId) -> Result<NewSale, SaleFileError> {
        let top = Path::Top;
        let limits = self.limits.read(&Path::Field(&top, "limits"))?;
        let currency = Currency::parse(&self.currency)
            .ok_or_else(|| Path::Field(&top, "currency").is("is not a code of three capitals"))?;
        let zone = TimeZone::get(&self.time_zone)
            .map_err(|_| Path::Field(&top, "time_zone").is("is not a name like Asia/Seoul"))?;
        let opens_at = moment(&self.opens_at, &zone, &Path::Field(&top, "opens_at"))?;
        let closes_at = self.closes_at.as_ref();
        let closes_at = closes_at
            .map(|when| moment(when, &zone, &Path::Field(&top, "closes_at")))
            .transpose()?;
        let mut performances = Vec::new();
        let mut seats_left = SEATS_MAX;
        for (number, performance) in self.performances.iter().enumerate() {
            let path = Path::Item(&top, "performances", number);
            performances.push(self.performance(performance, &zone, &mut seats_left, &path)?);
        }
        let plan = Plan {
            currency,
            time_zone: Name::from(self.time_zone.as_str()),
            pools: self.pools.iter().map(|pool| Name::from(pool.as_str())).collect(),
            performances,
        };
        if let Some(name) = check::names(&plan).find(|name| name.chars().any(char::is_control)) {
            let field = self.field_of(&plan, &PlanError::Name(name.clone()));
            let reason = "has a character that cannot be seen, like a tab or a new line".to_owned();
            return Err(SaleFileError::Field { field, reason });
        }
        let schedule = Schedule { sale, plan, limits, opens_at, closes_at, file: None };
        Ok(NewSale { schedule, default: self.default })
    }

    fn performance(
        &self,
        performance: &PerformanceFile,
        zone: &TimeZone,
        seats_left: &mut usize,
        path: &Path<'_>,
    ) -> Result<Performance, SaleFileError> {
        let missing = |name| Path::Field(path, name).is("is missing, and the sale has none either");
        let title = performance.title.as_ref().or(self.title.as_ref());
        let venue = performance.venue.as_ref().or(self.venue.as_ref());
        let grades = performance.grades.as_ref().or(self.grades.as_ref());
        let grades = grades.ok_or_else(|| missing("grades"))?;
        let (sections, described) = match (&performance.sections, &self.sections) {
            (Some(own), _) => (own, path),
            (None, Some(shared)) => (shared, &Path::Top),
            (None, None) => return Err(missing("sections")),
        };
        let id = PerformanceId::parse(&performance.id)
            .ok_or_else(|| Path::Field(path, "id").is("is not 1 to 64 of a-z, 0-9 and -"))?;
        let date: Date = (performance.date.0.parse())
            .map_err(|_| Path::Field(path, "date").is("is not a date like 2026-06-20"))?;
        let (sections, wheelchair_places) =
            seating::sections(sections, grades, &self.pools, seats_left, described)?;
        Ok(Performance {
            id,
            title: title.ok_or_else(|| missing("title"))?.as_str().into(),
            venue: venue.ok_or_else(|| missing("venue"))?.as_str().into(),
            date,
            starts_at: start(date, &performance.starts_at, zone, &Path::Field(path, "starts_at"))?,
            grades: grades
                .iter()
                .map(|grade| Grade { name: grade.name.as_str().into(), price: Money(grade.price) })
                .collect(),
            sections,
            wheelchair_places,
        })
    }
}

impl LimitsFile {
    fn read(self, path: &Path<'_>) -> Result<Limits, SaleFileError> {
        let limits = Limits {
            line_capacity: self.line_capacity,
            active_limit: self.active_limit,
            seats_per_reservation: self.seats_per_reservation,
            hold_ttl: self.hold_ttl,
            payment_deadline: self.payment_deadline,
            place_ttl: self.place_ttl,
            arrive_ttl: self.arrive_ttl,
            choose_ttl: self.choose_ttl,
            presence_window: self.presence_window,
        };
        match limits.check() {
            Ok(()) => Ok(limits),
            Err(out) => Err(Path::Field(path, out.name)
                .is(format!("is {}, and may be from {} to {}", out.value, out.min, out.max))),
        }
    }
}

impl Default for LimitsFile {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            line_capacity: limits.line_capacity,
            active_limit: limits.active_limit,
            seats_per_reservation: limits.seats_per_reservation,
            hold_ttl: limits.hold_ttl,
            payment_deadline: limits.payment_deadline,
            place_ttl: limits.place_ttl,
            arrive_ttl: limits.arrive_ttl,
            choose_ttl: limits.choose_ttl,
            presence_window: limits.presence_window,
        }
    }
}

/// RFC 3339 with an offset, or the time at the venue.
fn moment(When(text): &When, zone: &TimeZone, path: &Path<'_>) -> Result<Timestamp, SaleFileError> {
    let with_offset = text.parse::<jiff::Timestamp>().ok();
    let moment = with_offset.or_else(|| {
        let local: DateTime = text.parse().ok()?;
        zone.to_timestamp(local).ok()
    });
    moment.and_then(node_time).ok_or_else(|| {
        path.is("is not a time like 2026-05-01T20:00 at the venue, or 2026-05-01T11:00:00Z")
    })
}

fn start(
    date: Date,
    When(text): &When,
    zone: &TimeZone,
    path: &Path<'_>,
) -> Result<Timestamp, SaleFileError> {
    let starts_at = text.parse::<Time>().ok();
    let starts_at = starts_at.and_then(|time| zone.to_timestamp(date.to_datetime(time)).ok());
    starts_at
        .and_then(node_time)
        .ok_or_else(|| path.is("is not a time of day at the venue, like 19:00"))
}

/// None for what lies before 1970.
fn node_time(moment: jiff::Timestamp) -> Option<Timestamp> {
    u64::try_from(moment.as_millisecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests;

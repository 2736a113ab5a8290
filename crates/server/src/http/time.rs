//! Instants as answers write them: RFC 3339 in UTC with milliseconds.
//!
//! Every answer carries a few, so they are written without an allocation and without a calendar
//! library; a test compares them with one. Reading is not needed: buyers send dates only.

use std::fmt;

use domain::time::{Millis, Timestamp};
use jiff::civil::Date;
use serde::{Serialize, Serializer};
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// An instant in an answer: `2026-05-01T10:00:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Utc(pub(crate) Timestamp);

/// The last instant that four digits of a year can say.
const LAST_MS: u64 = 253_402_300_799_999;
const DAY_MS: u64 = 86_400_000;

impl Utc {
    /// The instant `seconds` after 1970.
    pub(crate) fn from_seconds(seconds: u64) -> Self {
        Self(Timestamp(seconds.saturating_mul(1000)))
    }

    /// How long it is from `now` until this instant; 0 when it is over.
    pub(crate) fn in_ms(self, now: Timestamp) -> Millis {
        self.0.since(now)
    }

    fn text(self) -> [u8; 24] {
        let ms = self.0.0.min(LAST_MS);
        let (year, month, day) = date(ms / DAY_MS);
        let in_day = ms % DAY_MS;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        write(&mut text[0..4], year);
        write(&mut text[5..7], month);
        write(&mut text[8..10], day);
        write(&mut text[11..13], in_day / 3_600_000);
        write(&mut text[14..16], in_day / 60_000 % 60);
        write(&mut text[17..19], in_day / 1000 % 60);
        write(&mut text[20..23], in_day % 1000);
        text
    }
}

/// The civil date of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`, without its years before 1970).
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March, so that the leap day is the last of a year.
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

fn write(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789"[(number % 10) as usize];
        number /= 10;
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).expect("digits and marks are ASCII"))
    }
}

impl Serialize for Utc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text();
        serializer.serialize_str(std::str::from_utf8(&text).expect("digits and marks are ASCII"))
    }
}

/// A local date in an answer: `2026-05-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalDate(pub(super) Date);

impl LocalDate {
    /// `None` for a date whose year has no four digits; no calendar of ours has one.
    fn text(self) -> Option<[u8; 10]> {
        let mut text = *b"0000-00-00";
        write(&mut text[0..4], self.0.year().try_into().ok()?);
        write(&mut text[5..7], self.0.month().try_into().ok()?);
        write(&mut text[8..10], self.0.day().try_into().ok()?);
        Some(text)
    }
}

impl Serialize for LocalDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text() {
            Some(text) => {
                serializer.serialize_str(std::str::from_utf8(&text).expect("digits are ASCII"))
            }
            None => serializer.collect_str(&self.0),
        }
    }
}

impl PartialSchema for Utc {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples(["2026-05-01T10:00:00.000Z"])
            .into()
    }
}

impl ToSchema for Utc {
    fn name() -> std::borrow::Cow<'static, str> {
        "Instant".into()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Where that library ends.
    const JIFF_MS: u64 = 253_402_207_200_000;

    #[test]
    fn dates_are_written_as_a_calendar_library_writes_them() {
        let mut date = Date::constant(1999, 12, 1);
        for _ in 0..40_000 {
            let written = serde_json::to_value(LocalDate(date)).unwrap();
            assert_eq!(written, date.to_string());
            date = date.tomorrow().unwrap();
        }
        for date in [Date::MIN, Date::MAX, Date::constant(7, 1, 2)] {
            assert_eq!(serde_json::to_value(LocalDate(date)).unwrap(), date.to_string());
        }
    }

    #[test]
    fn instants_are_written_as_a_calendar_library_writes_them() {
        let mut rng = StdRng::seed_from_u64(1);
        let random = (0..20_000).map(|_| rng.random_range(0..JIFF_MS));
        let days = (0..60_000).map(|day| day * DAY_MS);
        let edges = [0, 1, 999, 951_782_400_000, 4_107_542_399_999, JIFF_MS - 1];
        for ms in random.chain(days).chain(edges) {
            let expected = jiff::Timestamp::from_millisecond(ms.try_into().unwrap()).unwrap();
            assert_eq!(Utc(Timestamp(ms)).to_string(), format!("{expected:.3}"));
        }
        for ms in [LAST_MS, LAST_MS + 1, u64::MAX] {
            assert_eq!(Utc(Timestamp(ms)).to_string(), "9999-12-31T23:59:59.999Z");
        }
    }

    #[test]
    fn what_is_over_is_in_no_time() {
        assert_eq!(Utc::from_seconds(10).in_ms(Timestamp(4_000)), 6_000);
        assert_eq!(Utc::from_seconds(10).in_ms(Timestamp(10_001)), 0);
        assert_eq!(
            serde_json::to_string(&Utc::from_seconds(0)).unwrap(),
            "\"1970-01-01T00:00:00.000Z\""
        );
    }
}

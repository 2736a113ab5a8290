//! Ids and times as reports want them: the ids as the API shows them, times as text that sorts.

use domain::id::spell;
use jiff::Timestamp;

/// A reservation's id: 13 letters and digits.
pub(super) fn short_id(id: u64) -> String {
    text(spell::<13>(id.into()))
}

/// A payment's id: 26 letters and digits.
pub(super) fn long_id(id: u128) -> String {
    text(spell::<26>(id))
}

fn text<const N: usize>(id: [u8; N]) -> String {
    id.into_iter().map(char::from).collect()
}

/// A time in UTC with milliseconds: `2026-05-01T10:00:00.000Z`. All have the same length, so that
/// the earlier one is also the smaller text.
pub(super) fn utc(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", at.unwrap_or(Timestamp::MAX))
}

/// The beginning of the minute that a time as text is in.
pub(super) fn minute(utc: &str) -> String {
    format!("{}:00.000Z", &utc[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ids_are_written_as_the_api_writes_them() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(1_777_629_600_007), "2026-05-01T10:00:00.007Z");
        assert_eq!(utc(u64::MAX).len(), 24);
        assert_eq!(minute("2026-05-01T10:07:09.007Z"), "2026-05-01T10:07:00.000Z");
        assert_eq!(short_id(0), "0000000000000");
        assert_eq!(short_id(u64::MAX), "fzzzzzzzzzzzz");
        assert_eq!(long_id(u128::MAX), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
    }
}

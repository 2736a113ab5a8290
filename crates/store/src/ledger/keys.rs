//! The keys of a sale's rows: its stream and a number that counts within it, in one integer. So rows that
//! come later stand behind those before them, and nothing has to be looked up to find one.

use crate::StreamId;

/// Bits of a number within a sale.
const NUMBER_BITS: u32 = 32;
/// Bits of a line's number within a reservation.
const LINE_BITS: u32 = 5;

/// The keys of one stream's sale. All are more than 0, for no sale is in stream 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    first: i64,
}

impl Keys {
    pub(super) fn of(stream: StreamId) -> Self {
        Self { first: i64::from(stream.0) << NUMBER_BITS }
    }

    /// The key of what has this number.
    pub(super) fn key(self, number: u32) -> i64 {
        self.first | i64::from(number)
    }

    /// The first key and the last.
    pub(super) fn all(self) -> (i64, i64) {
        (self.first, self.key(u32::MAX))
    }

    /// The key of a reservation's first line; those of the others follow.
    pub(super) fn line(self, reservation: u32) -> i64 {
        self.key(reservation) << LINE_BITS
    }

    /// The first key and the last of a reservation's lines.
    pub(super) fn lines(self, reservation: u32) -> (i64, i64) {
        let first = self.line(reservation);
        (first, first + ((1 << LINE_BITS) - 1))
    }
}

#[cfg(test)]
mod tests {
    use domain::limits::Limits;

    use super::*;

    #[test]
    fn no_two_rows_share_a_key() {
        let (one, two) = (Keys::of(StreamId(1)), Keys::of(StreamId(2)));
        assert_eq!(one.all(), (1 << 32, (2 << 32) - 1));
        assert_eq!(two.all().0, one.all().1 + 1);
        assert_eq!(one.lines(1).0, one.lines(0).1 + 1);
        assert_eq!(two.lines(0).0, one.lines(u32::MAX).1 + 1);
        assert!(Keys::of(StreamId::MAX).lines(u32::MAX).1 > 0);
        let most = Limits::default().table().into_iter();
        let most = most.filter(|limit| limit.0 == "seats_per_reservation").map(|limit| limit.3);
        assert!(most.max().is_some_and(|most| most <= 1 << LINE_BITS));
    }
}

//! What has happened to a sale. A closed vocabulary with numbered fields: old journals stay
//! readable, so a number, once used, keeps its meaning for ever and a new field is optional.
//!
//! Events carry what was decided (deadlines, who, which); applying one needs no clock.

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

use crate::command::Schedule;
use crate::id::{
    EntryIndex, KeyHash, Name, Nonce, PaymentId, PaymentIndex, ReservationId, ReservationIndex,
    SeatIndex, VisitIndex,
};
use crate::limits::Limits;
use crate::line::JoinKeys;
use crate::reservation::EndReason;
use crate::time::{Millis, Second, Timestamp};

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Event {
    /// The sale was put on the calendar; always the first event.
    #[n(1)]
    Scheduled(#[n(0)] Box<Schedule>),
    /// The sale opened.
    #[n(2)]
    Opened,
    /// Admission was paused.
    #[n(3)]
    Paused,
    /// Admission was resumed.
    #[n(4)]
    Unpaused,
    /// The sale closed; who waited or chose has ended.
    #[n(5)]
    Closed {
        /// When.
        #[n(0)]
        at: Second,
    },
    /// The limits were changed.
    #[n(6)]
    LimitsChanged {
        /// What they are now.
        #[n(0)]
        limits: Limits,
        /// When.
        #[n(1)]
        at: Second,
    },
    /// Free seats were kept back.
    #[n(7)]
    SeatsWithheld {
        /// Which.
        #[n(0)]
        seats: Vec<SeatIndex>,
        /// For which pool.
        #[n(1)]
        pool: u16,
    },
    /// Kept seats were given free.
    #[n(8)]
    SeatsReleased {
        /// Which.
        #[n(0)]
        seats: Vec<SeatIndex>,
    },
    /// The clocks stood still for so long.
    #[n(9)]
    Resumed {
        /// Milliseconds.
        #[n(0)]
        gap: Millis,
        /// Until then, in node time: what stood still before it is never counted again.
        #[n(1)]
        until: Timestamp,
    },
    /// Somebody joined the line; the entry is the next index.
    #[n(10)]
    Joined {
        /// The entry's nonce.
        #[n(0)]
        nonce: Nonce,
        /// When, and so last seen.
        #[n(1)]
        at: Second,
        /// What the buyer is recognised by.
        #[n(2)]
        keys: Option<JoinKeys>,
    },
    /// These buyers were seen.
    #[n(11)]
    Seen {
        /// When.
        #[n(0)]
        at: Second,
        /// Who.
        #[n(1)]
        entries: Entries,
    },
    /// Every place last seen at `until` or before has ended.
    #[n(12)]
    PlacesExpired {
        /// The newest time that expired.
        #[n(0)]
        until: Second,
        /// When.
        #[n(1)]
        at: Second,
        /// How many; older journals do not say.
        #[n(2)]
        places: Option<u32>,
    },
    /// Somebody left, from the line or from inside; held seats are free again.
    #[n(13)]
    Left {
        /// Who.
        #[n(0)]
        entry: EntryIndex,
        /// When.
        #[n(1)]
        at: Second,
    },
    /// Somebody was not there when the turn came.
    #[n(14)]
    PassedOver {
        /// Who.
        #[n(0)]
        entry: EntryIndex,
    },
    /// Somebody's turn came; the visit is the next index.
    #[n(15)]
    Admitted {
        /// Who.
        #[n(0)]
        entry: EntryIndex,
        /// Until when to show up.
        #[n(1)]
        arrive_until: Second,
        /// Until when to choose.
        #[n(2)]
        choose_until: Second,
    },
    /// Somebody admitted never showed up: the turn is over, the place is not.
    #[n(16)]
    TurnMissed {
        /// Which visit.
        #[n(0)]
        visit: VisitIndex,
        /// When the buyer was last seen: before the admission.
        #[n(1)]
        seen: Second,
    },
    /// Somebody chose nothing in time.
    #[n(17)]
    ChoosingEnded {
        /// Which visit.
        #[n(0)]
        visit: VisitIndex,
        /// When.
        #[n(1)]
        at: Second,
    },
    /// Seats were held; the reservation is the next index.
    #[n(18)]
    SeatsHeld {
        /// For which visit.
        #[n(0)]
        visit: VisitIndex,
        /// The reservation's id.
        #[n(1)]
        reservation: ReservationId,
        /// Which.
        #[n(2)]
        seats: Vec<SeatIndex>,
        /// Until when, without a payment.
        #[n(3)]
        until: Second,
        /// Until when at all, but for an unknown payment.
        #[n(4)]
        hard_end: Second,
        /// The request's key, and the fingerprint of what it asked.
        #[n(5)]
        key: Option<(KeyHash, u64)>,
    },
    /// Seats were given back by their buyer.
    #[n(19)]
    SeatsGivenBack {
        /// Which reservation.
        #[n(0)]
        reservation: ReservationIndex,
        /// When.
        #[n(1)]
        at: Second,
        /// Until when to choose again; the visit ends when absent.
        #[n(2)]
        choose_until: Option<Second>,
    },
    /// A hold was not paid in time: its seats are free, the visit has ended.
    #[n(20)]
    HoldExpired {
        /// Which reservation.
        #[n(0)]
        reservation: ReservationIndex,
        /// When.
        #[n(1)]
        at: Second,
    },
    /// A payment was begun, before the provider is asked; the payment is the next index.
    #[n(21)]
    PaymentBegun {
        /// For which reservation.
        #[n(0)]
        reservation: ReservationIndex,
        /// The payment's id.
        #[n(1)]
        payment: PaymentId,
        /// How long the hold is good now.
        #[n(2)]
        hold_until: Second,
        /// From when on the payment is unknown without an answer.
        #[n(3)]
        answer_until: Second,
        /// The request's key, and the fingerprint of what it asked.
        #[n(4)]
        key: Option<(KeyHash, u64)>,
    },
    /// The money was taken: the reservation is confirmed, its seats are sold, the visit is done.
    #[n(22)]
    PaymentApproved {
        /// Which.
        #[n(0)]
        payment: PaymentIndex,
        /// When.
        #[n(1)]
        at: Second,
    },
    /// No money was taken nor will be: the hold goes on for another try.
    #[n(23)]
    PaymentDeclined {
        /// Which.
        #[n(0)]
        payment: PaymentIndex,
        /// When.
        #[n(1)]
        at: Second,
        /// The provider's word.
        #[n(2)]
        reason: Name,
        /// Whether another try can succeed.
        #[n(3)]
        retryable: bool,
        /// How long the hold is good now.
        #[n(4)]
        hold_until: Second,
    },
    /// Nobody knows whether money was taken.
    #[n(24)]
    PaymentUnknown {
        /// Which.
        #[n(0)]
        payment: PaymentIndex,
    },
    /// Money was taken after the payment had been declined: it must go back.
    #[n(25)]
    RefundDue {
        /// Which.
        #[n(0)]
        payment: PaymentIndex,
    },
    /// The money went back.
    #[n(26)]
    PaymentRefunded {
        /// Which.
        #[n(0)]
        payment: PaymentIndex,
        /// When.
        #[n(1)]
        at: Second,
    },
    /// The sale was described anew; seats stay as they are as far as they are still there.
    #[n(28)]
    Changed {
        /// All that it is now.
        #[n(0)]
        schedule: Box<Schedule>,
        /// When.
        #[n(1)]
        at: Second,
    },
    /// Everybody waiting or choosing has ended, for there is nothing left.
    #[n(27)]
    LineEnded {
        /// Why.
        #[n(0)]
        reason: EndReason,
        /// When.
        #[n(1)]
        at: Second,
    },
}

/// Entries in ascending order; one to two bytes each in the journal, as differences in LEB128.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries(pub Vec<EntryIndex>);

impl<C> Encode<C> for Entries {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let mut bytes = Vec::with_capacity(self.0.len() * 2);
        let mut last = 0;
        for entry in &self.0 {
            let mut step = entry.0.wrapping_sub(last);
            last = entry.0;
            while step >= 0x80 {
                bytes.push(0x80 | (step & 0x7f) as u8);
                step >>= 7;
            }
            #[expect(clippy::cast_possible_truncation, reason = "below 0x80")]
            bytes.push(step as u8);
        }
        e.bytes(&bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Entries {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let (mut entries, mut last, mut step, mut shift) = (Vec::new(), 0_u32, 0_u32, 0);
        for byte in d.bytes()? {
            let bits = u32::from(byte & 0x7f);
            if shift > 28 || bits << shift >> shift != bits {
                return Err(decode::Error::message("a difference of more than 32 bits"));
            }
            step |= bits << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                last = last.wrapping_add(step);
                entries.push(EntryIndex(last));
                (step, shift) = (0, 0);
            }
        }
        if shift == 0 { Ok(Self(entries)) } else { Err(decode::Error::message("cut short")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(numbers: &[u32]) -> Entries {
        Entries(numbers.iter().copied().map(EntryIndex).collect())
    }

    fn bytes(entries: &Entries) -> Vec<u8> {
        let bytes = minicbor::to_vec(entries).unwrap();
        minicbor::decode::<&minicbor::bytes::ByteSlice>(&bytes).unwrap().to_vec()
    }

    fn read(leb128: &[u8]) -> Option<Entries> {
        minicbor::decode(
            &minicbor::to_vec(minicbor::bytes::ByteVec::from(leb128.to_vec())).unwrap(),
        )
        .ok()
    }

    #[test]
    fn entries_are_differences_of_seven_bits_a_byte() {
        assert_eq!(bytes(&entries(&[])), []);
        assert_eq!(bytes(&entries(&[0, 1, 128])), [0, 1, 127]);
        assert_eq!(bytes(&entries(&[128, 128 + 16_383])), [0x80, 1, 0xff, 0x7f]);
        assert_eq!(bytes(&entries(&[u32::MAX])), [0xff, 0xff, 0xff, 0xff, 0x0f]);
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        for numbers in [&[][..], &[0], &[7, 8, 9, 300, 10_000_000], &[u32::MAX - 1, u32::MAX]] {
            assert_eq!(read(&bytes(&entries(numbers))), Some(entries(numbers)));
        }
    }

    #[test]
    fn damaged_entries_are_no_entries() {
        assert_eq!(read(&[0x80]), None, "cut short");
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None, "33 bits");
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]), None, "36 bits");
    }
}

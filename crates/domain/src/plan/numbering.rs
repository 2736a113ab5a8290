//! Finds a seat of a performance by its number.
//!
//! A table of slots of four bytes, so that a hall of a million seats is found in with one look into
//! memory: what a slot names is the seat itself, which whoever asks for it needs anyway. The numbers
//! stand in the hall and not here; a few bits of their hash keep others from being looked at.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use super::{HallSeat, SEATS_MAX};
use crate::id::SeatIndex;

/// Bits of a slot for the seat: 0 for none, otherwise its index and one.
const SEAT_BITS: u32 = 21;
const SEAT_MASK: u32 = (1 << SEAT_BITS) - 1;
const _: () = assert!(SEATS_MAX < 1 << SEAT_BITS, "every seat has a slot");

/// Which seat has which number, in one performance.
#[derive(Debug)]
pub(super) struct Numbering {
    /// A power of two of them, at least half of them empty.
    slots: Box<[u32]>,
}

impl Numbering {
    /// An empty one, with room for so many seats.
    pub(super) fn with_room(seats: usize) -> Self {
        Self { slots: vec![0; (2 * seats).next_power_of_two().max(2)].into() }
    }

    /// Adds the next seat of the hall, which comes behind `hall`; false when its number is there.
    pub(super) fn add(&mut self, number: &str, hall: &[HallSeat]) -> bool {
        match self.look(number, hall) {
            Ok(_) => false,
            Err(free) => {
                self.slots[free] = tag(hash(number)) | (SeatIndex::after(hall.len()).0 + 1);
                true
            }
        }
    }

    /// The seat with this number.
    pub(super) fn find(&self, number: &str, hall: &[HallSeat]) -> Option<SeatIndex> {
        self.look(number, hall).ok()
    }

    /// The seat, or the slot where it would stand.
    fn look(&self, number: &str, hall: &[HallSeat]) -> Result<SeatIndex, usize> {
        let (hash, mask) = (hash(number), self.slots.len() - 1);
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are as good as any")]
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return Err(at);
            }
            let seat = SeatIndex((slot & SEAT_MASK) - 1);
            if slot & !SEAT_MASK == tag(hash) && *hall[seat.at()].number == *number {
                return Ok(seat);
            }
            at = (at + 1) & mask;
        }
    }
}

fn hash(number: &str) -> u64 {
    let mut hasher = FxHasher::default();
    number.hash(&mut hasher);
    hasher.finish()
}

/// What a slot keeps of a hash: its highest bits, for the lowest say where it stands.
fn tag(hash: u64) -> u32 {
    let high = u32::try_from(hash >> 32).expect("32 bits are left");
    high & !SEAT_MASK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Money;

    fn seat(number: &str) -> HallSeat {
        HallSeat {
            number: number.into(),
            performance: 0,
            section: 0,
            row: 0,
            grade: 0,
            pool: None,
            price: Money(100),
        }
    }

    #[test]
    fn every_seat_is_found_by_its_number_and_by_no_other() {
        for count in [1, 2, 3, 1_000, 20_000] {
            let mut numbering = Numbering::with_room(count);
            let mut hall = Vec::new();
            for n in 0..count {
                let number = format!("{}-{}", n / 50, n % 50);
                assert_eq!(numbering.find(&number, &hall), None);
                assert!(numbering.add(&number, &hall));
                hall.push(seat(&number));
                assert!(!numbering.add(&number, &hall), "it is there already");
            }
            for (n, seat) in hall.iter().enumerate() {
                assert_eq!(numbering.find(&seat.number, &hall), Some(SeatIndex::after(n)));
            }
            for other in ["", "0-50", "0-0 ", "00-0", "가-1"] {
                assert_eq!(numbering.find(other, &hall), None, "{other}");
            }
        }
    }
}

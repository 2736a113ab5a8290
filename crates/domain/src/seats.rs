//! Whose each seat is: free, withheld for a pool, held by a reservation, or sold to it.
//!
//! A seat is one number of 32 bits, so that it has one owner by its very form. The counts are kept
//! for each performance: free + withheld + held + sold = all. Beside them stands a bit for each seat
//! that is free, so that free seats are found by words of 64.

use minicbor::{Decode, Encode};

use crate::id::{ReservationIndex, SeatIndex};
use crate::pages::Pages;
use crate::plan::Hall;

/// Seats that are kept, and copied when one of them changes, together.
pub const PAGE_SEATS: usize = 256;

/// The state of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatState {
    /// Anybody admitted may take it.
    Free,
    /// Kept back by the organiser for this of the plan's pools.
    Withheld(u16),
    /// Kept for a reservation until it is paid or ends.
    Held(ReservationIndex),
    /// Belongs to a confirmed reservation.
    Sold(ReservationIndex),
}

/// How many seats stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeatCounts {
    /// Seats that may be taken.
    pub free: u32,
    /// Seats kept back.
    pub withheld: u32,
    /// Seats in reservations that are not paid.
    pub held: u32,
    /// Seats in confirmed reservations.
    pub sold: u32,
}

impl SeatCounts {
    /// All seats.
    #[must_use]
    pub fn all(self) -> u32 {
        self.free + self.withheld + self.held + self.sold
    }

    fn of(&mut self, state: SeatState) -> &mut u32 {
        match state {
            SeatState::Free => &mut self.free,
            SeatState::Withheld(_) => &mut self.withheld,
            SeatState::Held(_) => &mut self.held,
            SeatState::Sold(_) => &mut self.sold,
        }
    }
}

/// A [`SeatState`] in 32 bits: two for the kind, thirty for whose it is.
#[derive(Clone, Copy, Debug, Encode, Decode)]
#[cbor(transparent)]
struct Packed(#[n(0)] u32);

const OWNER_MAX: u32 = (1 << 30) - 1;

impl Packed {
    fn pack(state: SeatState) -> Self {
        let (kind, owner) = match state {
            SeatState::Free => (0, 0),
            SeatState::Withheld(pool) => (1, u32::from(pool)),
            SeatState::Held(reservation) => (2, reservation.0),
            SeatState::Sold(reservation) => (3, reservation.0),
        };
        assert!(owner <= OWNER_MAX, "a sale has fewer than 2^30 reservations");
        Self(kind << 30 | owner)
    }

    fn unpack(self) -> SeatState {
        let owner = self.0 & OWNER_MAX;
        match self.0 >> 30 {
            0 => SeatState::Free,
            #[expect(clippy::cast_possible_truncation, reason = "packed from 16 bits")]
            1 => SeatState::Withheld(owner as u16),
            2 => SeatState::Held(ReservationIndex(owner)),
            _ => SeatState::Sold(ReservationIndex(owner)),
        }
    }
}

/// Seats in a word of bits.
const WORD_SEATS: u32 = u64::BITS;
/// Words that are kept, and copied when a seat of theirs changes, together.
const PAGE_WORDS: usize = 32;

/// All seats of a sale.
#[derive(Clone, Debug, Default)]
pub struct Seats {
    states: Pages<Packed, PAGE_SEATS>,
    /// For each seat, from the lowest bit of the first word on, whether it is free.
    free: Pages<u64, PAGE_WORDS>,
    total: SeatCounts,
    performances: Vec<SeatCounts>,
}

impl Seats {
    /// The seats of a hall before anything was sold.
    #[must_use]
    pub fn of(hall: &Hall) -> Self {
        let states = hall.seats().iter().map(|seat| match seat.pool {
            Some(pool) => SeatState::Withheld(pool),
            None => SeatState::Free,
        });
        Self::counted(states.map(Packed::pack).collect(), hall)
    }

    /// The seats of a hall that was described anew, found by performance and number. A seat stays
    /// as it is; what the organiser keeps back changes only where the two plans say otherwise.
    #[must_use]
    pub(crate) fn moved(&self, before: &Hall, after: &Hall) -> Self {
        let pool = |hall: &Hall, pool: Option<u16>| {
            pool.and_then(|pool| hall.plan().pools.get(usize::from(pool)).cloned())
        };
        let mut states = Pages::default();
        for (number, performance) in (0..).zip(&after.plan().performances) {
            let known = before.performance(&performance.id);
            for index in after.seats_of(number) {
                let seat = &after.seats()[SeatIndex(index).at()];
                let planned = seat.pool.map_or(SeatState::Free, SeatState::Withheld);
                let found = known.and_then(|known| before.find(known, &seat.number));
                let state = found.map_or(planned, |old| match self.state(old) {
                    owned @ (SeatState::Held(_) | SeatState::Sold(_)) => {
                        assert!(old.0 == index, "what is owned keeps its index");
                        owned
                    }
                    kept @ (SeatState::Free | SeatState::Withheld(_)) => {
                        let planned_before = before.seats()[old.at()].pool;
                        if pool(before, planned_before) != pool(after, seat.pool) {
                            return planned;
                        }
                        let SeatState::Withheld(of) = kept else { return kept };
                        let name = pool(before, Some(of));
                        let of = after.plan().pools.iter().position(|p| Some(p) == name.as_ref());
                        let of = of.and_then(|of| u16::try_from(of).ok());
                        of.map_or(planned, SeatState::Withheld)
                    }
                });
                states.push(Packed::pack(state));
            }
        }
        Self::counted(states, after)
    }

    fn counted(states: Pages<Packed, PAGE_SEATS>, hall: &Hall) -> Self {
        let mut total = SeatCounts::default();
        let mut performances = vec![SeatCounts::default(); hall.plan().performances.len()];
        let mut free = Pages::default();
        for (index, (packed, seat)) in (0..).zip(states.iter().zip(hall.seats())) {
            let state = packed.unpack();
            *total.of(state) += 1;
            *performances[usize::from(seat.performance)].of(state) += 1;
            if index % WORD_SEATS == 0 {
                free.push(0);
            }
            if state == SeatState::Free {
                *bits_of(&mut free, SeatIndex(index)) |= bit(index);
            }
        }
        Self { states, free, total, performances }
    }

    /// The state of a seat.
    ///
    /// # Panics
    /// When there is no such seat: indices are checked where commands come in.
    #[must_use]
    pub fn state(&self, seat: SeatIndex) -> SeatState {
        self.states.get(seat.at()).expect("a seat of the plan").unpack()
    }

    /// Seats of the whole sale.
    #[must_use]
    pub fn counts(&self) -> SeatCounts {
        self.total
    }

    /// Seats of one performance.
    ///
    /// # Panics
    /// When the plan has no performance of that number.
    #[must_use]
    pub fn counts_of(&self, performance: u16) -> SeatCounts {
        self.performances[usize::from(performance)]
    }

    /// Whether nothing is left that could ever be bought without the organiser's help.
    #[must_use]
    pub fn sold_out(&self) -> bool {
        self.total.free == 0 && self.total.held == 0
    }

    /// Gives a seat its next state.
    pub(crate) fn set(&mut self, hall: &Hall, seat: SeatIndex, state: SeatState) {
        let packed = self.states.get_mut(seat.at()).expect("a seat of the plan");
        let before = std::mem::replace(packed, Packed::pack(state)).unpack();
        if (before == SeatState::Free) != (state == SeatState::Free) {
            *bits_of(&mut self.free, seat) ^= bit(seat.0);
        }
        let performance = usize::from(hall.seats()[seat.at()].performance);
        for counts in [&mut self.total, &mut self.performances[performance]] {
            *counts.of(before) -= 1;
            *counts.of(state) += 1;
        }
    }

    /// Which of the `len` seats from the `first` on are free, 64 at most: the lowest bit is the first.
    pub(crate) fn free_among(&self, first: u32, len: u32) -> u64 {
        let word = |number: u32| self.free.get(SeatIndex(number).at()).copied().unwrap_or(0);
        let (number, passed) = (first / WORD_SEATS, first % WORD_SEATS);
        let mut free = word(number) >> passed;
        if passed + len > WORD_SEATS {
            free |= word(number + 1) << (WORD_SEATS - passed);
        }
        if len < WORD_SEATS { free & ((1 << len) - 1) } else { free }
    }

    /// Whether the page of [`PAGE_SEATS`] that `seat` stands in is the same, unchanged, in `other`.
    #[must_use]
    pub fn same_page(&self, other: &Self, seat: SeatIndex) -> bool {
        let page = seat.at() / PAGE_SEATS;
        match (self.states.page(page), other.states.page(page)) {
            (Some(ours), Some(theirs)) => std::sync::Arc::ptr_eq(ours, theirs),
            _ => false,
        }
    }
}

/// The bit of a seat in its word.
fn bit(seat: u32) -> u64 {
    1 << (seat % WORD_SEATS)
}

/// The word with the bit of a seat.
fn bits_of(free: &mut Pages<u64, PAGE_WORDS>, seat: SeatIndex) -> &mut u64 {
    free.get_mut(SeatIndex(seat.0 / WORD_SEATS).at()).expect("a seat of the plan")
}

pub(crate) mod snapshot {
    //! Seats in a snapshot: their states; counts and bits follow.
    use super::{Hall, PAGE_SEATS, Packed, Pages, Seats};
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};

    pub(crate) fn encode<W: Write>(
        seats: &Seats,
        e: &mut Encoder<W>,
    ) -> Result<(), encode::Error<W::Error>> {
        e.encode(&seats.states)?.ok()
    }

    pub(crate) fn decode(d: &mut Decoder<'_>, hall: &Hall) -> Result<Seats, decode::Error> {
        let states: Pages<Packed, PAGE_SEATS> = d.decode()?;
        if states.len() != hall.seats().len() {
            return Err(decode::Error::message("not as many seats as the plan has"));
        }
        Ok(Seats::counted(states, hall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_keeps_its_owner_in_thirty_bits() {
        for number in [0, 1, 0x7fff, OWNER_MAX] {
            let owner = ReservationIndex(number);
            for state in [SeatState::Held(owner), SeatState::Sold(owner)] {
                assert_eq!(Packed::pack(state).unpack(), state);
            }
        }
        for state in [SeatState::Free, SeatState::Withheld(0), SeatState::Withheld(u16::MAX)] {
            assert_eq!(Packed::pack(state).unpack(), state);
        }
    }

    #[test]
    #[should_panic(expected = "fewer than 2^30 reservations")]
    fn an_owner_that_does_not_fit_is_never_cut_down() {
        Packed::pack(SeatState::Held(ReservationIndex(OWNER_MAX + 1)));
    }
}

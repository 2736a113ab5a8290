//! What a seat is to people with a wheelchair: a place, or a companion's seat that goes with one.
//!
//! A list for each hall and not a field of each seat: most halls have none, and a million seats do
//! not pay for it.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::{Hall, PlanError};
use crate::id::{Name, SeatIndex};

/// A place for a wheelchair, and the seats beside it for those who come along.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WheelchairPlace {
    /// Its number, one of the performance's seats.
    #[n(0)]
    pub place: Name,
    /// Seats that are held only together with it.
    #[n(1)]
    pub companions: Vec<Name>,
}

pub(super) mod places {
    //! The wheelchair places of a performance; where there are none, nothing is written, as before
    //! there were any.
    use super::WheelchairPlace;
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};

    pub(in crate::plan) fn encode<C, W: Write>(
        places: &[WheelchairPlace],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.encode(places)?.ok()
    }

    pub(in crate::plan) fn decode<C>(
        d: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<Vec<WheelchairPlace>, decode::Error> {
        d.decode()
    }

    pub(in crate::plan) fn nil() -> Option<Vec<WheelchairPlace>> {
        Some(Vec::new())
    }

    pub(in crate::plan) fn is_nil(places: &[WheelchairPlace]) -> bool {
        places.is_empty()
    }
}

/// What a seat is to people with a wheelchair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A place for a wheelchair.
    Wheelchair,
    /// A seat that is held only together with this wheelchair place.
    Companion(SeatIndex),
}

/// Finds the seats that a plan marks, in plan order.
pub(super) fn find(hall: &Hall) -> Result<Vec<(SeatIndex, Access)>, PlanError> {
    let mut access = BTreeMap::new();
    for (number, performance) in (0..).zip(&hall.plan.performances) {
        let find = |name: &Name| {
            hall.find(number, name).ok_or_else(|| PlanError::UnknownPlace(name.clone()))
        };
        for place in &performance.wheelchair_places {
            let index = find(&place.place)?;
            let companions = place
                .companions
                .iter()
                .map(|companion| Ok((companion, find(companion)?, Access::Companion(index))));
            let place = std::iter::once(Ok((&place.place, index, Access::Wheelchair)));
            for found in place.chain(companions) {
                let (name, seat, what) = found?;
                if access.insert(seat, what).is_some() {
                    return Err(PlanError::PlaceTwice(name.clone()));
                }
            }
        }
    }
    Ok(access.into_iter().collect())
}

impl Hall {
    /// The seats that are something to people with a wheelchair, in plan order.
    #[must_use]
    pub fn accessible(&self) -> &[(SeatIndex, Access)] {
        &self.access
    }

    /// What a seat is to people with a wheelchair, if anything.
    #[must_use]
    pub fn access(&self, seat: SeatIndex) -> Option<Access> {
        let at = self.access.binary_search_by_key(&seat, |(seat, _)| *seat).ok()?;
        Some(self.access[at].1)
    }

    /// The first of these seats that is a companion's without its wheelchair place among them.
    #[must_use]
    pub fn companion_alone(&self, seats: &[SeatIndex]) -> Option<SeatIndex> {
        if self.access.is_empty() {
            return None;
        }
        seats.iter().copied().find(|seat| match self.access(*seat) {
            Some(Access::Companion(place)) => !seats.contains(&place),
            Some(Access::Wheelchair) | None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{performance, plan};
    use super::*;

    #[test]
    fn a_companion_sits_only_beside_the_wheelchair() {
        let mut plan = plan();
        plan.performances[0] = performance("one", &["A1", "A2", "A3", "A4"]);
        let place = WheelchairPlace { place: "A2".into(), companions: vec!["A1".into()] };
        plan.performances[0].wheelchair_places = vec![place];
        let hall = Hall::build(plan).unwrap();
        let seats = |numbers: &[u32]| numbers.iter().copied().map(SeatIndex).collect::<Vec<_>>();
        assert_eq!(hall.access(SeatIndex(0)), Some(Access::Companion(SeatIndex(1))));
        assert_eq!(hall.access(SeatIndex(1)), Some(Access::Wheelchair));
        let all: Vec<u32> = hall.accessible().iter().map(|(seat, _)| seat.0).collect();
        assert_eq!(all, [0, 1]);
        // The same number in another performance is a seat like all others.
        assert_eq!((hall.access(SeatIndex(2)), hall.access(SeatIndex(4))), (None, None));
        for (wish, alone) in
            [(&[0][..], Some(0)), (&[2, 0], Some(0)), (&[0, 1], None), (&[1], None), (&[2], None)]
        {
            assert_eq!(hall.companion_alone(&seats(wish)), alone.map(SeatIndex), "{wish:?}");
        }
    }
}

//! Seats that the box office chose for somebody: whether they are such as were asked for, and whether
//! it is true that there are none. Whether they were free is for *one owner* to say.
//!
//! That a group is the best is not checked here: the rules' own tests do, group by group.

use domain::command::Wish;
use domain::id::{Name, SeatIndex};
use domain::plan::Plan;

use super::history::{History, SeatOwner};

/// Where a seat stands, and what it is.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    evening: u16,
    row: usize,
    x: i32,
    y: i32,
    grade: Name,
}

/// The seats of a plan in their order.
pub(super) fn spots(plan: &Plan) -> Vec<Spot> {
    let mut spots = Vec::new();
    let mut rows = 0;
    for (evening, performance) in (0..).zip(&plan.performances) {
        for row in performance.sections.iter().flat_map(|section| &section.rows) {
            rows += 1;
            spots.extend(row.seats.iter().map(|seat| Spot {
                evening,
                row: rows,
                x: seat.x,
                y: seat.y,
                grade: performance.grades[usize::from(seat.grade)].name.clone(),
            }));
        }
    }
    spots
}

/// Seats stand 50 cm apart in these halls, but for aisles.
const BESIDE_CM: u32 = 75;

impl Spot {
    fn is_beside(&self, other: &Self) -> bool {
        self.row == other.row
            && self.grade == other.grade
            && self.y == other.y
            && self.x.abs_diff(other.x) <= BESIDE_CM
    }

    /// Whether it is of the evening and the grade that are wished for.
    fn suits(&self, wish: &Wish) -> bool {
        match wish {
            Wish::Seats { performance, .. } => performance.is_none_or(|of| of == self.evening),
            Wish::Best { performance, grade, .. } => {
                *performance == self.evening && grade.as_ref().is_none_or(|of| *of == self.grade)
            }
        }
    }
}

impl History {
    /// Whether these are the seats that are wished for, or such as are.
    pub(super) fn fulfils(&self, wish: &Wish, seats: &[SeatIndex]) -> bool {
        match wish {
            Wish::Seats { seats: wished, .. } => seats == wished,
            Wish::Best { .. } => {
                let spots: Vec<_> =
                    seats.iter().filter_map(|seat| self.spots.get(seat.at())).collect();
                spots.len() == wish.count()
                    && spots.iter().all(|spot| spot.suits(wish))
                    && spots.windows(2).all(|pair| pair[0].is_beside(pair[1]))
            }
        }
    }

    /// Whether there is no seat of the evening and the grade that are wished for.
    pub(super) fn none_suits(&self, wish: &Wish) -> bool {
        !self.spots.iter().any(|spot| spot.suits(wish))
    }

    /// Whether so many seats such as are wished for cost that.
    pub(super) fn may_cost(&self, wish: &Wish, amount: u64) -> bool {
        let count = wish.count() as u64;
        let mut suiting = self.spots.iter().zip(&self.prices).filter(|(spot, _)| spot.suits(wish));
        suiting.any(|(_, price)| *price * count == amount)
    }

    /// Whether it may be said after a batch that so few are free and stand beside each other. What
    /// was free all the while cannot be missing, and what never was cannot be there.
    pub(super) fn too_few(&self, wish: &Wish, (free, largest): (u32, u32), as_of: u64) -> bool {
        let is_free = |owner: &SeatOwner| *owner == SeatOwner::Free;
        let least = self.together(wish, |seat| self.seats[seat].during(as_of).all(is_free));
        let most = self.together(wish, |seat| self.seats[seat].during(as_of).any(is_free));
        (least.0..=most.0).contains(&free)
            && (least.1..=most.1).contains(&largest)
            && (largest as usize) < wish.count()
    }

    /// How many of the seats that suit a wish are free, and how many of them stand together at most.
    fn together(&self, wish: &Wish, is_free: impl Fn(usize) -> bool) -> (u32, u32) {
        let (mut free, mut run, mut longest) = (0, 0, 0);
        let mut before: Option<&Spot> = None;
        for (seat, spot) in self.spots.iter().enumerate() {
            if !(spot.suits(wish) && is_free(seat)) {
                before = None;
                continue;
            }
            free += 1;
            run = if before.is_some_and(|before| before.is_beside(spot)) { run + 1 } else { 1 };
            longest = longest.max(run);
            before = Some(spot);
        }
        (free, longest)
    }
}

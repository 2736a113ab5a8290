//! A position never grows.

use std::collections::HashMap;

use super::{Breaches, BuyerNumber, Finding};

const PROMISE: &str = "No position ever grew";

/// Which position each buyer was told last.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    last: HashMap<BuyerNumber, Told>,
    compared: u64,
    breaches: Breaches,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    position: u64,
    as_of: u64,
}

impl Positions {
    /// A buyer who waits was told a position, as of a state. Answers of several nodes may overtake
    /// each other: an older state proves nothing.
    pub(crate) fn told(&mut self, buyer: BuyerNumber, position: Option<u64>, as_of: u64) {
        let Some(position) = position else { return };
        let told = Told { position, as_of };
        let Some(last) = self.last.insert(buyer, told) else { return };
        if as_of < last.as_of {
            self.last.insert(buyer, last);
            return;
        }
        self.compared += 1;
        if position > last.position {
            self.breaches.add(format_args!(
                "Buyer {buyer} was told position {} (as of {}), and then {position} (as of {as_of}).",
                last.position, last.as_of,
            ));
        }
    }

    /// A buyer's turn has come. Who misses it waits again, which is another matter.
    pub(crate) fn is_admitted(&mut self, buyer: BuyerNumber) {
        self.last.remove(&buyer);
    }

    pub(super) fn close(self) -> Finding {
        let looked_at = format!("{} positions, each compared with the one before", self.compared);
        self.breaches.finding(PROMISE, self.compared, looked_at)
    }
}

//! Answers are those that the contract knows for what was asked.

use super::{Breaches, BuyerNumber, Finding};

const PROMISE: &str = "Every answer was one that the contract knows";

/// Answers that nobody who keeps to the contract gets.
#[derive(Debug, Default)]
pub(crate) struct Contract {
    answers: u64,
    breaches: Breaches,
}

impl Contract {
    pub(crate) fn answered(&mut self) {
        self.answers += 1;
    }

    /// An answer that does not belong to what was asked, or cannot be read.
    pub(crate) fn surprises(&mut self, buyer: BuyerNumber, call: &str, status: u16, what: &str) {
        self.breaches
            .add(format_args!("Buyer {buyer} was answered {status} to \"{call}\": {what}."));
    }

    pub(super) fn close(self) -> Finding {
        let looked_at = format!("{} answers", self.answers);
        self.breaches.finding(PROMISE, self.answers, looked_at)
    }
}

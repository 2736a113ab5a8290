//! The ledger against the rules: what its tables say after a random history is what the folded state
//! says, wherever its writer is stopped; and what the page about it promises.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod against_the_rules;
mod desk;
mod page;
mod postgres;
mod standing;
mod trouble;

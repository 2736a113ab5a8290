//! The rules of a box office: what may happen to one sale, as a pure function.
//!
//! `decide(state, command, now)` says what happens, or why not; `evolve(state, event)` applies it.
//! There is no I/O here, no clock, no randomness, no async, no lock; ids and `now` are arguments.
//!
//! The map, in reading order: units ([`time`], [`id`], [`money`]); what is for sale ([`plan`],
//! [`limits`]); who waits ([`line`](mod@line)); what is whose ([`seats`], [`reservation`],
//! [`payment`]), and which seats are the best ([`best`]); the three closed vocabularies ([`command`],
//! [`event`], [`refusal`]); the state and its two functions ([`sale`]); which sales there are
//! ([`catalogue`]). Below them, two persistent structures made for this: [`pages`] and [`bits`].
//!
//! # Invariants
//!
//! 1. A seat has at most one live owner, and that reservation has the seat.
//! 2. Free + withheld + held + sold = all seats.
//! 3. Nobody is admitted while `active_limit` are; those admitted are exactly those who choose,
//!    hold or pay.
//! 4. Nobody who is there is passed by a higher rank.
//! 5. Those who wait stand at 2..n+1 without gap, and nobody's position ever grows.
//! 6. Each hold ends by its hard end, unless a payment on it is running or unknown.
//! 7. Money approved − refunded (or due to be) = the amount of what is confirmed.
//! 8. A reservation has one running or unknown payment at most.
//! 9. Repeating a command with its key changes nothing.
//!
//! [`Sale::check`] counts 1 to 3 and 5 to 8 anew from a state; 4, 9 and "never grows" need a
//! history and are checked by the tests over random command lists.

pub mod best;
pub mod bits;
pub mod catalogue;
pub mod command;
mod deadlines;
pub mod event;
pub mod id;
pub mod limits;
pub mod line;
pub mod money;
pub mod pages;
pub mod payment;
pub mod plan;
pub mod refusal;
pub mod reservation;
pub mod sale;
pub mod seats;
pub mod time;

pub use command::Command;
pub use event::Event;
pub use refusal::Refusal;
pub use sale::{Outcome, Sale};

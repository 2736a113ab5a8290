//! A crowd, as a client of the box office.
//!
//! In reading order: HTTP at the price of its system calls (`wire`); the same call again and again,
//! in a closed and in an open loop, with histograms (`load`), and made ready against a sale that is
//! on (`single`); the rehearsal of an on-sale (`rehearsal`): its buyers (`buyer`), the calls they
//! make (`calls`) and what the answers mean (`contract`), and what is found out from them alone
//! (`findings`). Then the small things: whom a crowd goes to (`target`), what is on there (`venue`),
//! the one clock (`clock`), instants of a rehearsal (`moment`), randomness from a seed (`random`).
//!
//! It knows the box office by its HTTP contract alone, and none of its crates: what it finds true it
//! has found out from outside. Deliberately absent: printing and the command line, which belong to
//! the program that is built with it.

mod buyer;
mod calls;
pub mod clock;
mod contract;
pub mod findings;
pub mod load;
mod moment;
pub mod random;
pub mod rehearsal;
pub mod single;
pub mod target;
mod venue;
pub mod wire;

//! The rehearsal of an on-sale: a crowd comes, and what it goes through is watched.
//!
//! Tens of thousands of buyers share a bounded number of connections and one thread. Each buyer is a
//! small state machine (`buyer`) with an instant at which it asks next; those who are due
//! wait in a row for a free connection, and what they wait there counts as theirs. Everything ends:
//! an exchange after its patience, the crowd after `at_most`, the questions at the end after a
//! minute.
//!
//! Deliberately absent: printing, which is the program's, and anything that looks behind the HTTP
//! contract.

mod course;
mod house;
mod report;

use std::net::SocketAddr;
use std::time::Duration;

use crate::buyer::Show;
use crate::clock;
use crate::load::Stop;
use crate::random::Random;
use crate::venue::Venue;
use house::House;

pub use crate::buyer::{End, Shares};
pub use crate::calls::CallSummary;
pub use course::Sample;
pub use report::Report;

/// What is rehearsed.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The box office.
    pub addr: SocketAddr,
    /// What a request's `Host` says.
    pub host: String,
    /// The sale; the only one that is on, when none is named.
    pub sale: Option<String>,
    /// How many come.
    pub buyers: u32,
    /// In which time: most in the first second, the rest evenly over all of it.
    pub arrive_in: Duration,
    /// About how long each thinks before doing something.
    pub think: Duration,
    /// How many seats a buyer wants at most; each wants from 1 to as many.
    pub party_max: usize,
    /// Who does what.
    pub shares: Shares,
    /// The same seed gives the same crowd.
    pub seed: u64,
    /// A number that no other rehearsal has, so that its idempotency keys are its own.
    pub secret: u128,
    /// Connections, at most.
    pub connections: usize,
    /// How long an answer may take.
    pub patience: Duration,
    /// How long it lasts at most.
    pub at_most: Duration,
    /// How many may be inside, where that is known.
    pub active_limit: Option<u32>,
    /// Sends the crowd home before its time; those who bought are still asked what they have.
    pub stop: Stop,
}

/// After the crowd has gone, those who bought are asked again for so long.
const CLOSING: Duration = Duration::from_secs(60);

/// Rehearses; `watch` sees what each second brings, while it goes on.
///
/// # Errors
/// A sentence: nobody answers there, or there is no such sale.
///
/// # Panics
/// Outside a [`crate::load::runtime`].
pub async fn rehearse(
    rehearsal: &Rehearsal,
    watch: &mut dyn FnMut(&Sample),
) -> Result<Report, String> {
    let Rehearsal { addr, host, sale, secret, .. } = rehearsal;
    let venue = Venue::find(*addr, host, sale.as_deref()).await?;
    let show = Show {
        host: host.clone(),
        sale: venue.sale.clone(),
        performances: venue.performances.clone(),
        secret: *secret,
    };
    let start = clock::now();
    let house = House::new(rehearsal, show, start);
    house.crowd(start + rehearsal.at_most, watch).await;
    house.ask_again(clock::now() + CLOSING.min(rehearsal.at_most)).await;
    Ok(house.report(rehearsal, venue, clock::now()))
}

/// When each buyer comes: a stampede, most of it in the first second.
fn arrivals(rehearsal: &Rehearsal, random: &mut Random) -> Vec<Duration> {
    /// So many press the button as soon as it is there.
    const AT_ONCE: f64 = 0.7;
    let first = rehearsal.arrive_in.min(Duration::from_secs(1));
    let arrival = |_| {
        let window = if random.happens(AT_ONCE) { first } else { rehearsal.arrive_in };
        window.mul_f64(random.share())
    };
    (0..rehearsal.buyers).map(arrival).collect()
}

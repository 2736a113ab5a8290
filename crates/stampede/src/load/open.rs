//! The open loop: requests arrive when they arrive.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::outcome::Tally;
use super::{Outcome, Shared, Source, Stop};
use crate::clock;
use crate::random::Random;
use crate::wire::{Connection, PATIENCE};

/// An open loop.
#[derive(Clone, Debug)]
pub struct Open {
    /// The server.
    pub addr: SocketAddr,
    /// Arrivals per second.
    pub rate: f64,
    /// How arrivals are spread over time.
    pub spacing: Spacing,
    /// Connections, at most; one is opened when an arrival finds all others busy.
    pub connections: usize,
    /// Arrivals that wait for a free connection, at most. Those beyond are counted as not sent.
    pub waiting_max: usize,
    /// What happens first and is not counted.
    pub warm_up: Duration,
    /// The time that is measured, after the warm-up.
    pub measured: Duration,
    /// How long an answer may take, and how long an arrival waits for a connection.
    pub patience: Duration,
    /// Whether arrivals are on time to the microsecond, which keeps the core busy, or come within a
    /// millisecond or two, which leaves it to the load that this one accompanies.
    pub is_exact: bool,
    /// Ends it early.
    pub stop: Stop,
}

/// How arrivals are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// One after another at the same distance.
    Even,
    /// Each by itself, as people come who know nothing of each other (a Poisson process).
    Poisson {
        /// The same seed gives the same arrivals.
        seed: u64,
    },
}

impl Open {
    /// So many arrivals a second, evenly spaced, for so long, without a warm-up.
    #[must_use]
    pub fn new(addr: SocketAddr, rate: f64, connections: usize, measured: Duration) -> Self {
        Self {
            addr,
            rate,
            spacing: Spacing::Even,
            connections,
            waiting_max: 10_000,
            warm_up: Duration::ZERO,
            measured,
            patience: PATIENCE,
            is_exact: true,
            stop: Stop::new(),
        }
    }
}

/// What the arrivals and the connections share.
struct Hall<S> {
    addr: SocketAddr,
    patience: Duration,
    source: Shared<S>,
    tally: RefCell<Tally>,
    /// The intended starts of those who wait for a connection, the first in front.
    waiting: RefCell<VecDeque<Instant>>,
    waiting_max: usize,
    /// Connections that have nothing to do.
    idle: Cell<usize>,
    /// Wakes one of them.
    bell: Notify,
    /// Nobody arrives any more.
    is_over: Cell<bool>,
}

/// Runs an open loop to its end: until its time is over, or the requests have run out.
///
/// Arrivals are never late because of answers. What is under way, or waits, when the last has
/// arrived is still waited for, as long as the plan is patient.
///
/// # Panics
/// Outside a [`super::runtime`]; when the rate is not positive, or there is no connection.
pub async fn open<S: Source + 'static>(plan: &Open, source: &Shared<S>) -> Outcome {
    assert!(plan.rate > 0.0 && plan.connections > 0, "nobody would ever arrive: {plan:?}");
    let came = clock::now();
    let begins = came + plan.warm_up;
    let ends = begins + plan.measured;
    let hall = Rc::new(Hall {
        addr: plan.addr,
        patience: plan.patience,
        source: source.clone(),
        tally: RefCell::new(Tally::new(begins, ends)),
        waiting: RefCell::new(VecDeque::new()),
        waiting_max: plan.waiting_max,
        idle: Cell::new(0),
        bell: Notify::new(),
        is_over: Cell::new(false),
    });
    let mut connections = JoinSet::new();
    let mut arrivals = Arrivals::new(came, plan);
    while !plan.stop.is_stopped() && !hall.is_over.get() {
        let next = arrivals.next();
        if next >= ends {
            break;
        }
        if plan.is_exact {
            until(next).await;
        } else if next > clock::now() {
            // Asked first, for even a sleep that is over waits for the next look at the timer: of
            // those who are late only one would come in then.
            tokio::time::sleep_until(next.into()).await;
        }
        if hall.arrive(next) && connections.len() < plan.connections {
            let number = connections.len();
            connections.spawn_local(serve(number, Rc::clone(&hall)));
        }
    }
    hall.is_over.set(true);
    hall.bell.notify_waiters();
    while let Some(ended) = connections.join_next().await {
        ended.expect("a connection's loop ends by itself and does not panic");
    }
    drop(connections);
    let hall = Rc::into_inner(hall).expect("all connections' loops have ended");
    hall.tally.into_inner().close(clock::now())
}

/// Waits for an instant, and no longer than that.
///
/// The runtime's timer counts in milliseconds, which is too coarse for latencies well below one: so
/// the last two are spent asking whether it is time, while connections are served in between.
async fn until(instant: Instant) {
    const COARSE: Duration = Duration::from_millis(2);
    let ahead = instant.saturating_duration_since(clock::now());
    if ahead > COARSE {
        tokio::time::sleep(ahead.saturating_sub(COARSE)).await;
    }
    while clock::now() < instant {
        tokio::task::yield_now().await;
    }
}

impl<S: Source> Hall<S> {
    /// Lets one in; whether another connection would be of use.
    fn arrive(&self, intended: Instant) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.waiting_max {
            self.tally.borrow_mut().not_sent(intended);
            return false;
        }
        waiting.push_back(intended);
        let idle = self.idle.get();
        if idle >= waiting.len() {
            self.bell.notify_one();
        }
        idle < waiting.len()
    }

    /// The next who waits; none when nobody will come any more.
    async fn next(&self) -> Option<Instant> {
        loop {
            if let Some(intended) = self.waiting.borrow_mut().pop_front() {
                return Some(intended);
            }
            if self.is_over.get() {
                return None;
            }
            let rings = self.bell.notified();
            self.idle.set(self.idle.get() + 1);
            rings.await;
            self.idle.set(self.idle.get() - 1);
        }
    }
}

async fn serve<S: Source>(number: usize, hall: Rc<Hall<S>>) {
    let mut connection = Connection::to(hall.addr, hall.patience);
    let mut request = Vec::with_capacity(1024);
    while let Some(intended) = hall.next().await {
        if clock::now().duration_since(intended) > hall.patience {
            hall.tally.borrow_mut().not_sent(intended);
            continue;
        }
        request.clear();
        if !hall.source.with(|source| source.next(number, &mut request)) {
            // Those who wait came for nothing: there is no request that could have been late.
            hall.is_over.set(true);
            hall.waiting.borrow_mut().clear();
            hall.bell.notify_waiters();
            return;
        }
        match connection.exchange(&request).await {
            Ok(answer) => {
                hall.tally.borrow_mut().answered(intended, clock::now(), answer.status);
                hall.source.with(|source| source.answered(number, &answer));
            }
            Err(lost) => {
                hall.tally.borrow_mut().lost(intended, lost);
                hall.source.with(|source| source.lost(number, lost));
            }
        }
    }
}

/// The instants at which requests are meant to start.
struct Arrivals {
    next: Instant,
    gap_s: f64,
    random: Option<Random>,
    /// Of the plan's start, in seconds: gaps are added up here, where no rounding gathers.
    came: Instant,
    elapsed_s: f64,
}

impl Arrivals {
    fn new(came: Instant, plan: &Open) -> Self {
        let random = match plan.spacing {
            Spacing::Even => None,
            Spacing::Poisson { seed } => Some(Random::new(seed)),
        };
        Self { next: came, gap_s: 1.0 / plan.rate, random, came, elapsed_s: 0.0 }
    }

    fn next(&mut self) -> Instant {
        let next = self.next;
        self.elapsed_s += match &mut self.random {
            None => self.gap_s,
            // The gaps of a Poisson process are distributed exponentially.
            Some(random) => -self.gap_s * (1.0 - random.share()).ln(),
        };
        self.next = self.came + Duration::from_secs_f64(self.elapsed_s);
        next
    }
}

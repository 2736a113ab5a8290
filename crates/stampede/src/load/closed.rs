//! The closed loop: each connection asks again as soon as it is answered.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::outcome::Tally;
use super::{Outcome, Shared, Source, Stop};
use crate::clock;
use crate::wire::{Connection, Lost, PATIENCE};

/// A closed loop.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The server.
    pub addr: SocketAddr,
    /// Connections, all of which are opened before time begins to run.
    pub connections: usize,
    /// What happens first and is not counted.
    pub warm_up: Duration,
    /// The time that is measured, after the warm-up.
    pub measured: Duration,
    /// How long an answer may take.
    pub patience: Duration,
    /// Bytes of a body that the source gets to see, at most: see [`Connection::keep_at_most`].
    pub kept_max: usize,
    /// Whether this thread never sleeps, but looks again and again whether an answer is there. A
    /// server on this machine pays for waking its client; one whose client is always awake, because
    /// it can hardly keep up, does not, and two servers could not be compared.
    pub is_awake: bool,
    /// Ends it early.
    pub stop: Stop,
}

impl Closed {
    /// So many connections for so long, without a warm-up.
    #[must_use]
    pub fn new(addr: SocketAddr, connections: usize, measured: Duration) -> Self {
        Self {
            addr,
            connections,
            warm_up: Duration::ZERO,
            measured,
            patience: PATIENCE,
            kept_max: usize::MAX,
            is_awake: false,
            stop: Stop::new(),
        }
    }
}

/// After a lost answer a connection rests for so long: a server that is down is not beaten.
const AFTER_LOSS: Duration = Duration::from_millis(50);

/// Runs a closed loop to its end: until its time is over, or the requests have run out.
///
/// What is under way at the end of the measured time is waited for, as long as the plan is patient.
/// A connection that is lost is opened anew; when it cannot be opened, that counts as lost too.
///
/// # Panics
/// Outside a [`super::runtime`].
pub async fn closed<S: Source + 'static>(plan: &Closed, source: &Shared<S>) -> Outcome {
    let connections = connect(plan).await;
    let awake = plan.is_awake.then(|| tokio::task::spawn_local(stay_awake()));
    let begins = clock::now() + plan.warm_up;
    let tally = Rc::new(RefCell::new(Tally::new(begins, begins + plan.measured)));
    let mut loops = JoinSet::new();
    for (number, connection) in connections.into_iter().enumerate() {
        let (source, tally, stop) = (source.clone(), Rc::clone(&tally), plan.stop.clone());
        loops.spawn_local(ask_again_and_again(number, connection, source, tally, stop));
    }
    while let Some(ended) = loops.join_next().await {
        ended.expect("a loop ends by itself and does not panic");
    }
    drop(loops);
    if let Some(awake) = awake {
        awake.abort();
    }
    let tally = Rc::try_unwrap(tally).expect("all loops have ended");
    tally.into_inner().close(clock::now())
}

/// As long as a task is ready the runtime asks for news and does not wait for them.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

/// Opens all connections, side by side. One that cannot be opened is tried again by its loop.
async fn connect(plan: &Closed) -> Vec<Connection> {
    let mut opening = JoinSet::new();
    for _ in 0..plan.connections {
        let (addr, patience, kept_max) = (plan.addr, plan.patience, plan.kept_max);
        opening.spawn_local(async move {
            let mut connection = Connection::to(addr, patience);
            connection.keep_at_most(kept_max);
            // Why it could not is found out again, and counted, by the first request.
            let _ = connection.connect().await;
            connection
        });
    }
    opening.join_all().await
}

async fn ask_again_and_again<S: Source>(
    number: usize,
    mut connection: Connection,
    source: Shared<S>,
    tally: Rc<RefCell<Tally>>,
    stop: Stop,
) {
    let mut request = Vec::with_capacity(1024);
    let mut now = clock::now();
    while !tally.borrow().is_over(now) && !stop.is_stopped() {
        request.clear();
        if !source.with(|source| source.next(number, &mut request)) {
            return;
        }
        let started = now;
        let answered = connection.exchange(&request).await;
        now = clock::now();
        match answered {
            Ok(answer) => {
                tally.borrow_mut().answered(started, now, answer.status);
                source.with(|source| source.answered(number, &answer));
            }
            Err(lost) => {
                tally.borrow_mut().lost(started, lost);
                source.with(|source| source.lost(number, lost));
                if lost == Lost::Unreachable {
                    tokio::time::sleep(AFTER_LOSS).await;
                    now = clock::now();
                }
            }
        }
    }
}

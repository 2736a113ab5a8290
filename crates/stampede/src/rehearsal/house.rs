//! The crowd and its connections: who asks next, and on which of them.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::course::{Heads, Sample};
use super::report::Report;
use super::{Rehearsal, arrivals};
use crate::buyer::{Buyer, Character, Heard, Show, Standing, Then};
use crate::calls::{Call, Tallies, ms};
use crate::clock;
use crate::findings::{BuyerNumber, Findings};
use crate::load::Stop;
use crate::moment::{Exchange, Moment};
use crate::random::Random;
use crate::venue::Venue;
use crate::wire::{Answer, Connection};

/// The runtime's clock goes off so much too late; that is not the box office's doing.
const TIMER_GRAIN: Duration = Duration::from_millis(2);
/// Between two looks at the crowd.
const SECOND: Duration = Duration::from_secs(1);
/// Attempts at the question at the end.
const RECEIPT_TRIES: u8 = 5;
/// Nobody waits longer than this because an answer said so.
const RETRY_AFTER_MAX_S: u64 = 120;

/// The rehearsal under way.
pub(super) struct House(Rc<Inner>);

struct Inner {
    addr: SocketAddr,
    patience: Duration,
    connections: usize,
    stop: Stop,
    show: Show,
    start: Instant,
    crowd: RefCell<Crowd>,
    /// Connections there are, those of them that have nothing to do, and the most there ever were.
    opened: Cell<usize>,
    idle: Cell<usize>,
    used: Cell<usize>,
    /// Wakes one of them: somebody is ready.
    bell: Notify,
    /// Wakes the doorkeeper: somebody will be due sooner than was known, or all are gone.
    clock: Notify,
    /// Nobody asks anything any more.
    is_over: Cell<bool>,
    /// The crowd has gone: those who bought are asked what they have.
    is_closing: Cell<bool>,
}

struct Crowd {
    buyers: Vec<Buyer>,
    /// When each buyer asks next.
    due: BinaryHeap<Reverse<(Moment, BuyerNumber)>>,
    /// Those who want to ask and wait for a connection: since when.
    ready: VecDeque<(Moment, BuyerNumber)>,
    heads: Heads,
    findings: Findings,
    tallies: Tallies,
    /// Nanoseconds between the instant at which a buyer wants to ask, and the asking.
    late: Histogram<u64>,
    course: Vec<Sample>,
    /// Attempts at the question at the end, for each buyer who is asked.
    receipts_left: usize,
    receipt_tries: Vec<u8>,
}

impl House {
    pub(super) fn new(rehearsal: &Rehearsal, show: Show, start: Instant) -> Self {
        let mut random = Random::new(rehearsal.seed);
        let arrivals = arrivals(rehearsal, &mut random.branch());
        let performances = show.performances.len();
        let Rehearsal { shares, think, party_max, .. } = rehearsal;
        let buyer = |number| {
            let mut random = random.branch();
            let party_max = (*party_max).max(1);
            let character = Character::draw(&mut random, shares, *think, party_max, performances);
            Buyer::new(number, character, random)
        };
        let buyers: Vec<Buyer> = (0..rehearsal.buyers).map(buyer).collect();
        let begin = Moment::default();
        let due = (0..).zip(arrivals).map(|(number, after)| Reverse((begin + after, number)));
        let crowd = Crowd {
            buyers,
            due: due.collect(),
            ready: VecDeque::new(),
            heads: Heads::default(),
            findings: Findings::default(),
            tallies: Tallies::new(),
            late: Histogram::new_with_bounds(1_000, 600_000_000_000, 3)
                .expect("the bounds are in order and the precision is at most 5"),
            course: Vec::new(),
            receipts_left: 0,
            receipt_tries: Vec::new(),
        };
        Self(Rc::new(Inner {
            addr: rehearsal.addr,
            patience: rehearsal.patience,
            connections: rehearsal.connections.max(1),
            stop: rehearsal.stop.clone(),
            show,
            start,
            crowd: RefCell::new(crowd),
            opened: Cell::new(0),
            idle: Cell::new(0),
            used: Cell::new(0),
            bell: Notify::new(),
            clock: Notify::new(),
            is_over: Cell::new(false),
            is_closing: Cell::new(false),
        }))
    }

    /// Lets the crowd in, until all have gone or the time is over.
    pub(super) async fn crowd(&self, until: Instant, watch: &mut dyn FnMut(&Sample)) {
        self.keep_door(until, watch).await;
        let crowd = &mut *self.0.crowd.borrow_mut();
        for buyer in &mut crowd.buyers {
            let before = buyer.standing();
            buyer.stop();
            crowd.heads.moves(before, buyer.standing(), buyer.tickets());
        }
    }

    /// Asks those who bought what they have.
    pub(super) async fn ask_again(&self, until: Instant) {
        self.0.is_closing.set(true);
        {
            let crowd = &mut *self.0.crowd.borrow_mut();
            let now = self.0.now();
            crowd.due =
                crowd.findings.charged.buyers().map(|buyer| Reverse((now, buyer))).collect();
            crowd.ready.clear();
            crowd.receipts_left = crowd.due.len();
            crowd.receipt_tries = vec![0; crowd.buyers.len()];
        }
        self.keep_door(until, &mut |_| {}).await;
    }

    pub(super) fn report(self, rehearsal: &Rehearsal, venue: Venue, now: Instant) -> Report {
        let inner = Rc::into_inner(self.0).expect("all connections' loops have ended");
        let crowd = inner.crowd.into_inner();
        let mut ends = std::collections::BTreeMap::new();
        for buyer in &crowd.buyers {
            if let Standing::Over(end) = buyer.standing() {
                *ends.entry(end).or_insert(0) += 1;
            }
        }
        Report {
            sale: venue.sale.to_string(),
            title: venue.title,
            seat_count: venue.seat_count,
            buyers: rehearsal.buyers,
            seed: rehearsal.seed,
            connections: rehearsal.connections,
            active_limit: rehearsal.active_limit,
            elapsed_ms: u64::try_from((now - inner.start).as_millis()).unwrap_or(u64::MAX),
            ends,
            seats_sold: crowd.heads.seats_sold(),
            answers: crowd.tallies.answers(),
            connections_used: inner.used.get(),
            sent_late_p99_ms: ms(crowd.late.value_at_quantile(0.99)),
            calls: crowd.tallies.summary(),
            findings: crowd.findings.close(rehearsal.active_limit),
            course: crowd.course,
        }
    }

    /// Sends those who are due to the connections, and looks at the crowd once a second, until
    /// nobody is left or the time is over; then waits for what is under way.
    async fn keep_door(&self, until: Instant, watch: &mut dyn FnMut(&Sample)) {
        let inner = &self.0;
        inner.is_over.set(false);
        let mut connections = JoinSet::new();
        let (mut looked, mut next_look) = (clock::now(), clock::now() + SECOND);
        loop {
            let now = clock::now();
            let wanted = inner.admit(now);
            while connections.len() < inner.connections.min(wanted) {
                connections.spawn_local(Rc::clone(inner).serve());
            }
            let is_over = inner.is_empty() || inner.is_stopped() || now >= until;
            if now >= next_look || is_over {
                let sample = inner.look(now, now - looked);
                watch(&sample);
                (looked, next_look) = (now, now + SECOND);
            }
            if is_over {
                break;
            }
            let wake = inner.next_due().unwrap_or(until).min(next_look).min(until);
            tokio::select! {
                () = tokio::time::sleep_until(wake.into()) => {}
                () = inner.clock.notified() => {}
            }
        }
        inner.is_over.set(true);
        inner.bell.notify_waiters();
        while let Some(ended) = connections.join_next().await {
            ended.expect("a connection's loop ends by itself and does not panic");
        }
    }
}

impl Inner {
    fn now(&self) -> Moment {
        Moment::of(clock::now(), self.start)
    }

    /// Moves those who are due to the row before the connections; how many of those would be of use.
    fn admit(&self, now: Instant) -> usize {
        let now = Moment::of(now, self.start);
        let crowd = &mut *self.crowd.borrow_mut();
        while let Some(Reverse((due, buyer))) = crowd.due.peek().copied()
            && due <= now
        {
            crowd.due.pop();
            // A clock that went off a little late is not somebody who had to wait.
            let since = if now.since(due) <= TIMER_GRAIN { now } else { due };
            crowd.ready.push_back((since, buyer));
        }
        for _ in 0..crowd.ready.len().min(self.idle.get()) {
            self.bell.notify_one();
        }
        let busy = self.opened.get() - self.idle.get();
        busy + crowd.ready.len()
    }

    fn next_due(&self) -> Option<Instant> {
        let crowd = self.crowd.borrow();
        crowd.due.peek().map(|Reverse((due, _))| due.instant(self.start))
    }

    /// Whether nobody has anything to ask any more.
    fn is_empty(&self) -> bool {
        let crowd = self.crowd.borrow();
        if self.is_closing.get() {
            crowd.receipts_left == 0
        } else {
            crowd.heads.over() as usize == crowd.buyers.len()
        }
    }

    /// Whether the crowd has been sent home. Looked at once a second.
    fn is_stopped(&self) -> bool {
        !self.is_closing.get() && self.stop.is_stopped()
    }

    /// Looks at the crowd; the last look was so long ago.
    fn look(&self, now: Instant, since_last: Duration) -> Sample {
        let crowd = &mut *self.crowd.borrow_mut();
        let pulse = crowd.tallies.pulse();
        let sample = crowd.heads.sample(now - self.start, since_last, pulse);
        if !self.is_closing.get() {
            crowd.course.push(sample);
        }
        sample
    }

    /// One connection: serves whoever is first in the row, until it is over.
    async fn serve(self: Rc<Self>) {
        self.opened.set(self.opened.get() + 1);
        self.used.set(self.used.get().max(self.opened.get()));
        let mut connection = Connection::to(self.addr, self.patience);
        let mut request = Vec::with_capacity(1024);
        while let Some((since, buyer)) = self.next().await {
            request.clear();
            let sent = self.now();
            let Some(call) = self.ask(buyer, sent, &mut request) else { continue };
            let answered = connection.exchange(&request).await;
            let exchange = Exchange { sent, answered: self.now() };
            let crowd = &mut *self.crowd.borrow_mut();
            crowd
                .late
                .saturating_record(u64::try_from(sent.since(since).as_nanos()).unwrap_or(u64::MAX));
            let asked = Asked { buyer, call, since, exchange };
            match answered {
                Ok(answer) if self.is_closing.get() => crowd.hear_receipt(&asked, &answer),
                Ok(answer) => crowd.hear(&self.show, &asked, &answer),
                Err(lost) => {
                    crowd.tallies.lost(call, lost);
                    if self.is_closing.get() {
                        crowd.ask_for_receipt_again(&asked);
                    } else {
                        crowd.change(&asked, |buyer, _| buyer.lose(lost));
                    }
                }
            }
            connection.trim();
            // The doorkeeper may sleep for longer than this buyer will wait, or have nobody left.
            self.clock.notify_one();
        }
        self.opened.set(self.opened.get() - 1);
    }

    /// The next who wants to ask; none when it is over.
    async fn next(&self) -> Option<(Moment, BuyerNumber)> {
        loop {
            if self.is_over.get() {
                return None;
            }
            if let Some(next) = self.crowd.borrow_mut().ready.pop_front() {
                return Some(next);
            }
            let rings = self.bell.notified();
            self.idle.set(self.idle.get() + 1);
            rings.await;
            self.idle.set(self.idle.get() - 1);
        }
    }

    /// Writes what a buyer asks now.
    fn ask(&self, number: BuyerNumber, now: Moment, request: &mut Vec<u8>) -> Option<Call> {
        let Crowd { buyers, findings, heads, .. } = &mut *self.crowd.borrow_mut();
        let buyer = &mut buyers[number as usize];
        if self.is_closing.get() {
            buyer.ask_for_receipt(&self.show, request);
            return Some(Call::Receipt);
        }
        let call = buyer.call()?;
        if buyer.arrives() {
            heads.arrives();
        }
        buyer.ask(&self.show, now, findings, request);
        Some(call)
    }
}

/// One request that was sent.
struct Asked {
    buyer: BuyerNumber,
    call: Call,
    /// Since when the buyer wanted to.
    since: Moment,
    exchange: Exchange,
}

impl Asked {
    fn took(&self) -> Duration {
        self.exchange.answered.since(self.since)
    }
}

impl Crowd {
    fn hear(&mut self, show: &Show, asked: &Asked, answer: &Answer<'_>) {
        let heard = heard(answer);
        let code = if heard.status < 300 { Box::default() } else { heard.problem().code };
        self.tallies.answered(asked.call, heard.status, &code, asked.took());
        if let Some(token) = text(answer.header("queue-token")) {
            self.buyers[asked.buyer as usize].keep_token(token);
        }
        self.change(asked, |buyer, findings| buyer.hear(show, heard, asked.exchange, findings));
    }

    /// Something happens to a buyer; when they ask next follows from it.
    fn change(&mut self, asked: &Asked, happens: impl FnOnce(&mut Buyer, &mut Findings) -> Then) {
        let buyer = &mut self.buyers[asked.buyer as usize];
        let before = buyer.standing();
        let then = happens(buyer, &mut self.findings);
        self.heads.moves(before, buyer.standing(), buyer.tickets());
        if let Then::After(after) = then {
            self.due.push(Reverse((asked.exchange.answered + after, asked.buyer)));
        }
    }

    fn hear_receipt(&mut self, asked: &Asked, answer: &Answer<'_>) {
        let heard = heard(answer);
        self.tallies.answered(asked.call, heard.status, "", asked.took());
        let Self { buyers, findings, .. } = self;
        if buyers[asked.buyer as usize].hear_receipt(heard, findings) {
            self.receipts_left -= 1;
        } else {
            self.ask_for_receipt_again(asked);
        }
    }

    fn ask_for_receipt_again(&mut self, asked: &Asked) {
        let tries = &mut self.receipt_tries[asked.buyer as usize];
        *tries += 1;
        if *tries < RECEIPT_TRIES {
            self.due.push(Reverse((asked.exchange.answered + SECOND, asked.buyer)));
        } else {
            self.receipts_left -= 1;
        }
    }
}

fn heard<'a>(answer: &Answer<'a>) -> Heard<'a> {
    let header = if answer.status < 300 { None } else { answer.header("retry-after") };
    let seconds = text(header).and_then(|seconds| seconds.parse::<u64>().ok());
    let retry_after = seconds.map(|seconds| Duration::from_secs(seconds.min(RETRY_AFTER_MAX_S)));
    Heard { status: answer.status, retry_after, body: answer.body() }
}

fn text(value: Option<&[u8]>) -> Option<&str> {
    value.and_then(|value| std::str::from_utf8(value).ok())
}

//! The same commands come to the same on every backend: the real core of a sale, on two nodes, over the journal
//! in memory, in SQLite and in PostgreSQL, at a time that the test says.
//!
//! A seed draws what happens: who asks for what, how much time passes, whose batch comes to the journal first,
//! which answer is lost, which node starts anew. Whatever the cores put out is written down and must be the same
//! word for word, and so must the history, and the state that a start makes of it. Deliberately absent: threads,
//! for then chance would say what is in a batch, and failures of one backend alone, which have tests of their own.

#![expect(clippy::unwrap_used, reason = "a test ends at its first error")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use domain::Command;
use domain::command::{Key, PaymentOutcome, Schedule, Wish};
use domain::id::{
    KeyHash, Nonce, PaymentId, PaymentIndex, PerformanceId, Place, ReservationId, SaleId, SeatIndex,
};
use domain::limits::Limits;
use domain::line::JoinKeys;
use domain::money::{Currency, Money};
use domain::plan::{Grade, Performance, Plan, Row, Seat, Section};
use domain::time::Timestamp;
use engine::core::{Core, Look, Output};
use engine::{
    Answer, Call, CallResult, Config, Failure, Recovered, Reply, Request, recover, replay,
    write_snapshot,
};
use pgserver::{Server, Setup};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::codec::read_records;
use store::{Append, Appended, Batch, Head, Journal, Newer, Options, StreamId};

const STREAM: StreamId = StreamId(1);
/// Long ago, so that no database's clock is behind it.
const START: Timestamp = Timestamp(1_767_225_600_000);
const SEEDS: [u64; 3] = [1, 2, 3];
const STEPS: usize = 450;
const ROWS: u32 = 12;
const SEATS_IN_A_ROW: u32 = 10;
/// Kinds of events that all stories together must have.
const KINDS_LEAST: usize = 20;

const LIMITS: Limits = Limits {
    line_capacity: 40,
    active_limit: 6,
    seats_per_reservation: 3,
    hold_ttl: 8,
    payment_deadline: 5,
    place_ttl: 60,
    arrive_ttl: 8,
    choose_ttl: 10,
    presence_window: 15,
};

#[test]
fn the_same_commands_come_to_the_same_on_every_backend() {
    let setup = Setup {
        cache: Some(env!("CARGO_TARGET_TMPDIR").into()),
        settings: vec!["fsync=off".to_owned()],
        ..Setup::default()
    };
    let server = Server::start(setup).unwrap();
    let (mut kinds, mut seen) = (BTreeSet::new(), Seen::default());
    for seed in SEEDS {
        let dir = tempfile::tempdir().unwrap();
        let expected = Story::of(seed, &*open("memory:"));
        for location in [
            format!("sqlite:{}", dir.path().join("data").display()),
            server.make_schema(&format!("seed_{seed}")),
        ] {
            let told = Story::of(seed, &*open(&location));
            let backend = location.split(':').next().unwrap();
            for (line, (told, expected)) in told.lines.iter().zip(&expected.lines).enumerate() {
                assert_eq!(told, expected, "line {line} of seed {seed} in {backend}");
            }
            assert!(told == expected, "seed {seed} in {backend}");
        }
        kinds.extend(kinds_of(&expected.history));
        seen.add(&expected.seen);
    }
    assert!(kinds.len() >= KINDS_LEAST, "{} kinds of events: {kinds:?}", kinds.len());
    let Seen { conflicts, repeated, starts, snapshots, refused } = seen;
    assert!(
        [conflicts, repeated, starts, snapshots, refused].iter().all(|times| *times > 5),
        "{seen:?}"
    );
}

fn open(location: &str) -> Arc<dyn Journal> {
    store::open(location, Options::new(Arc::new(|| START.0))).unwrap()
}

/// The names of all events in a history.
fn kinds_of(history: &[Batch]) -> BTreeSet<String> {
    let records = history.iter().flat_map(|batch| read_records(&batch.body).unwrap());
    let name = |text: String| text.split([' ', '(', '{']).next().unwrap().to_owned();
    records.flat_map(|record| record.events).map(|event| name(format!("{event:?}"))).collect()
}

/// Everything that came out of a story.
#[derive(Debug, PartialEq)]
struct Told {
    lines: Vec<String>,
    history: Vec<Batch>,
    heartbeat: Option<u64>,
    /// What all of the history amounts to; a start makes the same of a snapshot and what follows.
    state: Vec<u8>,
    seen: Seen,
}

/// How often something happened that a story is told for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Seen {
    conflicts: u32,
    /// Batches that were sent again, and were there.
    repeated: u32,
    starts: u32,
    snapshots: u32,
    refused: u32,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.conflicts += other.conflicts;
        self.repeated += other.repeated;
        self.starts += other.starts;
        self.snapshots += other.snapshots;
        self.refused += other.refused;
    }
}

/// A buyer who was told of a place.
#[derive(Clone, Copy)]
struct Buyer {
    place: Place,
    reservation: Option<ReservationId>,
}

struct Node {
    core: Core<usize>,
    /// What is on its way to the journal.
    append: Option<Append>,
    /// When the last batch was made that it knows.
    last_at: Timestamp,
    /// What the provider is about to answer.
    answers: VecDeque<(PaymentIndex, CallResult)>,
}

/// What happens on one journal.
struct Story<'j> {
    journal: &'j dyn Journal,
    random: StdRng,
    now: Timestamp,
    nodes: Vec<Node>,
    buyers: Vec<Buyer>,
    /// By whom each request was, if by a buyer, and what it was.
    asked: Vec<(Option<usize>, Command)>,
    /// What the provider was asked to take, and whether it has.
    taken: BTreeMap<PaymentId, bool>,
    lines: Vec<String>,
    seen: Seen,
}

impl<'j> Story<'j> {
    /// Tells the whole story.
    fn of(seed: u64, journal: &'j dyn Journal) -> Told {
        let mut story = Self {
            journal,
            random: StdRng::seed_from_u64(seed),
            now: START,
            nodes: Vec::new(),
            buyers: Vec::new(),
            asked: Vec::new(),
            taken: BTreeMap::new(),
            lines: Vec::new(),
            seen: Seen::default(),
        };
        for number in 0..2 {
            let node = story.start(number);
            story.nodes.push(node);
        }
        story.ask(0, None, Command::Schedule(Box::new(schedule())));
        story.advance(0);
        story.write(0);
        for _ in 0..STEPS {
            story.step();
        }
        story.end()
    }

    fn start(&mut self, number: usize) -> Node {
        let recovered = recover(self.journal, STREAM).unwrap();
        self.seen.starts += 1;
        let life = u64::from(self.seen.starts);
        let config = Config {
            node: life << 8 | number as u64,
            follow_every: Some(50),
            snapshot_every: 60,
            ..Config::default()
        };
        let last_at = recovered.last_at;
        let heartbeat = Timestamp(self.journal.last_heartbeat().unwrap().unwrap_or(0));
        let alive_at = last_at.max(heartbeat);
        let core = Core::new(STREAM, recovered, Arc::new(config), alive_at, self.now);
        Node { core, append: None, last_at, answers: VecDeque::new() }
    }

    fn step(&mut self) {
        let passes = match self.random.random_range(0..100) {
            0..60 => 0..20,
            60..97 => 20..1_200,
            _ => 3_000..14_000,
        };
        self.now = self.now.plus(self.random.random_range(passes));
        let node = self.random.random_range(0..2);
        match self.random.random_range(0..100) {
            0..75 => {
                let (buyer, command) = self.wish();
                self.ask(node, buyer, command);
            }
            75..85 => self.beat(node),
            85..87 => {
                self.nodes[node] = self.start(node);
                self.tell(format!("{node} starts anew"));
            }
            _ => {}
        }
        if self.random.random_bool(0.5)
            && let Some((payment, result)) = self.nodes[node].answers.pop_front()
        {
            self.nodes[node].core.call_finished(payment, result, self.now);
        }
        self.advance(node);
        // Not always at once: batches fill, and the other node may come first.
        if self.random.random_bool(0.6) {
            self.write(node);
        }
    }

    /// What somebody asks next, and which buyer that is.
    fn wish(&mut self) -> (Option<usize>, Command) {
        let kind = self.random.random_range(0..100);
        if self.buyers.is_empty() || kind < 25 {
            let key =
                self.random.random_bool(0.5).then(|| KeyHash(self.random.random_range(0..60)));
            let nonce = Nonce(self.random.random());
            return (None, Command::Join { nonce, keys: JoinKeys { key, holder: None } });
        }
        if kind < 31 {
            return (None, self.operators_wish());
        }
        if kind < 34 {
            // The same once more, with the same key: whoever heard nothing does that.
            let again = self.random.random_range(0..self.asked.len());
            return self.asked[again].clone();
        }
        // The last ones are there, mostly.
        let back = self.random.random_range(0..self.buyers.len().min(12));
        let buyer = self.buyers.len() - 1 - back;
        let Buyer { place, reservation } = self.buyers[buyer];
        let id = self.random.random();
        let key = Some(Key { hash: KeyHash(self.random.random()), body: id });
        let command = match (kind, reservation) {
            (34..48, _) => Command::Seen { entries: vec![place.entry] },
            (48..52, _) => Command::Leave { place },
            (52..58, Some(reservation)) => Command::GiveBack { place, reservation },
            (58..85, Some(reservation)) => {
                let payment = PaymentId(u128::from(id));
                Command::BeginPayment { place, reservation, payment, expected: None, key }
            }
            _ => {
                let (wish, reservation) = (self.seats_wish(), ReservationId(id));
                Command::Hold { place, wish, expected: None, reservation, key }
            }
        };
        (Some(buyer), command)
    }

    fn operators_wish(&mut self) -> Command {
        match self.random.random_range(0..6) {
            0 => Command::Pause,
            1 | 2 => Command::Unpause,
            3 => Command::Withhold { seats: vec![self.seat()], pool: 0 },
            4 => Command::Release { seats: vec![self.seat()] },
            _ => {
                let active_limit = self.random.random_range(4..9);
                Command::ChangeLimits(Limits { active_limit, ..LIMITS })
            }
        }
    }

    fn seats_wish(&mut self) -> Wish {
        if self.random.random_bool(0.4) {
            let count = self.random.random_range(1..=4);
            return Wish::Best { performance: 0, count, grade: None };
        }
        let seats: BTreeSet<SeatIndex> =
            (0..self.random.random_range(1..=2)).map(|_| self.seat()).collect();
        Wish::Seats { performance: None, seats: seats.into_iter().collect() }
    }

    fn seat(&mut self) -> SeatIndex {
        SeatIndex(self.random.random_range(0..ROWS * SEATS_IN_A_ROW))
    }

    fn ask(&mut self, node: usize, buyer: Option<usize>, command: Command) {
        let number = self.asked.len();
        self.tell(format!("{number} asks {node} at {}: {command:?}", self.now.0));
        let request = match (&command, buyer) {
            (Command::Join { .. }, _) | (_, Some(_)) => {
                Request::buyer(command.clone(), number as u64, None)
            }
            (_, None) => Request::operator(command.clone(), number as u64, None),
        };
        self.asked.push((buyer, command));
        let mut out = Vec::new();
        self.nodes[node].core.offer(request, number, self.now, &mut out);
        self.put_out(node, out);
    }

    fn advance(&mut self, node: usize) {
        let mut out = Vec::new();
        self.nodes[node].core.advance(self.now, &mut out);
        self.put_out(node, out);
    }

    fn beat(&mut self, node: usize) {
        if !self.nodes[node].core.owes_silence(self.now) {
            self.journal.heartbeat(self.now.0).unwrap();
            self.nodes[node].core.heartbeat(self.now);
        }
    }

    /// What is on its way to the journal arrives there; its answer may be lost on the way back.
    fn write(&mut self, node: usize) {
        let Some(append) = self.nodes[node].append.take() else { return };
        let answer = self.journal.append(std::slice::from_ref(&append)).unwrap()[0];
        self.tell(format!("{node} appends {}: {answer:?}", append.batch.head()));
        let is_lost = self.random.random_bool(0.08);
        let (now, mut out) = (self.now, Vec::new());
        let Node { core, last_at, .. } = &mut self.nodes[node];
        match answer {
            _ if is_lost => core.append_failed(append, now),
            Appended::Appended | Appended::AlreadyThere => {
                *last_at = Timestamp(append.batch.at_ms);
                core.appended(now, &mut out);
                self.seen.repeated += u32::from(answer == Appended::AlreadyThere);
            }
            Appended::Conflict { .. } => {
                core.conflict(&mut out);
                self.seen.conflicts += 1;
            }
        }
        self.put_out(node, out);
    }

    /// Does what a core wants done.
    fn put_out(&mut self, node: usize, out: Vec<Output<usize>>) {
        for output in out {
            let (now, mut more) = (self.now, Vec::new());
            match output {
                Output::Append(append) => self.nodes[node].append = Some(append),
                Output::Reply { to, result, .. } => self.answered(node, to, &result),
                Output::Publish(shown) => self.tell(format!("{node} shows {}", shown.as_of)),
                Output::Call(call) => {
                    self.tell(format!("{node} calls: {call:?}"));
                    let result = self.provide(call.id, &call.call);
                    self.nodes[node].answers.push_back((call.payment, result));
                }
                Output::CatchUp { after } => {
                    let batches = self.journal.read(STREAM, after, usize::MAX).unwrap();
                    let Node { core, last_at, .. } = &mut self.nodes[node];
                    if let Some(last) = batches.last() {
                        *last_at = Timestamp(last.at_ms).max(*last_at);
                    }
                    core.caught_up(&batches, now, &mut more).unwrap();
                }
                Output::Lock { after } => {
                    let locked = self.journal.lock(&[(STREAM, after)]).unwrap();
                    let Newer { batches, head, .. } = locked.newer[0].as_ref().unwrap();
                    let Node { core, last_at, .. } = &mut self.nodes[node];
                    if let Some(last) = batches.last() {
                        *last_at = Timestamp(last.at_ms).max(*last_at);
                    }
                    core.locked(batches, *head, now, &mut more).unwrap();
                }
                Output::Look { heartbeat } => {
                    let head = self.journal.head(STREAM).unwrap();
                    assert_eq!(self.journal.heads().unwrap(), [(STREAM, head)]);
                    let last = || Timestamp(self.journal.last_heartbeat().unwrap().unwrap_or(0));
                    let heartbeat = heartbeat.then(last);
                    let look = Look { head, began: now, heartbeat, is_asked: true };
                    self.nodes[node].core.looked(&look, now, &mut more);
                }
                Output::Snapshot { sale, head } => {
                    let last_at = self.nodes[node].last_at;
                    let write = |to: &mut dyn std::io::Write| write_snapshot(&sale, last_at, to);
                    self.journal.save_snapshot(STREAM, head, &write).unwrap();
                    self.seen.snapshots += 1;
                }
            }
            self.put_out(node, more);
        }
    }

    fn answered(&mut self, node: usize, to: usize, result: &Result<Reply, Failure>) {
        self.tell(format!("{node} answers {to}: {result:?}"));
        let Ok(Reply { answer, .. }) = result else { return };
        match (answer, self.asked[to].0) {
            (Err(_), _) => self.seen.refused += 1,
            (Ok(Answer::Place { view, created: true }), None) => {
                self.buyers.push(Buyer { place: view.place, reservation: None });
            }
            (Ok(Answer::Reservation { view, .. }), Some(buyer)) => {
                self.buyers[buyer].reservation = Some(view.reservation.id);
            }
            (Ok(_), _) => {}
        }
    }

    /// What the provider answers, sooner or later.
    fn provide(&mut self, payment: PaymentId, call: &Call) -> CallResult {
        let drawn = self.random.random_range(0..10);
        let taken = self.taken.entry(payment).or_insert(false);
        let outcome = match (call, drawn) {
            (Call::Charge { .. }, 0..6) => {
                *taken = true;
                PaymentOutcome::Approved
            }
            (Call::Charge { .. }, 6..8) => {
                PaymentOutcome::Declined { reason: "card_declined".into(), retryable: true }
            }
            (Call::Charge { .. }, _) => {
                *taken = drawn == 9;
                PaymentOutcome::Unknown
            }
            (Call::Find | Call::Void, _) if *taken => PaymentOutcome::Approved,
            (Call::Find, _) => return CallResult::NotFound,
            (Call::Void, _) => return CallResult::Voided,
            (Call::Refund { .. }, _) => return CallResult::Refunded,
        };
        CallResult::Outcome(outcome)
    }

    fn tell(&mut self, line: String) {
        self.lines.push(line);
    }

    fn end(self) -> Told {
        let Self { journal, lines, seen, .. } = self;
        let state = |Recovered { sale, head, last_at, .. }: Recovered| {
            assert_eq!(head, journal.head(STREAM).unwrap());
            let mut bytes = Vec::new();
            write_snapshot(&sale, last_at, &mut bytes).unwrap();
            bytes
        };
        let state_of_all = state(replay(journal, STREAM, |_| {}).unwrap());
        let state_at_a_start = state(recover(journal, STREAM).unwrap());
        assert!(state_of_all == state_at_a_start, "a snapshot says something else");
        Told {
            lines,
            history: journal.read(STREAM, Head::EMPTY, usize::MAX).unwrap(),
            heartbeat: journal.last_heartbeat().unwrap(),
            state: state_of_all,
            seen,
        }
    }
}

fn schedule() -> Schedule {
    let seat = |row: u32, number: u32| Seat {
        number: format!("{}-{}", row + 1, number + 1).into(),
        grade: u16::from(row > 2),
        x: i32::try_from(number * 50).unwrap(),
        y: i32::try_from(row * 90).unwrap(),
        pool: (row == 0 && number < 2).then_some(0),
    };
    let row = |row: u32| Row {
        name: format!("{}", row + 1).into(),
        seats: (0..SEATS_IN_A_ROW).map(|number| seat(row, number)).collect(),
    };
    let grade = |name: &str, price| Grade { name: name.into(), price: Money(price) };
    Schedule {
        sale: SaleId::parse("sale").unwrap(),
        plan: Plan {
            currency: Currency::KRW,
            time_zone: "Asia/Seoul".into(),
            pools: vec!["press".into()],
            performances: vec![Performance {
                id: PerformanceId::parse("evening").unwrap(),
                title: "An evening".into(),
                venue: "The hall".into(),
                date: jiff::civil::date(2027, 2, 1),
                starts_at: START.plus(2_000_000_000),
                grades: vec![grade("R", 200), grade("S", 100)],
                sections: vec![Section { name: "1F".into(), rows: (0..ROWS).map(row).collect() }],
                wheelchair_places: Vec::new(),
            }],
        },
        limits: LIMITS,
        opens_at: START.plus(1_000),
        closes_at: None,
        file: None,
    }
}

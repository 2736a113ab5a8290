//! What the ledger costs: a sale of 50,000 reservations of two seats, each paid for, is told to one in a file
//! and to one in PostgreSQL, and the processor's time is said for each part: ours, and for the latter also
//! that of the server. `cargo run --release -p store --example ledger_cost`
//!
//! It measures the ledger alone: nobody else wants the core, and the server does not sync.

#![expect(clippy::unwrap_used, reason = "it ends where it stands")]
#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use domain::command::{PaymentOutcome, Schedule, Wish};
use domain::id::{Nonce, PaymentId, PerformanceId, Place, ReservationId, SaleId, SeatIndex};
use domain::limits::Limits;
use domain::line::JoinKeys;
use domain::money::{Currency, Money};
use domain::plan::{Grade, Performance, Plan, Row, Seat, Section};
use domain::sale::Outcome;
use domain::time::Timestamp;
use domain::{Command, Sale};
use pgserver::{Server, Setup};
use store::codec::{Actor, Cause, CommandKind, write_record};
use store::ledger::{FILE_NAME, Ledger, Location};
use store::{Append, Batch, BatchId, Head, Journal, StreamId};

/// Reservations, of two seats each.
const HOLDS: u32 = 50_000;
/// Commands in a batch, about as under load.
const BATCH: usize = 64;
/// 2026-05-01T10:00:00Z.
const BEGIN: u64 = 1_777_629_600_000;

const SIZE: &str = "
-- size
SELECT sum(pg_total_relation_size(oid))
FROM pg_class
WHERE relnamespace = 'ledger'::regnamespace AND relkind = 'r'
";

/// A sale whose commands are appended to a journal in memory.
struct Office {
    sale: Sale,
    journal: Arc<dyn Journal>,
    now: Timestamp,
    head: Head,
    body: Vec<u8>,
    commands: usize,
}

impl Office {
    fn ask(&mut self, command: &Command) -> Outcome {
        let mut events = Vec::new();
        let outcome = self.sale.execute(command, self.now, &mut events).unwrap();
        let command = CommandKind::from(command);
        let cause = Cause { actor: Actor::System, command, request: None, warrant: None };
        write_record(&mut self.body, &cause, &events);
        self.commands += 1;
        if self.commands == BATCH {
            self.commit();
        }
        outcome
    }

    fn commit(&mut self) {
        self.commands = 0;
        self.now = self.now.plus(2);
        let number = self.head.number + 1;
        let body = std::mem::take(&mut self.body);
        let (id, previous) = (BatchId(number.into()), self.head.id);
        let batch = Batch { number, id, previous, at_ms: self.now.0, body };
        self.head = batch.head();
        self.journal.append(&[Append { stream: StreamId(1), batch }]).unwrap();
    }

    fn join(&mut self, number: u32) -> Place {
        let nonce = Nonce(number);
        let joined = self.ask(&Command::Join { nonce, keys: JoinKeys::default() });
        let Outcome::Joined { entry, .. } = joined else { panic!("{joined:?}") };
        Place { entry, nonce }
    }

    fn hold(&mut self, place: Place, number: u32) -> ReservationId {
        let reservation = ReservationId(scatter(number.into()));
        // Nobody chooses in the order of the plan.
        let first = u32::try_from(u64::from(number) * 31_337 % u64::from(HOLDS)).unwrap() * 2;
        let seats = vec![SeatIndex(first), SeatIndex(first + 1)];
        let wish = Wish::Seats { performance: None, seats };
        self.ask(&Command::Hold { place, wish, expected: None, reservation, key: None });
        reservation
    }

    fn pay(&mut self, place: Place, reservation: ReservationId) -> PaymentId {
        let high = u128::from(scatter(reservation.0)) << 64;
        let payment = PaymentId(high | u128::from(reservation.0));
        self.ask(&Command::BeginPayment { place, reservation, payment, expected: None, key: None });
        payment
    }

    fn settle(&mut self, payment: PaymentId) {
        self.ask(&Command::SettlePayment { payment, outcome: PaymentOutcome::Approved });
    }
}

/// Ids as they are in life: in no order.
fn scatter(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    println!("in a file");
    let file = |name: &str| Location::File(dir.path().join(name));
    sell("memory:", &[file(FILE_NAME), file("rebuilt")], &|| Duration::ZERO);

    println!("in PostgreSQL, and of the server");
    let settings = vec!["fsync=off".to_owned()];
    let server = Server::start(Setup { settings, ..Setup::default() }).unwrap();
    let url = server.make_schema("office");
    let kept = Location::Database { address: url.clone(), password: None, node: "one".to_owned() };
    sell(&url, &[kept.clone(), kept], &|| spent_by(&server));
    let size = server.run("ledger", SIZE).parse::<u64>().unwrap() / u64::from(HOLDS);
    println!("on its disk: {size} bytes for each reservation, with its part of the plan");
}

/// Sells everything to a journal, tells it to a ledger part by part, and to another one at once.
fn sell(journal: &str, [kept, rebuilt]: &[Location; 2], server: &dyn Fn() -> Duration) {
    let options = store::Options::new(Arc::new(|| BEGIN));
    let mut office = Office {
        sale: Sale::default(),
        journal: store::open(journal, options).unwrap(),
        now: Timestamp(BEGIN),
        head: Head::EMPTY,
        body: Vec::new(),
        commands: 0,
    };
    office.ask(&Command::Schedule(Box::new(schedule())));
    office.ask(&Command::Tick);
    office.commit();
    let mut ledger = Ledger::open(kept, &*office.journal).unwrap();
    let mut told = |what: &str, office: &mut Office| {
        office.commit();
        let begun = (spent(), server());
        while !ledger.catch_up(&*office.journal).unwrap().is_level {}
        say(what, begun, server);
    };
    told("the plan, for two seats", &mut office);
    let places: Vec<Place> = (0..HOLDS).map(|number| office.join(number)).collect();
    told("joined and admitted", &mut office);
    let holds: Vec<ReservationId> =
        (0..).zip(&places).map(|(number, place)| office.hold(*place, number)).collect();
    told("held", &mut office);
    let payments: Vec<PaymentId> =
        holds.iter().zip(&places).map(|(hold, place)| office.pay(*place, *hold)).collect();
    told("payment begun", &mut office);
    payments.iter().for_each(|payment| office.settle(*payment));
    told("paid", &mut office);
    drop(ledger);
    let begun = (spent(), server());
    Ledger::rebuild(rebuilt, &*office.journal).unwrap();
    say("rebuilt", begun, server);
}

fn say(what: &str, begun: (Duration, Duration), server: &dyn Fn() -> Duration) {
    let ours = spent().saturating_sub(begun.0) / HOLDS;
    let theirs = server().saturating_sub(begun.1) / HOLDS;
    println!("{what}: {ours:?} each, {theirs:?} of the server");
}

/// The processor's time that this process has had.
fn spent() -> Duration {
    of_process("self")
}

/// The processor's time that all processes of a server have had.
fn spent_by(server: &Server) -> Duration {
    let noted = fs::read_to_string(server.directory().join("data/postmaster.pid")).unwrap();
    let main = noted.lines().next().unwrap();
    let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap();
    children.split_whitespace().chain([main]).map(of_process).sum()
}

/// With what its children had that have ended; nothing of one that has ended itself.
fn of_process(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let Some((_, fields)) = stat.rsplit_once(") ") else { return Duration::ZERO };
    // utime, stime, cutime, cstime, in hundredths of a second.
    let ticks = fields.split(' ').skip(11).take(4).map(|ticks| ticks.parse::<u64>().unwrap());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// One evening in a hall of a hundred sections with rows of a hundred seats.
fn schedule() -> Schedule {
    let row = |section: u32, row: u32| Row {
        name: format!("{row}").into(),
        seats: (1..=100)
            .map(|seat| Seat {
                number: format!("{section}-{row}-{seat}").into(),
                grade: 0,
                x: 0,
                y: 0,
                pool: None,
            })
            .collect(),
    };
    let section = |number: u32| Section {
        name: format!("{number}").into(),
        rows: (1..=10).map(|name| row(number, name)).collect(),
    };
    let performance = Performance {
        id: PerformanceId::parse("spring-1").unwrap(),
        title: "봄의 소리".into(),
        venue: "체조경기장".into(),
        date: jiff::civil::date(2026, 6, 1),
        starts_at: Timestamp(BEGIN + 2_678_400_000),
        grades: vec![Grade { name: "R".into(), price: Money(110_000) }],
        sections: (1..=HOLDS * 2 / 1_000).map(section).collect(),
        wheelchair_places: Vec::new(),
    };
    Schedule {
        sale: SaleId::parse("spring").unwrap(),
        plan: Plan {
            currency: Currency::KRW,
            time_zone: "Asia/Seoul".into(),
            pools: Vec::new(),
            performances: vec![performance],
        },
        limits: Limits { active_limit: HOLDS, ..Limits::default() },
        opens_at: Timestamp(BEGIN),
        closes_at: None,
        file: None,
    }
}

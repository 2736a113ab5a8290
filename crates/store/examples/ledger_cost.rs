//! What the ledger costs: a sale of 50,000 reservations of two seats, each paid for, is told to it, and
//! the processor's time is said for each part. `cargo run --release -p store --example ledger_cost`
//!
//! It measures the ledger alone: the journal is in memory, and nobody else wants the core.

#![expect(clippy::unwrap_used, reason = "it ends where it stands")]
#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::path::PathBuf;
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
use store::codec::{Actor, Cause, CommandKind, write_record};
use store::ledger::{FILE_NAME, Ledger, Location};
use store::{Append, Batch, BatchId, Head, Journal, StreamId};

/// Reservations, of two seats each.
const HOLDS: u32 = 50_000;
/// Commands in a batch, about as under load.
const BATCH: usize = 64;
/// 2026-05-01T10:00:00Z.
const BEGIN: u64 = 1_777_629_600_000;

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
    let options = store::Options::new(Arc::new(|| BEGIN));
    let mut office = Office {
        sale: Sale::default(),
        journal: store::open("memory:", options).unwrap(),
        now: Timestamp(BEGIN),
        head: Head::EMPTY,
        body: Vec::new(),
        commands: 0,
    };
    let dir = tempfile::tempdir().unwrap();
    office.ask(&Command::Schedule(Box::new(schedule())));
    office.ask(&Command::Tick);
    office.commit();
    let mut ledger =
        Ledger::open(&Location::File(dir.path().join(FILE_NAME)), &*office.journal).unwrap();
    let mut told = |what: &str, office: &mut Office| {
        office.commit();
        let begun = spent();
        while !ledger.catch_up(&*office.journal).unwrap().is_level {}
        let each = (spent() - begun) / HOLDS;
        println!("{what}: {each:?} each");
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
    rebuilt(dir.path().join("rebuilt"), &*office.journal);
}

fn rebuilt(path: PathBuf, journal: &dyn Journal) {
    let begun = spent();
    Ledger::rebuild(&Location::File(path), journal).unwrap();
    println!("rebuilt: {:?} for each reservation", (spent() - begun) / HOLDS);
}

/// The processor's time that this thread has had.
fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
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

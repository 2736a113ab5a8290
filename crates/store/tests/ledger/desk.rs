//! A sale without an engine: commands are decided by the rules and appended to a journal in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use domain::command::{PaymentOutcome, Schedule, Wish};
use domain::id::{
    EntryIndex, Nonce, PaymentId, PerformanceId, Place, ReservationId, SaleId, SeatIndex,
};
use domain::limits::Limits;
use domain::line::JoinKeys;
use domain::money::{Currency, Money};
use domain::plan::{Grade, Performance, Plan, Row, Seat, Section};
use domain::sale::Outcome;
use domain::time::Timestamp;
use domain::{Command, Event, Refusal, Sale};
use rusqlite::{Connection, OpenFlags};
use store::codec::{Actor, Cause, CommandKind, write_record};
use store::ledger::{FILE_NAME, Ledger, Location};
use store::{Append, Appended, Batch, BatchId, Head, Journal, StreamId};
use tempfile::TempDir;

/// 2026-05-01T10:00:00Z, 19:00 in Seoul.
pub(crate) const BEGIN: u64 = 1_777_629_600_000;

/// A sale with its journal and the place of its ledger.
pub(crate) struct Desk {
    pub(crate) sale: Sale,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) now: Timestamp,
    dir: TempDir,
    head: Head,
    body: Vec<u8>,
    commands: usize,
    ids: u64,
    /// Whether events are written as they were before they said how many places expired.
    pub(crate) is_of_old: bool,
    /// For each minute in which something happened: how many were in line at its end, and at most.
    pub(crate) minutes: BTreeMap<u64, (u32, u32)>,
}

impl Desk {
    /// A sale that was scheduled and has opened.
    pub(crate) fn open(limits: Limits) -> Self {
        Self::open_on("memory:", limits)
    }

    /// The same, with its journal at `location`.
    pub(crate) fn open_on(location: &str, limits: Limits) -> Self {
        let mut desk = Self {
            sale: Sale::default(),
            journal: journal(location),
            now: Timestamp(BEGIN),
            dir: tempfile::tempdir().unwrap(),
            head: Head::EMPTY,
            body: Vec::new(),
            commands: 0,
            ids: 0,
            is_of_old: false,
            minutes: BTreeMap::new(),
        };
        desk.ask(&Command::Schedule(Box::new(schedule(limits)))).unwrap();
        desk.ask(&Command::Tick).unwrap();
        desk.commit();
        desk
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join(FILE_NAME)
    }

    pub(crate) fn location(&self) -> Location {
        Location::File(self.path())
    }

    /// Decides a command; what comes of it goes into the open batch.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        let mut events = Vec::new();
        let outcome = self.sale.execute(command, self.now, &mut events);
        if self.is_of_old {
            for event in &mut events {
                if let Event::PlacesExpired { places, .. } = event {
                    *places = None;
                }
            }
        }
        if !events.is_empty() {
            let command = CommandKind::from(command);
            let cause = Cause { actor: Actor::System, command, request: None, warrant: None };
            write_record(&mut self.body, &cause, &events);
            self.commands += 1;
        }
        outcome
    }

    /// Commands in the open batch.
    pub(crate) fn uncommitted(&self) -> usize {
        self.commands
    }

    /// Appends the open batch.
    pub(crate) fn commit(&mut self) {
        if self.commands == 0 {
            return;
        }
        let number = self.head.number + 1;
        let batch = Batch {
            number,
            id: BatchId(number.into()),
            previous: self.head.id,
            at_ms: self.now.0,
            body: std::mem::take(&mut self.body),
        };
        self.head = batch.head();
        self.commands = 0;
        let now = self.sale.line().in_line();
        let before = self.minutes.last_key_value().map_or(0, |(_, (end, _))| *end);
        let (end, most) = self.minutes.entry(self.now.0 / 60_000).or_insert((before, before));
        (*end, *most) = (now, now.max(*most));
        let answers = self.journal.append(&[Append { stream: StreamId(1), batch }]).unwrap();
        assert_eq!(answers, [Appended::Appended]);
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    // ---- What a buyer does ----

    pub(crate) fn join(&mut self) -> Place {
        let nonce = Nonce(u32::try_from(self.next_id()).unwrap());
        let joined = self.ask(&Command::Join { nonce, keys: JoinKeys::default() });
        let Ok(Outcome::Joined { entry, .. }) = joined else { panic!("{joined:?}") };
        Place { entry, nonce }
    }

    pub(crate) fn place(&self, entry: EntryIndex) -> Place {
        Place { entry, nonce: self.sale.line().entry(entry).unwrap().0 }
    }

    pub(crate) fn hold(&mut self, place: Place, seats: &[u32]) -> Result<ReservationId, Refusal> {
        let reservation = ReservationId(self.next_id());
        let seats = seats.iter().copied().map(SeatIndex).collect();
        self.ask(&Command::Hold {
            place,
            wish: Wish::Seats { performance: None, seats },
            expected: None,
            reservation,
            key: None,
        })?;
        Ok(reservation)
    }

    pub(crate) fn pay(
        &mut self,
        place: Place,
        reservation: ReservationId,
    ) -> Result<PaymentId, Refusal> {
        let payment = PaymentId(self.next_id().into());
        self.ask(&Command::BeginPayment {
            place,
            reservation,
            payment,
            expected: None,
            key: None,
        })?;
        Ok(payment)
    }

    pub(crate) fn settle(&mut self, payment: PaymentId, outcome: PaymentOutcome) {
        // An answer that comes too late, or twice, is refused or changes nothing.
        let _refused = self.ask(&Command::SettlePayment { payment, outcome });
    }

    // ---- The ledger ----

    /// Opens the ledger and brings it up to the journal's end.
    pub(crate) fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::open(&self.location(), &*self.journal).unwrap();
        while !ledger.catch_up(&*self.journal).unwrap().is_level {}
        ledger
    }

    /// The tables, as a tool for reports reads them.
    pub(crate) fn tables(&self) -> Connection {
        Connection::open_with_flags(self.path(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
    }
}

pub(crate) fn journal(location: &str) -> Arc<dyn Journal> {
    store::open(location, store::Options::new(Arc::new(|| BEGIN))).unwrap()
}

pub(crate) fn declined() -> PaymentOutcome {
    PaymentOutcome::Declined { reason: "insufficient_funds".into(), retryable: true }
}

/// Two evenings with two sections of two rows of four seats: VIP at 200 in front, R at 100 behind;
/// the last two seats of each section are kept for the press.
pub(crate) fn schedule(limits: Limits) -> Schedule {
    let row = |name: &str, section: &str, grade: u16, kept: bool| Row {
        name: name.into(),
        seats: (1..=4)
            .map(|number| Seat {
                number: format!("{section}-{name}{number}").into(),
                grade,
                x: 0,
                y: 0,
                pool: (kept && number > 2).then_some(0),
            })
            .collect(),
    };
    let section = |name: &str| Section {
        name: name.into(),
        rows: vec![row("A", name, 0, false), row("B", name, 1, true)],
    };
    let performance = |number: i8| Performance {
        id: PerformanceId::parse(&format!("spring-{number}")).unwrap(),
        title: "봄의 소리".into(),
        venue: "소극장".into(),
        date: jiff::civil::date(2026, 6, number),
        starts_at: Timestamp(BEGIN + 2_678_400_000),
        grades: vec![
            Grade { name: "VIP".into(), price: Money(200) },
            Grade { name: "R".into(), price: Money(100) },
        ],
        sections: vec![section("1층"), section("2층")],
        wheelchair_places: Vec::new(),
    };
    Schedule {
        sale: SaleId::parse("spring").unwrap(),
        plan: Plan {
            currency: Currency::KRW,
            time_zone: "Asia/Seoul".into(),
            pools: vec!["press".into(), "sponsor".into()],
            performances: vec![performance(1), performance(2)],
        },
        limits,
        opens_at: Timestamp(BEGIN),
        closes_at: None,
        file: None,
    }
}

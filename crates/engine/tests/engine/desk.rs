//! A desk: one core, in virtual time, with everything it puts out kept for the test.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::command::{Command, Schedule, Wish};
use domain::id::{
    EntryIndex, Nonce, PaymentId, PaymentIndex, PerformanceId, Place, ReservationId, SaleId,
    SeatIndex,
};
use domain::limits::Limits;
use domain::line::JoinKeys;
use domain::money::{Currency, Money};
use domain::plan::{Grade, Performance, Plan, Row, Seat, Section};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use engine::core::{Core, Look, Output};
use engine::meters::CoreState;
use engine::{
    Answer, CallResult, Config, Failure, PendingCall, Publication, Recovered, ReplayError, Reply,
    Request, SaleHandle,
};
use store::{Append, Batch, Format, Head, StreamId};

const START: u64 = 1_800_000_000_000;

#[derive(Debug)]
pub(crate) struct Desk {
    core: Core<u64>,
    pub(crate) now: u64,
    history: Vec<Batch>,
    pub(crate) replies: BTreeMap<u64, Result<Reply, Failure>>,
    pub(crate) appends: Vec<Append>,
    pub(crate) calls: Vec<PendingCall>,
    /// Looks at the journal that were asked for and not answered.
    pub(crate) looks: Vec<bool>,
    /// The lock that was asked for and not answered.
    lock: Option<Head>,
    /// Whether locks are held at once, with nothing new.
    pub(crate) is_let_in: bool,
    publication: Option<Publication>,
    entries: BTreeMap<u64, EntryIndex>,
    limits: Limits,
}

pub(crate) fn join(nonce: u64) -> Command {
    let nonce = Nonce(u32::try_from(nonce).unwrap());
    Command::Join { nonce, keys: JoinKeys::default() }
}

pub(crate) fn hold(place: Place, id: u64, seats: &[u32]) -> Command {
    Command::Hold {
        place,
        wish: Wish::Seats {
            performance: None,
            seats: seats.iter().copied().map(SeatIndex).collect(),
        },
        expected: None,
        reservation: ReservationId(id),
        key: None,
    }
}

pub(crate) fn pay(place: Place, reservation: u64, payment: u128) -> Command {
    Command::BeginPayment {
        place,
        reservation: ReservationId(reservation),
        payment: PaymentId(payment),
        expected: None,
        key: None,
    }
}

pub(crate) fn schedule(active_limit: u32) -> Schedule {
    let seats = (1..=10).map(|n| Seat {
        number: format!("A{n}").into(),
        grade: 0,
        x: n * 50,
        y: 0,
        pool: None,
    });
    Schedule {
        sale: SaleId::parse("demo").unwrap(),
        plan: Plan {
            currency: Currency::KRW,
            time_zone: "Asia/Seoul".into(),
            pools: vec![],
            performances: vec![Performance {
                id: PerformanceId::parse("demo-1").unwrap(),
                title: "Demo".into(),
                venue: "Hall".into(),
                date: jiff::civil::date(2027, 1, 1),
                starts_at: Timestamp(START + 86_400_000),
                grades: vec![Grade { name: "R".into(), price: Money(100) }],
                sections: vec![Section {
                    name: "1F".into(),
                    rows: vec![Row { name: "A".into(), seats: seats.collect() }],
                }],
                wheelchair_places: Vec::new(),
            }],
        },
        limits: Limits { active_limit, ..Limits::default() },
        opens_at: Timestamp(START),
        closes_at: None,
        file: None,
    }
}

impl Desk {
    /// A sale of ten seats that has just opened.
    pub(crate) fn open(active_limit: u32) -> Self {
        Self::open_as(active_limit, Config { node: 1, ..Config::default() })
    }

    /// The same, where other nodes write too.
    pub(crate) fn open_shared(active_limit: u32) -> Self {
        let config = Config { node: 1, follow_every: Some(50), ..Config::default() };
        Self::open_as(active_limit, config)
    }

    fn open_as(active_limit: u32, config: Config) -> Self {
        let mut desk = Self::before_any_sale(config);
        let schedule = schedule(active_limit);
        desk.limits = schedule.limits;
        desk.offer(0, Command::Schedule(Box::new(schedule)));
        desk.settle();
        assert_eq!(desk.answer(0), Answer::Done);
        desk
    }

    /// A stream in which nothing was written yet.
    pub(crate) fn before_any_sale(config: Config) -> Self {
        let recovered = Recovered {
            sale: domain::Sale::default(),
            head: Head::EMPTY,
            last_at: Timestamp(START),
            events_since_snapshot: 0,
        };
        Self {
            core: core(recovered, config),
            now: START,
            history: Vec::new(),
            replies: BTreeMap::new(),
            appends: Vec::new(),
            calls: Vec::new(),
            looks: Vec::new(),
            lock: None,
            is_let_in: true,
            publication: None,
            entries: BTreeMap::new(),
            limits: Limits::default(),
        }
    }

    /// Everything that was written.
    pub(crate) fn written(&self) -> &[Batch] {
        &self.history
    }

    /// Another node on the same history.
    pub(crate) fn fork(&mut self) -> Self {
        self.fork_as(Config { node: 2, ..Config::default() })
    }

    /// The same, where it is known that others write too.
    pub(crate) fn fork_shared(&mut self) -> Self {
        self.fork_as(Config { node: 2, follow_every: Some(50), ..Config::default() })
    }

    fn fork_as(&mut self, config: Config) -> Self {
        let mut sale = domain::Sale::default();
        for batch in &self.history {
            for record in store::codec::read_records(&batch.body).unwrap() {
                record.events.iter().for_each(|event| sale.evolve(event));
            }
        }
        let recovered = Recovered {
            sale,
            head: self.history.last().map_or(Head::EMPTY, Batch::head),
            last_at: Timestamp(self.now),
            events_since_snapshot: 0,
        };
        Self {
            core: core(recovered, config),
            now: self.now,
            history: self.history.clone(),
            replies: BTreeMap::new(),
            appends: Vec::new(),
            calls: Vec::new(),
            looks: Vec::new(),
            lock: None,
            is_let_in: true,
            publication: None,
            entries: self.entries.clone(),
            limits: self.limits,
        }
    }

    pub(crate) fn queue_max(&self) -> u64 {
        Config::default().queue_max[4] as u64
    }

    pub(crate) fn offer(&mut self, caller: u64, command: Command) {
        let request = Request::buyer(command, caller, None);
        let mut out = Vec::new();
        self.core.offer(request, caller, Timestamp(self.now), &mut out);
        self.keep(out);
    }

    pub(crate) fn advance(&mut self) -> &mut Self {
        let mut out = Vec::new();
        self.core.advance(Timestamp(self.now), &mut out);
        let wake_at = self.core.next_wake(Timestamp(self.now));
        assert!(self.is_let_in || wake_at > Timestamp(self.now), "it spins");
        self.keep(out);
        if self.is_let_in && self.lock.is_some() {
            self.locked(&[]);
        }
        self
    }

    /// Whether a lock was asked for.
    pub(crate) fn wants_lock(&self) -> bool {
        self.lock.is_some()
    }

    /// Others are kept out, who have written this.
    pub(crate) fn locked(&mut self, newer: &[Batch]) -> &mut Self {
        let after = self.lock.take().expect("a lock that was asked for");
        assert_eq!(after, self.head());
        self.history.extend_from_slice(newer);
        let mut out = Vec::new();
        let now = Timestamp(self.now);
        self.core.locked(newer, self.head(), now, &mut out).unwrap();
        self.core.advance(now, &mut out);
        self.keep(out);
        self
    }

    /// Others are kept out, who have written this and more.
    pub(crate) fn locked_partly(&mut self, newer: &[Batch], head: Head) -> &mut Self {
        self.lock.take().expect("a lock that was asked for");
        self.history.extend_from_slice(newer);
        let mut out = Vec::new();
        let now = Timestamp(self.now);
        self.core.locked(newer, head, now, &mut out).unwrap();
        self.core.advance(now, &mut out);
        self.keep(out);
        self
    }

    /// Others are kept out, and nothing of theirs can be read.
    pub(crate) fn locked_blindly(&mut self) {
        self.lock.take().expect("a lock that was asked for");
        let mut out = Vec::new();
        self.core.locked_blindly(&mut out);
        self.core.advance(Timestamp(self.now), &mut out);
        let [Output::CatchUp { after }] = out[..] else { panic!("{out:?}") };
        assert_eq!(after, self.head());
    }

    /// There is no lock to be had.
    pub(crate) fn lock_failed(&mut self) {
        self.lock.take().expect("a lock that was asked for");
        self.core.lock_failed(Timestamp(self.now));
    }

    /// What time it is, in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// The one batch that is to be appended.
    pub(crate) fn append(&mut self) -> Append {
        assert_eq!(self.appends.len(), 1);
        self.appends.pop().unwrap()
    }

    pub(crate) fn appended(&mut self, append: Append) {
        let head = self.history.last().map_or(Head::EMPTY, Batch::head);
        assert_eq!((append.batch.number, append.batch.previous), (head.number + 1, head.id));
        assert_eq!(append.stream, StreamId(1));
        self.history.push(append.batch);
        let mut out = Vec::new();
        self.core.appended(Timestamp(self.now), &mut out);
        self.keep(out);
    }

    pub(crate) fn failed(&mut self, append: Append) {
        self.core.append_failed(append, Timestamp(self.now));
    }

    pub(crate) fn conflict(&mut self, newer: &[Batch]) {
        let mut out = Vec::new();
        self.core.conflict(&mut out);
        let [Output::CatchUp { after }] = out[..] else { panic!("{out:?}") };
        assert_eq!(after, self.history.last().map_or(Head::EMPTY, Batch::head));
        self.history.extend_from_slice(newer);
        let mut out = Vec::new();
        self.core.caught_up(newer, Timestamp(self.now), &mut out).unwrap();
        self.keep(out);
    }

    /// The same, with one that cannot be read.
    pub(crate) fn conflict_unreadably(&mut self, later: Batch) -> ReplayError {
        let mut out = Vec::new();
        self.core.conflict(&mut out);
        let error = self.core.caught_up(&[later], Timestamp(self.now), &mut out).unwrap_err();
        self.keep(out);
        error
    }

    pub(crate) fn may_write(&mut self, format: Format) {
        self.core.may_write(format);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.core.is_idle()
    }

    /// What the core asked for: the journal stands there, and somebody wrote a heartbeat then.
    pub(crate) fn looked(&mut self, head: Head, heartbeat: Option<u64>) -> &mut Self {
        assert_eq!(self.looks.pop(), Some(heartbeat.is_some()), "as it was asked for");
        let (began, heartbeat) = (Timestamp(self.now), heartbeat.map(Timestamp));
        let mut out = Vec::new();
        let look = Look { head, began, heartbeat, is_asked: true };
        self.core.looked(&look, Timestamp(self.now), &mut out);
        self.keep(out);
        self
    }

    /// A look that nobody has asked for: the journal stands there.
    pub(crate) fn glanced(&mut self, head: Head) {
        let began = Timestamp(self.now);
        let mut out = Vec::new();
        let look = Look { head, began, heartbeat: None, is_asked: false };
        self.core.looked(&look, Timestamp(self.now), &mut out);
        self.keep(out);
    }

    /// The last batch that is known here.
    pub(crate) fn head(&self) -> Head {
        self.history.last().map_or(Head::EMPTY, Batch::head)
    }

    /// The batches behind the ones that this desk knows.
    pub(crate) fn newer_than(&self, other: &Self) -> Vec<Batch> {
        self.history[other.history.len()..].to_vec()
    }

    /// What the core asked to read.
    pub(crate) fn caught_up(&mut self, newer: &[Batch]) {
        self.history.extend_from_slice(newer);
        let mut out = Vec::new();
        self.core.caught_up(newer, Timestamp(self.now), &mut out).unwrap();
        self.keep(out);
    }

    pub(crate) fn call_finished(&mut self, payment: PaymentIndex, result: CallResult) {
        self.core.call_finished(payment, result, Timestamp(self.now));
    }

    /// A buyer looks at the newest publication, and so is seen.
    pub(crate) fn poll(&mut self, caller: u64) {
        let publication = self.published();
        let view = publication.sale.place(self.entry(caller)).expect("a place");
        let sale = SaleId::parse("demo").expect("a slug");
        let handle = SaleHandle::new(sale, 1, publication.clone());
        let now = Timestamp(self.now);
        if handle.saw(&publication, &view, now) {
            self.offer(0, Command::Seen { entries: vec![view.place.entry] });
            self.settle();
            self.replies.remove(&0);
        }
    }

    pub(crate) fn owes_silence(&self) -> bool {
        self.core.owes_silence(Timestamp(self.now))
    }

    /// Starts anew with so many payments at the provider at a time.
    pub(crate) fn limit_payments(&mut self, payments_in_flight: usize) {
        let (sale, head) = self.core.snapshot();
        let last_at = Timestamp(self.now);
        let recovered = Recovered { sale, head, last_at, events_since_snapshot: 0 };
        let config = Config { node: 3, payments_in_flight, ..Config::default() };
        self.core = Core::new(StreamId(1), recovered, Arc::new(config), last_at, last_at);
    }

    /// Lets time pass in steps of the heartbeat, the store being written all the while.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        while self.now < until {
            self.now = until.min(self.now + 2_000);
            self.core.heartbeat(Timestamp(self.now));
        }
    }

    /// Advances and appends until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        loop {
            self.advance();
            if self.appends.is_empty() {
                return;
            }
            let append = self.append();
            self.appended(append);
        }
    }

    /// Somebody joins and is let in.
    pub(crate) fn admit(&mut self, caller: u64) -> Place {
        self.offer(caller, join(caller));
        self.settle();
        let Answer::Place { view, .. } = self.answer(caller) else { panic!("no place") };
        assert!(matches!(view.status, domain::sale::Status::Admitted { .. }));
        self.entries.insert(caller, view.place.entry);
        view.place
    }

    pub(crate) fn answer(&mut self, caller: u64) -> Answer {
        let reply = self.replies.remove(&caller).expect("a reply").expect("an answer");
        let answer = reply.answer.expect("no refusal");
        if let Answer::Place { view, .. } = &answer {
            self.entries.insert(caller, view.place.entry);
        }
        answer
    }

    pub(crate) fn refusal(&mut self, caller: u64) -> Refusal {
        let reply = self.replies.remove(&caller).expect("a reply").expect("an answer");
        reply.answer.expect_err("a refusal")
    }

    pub(crate) fn failure(&mut self, caller: u64) -> Failure {
        self.replies.remove(&caller).expect("a reply").expect_err("a failure")
    }

    pub(crate) fn entry(&self, caller: u64) -> EntryIndex {
        match self.entries.get(&caller) {
            Some(entry) => *entry,
            None => {
                let Some(Ok(Reply { answer: Ok(Answer::Place { view, .. }), .. })) =
                    self.replies.get(&caller)
                else {
                    panic!("caller {caller} has no place")
                };
                view.place.entry
            }
        }
    }

    pub(crate) fn state(&self) -> CoreState {
        self.core.state()
    }

    pub(crate) fn tip(&self) -> u64 {
        self.history.len() as u64
    }

    pub(crate) fn published(&self) -> Publication {
        self.publication.clone().expect("a publication")
    }

    fn keep(&mut self, out: Vec<Output<u64>>) {
        for output in out {
            match output {
                Output::Append(append) => self.appends.push(append),
                Output::Reply { to, result, .. } => {
                    if let Ok(reply) = &result {
                        assert!(reply.as_of <= self.tip(), "an answer before its batch is durable");
                    }
                    assert!(self.replies.insert(to, result).is_none(), "told twice");
                }
                Output::Publish(publication) => {
                    assert!(publication.as_of <= self.tip(), "published before it is durable");
                    publication.sale.check().unwrap();
                    self.publication = Some(publication);
                }
                Output::Call(call) => self.calls.push(call),
                Output::Look { heartbeat } => self.looks.push(heartbeat),
                Output::Lock { after } => assert_eq!(self.lock.replace(after), None, "twice"),
                Output::CatchUp { .. } | Output::Snapshot { .. } => {}
            }
        }
    }
}

fn core(recovered: Recovered, config: Config) -> Core<u64> {
    Core::new(StreamId(1), recovered, Arc::new(config), Timestamp(START), Timestamp(START))
}

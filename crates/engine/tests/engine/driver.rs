//! The running engine over a real journal: from a request to the disk and back, and again after a
//! restart.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use domain::command::{Command, PaymentOutcome, Schedule};
use domain::id::Place;
use domain::sale::{PlaceView, Status};
use engine::{
    Answer, Call, CallResult, Calls, Config, Engine, Failure, NewSale, PendingCall, Request,
};
use store::Journal;
use tokio::sync::oneshot;

use crate::desk::{hold, join, pay};
use crate::moody::{Mood, Moody};

/// A provider that approves everything at once.
#[derive(Clone, Default)]
pub(crate) struct Approves {
    engine: Arc<OnceLock<Weak<Engine>>>,
    asked: Arc<Mutex<Vec<Call>>>,
}

impl Calls for Approves {
    fn begin(&mut self, call: PendingCall) {
        self.asked.lock().unwrap().push(call.call);
        let engine = self.engine.get().unwrap().upgrade().unwrap();
        let approved = CallResult::Outcome(PaymentOutcome::Approved);
        engine.call_finished(call.stream, call.payment, approved);
    }
}

fn start(journal: &Arc<dyn Journal>, node: u64) -> (Arc<Engine>, Approves) {
    start_with(journal, Config { node, ..Config::default() })
}

pub(crate) fn start_with(journal: &Arc<dyn Journal>, config: Config) -> (Arc<Engine>, Approves) {
    let provider = Approves::default();
    let engine = Engine::start(journal.clone(), Box::new(provider.clone()), config).unwrap();
    provider.engine.set(Arc::downgrade(&engine)).unwrap();
    (engine, provider)
}

pub(crate) fn options() -> store::Options {
    store::Options::new(Arc::new(engine::clock::wall_ms))
}

pub(crate) async fn ask(engine: &Engine, command: Command) -> Answer {
    let sale = engine.directory().default_sale().unwrap().clone();
    let request = Request::buyer(command, 1, None);
    engine.submit(&sale, request).await.unwrap().answer.unwrap()
}

pub(crate) async fn admitted(engine: &Engine, nonce: u64) -> Place {
    let Answer::Place { view, .. } = ask(engine, join(nonce)).await else { panic!("no place") };
    assert!(matches!(view.status, Status::Admitted { .. }), "{view:?}");
    view.place
}

async fn read(engine: &Engine, place: Place) -> PlaceView {
    let sale = engine.directory().default_sale().unwrap().clone();
    let publication = sale.read(place.entry).await;
    let view = publication.sale.place(place.entry).unwrap();
    engine.saw(&sale, &publication, &view);
    view
}

pub(crate) fn schedule() -> Schedule {
    let mut schedule = crate::desk::schedule(500);
    schedule.opens_at.0 = 0;
    schedule
}

/// Another sale like it.
fn named(id: &str, performance: &str) -> NewSale {
    let mut schedule = schedule();
    schedule.sale = domain::id::SaleId::parse(id).unwrap();
    schedule.plan.performances[0].id = domain::id::PerformanceId::parse(performance).unwrap();
    NewSale { schedule, default: false }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let journal: Arc<dyn Journal> = store::open(dir.path().to_str().unwrap(), options()).unwrap();
    let (engine, provider) = start(&journal, 1);
    let sale = NewSale { schedule: schedule(), default: true };
    engine.add_sale(sale.clone(), 7, None).await.unwrap().unwrap();
    engine.add_sale(sale.clone(), 8, None).await.unwrap().unwrap();

    let ann = admitted(&engine, 1).await;
    ask(&engine, hold(ann, 11, &[0, 1])).await;
    let Answer::Reservation { view, .. } = ask(&engine, pay(ann, 11, 99)).await else {
        panic!("no reservation")
    };
    assert_eq!(view.reservation.amount().0, 200);
    assert_eq!(provider.asked.lock().unwrap().len(), 1);
    let bob = admitted(&engine, 2).await;
    ask(&engine, hold(bob, 12, &[2])).await;
    let (ann_read, bob_read) = (read(&engine, ann).await, read(&engine, bob).await);
    assert!(matches!(ann_read.status, Status::Done { .. }), "people read their own writes");
    assert!(matches!(bob_read.status, Status::Holding { .. }));
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
    drop(journal);

    let journal: Arc<dyn Journal> = store::open(dir.path().to_str().unwrap(), options()).unwrap();
    let (engine, _provider) = start(&journal, 2);
    assert_eq!(read(&engine, ann).await, ann_read);
    assert_eq!(read(&engine, bob).await, bob_read);
    let refused = {
        let sale = engine.directory().default_sale().unwrap().clone();
        let command = hold(admitted(&engine, 3).await, 13, &[2]);
        let request = Request::buyer(command, 2, None);
        engine.submit(&sale, request).await.unwrap().answer.unwrap_err()
    };
    assert_eq!(refused.code(), "seat_taken");
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_wants_one_seat_gets_it_once() {
    let journal: Arc<dyn Journal> = store::open("memory:", options()).unwrap();
    let (engine, _provider) = start(&journal, 1);
    engine
        .add_sale(NewSale { schedule: schedule(), default: true }, 7, None)
        .await
        .unwrap()
        .unwrap();
    let sale = engine.directory().default_sale().unwrap().clone();
    let mut crowd = Vec::new();
    for nonce in 0..9 {
        crowd.push(admitted(&engine, nonce).await);
    }
    let tasks: Vec<_> = crowd
        .into_iter()
        .map(|place| {
            let (engine, sale) = (engine.clone(), sale.clone());
            tokio::spawn(async move {
                let command = hold(place, u64::from(place.entry.0), &[5]);
                let request = Request::buyer(command, 1, None);
                engine.submit(&sale, request).await.unwrap().answer
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(refusal) => assert_eq!(refusal.code(), "seat_taken"),
        }
    }
    assert_eq!(won, 1);
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
}

/// Looks until it is there.
pub(crate) async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looked = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            // paces: what another node has written is seen after a while.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    });
    looked.await.unwrap()
}

/// Two nodes on one journal: what one writes the other shows, though nobody asks it anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_follows_what_another_one_writes() {
    let journal: Arc<dyn Journal> = store::open("memory:", options()).unwrap();
    let config = |node| Config { node, follow_every: Some(1), ..Config::default() };
    let (one, _provider) = start_with(&journal, config(1));
    let (two, _other) = start_with(&journal, config(2));
    let sale = NewSale { schedule: schedule(), default: true };
    one.add_sale(sale.clone(), 7, None).await.unwrap().unwrap();
    let followed = until(|| two.directory().default_sale().cloned()).await;

    let ann = admitted(&one, 1).await;
    ask(&one, hold(ann, 11, &[0])).await;
    let shown = until(|| {
        let view = followed.publication().sale.place(ann.entry)?;
        matches!(view.status, Status::Holding { .. }).then_some(view)
    })
    .await;
    assert_eq!(shown.place, ann);

    // The other node decides from there, and the first one follows.
    let bob = admitted(&two, 2).await;
    let taken = Request::buyer(hold(bob, 12, &[0]), 1, None);
    let refused = two.submit(&followed, taken).await.unwrap().answer.unwrap_err();
    assert_eq!(refused.code(), "seat_taken");
    ask(&two, hold(bob, 13, &[1])).await;
    let first = one.directory().default_sale().unwrap().clone();
    until(|| {
        let view = first.publication().sale.place(bob.entry)?;
        matches!(view.status, Status::Holding { .. }).then_some(())
    })
    .await;

    // Both write the catalogue at once, the same and something else.
    let (same, x, y) = (named("same", "same-1"), named("x", "x-1"), named("y", "y-1"));
    let told = tokio::join!(
        one.add_sale(same.clone(), 1, None),
        two.add_sale(same, 2, None),
        one.add_sale(x, 3, None),
        two.add_sale(y, 4, None),
    );
    assert_eq!(told, (Ok(Ok(())), Ok(Ok(())), Ok(Ok(())), Ok(Ok(()))));
    for engine in [&one, &two] {
        for id in ["same", "x", "y"] {
            until(|| engine.directory().sale(id).map(drop)).await;
        }
    }
    for engine in [one, two] {
        tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
    }
}

#[tokio::test]
async fn who_adds_a_sale_while_the_store_hangs_is_told_so_in_time() {
    let inner = store::open("memory:", options()).unwrap();
    let moody = Moody::new(inner);
    moody.becomes(Mood::AppendsHang);
    let journal: Arc<dyn Journal> = moody.clone();
    let config = Config { node: 1, append_wait_max: 50, ..Config::default() };
    let engine = Engine::start(journal, Box::new(Approves::default()), config).unwrap();
    let (first, second) = (named("first", "first-1"), named("second", "second-1"));
    let told = tokio::join!(
        engine.add_sale(first.clone(), 1, None),
        engine.add_sale(second.clone(), 2, None)
    );
    assert_eq!(told.0, Err(Failure::OutcomeUnknown), "it may be on its way to the disk");
    assert_eq!(told.1, Err(Failure::Unavailable), "it never left");
    moody.becomes(Mood::Sound);
    // Whoever asks again learns what became of it, and what was not written is not there.
    engine.add_sale(first, 3, None).await.unwrap().unwrap();
    assert!(engine.directory().sale("first").is_some());
    assert!(engine.directory().sale("second").is_none());
    engine.add_sale(second, 4, None).await.unwrap().unwrap();
    assert!(engine.directory().sale("second").is_some());
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
}

/// Two nodes, the first of which has decided something for a buyer and must wait for a turn to write it, for
/// the other one was faster; and a sale that it has for itself. Its journal is in this mood by then.
struct Turns {
    moody: Arc<Moody>,
    ours: Arc<Engine>,
    theirs: Arc<Engine>,
    held: tokio::task::JoinHandle<Answer>,
    bob: Place,
}

impl Turns {
    async fn begin(mood: Mood) -> Self {
        let inner = store::open("memory:", options()).unwrap();
        let moody = Moody::new(inner.clone());
        let journal: Arc<dyn Journal> = moody.clone();
        let config = |node| Config { node, follow_every: Some(1), ..Config::default() };
        let (ours, _provider) = start_with(&journal, config(1));
        let (theirs, _other) = start_with(&inner, config(2));
        ours.add_sale(NewSale { schedule: schedule(), default: true }, 7, None)
            .await
            .unwrap()
            .unwrap();
        ours.add_sale(named("own", "own-1"), 8, None).await.unwrap().unwrap();
        until(|| theirs.directory().default_sale().cloned()).await;
        let (ann, bob) = (admitted(&ours, 1).await, admitted(&ours, 2).await);
        moody.becomes(Mood::AppendsHang);
        let held = tokio::spawn({
            let ours = ours.clone();
            async move { ask(&ours, hold(ann, 11, &[0])).await }
        });
        until(|| moody.hangs_since(Mood::AppendsHang).then_some(())).await;
        ask(&theirs, hold(bob, 12, &[1])).await;
        moody.becomes(mood);
        Self { moody, ours, theirs, held, bob }
    }

    async fn end(self) {
        let held = self.held.await.unwrap();
        assert!(matches!(held, Answer::Reservation { .. }), "{held:?}");
        assert!(self.ours.meters().lock_time.read().count() > 0, "it took turns");
        for engine in [self.ours, self.theirs] {
            tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_turn_in_one_sale_serves_others_meanwhile() {
    let turns = Turns::begin(Mood::LocksHang).await;
    until(|| turns.moody.hangs_since(Mood::LocksHang).then_some(())).await;
    let own = turns.ours.directory().sale("own").unwrap().clone();
    let joined = turns.ours.submit(&own, Request::buyer(join(1), 1, None)).await.unwrap();
    assert!(matches!(joined.answer, Ok(Answer::Place { .. })));
    assert!(turns.moody.hangs_since(Mood::LocksHang) && !turns.held.is_finished());
    turns.moody.becomes(Mood::Sound);
    turns.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_cannot_be_had_is_asked_for_again() {
    let turns = Turns::begin(Mood::LocksFail).await;
    until(|| turns.ours.trouble()).await;
    let sale = turns.ours.directory().default_sale().unwrap().clone();
    let more = Request::buyer(Command::Leave { place: turns.bob }, 2, None);
    assert_eq!(turns.ours.submit(&sale, more).await, Err(Failure::Unavailable));
    turns.moody.becomes(Mood::Sound);
    turns.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_in_a_turn_is_sent_again() {
    for mood in [Mood::TurnsFail, Mood::TurnsAreNotAnswered] {
        Turns::begin(mood).await.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_stopped_while_it_waits_for_a_turn_takes_it() {
    let turns = Turns::begin(Mood::LocksHang).await;
    until(|| turns.moody.hangs_since(Mood::LocksHang).then_some(())).await;
    let ours = turns.ours.clone();
    let (begins, begun) = oneshot::channel();
    let stopped = tokio::task::spawn_blocking(move || {
        begins.send(()).unwrap();
        ours.stop();
    });
    begun.await.unwrap();
    assert!(!stopped.is_finished());
    turns.moody.becomes(Mood::Sound);
    stopped.await.unwrap();
    turns.end().await;
}

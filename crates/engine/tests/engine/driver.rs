//! The running engine over a real journal: from a request to the disk and back, and again after a
//! restart.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use domain::command::{Command, PaymentOutcome, Schedule};
use domain::id::Place;
use domain::sale::{PlaceView, Status};
use engine::{
    Actor, Answer, Call, CallResult, Calls, Config, Engine, NewSale, PendingCall, Request,
};
use store::Journal;

use crate::desk::{hold, join, pay};

/// A provider that approves everything at once.
#[derive(Clone, Default)]
struct Approves {
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
    let provider = Approves::default();
    let config = Config { node, ..Config::default() };
    let engine = Engine::start(journal.clone(), Box::new(provider.clone()), config).unwrap();
    provider.engine.set(Arc::downgrade(&engine)).unwrap();
    (engine, provider)
}

fn options() -> store::Options {
    store::Options::new(Arc::new(engine::clock::wall_ms))
}

async fn ask(engine: &Engine, command: Command) -> Answer {
    let sale = engine.directory().default_sale().unwrap().clone();
    let request = Request { command, actor: Actor::Buyer, id: 1, instrument: None };
    engine.submit(&sale, request).await.unwrap().answer.unwrap()
}

async fn admitted(engine: &Engine, nonce: u64) -> Place {
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

fn schedule() -> Schedule {
    let mut schedule = crate::desk::schedule(500);
    schedule.opens_at.0 = 0;
    schedule
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let journal: Arc<dyn Journal> = store::open(dir.path().to_str().unwrap(), options()).unwrap();
    let (engine, provider) = start(&journal, 1);
    let sale = NewSale { schedule: schedule(), default: true };
    engine.add_sale(sale.clone(), 7).await.unwrap().unwrap();
    engine.add_sale(sale.clone(), 8).await.unwrap().unwrap();

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
        let request = Request { command, actor: Actor::Buyer, id: 2, instrument: None };
        engine.submit(&sale, request).await.unwrap().answer.unwrap_err()
    };
    assert_eq!(refused.code(), "seat_taken");
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_wants_one_seat_gets_it_once() {
    let journal: Arc<dyn Journal> = store::open("memory:", options()).unwrap();
    let (engine, _provider) = start(&journal, 1);
    engine.add_sale(NewSale { schedule: schedule(), default: true }, 7).await.unwrap().unwrap();
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
                let request = Request { command, actor: Actor::Buyer, id: 1, instrument: None };
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

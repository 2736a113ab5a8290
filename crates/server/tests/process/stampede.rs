//! Many at once: one seat has one owner, and the line admits in its order and no more than its limit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::sync::{Barrier, Semaphore, watch};
use tokio::task::JoinSet;

use crate::support::{BoxOffice, Buyer, History, Options, reservation_id, small_sale, until};

/// Runs one task for each number, all at once; what they return, in no order.
async fn all<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: usize,
    task: impl Fn(usize) -> F,
) -> Vec<T> {
    let tasks: JoinSet<T> = (0..count).map(task).collect();
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_seat_of_the_arena_wanted_by_500_has_one_owner() {
    const BUYERS: usize = 500;
    let office = BoxOffice::open(Options::words(&["--demo"])).await;
    let start = Arc::new(Barrier::new(BUYERS));
    let addr = office.public;
    let answers = all(BUYERS, |_| {
        let start = Arc::clone(&start);
        async move {
            let mut buyer = Buyer::new(addr);
            buyer.join(Some(&json!({ "sale_id": "demo-arena" }))).await.expect(201);
            buyer.turn().await;
            start.wait().await;
            let wanted = json!({ "performance_id": "demo-arena-1", "seat_number": "201-10-13" });
            buyer.post("/reservations", &wanted).await
        }
    })
    .await;
    let (held, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status == 201);
    assert_eq!((held.len(), refused.len()), (1, BUYERS - 1));
    for refusal in refused {
        let refusal = refusal.refused(409, "seat_taken");
        assert_eq!(refusal["taken"], json!(["201-10-13"]));
        let alternatives = refusal["alternatives"].as_array().expect("seats near by");
        assert!(!alternatives.is_empty(), "{refusal}");
        let same_grade = |seat: &Value| seat.as_str().is_some_and(|seat| seat.starts_with('2'));
        assert!(alternatives.iter().all(same_grade), "{refusal}");
    }
    until("everybody to see that it is taken", async || {
        (office.sale("demo-arena").await["seats"]["held"] == 1).then_some(())
    })
    .await;
    let history = office.history(&["--sale", "demo-arena"]).await;
    assert_eq!(history.events("seats_held").count(), 1);
    office.stop().await.verify().await;
}

/// How many inside have been seen at a time, at most.
#[derive(Debug, Default)]
struct Inside {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Inside {
    fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_are_admitted_in_their_order_fifty_at_a_time() {
    const BUYERS: usize = 2_000;
    const ACTIVE_LIMIT: usize = 50;
    let limits = json!({ "active_limit": ACTIVE_LIMIT });
    let sale = small_sale("large-1", "Z", 100, &limits);
    let office = BoxOffice::with_sale("large", &sale).await;
    let addr = office.public;

    // All join at once; a machine has fewer file descriptors than a crowd has phones.
    let phones = Arc::new(Semaphore::new(128));
    let crowd = all(BUYERS, |_| {
        let phones = Arc::clone(&phones);
        async move {
            let _phone = phones.acquire().await.expect("never closed");
            let mut buyer = Buyer::new(addr);
            let joined = buyer.join(None).await.expect(201);
            buyer.connection.move_to(addr);
            (buyer, joined["position"].as_u64().expect("a position"))
        }
    })
    .await;
    assert_eq!(crowd.iter().filter(|(_, position)| *position == 1).count(), ACTIVE_LIMIT);
    let mut positions: Vec<u64> =
        crowd.iter().map(|(_, position)| *position).filter(|position| *position > 1).collect();
    positions.sort_unstable();
    let expected: Vec<u64> = (2..).take(BUYERS - ACTIVE_LIMIT).collect();
    assert_eq!(positions, expected, "no two are told the same position");
    let entries: BTreeSet<u32> = crowd.iter().map(|(buyer, _)| buyer.entry()).collect();
    assert_eq!(entries.len(), BUYERS);

    // Each polls when the front comes near, takes a seat and pays or leaves.
    let inside = Arc::new(Inside::default());
    let (done, _) = watch::channel(0_usize);
    let mut tasks = JoinSet::new();
    for (mut buyer, _) in crowd {
        let (inside, done) = (Arc::clone(&inside), done.clone());
        tasks.spawn(async move {
            let rank = buyer.entry() as usize;
            let near = done.subscribe().wait_for(|done| rank < done + ACTIVE_LIMIT).await.is_ok();
            assert!(near);
            buyer.turn().await;
            inside.enter();
            let (row, seat) = (rank % 26, rank / 26 + 1);
            let row = char::from(b'A' + u8::try_from(row).expect("a letter"));
            if rank % 10 == 9 {
                inside.leave();
                assert_eq!(buyer.delete("/queue/token").await.status, 204);
            } else {
                let held = buyer.hold(&format!("{row}{seat}")).await.expect(201);
                inside.leave();
                buyer.pay(&reservation_id(&held), "tok_ok").await.expect(200);
            }
            done.send_modify(|done| *done += 1);
        });
    }
    let mut most_admitted = 0;
    let watched = async {
        loop {
            let admitted = office.sale("large").await["admitted"].as_u64().expect("a count");
            most_admitted = most_admitted.max(admitted);
            // paces: the operators' counts are only there to be looked at.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = async { while tasks.join_next().await.transpose().expect("no buyer fails").is_some() {} } => {}
        () = watched => {}
    }

    assert!(inside.most.load(Ordering::SeqCst) <= ACTIVE_LIMIT, "{inside:?}");
    assert!(most_admitted <= ACTIVE_LIMIT as u64, "{most_admitted} admitted");
    admissions_are_in_order_and_limited(&office.history(&["--sale", "large"]).await, ACTIVE_LIMIT);
    until("everybody to see what was sold", async || {
        (office.sale("large").await["seats"]["sold"] == BUYERS / 10 * 9).then_some(())
    })
    .await;
    assert_eq!(office.book().kept(), 100 * BUYERS as u64 / 10 * 9);
    office.stop().await.verify().await;
}

/// The journal is the whole truth: every instant there was is in it.
fn admissions_are_in_order_and_limited(history: &History, limit: usize) {
    let (mut inside, mut next) = (BTreeSet::new(), 0);
    for event in &history.0 {
        let entry = event["entry"].as_u64();
        match event["event"].as_str().expect("a name") {
            "admitted" => {
                let entry = entry.expect("an entry");
                assert_eq!(entry, next, "admitted out of order");
                next += 1;
                inside.insert(entry);
                assert!(inside.len() <= limit, "{} inside", inside.len());
            }
            "payment_approved" | "left" => {
                inside.remove(&entry.expect("an entry"));
            }
            "turn_missed" | "choosing_ended" | "hold_expired" | "passed_over" => {
                panic!("nobody is slow here: {event}");
            }
            _ => {}
        }
    }
    assert!(inside.is_empty(), "all have left: {inside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_there_is_passed_over_and_keeps_the_place() {
    let limits = json!({ "active_limit": 1, "presence_window": 1, "arrive_ttl": 2 });
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "E", 15, &limits)).await;
    let (mut first, mut away, mut third) = (office.buyer(), office.buyer(), office.buyer());
    first.join(None).await.expect(201);
    away.join(None).await.expect(201);
    third.join(None).await.expect(201);
    first.turn().await;
    let reservation = reservation_id(&first.hold("A1").await.expect(201));
    // The third keeps asking while the second has gone for longer than the window.
    let mut asked = 0;
    until("the second to count as away", async || {
        third.status().await;
        asked += 1;
        (asked > 150).then_some(())
    })
    .await;
    first.pay(&reservation, "tok_ok").await.expect(200);
    third.turn().await;
    let back = away.status().await;
    assert_eq!((&back["status"], &back["position"]), (&json!("waiting"), &json!(2)));
    third.delete("/queue/token").await;
    away.turn().await;
}

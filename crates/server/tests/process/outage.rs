//! An outage stops the clocks: whoever was in line, choosing or holding has lost no time.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::{BoxOffice, reservation_id, small_sale, until};

/// Longer than the ten seconds from which on a silence counts as an outage.
const OUTAGE: Duration = Duration::from_secs(13);
/// What a life sign may be older than the end it stands for: heartbeats are two seconds apart.
const SLACK: Duration = Duration::from_secs(4);

fn ms(value: &serde_json::Value) -> Duration {
    Duration::from_millis(value.as_u64().expect("a time"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_loses_time_to_an_outage() {
    // Every one of these would be over if the clocks went on.
    let limits = json!({
        "active_limit": 2, "hold_ttl": 9, "payment_deadline": 1, "choose_ttl": 9, "place_ttl": 9,
    });
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "E", 15, &limits)).await;
    let (mut holding, mut choosing, mut waiting) = (office.buyer(), office.buyer(), office.buyer());
    holding.join(None).await.expect(201);
    choosing.join(None).await.expect(201);
    waiting.join(None).await.expect(201);
    holding.turn().await;
    let held = holding.hold("A1").await.expect(201);
    let reservation = reservation_id(&held);
    let hold_left = ms(&held["expires_in_ms"]);
    let choose_left = ms(&choosing.turn().await["admitted_for_ms"]);
    let since = Instant::now();
    assert_eq!(waiting.status().await["position"], 2);

    let closed = office.kill().await;
    // paces: this is the outage, and the wall clock cannot be moved from outside.
    tokio::time::sleep(OUTAGE).await;
    let office = closed.open().await;
    let down = since.elapsed();
    for buyer in [&mut holding, &mut choosing, &mut waiting] {
        buyer.connection.move_to(office.public);
    }

    // The first thing written after the outage says how long it was.
    let gap = until("the outage to be noticed", async || {
        office.history(&["--sale", "small"]).await.events("resumed").next().cloned()
    })
    .await;
    let gap = ms(&gap["gap_ms"]);
    assert!(gap <= down + SLACK && gap + SLACK >= OUTAGE, "{gap:?} of {down:?}");

    let status = holding.status().await;
    assert_eq!(status["status"], "holding");
    let left = ms(&status["held_for_ms"]);
    assert!(left + SLACK >= hold_left, "{left:?} of {hold_left:?} are left");
    assert!(left <= hold_left + SLACK, "{left:?} of {hold_left:?} are left");
    let left = ms(&choosing.turn().await["admitted_for_ms"]);
    assert!(left + SLACK >= choose_left, "{left:?} of {choose_left:?} are left");
    assert_eq!(waiting.status().await["position"], 2);
    holding.pay(&reservation, "tok_ok").await.expect(200);
    waiting.turn().await;
    office.stop().await.verify().await;
}

//! More requests at once than may be answered at a time: each waits for its turn, and not for ever.

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{BoxOffice, Options, reservation_id, small_sale, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_its_turn_and_not_for_ever() {
    let office = BoxOffice::open(Options::words(&["--requests-in-flight", "1"])).await;
    office.schedule("small", &small_sale("small-1", "A", 20, &json!({}))).await;

    // A rush is served to the last, one after the other.
    let rush: JoinSet<_> = (1..=20)
        .map(|number| {
            let mut buyer = office.buyer();
            async move {
                buyer.join(None).await.expect(201);
                buyer.turn().await;
                let held = buyer.hold(&format!("A{number}")).await.expect(201);
                (buyer, reservation_id(&held))
            }
        })
        .collect();
    let mut served = rush.join_all().await;
    assert_eq!(served.len(), 20);

    // Behind somebody who takes three seconds one is told that it takes too long.
    let (mut buyer, reservation) = served.pop().expect("twenty");
    let (mut other, _) = served.pop().expect("nineteen");
    let (paid, refused) = tokio::join!(
        buyer.pay(&reservation, "tok_slow"),
        until("a refusal", async || {
            let answer = other.get("/queue/status").await;
            (answer.status != 200).then_some(answer)
        })
    );
    let retry_after = refused.header("retry-after").parse::<u64>();
    assert!(retry_after.is_ok_and(|seconds| seconds > 0), "{}", refused.text);
    refused.refused(503, "overloaded");
    paid.expect(200);
    other.get("/queue/status").await.expect(200);
    office.stop().await.verify().await;
}

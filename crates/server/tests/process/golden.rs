//! A data directory of each format there ever was, read and sold on: what was written once is read for
//! ever. `golden/1` is of the first: one sale with nearly everything that can happen in it, also an
//! outage. Never change one; when the format grows, add another beside it, made by using the program.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Closed, Options, reservation_id};

/// A box office that goes on from a golden directory, without the keys, which are nobody's.
fn golden(format: &str) -> Closed {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/golden").join(format);
    let closed = Closed::new(Options::default());
    fs::create_dir_all(closed.data().join("snapshots")).expect("a directory");
    for name in ["journal.sqlite", "head"] {
        fs::copy(kept.join(name), closed.data().join(name)).expect(name);
    }
    closed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_format_is_read_and_sold_on() {
    let closed = golden("1");
    closed.verify().await;
    let history = closed.history(&[]).await;
    let told: Vec<String> = (history.0.iter())
        .map(|line| format!("{} {}", line["batch"], line["event"].as_str().expect("a name")))
        .collect();
    let expected = include_str!("golden/1/events.txt");
    assert_eq!(told, expected.lines().collect::<Vec<_>>());
    let held = history.events("seats_held").next().expect("one");
    assert_eq!(held["reservation_id"], "e5ge48m97p0pn");

    // Without its snapshot: from the first batch on.
    let office = closed.open().await;
    let sale = office.sale("gold").await;
    let seats =
        |seats: &Value| ["free", "withheld", "held", "sold"].map(|state| seats[state].as_u64());
    assert_eq!(seats(&sale["seats"]), [27, 3, 0, 6].map(Some));
    assert_eq!(sale["takings"]["confirmed"], 726_000);
    assert_eq!((&sale["state"], &sale["joined"]), (&json!("closed"), &json!(9)));

    // Another sale beside it.
    let another = crate::support::small_sale("small-1", "E", 15, &json!({}));
    office.schedule("small", &another).await;
    let mut buyer = office.buyer();
    let reservation =
        reservation_id(&buyer.join_and_hold(Some(&json!({ "sale_id": "small" })), "A1").await);
    buyer.pay(&reservation, "tok_ok").await.expect(200);
    office.stop().await.verify().await;
}

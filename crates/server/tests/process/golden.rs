//! A data directory of each format there ever was, read and sold on: what was written once is read for
//! ever. `golden/1` is of the first: one sale with nearly everything that can happen in it, also an
//! outage. `golden/2` is the same directory, sold on from by a later program, raised to the second format
//! in the middle of a sale, and sold on from again. Never change one; when the format grows, add another beside it, made by using the program.

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

/// How many seats of a sale are free, withheld, held and sold.
fn seats(sale: &Value) -> [Option<u64>; 4] {
    ["free", "withheld", "held", "sold"].map(|state| sale["seats"][state].as_u64())
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
    assert_eq!(seats(&sale), [27, 3, 0, 6].map(Some));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_was_raised_is_read_in_both_formats_and_sold_on() {
    let closed = golden("2");
    closed.verify().await;
    let shown = closed.journal(&["format", "show"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.starts_with("the store: format 2\n"), "{shown}");
    let history = closed.history(&[]).await;
    let told: Vec<String> = (history.0.iter())
        .filter(|line| line["sale"] != "gold")
        .map(|line| {
            let word = |name: &str| line[name].as_str().expect("a name").to_owned();
            format!("{} {} {}", word("sale"), line["batch"], word("event"))
        })
        .collect();
    let expected = include_str!("golden/2/events.txt");
    assert_eq!(told, expected.lines().collect::<Vec<_>>());

    let office = closed.open().await;
    assert_eq!(seats(&office.sale("before").await), [13, 0, 0, 2].map(Some));
    // All the time since was an outage, so what was held still is.
    assert_eq!(seats(&office.sale("after").await), [10, 3, 1, 1].map(Some));
    for (sale, sold) in [("before", "B1"), ("after", "A1")] {
        let sale = json!({ "sale_id": sale });
        let mut buyer = office.buyer();
        buyer.join(Some(&sale)).await.expect(201);
        buyer.turn().await;
        buyer.hold(sold).await.refused(409, "seat_taken");
        let reservation = reservation_id(&buyer.hold("A3").await.expect(201));
        buyer.pay(&reservation, "tok_ok").await.expect(200);
    }
    office.stop().await.verify().await;
}

//! How far a node is behind what another one has answered, where nobody who asks it knows of that.
//!
//! Nodes look at the journal every 50 ms; a token of something newer makes them look at once. How long it takes
//! is measured and said (`cargo test -p maepyo --test process staleness -- --nocapture`), not held to: a busy
//! machine would fail it. That it comes, and that whoever knows of something sees it, is.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::postgres::{on, server, verify};
use crate::support::{Answer, BoxOffice, PATIENCE, note, small_sale, until};

/// How often something is told by one node and looked for at the other.
const ROUNDS: u32 = 100;
/// And in the map of the hall, which is written once a second at most.
const ROUNDS_OF_MAPS: u32 = 4;
/// From one look of a node to the next, in milliseconds.
const LOOKS_EVERY: u64 = 50;

fn as_of(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json["as_of"].as_u64().expect("a batch")
}

fn say(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let (middle, most_of_them, most) = (at(50), at(99), at(100));
    note(format_args!(
        "{what}, {} times: {middle:.1?} in the middle, {most_of_them:.1?} at 99 %, {most:.1?} at most",
        took.len()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_answers_another_shows_and_never_later_to_whoever_knows_of_it() {
    let server = block_in_place(server);
    let url = server.make_schema("staleness");
    let one = BoxOffice::open(on(&url)).await;
    let two = BoxOffice::open(on(&url)).await;
    let limits = json!({ "active_limit": 1_000 });
    one.schedule("small", &small_sale("small-1", "E", 40, &limits)).await;
    two.lists(1).await;

    let mut reader = two.buyer();
    reader.join(None).await.expect(201);
    let (mut unknown, mut known) = (Vec::new(), Vec::new());
    let mut random: StdRng = rand::make_rng();
    for round in 0..ROUNDS {
        // paces: a buyer comes at any time between two looks.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..LOOKS_EVERY))).await;
        let mut buyer = one.buyer();
        let told = buyer.join(None).await.expect(201)["as_of"].as_u64().expect("a batch");
        let since = Instant::now();
        if round % 2 == 0 {
            // With a token that was made before, by the node that is asked.
            while as_of(&reader.get("/queue/status").await) < told {
                assert!(since.elapsed() < PATIENCE, "{told} is never shown");
            }
            unknown.push(since.elapsed());
        } else {
            let shown = buyer.again(two.public).get("/queue/status").await;
            assert!(as_of(&shown) >= told, "{} after {told}", shown.text);
            known.push(since.elapsed());
        }
    }
    let mut maps = Vec::new();
    for _ in 0..ROUNDS_OF_MAPS {
        let told = one.buyer().join(None).await.expect(201)["as_of"].as_u64().expect("a batch");
        let since = Instant::now();
        until("the map to be as new", async || {
            let map = two.connect().get("/performances/small-1/availability", None).await;
            (as_of(&map) >= told).then_some(())
        })
        .await;
        maps.push(since.elapsed());
    }
    say("until a place showed what another node had answered", unknown);
    say("and to whoever knew of it", known);
    say("and in the map of the hall", maps);
    two.stop().await;
    verify(&one.stop().await, &url).await;
}

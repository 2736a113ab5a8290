//! What a map of the hall is drawn from: the plan, and which seats are free.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const AVAILABILITY: &str = "/performances/small-1/availability";

/// The bits of the first section.
fn bits(said: &Value) -> Vec<u8> {
    STANDARD.decode(said["sections"][0]["free"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn bits_and_plan_belong_together() {
    let office = Office::small(1).await;
    let said = office.get(AVAILABILITY, With::default()).await;
    assert_eq!(said.header("cache-control"), "public, max-age=1");
    assert_eq!(said.header("vary"), "accept-encoding");
    let tag = said.header("etag").to_owned();
    let said = said.is(200);
    let plan = office.get("/performances/small-1/plan", With::default()).await;
    assert_eq!(plan.header("etag"), format!("\"{}\"", said["plan"].as_str().unwrap()));
    assert_eq!(plan.is(200)["plan"], said["plan"]);
    assert_eq!((&said["state"], &said["available_count"]), (&json!("open"), &json!(75)));
    assert_eq!(said["sections"][0]["name"], "1층");
    assert_eq!(bits(&said), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0b111]);

    let known = office.get(AVAILABILITY, With::default().and("if-none-match", &tag)).await;
    assert_eq!((known.status.as_u16(), known.bytes), (304, 0));
    office
        .get("/performances/none/availability", With::default())
        .await
        .refused(404, "performance_not_found");
}

#[tokio::test]
async fn a_seat_that_is_taken_is_not_free_a_second_later() {
    let office = Office::small(1).await;
    let tag = office.get(AVAILABILITY, With::default()).await.header("etag").to_owned();
    let buyer = office.join(With::default()).await;
    office.hold(&buyer, "A2").await;
    let begun = office.app.engine.now();
    let changed = loop {
        let said = office.get(AVAILABILITY, With::default()).await;
        if said.header("etag") != tag {
            break said.is(200);
        }
        let waited = office.app.engine.now().since(begun);
        assert!(waited < 5_000, "{waited} ms");
        tokio::task::yield_now().await;
    };
    assert_eq!(changed["available_count"], 74);
    assert_eq!(bits(&changed)[0], 0b1111_1101);
}

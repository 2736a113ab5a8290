//! What the tests are made of: the real binary, an HTTP client, buyers, and the sandbox's book.

mod book;
mod box_office;
mod buyer;
mod client;
mod line;

use std::fmt::Display;
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) use box_office::{BoxOffice, Closed, HASTE, History, Options};
pub(crate) use buyer::{Buyer, random_key, reservation_id};
pub(crate) use client::{Answer, Ask, Connection, Lost};
pub(crate) use line::{Line, Trouble};

/// How long anything that is waited for may take before the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again until the answer is there.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            // paces: HTTP has no other way to wait than to ask again.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Says something that is of use when the test fails; shown then only.
#[expect(clippy::print_stdout, reason = "tests keep what is printed until they fail")]
pub(crate) fn note(text: impl Display) {
    println!("{text}");
}

/// A sale that is open: one performance of one section, rows `A` to `rows`, seats 1 to `seats`, at
/// ₩100. `limits` are those that differ from the defaults.
pub(crate) fn small_sale(performance: &str, rows: &str, seats: u32, limits: &Value) -> Value {
    json!({
        "time_zone": "Asia/Seoul", "currency": "KRW", "opens_at": "2026-01-01T00:00:00Z",
        "limits": limits,
        "pools": ["press"],
        "title": "음악회", "venue": "소극장",
        "grades": [{ "name": "일반석", "price": 100 }],
        "sections": [{
            "name": "1층", "rows": format!("A-{rows}"), "seats": format!("1-{seats}"),
            "grade": "일반석",
        }],
        "performances": [{ "id": performance, "date": "2099-05-01", "starts_at": "19:30" }],
    })
}

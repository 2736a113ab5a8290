//! A buyer: one connection and one token, which is replaced whenever an answer carries a fresh one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::PATIENCE;
use super::client::{Answer, Ask, Connection, Lost};

/// Somebody who wants a ticket.
#[derive(Debug)]
pub(crate) struct Buyer {
    pub(crate) connection: Connection,
    pub(crate) token: String,
}

/// An idempotency key that nobody has used and nobody can guess.
pub(crate) fn random_key() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let seed = format!("{} {number} {:?}", std::process::id(), std::thread::current().id());
    URL_SAFE_NO_PAD.encode(&Sha256::digest(seed)[..24])
}

impl Buyer {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { connection: Connection::to(addr), token: String::new() }
    }

    /// Somebody else's connection with this one's token.
    pub(crate) fn again(&self, addr: SocketAddr) -> Self {
        Self { connection: Connection::to(addr), token: self.token.clone() }
    }

    /// Joins the default sale, or what `body` names; keeps the token.
    pub(crate) async fn join(&mut self, body: Option<&Value>) -> Answer {
        let ask = body.map(Ask::json).unwrap_or_default();
        let answer = self.connection.ask("POST", "/queue/token", ask).await;
        self.keep_token(&answer);
        answer
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let answer = self.connection.get(path, Some(&self.token)).await;
        self.keep_token(&answer);
        answer
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Answer {
        let answer = self.connection.post(path, Some(&self.token), body).await;
        self.keep_token(&answer);
        answer
    }

    pub(crate) async fn delete(&mut self, path: &str) -> Answer {
        self.connection.delete(path, Some(&self.token)).await
    }

    /// Asks with an idempotency key, for an answer that may be lost.
    pub(crate) async fn try_post(
        &mut self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<Answer, Lost> {
        let token = self.token.clone();
        let mut ask = Ask::json(body);
        ask.token = (!token.is_empty()).then_some(&token);
        ask.headers.push(("idempotency-key", key));
        let answer = self.connection.try_ask("POST", path, ask).await?;
        self.keep_token(&answer);
        Ok(answer)
    }

    pub(crate) async fn status(&mut self) -> Value {
        self.get("/queue/status").await.expect(200)
    }

    /// Polls until it is this buyer's turn; what is said then.
    pub(crate) async fn turn(&mut self) -> Value {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let status = self.status().await;
                if status["status"] == "admitted" {
                    return status;
                }
                // paces: polls are all that a buyer in line can do.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect("the turn comes in time")
    }

    pub(crate) async fn hold(&mut self, seat_number: &str) -> Answer {
        self.post("/reservations", &json!({ "seat_number": seat_number })).await
    }

    /// Joins as [`join`](Self::join) does, waits for the turn and holds a seat.
    pub(crate) async fn join_and_hold(&mut self, body: Option<&Value>, seat_number: &str) -> Value {
        self.join(body).await.expect(201);
        self.turn().await;
        self.hold(seat_number).await.expect(201)
    }

    pub(crate) async fn pay(&mut self, reservation_id: &str, payment_token: &str) -> Answer {
        let payment = json!({ "method": "card", "token": payment_token });
        self.post("/payment", &json!({ "reservation_id": reservation_id, "payment": payment }))
            .await
    }

    /// The number of this buyer's entry: the n-th to join, from 0.
    pub(crate) fn entry(&self) -> u32 {
        let payload = self.token.split('.').nth(1).expect("a payload");
        let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
        let payload: Value = serde_json::from_slice(&payload).expect("JSON");
        let (_, entry) =
            payload["sub"].as_str().and_then(|sub| sub.rsplit_once('/')).expect("a place");
        entry.parse().expect("an entry")
    }

    fn keep_token(&mut self, answer: &Answer) {
        let fresh = answer.json["token"].as_str().or_else(|| {
            let header = answer.header("queue-token");
            (!header.is_empty()).then_some(header)
        });
        if let Some(fresh) = fresh {
            fresh.clone_into(&mut self.token);
        }
    }
}

/// The reservation's id in an answer.
#[track_caller]
pub(crate) fn reservation_id(answer: &Value) -> String {
    answer["reservation_id"].as_str().expect("a reservation's id").to_owned()
}

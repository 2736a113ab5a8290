//! What is said in streams, and when: the clock is moved by hand, a beat at a time.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use axum::body::HttpBody;
use domain::time::{Millis, Timestamp};

use super::*;

/// An open stream, and what it has to say.
struct Listening {
    headers: HeaderMap,
    body: Body,
    /// What of this connection has been written.
    written: Arc<AtomicU64>,
    is_over: bool,
}

/// An event: its name, its id, its data. A comment is one without all of them.
type Heard = (String, u64, Value);

impl Listening {
    /// All that is said until now, as a client reads it that is there.
    fn hear(&mut self) -> Vec<Heard> {
        let events = self.read();
        self.written.fetch_add(1, Ordering::Relaxed);
        events
    }

    /// The same of a client that takes nothing from its connection.
    fn read(&mut self) -> Vec<Heard> {
        let mut text = String::new();
        loop {
            let mut context = Context::from_waker(Waker::noop());
            match Pin::new(&mut self.body).poll_frame(&mut context) {
                Poll::Pending => break,
                Poll::Ready(None) => {
                    self.is_over = true;
                    break;
                }
                Poll::Ready(Some(frame)) => {
                    let bytes = frame.unwrap().into_data().unwrap();
                    text.push_str(std::str::from_utf8(&bytes).unwrap());
                }
            }
        }
        text.split_terminator("\n\n").map(event).collect()
    }

    fn names(&mut self) -> Vec<String> {
        self.hear().into_iter().map(|(name, ..)| name).collect()
    }
}

fn event(text: &str) -> Heard {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let data = field("data: ").map(|json| serde_json::from_str(json).unwrap());
    let id = field("id: ").map_or(0, |id| id.parse().unwrap());
    (field("event: ").unwrap_or_default().to_owned(), id, data.unwrap_or_default())
}

/// An office whose streams' clock stands still.
struct Clocked {
    office: Office,
    now: Timestamp,
    beat: u64,
}

impl Clocked {
    async fn small(active_limit: u32) -> Self {
        let office = Office::small(active_limit).await;
        let now = office.app.engine.now();
        Self { office, now, beat: 0 }
    }

    async fn follow(&self, token_of: &str) -> Listening {
        self.follow_with(token(token_of)).await.unwrap_or_else(|told| panic!("{}", told.json))
    }

    async fn follow_with(&self, with: With<'_>) -> Result<Listening, Told> {
        let mut request = Request::builder().uri("/queue/events");
        if let Some(token) = with.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.office.router.clone().call(request).await.unwrap();
        if response.status() != StatusCode::OK {
            return Err(self.office.get("/queue/events", with).await);
        }
        let (mut parts, body) = response.into_parts();
        let written = Arc::new(AtomicU64::new(1));
        let heard = parts.extensions.remove::<crate::http::Heard>().unwrap();
        heard.is_written_by(&written);
        Ok(Listening { headers: parts.headers, body, written, is_over: false })
    }

    /// Lets a second pass in which every slice has its turn.
    fn second(&mut self) {
        self.pass(1_000);
    }

    fn pass(&mut self, ms: Millis) {
        for _ in 0..ms / 50 {
            self.now = Timestamp(self.now.0 + 50);
            self.office.app.streams.beat(&self.office.app.engine, self.now, self.beat);
            self.beat += 1;
        }
    }

    async fn leave(&self, token_of: &str) {
        let left = self.office.ask("DELETE", "/queue/token", token(token_of)).await;
        assert_eq!(left.status, 204);
        // It is published when its own buyer reads it.
        self.office.get("/queue/status", token(token_of)).await.is(200);
    }
}

#[tokio::test]
async fn it_begins_with_everything() {
    let clocked = Clocked::small(1).await;
    let (_first, second) =
        (clocked.office.join(With::default()).await, clocked.office.join(With::default()).await);
    let mut stream = clocked.follow(&second).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(stream.headers[name], value);
    }
    let [(name, id, mut data)] = <[Heard; 1]>::try_from(stream.hear()).unwrap();
    assert_eq!((name.as_str(), &data["as_of"]), ("state", &json!(id)));
    let mut status = clocked.office.get("/queue/status", token(&second)).await.is(200);
    for body in [&mut data, &mut status] {
        for passing in ["server_time", "expires_in_ms", "poll_after_ms", "as_of", "kept_until"] {
            assert!(body.as_object_mut().unwrap().remove(passing).is_some(), "{passing}");
        }
    }
    assert_eq!(data, status);
    assert!(!stream.is_over);
}

#[tokio::test]
async fn a_position_is_told_once_a_second_and_only_when_it_changed() {
    let mut clocked = Clocked::small(1).await;
    let mut line = Vec::new();
    for _ in 0..5 {
        line.push(clocked.office.join(With::default()).await);
    }
    let mut last = clocked.follow(&line[4]).await;
    assert_eq!(last.hear()[0].2["position"], 5);
    clocked.second();
    assert_eq!(last.hear(), []);
    // Two changes in one second are one event, with the newest.
    clocked.leave(&line[3]).await;
    clocked.leave(&line[2]).await;
    clocked.second();
    let heard = last.hear();
    assert_eq!(heard.len(), 1, "{heard:?}");
    let (name, id, data) = &heard[0];
    assert_eq!(
        (name.as_str(), &data["position"], &data["total"]),
        ("position", &json!(3), &json!(3))
    );
    assert_eq!((&data["as_of"], &data["status"]), (&json!(id), &json!("waiting")));
    clocked.second();
    assert_eq!(last.hear(), []);
}

#[tokio::test]
async fn the_turn_is_told_at_once_and_then_every_state() {
    let mut clocked = Clocked::small(1).await;
    let (first, second) =
        (clocked.office.join(With::default()).await, clocked.office.join(With::default()).await);
    let mut stream = clocked.follow(&second).await;
    assert_eq!(stream.names(), ["state"]);
    clocked.leave(&first).await;
    // No slice but one has its turn in this time.
    clocked.pass(200);
    let heard = stream.hear();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!((heard[0].0.as_str(), &heard[0].2["reservations_url"]), ("admitted", &json!(DATE)));
    assert_eq!(heard[0].2["position"], 1);

    let id = clocked.office.hold(&second, "A1").await;
    clocked.office.get("/queue/status", token(&second)).await.is(200);
    clocked.second();
    let heard = stream.hear();
    let states: Vec<_> = heard.iter().filter(|(name, ..)| name == "state").collect();
    assert_eq!(states.len(), 1, "{heard:?}");
    assert_eq!(
        (&states[0].2["status"], &states[0].2["reservation_id"]),
        (&json!("holding"), &json!(id))
    );

    clocked.office.pay(&second, &id, "tok_ok").await.is(200);
    clocked.office.get("/queue/status", token(&second)).await.is(200);
    clocked.second();
    let heard = stream.hear();
    assert_eq!((heard[0].0.as_str(), &heard[0].2["status"]), ("state", &json!("done")));
    assert!(stream.is_over, "nothing more happens");
}

#[tokio::test]
async fn a_place_that_is_over_is_told_and_the_stream_ends() {
    let mut clocked = Clocked::small(1).await;
    let (_first, second) =
        (clocked.office.join(With::default()).await, clocked.office.join(With::default()).await);
    let mut stream = clocked.follow(&second).await;
    stream.hear();
    clocked.leave(&second).await;
    clocked.pass(200);
    let heard = stream.hear();
    assert_eq!((heard[0].0.as_str(), &heard[0].2["reason"]), ("ended", &json!("left")));
    assert!(stream.is_over);
    let mut again = clocked.follow(&second).await;
    assert_eq!(again.names(), ["state", "ended"]);
    assert!(again.is_over);
    clocked.second();
    assert_eq!(clocked.office.app.streams.open().0, 2, "until they are dropped");
    drop((stream, again));
    assert_eq!(clocked.office.app.streams.open().0, 0);
}

#[tokio::test]
async fn a_fresh_token_comes_before_the_old_one_is_half_gone() {
    let mut clocked = Clocked::small(1).await;
    let first = clocked.office.join(With::default()).await;
    let mut stream = clocked.follow(&clocked.office.aged(&first, 160)).await;
    assert_eq!(stream.headers.get("queue-token"), None);
    assert_eq!(stream.hear()[0].2["token"], Value::Null);
    clocked.pass(7_000);
    assert_eq!(stream.names(), [""; 0]);
    clocked.pass(3_000);
    let heard = stream.hear();
    assert_eq!((heard.len(), heard[0].0.as_str()), (1, "token"), "{heard:?}");
    let fresh = heard[0].2["token"].as_str().unwrap();
    assert!(heard[0].2["expires_in_ms"].as_u64().unwrap() > 298_000);
    clocked.office.get("/queue/status", token(fresh)).await.is(200);
    clocked.second();
    assert_eq!(stream.hear(), [], "once");

    // One that is half gone already is replaced at once, in the header too.
    let mut old = clocked.follow(&clocked.office.aged(&first, 100)).await;
    let in_header = old.headers["queue-token"].to_str().unwrap().to_owned();
    assert_eq!(old.hear()[0].2["token"], json!(in_header));
}

#[tokio::test]
async fn it_is_never_quiet_for_long() {
    let mut clocked = Clocked::small(1).await;
    let first = clocked.office.join(With::default()).await;
    let mut stream = clocked.follow(&first).await;
    stream.hear();
    let mut heard_at = vec![clocked.now];
    for _ in 0..20 * 60 {
        clocked.pass(50);
        let heard = stream.hear();
        assert!(heard.iter().all(|(name, ..)| name.is_empty()), "{heard:?}");
        heard_at.extend(heard.iter().map(|_| clocked.now));
    }
    let pauses: Vec<Millis> = heard_at.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    let is_right = |pause: &Millis| (10_000..15_000).contains(pause);
    assert!(pauses.len() >= 4 && pauses.iter().all(is_right), "{pauses:?}");
}

#[tokio::test]
async fn whoever_chooses_hears_which_seats_change_hands() {
    let mut clocked = Clocked::small(2).await;
    let mut line = Vec::new();
    for _ in 0..3 {
        line.push(clocked.office.join(With::default()).await);
    }
    let (mut choosing, mut waiting) =
        (clocked.follow(&line[1]).await, clocked.follow(&line[2]).await);
    clocked.second();
    for stream in [&mut choosing, &mut waiting] {
        stream.hear();
    }
    let id = clocked.office.hold(&line[0], "C7").await;
    clocked.office.get("/queue/status", token(&line[0])).await.is(200);
    clocked.second();
    let heard = choosing.hear();
    assert_eq!(heard.len(), 1, "{heard:?}");
    let (name, id_of, data) = &heard[0];
    assert_eq!((name.as_str(), &data["performance_id"]), ("seats", &json!("small-1")));
    assert_eq!((&data["taken"], &data["free"]), (&json!(["C7"]), &json!([])));
    assert_eq!(data["as_of"], json!(id_of));
    assert!(data["since"].as_u64() < data["as_of"].as_u64());
    let before = data["as_of"].clone();

    let path = format!("/me/reservations/{id}");
    clocked.office.ask("DELETE", &path, token(&line[0])).await.is(200);
    clocked.office.get("/queue/status", token(&line[0])).await.is(200);
    clocked.second();
    let heard = choosing.hear();
    assert_eq!((&heard[0].2["taken"], &heard[0].2["free"]), (&json!([]), &json!(["C7"])));
    assert_eq!(heard[0].2["since"], before, "nothing is left out in between");
    assert_eq!(waiting.hear(), [], "it is not yet their turn");

    // Whoever begins now hears of the last seconds, for what was loaded may be as old.
    let mut late = clocked.follow(&line[1]).await;
    assert_eq!(late.names(), ["state"]);
    clocked.second();
    assert_eq!(late.names(), ["seats", "seats"]);
}

#[tokio::test]
async fn nothing_queues_up_for_whoever_does_not_read() {
    let mut clocked = Clocked::small(1).await;
    let mut line = Vec::new();
    for _ in 0..6 {
        line.push(clocked.office.join(With::default()).await);
    }
    let mut stalled = clocked.follow(&line[5]).await;
    assert_eq!(stalled.read()[0].2["position"], 6);
    for leaving in (1..5).rev() {
        clocked.leave(&line[leaving]).await;
        clocked.second();
        assert_eq!(stalled.read(), [], "what was said has not left yet");
    }
    // Now it has, and what is said next is the newest.
    stalled.hear();
    clocked.second();
    let heard = stalled.hear();
    assert_eq!((heard.len(), &heard[0].2["position"]), (1, &json!(2)), "{heard:?}");
}

#[tokio::test]
async fn one_stream_too_many_is_told_the_limit() {
    let clocked = Clocked::small(1).await;
    let first = clocked.office.join(With::default()).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        streams.push(clocked.follow(&first).await);
    }
    let Err(refused) = clocked.follow_with(token(&first)).await else { panic!("one too many") };
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    let refused = refused.refused(503, "overloaded");
    assert_eq!((&refused["limit"], &refused["max"]), (&json!("streams"), &json!(STREAMS_MAX)));
    streams.pop();
    streams.push(clocked.follow(&first).await);
    // Without a token there is nothing to follow, and no room is taken.
    let Err(refused) = clocked.follow_with(With::default()).await else { panic!("whose place?") };
    refused.refused(401, "token_missing");
}

#[tokio::test]
async fn at_the_end_everybody_is_told_to_come_back() {
    let clocked = Clocked::small(1).await;
    let first = clocked.office.join(With::default()).await;
    let mut stream = clocked.follow(&first).await;
    stream.hear();
    clocked.office.app.streams.end();
    let heard = stream.hear();
    assert_eq!((heard.len(), heard[0].0.as_str()), (1, "move"), "{heard:?}");
    let after_ms = heard[0].2["reconnect_after_ms"].as_u64().unwrap();
    assert!((1_000..=6_000).contains(&after_ms), "{after_ms}");
    assert!(stream.is_over);
    let mut late = clocked.follow(&first).await;
    assert_eq!(late.names(), ["state", "move"]);
    assert!(late.is_over);
}

//! Streams of events over real connections: what is said in which moment stands in the tests of the
//! calls; here is what only a process can show.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{
    BoxOffice, Buyer, Connection, Options, PATIENCE, reservation_id, small_sale, until,
};

/// An open stream, as a browser reads it.
pub(crate) struct Stream {
    headers: HeaderMap,
    body: Incoming,
    text: String,
}

impl Stream {
    pub(crate) async fn of(office: &BoxOffice, buyer: &Buyer) -> Self {
        let stream = TcpStream::connect(office.public).await.expect("a connection");
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        let request = Request::get("/queue/events")
            .header("host", "x")
            .header("authorization", format!("Bearer {}", buyer.token))
            .body(Full::<Bytes>::default())
            .expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let (parts, body) = answer.into_parts();
        Self { headers: parts.headers, body, text: String::new() }
    }

    /// The next block: an event's name and data, or nothing of both for a comment. None at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("")
                };
                let event = field("event: ").to_owned();
                let data = serde_json::from_str(field("data: ")).unwrap_or_default();
                self.text = rest.to_owned();
                return Some((event, data));
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("something in time")?;
            let bytes = frame.expect("the connection holds").into_data().expect("no trailers");
            self.text.push_str(std::str::from_utf8(&bytes).expect("text"));
        }
    }

    /// The data of the next event of this name; others are passed over.
    pub(crate) async fn heard(&mut self, name: &str) -> Value {
        loop {
            let (event, data) =
                self.next().await.unwrap_or_else(|| panic!("an end, and no {name}"));
            if event == name {
                return data;
            }
        }
    }
}

pub(crate) async fn metric(office: &BoxOffice, series: &str) -> f64 {
    let text = Connection::to(office.operators).get("/metrics", None).await.text;
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{series}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_bought_by_somebody_who_never_asks_where_they_stand() {
    let limits = json!({ "active_limit": 1 });
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "E", 15, &limits)).await;
    let (mut first, mut second) = (office.buyer(), office.buyer());
    first.join(None).await.expect(201);
    second.join(None).await.expect(201);
    let mut stream = Stream::of(&office, &second).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    assert_eq!(stream.headers["cache-control"], "no-store");
    assert_eq!(stream.heard("state").await["position"], 2);
    first.delete("/queue/token").await.expect(204);
    let admitted = stream.heard("admitted").await;
    assert_eq!(admitted["reservations_url"], "/reservations/2099-05-01");
    let reservation = reservation_id(&second.hold("A1").await.expect(201));
    assert_eq!(stream.heard("state").await["status"], "holding");
    second.pay(&reservation, "tok_ok").await.expect(200);
    let done = loop {
        let state = stream.heard("state").await;
        if state["status"] != "paying" {
            break state;
        }
    };
    assert_eq!(done["status"], "done");
    assert_eq!(stream.next().await, None);
    let said = metric(&office, "maepyo_stream_events_total{event=\"admitted\"}").await;
    assert_eq!(said.to_bits(), 1_f64.to_bits());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listens_is_there_and_whoever_does_not_is_passed_over() {
    let limits = json!({ "active_limit": 1, "presence_window": 2, "choose_ttl": 4 });
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "E", 15, &limits)).await;
    let (mut first, mut silent, mut listening) = (office.buyer(), office.buyer(), office.buyer());
    first.join(None).await.expect(201);
    silent.join(None).await.expect(201);
    listening.join(None).await.expect(201);
    let mut stream = Stream::of(&office, &listening).await;
    // The first one takes too long to choose; nobody asks anything meanwhile.
    let admitted = stream.heard("admitted").await;
    assert_eq!(admitted["position"], 1);
    let silent = silent.status().await;
    assert_eq!(silent["status"], "waiting", "{silent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_no_request_in_flight_and_stays_while_it_is_quiet() {
    let words = ["--requests-in-flight", "1", "--idle-timeout", "3", "--streams", "1"];
    let office = BoxOffice::open(Options::words(&words)).await;
    office.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    let mut buyer = office.buyer();
    buyer.join(None).await.expect(201);
    let mut stream = Stream::of(&office, &buyer).await;
    stream.heard("state").await;
    // Others are answered, one more stream is not, and the buyer then asks.
    let refused = office.connect().get("/queue/events", Some(&buyer.token)).await;
    assert!(!refused.header("retry-after").is_empty());
    let refused = refused.refused(503, "overloaded");
    assert_eq!((&refused["limit"], &refused["max"]), (&json!("streams"), &json!(1)));
    assert_eq!(buyer.status().await["status"], "admitted");
    assert_eq!(metric(&office, "maepyo_streams").await.to_bits(), 1_f64.to_bits());
    let in_flight = "maepyo_requests_in_flight{listener=\"buyers\"}";
    assert_eq!(metric(&office, in_flight).await.to_bits(), 0_f64.to_bits());
    // For longer than a connection may be idle.
    let mut comments = 0;
    while comments < 5 {
        let (event, _) = stream.next().await.expect("it goes on");
        comments += u32::from(event.is_empty());
    }
    drop(stream);
    until("the room to be free again", async || {
        (metric(&office, "maepyo_streams").await < 1.0).then_some(())
    })
    .await;
    Stream::of(&office, &buyer).await.heard("state").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_announced_and_does_not_wait_for_those_who_listen() {
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    let mut streams = Vec::new();
    let mut buyers = Vec::new();
    for _ in 0..20 {
        let mut buyer = office.buyer();
        buyer.join(None).await.expect(201);
        streams.push(Stream::of(&office, &buyer).await);
        buyers.push(buyer);
    }
    for stream in &mut streams {
        stream.heard("state").await;
    }
    office.terminate().await;
    for stream in &mut streams {
        let told = stream.heard("move").await;
        let after_ms = told["reconnect_after_ms"].as_u64().expect("a number");
        assert!((1_000..=6_000).contains(&after_ms), "{after_ms}");
        assert_eq!(stream.next().await, None);
    }
    let ended = timeout(Duration::from_secs(10), office.end()).await;
    let (status, closed) = ended.expect("it waits for nobody");
    assert!(status.success(), "{status}");
    // The place is there afterwards, and so is the stream.
    let office = closed.open().await;
    let buyer = buyers[0].again(office.public);
    let state = Stream::of(&office, &buyer).await.heard("state").await;
    assert_eq!(state["position"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_reader_has_gone_ends() {
    let office = BoxOffice::open(Options::words(&["--idle-timeout", "3"])).await;
    office.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    let mut buyer = office.buyer();
    buyer.join(None).await.expect(201);
    let mut stream = Stream::of(&office, &buyer).await;
    stream.heard("state").await;
    assert_eq!(metric(&office, "maepyo_streams").await.to_bits(), 1_f64.to_bits());
    drop(stream);
    let gone = until("the stream to be forgotten", async || {
        (metric(&office, "maepyo_streams").await < 1.0).then_some(())
    });
    // Nothing says so but what is written in vain.
    timeout(Duration::from_secs(10), gone).await.expect("soon");
}

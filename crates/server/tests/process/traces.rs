//! Traces: what a collector of OpenTelemetry gets, and that nobody waits for one that is not there.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Ask, BoxOffice, Connection, Options, reservation_id, small_sale, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector on this machine.
#[derive(Clone)]
struct Collector {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    /// One that says so many times that it cannot just now.
    async fn open(refusals: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("its address");
        let collector = Self { addr, requests: Arc::default() };
        let (requests, refusals) = (collector.requests.clone(), Arc::new(AtomicU32::new(refusals)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (requests, refusals) = (requests.clone(), refusals.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    take(request, requests.clone(), refusals.clone())
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        collector
    }

    /// The spans that have come, each with the name of its service.
    fn spans(&self) -> Vec<(String, Value)> {
        let requests = self.requests.lock().expect("nobody panicked").clone();
        let mut all = Vec::new();
        for request in requests {
            let request: Value = serde_json::from_str(&request).expect("JSON");
            for of_service in request["resourceSpans"].as_array().expect("resources") {
                let service = attribute(&of_service["resource"], "service.name");
                for span in of_service["scopeSpans"][0]["spans"].as_array().expect("spans") {
                    all.push((service.clone(), span.clone()));
                }
            }
        }
        all
    }
}

async fn take(
    request: Request<Incoming>,
    requests: Arc<Mutex<Vec<String>>>,
    refusals: Arc<AtomicU32>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/traces"));
    assert_eq!(request.headers()["content-type"], "application/json");
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let left =
        refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    let mut answer = Response::new(Full::from("{}"));
    if left.is_ok() {
        *answer.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
    } else {
        requests
            .lock()
            .expect("nobody panicked")
            .push(String::from_utf8(body.to_vec()).expect("text"));
    }
    Ok(answer)
}

/// What an attribute says, as text.
fn attribute(of: &Value, key: &str) -> String {
    let attributes = of["attributes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    let value = found.map(|found| &found["value"]);
    let text = value.and_then(|v| v["stringValue"].as_str().or(v["intValue"].as_str()));
    text.unwrap_or_default().to_owned()
}

async fn open(environment: Vec<(&'static str, String)>) -> BoxOffice {
    let office = BoxOffice::open(Options { environment, ..Options::default() }).await;
    office.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    office
}

async fn spans_that_were(office: &BoxOffice, outcome: &str) -> u64 {
    let text = Connection::to(office.operators).get("/metrics", None).await.text;
    let series = format!("maepyo_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_requests_and_commits_and_nothing_of_a_buyer() {
    // It cannot take the first ones at once, and gets them all the same.
    let collector = Collector::open(2).await;
    let office = open(vec![
        ("MAEPYO_OTLP_ENDPOINT", format!("http://{}", collector.addr)),
        ("MAEPYO_OTLP_SAMPLE", "1".to_owned()),
        ("OTEL_SERVICE_NAME", "box-office".to_owned()),
    ])
    .await;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let headers = vec![("traceparent", traceparent.as_str())];
    let joined =
        office.connect().ask("POST", "/queue/token", Ask { headers, ..Ask::default() }).await;
    let request_id = joined.header("request-id").to_owned();
    joined.expect(201);
    let mut buyer = office.buyer();
    let reservation = reservation_id(&buyer.join_and_hold(None, "A1").await);
    buyer.pay(&reservation, "tok_declined").await.refused(402, "payment_declined");
    buyer.get(&format!("/me/reservations/{reservation}")).await.expect(200);
    let unsampled = format!("00-{}-{PARENT}-00", TRACE.replace('4', "5"));
    let headers = vec![("traceparent", unsampled.as_str())];
    office
        .connect()
        .ask("GET", "/performances", Ask { headers, ..Ask::default() })
        .await
        .expect(200);
    let token = buyer.token.clone();
    // At the end everything is sent that was traced.
    office.stop().await;

    let spans = collector.spans();
    assert!(spans.iter().all(|(service, _)| service == "box-office"));
    let mut ids = std::collections::BTreeSet::new();
    for (_, span) in &spans {
        let nanos = |name: &str| -> u64 {
            span[name]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| panic!("{span}"))
        };
        assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"), "{span}");
        assert_eq!(span["traceId"].as_str().map(str::len), Some(32));
        assert!(ids.insert(span["spanId"].to_string()), "twice: {span}");
    }
    let named = |name: &str| {
        let found: Vec<&Value> =
            spans.iter().map(|(_, span)| span).filter(|span| span["name"] == name).collect();
        assert!(!found.is_empty(), "no {name} among {spans:#?}");
        found
    };
    let joins = named("POST /queue/token");
    let child = joins.iter().find(|span| span["traceId"] == TRACE).expect("the caller's trace");
    assert_eq!((&child["parentSpanId"], &child["kind"]), (&json!(PARENT), &json!(2)));
    assert_eq!(attribute(child, "http.response.status_code"), "201");
    assert_eq!(attribute(child, "maepyo.request_id"), request_id);
    assert!(joins.iter().any(|span| span["parentSpanId"].is_null()), "a trace of its own");
    let declined = named("POST /payment")[0];
    assert_eq!(attribute(declined, "maepyo.problem"), "payment_declined");
    assert_eq!(declined["status"], json!({}), "what the rules refuse is no error");
    named("GET /me/reservations/{reservation_id}");
    let commit = named("commit")[0];
    assert_eq!((&commit["kind"], attribute(commit, "maepyo.batches").as_str()), (&json!(1), "1"));
    assert!(
        spans.iter().all(|(_, span)| span["name"] != "GET /performances"),
        "it was not sampled"
    );
    let all = collector.requests.lock().expect("nobody panicked").concat();
    for secret in [token.as_str(), reservation.as_str(), "tok_declined", "127.0.0.1"] {
        assert!(!all.contains(secret), "{secret} was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_collector_that_is_not_there() {
    let office = open(vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1".to_owned()),
        ("MAEPYO_OTLP_SAMPLE", "1".to_owned()),
    ])
    .await;
    let mut buyer = office.buyer();
    buyer.join(None).await.expect(201);
    buyer.hold("A1").await.expect(201);
    until("spans to be given up", async || {
        (spans_that_were(&office, "dropped").await > 0).then_some(())
    })
    .await;
    assert_eq!(spans_that_were(&office, "sent").await, 0);
    buyer.status().await;
    let closed = office.stop().await;
    assert_eq!(closed.log().matches("traces are not taken").count(), 1, "{}", closed.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_traced_unless_asked_for() {
    let collector = Collector::open(0).await;
    let endpoint = format!("http://{}", collector.addr);
    let office = open(vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("MAEPYO_OTLP_SAMPLE", "0".to_owned()),
    ])
    .await;
    office.buyer().join(None).await.expect(201);
    office.stop().await;
    assert!(collector.spans().is_empty());

    let office = open(Vec::new()).await;
    office.buyer().join(None).await.expect(201);
    for outcome in ["sent", "dropped"] {
        assert_eq!(spans_that_were(&office, outcome).await, 0);
    }
}

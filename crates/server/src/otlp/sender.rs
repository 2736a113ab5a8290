//! Sends spans to a collector, a crowd of them at a time, and tries again when it cannot just now.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

use super::SpanCounts;
use super::span::{Span, export};
use crate::one_request;

/// Spans in one request, at most.
const SPANS_MAX: usize = 512;
/// How long spans wait for company.
const COMPANY_WAIT: Duration = Duration::from_secs(1);
/// How long one request may take.
const SEND_MAX: Duration = Duration::from_secs(10);
/// The pauses before the same spans are sent again; then they are dropped.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1)];
/// Bytes of an answer that are read; what it says is of no use but for its status.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where a collector takes traces: `http://HOST:PORT[/PATH]`, to which `/v1/traces` is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    authority: String,
    host: String,
    port: u16,
    path: String,
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "not http://HOST:PORT, where a collector takes OTLP over HTTP without TLS";
        let uri: Uri = text.parse().map_err(|_| wrong)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let (Some("http"), Some(authority), None) = (uri.scheme_str(), authority, uri.query())
        else {
            return Err(wrong);
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(80);
        let path = format!("{}/v1/traces", uri.path().trim_end_matches('/'));
        Ok(Self { authority: authority.to_string(), host, port, path })
    }
}

/// Why spans were not taken.
#[derive(Debug)]
struct NotTaken {
    why: String,
    /// Whether it is worth another try.
    is_passing: bool,
}

/// Sends what comes until nobody can send any more.
pub(crate) async fn send(
    endpoint: Endpoint,
    service: String,
    mut spans: Receiver<Span>,
    counts: Arc<SpanCounts>,
) {
    let mut is_troubled = false;
    let mut crowd = Vec::with_capacity(SPANS_MAX);
    while gather(&mut spans, &mut crowd).await {
        let sent = export_all(&endpoint, &service, &crowd).await;
        let count = crowd.len() as u64;
        match &sent {
            Ok(()) => counts.sent.fetch_add(count, Relaxed),
            Err(_) => counts.dropped.fetch_add(count, Relaxed),
        };
        // Told when it begins and when it ends, not for each of them.
        match (&sent, is_troubled) {
            (Err(NotTaken { why, .. }), false) => {
                tracing::warn!(collector = endpoint.authority, why, "traces are not taken");
            }
            (Ok(()), true) => tracing::info!("traces are taken again"),
            (Ok(()), false) | (Err(_), true) => {}
        }
        is_troubled = sent.is_err();
        crowd.clear();
    }
}

/// Waits for spans, and then a while for more of them. False when there will be none any more.
async fn gather(spans: &mut Receiver<Span>, crowd: &mut Vec<Span>) -> bool {
    if spans.recv_many(crowd, SPANS_MAX).await == 0 {
        return false;
    }
    let more = async {
        while crowd.len() < SPANS_MAX && spans.recv_many(crowd, SPANS_MAX - crowd.len()).await > 0 {
        }
    };
    // What has come by then goes.
    let _full = timeout(COMPANY_WAIT, more).await;
    true
}

async fn export_all(endpoint: &Endpoint, service: &str, spans: &[Span]) -> Result<(), NotTaken> {
    let body = Bytes::from(export(service, spans));
    let mut pauses = PAUSES.into_iter();
    loop {
        let tried = timeout(SEND_MAX, post(endpoint, body.clone())).await;
        let tried = tried.unwrap_or_else(|_| Err(passing("no answer in time")));
        match (tried, pauses.next()) {
            (Err(NotTaken { is_passing: true, .. }), Some(pause)) => sleep(pause).await,
            (tried, _) => return tried,
        }
    }
}

async fn post(endpoint: &Endpoint, body: Bytes) -> Result<(), NotTaken> {
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
    let request = Request::post(&endpoint.path)
        .header(HOST, &endpoint.authority)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(passing)?;
    let answer = one_request::send(stream.map_err(passing)?, request, ANSWER_BYTES_MAX).await;
    let (status, _) = answer.map_err(passing)?;
    if status.is_success() {
        return Ok(());
    }
    // As the protocol has it; any other answer would be the same again.
    let is_passing = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    Err(NotTaken { why: format!("it answers {status}"), is_passing })
}

fn passing(why: impl Display) -> NotTaken {
    NotTaken { why: why.to_string(), is_passing: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_without_tls_or_secrets() {
        let read = |text: &str| {
            let Endpoint { authority, host, port, path } = text.parse().ok()?;
            Some((authority, host, port, path))
        };
        let expected = |authority: &str, host: &str, port, path: &str| {
            Some((authority.to_owned(), host.to_owned(), port, path.to_owned()))
        };
        let traces = "/v1/traces";
        let table = [
            ("http://127.0.0.1:4318", expected("127.0.0.1:4318", "127.0.0.1", 4318, traces)),
            ("http://[::1]:4318/", expected("[::1]:4318", "::1", 4318, traces)),
            ("http://collector/otlp/", expected("collector", "collector", 80, "/otlp/v1/traces")),
            ("https://collector:4318", None),
            ("http://kim:secret@collector:4318", None),
            ("http://collector:4318?x=1", None),
            ("collector:4318", None),
            ("", None),
        ];
        for (text, endpoint) in table {
            assert_eq!(read(text), endpoint, "{text}");
        }
    }
}

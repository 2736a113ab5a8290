//! Traces for OpenTelemetry: of requests and of commits, sent to a collector as OTLP over HTTP in JSON.
//!
//! Off unless an endpoint is configured, and then costing one look at an `Option`. Which traces are
//! sent is decided by their id alone and by the configured share, so that all who decide by the same
//! share keep the same ones. A caller's `traceparent` (W3C Trace Context) is taken as the parent, but
//! nobody from outside can have more traced than the share: one that says "not sampled" is obeyed,
//! one that says "sampled" is not.
//!
//! Spans name routes and outcomes. Nothing of a buyer stands in them: no path, address, token or id
//! but the request's own. What cannot be sent in time is dropped and counted; nobody waits for it.
//!
//! OTLP's JSON is written by hand, for the crates that do it would bring some twenty others, four of
//! them in a second version. Deliberately absent: metrics (they are at `/metrics`), logs, and TLS: a
//! collector stands on the same machine or network.

mod sender;
mod span;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use engine::Commit;
use engine::clock::wall_nanos;
use http::{HeaderMap, StatusCode};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::ids::{Ids, ShortId};
use span::{Kind, Span, Value};

pub(crate) use sender::{Endpoint, send};

/// Spans that wait to be sent, at most.
const WAITING_MAX: usize = 8_192;
/// What a caller says of its own trace.
const TRACEPARENT: &str = "traceparent";

/// Begins and ends spans.
#[derive(Debug)]
pub(crate) struct Tracer {
    /// Traces whose last 56 bits are below this are sent.
    below: u64,
    spans: Sender<Span>,
    counts: Arc<SpanCounts>,
}

/// What became of the spans that were to be sent.
#[derive(Debug, Default)]
pub(crate) struct SpanCounts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl SpanCounts {
    /// Each outcome with its count.
    pub(crate) fn table(&self) -> [(&'static str, u64); 2] {
        [("sent", self.sent.load(Relaxed)), ("dropped", self.dropped.load(Relaxed))]
    }
}

/// A span that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    trace: u128,
    parent: Option<u64>,
    since: u64,
}

/// Bits of a trace's id by which it is decided.
const DECIDING_BITS: u32 = 56;

impl Tracer {
    /// A tracer that keeps this share of all traces, and where its spans come out.
    pub(crate) fn new(share: f64, counts: Arc<SpanCounts>) -> (Self, Receiver<Span>) {
        let (spans, waiting) = mpsc::channel(WAITING_MAX);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of 2^56, cut off"
        )]
        let below = (share.clamp(0.0, 1.0) * (1_u64 << DECIDING_BITS) as f64) as u64;
        (Self { below, spans, counts }, waiting)
    }

    /// Begins the span of a request, if its trace is to be sent.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> Option<Begun> {
        let given = headers.get(TRACEPARENT).and_then(|value| Parent::read(value.as_bytes()));
        let (trace, parent) = match given {
            Some(Parent { is_sampled: false, .. }) => return None,
            Some(Parent { trace, span, .. }) => (trace, Some(span)),
            None => (Ids.trace_id(), None),
        };
        self.keeps(trace).then(|| Begun { trace, parent, since: wall_nanos() })
    }

    /// Ends the span of a request; `route` is a path of the table, if one took it.
    pub(crate) fn answered(
        &self,
        Begun { trace, parent, since }: Begun,
        (method, route): (&'static str, Option<&'static str>),
        status: StatusCode,
        code: Option<&'static str>,
        request: ShortId,
    ) {
        let name = route.map_or("HTTP".to_owned(), |route| format!("{method} {route}"));
        let mut attributes = vec![
            ("http.request.method", Value::Word(method)),
            ("http.response.status_code", Value::Number(status.as_u16().into())),
            ("maepyo.request_id", Value::Text(request.as_str().to_owned())),
        ];
        attributes.extend(route.map(|route| ("http.route", Value::Word(route))));
        attributes.extend(code.map(|code| ("maepyo.problem", Value::Word(code))));
        let is_error = status.is_server_error();
        attributes.extend(code.filter(|_| is_error).map(|code| ("error.type", Value::Word(code))));
        let until = wall_nanos().max(since);
        self.end(Span {
            trace,
            parent,
            name,
            kind: Kind::Server,
            since,
            until,
            attributes,
            is_error,
        });
    }

    fn keeps(&self, trace: u128) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "its last bits are meant")]
        let last = trace as u64;
        (last & ((1 << DECIDING_BITS) - 1)) < self.below
    }

    fn end(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl engine::Watch for Tracer {
    fn committed(&self, commit: &Commit) {
        let trace = Ids.trace_id();
        if !self.keeps(trace) {
            return;
        }
        let until = wall_nanos();
        let Commit { took_ns, batches, bytes, failed } = *commit;
        self.end(Span {
            trace,
            parent: None,
            name: "commit".to_owned(),
            kind: Kind::Internal,
            since: until.saturating_sub(took_ns),
            until,
            attributes: vec![
                ("maepyo.batches", Value::Number(batches as u64)),
                ("maepyo.bytes", Value::Number(bytes)),
            ],
            is_error: failed,
        });
    }
}

/// What a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parent {
    trace: u128,
    span: u64,
    is_sampled: bool,
}

impl Parent {
    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`, and what later versions may append to it.
    fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next()?;
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            (part.len() == digits && part.bytes().all(is_hex)).then_some(part)
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let is_known = version != "ff" && (version != "00" || parts.next().is_none());
        let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        is_known.then_some(Self { trace, span, is_sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_parent_is_read_as_the_standard_has_it() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = Parent::read(good.as_bytes()).expect("a parent");
        let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
        let expected = Parent { trace, span: 0x00f0_67aa_0ba9_02b7, is_sampled: true };
        assert_eq!(parent, expected);
        let later = good.replace("00-4b", "cc-4b") + "-what-comes-later";
        assert_eq!(Parent::read(later.as_bytes()), Some(expected));
        assert!(!Parent::read(good.replace("-01", "-00").as_bytes()).expect("one").is_sampled);
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Parent::read(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Parent::read(b"\xff"), None);
    }

    fn kept(share: f64, headers: &HeaderMap) -> u32 {
        let (tracer, _spans) = Tracer::new(share, Arc::default());
        (0..10_000).map(|_| u32::from(tracer.begin(headers).is_some())).sum()
    }

    #[test]
    fn as_many_are_kept_as_the_share_says_and_nobody_outside_has_more_kept() {
        let none = HeaderMap::new();
        assert_eq!((kept(0.0, &none), kept(1.0, &none)), (0, 10_000));
        assert!((400..600).contains(&kept(0.05, &none)), "{}", kept(0.05, &none));
        let said = |flags: &str| {
            let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            let value = HeaderValue::from_str(&text).expect("a value");
            HeaderMap::from_iter([(http::HeaderName::from_static(TRACEPARENT), value)])
        };
        // Its last 56 bits are ce929d…, four fifths of all there are.
        assert_eq!((kept(0.5, &said("01")), kept(0.9, &said("01"))), (0, 10_000));
        assert_eq!(kept(1.0, &said("00")), 0);
    }

    #[test]
    fn what_cannot_wait_is_dropped_and_counted() {
        let counts = Arc::<SpanCounts>::default();
        let (tracer, _spans) = Tracer::new(1.0, Arc::clone(&counts));
        let commit = Commit { took_ns: 5, batches: 1, bytes: 9, failed: false };
        for _ in 0..WAITING_MAX + 7 {
            engine::Watch::committed(&tracer, &commit);
        }
        assert_eq!(counts.table(), [("sent", 0), ("dropped", 7)]);
    }
}

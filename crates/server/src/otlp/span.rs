//! A span, and how OTLP writes it in JSON: ids in hexadecimal, numbers of 64 bits as text.

use serde_json::{Value as Json, json};

use crate::ids::Ids;

/// Something that took a time.
#[derive(Debug)]
pub(crate) struct Span {
    pub(super) trace: u128,
    pub(super) parent: Option<u64>,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Nanoseconds since the Unix epoch; likewise `until`.
    pub(super) since: u64,
    pub(super) until: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) is_error: bool,
}

/// On whose behalf.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// The box office's own.
    Internal = 1,
    /// A client's who waits for it.
    Server = 2,
}

/// What an attribute says.
#[derive(Debug)]
pub(super) enum Value {
    Word(&'static str),
    Text(String),
    Number(u64),
}

impl Value {
    fn to_json(&self) -> Json {
        match self {
            Self::Word(word) => json!({ "stringValue": word }),
            Self::Text(text) => json!({ "stringValue": text }),
            Self::Number(number) => json!({ "intValue": number.to_string() }),
        }
    }
}

impl Span {
    fn to_json(&self) -> Json {
        let attributes = self.attributes.iter();
        let attributes: Vec<Json> = attributes
            .map(|(key, value)| json!({ "key": key, "value": value.to_json() }))
            .collect();
        let mut span = json!({
            "traceId": format!("{:032x}", self.trace),
            "spanId": format!("{:016x}", Ids.span_id()),
            "name": self.name,
            "kind": self.kind as u8,
            "startTimeUnixNano": self.since.to_string(),
            "endTimeUnixNano": self.until.to_string(),
            "attributes": attributes,
            "status": if self.is_error { json!({ "code": 2 }) } else { json!({}) },
        });
        if let Some(parent) = self.parent {
            span["parentSpanId"] = json!(format!("{parent:016x}"));
        }
        span
    }
}

/// A request of the trace service: these spans of this service.
pub(super) fn export(service: &str, spans: &[Span]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let attribute =
        |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let resource = [attribute("service.name", service), attribute("service.version", version)];
    let spans: Vec<Json> = spans.iter().map(Span::to_json).collect();
    let scope = json!({ "name": "maepyo", "version": version });
    let request = json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": scope, "spans": spans }],
    }] });
    request.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_otlp_reads_it() {
        let span = Span {
            trace: 0xab,
            parent: Some(0xcd),
            name: "POST /payment".to_owned(),
            kind: Kind::Server,
            since: u64::MAX - 1,
            until: u64::MAX,
            attributes: vec![
                ("http.route", Value::Word("/payment")),
                ("http.response.status_code", Value::Number(503)),
            ],
            is_error: true,
        };
        let written: Json = serde_json::from_slice(&export("box", &[span])).expect("JSON");
        let of_service = &written["resourceSpans"][0];
        assert_eq!(of_service["resource"]["attributes"][0]["value"]["stringValue"], "box");
        let mut span = of_service["scopeSpans"][0]["spans"][0].clone();
        let id = span["spanId"].take();
        assert_eq!(id.as_str().map(str::len), Some(16));
        let expected = json!({
            "traceId": "000000000000000000000000000000ab",
            "spanId": null,
            "parentSpanId": "00000000000000cd",
            "name": "POST /payment",
            "kind": 2,
            "startTimeUnixNano": "18446744073709551614",
            "endTimeUnixNano": "18446744073709551615",
            "attributes": [
                { "key": "http.route", "value": { "stringValue": "/payment" } },
                { "key": "http.response.status_code", "value": { "intValue": "503" } },
            ],
            "status": { "code": 2 },
        });
        assert_eq!(span, expected);
    }
}

//! How an answer is put together: status, headers, and a body written once.
//!
//! This runs for every request, so bodies are serialised straight into bytes and header values
//! are constants. What every answer says in the same way (`Request-Id`, `Content-Language`) is
//! added by `endpoint`.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::json;
use super::pass::FreshToken;

/// Names this request in logs and in the journal.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// A fresh queue token, for a client to use from now on.
pub(super) const QUEUE_TOKEN: HeaderName = HeaderName::from_static("queue-token");

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Bytes of a usual body: the first allocation is the only one.
const USUAL_BYTES: usize = 1024;
/// Headers of an answer, those that hyper adds included.
pub(super) const USUAL_HEADERS: usize = 12;

/// A body in JSON.
pub(super) fn to_json(body: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    json::write(body, &mut bytes).expect("answers are made of what can be said");
    bytes
}

/// An answer for this buyer alone: nobody keeps it.
pub(super) fn private(status: StatusCode, body: &impl Serialize) -> Response {
    bytes(status, JSON, NO_STORE, to_json(body).into())
}

/// An answer for everybody, and how long it may be kept, as `Cache-Control` has it. It is the same
/// in both languages and with any token, unless `vary` says otherwise.
pub(super) fn public(cache: &'static str, vary: Option<&'static str>, body: Vec<u8>) -> Response {
    let mut response = bytes(StatusCode::OK, JSON, HeaderValue::from_static(cache), body.into());
    if let Some(vary) = vary {
        response.headers_mut().insert(VARY, HeaderValue::from_static(vary));
    }
    response
}

/// An answer of these bytes.
pub(super) fn bytes(
    status: StatusCode,
    content_type: HeaderValue,
    cache: HeaderValue,
    bytes: Bytes,
) -> Response {
    of(status, content_type, cache, bytes.into())
}

/// An answer of this body.
pub(super) fn of(
    status: StatusCode,
    content_type: HeaderValue,
    cache: HeaderValue,
    body: Body,
) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(USUAL_HEADERS);
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, cache);
    response
}

/// Done, and there is nothing to say.
pub(super) fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// What handlers add to an answer.
pub(super) trait Extend: Sized {
    /// With one more header.
    fn with(self, name: HeaderName, value: HeaderValue) -> Self;

    /// With a fresh token in `Queue-Token`, if there is one.
    fn with_fresh(self, fresh: Option<&FreshToken>) -> Self;
}

impl Extend for Response {
    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers_mut().insert(name, value);
        self
    }

    fn with_fresh(self, fresh: Option<&FreshToken>) -> Self {
        match fresh {
            Some(fresh) => self.with(QUEUE_TOKEN, ascii(fresh.text.clone())),
            None => self,
        }
    }
}

/// A header value of text that we made and that is visible ASCII: ids, paths, tokens.
pub(super) fn ascii(text: impl Into<Bytes>) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.into()).expect("ids, paths and tokens are visible ASCII")
}

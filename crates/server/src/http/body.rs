//! Bodies of requests: bounded, in time, JSON.
//!
//! A body is read before anything is decided, so its size has a limit, and so has the time that it
//! may take: a body that comes byte by byte would keep others from being answered. Nearly all come
//! with their head, in one piece; only for one that does not a timer is set, which costs more than
//! reading a body does. Unknown fields are passed over.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use serde::Deserialize;

use super::endpoint::{Ask, FromAsk};
use super::problem::{Edge, Flaw, Problem};

/// Bytes of a body, at most.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024;
const TOO_LARGE: Edge = Edge::BodyTooLarge { bytes_max: BODY_BYTES_MAX };

/// A body in JSON. It may hold secrets and cannot be printed.
pub(super) struct JsonBody(Bytes);

impl JsonBody {
    /// What the body says.
    ///
    /// # Errors
    /// `malformed_request` when it is not an object with the fields of `T`, of their types.
    pub(super) fn read<'b, T: Deserialize<'b>>(&'b self) -> Result<T, Problem> {
        // Serde would read a list as the fields in their order.
        if self.0.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(Flaw::Body("expected an object".to_owned()).into());
        }
        // Where it is, in the sender's words; not what our types are called.
        serde_json::from_slice(&self.0).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Flaw::Body(format!("line {line} column {column}")).into()
        })
    }
}

impl FromAsk for JsonBody {
    async fn from_ask(ask: &mut Ask, body: &mut Body) -> Result<Self, Problem> {
        Option::<Self>::from_ask(ask, body).await?.ok_or_else(|| Flaw::BodyMissing.into())
    }
}

impl FromAsk for Option<JsonBody> {
    /// None when there is no body, whatever type it is said to have.
    async fn from_ask(ask: &mut Ask, body: &mut Body) -> Result<Self, Problem> {
        let bytes = read_in_time(body, ask.app().body_wait).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if is_json(&ask.headers) {
            Ok(Some(JsonBody(bytes)))
        } else {
            Err(Edge::UnsupportedMediaType.into())
        }
    }
}

/// Whether the body is said to be JSON, or nothing is said of it.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (first, more) = (types.next(), types.next().is_some());
    let Some(media_type) = first else { return true };
    let essence = media_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let json = essence == "application/json"
        || essence.starts_with("application/") && essence.ends_with("+json");
    json && !more
}

async fn read_in_time(body: &mut Body, wait: Duration) -> Result<Bytes, Problem> {
    let mut reading = pin!(read_whole(body));
    if let Poll::Ready(whole) = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await
    {
        return whole;
    }
    let read = tokio::time::timeout(wait, reading).await;
    read.unwrap_or_else(|_| Err(Edge::BodyTooSlow { wait_s: wait.as_secs() }.into()))
}

async fn read_whole(body: &mut Body) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(TOO_LARGE.into());
    }
    let mut whole = Bytes::new();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing that we would listen to.
        let Ok(data) = frame.map_err(|_| Flaw::BodyBroken)?.into_data() else { continue };
        if whole.len() + data.len() > BODY_BYTES_MAX {
            return Err(TOO_LARGE.into());
        }
        // A small body comes in one piece, and is not copied.
        whole = if whole.is_empty() { data } else { joined(whole, &data) };
    }
    Ok(whole)
}

fn joined(front: Bytes, back: &[u8]) -> Bytes {
    let mut both = BytesMut::from(front);
    both.extend_from_slice(back);
    both.freeze()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Example {
        amount: Option<u64>,
    }

    fn read(json: &'static str) -> Result<Option<u64>, &'static str> {
        let body = JsonBody(Bytes::from_static(json.as_bytes()));
        body.read::<Example>().map(|example| example.amount).map_err(|problem| problem.code())
    }

    #[test]
    fn only_an_object_of_the_right_types_is_read() {
        assert_eq!(read(r#" {"amount":5,"color":["red"]}"#), Ok(Some(5)));
        assert_eq!(read(r#"{"amount":null}"#), Ok(None));
        let refused = [
            "[5]",
            "5",
            "null",
            "\"amount\"",
            "{",
            "{} {}",
            r#"{"amount":-5}"#,
            r#"{"amount":5.0}"#,
            r#"{"amount":1e99999}"#,
            r#"{"amount":18446744073709551616}"#,
            r#"{"amount":"5"}"#,
            r#"{"amount":5,"amount":5}"#,
            "\u{feff}{}",
        ];
        for json in refused {
            assert_eq!(read(json), Err("malformed_request"), "{json}");
        }
        let deep: &'static str = Box::leak("[".repeat(16_000).into_boxed_str());
        let deep: &'static str = Box::leak(format!("{{\"x\":{deep}").into_boxed_str());
        assert_eq!(read(deep), Err("malformed_request"));
    }

    #[test]
    fn a_type_that_is_not_json_is_told_apart() {
        let table = [
            (&[][..], true),
            (&["application/json"], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["application/merge-patch+json"], true),
            (&["application/x-www-form-urlencoded"], false),
            (&["text/plain"], false),
            (&["application/jsonp"], false),
            (&[""], false),
            (&["application/json", "text/plain"], false),
        ];
        for (values, json) in table {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            assert_eq!(is_json(&headers), json, "{values:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(!is_json(&headers));
    }

    #[tokio::test]
    async fn a_body_has_a_limit() {
        let mut body = Body::from(vec![b' '; BODY_BYTES_MAX]);
        assert_eq!(read_whole(&mut body).await.unwrap().len(), BODY_BYTES_MAX);
        let mut body = Body::from(vec![b' '; BODY_BYTES_MAX + 1]);
        assert_eq!(read_whole(&mut body).await.unwrap_err().code(), "body_too_large");
        assert!(read_whole(&mut Body::empty()).await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_byte_by_byte_is_given_up() {
        /// A byte each second, for a while.
        struct Slow(u32, std::pin::Pin<Box<tokio::time::Sleep>>);

        impl HttpBody for Slow {
            type Data = Bytes;
            type Error = std::convert::Infallible;

            fn poll_frame(
                mut self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
            ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
                if self.0 == 0 {
                    return Poll::Ready(None);
                }
                std::task::ready!(self.1.as_mut().poll(context));
                self.0 -= 1;
                self.1 = Box::pin(tokio::time::sleep(Duration::from_secs(1)));
                Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(b" ")))))
            }
        }
        let slow =
            |bytes| Body::new(Slow(bytes, Box::pin(tokio::time::sleep(Duration::from_secs(1)))));
        let (wait, begun) = (Duration::from_secs(30), tokio::time::Instant::now());
        assert_eq!(read_in_time(&mut slow(20), wait).await.unwrap().len(), 20);
        let late = read_in_time(&mut slow(2_000), wait).await.unwrap_err();
        assert_eq!(late.code(), "body_too_slow");
        assert_eq!(begun.elapsed(), Duration::from_secs(50));
    }
}

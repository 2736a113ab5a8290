//! An answer that goes on: a stream of events, written here and no longer by hyper.
//!
//! hyper keeps 16 KiB of buffers and the rest of a conversation for each connection, which a stream
//! that says some hundred bytes a second, for an hour, has no use for. So when an answer is a stream,
//! its connection is taken from hyper ([`Handover`]) and goes on as a small task of its own. Its
//! conversation is over with it: the head says `Connection: close`, and whatever else the client
//! sends is not read. Unlike hyper this notices at once when the client has closed its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use engine::clock::wall_ms;
use http::header::{CONNECTION, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Up to so many bytes are copied into one piece with what stands around them.
const COPIED_BYTES_MAX: usize = 2048;

/// Where an answer that is a stream is put, for whoever takes the connection from hyper.
#[derive(Debug, Default)]
pub(super) struct Handover {
    is_there: AtomicBool,
    answer: Mutex<Option<(Response, Version)>>,
}

impl Handover {
    /// Puts the answer to a request of this version there.
    pub(super) fn put(&self, answer: Response, version: Version) {
        *self.answer.lock().expect("putting does not panic") = Some((answer, version));
        self.is_there.store(true, Ordering::Release);
    }

    /// Whether there is one. Asked whenever the connection has been polled, so it costs nothing.
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    /// Takes it.
    pub(super) fn take(&self) -> Option<(Response, Version)> {
        self.answer.lock().expect("putting does not panic").take()
    }
}

/// A connection on which a stream is written to its end, or until the other end is closed.
#[derive(Debug)]
pub(super) struct Speech<S> {
    stream: S,
    body: Body,
    is_chunked: bool,
    /// What is to be written, and how much of the first of it has been.
    pieces: VecDeque<Bytes>,
    written: usize,
    /// The body has ended.
    is_over: bool,
    /// The other end may still close.
    is_watched: bool,
}

impl<S> Speech<S> {
    /// An answer to a request of this version, to be written to a connection on which nothing else is.
    pub(super) fn new(stream: S, answer: Response, version: Version) -> Self {
        let (parts, body) = answer.into_parts();
        // Before 1.1 nobody knew chunks: there the end of the connection is that of the body.
        let is_chunked = version >= Version::HTTP_11;
        let head = head(parts.status, &parts.headers, is_chunked);
        Self {
            stream,
            body,
            is_chunked,
            pieces: VecDeque::from([head.into()]),
            written: 0,
            is_over: false,
            is_watched: true,
        }
    }

    fn put(&mut self, bytes: Bytes) {
        if !self.is_chunked {
            self.pieces.push_back(bytes);
            return;
        }
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        if bytes.len() <= COPIED_BYTES_MAX {
            chunk.reserve_exact(bytes.len() + 2);
            chunk.extend_from_slice(&bytes);
            chunk.extend_from_slice(b"\r\n");
            self.pieces.push_back(chunk.into());
        } else {
            // Shared with all who are told the same.
            self.pieces.extend([chunk.into(), bytes, Bytes::from_static(b"\r\n")]);
        }
    }

    fn end(&mut self) {
        self.is_over = true;
        if self.is_chunked {
            self.pieces.push_back(Bytes::from_static(b"0\r\n\r\n"));
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Speech<S> {
    /// Whether the other end is closed.
    fn has_left(&mut self, context: &mut Context<'_>) -> bool {
        if !self.is_watched {
            return false;
        }
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Pending => false,
            // Something else is asked for, on a connection that ends with this answer.
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                self.is_watched = false;
                false
            }
            Poll::Ready(Ok(()) | Err(_)) => true,
        }
    }

    /// Writes what there is to be written; whether that is possible.
    fn poll_pieces(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        while let Some(piece) = self.pieces.front() {
            if self.written == piece.len() {
                self.pieces.pop_front();
                self.written = 0;
                continue;
            }
            match Pin::new(&mut self.stream).poll_write(context, &piece[self.written..]) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(written @ 1..)) => self.written += written,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Speech<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.has_left(context) {
            return Poll::Ready(());
        }
        loop {
            match this.poll_pieces(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(false) => return Poll::Ready(()),
                Poll::Ready(true) if this.is_over => {
                    let closed = Pin::new(&mut this.stream).poll_shutdown(context);
                    return closed.map(|_| ());
                }
                Poll::Ready(true) => {}
            }
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are not among what is streamed here.
                    if let Ok(bytes) = frame.into_data() {
                        this.put(bytes);
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(()),
                Poll::Ready(None) => this.end(),
            }
        }
    }
}

/// The head of an answer, as hyper would write it.
fn head(status: StatusCode, headers: &HeaderMap, is_chunked: bool) -> Vec<u8> {
    let mut own = HeaderMap::with_capacity(3);
    own.insert(CONNECTION, HeaderValue::from_static("close"));
    if is_chunked {
        own.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let now =
        i64::try_from(wall_ms()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let date = now.and_then(|now| {
        let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
        printer.timestamp_to_rfc9110_string(&now).ok()
    });
    if let Some(date) = date.and_then(|date| HeaderValue::try_from(date).ok()) {
        own.insert(DATE, date);
    }
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in headers.iter().chain(&own) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use hyper::body::Frame;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Says these one after the other, and then nothing, or that it is over.
    struct Lines {
        lines: VecDeque<Bytes>,
        ends: bool,
        polls: Arc<AtomicU32>,
    }

    impl HttpBody for Lines {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.polls.fetch_add(1, Ordering::Relaxed);
            match self.lines.pop_front() {
                Some(line) => Poll::Ready(Some(Ok(Frame::data(line)))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn saying(lines: &[&str], ends: bool) -> (Response, Arc<AtomicU32>) {
        let lines = lines.iter().map(|line| Bytes::copy_from_slice(line.as_bytes())).collect();
        let polls = Arc::<AtomicU32>::default();
        let body = Lines { lines, ends, polls: Arc::clone(&polls) };
        let mut answer = Response::new(Body::new(body));
        answer.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
        (answer, polls)
    }

    async fn written(lines: &[&str], version: Version, buffer: usize) -> (String, String) {
        let (ours, mut theirs) = duplex(buffer);
        let (answer, _) = saying(lines, true);
        let speaking = tokio::spawn(Speech::new(ours, answer, version));
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.expect("text");
        speaking.await.expect("no panic");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn every_frame_is_a_chunk_and_the_end_is_said() {
        let long = "x".repeat(5_000);
        // So narrow that each takes many turns, and as wide as a socket.
        for buffer in [16, 64 * 1024] {
            let (head, body) = written(&["one\n\n", &long], Version::HTTP_11, buffer).await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            for field in ["content-type: text/event-stream", "connection: close", "date: "] {
                assert!(head.contains(&format!("\r\n{field}")), "{head}");
            }
            assert!(head.contains("\r\ntransfer-encoding: chunked"), "{head}");
            assert_eq!(body, format!("5\r\none\n\n\r\n1388\r\n{long}\r\n0\r\n\r\n"));
        }
    }

    #[tokio::test]
    async fn who_knows_no_chunks_reads_to_the_end_of_the_connection() {
        let (head, body) = written(&["one\n\n", "two\n\n"], Version::HTTP_10, 1_024).await;
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert_eq!(body, "one\n\ntwo\n\n");
    }

    #[tokio::test]
    async fn it_ends_when_the_other_end_is_closed_and_not_when_more_is_sent() {
        let (ours, mut theirs) = duplex(1_024);
        let (answer, _) = saying(&["one\n\n"], false);
        let mut speaking = tokio::spawn(Speech::new(ours, answer, Version::HTTP_11));
        theirs.write_all(b"GET /again HTTP/1.1\r\n\r\n").await.expect("room for it");
        let mut byte = [0];
        theirs.read_exact(&mut byte).await.expect("the head");
        tokio::task::yield_now().await;
        assert!(!speaking.is_finished(), "what is asked for besides is passed over");
        speaking.abort();

        let (ours, theirs) = duplex(1_024);
        let (answer, _) = saying(&["one\n\n"], false);
        speaking = tokio::spawn(Speech::new(ours, answer, Version::HTTP_11));
        drop(theirs);
        speaking.await.expect("it has ended");
    }

    #[tokio::test]
    async fn nothing_is_asked_of_a_body_while_what_it_said_is_not_written() {
        let (ours, theirs) = duplex(16);
        let (answer, polls) = saying(&["one\n\n", "two\n\n"], false);
        let speaking = tokio::spawn(Speech::new(ours, answer, Version::HTTP_11));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(polls.load(Ordering::Relaxed), 0, "not even the head has left");
        drop(theirs);
        speaking.await.expect("it has ended");
    }
}

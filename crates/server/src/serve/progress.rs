//! Whether something moves on a connection: what is counted, and how long nothing may be.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::gate::{Entrance, ReadReady};
use super::unread;

/// Looks taken during the time for which nothing may move.
const LOOKS: u32 = 3;
/// A request may be on our side for this many times as long; every call's own bounds are shorter.
const PATIENCE_WITH_US: u32 = 3;

/// Up to so many bytes are written in one piece.
const JOINED_BYTES_MAX: usize = 2048;

/// What has moved on a connection. Bytes that come in do not count: whole requests do, for a
/// client that sends a byte now and then would otherwise hold its place for ever.
#[derive(Debug, Default)]
pub(super) struct Progress {
    // Relaxed everywhere: one task writes and reads all of them, and whoever else looks at `moved`
    // reads nothing else by its light.
    moved: Arc<AtomicU64>,
    answering: AtomicBool,
    /// What was to be written last could not be, and waits.
    stuck: AtomicBool,
}

impl Progress {
    /// Notes that a request is being answered, until the answer is dropped.
    pub(super) fn answering(&self) -> Answering<'_> {
        self.moved.fetch_add(1, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
        Answering(self)
    }

    /// Grows whenever something has moved: while an answer is a stream, when some of it was written.
    pub(super) fn moved(&self) -> &Arc<AtomicU64> {
        &self.moved
    }

    /// Whether something waits to be written, for the other end does not read.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }
}

/// A request is being answered.
#[derive(Debug)]
pub(super) struct Answering<'p>(&'p Progress);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.moved.fetch_add(1, Ordering::Relaxed);
        self.0.answering.store(false, Ordering::Relaxed);
    }
}

/// Looks at a connection now and then, and counts how often in a row nothing had moved.
#[derive(Debug)]
pub(super) struct Strikes {
    looks: Interval,
    moved: u64,
    strikes: u32,
}

impl Strikes {
    /// Gives a connection up after `idle`, or a third of that more.
    pub(super) fn new(idle: Duration) -> Self {
        let mut looks = interval(idle / LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        Self { looks, moved: 0, strikes: 0 }
    }

    /// Waits until the connection is to be given up.
    pub(super) async fn out(mut self, progress: &Progress) {
        while !self.next(progress).await {}
    }

    /// Waits for the next look; says whether the connection is to be given up.
    async fn next(&mut self, progress: &Progress) -> bool {
        self.looks.tick().await;
        let moved = progress.moved.load(Ordering::Relaxed);
        if moved != self.moved {
            (self.moved, self.strikes) = (moved, 0);
            return false;
        }
        self.strikes += 1;
        let answering = progress.answering.load(Ordering::Relaxed);
        self.strikes >= if answering { LOOKS * PATIENCE_WITH_US } else { LOOKS }
    }
}

/// A stream that is read as its entrance lets it, counts when something was written to it, and writes a
/// problem instead of what hyper says to a request that it cannot read.
pub(super) struct Counted<S> {
    stream: S,
    entrance: Entrance,
    progress: Arc<Progress>,
    /// What is being written instead of something else.
    instead: Option<Instead>,
}

#[derive(Debug)]
struct Instead {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes that it stands for.
    stands_for: usize,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S, progress: Arc<Progress>, entrance: Entrance) -> Self {
        Self { stream, entrance, progress, instead: None }
    }

    /// Writes to the end what is written instead of something else.
    fn poll_instead(
        &mut self,
        mut instead: Instead,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>
    where
        S: AsyncWrite + Unpin,
    {
        while instead.written < instead.bytes.len() {
            let rest = &instead.bytes[instead.written..];
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => instead.written += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.instead = Some(instead);
                    return Poll::Pending;
                }
            }
        }
        self.wrote(Poll::Ready(Ok(instead.stands_for)))
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.progress.stuck.store(written.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(1..)) = written {
            self.progress.moved.fetch_add(1, Ordering::Relaxed);
        }
        written
    }
}

impl<S: AsyncRead + ReadReady + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, entrance, .. } = &mut *self;
        entrance.poll_read(stream, context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(instead) = self.instead.take() {
            return self.poll_instead(instead, context);
        }
        if let Some(problem) = unread::instead(bytes) {
            let instead = Instead { bytes: problem, written: 0, stands_for: bytes.len() };
            return self.poll_instead(instead, context);
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Head and body of a usual answer: the kernel takes one piece sooner than two, by more than
        // copying them costs.
        if let [one] = pieces {
            return self.poll_write(context, one);
        }
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        if pieces.len() > 1 && bytes <= JOINED_BYTES_MAX {
            let mut joined = [0; JOINED_BYTES_MAX];
            let mut rest = &mut joined[..];
            for piece in pieces {
                let (begin, end) = rest.split_at_mut(piece.len());
                begin.copy_from_slice(piece);
                rest = end;
            }
            return self.poll_write(context, &joined[..bytes]);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    use super::super::gate::{Gate, Standing};

    fn entrance() -> Entrance {
        Entrance::new(Standing::outside(Gate::new(1)))
    }

    const IDLE: Duration = Duration::from_millis(30);

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_moves_is_given_up() {
        let progress = Progress::default();
        let mut strikes = Strikes::new(IDLE);
        assert!(!strikes.next(&progress).await);
        drop(progress.answering());
        for _ in 0..3 {
            assert!(!strikes.next(&progress).await);
        }
        assert!(strikes.next(&progress).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_on_our_side_is_waited_for_longer() {
        let progress = Progress::default();
        let mut strikes = Strikes::new(IDLE);
        let _answering = progress.answering();
        for _ in 0..LOOKS * PATIENCE_WITH_US {
            assert!(!strikes.next(&progress).await);
        }
        assert!(strikes.next(&progress).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_problem_is_written_whole_instead_of_a_bare_head() {
        // So narrow that it takes many turns.
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut counted = Counted::new(ours, Arc::default(), entrance());
        let reading = tokio::spawn(async move {
            let mut text = String::new();
            theirs.read_to_string(&mut text).await.expect("text");
            text
        });
        let bare = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        counted.write_all(bare).await.expect("a duplex stream");
        counted.write_all(b"what comes after").await.expect("a duplex stream");
        drop(counted);
        let text = reading.await.expect("it is read");
        let (head, rest) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        let body = rest.strip_suffix("what comes after").expect("what comes after");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_counts_and_what_is_read_does_not() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let progress = Arc::new(Progress::default());
        let mut counted = Counted::new(ours, Arc::clone(&progress), entrance());
        let mut strikes = Strikes::new(IDLE);
        theirs.write_all(b"a").await.expect("a duplex stream");
        counted.read_exact(&mut [0]).await.expect("a byte");
        assert!(!strikes.next(&progress).await);
        assert_eq!(strikes.strikes, 1);
        counted.write_all(b"b").await.expect("a duplex stream");
        assert!(!strikes.next(&progress).await);
        assert_eq!(strikes.strikes, 0);
    }
}

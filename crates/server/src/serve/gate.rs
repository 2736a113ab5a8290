//! How many connections are worked on at a time. Who asks while that many are, is not read yet: the request
//! waits in the kernel, where it costs nothing.
//!
//! Every request that is under way has a few kilobytes of its own: what was read, the parsed head, the
//! handler's state, the answer. A few hundred of them fit into a core's caches; with thousands each look
//! into memory is a look into memory that no cache holds, and a hold costs twice as much. That feeds
//! itself: what costs more waits longer, and more who wait are more under way. On one core 19,000 holds a
//! second on 4,096 connections took all of it, and 0.2 s each, for as long as they came; read a few at a
//! time they take four fifths of it, and half of them 2.4 ms (`docs/performance.md`).
//!
//! A place inside is for work, and not for waiting: who has it for longer than some [`TICK`]s (a silent
//! payment provider, a store that hangs, a body that comes slowly) has it no longer, and somebody else is
//! read. So nobody can keep the others out, and how many are under way in all is bounded elsewhere.
//!
//! Deliberately absent: priorities. Nobody knows what an unread request asks for; who asks first is read
//! first.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

/// Connections that one core works on at a time: a commit's worth of holds.
const INSIDE_EACH: usize = 256;
/// How often those inside are looked at, while somebody waits.
const TICK: Duration = Duration::from_millis(25);
/// Who is inside is counted by the tick in which they entered; of these the last so many are kept.
const TICKS_KEPT: usize = 3;
/// Stands for a connection that is not inside.
const OUTSIDE: u64 = 0;

/// The gate of one listener.
#[derive(Debug)]
pub(super) struct Gate {
    room: Semaphore,
    /// The present tick; the first one has a number that is not [`OUTSIDE`].
    tick: AtomicU64,
    inside: [AtomicU32; TICKS_KEPT],
    waiting: AtomicU32,
    somebody_waits: Notify,
}

impl Gate {
    /// A gate for a runtime of so many threads.
    pub(super) fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self {
            room: Semaphore::new(INSIDE_EACH * threads.max(1)),
            tick: AtomicU64::new(OUTSIDE + 1),
            inside: Default::default(),
            waiting: AtomicU32::new(0),
            somebody_waits: Notify::new(),
        })
    }

    /// Connections that have asked and are not read yet.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes the places of those who have had theirs for too long, for ever.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            self.somebody_waits.notified().await;
            while self.waiting() > 0 {
                tokio::time::sleep(TICK).await;
                self.next_tick();
            }
        }
    }

    fn next_tick(&self) {
        let next = self.tick.load(Ordering::Relaxed) + 1;
        let overdue = self.of(next).swap(0, Ordering::Relaxed);
        self.tick.store(next, Ordering::Relaxed);
        self.room.add_permits(overdue as usize);
    }

    fn of(&self, tick: u64) -> &AtomicU32 {
        &self.inside[usize::try_from(tick).expect("a process does not live so long") % TICKS_KEPT]
    }

    fn entered(&self) -> u64 {
        let tick = self.tick.load(Ordering::Relaxed);
        self.of(tick).fetch_add(1, Ordering::Relaxed);
        tick
    }

    /// Somebody leaves who entered in that tick. Whose place was taken has none to give back.
    fn left(&self, entered: u64) {
        if self.tick.load(Ordering::Relaxed) - entered >= TICKS_KEPT as u64 {
            return;
        }
        let less = |count: u32| count.checked_sub(1);
        if self.of(entered).fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            self.room.add_permits(1);
        }
    }

    /// Waits for room, in the order of asking.
    async fn wait(self: Arc<Self>) {
        let _waiting = Waiting::begin(&self);
        self.room.acquire().await.expect("never closed").forget();
    }
}

/// Somebody waits, until it is dropped.
struct Waiting<'g>(&'g Gate);

impl<'g> Waiting<'g> {
    fn begin(gate: &'g Gate) -> Self {
        if gate.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            gate.somebody_waits.notify_one();
        }
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a connection stands: inside since some tick, or outside.
#[derive(Debug)]
pub(super) struct Standing {
    gate: Arc<Gate>,
    // Relaxed: one task writes and reads it.
    since: AtomicU64,
}

impl Standing {
    /// A connection that has not asked yet.
    pub(super) fn outside(gate: Arc<Gate>) -> Arc<Self> {
        Arc::new(Self { gate, since: AtomicU64::new(OUTSIDE) })
    }

    /// What it asked for is answered, or it has to be waited for.
    pub(super) fn leave(&self) {
        let since = self.since.swap(OUTSIDE, Ordering::Relaxed);
        if since != OUTSIDE {
            self.gate.left(since);
        }
    }

    fn is_inside(&self) -> bool {
        self.since.load(Ordering::Relaxed) != OUTSIDE
    }

    fn enter(&self) {
        self.since.store(self.gate.entered(), Ordering::Relaxed);
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A stream that says when there is something to be read.
pub(super) trait ReadReady {
    /// Ready when reading would not wait.
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl ReadReady for TcpStream {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, context)
    }
}

/// Where a connection goes in and out: it is read only inside.
pub(super) struct Entrance {
    standing: Arc<Standing>,
    waits: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Entrance {
    pub(super) fn new(standing: Arc<Standing>) -> Self {
        Self { standing, waits: None }
    }

    /// Reads the connection's stream, once there is something to be read and room to work on it.
    pub(super) fn poll_read<S: AsyncRead + ReadReady + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.standing.is_inside() {
            if self.waits.is_none() {
                ready!(stream.poll_read_ready(context))?;
            }
            ready!(self.poll_enter(context));
        }
        let before = buffer.filled().len();
        let read = Pin::new(stream).poll_read(context, buffer);
        // Nothing more for now, or for ever: what is missing is the client's.
        if buffer.filled().len() == before {
            self.standing.leave();
        }
        read
    }

    fn poll_enter(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let gate = &self.standing.gate;
        if self.waits.is_none() {
            if let Ok(room) = gate.room.try_acquire() {
                room.forget();
                self.standing.enter();
                return Poll::Ready(());
            }
            self.waits = Some(Box::pin(Arc::clone(gate).wait()));
        }
        let waits = self.waits.as_mut().expect("it waits");
        ready!(waits.as_mut().poll(context));
        self.waits = None;
        self.standing.enter();
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::super::progress::Counted;
    use super::*;

    impl ReadReady for DuplexStream {
        fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A connection, and where it stands.
    struct Ours {
        stream: Counted<DuplexStream>,
        standing: Arc<Standing>,
    }

    impl Ours {
        async fn read_u8(&mut self) -> io::Result<u8> {
            self.stream.read_u8().await
        }
    }

    /// A connection that has asked something, and its other end.
    async fn asking(gate: &Arc<Gate>) -> (Ours, DuplexStream) {
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(b"?").await.expect("a duplex stream");
        let standing = Standing::outside(Arc::clone(gate));
        let stream = Counted::new(ours, Arc::default(), Entrance::new(Arc::clone(&standing)));
        (Ours { stream, standing }, theirs)
    }

    async fn full(gate: &Arc<Gate>) -> Vec<(Ours, DuplexStream)> {
        let mut inside = Vec::new();
        for _ in 0..INSIDE_EACH {
            let mut one = asking(gate).await;
            one.0.read_u8().await.expect("it is read at once");
            inside.push(one);
        }
        inside
    }

    const SHORT: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_when_it_is_full_is_read_when_somebody_leaves() {
        let gate = Gate::new(1);
        let inside = full(&gate).await;
        let (mut next, _theirs) = asking(&gate).await;
        assert!(timeout(SHORT, next.read_u8()).await.is_err(), "it is not read");
        assert_eq!(gate.waiting(), 1, "the first try still stands in line");
        inside[7].0.standing.leave();
        assert_eq!(next.read_u8().await.expect("it is read"), b'?');
        assert_eq!(gate.waiting(), 0);
        drop((inside, next));
        assert_eq!(gate.room.available_permits(), INSIDE_EACH);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stays_for_long_makes_room_all_the_same() {
        let gate = Gate::new(1);
        tokio::spawn(Arc::clone(&gate).watch());
        let inside = full(&gate).await;
        let mut after = Vec::new();
        for _ in 0..INSIDE_EACH {
            let mut one = asking(&gate).await;
            let read = timeout(TICK * 5, one.0.read_u8()).await;
            read.expect("within some ticks").expect("it is read");
            after.push(one);
        }
        // Those whose places were taken have none to give back.
        drop(inside);
        assert_eq!(gate.room.available_permits(), 0);
        drop(after);
        assert_eq!(gate.room.available_permits(), INSIDE_EACH);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_said_half_waits_outside_for_the_rest() {
        let gate = Gate::new(1);
        let (mut one, mut theirs) = asking(&gate).await;
        one.read_u8().await.expect("the first half");
        assert!(one.standing.is_inside());
        assert!(timeout(SHORT, one.read_u8()).await.is_err());
        assert!(!one.standing.is_inside());
        theirs.write_all(b"!").await.expect("a duplex stream");
        assert_eq!(one.read_u8().await.expect("the other half"), b'!');
        assert!(one.standing.is_inside());
        drop(theirs);
        assert!(one.read_u8().await.is_err(), "the end");
        assert_eq!(gate.room.available_permits(), INSIDE_EACH);
    }
}

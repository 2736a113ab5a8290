//! One connection that is kept alive, and one exchange at a time on it.

use std::fmt::{self, Display};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::answer::{Answer, Framing, Garbled, Head, end_of_chunks, join_chunks};
use crate::clock;

/// Bytes of an answer's head, at most.
pub const HEAD_MAX: usize = 16 * 1024;
/// Bytes of an answer's body, at most: the seats of a hall of 50,000 are a third of it.
pub const BODY_MAX: usize = 16 * 1024 * 1024;
/// How long an exchange may take, unless something else is said.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a buffer has to begin with: every answer but the longer seat lists.
const BUFFER: usize = 8 * 1024;
/// Bytes that are read at once of what is not kept.
const DROPPED_AT_ONCE: usize = 128 * 1024;
/// Whether a connection that has rested for so long is still open is asked before it is used.
const REST: Duration = Duration::from_secs(1);

/// Why there is no answer. The request may have been carried out all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// No connection could be made: the request was not sent.
    Unreachable,
    /// The connection ended before the answer did.
    Closed,
    /// The answer did not come in time.
    Late,
    /// What came is not HTTP/1.1 as this client knows it.
    Garbled,
    /// The answer is longer than [`HEAD_MAX`] or [`BODY_MAX`].
    Oversized,
}

/// A connection to one address. Whatever ends it, the next exchange makes a new one.
#[derive(Debug)]
pub struct Connection {
    addr: SocketAddr,
    stream: Option<TcpStream>,
    /// All of it is initialised; the answer fills it from the front.
    buffer: Vec<u8>,
    filled: usize,
    /// Bytes of a body that are kept, at most.
    kept_max: usize,
    deadline: Deadline,
    used_at: Instant,
    /// An exchange has begun and not ended: when that is seen at the next one, it was given up, and
    /// its answer may still be on its way.
    is_busy: bool,
}

impl Connection {
    /// Connects. It carries what is sent at once, without waiting for more.
    ///
    /// # Errors
    /// What the operating system says; `TimedOut` when nobody answers within [`PATIENCE`].
    pub async fn open(addr: SocketAddr) -> io::Result<Self> {
        let mut connection = Self::to(addr, PATIENCE);
        connection.connect().await?;
        Ok(connection)
    }

    /// A connection that its first exchange makes, and that waits so long for each answer.
    ///
    /// # Panics
    /// Outside a tokio runtime with a clock.
    #[must_use]
    pub fn to(addr: SocketAddr, patience: Duration) -> Self {
        let now = clock::now();
        Self {
            addr,
            stream: None,
            buffer: Vec::new(),
            filled: 0,
            kept_max: usize::MAX,
            deadline: Deadline::new(now, patience),
            used_at: now,
            is_busy: false,
        }
    }

    /// Keeps the front of long bodies only; the rest is read and dropped, so that megabytes neither
    /// take memory nor push everything else out of the processor's cache. Bodies in pieces are kept
    /// whole.
    pub fn keep_at_most(&mut self, bytes: usize) {
        self.kept_max = bytes;
    }

    /// Gives back the memory of a long answer.
    pub fn trim(&mut self) {
        if self.buffer.len() > 8 * BUFFER {
            self.buffer = Vec::new();
        }
    }

    /// Sends a request and waits for its answer. It may be given up at any point: the next one then
    /// takes another connection.
    ///
    /// # Errors
    /// [`Lost`] when there is none; the connection has ended then.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>, Lost> {
        let now = clock::now();
        let has_rested = now.duration_since(self.used_at) > REST;
        if self.is_busy || (has_rested && !self.is_alive()) {
            self.stream = None;
        }
        self.is_busy = true;
        self.used_at = now;
        self.deadline.restart(now);
        if self.stream.is_none() {
            self.connect().await.map_err(|_| Lost::Unreachable)?;
        }
        let answered = self.send_and_read(request).await;
        self.is_busy = false;
        match answered {
            Ok((head, end)) => {
                if head.closes {
                    self.stream = None;
                }
                let (bytes, body) = self.buffer.split_at(head.length);
                Ok(Answer::new(head.status, bytes, &body[..end - head.length]))
            }
            Err(lost) => {
                self.stream = None;
                Err(lost)
            }
        }
    }

    /// Connects anew.
    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        let patience = self.deadline.patience;
        let connected = tokio::time::timeout(patience, TcpStream::connect(self.addr)).await;
        let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Whether a connection that has rested is still open: a server may close one at any time.
    fn is_alive(&self) -> bool {
        let mut byte = [0];
        let read = self.stream.as_ref().map(|stream| stream.try_read(&mut byte));
        matches!(read, Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The head of the answer, and the end of the body in the buffer.
    async fn send_and_read(&mut self, request: &[u8]) -> Result<(Head, usize), Lost> {
        self.send(request).await?;
        self.filled = 0;
        let head = loop {
            match Head::read(&self.buffer[..self.filled])? {
                // "100 Continue" and "103 Early Hints" are followed by the answer.
                Some(head) if head.status < 200 => self.drop_front(head.length),
                Some(head) => break head,
                None if self.filled >= HEAD_MAX => return Err(Lost::Oversized),
                None => self.read(HEAD_MAX).await?,
            }
        };
        let end = match head.body {
            Framing::Length(length) if length > BODY_MAX => return Err(Lost::Oversized),
            Framing::Length(length) => {
                let end = head.length + length.min(self.kept_max);
                while self.filled < end {
                    self.read(end).await?;
                }
                let dropped = head.length + length - end;
                if dropped > 0 {
                    self.pass_over(end, dropped).await?;
                }
                end
            }
            Framing::Chunked => self.read_chunks(head.length).await?,
        };
        // More than the answer was asked for by nobody.
        if self.filled > end && head.body != Framing::Chunked {
            return Err(Lost::Garbled);
        }
        Ok((head, end))
    }

    /// Reads what of a body is not kept: `left` bytes behind `end`, of which some may be there.
    async fn pass_over(&mut self, end: usize, mut left: usize) -> Result<(), Lost> {
        loop {
            left = left.checked_sub(self.filled - end).ok_or(Lost::Garbled)?;
            self.filled = end;
            if left == 0 {
                return Ok(());
            }
            self.read(end + left.min(DROPPED_AT_ONCE)).await?;
        }
    }

    /// Reads a body in pieces and joins them; where it ends in the buffer.
    async fn read_chunks(&mut self, start: usize) -> Result<usize, Lost> {
        let end = loop {
            match end_of_chunks(&self.buffer[start..self.filled])? {
                Some(end) => break start + end,
                None if self.filled - start >= BODY_MAX => return Err(Lost::Oversized),
                None => {
                    let room = (2 * self.filled).min(start + BODY_MAX).max(self.filled + 1);
                    self.read(room).await?;
                }
            }
        };
        if self.filled > end {
            return Err(Lost::Garbled);
        }
        Ok(start + join_chunks(&mut self.buffer[start..end])?)
    }

    fn drop_front(&mut self, length: usize) {
        self.buffer.copy_within(length..self.filled, 0);
        self.filled -= length;
    }

    async fn send(&mut self, mut request: &[u8]) -> Result<(), Lost> {
        let Self { stream, deadline, .. } = self;
        let stream = stream.as_mut().ok_or(Lost::Unreachable)?;
        while !request.is_empty() {
            let sent = poll_fn(|context| {
                let written = Pin::new(&mut *stream).poll_write(context, request);
                deadline.unless_over(written, context)
            });
            let sent = sent.await?;
            if sent == 0 {
                return Err(Lost::Closed);
            }
            request = &request[sent..];
        }
        Ok(())
    }

    /// Reads what is there, in a buffer of `room` bytes at least.
    async fn read(&mut self, room: usize) -> Result<(), Lost> {
        if self.buffer.len() < room.max(BUFFER) {
            // A head is seldom as long as it may be: what is longer than the buffer makes it grow.
            let room = if room == HEAD_MAX && self.filled < BUFFER { BUFFER } else { room };
            if self.buffer.len() < room {
                self.buffer.resize(room, 0);
            }
        }
        let Self { stream, deadline, buffer, filled, .. } = self;
        let stream = stream.as_mut().ok_or(Lost::Unreachable)?;
        let read = poll_fn(|context| {
            let mut rest = ReadBuf::new(&mut buffer[*filled..]);
            let read = Pin::new(&mut *stream).poll_read(context, &mut rest);
            let read = read.map_ok(|()| rest.filled().len());
            deadline.unless_over(read, context)
        });
        match read.await? {
            0 => Err(Lost::Closed),
            length => {
                self.filled += length;
                Ok(())
            }
        }
    }
}

impl Lost {
    /// How many reasons there are.
    pub const COUNT: usize = 5;

    /// The reasons, each at its [`Self::index`].
    pub const ALL: [Self; Self::COUNT] =
        [Self::Unreachable, Self::Closed, Self::Late, Self::Garbled, Self::Oversized];

    /// The number of this reason, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Unreachable => 0,
            Self::Closed => 1,
            Self::Late => 2,
            Self::Garbled => 3,
            Self::Oversized => 4,
        }
    }
}

impl From<Garbled> for Lost {
    fn from(_: Garbled) -> Self {
        Self::Garbled
    }
}

impl Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "no connection",
            Self::Closed => "the connection was closed",
            Self::Late => "no answer in time",
            Self::Garbled => "the answer is not understood",
            Self::Oversized => "the answer is too long",
        })
    }
}

/// When to wait no longer.
///
/// A timer that is set and taken back for each exchange would cost more than the exchange's own
/// bookkeeping. So the timer stays where it is, and when it goes off too early it is set once more.
#[derive(Debug)]
struct Deadline {
    timer: Pin<Box<Sleep>>,
    patience: Duration,
    at: Instant,
}

impl Deadline {
    fn new(now: Instant, patience: Duration) -> Self {
        let at = now + patience;
        Self { timer: Box::pin(tokio::time::sleep_until(at.into())), patience, at }
    }

    fn restart(&mut self, now: Instant) {
        self.at = now + self.patience;
    }

    /// What was polled, or that it came too late.
    fn unless_over<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<T, Lost>> {
        match polled {
            Poll::Ready(done) => Poll::Ready(done.map_err(|_| Lost::Closed)),
            Poll::Pending if self.is_over(context) => Poll::Ready(Err(Lost::Late)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        while self.timer.as_mut().poll(context).is_ready() {
            if self.timer.deadline().into_std() >= self.at {
                return true;
            }
            let at = self.at;
            self.timer.as_mut().reset(at.into());
        }
        false
    }
}

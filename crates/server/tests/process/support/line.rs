//! The way of a node to its database: a socket of its own, on which things go wrong as a test says.
//!
//! Whatever is sent passes in order, each piece after the time that it takes. A connection that is lost is lost
//! to the node at once; what the node had sent is still on its way, and arrives, as on a real network.
//! Deliberately absent: damage to what is sent, which a checksum below us would find.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// As clients look for it.
const SOCKET: &str = ".s.PGSQL.5432";
/// Bytes that are carried as one piece, at most.
const PIECE: usize = 16 << 10;
/// Pieces that are on their way in one direction, at most.
const PIECES: usize = 256;
/// How much later than the loss of its connection arrives what is [`Trouble::Late`].
const LATE_BY: Duration = Duration::from_millis(100);

/// What is wrong, for as long as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// All connections are lost, and so is every new one.
    Cut,
    /// Each piece takes so long, and by chance up to `more` longer.
    Slow { there: Duration, back: Duration, more: Duration },
    /// Nothing passes until it is over, also on new connections.
    Still,
    /// What is asked arrives and is done; no answer comes. At the end the connections are lost.
    Unanswered,
    /// What is asked never arrives. At the end the connections are lost.
    Unheard,
    /// What is asked arrives after the connections are lost, which they are at the end: when the node has
    /// given it up already, and asks anew.
    Late,
}

/// A line to one server.
pub(crate) struct Line {
    /// The server's address, by way of this line.
    pub(crate) url: String,
    _dir: TempDir,
    state: watch::Sender<State>,
    accepted: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    trouble: Option<Trouble>,
    /// How often all connections were lost.
    losses: u64,
    /// So many connections, the first ones, are forgotten: nothing passes on them, and nobody is told.
    forgotten: u64,
}

/// One connection: its number, and after how many losses it was made.
#[derive(Clone, Copy)]
struct Connection {
    number: u64,
    losses: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    There,
    Back,
}

type Pieces = (Instant, Vec<u8>);

impl Line {
    /// To the server of this address.
    pub(crate) fn to(url: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (host, _) =
            url.split_once('@').expect("a user").1.split_once("/postgres?").expect("it");
        let there = PathBuf::from(host.replace("%2F", "/")).join(SOCKET);
        let listener = UnixListener::bind(dir.path().join(SOCKET)).expect("a socket");
        let url = url.replace(host, &dir.path().to_string_lossy().replace('/', "%2F"));
        let (state, accepted) = (watch::Sender::default(), Arc::<AtomicU64>::default());
        tokio::spawn(accept(listener, there, state.subscribe(), Arc::clone(&accepted)));
        Self { url, _dir: dir, state, accepted }
    }

    /// From now on this is wrong, and nothing else.
    pub(crate) fn suffers(&self, trouble: Trouble) {
        self.set(Some(trouble));
    }

    /// Nothing is wrong any more.
    pub(crate) fn is_mended(&self) {
        self.set(None);
    }

    /// Forgets all connections that there are, as a firewall does that was restarted: nothing passes on
    /// them any more, neither end is told, and new ones are as good as ever.
    pub(crate) fn forgets(&self) {
        let forgotten = self.accepted.load(Ordering::SeqCst);
        self.state.send_modify(|state| state.forgotten = forgotten);
    }

    fn set(&self, trouble: Option<Trouble>) {
        self.state.send_modify(|state| {
            let ended = state.trouble.is_some_and(Trouble::ends_with_a_loss);
            if ended || trouble == Some(Trouble::Cut) {
                state.losses += 1;
            }
            state.trouble = trouble;
        });
    }
}

impl Trouble {
    fn ends_with_a_loss(self) -> bool {
        match self {
            Self::Unanswered | Self::Unheard | Self::Late => true,
            Self::Cut | Self::Slow { .. } | Self::Still => false,
        }
    }

    fn holds(self, way: Way) -> bool {
        match self {
            Self::Cut | Self::Slow { .. } => false,
            Self::Still => true,
            Self::Unanswered => way == Way::Back,
            Self::Unheard | Self::Late => way == Way::There,
        }
    }

    fn takes(self, way: Way, random: &mut StdRng) -> Duration {
        let Self::Slow { there, back, more } = self else { return Duration::ZERO };
        let least = if way == Way::There { there } else { back };
        least + more.mul_f64(random.random())
    }
}

impl State {
    fn is_lost(&self, connection: Connection) -> bool {
        self.losses > connection.losses
    }

    fn is_forgotten(&self, connection: Connection) -> bool {
        connection.number < self.forgotten
    }

    fn lets(&self, connection: Connection, way: Way) -> bool {
        let holds = self.trouble.is_some_and(|trouble| trouble.holds(way));
        !holds && !self.is_forgotten(connection)
    }
}

async fn accept(
    listener: UnixListener,
    there: PathBuf,
    state: watch::Receiver<State>,
    accepted: Arc<AtomicU64>,
) {
    while let Ok((here, _)) = listener.accept().await {
        let State { trouble, losses, .. } = *state.borrow();
        let number = accepted.fetch_add(1, Ordering::SeqCst);
        if trouble != Some(Trouble::Cut)
            && let Ok(there) = UnixStream::connect(&there).await
        {
            carry(here, there, Connection { number, losses }, &state);
        }
    }
}

/// Carries both ways, each on its own, until an end is gone and what was on its way has arrived.
fn carry(
    here: UnixStream,
    there: UnixStream,
    connection: Connection,
    state: &watch::Receiver<State>,
) {
    let (from_node, to_node) = here.into_split();
    let (from_server, to_server) = there.into_split();
    for (from, to, way) in [(from_node, to_server, Way::There), (from_server, to_node, Way::Back)] {
        let (send, sent) = mpsc::channel(PIECES);
        let (reads, writes) = (state.clone(), state.clone());
        tokio::spawn(async move {
            let mut until = reads.clone();
            tokio::select! {
                () = read(from, send, way, reads) => {}
                _ = until.wait_for(|state| state.is_lost(connection)) => {}
            }
        });
        tokio::spawn(async move {
            let mut until = writes.clone();
            let write = write(to, sent, way, connection, writes);
            match way {
                Way::There => write.await,
                Way::Back => tokio::select! {
                    () = write => {}
                    _ = until.wait_for(|state| state.is_lost(connection)) => {}
                },
            }
        });
    }
}

async fn read(
    mut from: OwnedReadHalf,
    to: mpsc::Sender<Pieces>,
    way: Way,
    state: watch::Receiver<State>,
) {
    let mut random: StdRng = rand::make_rng();
    loop {
        let mut bytes = vec![0; PIECE];
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return };
        bytes.truncate(count);
        let trouble = state.borrow().trouble;
        let takes = trouble.map_or(Duration::ZERO, |trouble| trouble.takes(way, &mut random));
        if to.send((Instant::now() + takes, bytes)).await.is_err() {
            return;
        }
    }
}

async fn write(
    mut to: OwnedWriteHalf,
    mut pieces: mpsc::Receiver<Pieces>,
    way: Way,
    connection: Connection,
    mut state: watch::Receiver<State>,
) {
    while let Some((arrives, bytes)) = pieces.recv().await {
        // paces: so long it takes.
        tokio::time::sleep_until(arrives).await;
        let before = state.borrow().trouble;
        let now = state
            .wait_for(|state| state.is_lost(connection) || state.lets(connection, way))
            .await
            .map(|state| *state);
        let Ok(now) = now else { return };
        if now.is_lost(connection) {
            match before {
                Some(Trouble::Unheard) => return,
                // paces: the node asks anew meanwhile.
                Some(Trouble::Late) => tokio::time::sleep(LATE_BY).await,
                Some(_) | None if now.is_forgotten(connection) => return,
                Some(_) | None => {}
            }
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

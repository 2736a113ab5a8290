//! One listener: accepts, bounds and ends connections. What a request means is the router's.
//!
//! Nothing stands between hyper and the router, for every layer would be paid by every poll. At
//! most so many connections are open: others wait in the kernel's queue, which costs us nothing.
//! An error of accepting (no file descriptor left, say) is waited out; it ends nothing and does not
//! spin. A connection is closed when nothing moves on it for a while, be it idle, slow to ask or
//! slow to read: see [`Strikes`]. A stream of events may stay for as long as it is read: it counts
//! among the connections, and no longer among the requests that are being answered.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use engine::Failure;
use http::Method;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;
use tower::Service;

use super::aside::Aside;
use super::client_address::{self, Network};
use super::gate::{Entrance, Gate, Standing};
use super::progress::{Counted, Progress, Strikes};
use super::speech::{Handover, Speech};
use super::unread::HEAD_BYTES_MAX;
use crate::http::{ClientAddress, Heard, HttpMeters, Problem};
use crate::ids::Ids;
use crate::language::Language;

/// Connections that the kernel keeps for us while we do not accept.
const BACKLOG: u32 = 4_096;
/// How long requests may take to be answered after the end was called.
const DRAIN_MAX: Duration = Duration::from_secs(15);
/// How long a request waits for its turn to be answered.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long accepting rests after an error that concerns more than one connection.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// The most that one connection keeps of what was read and not understood, or not yet written.
const BUFFER_BYTES_MAX: usize = HEAD_BYTES_MAX;
/// File descriptors that buyers' connections leave to everything else, operators' among them.
const DESCRIPTORS_KEPT: u32 = 512;

/// What bounds one listener, and whom it believes.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// How many may be there.
    pub(super) occupancy: Arc<Occupancy>,
    /// How long nothing may move on a connection.
    pub(super) idle: Duration,
    /// Who may say from where a request comes.
    pub(super) proxies: Vec<Network>,
    /// Where it is counted who is turned away.
    pub(super) meters: Option<&'static HttpMeters>,
}

/// How many are at a listener, and how many may be.
#[derive(Debug)]
pub(crate) struct Occupancy {
    connections_max: u32,
    requests_max: u32,
    open: AtomicU32,
    /// Room for connections; one place is kept for whoever is accepted next.
    places: Arc<Semaphore>,
    /// Requests that may be answered at a time.
    turns: Semaphore,
}

impl Occupancy {
    /// Room for so many open connections, and so many requests that are being answered.
    pub(super) fn new(connections_max: u32, requests_max: u32) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(connections_max as usize));
        let turns = Semaphore::new(requests_max as usize);
        let open = AtomicU32::new(0);
        Arc::new(Self { connections_max, requests_max, open, places, turns })
    }

    /// Open connections, and how many may be.
    pub(crate) fn connections(&self) -> (u32, u32) {
        (self.open.load(Ordering::Relaxed), self.connections_max)
    }

    /// Requests that are being answered, and how many may be.
    pub(crate) fn requests(&self) -> (usize, u32) {
        (self.requests_max as usize - self.turns.available_permits(), self.requests_max)
    }
}

/// A connection's place, until it is dropped.
struct Place {
    occupancy: Arc<Occupancy>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn new(occupancy: &Arc<Occupancy>, permit: OwnedSemaphorePermit) -> Self {
        occupancy.open.fetch_add(1, Ordering::Relaxed);
        Self { occupancy: Arc::clone(occupancy), _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.occupancy.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A bound address.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// Takes an address; whoever connects waits until [`serve`](Self::serve).
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restarted server takes its port back although old connections linger there.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let socket = socket.listen(BACKLOG)?;
        Ok(Self { addr: socket.local_addr()?, socket })
    }

    /// The address, with the port that was chosen if any was as good.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stopping`, then accepts no more and waits for those who were, for
    /// [`DRAIN_MAX`] at most.
    pub(super) async fn serve(
        self,
        router: Router,
        bounds: Bounds,
        mut stopping: watch::Receiver<bool>,
    ) {
        let connections = bounds.occupancy.connections_max;
        let places = Arc::clone(&bounds.occupancy.places);
        let gate = Gate::new(tokio::runtime::Handle::current().metrics().num_workers());
        let watching = tokio::spawn(Arc::clone(&gate).watch());
        let desk = Arc::new(Desk { router, bounds, gate });
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => break,
                accepted = self.accept(&places) => accepted,
            };
            let Some((accepted, permit)) = accepted else { continue };
            let place = Place::new(&desk.bounds.occupancy, permit);
            tokio::spawn(converse(accepted, Arc::clone(&desk), stopping.clone(), place));
        }
        drop(self.socket);
        // Everybody has left when all places are free.
        if timeout(DRAIN_MAX, places.acquire_many(connections)).await.is_err() {
            let left = connections as usize - places.available_permits();
            tracing::warn!(addr = %self.addr, connections = left, "cut off: they took too long");
        }
        watching.abort();
    }

    /// The next connection, when there is a place for it; none when accepting failed.
    async fn accept(&self, places: &Arc<Semaphore>) -> Option<(Accepted, OwnedSemaphorePermit)> {
        let place = Arc::clone(places).acquire_owned().await.expect("never closed");
        match self.socket.accept().await {
            Ok(accepted) => Some((accepted, place)),
            // The client has left meanwhile.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) =>
            {
                None
            }
            Err(error) => {
                tracing::warn!(addr = %self.addr, %error, "cannot accept at present");
                tokio::time::sleep(ACCEPT_REST).await;
                None
            }
        }
    }
}

/// A connection and whom it is with.
type Accepted = (TcpStream, SocketAddr);

/// As many connections as wanted, or as file descriptors allow: the journal needs some too, and a
/// connection that waits in the kernel's queue is better than one that is refused. The limit that may
/// be raised without asking anybody is raised.
pub(super) fn affordable(wanted: u32) -> u32 {
    let limit = getrlimit(Resource::Nofile);
    let needed = u64::from(wanted) + u64::from(DESCRIPTORS_KEPT);
    if limit.current.is_some_and(|current| current < needed) {
        let current = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
        // What cannot be raised is lived with.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
    }
    let Some(current) = getrlimit(Resource::Nofile).current else { return wanted };
    let current = u32::try_from(current).unwrap_or(u32::MAX);
    let affordable = wanted.min(current.saturating_sub(DESCRIPTORS_KEPT).max(1));
    if affordable < wanted {
        tracing::warn!(
            wanted,
            affordable,
            "fewer connections than configured: raise the limit of open files (ulimit -Hn)"
        );
    }
    affordable
}

/// What all connections of a listener share.
struct Desk {
    router: Router,
    bounds: Bounds,
    gate: Arc<Gate>,
}

impl Desk {
    /// A turn to be answered; none when too many are before it. To refuse costs nearly as much as to
    /// answer, so those who come in a rush wait: the connection is not read meanwhile, and whoever
    /// sends more waits in the kernel.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let turns = &self.bounds.occupancy.turns;
        if let Ok(turn) = turns.try_acquire() {
            return Some(turn);
        }
        timeout(TURN_WAIT_MAX, turns.acquire()).await.ok().map(|turn| turn.expect("never closed"))
    }

    async fn answer(
        &self,
        peer: IpAddr,
        mut request: hyper::Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let Some(_turn) = self.turn().await else {
            let language = Language::of(request.headers());
            let max = self.bounds.occupancy.requests_max;
            let problem = Problem::from(Failure::Overloaded).met("requests_in_flight", max);
            if let Some(meters) = self.bounds.meters {
                meters.problem(problem.code());
            }
            return Ok(problem.respond(language, Ids.request_id().into()));
        };
        let client = client_address::client(peer, request.headers(), &self.bounds.proxies);
        // Nothing is counted for this machine itself.
        if !client.is_loopback() {
            request.extensions_mut().insert(ClientAddress(client));
        }
        self.router.clone().call(request).await
    }
}

/// Serves one connection until it ends, the end is called, or nothing moves on it.
async fn converse(
    (stream, peer): Accepted,
    desk: Arc<Desk>,
    mut stopping: watch::Receiver<bool>,
    place: Place,
) {
    // Answers are small and whole; without this the kernel would wait for more.
    let _ = stream.set_nodelay(true);
    give_up_unheard(&stream, desk.bounds.idle);
    let progress = Arc::new(Progress::default());
    let standing = Standing::outside(Arc::clone(&desk.gate));
    let handover = Handover::default();
    let service = service_fn(|request: hyper::Request<Incoming>| async {
        let _answering = progress.answering();
        let (is_get, version) = (request.method() == Method::GET, request.version());
        let mut answer = desk.answer(peer.ip(), request).await?;
        standing.leave();
        if is_get && let Some(heard) = answer.extensions_mut().remove::<Heard>() {
            heard.is_written_by(progress.moved());
            handover.put(answer, version);
            // hyper waits for this answer until the connection is taken from it.
            return std::future::pending().await;
        }
        Ok::<Response, Infallible>(answer)
    });
    let entrance = Entrance::new(Arc::clone(&standing));
    let io = TokioIo::new(Counted::new(stream, Arc::clone(&progress), entrance));
    let mut http = http1::Builder::new();
    // hyper's own timeout of headers sets a timer for each request, which costs more than a poll's
    // answer; the strikes cover it with one timer for each connection.
    http.timer(TokioTimer::new()).header_read_timeout(None);
    http.half_close(true).keep_alive(true).max_buf_size(BUFFER_BYTES_MAX);
    let mut connection = http.serve_connection(io, service);
    let strikes = pin!(Strikes::new(desk.bounds.idle).out(&progress));
    let mut strikes = Aside::new(strikes);
    let stop = pin!(stopping.wait_for(|stopping| *stopping));
    let (mut stop, mut ending) = (Aside::new(stop), false);
    poll_fn(|context| {
        if !ending && stop.poll(context).is_ready() {
            ending = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        // Whatever ended it, the client sees it, and there is nobody else to tell.
        match Pin::new(&mut connection).poll(context) {
            Poll::Ready(_) => Poll::Ready(()),
            // What was answered before must have left: hyper does not hand it over.
            Poll::Pending if handover.is_there() && !progress.is_stuck() => Poll::Ready(()),
            Poll::Pending => strikes.poll(context),
        }
    })
    .await;
    if let Some((answer, version)) = handover.take() {
        let stream = connection.into_parts().io.into_inner();
        let speech = Speech::new(stream, answer, version);
        let idle = desk.bounds.idle;
        tokio::spawn(speak(speech, Arc::clone(&progress), idle, place));
    }
}

/// Lets a stream be written until it ends, or nothing moves on its connection.
async fn speak(
    speech: Speech<Counted<TcpStream>>,
    progress: Arc<Progress>,
    idle: Duration,
    _place: Place,
) {
    let mut speech = pin!(speech);
    let strikes = pin!(Strikes::new(idle).out(&progress));
    let mut strikes = Aside::new(strikes);
    poll_fn(|context| match speech.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => strikes.poll(context),
    })
    .await;
}

/// Lets the kernel close a connection whose other end confirms nothing of what is sent for so long.
/// It would go on trying for a quarter of an hour, and take what is written meanwhile into its
/// buffer, so that somebody who has vanished from the network would seem to listen.
fn give_up_unheard(stream: &TcpStream, idle: Duration) {
    #[cfg(target_os = "linux")]
    {
        let ms = u32::try_from(idle.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, ms);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, idle);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_gives_up_whoever_has_vanished() {
        let listener = Listener::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let stream = TcpStream::connect(listener.addr()).await.expect("a connection");
        give_up_unheard(&stream, Duration::from_secs(30));
        let timeout = rustix::net::sockopt::tcp_user_timeout(&stream);
        assert_eq!(timeout.expect("an option of the socket"), 30_000);
    }

    #[test]
    fn no_more_connections_than_file_descriptors() {
        assert_eq!(affordable(1), 1);
        assert!((1..u32::MAX - DESCRIPTORS_KEPT).contains(&affordable(u32::MAX)));
    }
}

//! The floor: the same HTTP library, allocator, build and number of threads as the box office,
//! answering the same requests with the same answers, and doing nothing.
//!
//!     floor ADDR DIR
//!
//! DIR holds answers of the real box office, one file for each call, head and body as they came over
//! the wire; each is given again to whoever makes that call, with hyper adding only what it always
//! adds. Bodies of requests are read to their end. No token is checked, nothing is kept, and no disk
//! is touched after the start. It is the measure of `cargo xtask bench`, so it is neither slowed
//! down (no layers, no timers, no counting) nor sped up by what plain axum would not do: requests go
//! through its router, and headers through a map.
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tower::Service;

/// The box office's own, or the ratio would be one of two allocators.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections that the kernel keeps while none is accepted, as many as for the box office.
const BACKLOG: u32 = 4_096;

/// The calls, each with the name of the file that holds its answer.
const CALLS: [(&str, &str, &str); 6] = [
    ("join", "POST", "/queue/token"),
    ("status", "GET", "/queue/status"),
    ("seats", "GET", "/reservations/{date}"),
    ("hold", "POST", "/reservations"),
    ("give-back", "DELETE", "/me/reservations/{reservation_id}"),
    ("pay", "POST", "/payment"),
];

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [addr, dir] = words.as_slice() else {
        return Err(io::Error::other("it is called as: floor ADDR DIR"));
    };
    let router = router(Path::new(dir))?;
    // As many threads as the box office starts on the same cores.
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(addr.parse().map_err(io::Error::other)?)?;
        let listener = socket.listen(BACKLOG)?;
        println!("listening on http://{}", listener.local_addr()?);
        accept(&listener, &router).await
    })
}

async fn accept(listener: &TcpListener, router: &Router) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(converse(stream, router.clone()));
    }
}

async fn converse(stream: TcpStream, router: Router) {
    let service = service_fn(|request| router.clone().call(request));
    // Whatever ends a connection, the client sees it.
    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A route for each answer that there is.
fn router(dir: &Path) -> io::Result<Router> {
    let mut router = Router::new();
    for (name, verb, path) in CALLS {
        let wire = match std::fs::read(dir.join(name)) {
            Ok(wire) => wire,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // For ever, as the constants of a program are; the box office's own answers use many.
        let answer = Answer::read(wire.leak())
            .ok_or_else(|| io::Error::other(format!("`{name}` is not an answer of HTTP/1.1")))?;
        router = router.route(path, route(verb, Arc::new(answer)));
    }
    Ok(router)
}

fn route(verb: &str, answer: Arc<Answer>) -> MethodRouter {
    let give = move |request| give(Arc::clone(&answer), request);
    match verb {
        "GET" => get(give),
        "DELETE" => delete(give),
        _ => post(give),
    }
}

async fn give(answer: Arc<Answer>, request: Request) -> Response {
    let mut body = request.into_body();
    while !body.is_end_stream() {
        let Some(Ok(_)) = body.frame().await else { break };
    }
    let mut response = Response::new(answer.body.clone().into());
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.reserve(answer.headers.len());
    for (name, value) in &answer.headers {
        headers.insert(name, value.clone());
    }
    response
}

/// An answer that was given once and is given again.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Answer {
    /// Reads what came over the wire. What hyper says by itself is left to it.
    fn read(wire: &'static [u8]) -> Option<Self> {
        let end = wire.windows(4).position(|four| four == b"\r\n\r\n")?;
        let mut lines = std::str::from_utf8(&wire[..end]).ok()?.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let by_hyper = [CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING];
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let name: HeaderName = name.parse().ok()?;
            if !by_hyper.contains(&name) {
                headers.push((name, HeaderValue::from_static(value.trim())));
            }
        }
        Some(Self { status, headers, body: Bytes::from_static(&wire[end + 4..]) })
    }
}

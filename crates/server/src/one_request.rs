//! One request to another server, on a connection of its own: how operators at the command line ask
//! their box office, and how traces are sent. How long it may take is for the caller to say.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends a request over a connection that was made for it, and reads the whole answer.
///
/// # Errors
/// In a few words: the connection breaks, or the answer's body has over `bytes_max` bytes.
pub(crate) async fn send(
    stream: TcpStream,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<(StatusCode, Bytes), String> {
    let shaken = handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    // Whatever ends it, the sender notices.
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), bytes_max).collect().await;
    connection.abort();
    Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
}

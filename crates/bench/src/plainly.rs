//! One HTTP call at a time, for what is done before and after a round: slow, plain, and whole.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::{Fault, fault};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer: a large hall's list, many times over.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Its status.
    pub(crate) status: u16,
    /// Head and body as they came.
    pub(crate) bytes: Vec<u8>,
    body: usize,
}

impl Wire {
    /// The body.
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[self.body..]
    }

    /// The body as JSON, if the status is the expected one.
    pub(crate) fn expect(&self, status: u16) -> Result<Value, Fault> {
        if self.status != status {
            let said = String::from_utf8_lossy(self.body()).into_owned();
            return Err(Fault(format!("expected {status}, got {}: {said}", self.status)));
        }
        serde_json::from_slice(self.body()).map_err(|error| fault("the answer's JSON", &error))
    }

    fn read(bytes: Vec<u8>) -> Option<Self> {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
        Some(Self { status, body: head + 4, bytes })
    }
}

/// Asks, and reads until the other side closes.
pub(crate) fn ask(
    addr: SocketAddr,
    method: &str,
    path: &str,
    bearer: Option<&str>,
    body: Option<&str>,
) -> Result<Wire, Fault> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n");
    if let Some(bearer) = bearer {
        head += &format!("authorization: Bearer {bearer}\r\n");
    }
    if let Some(body) = body {
        head += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    let request = format!("{head}\r\n{}", body.unwrap_or_default());
    let answered = exchange(addr, request.as_bytes());
    let bytes = answered.map_err(|error| fault(&format!("{method} {path}"), &error))?;
    Wire::read(bytes).ok_or_else(|| Fault(format!("{method} {path}: that is no answer")))
}

fn exchange(addr: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_into_head_and_body() {
        let wire = Wire::read(b"HTTP/1.1 201 Created\r\na: b\r\n\r\n{\"a\":1}".to_vec());
        let wire = wire.expect("an answer");
        assert_eq!((wire.status, wire.body()), (201, &b"{\"a\":1}"[..]));
        assert_eq!(wire.expect(201).expect("JSON")["a"], 1);
        assert!(wire.expect(200).is_err());
        assert!(Wire::read(b"HTTP/1.1 201 Created\r\n".to_vec()).is_none());
    }
}

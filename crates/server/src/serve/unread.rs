//! What hyper answers when it cannot read a request's head, said as a problem.
//!
//! hyper then writes a head without a body by itself, asks nobody, and closes the connection. It is
//! recognised where it is written to the socket, for no answer of ours is one of these: a 400, 414 or
//! 431 with no body. Not recognised is one that leaves in one piece behind an earlier answer, to
//! whoever sends more before being answered; that stays without a body.

use http::StatusCode;

use crate::http::{Edge, Flaw, Problem};
use crate::ids::Ids;
use crate::language::Language;

/// Bytes of a request's head, at most: what a connection keeps of what is not understood yet. hyper
/// looks after each read, so what the last one brought beyond it may still be taken.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How each of them begins.
const BEGINNING: &[u8] = b"HTTP/1.1 4";
/// What each of them says of its body.
const NO_BODY: &[u8] = b"\r\ncontent-length: 0\r\n";

/// What is to be written instead, if these bytes are such an answer.
pub(super) fn instead(bytes: &[u8]) -> Option<Vec<u8>> {
    // The usual answer is not looked at any further.
    let rest = bytes.strip_prefix(BEGINNING)?;
    let edge = match rest.get(..2)? {
        b"00" => Edge::MalformedRequest(Flaw::Head),
        b"14" | b"31" => Edge::HeadTooLarge { bytes_max: HEAD_BYTES_MAX },
        _ => return None,
    };
    let is_one = bytes.ends_with(b"\r\n\r\n")
        && bytes.windows(NO_BODY.len()).any(|part| part.eq_ignore_ascii_case(NO_BODY));
    is_one.then(|| written(edge))
}

/// An answer as it is written to a socket. Nobody could read in which language it was asked for.
fn written(edge: Edge) -> Vec<u8> {
    let (status, headers, body) =
        Problem::from(edge).into_parts(Language::default(), Ids.request_id().into());
    let reason = StatusCode::canonical_reason(&status).unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in &headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let end = format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    bytes.extend_from_slice(end.as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_without_a_body_is_replaced() {
        let head = |status: &str, more: &str| {
            format!("HTTP/1.1 {status}\r\nconnection: close\r\n{more}date: x\r\n\r\n").into_bytes()
        };
        let none = "content-length: 0\r\n";
        for status in ["400 Bad Request", "414 URI Too Long", "431 Request Header Fields Too Large"]
        {
            let instead = instead(&head(status, none)).expect("a problem");
            let text = String::from_utf8(instead).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"), "{head}");
            assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert!(head.starts_with(&format!("HTTP/1.1 {} ", body["status"])), "{head} {body}");
        }
        let others = [
            head("200 OK", none),
            head("404 Not Found", none),
            head("400 Bad Request", "content-length: 5\r\n"),
            [head("400 Bad Request", none), b"more".to_vec()].concat(),
            b"HTTP/1.1 4".to_vec(),
            Vec::new(),
        ];
        for bytes in others {
            assert!(instead(&bytes).is_none(), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}

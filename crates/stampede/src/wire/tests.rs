//! What is understood, what is not, and what a connection makes of either.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

use super::answer::{Framing, Head, end_of_chunks, join_chunks};
use super::*;
use crate::load::runtime;

#[test]
fn a_request_is_these_bytes() {
    let hold = Request::post("/reservations")
        .host("maepyo.example")
        .token("abc")
        .idempotency_key("k-1")
        .json("{\"seat_number\":\"A1\"}");
    let expected = "POST /reservations HTTP/1.1\r\nHost: maepyo.example\r\n\
        Authorization: Bearer abc\r\nIdempotency-Key: k-1\r\nContent-Type: application/json\r\n\
        Content-Length: 20\r\n\r\n{\"seat_number\":\"A1\"}";
    assert_eq!(String::from_utf8(hold.bytes()).unwrap(), expected);
    let plan = Request::get("/performances/x/plan").if_none_match("\"1\"");
    let expected = "GET /performances/x/plan HTTP/1.1\r\nHost: localhost\r\n\
        If-None-Match: \"1\"\r\n\r\n";
    assert_eq!(String::from_utf8(plan.bytes()).unwrap(), expected);
    let join = Request::post("/queue/token").bytes();
    assert!(join.ends_with(b"Content-Length: 0\r\n\r\n"));
}

#[test]
#[should_panic(expected = "not a value of a field")]
fn a_token_cannot_begin_another_request() {
    let _ = Request::get("/").token("a\r\nX: y").bytes();
}

#[test]
fn heads_are_read_or_refused() {
    let read = |text: &str| Head::read(text.as_bytes());
    let head = |status, length, body, closes| Ok(Some(Head { status, length, body, closes }));
    let table = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", head(200, 38, Framing::Length(5), false)),
        ("HTTP/1.1 204 \r\n\r\n", head(204, 17, Framing::Length(0), false)),
        ("HTTP/1.1 304 \r\ncontent-length: 9\r\n\r\n", head(304, 36, Framing::Length(0), false)),
        (
            "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n",
            head(200, 45, Framing::Chunked, false),
        ),
        (
            "HTTP/1.1 503 \r\nconnection: Close\r\ncontent-length: 0\r\n\r\n",
            head(503, 55, Framing::Length(0), true),
        ),
        ("HTTP/1.0 200 \r\ncontent-length: 0\r\n\r\n", head(200, 36, Framing::Length(0), true)),
        ("HTTP/1.1 200 OK\r\nContent-Len", Ok(None)),
        ("", Ok(None)),
    ];
    for (text, expected) in table {
        assert_eq!(read(text), expected, "{text:?}");
    }
    for garbled in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    ] {
        assert!(read(garbled).is_err(), "{garbled:?}");
    }
}

#[test]
fn a_body_in_pieces_ends_where_it_ends() {
    let whole = b"5\r\nhello\r\n1;x=y\r\n,\r\n6\r\n world\r\n0\r\n\r\n";
    for cut in 0..whole.len() {
        assert_eq!(end_of_chunks(&whole[..cut]), Ok(None), "cut at {cut}");
    }
    assert_eq!(end_of_chunks(whole), Ok(Some(whole.len())));
    let mut bytes = whole.to_vec();
    let length = join_chunks(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"hello, world");
    for garbled in ["x\r\n", "2\r\nabc\r\n", "0\r\nTrailer: x\r\n\r\n", "ffffffffffffffff\r\na"] {
        assert!(end_of_chunks(garbled.as_bytes()).is_err(), "{garbled:?}");
    }
}

/// A server that answers each request, whatever it is, with the next of these scripts, piece by
/// piece; an empty script hangs up.
async fn scripted(scripts: Vec<Vec<Vec<u8>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("its address");
    tokio::task::spawn_local(async move {
        let mut scripts = scripts.into_iter();
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a stream");
            while has_asked(&stream).await {
                let Some(script) = scripts.next() else { return };
                if script.is_empty() {
                    break;
                }
                for piece in script {
                    write(&stream, &piece).await;
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    addr
}

async fn has_asked(stream: &TcpStream) -> bool {
    let mut asked = [0; 4096];
    loop {
        stream.readable().await.expect("a stream");
        match stream.try_read(&mut asked) {
            Ok(length) => return length > 0,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // A client that did not read everything leaves with a reset.
            Err(_) => return false,
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        stream.ready(Interest::WRITABLE).await.expect("a stream");
        match stream.try_write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    runtime().expect("a runtime").block_on(test);
}

fn whole(text: &str) -> Vec<Vec<u8>> {
    vec![text.as_bytes().to_vec()]
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nqueue-token: abc\r\n\r\nok";

#[test]
fn an_answer_may_come_in_any_pieces() {
    run(async {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        let early = format!("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{OK}");
        let mut scripts = vec![];
        for text in [OK, chunked, &early] {
            for cut in 0..text.len() {
                let (front, back) = text.as_bytes().split_at(cut);
                scripts.push(vec![front.to_vec(), back.to_vec()]);
            }
        }
        let count = scripts.len();
        let mut connection = Connection::open(scripted(scripts).await).await.unwrap();
        for _ in 0..count {
            let answer = connection.exchange(b"x").await.unwrap();
            assert_eq!((answer.status, answer.body()), (200, &b"ok"[..]));
        }
    });
}

#[test]
fn fields_are_found_in_any_case() {
    run(async {
        let addr = scripted(vec![whole(OK)]).await;
        let mut connection = Connection::open(addr).await.unwrap();
        let answer = connection.exchange(b"x").await.unwrap();
        assert_eq!(answer.header("Queue-Token"), Some(&b"abc"[..]));
        assert_eq!(answer.header("retry-after"), None);
    });
}

#[test]
fn whatever_ends_a_connection_the_next_exchange_has_another() {
    run(async {
        let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let too_much = format!("{OK}HTTP/1.1");
        let oversized = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BODY_MAX + 1);
        let long_head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_MAX));
        let scripts = vec![
            vec![],
            whole(OK),
            whole(closing),
            whole(OK),
            whole(&too_much),
            whole("SSH-2.0-OpenSSH\r\n"),
            whole(&oversized),
            whole(&long_head),
            whole("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
            whole(OK),
        ];
        let addr = scripted(scripts).await;
        let mut connection = Connection::to(addr, Duration::from_millis(300));
        let expected = [
            Err(Lost::Closed),
            Ok(200),
            Ok(200),
            Ok(200),
            Err(Lost::Garbled),
            Err(Lost::Garbled),
            Err(Lost::Oversized),
            Err(Lost::Oversized),
            Err(Lost::Late),
            Ok(200),
        ];
        for (number, expected) in expected.into_iter().enumerate() {
            let answered = connection.exchange(b"x").await.map(|answer| answer.status);
            assert_eq!(answered, expected, "exchange {number}");
        }
    });
}

#[test]
fn an_exchange_that_was_given_up_leaves_no_answer_for_the_next() {
    run(async {
        let addr = scripted(vec![whole("HTTP/1.1 200 OK\r\n"), whole(OK)]).await;
        let mut connection = Connection::open(addr).await.unwrap();
        let given_up =
            tokio::time::timeout(Duration::from_millis(20), connection.exchange(b"x")).await;
        assert!(given_up.is_err());
        assert_eq!(connection.exchange(b"x").await.unwrap().body(), b"ok");
    });
}

#[test]
fn a_long_answer_is_read_whole_and_its_memory_given_back() {
    run(async {
        let body = "x".repeat(1_000_000);
        let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{body}");
        let pieces: String = body
            .as_bytes()
            .chunks(1_000)
            .map(|_| format!("3e8\r\n{}\r\n", &body[..1_000]))
            .collect();
        let chunked =
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{pieces}0\r\n\r\n");
        let addr = scripted(vec![whole(&long), whole(&chunked), whole(OK)]).await;
        let mut connection = Connection::open(addr).await.unwrap();
        for _ in 0..2 {
            assert_eq!(connection.exchange(b"x").await.unwrap().body(), body.as_bytes());
            connection.trim();
        }
        assert_eq!(connection.exchange(b"x").await.unwrap().body(), b"ok");
    });
}

#[test]
fn of_a_long_answer_the_front_may_be_enough() {
    run(async {
        let long =
            format!("HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n{}", "x".repeat(900_000));
        let addr = scripted(vec![whole(&long), whole(OK)]).await;
        let mut connection = Connection::open(addr).await.unwrap();
        connection.keep_at_most(3);
        assert_eq!(connection.exchange(b"x").await.unwrap().body(), b"xxx");
        assert_eq!(connection.exchange(b"x").await.unwrap().body(), b"ok", "in step");
    });
}

#[test]
fn nobody_there_is_said_so() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        assert!(Connection::open(addr).await.is_err());
        let mut connection = Connection::to(addr, PATIENCE);
        assert_eq!(connection.exchange(b"x").await.unwrap_err(), Lost::Unreachable);
    });
}

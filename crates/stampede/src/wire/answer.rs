//! An answer, read where it lies: its head, and where its body ends.

use httparse::{EMPTY_HEADER, Header, Status, parse_chunk_size};

/// Fields in the head of an answer, at most.
const FIELDS_MAX: usize = 64;

/// An answer, in the buffer of the connection that it came by.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// 200 to 599.
    pub status: u16,
    head: &'a [u8],
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    pub(super) fn new(status: u16, head: &'a [u8], body: &'a [u8]) -> Self {
        Self { status, head, body }
    }

    /// The body, whole.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The value of the first field of that name, in whatever case it is written.
    ///
    /// The head is read anew at each call: an exchange that asks for nothing pays for nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        response.parse(self.head).ok()?;
        let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        field.map(|field| field.value)
    }
}

/// What was sent is not HTTP/1.1, or more of it than this client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbled;

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Bytes of the head, with the empty line.
    pub(super) length: usize,
    pub(super) body: Framing,
    /// The server closes the connection after this answer.
    pub(super) closes: bool,
}

/// How it is known where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(usize),
    /// In pieces, each with its length; the last has none.
    Chunked,
}

impl Head {
    /// Reads a head that begins the bytes; none when there is more to come.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, Garbled> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let Status::Complete(length) = response.parse(bytes).map_err(|_| Garbled)? else {
            return Ok(None);
        };
        let status = response.code.ok_or(Garbled)?;
        let keeps_alive = response.version == Some(1);
        let mut head = Self { status, length, body: Framing::Length(0), closes: !keeps_alive };
        let has_body = status >= 200 && status != 204 && status != 304;
        let framing = head.read_fields(response.headers)?;
        if has_body {
            head.body = framing.ok_or(Garbled)?;
        }
        Ok(Some(head))
    }

    /// Reads what the fields say of the body, if anything, and of the connection.
    fn read_fields(&mut self, fields: &[Header<'_>]) -> Result<Option<Framing>, Garbled> {
        let mut framing = None;
        for field in fields {
            // Names are told apart by their length first: most fields are none of these.
            match field.name.len() {
                14 if field.name.eq_ignore_ascii_case("content-length") => {
                    let length = Framing::Length(read_decimal(field.value)?);
                    // Two lengths that differ, or a length and chunks, are how requests get smuggled.
                    if framing.is_some_and(|other| other != length) {
                        return Err(Garbled);
                    }
                    framing = Some(length);
                }
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    if framing.is_some() || !field.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Garbled);
                    }
                    framing = Some(Framing::Chunked);
                }
                10 if field.name.eq_ignore_ascii_case("connection") => {
                    self.closes |= field.value.eq_ignore_ascii_case(b"close");
                }
                _ => {}
            }
        }
        Ok(framing)
    }
}

fn read_decimal(digits: &[u8]) -> Result<usize, Garbled> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Garbled);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Garbled)?;
    text.parse().map_err(|_| Garbled)
}

/// The end of a body in pieces that begins the bytes; none when there is more to come.
///
/// It begins anew with each read: it only steps from piece to piece, and bodies are bounded.
pub(super) fn end_of_chunks(bytes: &[u8]) -> Result<Option<usize>, Garbled> {
    let mut at = 0;
    loop {
        let Some((start, length)) = read_chunk(bytes, at)? else { return Ok(None) };
        if length == 0 {
            // Fields after the last piece would stand here; none are known to any box office.
            return match bytes.get(start..start + 2) {
                None => Ok(None),
                Some(b"\r\n") => Ok(Some(start + 2)),
                Some(_) => Err(Garbled),
            };
        }
        let end = start.checked_add(length).ok_or(Garbled)?;
        match bytes.get(end..).and_then(|rest| rest.get(..2)) {
            None => return Ok(None),
            Some(b"\r\n") => at = end + 2,
            Some(_) => return Err(Garbled),
        }
    }
}

/// Moves the pieces of a whole body together; how long it is then.
pub(super) fn join_chunks(bytes: &mut [u8]) -> Result<usize, Garbled> {
    let (mut at, mut joined) = (0, 0);
    loop {
        let (start, length) = read_chunk(bytes, at)?.ok_or(Garbled)?;
        if length == 0 {
            return Ok(joined);
        }
        bytes.copy_within(start..start + length, joined);
        joined += length;
        at = start + length + 2;
    }
}

/// Where the piece that begins at `at` has its bytes, and how many.
fn read_chunk(bytes: &[u8], at: usize) -> Result<Option<(usize, usize)>, Garbled> {
    let line = bytes.get(at..).unwrap_or_default();
    match parse_chunk_size(line).map_err(|_| Garbled)? {
        Status::Partial => Ok(None),
        Status::Complete((skipped, length)) => {
            let length = usize::try_from(length).map_err(|_| Garbled)?;
            Ok(Some((at + skipped, length)))
        }
    }
}

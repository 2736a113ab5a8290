//! Events as they are written: the text of `text/event-stream` (the HTML standard, section 9.2).

use std::io::Write;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Where the place stands: first of all, and whenever its status is another.
    State,
    /// Where it stands in line.
    Position,
    /// The turn has come.
    Admitted,
    /// The place is over.
    Ended,
    /// A fresh token.
    Token,
    /// Seats that were taken or became free.
    Seats,
    /// This node ends; another one, or the next, goes on.
    Move,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 7] = [
        Self::State,
        Self::Position,
        Self::Admitted,
        Self::Ended,
        Self::Token,
        Self::Seats,
        Self::Move,
    ];

    /// The word by which clients know it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Position => "position",
            Self::Admitted => "admitted",
            Self::Ended => "ended",
            Self::Token => "token",
            Self::Seats => "seats",
            Self::Move => "move",
        }
    }
}

/// What nobody reads, and shows that somebody still speaks.
pub(super) const COMMENT: &[u8] = b":\n\n";

/// Appends an event whose data is JSON, which has no line break in it.
pub(super) fn write_event(to: &mut Vec<u8>, kind: Kind, id: u64, json: &[u8]) {
    write!(to, "event: {}\nid: {id}\ndata: ", kind.as_str()).expect("memory is enough");
    to.extend_from_slice(json);
    to.extend_from_slice(b"\n\n");
}

/// Appends how long a client waits before it connects again. Belongs to the event that follows.
pub(super) fn write_retry(to: &mut Vec<u8>, ms: u64) {
    writeln!(to, "retry: {ms}").expect("memory is enough");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_browsers_read_it() {
        let mut text = Vec::new();
        write_retry(&mut text, 2_500);
        write_event(&mut text, Kind::State, 42, b"{}");
        text.extend_from_slice(COMMENT);
        assert_eq!(text, b"retry: 2500\nevent: state\nid: 42\ndata: {}\n\n:\n\n");
    }
}

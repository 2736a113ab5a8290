//! Events as bytes: what stands in a batch's body.
//!
//! A body is a sequence of CBOR records with numbered fields, one for each command that had an
//! effect: its cause, and the events that came of it (what was due by then among them). A field, once
//! numbered, keeps its meaning; new fields are optional; so old journals stay readable.
//!
//! **Formats.** Who decodes CBOR skips a field that it does not know, and would go on from something
//! else than what was written. So every change of what a body may say has a number, its *format*; a
//! body begins with it, and a program refuses by name what is in a later one than it knows. Records
//! are arrays, and the format is a bare number, so the two cannot be taken for each other.
//!
//! | format | what is new |
//! |---|---|
//! | 1 | nothing stands before the records |
//! | 2 | the format stands before the records, which are as in 1 |
//!
//! **Whoever adds an event, a field or a kind of command** from now on:
//! 1. Raises [`FORMAT_MAX`] by one, unless no release knows that format yet, and says in the table what
//!    is new.
//! 2. Lets nothing of it be written below that format, for an older node may be at work. The store says
//!    how far nodes may go ([`Journal::format`](crate::Journal::format)), and the engine's core has it
//!    for each batch. Until then a node does without: it leaves the field out, or refuses the command as
//!    what cannot be done yet.
//! 3. Reads all earlier formats for ever, and adds a golden file of the new one (`tests/golden.rs`).

use domain::Event;
use domain::catalogue::CatalogueEvent;
use domain::id::Name;
use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode, decode};

use crate::Format;

/// The newest format that this program reads and writes.
pub const FORMAT_MAX: Format = Format(2);

/// The first one that says which it is.
const FORMAT_MARKED: Format = Format(2);

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A later program wrote it.
    #[error("it is in format {0}, and this program reads up to {max}", max = FORMAT_MAX)]
    LaterFormat(Format),
    /// It is none of the formats that there are.
    #[error("{0}")]
    Misshapen(#[from] decode::Error),
}

/// Why something happened.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Cause {
    /// Who acted.
    #[n(0)]
    pub actor: Actor,
    /// Which command.
    #[n(1)]
    pub command: CommandKind,
    /// The request that brought it, as logs name it; none for what the system does by itself.
    #[n(2)]
    pub request: Option<u64>,
    /// Which operator did it, and why; none where nobody said so.
    #[n(3)]
    pub warrant: Option<Box<Warrant>>,
}

impl Cause {
    /// What the system does by itself.
    #[must_use]
    pub fn system(command: CommandKind) -> Self {
        Self { actor: Actor::System, command, request: None, warrant: None }
    }
}

/// By whose word an operator's command came: what operators say of themselves, for other operators
/// to read. No secret, and nothing about a buyer, belongs in here.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Warrant {
    /// The operator's name.
    #[n(0)]
    pub by: Name,
    /// Why, in the operator's words.
    #[n(1)]
    pub because: Option<Name>,
}

impl Warrant {
    /// Bytes of an operator's name, at most.
    pub const BY_MAX: usize = 64;
    /// Bytes of a reason, at most.
    pub const BECAUSE_MAX: usize = 500;
}

/// Who acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Actor {
    /// A buyer, by a queue token.
    #[n(0)]
    Buyer,
    /// The organiser or an operator.
    #[n(1)]
    Operator,
    /// Time, the reconciler, or a provider's answer.
    #[n(2)]
    System,
}

macro_rules! command_kinds {
    ($($n:literal $name:ident $word:literal),+ $(,)?) => {
        /// The kinds of [`domain::Command`], as history names them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
        #[cbor(index_only)]
        pub enum CommandKind {
            $(#[doc = $word] #[n($n)] $name),+
        }

        impl CommandKind {
            /// Every kind, each at its number.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The kind as one word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }
        }
    };
}

command_kinds! {
    0 Join "join", 1 Seen "seen", 2 Leave "leave", 3 Hold "hold", 4 GiveBack "give_back",
    5 BeginPayment "begin_payment", 6 SettlePayment "settle_payment",
    7 SettleRefund "settle_refund", 8 Tick "tick", 9 Resume "resume", 10 Schedule "schedule",
    11 Open "open", 12 Pause "pause", 13 Unpause "unpause", 14 Close "close",
    15 ChangeLimits "change_limits", 16 Withhold "withhold", 17 Release "release",
    18 Change "change",
}

impl From<&domain::Command> for CommandKind {
    fn from(command: &domain::Command) -> Self {
        use domain::Command as C;
        match command {
            C::Join { .. } => Self::Join,
            C::Seen { .. } => Self::Seen,
            C::Leave { .. } => Self::Leave,
            C::Hold { .. } => Self::Hold,
            C::GiveBack { .. } => Self::GiveBack,
            C::BeginPayment { .. } => Self::BeginPayment,
            C::SettlePayment { .. } => Self::SettlePayment,
            C::SettleRefund { .. } => Self::SettleRefund,
            C::Tick => Self::Tick,
            C::Resume { .. } => Self::Resume,
            C::Schedule(_) => Self::Schedule,
            C::Open => Self::Open,
            C::Pause => Self::Pause,
            C::Unpause => Self::Unpause,
            C::Close => Self::Close,
            C::ChangeLimits(_) => Self::ChangeLimits,
            C::Change(_) => Self::Change,
            C::Withhold { .. } => Self::Withhold,
            C::Release { .. } => Self::Release,
        }
    }
}

/// What one command brought about.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Record {
    /// Why.
    #[n(0)]
    pub cause: Cause,
    /// What happened, in order; at least one event.
    #[n(1)]
    pub events: Vec<Event>,
}

/// Begins a body in a format that is not later than [`FORMAT_MAX`]: all its records are in that one.
///
/// # Panics
/// Never: writing to memory does not fail.
pub fn begin(body: &mut Vec<u8>, format: Format) {
    debug_assert!(format <= FORMAT_MAX, "nobody can write format {format}");
    if format >= FORMAT_MARKED {
        minicbor::Encoder::new(body).u32(format.0).expect("writing to memory does not fail");
    }
}

/// Adds a record to a body that was begun. `events` are those of [`Record::events`].
///
/// # Panics
/// Never: writing to memory does not fail.
pub fn write_record(body: &mut Vec<u8>, cause: &Cause, events: &[Event]) {
    let mut e = minicbor::Encoder::new(body);
    e.array(2)
        .and_then(|e| e.encode(cause))
        .and_then(|e| e.encode(events))
        .expect("writing to memory does not fail");
}

/// The records of a body, in whatever format it is.
///
/// # Errors
/// Why the body cannot be read.
pub fn read_records(body: &[u8]) -> Result<Vec<Record>, Unreadable> {
    read_all(body)
}

/// The body of a batch of the catalogue's stream, in a format that is not later than [`FORMAT_MAX`].
///
/// # Panics
/// Never: writing to memory does not fail.
#[must_use]
pub fn write_catalogue(event: &CatalogueEvent, format: Format) -> Vec<u8> {
    let mut body = Vec::new();
    begin(&mut body, format);
    minicbor::encode(event, &mut body).expect("writing to memory does not fail");
    body
}

/// The events in a body of the catalogue's stream, in whatever format it is.
///
/// # Errors
/// Why the body cannot be read.
pub fn read_catalogue(body: &[u8]) -> Result<Vec<CatalogueEvent>, Unreadable> {
    read_all(body)
}

fn read_all<'b, T: Decode<'b, ()>>(body: &'b [u8]) -> Result<Vec<T>, Unreadable> {
    let mut d = Decoder::new(body);
    read_format(&mut d)?;
    let mut all = Vec::new();
    while d.position() < body.len() {
        all.push(d.decode()?);
    }
    Ok(all)
}

/// Steps over what says the format, where something does.
fn read_format(d: &mut Decoder<'_>) -> Result<(), Unreadable> {
    if d.input().is_empty() || !matches!(d.datatype()?, Type::U8 | Type::U16 | Type::U32) {
        return Ok(());
    }
    match Format(d.u32()?) {
        found if found > FORMAT_MAX => Err(Unreadable::LaterFormat(found)),
        found if found < FORMAT_MARKED => {
            let why = decode::Error::message(format!("format {found} says nothing of itself"));
            Err(why.at(0).into())
        }
        _known => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::EntryIndex;
    use domain::time::Second;

    #[test]
    fn every_kind_stands_at_its_number() {
        for (number, kind) in CommandKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, number);
        }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let cause = Cause {
            actor: Actor::Buyer,
            command: CommandKind::Leave,
            request: Some(u64::MAX),
            warrant: None,
        };
        let events = vec![Event::Opened, Event::Left { entry: EntryIndex(7), at: Second(9) }];
        let mut body = Vec::new();
        write_record(&mut body, &cause, &events);
        write_record(&mut body, &cause, &events[..1]);
        let records = read_records(&body).unwrap();
        assert_eq!(records[0], Record { cause, events });
        assert_eq!(records[1].events, [Event::Opened]);
        assert!(read_records(&body[..body.len() - 1]).is_err());
    }

    #[test]
    fn a_format_that_says_nothing_of_itself_is_no_beginning() {
        assert_eq!(read_records(&[]).unwrap(), []);
        for format in [0_u8, 1] {
            let why = read_records(&[format]).unwrap_err();
            assert!(matches!(why, Unreadable::Misshapen(_)), "{why}");
        }
    }
}

//! The bytes of the journal, kept for ever: what `golden/records-1.hex` says is what version 1
//! wrote (and `records-2.hex` what came later), and every later version must read it as the same
//! events.
//!
//! What `golden/format-1.hex` and `format-2.hex` say is how whole bodies begin in each format, and
//! `format-3.hex` what a later program may write, which is refused by name.
//!
//! What `golden/warrants-1.hex` says is how the word of an operator is kept, who and why.
//!
//! A change that makes this test fail has changed the meaning of journals that exist. A new event or
//! a new optional field gets a new file beside the old one; the old one is never written anew.

use domain::catalogue::{CatalogueEvent, Listing};
use domain::command::Schedule;
use domain::event::{Entries, Event};
use domain::id::{
    EntryIndex, FileHash, HolderKey, KeyHash, Nonce, PaymentId, PaymentIndex, PerformanceId,
    ReservationId, ReservationIndex, SaleId, SeatIndex, VisitIndex,
};
use domain::limits::Limits;
use domain::line::JoinKeys;
use domain::money::{Currency, Money};
use domain::plan::{Grade, Performance, Plan, Row, Seat, Section, WheelchairPlace};
use domain::reservation::EndReason;
use domain::time::{Second, Timestamp};
use store::Format;
use store::codec::{
    Actor, Cause, CommandKind, FORMAT_MAX, Record, Warrant, begin, read_catalogue, read_records,
    write_catalogue, write_record,
};

const GOLDEN: &str = include_str!("golden/records-1.hex");
const GOLDEN_2: &str = include_str!("golden/records-2.hex");
const CATALOGUE: &str = include_str!("golden/catalogue-1.hex");
const FORMAT_1: &str = include_str!("golden/format-1.hex");
const FORMAT_2: &str = include_str!("golden/format-2.hex");
/// Bodies of a sale and of the catalogue, one that goes on as nobody does yet, and one that does not.
const FORMAT_3: &str = include_str!("golden/format-3.hex");
const WARRANTS: &str = include_str!("golden/warrants-1.hex");

fn schedule() -> Schedule {
    let seat =
        |n: i32, pool| Seat {
            number: format!("가{n}").into(), grade: 0, x: -100 * n, y: 50, pool
        };
    Schedule {
        sale: SaleId::parse("spring").expect("a slug"),
        plan: Plan {
            currency: Currency::KRW,
            time_zone: "Asia/Seoul".into(),
            pools: vec!["press".into()],
            performances: vec![Performance {
                id: PerformanceId::parse("spring-1").expect("a slug"),
                title: "봄".into(),
                venue: "한강홀".into(),
                date: jiff::civil::date(2026, 6, 20),
                starts_at: Timestamp(1_781_949_600_000),
                grades: vec![Grade { name: "R".into(), price: Money(132_000) }],
                sections: vec![Section {
                    name: "1층".into(),
                    rows: vec![Row {
                        name: "가".into(),
                        seats: vec![seat(1, None), seat(2, Some(0))],
                    }],
                }],
                wheelchair_places: Vec::new(),
            }],
        },
        limits: Limits::default(),
        opens_at: Timestamp(1_777_633_200_000),
        closes_at: Some(Timestamp(1_781_940_000_000)),
        file: None,
    }
}

/// One of each event, as version 1 knew them.
fn events() -> Vec<Event> {
    let (at, until) = (Second(1_777_633_200), Second(1_777_633_500));
    let (visit, reservation, payment) = (VisitIndex(1), ReservationIndex(2), PaymentIndex(3));
    let (entry, seats) = (EntryIndex(4), vec![SeatIndex(0), SeatIndex(1)]);
    let key = Some((KeyHash(0x0123_4567_89ab_cdef_0011_2233_4455_6677), u64::MAX));
    vec![
        Event::Scheduled(Box::new(schedule())),
        Event::Opened,
        Event::Paused,
        Event::Unpaused,
        Event::Closed { at },
        Event::LimitsChanged { limits: Limits { active_limit: 7, ..Limits::default() }, at },
        Event::SeatsWithheld { seats: seats.clone(), pool: 0 },
        Event::SeatsReleased { seats: seats.clone() },
        Event::Resumed { gap: 61_000, until: Timestamp(1_777_633_300_000) },
        Event::Joined {
            nonce: Nonce(u32::MAX),
            at,
            keys: Some(JoinKeys { key: Some(KeyHash(5)), holder: Some(HolderKey(6)) }),
        },
        Event::Seen { at, entries: Entries(vec![EntryIndex(0), EntryIndex(200), EntryIndex(201)]) },
        Event::PlacesExpired { until, at, places: None },
        Event::Left { entry, at },
        Event::PassedOver { entry },
        Event::Admitted { entry, arrive_until: at, choose_until: until },
        Event::TurnMissed { visit, seen: at },
        Event::ChoosingEnded { visit, at },
        Event::SeatsHeld {
            visit,
            reservation: ReservationId(u64::MAX),
            seats,
            until,
            hard_end: until.plus(60),
            key,
        },
        Event::SeatsGivenBack { reservation, at, choose_until: Some(until) },
        Event::HoldExpired { reservation, at },
        Event::PaymentBegun {
            reservation,
            payment: PaymentId(u128::MAX),
            hold_until: until,
            answer_until: at.plus(15),
            key: None,
        },
        Event::PaymentApproved { payment, at },
        Event::PaymentDeclined {
            payment,
            at,
            reason: "card_declined".into(),
            retryable: true,
            hold_until: until,
        },
        Event::PaymentUnknown { payment },
        Event::RefundDue { payment },
        Event::PaymentRefunded { payment, at },
        Event::LineEnded { reason: EndReason::SoldOut, at },
    ]
}

/// The number under which an event stands in the journal. No `_`: a new event must come in here,
/// and into a golden file of its own.
fn number(event: &Event) -> u8 {
    match event {
        Event::Scheduled(_) => 1,
        Event::Opened => 2,
        Event::Paused => 3,
        Event::Unpaused => 4,
        Event::Closed { .. } => 5,
        Event::LimitsChanged { .. } => 6,
        Event::SeatsWithheld { .. } => 7,
        Event::SeatsReleased { .. } => 8,
        Event::Resumed { .. } => 9,
        Event::Joined { .. } => 10,
        Event::Seen { .. } => 11,
        Event::PlacesExpired { .. } => 12,
        Event::Left { .. } => 13,
        Event::PassedOver { .. } => 14,
        Event::Admitted { .. } => 15,
        Event::TurnMissed { .. } => 16,
        Event::ChoosingEnded { .. } => 17,
        Event::SeatsHeld { .. } => 18,
        Event::SeatsGivenBack { .. } => 19,
        Event::HoldExpired { .. } => 20,
        Event::PaymentBegun { .. } => 21,
        Event::PaymentApproved { .. } => 22,
        Event::PaymentDeclined { .. } => 23,
        Event::PaymentUnknown { .. } => 24,
        Event::RefundDue { .. } => 25,
        Event::PaymentRefunded { .. } => 26,
        Event::LineEnded { .. } => 27,
        Event::Changed { .. } => 28,
    }
}

fn records() -> Vec<Record> {
    let cause = |n| {
        let actors = [Actor::Buyer, Actor::Operator, Actor::System];
        Cause {
            actor: actors[n % 3],
            command: CommandKind::Hold,
            request: (n % 2 == 0).then_some(9),
            warrant: None,
        }
    };
    let event = |(n, event)| Record { cause: cause(n), events: vec![event] };
    events().into_iter().enumerate().map(event).collect()
}

#[test]
fn what_version_1_wrote_is_read_as_it_was_meant_and_written_the_same() {
    let numbers: Vec<u8> = events().iter().map(number).collect();
    assert_eq!(numbers, (1..=27).collect::<Vec<_>>());

    agree(GOLDEN, records());
}

#[test]
fn an_operators_word_is_read_as_it_was_written() {
    let record = |warrant, request| Record {
        cause: Cause { actor: Actor::Operator, command: CommandKind::Pause, request, warrant },
        events: vec![Event::Paused],
    };
    let word = |by: &str, because: Option<&str>| {
        Some(Box::new(Warrant { by: by.into(), because: because.map(Into::into) }))
    };
    agree(
        WARRANTS,
        vec![
            record(word("kim", None), Some(9)),
            record(word("김매표", Some("무대 점검")), Some(u64::MAX)),
            record(word("kim", Some("the stage is not ready")), None),
        ],
    );
}

/// Each line of `golden` is read as one of these, and these are written as it.
fn agree(golden: &str, records: Vec<Record>) {
    let golden: Vec<Vec<u8>> = golden.lines().map(bytes).collect();
    assert_eq!(golden.len(), records.len());
    for (golden, expected) in golden.iter().zip(records) {
        let mut written = Vec::new();
        write_record(&mut written, &expected.cause, &expected.events);
        assert_eq!(hex(&written), hex(golden), "{expected:?}");
        let read = read_records(golden).expect("a golden record");
        assert_eq!(read, std::slice::from_ref(&expected));
    }
}

fn bytes(line: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).expect("hexadecimal");
    (0..line.len()).step_by(2).map(digit).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What version 1 did not know yet: wheelchair places, the file that a sale came from, a sale that
/// is described anew, how many places expired.
fn later_events() -> Vec<Event> {
    let mut schedule = schedule();
    schedule.file = Some(FileHash([0xab; 32]));
    schedule.plan.performances[0].wheelchair_places =
        vec![WheelchairPlace { place: "가1".into(), companions: vec!["가2".into()] }];
    let at = Second(1_777_633_200);
    vec![
        Event::Scheduled(Box::new(schedule.clone())),
        Event::Changed { schedule: Box::new(schedule), at },
        Event::PlacesExpired { until: at.plus(300), at, places: Some(300) },
    ]
}

#[test]
fn what_came_later_is_kept_for_ever_too() {
    let cause = Cause {
        actor: Actor::Operator,
        command: CommandKind::Change,
        request: Some(9),
        warrant: None,
    };
    let events = later_events();
    let lines: Vec<String> = GOLDEN_2.lines().map(str::to_owned).collect();
    let mut written = Vec::new();
    for event in &events {
        let mut record = Vec::new();
        write_record(&mut record, &cause, std::slice::from_ref(event));
        written.push(hex(&record));
    }
    assert_eq!(lines, written);
    for (line, event) in lines.iter().zip(events) {
        let read = read_records(&bytes(line)).expect("a golden record");
        assert_eq!(read, [Record { cause: cause.clone(), events: vec![event] }]);
    }
}

fn sale_added() -> CatalogueEvent {
    CatalogueEvent::SaleAdded(Listing {
        sale: SaleId::parse("spring").expect("a slug"),
        stream: 1,
        performances: vec![PerformanceId::parse("spring-1").expect("a slug")],
        default: true,
    })
}

#[test]
fn the_catalogue_is_kept_for_ever() {
    let id = |name: &str| PerformanceId::parse(name).expect("a slug");
    let sale = SaleId::parse("spring").expect("a slug");
    let added = sale_added();
    let more = CatalogueEvent::PerformancesAdded { sale, performances: vec![id("spring-2")] };
    let lines: Vec<String> = CATALOGUE.lines().map(str::to_owned).collect();
    let written: Vec<String> =
        [&added, &more].map(|event| hex(&write_catalogue(event, Format::FIRST))).into();
    assert_eq!(lines, written);
    for (line, event) in lines.iter().zip([added, more]) {
        assert_eq!(read_catalogue(&bytes(line)).expect("a golden event"), [event]);
    }
}

#[test]
fn a_body_is_written_in_the_format_that_is_asked_for_and_read_in_each() {
    assert_eq!(FORMAT_MAX, Format(2), "a new format has a golden file of its own");
    for (format, golden) in [(Format(1), FORMAT_1), (Format(2), FORMAT_2)] {
        let [sale, catalogue] = *golden.lines().collect::<Vec<_>>() else { panic!("two bodies") };
        let mut body = Vec::new();
        begin(&mut body, format);
        for Record { cause, events } in records() {
            write_record(&mut body, &cause, &events);
        }
        assert_eq!(hex(&body), sale, "format {format}");
        assert_eq!(read_records(&body).expect("a golden body"), records());
        let body = write_catalogue(&sale_added(), format);
        assert_eq!(hex(&body), catalogue, "format {format}");
        assert_eq!(read_catalogue(&body).expect("a golden body"), [sale_added()]);
    }
    // The first one says nothing of itself, and the next one a byte.
    assert_eq!(GOLDEN.lines().collect::<String>(), FORMAT_1.lines().next().expect("a body"));
    let marked: Vec<String> = FORMAT_1.lines().map(|line| format!("02{line}")).collect();
    assert_eq!(marked, FORMAT_2.lines().collect::<Vec<_>>());
}

#[test]
fn a_later_format_is_refused_by_name_whatever_follows() {
    let expected = "it is in format 3, and this program reads up to 2";
    for line in FORMAT_3.lines() {
        let (records, catalogue) = (read_records(&bytes(line)), read_catalogue(&bytes(line)));
        assert_eq!(records.expect_err("a later format").to_string(), expected, "{line}");
        assert_eq!(catalogue.expect_err("a later format").to_string(), expected, "{line}");
    }
    // However many there will be.
    let far = read_records(&bytes("1a000f4240")).expect_err("a later format");
    assert_eq!(far.to_string(), "it is in format 1000000, and this program reads up to 2");
}

//! A history as the rules write it, told and inspected.

use std::sync::Arc;

use domain::Event;
use domain::command::{Command, Key, PaymentOutcome, Wish};
use domain::event::Entries;
use domain::id::{KeyHash, Nonce, PaymentId, PaymentIndex, Place, SaleId, SeatIndex, VisitIndex};
use domain::line::JoinKeys;
use domain::sale::Outcome;
use domain::time::Second;
use serde_json::{Value, json};
use store::codec::{CommandKind, FORMAT_MAX, write_record};
use store::{Append, Appended, Batch, BatchId, Epoch, Head, MemoryJournal};

use super::*;
use crate::sale_file::SaleFile;

const STREAM: u32 = 1;
/// 2026-05-01T11:00:00Z.
const NOON: u64 = 1_777_633_200_000;

/// A sale whose history is written, one batch for each command.
struct Written {
    journal: MemoryJournal,
    sale: Sale,
    head: Head,
    now: Timestamp,
}

impl Written {
    /// A sale with seats A1 to A3 at ₩100, open.
    fn new(performances: &[&str]) -> Self {
        let journal = MemoryJournal::new(Epoch(1), Arc::new(|| 0), FORMAT_MAX);
        let (sale, head, now) = (Sale::default(), Head::EMPTY, Timestamp(NOON));
        let mut written = Self { journal, sale, head, now };
        let performances: Vec<Value> = (performances.iter())
            .map(|id| json!({ "id": id, "date": "2026-06-20", "starts_at": "19:00" }))
            .collect();
        let file = json!({
            "time_zone": "Asia/Seoul", "currency": "KRW", "opens_at": "2026-05-01T20:00",
            "title": "음악회", "venue": "소극장",
            "pools": ["press"],
            "grades": [{ "name": "일반석", "price": 100 }],
            "sections": [{ "name": "1층", "rows": "A", "seats": "1-3", "grade": "일반석" }],
            "performances": performances,
        });
        let file = SaleFile::from_json(file.to_string().as_bytes()).expect("a file");
        let new = file.schedule(listing().sale).expect("a sale");
        written.execute(Actor::Operator, &Command::Schedule(Box::new(new.schedule)));
        written
    }

    fn execute(&mut self, actor: Actor, command: &Command) -> Outcome {
        let mut events = Vec::new();
        let outcome = self.sale.execute(command, self.now, &mut events).expect("it is allowed");
        let request = (actor != Actor::System).then_some(self.head.number);
        let cause = Cause { actor, command: command.into(), request, warrant: None };
        self.append(&cause, &events);
        outcome
    }

    fn append(&mut self, cause: &Cause, events: &[Event]) {
        let mut body = Vec::new();
        write_record(&mut body, cause, events);
        self.append_body(body);
    }

    fn append_body(&mut self, body: Vec<u8>) {
        let batch = Batch {
            number: self.head.number + 1,
            id: BatchId(u128::from(self.head.number) + 1),
            previous: self.head.id,
            at_ms: self.now.0,
            body,
        };
        self.head = batch.head();
        let appended = self.journal.append(&[Append { stream: StreamId(STREAM), batch }]);
        assert_eq!(appended, Ok(vec![Appended::Appended]));
    }

    fn join(&mut self, nonce: u32) -> Place {
        let nonce = Nonce(nonce);
        let keys = JoinKeys { key: Some(KeyHash(7 + u128::from(nonce.0))), holder: None };
        let joined = self.execute(Actor::Buyer, &Command::Join { nonce, keys });
        let Outcome::Joined { entry, .. } = joined else { panic!("{joined:?}") };
        Place { entry, nonce }
    }

    fn hold(&mut self, place: Place, seat: u32, id: u64) {
        let key = Some(Key { hash: KeyHash(99), body: 5 });
        let wish = Wish::Seats { performance: None, seats: vec![SeatIndex(seat)] };
        let reservation = ReservationId(id);
        let hold = Command::Hold { place, wish, expected: None, reservation, key };
        self.execute(Actor::Buyer, &hold);
    }

    fn pay(&mut self, place: Place, reservation: u64, payment: u128, outcome: PaymentOutcome) {
        let payment = PaymentId(payment);
        let reservation = ReservationId(reservation);
        let begin =
            Command::BeginPayment { place, reservation, payment, expected: None, key: None };
        self.execute(Actor::Buyer, &begin);
        self.execute(Actor::System, &Command::SettlePayment { payment, outcome });
    }

    /// What `show` prints, without what is the same in every line.
    fn shown(&self, buyer: Option<EntryIndex>) -> Vec<String> {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out);
        print_sale(&self.journal, &listing(), buyer, &mut printer).expect("it can be read");
        printer.finish().expect("memory takes it");
        let text = String::from_utf8(out).expect("text");
        let start = r#"{"sale":"spring","batch":"#;
        text.lines().map(|line| line.strip_prefix(start).expect(line).to_owned()).collect()
    }
}

fn listing() -> Listing {
    let sale = SaleId::parse("spring").expect("an id");
    Listing { sale, stream: STREAM, performances: Vec::new(), default: false }
}

fn declined() -> PaymentOutcome {
    PaymentOutcome::Declined { reason: "card_declined".into(), retryable: true }
}

/// One buys A2 at the second try; another joins and leaves.
fn a_story() -> Written {
    let mut written = Written::new(&["spring-1"]);
    let ann = written.join(11);
    let bob = written.join(12);
    written.now = written.now.plus(2_000);
    written.hold(ann, 1, 5);
    written.pay(ann, 5, 6, declined());
    written.execute(Actor::Buyer, &Command::Leave { place: bob });
    written.pay(ann, 5, 7, PaymentOutcome::Approved);
    written
}

#[test]
fn history_is_told_in_names_that_people_know() {
    let shown = a_story().shown(None);
    let (scheduled, rest) = shown.split_first().expect("a first line");
    assert!(scheduled.contains(r#""event":"scheduled","performances":["spring-1"],"seats":3"#));
    assert!(scheduled.contains(r#""opens_at":"2026-05-01T11:00:00.000Z""#));
    assert!(scheduled.contains(r#""hold_ttl":300"#));
    let expected = include_str!("story.txt");
    assert_eq!(rest.join("\n"), expected.trim_end());
}

#[test]
fn one_buyer_is_told_of_alone() {
    let written = a_story();
    let names = |buyer: u32| -> Vec<String> {
        let lines = written.shown(Some(EntryIndex(buyer)));
        let name = |line: &String| {
            line.split(r#""event":""#)
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .map(str::to_owned)
        };
        lines.iter().filter_map(name).collect()
    };
    let ann = [
        "joined",
        "admitted",
        "seats_held",
        "payment_begun",
        "payment_declined",
        "payment_begun",
        "payment_approved",
    ];
    assert_eq!(names(0), ann);
    assert_eq!(names(1), ["joined", "admitted", "left"]);
    assert_eq!(buyer_of(&written.sale, ReservationId(5)), Some(EntryIndex(0)));
    assert_eq!(buyer_of(&written.sale, ReservationId(6)), None);
}

#[test]
fn a_seat_of_several_performances_is_told_with_its_own() {
    let mut written = Written::new(&["spring-sat", "spring-sun"]);
    let ann = written.join(11);
    written.hold(ann, 4, 5);
    let shown = written.shown(None);
    let held = shown.last().expect("the hold");
    let seats = r#""seats":[{"performance_id":"spring-sun","seat_number":"A2"}],"amount":100"#;
    assert!(held.contains(seats), "{held}");
}

#[test]
fn every_event_has_its_words() {
    let mut written = a_story();
    let (at, seats) = (Second(1_777_633_300), vec![SeatIndex(2)]);
    let (payment, entry) = (PaymentIndex(1), EntryIndex(0));
    // Told after the story's state: names are all that is asked for.
    let table = [
        (Event::Paused, r#""event":"paused""#),
        (Event::Unpaused, r#""event":"unpaused""#),
        (
            Event::SeatsWithheld { seats: seats.clone(), pool: 0 },
            r#""seats":["A3"],"pool":"press""#,
        ),
        (Event::SeatsReleased { seats }, r#""event":"seats_released","seats":["A3"]"#),
        (Event::PassedOver { entry }, r#""event":"passed_over","entry":0"#),
        (
            Event::Seen { at, entries: Entries(vec![entry, EntryIndex(1)]) },
            r#""event":"seen","entries":[0,1]"#,
        ),
        (
            Event::PlacesExpired { until: at, at, places: Some(3) },
            r#""event":"places_expired","last_seen_until":"2026-05-01T11:01:40.000Z","places":3"#,
        ),
        (
            Event::ChoosingEnded { visit: VisitIndex(0), at },
            r#""event":"choosing_ended","entry":0"#,
        ),
        (
            Event::HoldExpired { reservation: domain::id::ReservationIndex(0), at },
            r#""event":"hold_expired","entry":0,"reservation_id":"0000000000005""#,
        ),
        (
            Event::PaymentUnknown { payment },
            r#""event":"payment_unknown","entry":0,"reservation_id":"0000000000005","payment_id":"00000000000000000000000007""#,
        ),
        (Event::RefundDue { payment }, r#""event":"refund_due""#),
        (Event::PaymentRefunded { payment, at }, r#""event":"payment_refunded""#),
        (Event::Closed { at }, r#""event":"closed""#),
        (
            Event::LineEnded { reason: domain::reservation::EndReason::SoldOut, at },
            r#""event":"line_ended","reason":"sold_out""#,
        ),
    ];
    let sale = std::mem::take(&mut written.sale);
    let mut teller = Teller::new(None);
    for (event, expected) in &table {
        let told = teller.tell(event, &sale).expect("everything is told");
        let text = serde_json::to_string(&told).expect("JSON");
        assert!(text.contains(expected), "{text}");
    }
}

fn verdict(written: &Written) -> (bool, String) {
    let inspection = Inspection::of(&written.journal, StreamId(STREAM), None);
    (inspection.is_sound(), inspection.to_string())
}

#[test]
fn a_sound_history_is_found_sound() {
    let written = a_story();
    let (sound, text) = verdict(&written);
    assert!(sound, "{text}");
    assert!(text.contains(&format!("{} batches", written.head.number)), "{text}");
}

#[test]
fn an_invariant_that_breaks_is_named_with_its_batch() {
    let mut written = Written::new(&["spring-1"]);
    written.join(11);
    let cause = Cause::system(CommandKind::Tick);
    // A hold that outlives its hard end: no decision ever says so.
    let endless = Event::SeatsHeld {
        visit: VisitIndex(0),
        reservation: ReservationId(5),
        seats: vec![SeatIndex(1)],
        until: Second(1_777_633_501),
        hard_end: Second(1_777_633_500),
        key: None,
    };
    written.append(&cause, &[endless]);
    let broken_at = written.head.number;
    written.append(&cause, &[Event::Paused]);
    let (sound, text) = verdict(&written);
    assert!(!sound);
    assert!(text.starts_with("BROKEN: invariant 6 "), "{text}");
    assert!(text.contains(&format!("after batch {broken_at}")), "{text}");
}

#[test]
fn what_cannot_be_read_is_not_sound() {
    let mut written = a_story();
    written.append_body(vec![0xff]);
    let (sound, text) = verdict(&written);
    assert!(!sound && text.starts_with("BROKEN: batch "), "{text}");
}

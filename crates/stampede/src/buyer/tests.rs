//! Buyers are told things, and asked what they do next.

use super::*;
use crate::contract::Word;
use crate::findings::{Finding, Verdict};
use crate::moment::Moment;
use crate::wire::Connection;

const SECOND: Duration = Duration::from_secs(1);
const TOKEN: &str = "header.payload.signature";

/// A buyer at a box office that says what the test says.
struct Visit {
    show: Show,
    buyer: Buyer,
    findings: Findings,
    now_ms: u64,
}

fn word(text: &str) -> Word {
    Word::try_from(Box::from(text)).expect("a word")
}

/// Somebody who does nothing out of the ordinary, and thinks for a second.
fn plain() -> Character {
    Character {
        think: SECOND,
        party: 2,
        performance: 0,
        pays_with: "tok_ok",
        has_another_card: true,
        gives_back: false,
        vanishes_in_line: None,
        leaves_in_line: None,
        is_away_at: None,
        vanishes_inside: false,
        vanishes_holding: false,
    }
}

impl Visit {
    fn of(character: Character) -> Self {
        Self {
            show: Show {
                host: "localhost:8080".to_owned(),
                sale: word("spring"),
                performances: vec![
                    (word("sat"), word("2026-06-20")),
                    (word("sun"), word("2026-06-21")),
                ],
                secret: 0x1234_5678_9abc_def0_0fed_cba9_8765_4321,
            },
            buyer: Buyer::new(7, character, Random::new(1)),
            findings: Findings::default(),
            now_ms: 0,
        }
    }

    /// What is asked next: the first line, and the whole of it.
    fn asks(&mut self) -> (String, String) {
        let mut request = Vec::new();
        let now = Moment::from_ms(self.now_ms);
        self.buyer.ask(&self.show, now, &mut self.findings, &mut request);
        let text = String::from_utf8(request).expect("text");
        (text.lines().next().unwrap_or_default().to_owned(), text)
    }

    /// Asks, is answered so, and says when the next question follows.
    #[track_caller]
    fn turn(&mut self, asks: &str, status: u16, body: &str) -> Then {
        let (line, _) = self.asks();
        assert_eq!(line, format!("{asks} HTTP/1.1"));
        let exchange = Exchange::ms(self.now_ms, self.now_ms + 10);
        self.now_ms += 20;
        let heard = Heard { status, retry_after: None, body: body.as_bytes() };
        self.buyer.hear(&self.show, heard, exchange, &mut self.findings)
    }

    fn joins(&mut self) {
        let token = format!("\"token\":\"{TOKEN}\",");
        assert_eq!(self.turn("POST /queue/token", 201, &waiting(&token, 5, 1)), after_ms(1_700));
    }

    fn comes_in(&mut self) {
        self.joins();
        let then = self.turn("GET /queue/status", 200, ADMITTED);
        assert_eq!(then, Then::After(Duration::ZERO));
    }

    fn holds(&mut self) {
        self.comes_in();
        self.turn(LIST, 200, SEATS);
        self.turn("POST /reservations", 201, &held("held", ""));
    }

    #[track_caller]
    fn is_over(&self, end: End) {
        assert_eq!(self.buyer.standing(), Standing::Over(end));
        assert_eq!(self.buyer.call(), None);
    }

    fn findings(self) -> Vec<Finding> {
        self.findings.close(Some(1))
    }

    /// Nothing was found to complain about.
    fn ends_well(self) {
        for finding in self.findings() {
            assert_ne!(finding.verdict, Verdict::Broken, "{finding:?}");
        }
    }
}

const LIST: &str = "GET /reservations/2026-06-20?performance_id=sat";
const OTHER_LIST: &str = "GET /reservations/2026-06-21?performance_id=sun";
const SEATS: &str = r#"{"available_seats":[{"seat_number":"A1"},{"seat_number":"A2"},
    {"seat_number":"B1"},{"seat_number":"B2"}],"as_of":3}"#;
const NO_SEATS: &str = r#"{"available_seats":[],"as_of":3}"#;
const ADMITTED: &str = r#"{"status":"admitted","position":1,"total":1,"poll_after_ms":1500,
    "admitted_until":"2026-06-01T10:00:00Z","as_of":2}"#;
const PAID: &str = r#"{"status":"success","payment_status":"success","payment_id":"p1",
    "tickets":[{"seat_number":"A1","ticket_id":"t"},{"seat_number":"A2","ticket_id":"u"}]}"#;
const DECLINED: &str = r#"{"code":"payment_declined","payment_status":"failed","retryable":true,
    "expires_in_ms":60000}"#;

fn waiting(token: &str, position: u64, as_of: u64) -> String {
    format!(
        "{{{token}\"status\":\"waiting\",\"position\":{position},\"total\":9,\
         \"poll_after_ms\":1700,\"as_of\":{as_of}}}"
    )
}

fn held(status: &str, more: &str) -> String {
    format!(
        r#"{{"reservation_id":"r1","status":"{status}","performance_id":"sat",
        "seats":[{{"seat_number":"A1"}},{{"seat_number":"A2"}}],"expires_in_ms":300000{more}}}"#
    )
}

fn problem(code: &str) -> String {
    format!("{{\"code\":\"{code}\"}}")
}

fn after_ms(ms: u64) -> Then {
    Then::After(Duration::from_millis(ms))
}

/// Whether the next question comes after about so long.
fn is_about(then: Then, about: Duration) -> bool {
    let Then::After(after) = then else { return false };
    (about / 2..=about * 3 / 2).contains(&after)
}

#[test]
fn a_ticket_is_bought() {
    let mut visit = Visit::of(plain());
    visit.joins();
    assert_eq!(visit.buyer.standing(), Standing::Waiting);
    let then = visit.turn("GET /queue/status", 200, &waiting("", 2, 2));
    assert_eq!(then, after_ms(1_700));
    assert!(visit.asks().1.contains(&format!("Authorization: Bearer {TOKEN}\r\n")));
    assert_eq!(visit.turn("GET /queue/status", 200, ADMITTED), Then::After(Duration::ZERO));
    assert_eq!(visit.buyer.standing(), Standing::Inside);
    let then = visit.turn(LIST, 200, SEATS);
    assert!(is_about(then, SECOND), "{then:?}");
    let (_, hold) = visit.asks();
    let body = hold.split("\r\n\r\n").nth(1).unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["performance_id"], "sat");
    assert_eq!(body["seat_numbers"].as_array().unwrap().len(), 2);
    assert!(hold.contains("Idempotency-Key: "));
    let then = visit.turn("POST /reservations", 201, &held("held", ",\"token\":\"fresh\""));
    assert!(is_about(then, SECOND), "{then:?}");
    let (_, payment) = visit.asks();
    assert!(payment.contains("Bearer fresh\r\n"), "{payment}");
    assert!(
        payment
            .ends_with(r#"{"reservation_id":"r1","payment":{"method":"card","token":"tok_ok"}}"#)
    );
    assert_eq!(visit.turn("POST /payment", 200, PAID), Then::Never);
    visit.is_over(End::Bought);
    assert_eq!(visit.buyer.tickets(), 2);

    let confirmed = held("confirmed", ",\"last_payment\":{\"payment_id\":\"p1\"}");
    let body = format!("{{\"reservations\":[{confirmed}]}}");
    let heard = Heard { status: 200, retry_after: None, body: body.as_bytes() };
    assert!(visit.buyer.hear_receipt(heard, &mut visit.findings));
    for finding in visit.findings() {
        let is_order = finding.promise.contains("order");
        let expected = if is_order { Verdict::NotSeen } else { Verdict::Kept };
        assert_eq!(finding.verdict, expected, "{finding:?}");
    }
}

#[test]
fn what_is_lost_is_asked_again_with_the_same_key() {
    let mut visit = Visit::of(plain());
    let (_, join) = visit.asks();
    assert!(matches!(visit.buyer.lose(Lost::Closed), Then::After(_)));
    assert_eq!(visit.asks().1, join);
    visit.holds();
    let (_, payment) = visit.asks();
    for status in [502, 503, 504, 429] {
        let then = visit.turn("POST /payment", status, "");
        assert!(matches!(then, Then::After(_)), "{status}");
        assert_eq!(visit.asks().1, payment, "{status}");
    }
    // A payment that is tried again after it was declined is another one.
    visit.turn("POST /payment", 402, DECLINED);
    let key = |request: &str| {
        request.lines().find(|line| line.starts_with("Idempotency-Key")).map(str::to_owned)
    };
    let (_, other) = visit.asks();
    assert!(key(&other).is_some() && key(&other) != key(&payment));
    visit.ends_well();
}

#[test]
fn nobody_asks_for_ever() {
    let mut visit = Visit::of(plain());
    let mut tries = 1;
    while let Then::After(after) = visit.buyer.lose(Lost::Late) {
        assert!(after <= 2 * LONGEST_WAIT);
        tries += 1;
        assert!(tries < 100);
    }
    visit.is_over(End::GaveUp);
}

#[test]
fn a_box_office_that_contradicts_itself_is_not_asked_without_a_pause() {
    let mut visit = Visit::of(plain());
    visit.comes_in();
    for _ in 0..100 {
        // The list has no seats for somebody whose turn it is not, which it is.
        let then = visit.turn(LIST, 200, r#"{"status":"waiting"}"#);
        assert!(is_about(then, MOMENT), "{then:?}");
        visit.turn("GET /queue/status", 200, ADMITTED);
        visit.turn(LIST, 401, &problem("token_expired"));
        let then = visit.turn("POST /queue/token", 200, ADMITTED);
        assert!(is_about(then, MOMENT), "{then:?}");
    }
}

#[test]
fn whoever_is_told_to_come_back_comes_back_then() {
    let mut visit = Visit::of(plain());
    visit.joins();
    let retry_after = Some(Duration::from_secs(7));
    let heard = Heard { status: 503, retry_after, body: b"" };
    let then = visit.buyer.hear(&visit.show, heard, Exchange::ms(50, 60), &mut visit.findings);
    assert!(is_about(then, Duration::from_secs(7)), "{then:?}");
}

#[test]
fn a_lost_race_is_run_again() {
    let mut visit = Visit::of(plain());
    visit.comes_in();
    let (mut listed, mut offered) = (0, 0);
    visit.turn(LIST, 200, SEATS);
    for _ in 0..20 {
        let taken = r#"{"code":"seat_taken","taken":["A1"],"alternatives":["C8","C9"]}"#;
        assert!(matches!(visit.turn("POST /reservations", 409, taken), Then::After(_)));
        if visit.buyer.call() == Some(Call::Seats) {
            listed += 1;
            visit.turn(LIST, 200, SEATS);
        } else {
            offered += 1;
            assert!(visit.asks().1.contains(r#""seat_numbers":["C8","C9"]"#));
        }
    }
    assert!(listed > 3 && offered > 3, "{listed} {offered}");
    visit.ends_well();
}

#[test]
fn who_finds_nothing_looks_elsewhere_and_leaves_in_the_end() {
    let mut visit = Visit::of(plain());
    visit.comes_in();
    for round in 0..ROUNDS_MAX {
        visit.turn(if round % 2 == 0 { LIST } else { OTHER_LIST }, 200, NO_SEATS);
    }
    visit.turn(LIST, 200, NO_SEATS);
    assert_eq!(visit.turn("DELETE /queue/token", 204, ""), Then::Never);
    visit.is_over(End::NothingLeft);
    visit.ends_well();
}

#[test]
fn fewer_seats_are_taken_where_so_many_are_not_allowed() {
    let mut visit = Visit::of(Character { party: 4, ..plain() });
    visit.comes_in();
    visit.turn(LIST, 200, SEATS);
    let most = r#"{"code":"too_many_seats","seats_per_reservation":1}"#;
    visit.turn("POST /reservations", 422, most);
    assert!(visit.asks().1.contains(r#""seat_numbers":["A1"]"#));
    visit.ends_well();
}

#[test]
fn seats_are_given_back_once() {
    let mut visit = Visit::of(Character { gives_back: true, ..plain() });
    visit.holds();
    visit.turn("DELETE /me/reservations/r1", 200, ADMITTED);
    visit.turn(LIST, 200, SEATS);
    visit.turn("POST /reservations", 201, &held("held", ""));
    assert_eq!(visit.buyer.call(), Some(Call::Pay));
    visit.ends_well();
}

#[test]
fn a_declined_card_is_followed_by_another_or_by_leaving() {
    for has_another_card in [true, false] {
        let mut visit =
            Visit::of(Character { has_another_card, pays_with: "tok_declined", ..plain() });
        visit.holds();
        assert!(visit.asks().1.contains("tok_declined"));
        visit.turn("POST /payment", 402, DECLINED);
        if has_another_card {
            assert!(visit.asks().1.contains("tok_ok"));
            visit.turn("POST /payment", 200, PAID);
            visit.is_over(End::Bought);
        } else {
            visit.turn("DELETE /queue/token", 204, "");
            visit.is_over(End::Declined);
        }
        visit.ends_well();
    }
}

#[test]
fn a_silent_provider_is_asked_about() {
    let mut visit = Visit::of(plain());
    visit.holds();
    let pending = r#"{"payment_status":"pending","payment_id":"p1","poll_after_ms":1600}"#;
    assert_eq!(visit.turn("POST /payment", 202, pending), after_ms(1_600));
    assert_eq!(visit.turn("GET /payments/p1", 200, pending), after_ms(1_600));
    assert_eq!(visit.turn("GET /payments/p1", 200, PAID), Then::Never);
    visit.is_over(End::Bought);
    visit.ends_well();
}

#[test]
fn what_was_paid_already_is_looked_at() {
    let mut visit = Visit::of(plain());
    visit.holds();
    visit.turn("POST /payment", 409, r#"{"code":"already_paid","payment_id":"p1"}"#);
    let confirmed = held("confirmed", ",\"last_payment\":{\"payment_id\":\"p1\"}");
    visit.turn("GET /me/reservations/r1", 200, &confirmed);
    visit.is_over(End::Bought);
    visit.ends_well();
}

#[test]
fn an_old_token_is_renewed_and_the_question_asked_again() {
    let mut visit = Visit::of(plain());
    visit.comes_in();
    visit.turn(LIST, 401, &problem("token_expired"));
    let renewed = ADMITTED.replacen('{', "{\"token\":\"fresh\",", 1);
    visit.turn("POST /queue/token", 200, &renewed);
    assert!(visit.asks().1.contains("Bearer fresh\r\n"));
    visit.turn(LIST, 200, SEATS);
    visit.ends_well();
}

#[test]
fn the_end_of_a_place_is_the_end() {
    let table = [
        (410, r#"{"code":"place_ended","reason":"too_slow"}"#, End::PlaceEnded),
        (410, r#"{"code":"place_ended","reason":"sold_out"}"#, End::SoldOut),
        (410, r#"{"code":"sold_out"}"#, End::SoldOut),
        (200, r#"{"status":"ended","reason":"sold_out","as_of":9}"#, End::SoldOut),
        (200, r#"{"status":"ended","reason":"absent","as_of":9}"#, End::PlaceEnded),
    ];
    for (status, body, end) in table {
        let mut visit = Visit::of(plain());
        visit.joins();
        assert_eq!(visit.turn("GET /queue/status", status, body), Then::Never);
        visit.is_over(end);
        visit.ends_well();
    }
    let mut visit = Visit::of(plain());
    visit.turn("POST /queue/token", 410, &problem("sold_out"));
    visit.is_over(End::TurnedAway);
    visit.ends_well();
}

#[test]
fn before_the_opening_people_press_the_button_again() {
    let mut visit = Visit::of(plain());
    for _ in 0..50 {
        let then = visit.turn("POST /queue/token", 403, &problem("sale_not_open"));
        assert!(is_about(then, IMPATIENCE), "{then:?}");
    }
    visit.joins();
    visit.ends_well();
}

#[test]
fn some_leave_and_some_are_never_seen_again() {
    let mut visit = Visit::of(Character { leaves_in_line: Some(1), ..plain() });
    visit.turn("POST /queue/token", 201, &waiting("", 5, 1));
    visit.turn("DELETE /queue/token", 204, "");
    visit.is_over(End::Left);

    let mut visit = Visit::of(Character { vanishes_in_line: Some(2), ..plain() });
    visit.joins();
    assert_eq!(visit.turn("GET /queue/status", 200, &waiting("", 4, 2)), Then::Never);
    visit.is_over(End::Vanished);

    let mut visit = Visit::of(Character { vanishes_inside: true, ..plain() });
    visit.joins();
    assert_eq!(visit.turn("GET /queue/status", 200, ADMITTED), Then::Never);
    visit.is_over(End::Vanished);

    let mut visit = Visit::of(Character { is_away_at: Some(1), ..plain() });
    assert_eq!(visit.turn("POST /queue/token", 201, &waiting("", 5, 1)), after_ms(4 * 1_700));
    visit.ends_well();
}

#[test]
fn what_the_contract_does_not_know_is_a_finding() {
    let table = [
        (500, "", "500"),
        (404, r#"{"code":"not_found"}"#, "not_found"),
        (401, r#"{"code":"token_invalid"}"#, "token_invalid"),
        (200, "<html>", "cannot be read"),
        (200, r#"{"status":"dancing","as_of":1}"#, "cannot be read"),
        (302, "", "302"),
    ];
    for (status, body, expected) in table {
        let mut visit = Visit::of(plain());
        visit.joins();
        visit.turn("GET /queue/status", status, body);
        let finding = visit.findings().pop().expect("the contract is the last");
        assert_eq!(finding.verdict, Verdict::Broken, "{status} {body}");
        let example = &finding.examples[0];
        assert!(example.contains(expected) && example.contains("where am I"), "{example}");
    }
}

#[test]
fn an_answer_cannot_lead_anywhere_else() {
    let evil = r#"{"reservation_id":"../../admin","status":"held","performance_id":"sat",
        "seats":[{"seat_number":"A1"}],"expires_in_ms":1}"#;
    let mut visit = Visit::of(plain());
    visit.comes_in();
    visit.turn(LIST, 200, SEATS);
    visit.turn("POST /reservations", 201, evil);
    visit.is_over(End::Refused);

    let mut visit = Visit::of(plain());
    visit.joins();
    visit.buyer.keep_token("a\r\nX: y");
    assert!(visit.asks().1.contains(TOKEN));
}

#[test]
fn a_payment_that_was_found_out_later_does_not_stretch_the_turn() {
    let mut visit = Visit::of(plain());
    visit.holds();
    visit.turn("POST /payment", 503, "");
    visit.now_ms = 60_000;
    visit.turn("POST /payment", 200, PAID);
    // Somebody else was inside meanwhile: the first attempt may have been the one that paid.
    visit.findings.limit.is_inside(8, "x", Exchange::ms(30_000, 30_010));
    visit.findings.limit.is_inside(8, "x", Exchange::ms(50_000, 50_010));
    visit.ends_well();
}

#[test]
fn a_hold_that_is_found_again_is_what_it_is_by_now() {
    for (status, call) in [
        ("held", Call::Pay),
        ("paying", Call::Look),
        ("expired", Call::Status),
        ("released", Call::Status),
    ] {
        let mut visit = Visit::of(plain());
        visit.comes_in();
        visit.turn(LIST, 200, SEATS);
        visit.turn("POST /reservations", 503, "");
        visit.turn("POST /reservations", 201, &held(status, ""));
        assert_eq!(visit.buyer.call(), Some(call), "{status}");
        visit.ends_well();
    }
}

#[test]
fn keys_are_the_rehearsals_own() {
    let visit = Visit::of(plain());
    let other = Show { secret: 1, ..visit.show.clone() };
    let keys = [visit.show.key(1, 1), visit.show.key(1, 2), visit.show.key(2, 1), other.key(1, 1)];
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(key.len(), 32);
        assert!(keys[number + 1..].iter().all(|other| other != key));
        assert!(key[..16] != key[16..]);
    }
}

#[test]
fn a_buyer_is_small() {
    assert!(size_of::<Buyer>() <= 400, "{}", size_of::<Buyer>());
    assert!(size_of::<Connection>() <= 400);
}

//! Requests as they are written, for each kind of call.

use super::*;

fn texts(texts: &[&str]) -> Rc<Texts> {
    let mut all = Texts::default();
    for text in texts {
        all.push(text.as_bytes());
    }
    Rc::new(all)
}

fn inside(in_turn: bool) -> Inside {
    Inside {
        hall: Hall { performances: 1, seats: 100, active_limit: 9, line_capacity: 9 },
        sales: vec!["a".to_owned(), "b".to_owned()],
        tokens: texts(&["a0", "a1", "b0", "b1"]),
        in_turn,
    }
}

fn all(mut next: impl FnMut(&mut Vec<u8>) -> bool) -> Vec<String> {
    let mut requests = Vec::new();
    let mut request = Vec::new();
    while requests.len() < 9 && next(&mut request) {
        requests.push(String::from_utf8(std::mem::take(&mut request)).expect("text"));
    }
    requests
}

#[test]
fn each_buyer_holds_one_seat_with_the_own_token() {
    let mut holds = Holds::new(inside(false), 0, 4);
    let requests = all(|request| holds.next(0, request));
    let tokens: Vec<&str> =
        requests.iter().map(|request| &request[request.find("er ").unwrap() + 3..][..2]).collect();
    assert_eq!(tokens, ["a0", "a1", "b0", "b1"]);
    assert!(
        requests[0].ends_with("\r\n\r\n{\"seat_number\":\"1-1\",\"performance_id\":\"a-0\"}"),
        "{}",
        requests[0]
    );
    assert!(requests[0].contains("\r\nContent-Length: 44\r\n"), "{}", requests[0]);
    assert!(requests[2].contains("\"b-0\""), "{}", requests[2]);
    let mut holds = Holds::new(inside(true), 0, 4);
    let requests = all(|request| holds.next(0, request));
    assert!(requests[1].contains("er b0") && requests[1].contains("\"b-0\""), "{}", requests[1]);
    assert!(requests[2].contains("er a1") && requests[2].contains("\"a-0\""), "{}", requests[2]);
}

#[test]
fn to_the_floor_requests_do_not_run_out() {
    let mut calls = Calls::Hold(Holds::new(inside(false), 0, 4));
    assert_eq!(all(|request| calls.next(0, request)).len(), 4);
    calls.rewind();
    assert_eq!(all(|request| calls.next(0, request)).len(), 9);
}

#[test]
fn a_payment_is_made_by_whoever_holds_the_seat() {
    let mut holds = Holds::keeping(inside(false), 0, 4);
    all(|request| holds.next(0, request)).truncate(0);
    holds.asked = vec![3];
    holds.answered(0, br#"{"reservation_id":"r3","status":"held"}"#);
    let mut payments = Payments::new(inside(false), holds.take_made());
    let requests = all(|request| payments.next(request));
    assert_eq!(requests.len(), 1);
    assert!(requests[0].contains("Bearer b1\r\n"), "{}", requests[0]);
    assert!(
        requests[0]
            .ends_with(r#"{"reservation_id":"r3","payment":{"method":"card","token":"tok_ok"}}"#)
    );
}

#[test]
fn seats_go_back_and_forth() {
    let many = (0..600).map(|n| format!("t{n}")).collect::<Vec<_>>();
    let tokens = texts(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let hall = Hall { performances: 1, seats: 1_000, active_limit: 9, line_capacity: 9 };
    let inside = Inside { hall, sales: vec!["a".to_owned()], tokens, in_turn: false };
    let mut changes = Changes::new(inside);
    let (mut held, mut given_back) = (0, 0);
    for _ in 0..2_000 {
        let mut request = Vec::new();
        if !changes.next(0, &mut request) {
            break;
        }
        if request.starts_with(b"DELETE /me/reservations/r1 HTTP/1.1\r\n") {
            given_back += 1;
        } else {
            held += 1;
        }
        changes.answered(0, br#"{"reservation_id":"r1"}"#);
    }
    // Each of 600 holds three times and gives back twice, and 500 hold at a time.
    assert_eq!(held + given_back, 2_000);
    assert!(given_back > 600 && given_back + HOLDING <= held, "{held} {given_back}");
}

#[test]
fn tokens_are_kept_by_where_their_buyers_stand() {
    let mut joins = Joins::keeping("a", 2, 1);
    assert_eq!(all(|request| joins.next(request)).len(), 2);
    joins.answered(br#"{"token":"t0","status":"admitted"}"#);
    joins.answered(br#"{"token":"t1","status":"waiting"}"#);
    assert_eq!((joins.admitted.get(0), joins.waiting.get(0)), (&b"t0"[..], &b"t1"[..]));
}

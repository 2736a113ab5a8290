//! Each finding is shown a record that breaks it, and records that only look as if they did.

use std::time::Duration;

use super::*;
use crate::contract::{LastPayment, Reservation, ReservationStatus, Seat};

fn word(text: &str) -> Word {
    Word::try_from(Box::from(text)).expect("a word")
}

fn hall() -> Word {
    word("hall-1")
}

const MINUTE: Duration = Duration::from_secs(60);

#[track_caller]
fn is_kept(finding: &Finding) {
    assert_eq!(finding.verdict, Verdict::Kept, "{finding:?}");
    assert!(finding.examples.is_empty() && finding.broken == 0);
}

#[track_caller]
fn is_broken(finding: &Finding, by: &str) {
    assert_eq!(finding.verdict, Verdict::Broken, "{finding:?}");
    assert!(finding.examples[0].contains(by), "{finding:?}");
    assert!(finding.examples[0].ends_with('.'), "{finding:?}");
}

mod owners {
    use super::*;

    fn holds(owners: &mut Owners, buyer: u32, seat: &str, exchange: Exchange) {
        owners.held(buyer, &hall(), [seat].into_iter(), exchange, MINUTE);
    }

    fn buys(owners: &mut Owners, buyer: u32, seat: &str, at_ms: u64) {
        owners.confirmed(buyer, &hall(), [seat].into_iter(), Moment::from_ms(at_ms));
    }

    #[test]
    fn one_after_another_is_fine() {
        let mut owners = Owners::default();
        holds(&mut owners, 1, "A1", Exchange::ms(0, 10));
        owners.lets_go(1, &hall(), ["A1"].into_iter(), Moment::from_ms(50));
        // Its answer comes before that to the other's giving back: the server knows better.
        holds(&mut owners, 2, "A1", Exchange::ms(40, 60));
        buys(&mut owners, 2, "A1", 100);
        buys(&mut owners, 2, "A1", 200);
        owners.held(3, &word("hall-2"), ["A1"].into_iter(), Exchange::ms(100, 110), MINUTE);
        // After its minute a hold is anybody's.
        holds(&mut owners, 4, "A2", Exchange::ms(0, 10));
        holds(&mut owners, 5, "A2", Exchange::ms(59_990, 60_010));
        is_kept(&owners.close());
    }

    #[test]
    fn two_are_confirmed() {
        let mut owners = Owners::default();
        buys(&mut owners, 1, "A1", 100);
        buys(&mut owners, 2, "A1", 100);
        is_broken(&owners.close(), "confirmed to buyer 1 and to buyer 2");
    }

    #[test]
    fn one_is_held_after_it_was_sold() {
        let mut owners = Owners::default();
        buys(&mut owners, 1, "A1", 100);
        holds(&mut owners, 2, "A1", Exchange::ms(101, 120));
        is_broken(&owners.close(), "confirmed to buyer 1 at 0.100 s, and held for buyer 2");
    }

    #[test]
    fn two_hold_it_at_once() {
        let mut owners = Owners::default();
        holds(&mut owners, 1, "A1", Exchange::ms(0, 10));
        holds(&mut owners, 2, "A1", Exchange::ms(11, 20));
        is_broken(&owners.close(), "held for buyer 1 until 60.000 s at least, and for buyer 2");
    }

    #[test]
    fn nothing_seen_is_not_kept() {
        assert_eq!(Owners::default().close().verdict, Verdict::NotSeen);
    }
}

mod limit {
    use super::*;

    fn visit(limit: &mut Limit, buyer: u32, from_ms: u64, until_ms: u64) {
        limit.is_inside(buyer, "a", Exchange::ms(from_ms - 1, from_ms));
        limit.is_inside(buyer, "a", Exchange::ms(until_ms, until_ms + 100));
        limit.is_outside(buyer);
    }

    #[test]
    fn touching_is_not_overlapping() {
        let mut limit = Limit::default();
        visit(&mut limit, 1, 10, 20);
        visit(&mut limit, 2, 20, 30);
        visit(&mut limit, 3, 5, 15);
        let finding = limit.close(Some(2));
        is_kept(&finding);
        assert!(finding.looked_at.contains("3 turns, 2 certainly at once, of 2"), "{finding:?}");
    }

    #[test]
    fn one_too_many() {
        let mut limit = Limit::default();
        visit(&mut limit, 1, 10, 20);
        visit(&mut limit, 2, 15, 30);
        is_broken(&limit.close(Some(1)), "At 0.015 s, 2 buyers were certainly inside");
    }

    #[test]
    fn one_who_is_still_inside_counts() {
        let mut limit = Limit::default();
        limit.is_inside(1, "a", Exchange::ms(0, 10));
        limit.goes_on(1, "b", Exchange::ms(50, 60));
        limit.is_inside(2, "a", Exchange::ms(30, 40));
        limit.is_inside(2, "a", Exchange::ms(60, 70));
        is_broken(&limit.close(Some(1)), "2 buyers");
    }

    #[test]
    fn between_two_turns_nobody_is_certainly_inside() {
        let mut limit = Limit::default();
        limit.is_inside(1, "a", Exchange::ms(0, 10));
        limit.is_inside(1, "b", Exchange::ms(50, 60));
        visit(&mut limit, 2, 20, 40);
        assert_eq!(limit.close(Some(1)).verdict, Verdict::Kept);
    }

    #[test]
    fn a_limit_that_nobody_told_is_not_checked() {
        let mut limit = Limit::default();
        visit(&mut limit, 1, 10, 20);
        let finding = limit.close(None);
        assert_eq!(finding.verdict, Verdict::NotSeen);
        assert!(finding.looked_at.contains("--active-limit"));
    }
}

mod order {
    use super::*;

    const TOLD: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(20);

    /// Joins at once, and is told to wait.
    fn joins(order: &mut Order, buyer: u32, sent_ms: u64) {
        order.tries_to_join(buyer, Moment::from_ms(sent_ms));
        order.waits(buyer, Exchange::ms(sent_ms, sent_ms + 5), TOLD);
    }

    fn asks(order: &mut Order, buyer: u32, sent_ms: u64) {
        order.waits(buyer, Exchange::ms(sent_ms, sent_ms + 5), TOLD);
    }

    fn enters(order: &mut Order, buyer: u32, sent_ms: u64) {
        order.is_admitted(buyer, Exchange::ms(sent_ms, sent_ms + 5));
    }

    /// Buyer 1, then buyer 2; both ask every 100 ms; 2 is admitted by 305.
    fn second_goes_first() -> Order {
        let mut order = Order::default();
        joins(&mut order, 1, 0);
        joins(&mut order, 2, 10);
        for at in [100, 200] {
            asks(&mut order, 1, at);
            asks(&mut order, 2, at + 1);
        }
        enters(&mut order, 2, 300);
        order
    }

    #[test]
    fn somebody_goes_ahead() {
        let mut order = second_goes_first();
        asks(&mut order, 1, 300);
        asks(&mut order, 1, 400);
        is_broken(&order.close(), "Buyer 2, who joined after buyer 1, was admitted by 0.305 s");
    }

    #[test]
    fn in_order_is_fine() {
        let mut order = second_goes_first();
        enters(&mut order, 1, 299);
        is_kept(&order.close());
    }

    #[test]
    fn an_answer_that_was_on_its_way_proves_nothing() {
        let mut order = second_goes_first();
        // Asked before the other's admission was known: it may have been made before it, too.
        asks(&mut order, 1, 300);
        enters(&mut order, 1, 400);
        is_kept(&order.close());
    }

    #[test]
    fn whoever_was_away_may_be_passed_over() {
        let mut order = Order::default();
        joins(&mut order, 1, 0);
        joins(&mut order, 2, 10);
        asks(&mut order, 2, 100);
        enters(&mut order, 2, 200);
        // The first asks again only now, though told to do so after a tenth of a second.
        asks(&mut order, 1, 300);
        asks(&mut order, 1, 400);
        assert_eq!(order.close().broken, 0);
    }

    #[test]
    fn who_joined_at_the_same_time_has_no_order() {
        let mut order = Order::default();
        order.tries_to_join(1, Moment::from_ms(0));
        order.tries_to_join(2, Moment::from_ms(4));
        order.waits(1, Exchange::ms(0, 5), TOLD);
        order.waits(2, Exchange::ms(4, 9), TOLD);
        enters(&mut order, 2, 50);
        for at in [80, 160, 240] {
            asks(&mut order, 1, at);
        }
        assert_eq!(order.close().broken, 0);
    }

    #[test]
    fn a_join_that_was_tried_twice_counts_from_the_first_attempt() {
        let mut order = Order::default();
        order.tries_to_join(2, Moment::from_ms(0));
        joins(&mut order, 1, 10);
        order.tries_to_join(2, Moment::from_ms(20));
        order.waits(2, Exchange::ms(20, 25), TOLD);
        enters(&mut order, 2, 100);
        for at in [90, 180, 270] {
            asks(&mut order, 1, at);
        }
        assert_eq!(order.close().broken, 0);
    }

    #[test]
    fn one_of_a_thousand_is_found() {
        for ahead in [3, 4, 500, 998, 999] {
            let mut order = Order::default();
            for buyer in 0..1_000 {
                let sent = u64::from(buyer) * 10;
                order.tries_to_join(buyer, Moment::from_ms(sent));
                order.waits(buyer, Exchange::ms(sent, sent + 5), LONG);
            }
            for round in 1..=200 {
                for buyer in 0..1_000 {
                    // From 10 s on one is admitted every 100 ms, but one goes first.
                    let rank = if buyer == ahead { 0 } else { u64::from(buyer) + 1 };
                    let (now, turn) = (10_000 + round * 100, 10_050 + rank * 100);
                    if now < turn {
                        order.waits(buyer, Exchange::ms(now, now + 5), LONG);
                    } else if now < turn + 100 {
                        enters(&mut order, buyer, now);
                    }
                }
            }
            is_broken(&order.close(), &format!("Buyer {ahead}, who joined after"));
        }
    }
}

mod positions {
    use super::*;

    #[test]
    fn they_shrink_or_stay() {
        let mut positions = Positions::default();
        for (position, as_of) in [(5, 1), (5, 1), (4, 2), (2, 9)] {
            positions.told(1, Some(position), as_of);
        }
        // An older state of another node.
        positions.told(1, Some(5), 1);
        positions.told(1, None, 10);
        positions.told(2, Some(7), 9);
        is_kept(&positions.close());
    }

    #[test]
    fn one_grows() {
        let mut positions = Positions::default();
        positions.told(1, Some(5), 1);
        positions.told(1, Some(6), 1);
        is_broken(&positions.close(), "Buyer 1 was told position 5 (as of 1), and then 6");
    }

    #[test]
    fn an_older_state_does_not_hide_one_that_grows() {
        let mut positions = Positions::default();
        for (position, as_of) in [(5, 10), (9, 3), (6, 11)] {
            positions.told(1, Some(position), as_of);
        }
        assert_eq!(positions.close().broken, 1);
    }

    #[test]
    fn a_missed_turn_is_another_matter() {
        let mut positions = Positions::default();
        positions.told(1, Some(2), 1);
        positions.told(1, Some(2), 2);
        positions.is_admitted(1);
        positions.told(1, Some(3), 3);
        is_kept(&positions.close());
    }
}

mod charged {
    use super::*;

    fn receipt(payment: &str) -> Receipt {
        Receipt {
            reservation: word("r1"),
            payment: word(payment),
            performance: hall(),
            seats: vec!["A1".into(), "A2".into()],
        }
    }

    fn reservation(id: &str, status: ReservationStatus, payment: &str) -> Reservation {
        let seat = |number: &str| Seat { seat_number: number.into() };
        Reservation {
            reservation_id: word(id),
            status,
            performance_id: hall(),
            seats: vec![seat("A2"), seat("A1")],
            expires_in_ms: None,
            last_payment: Some(LastPayment { payment_id: word(payment) }),
            token: None,
        }
    }

    fn paid_once() -> Charged {
        let mut charged = Charged::default();
        charged.paid(1, receipt("p1"));
        charged
    }

    #[test]
    fn the_same_answer_twice_is_one_charge() {
        let mut charged = paid_once();
        charged.paid(1, receipt("p1"));
        charged.finds(
            1,
            &[
                reservation("r1", ReservationStatus::Confirmed, "p1"),
                reservation("r0", ReservationStatus::Released, "p0"),
            ],
        );
        is_kept(&charged.close());
    }

    #[test]
    fn not_asked_again_is_not_seen() {
        assert_eq!(paid_once().close().verdict, Verdict::NotSeen);
    }

    #[test]
    fn charged_twice() {
        let mut charged = paid_once();
        charged.paid(1, receipt("p2"));
        is_broken(&charged.close(), "charged twice: payment p1 for reservation r1, and payment p2");
    }

    #[test]
    fn paid_and_not_confirmed() {
        for status in [ReservationStatus::Expired, ReservationStatus::Held] {
            let mut charged = paid_once();
            charged.finds(1, &[reservation("r1", status, "p1")]);
            is_broken(&charged.close(), "is not confirmed");
        }
        let mut charged = paid_once();
        charged.finds(1, &[]);
        is_broken(&charged.close(), "is not confirmed");
    }

    #[test]
    fn paid_and_something_else_is_there() {
        let confirmed = ReservationStatus::Confirmed;
        let mut other_seats = reservation("r1", confirmed, "p1");
        other_seats.seats.pop();
        let broken = [
            vec![reservation("r2", confirmed, "p1")],
            vec![reservation("r1", confirmed, "p2")],
            vec![other_seats],
            vec![reservation("r1", confirmed, "p1"), reservation("r2", confirmed, "p3")],
        ];
        for reservations in broken {
            let mut charged = paid_once();
            charged.finds(1, &reservations);
            assert_eq!(charged.close().verdict, Verdict::Broken, "{reservations:?}");
        }
    }

    #[test]
    fn paid_and_turned_away() {
        let mut charged = paid_once();
        charged.is_refused(1, 401, "token_expired");
        is_broken(&charged.close(), "401 token_expired");
    }
}

#[test]
fn an_answer_that_the_contract_does_not_know() {
    let mut contract = Contract::default();
    contract.answered();
    contract.surprises(1, "hold seats", 500, "internal_error");
    is_broken(&contract.close(), "Buyer 1 was answered 500 to \"hold seats\": internal_error.");
}

#[test]
fn examples_are_few_and_all_are_counted() {
    let mut contract = Contract::default();
    for buyer in 0..100 {
        contract.surprises(buyer, "join", 500, "x");
    }
    let finding = contract.close();
    assert_eq!((finding.broken, finding.examples.len()), (100, EXAMPLES_MAX));
}

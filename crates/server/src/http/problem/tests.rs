//! The table of problems, against what must hold for all of them.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::to_bytes;
use domain::id::SeatIndex;
use serde_json::Value;

use super::*;

fn all() -> impl Iterator<Item = Cause> {
    every().into_iter()
}

#[test]
fn no_code_of_the_rules_is_missing_and_none_is_used_twice() {
    let codes: Vec<&str> = all().map(|cause| cause.code()).collect();
    let distinct: BTreeSet<&str> = codes.iter().copied().collect();
    assert_eq!(distinct.len(), codes.len());
    for code in Refusal::CODES {
        assert!(distinct.contains(code), "{code}");
    }
    for code in codes {
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
    }
}

#[test]
fn every_problem_is_told_in_both_languages() {
    for cause in all() {
        let fields = Fields::of(&cause);
        let [ko, en] = [Language::Ko, Language::En].map(|l| cause.row(&fields, l));
        let code = cause.code();
        assert_eq!(ko.status, en.status, "{code}");
        for text in [ko.title, &ko.detail] {
            assert!(text.chars().any(|c| ('가'..='힣').contains(&c)), "{code}: {text}");
        }
        for text in [en.title, &en.detail] {
            assert!(!text.is_empty() && text.is_ascii(), "{code}: {text}");
        }
        for text in [ko.title, &ko.detail, en.title, &en.detail] {
            assert!(!text.contains(['{', '}', '\n']) && !text.contains("  "), "{code}: {text:?}");
        }
    }
}

#[test]
fn what_the_rules_refuse_is_never_our_failure() {
    for cause in all() {
        let ours = matches!(cause, Cause::Failure(_));
        assert_eq!(cause.status().is_server_error(), ours, "{}", cause.code());
        assert_eq!(cause.status().is_client_error(), !ours, "{}", cause.code());
    }
}

#[test]
fn the_contract_names_these_statuses() {
    let statuses: BTreeMap<&str, u16> =
        all().map(|cause| (cause.code(), cause.status().as_u16())).collect();
    let contract = [
        ("malformed_request", 400),
        ("idempotency_key_weak", 400),
        ("token_missing", 401),
        ("token_invalid", 401),
        ("token_expired", 401),
        ("payment_declined", 402),
        ("sale_not_open", 403),
        ("not_admitted", 403),
        ("performance_not_found", 404),
        ("seat_not_found", 404),
        ("not_found", 404),
        ("method_not_allowed", 405),
        ("price_changed", 409),
        ("date_ambiguous", 409),
        ("queue_full", 409),
        ("seat_taken", 409),
        ("no_adjacent_seats", 409),
        ("grade_not_found", 404),
        ("reservation_exists", 409),
        ("payment_in_progress", 409),
        ("already_paid", 409),
        ("sale_closed", 410),
        ("sold_out", 410),
        ("reservation_expired", 410),
        ("body_too_large", 413),
        ("unsupported_media_type", 415),
        ("idempotency_mismatch", 422),
        ("performance_required", 422),
        ("wrong_performance", 422),
        ("too_many_seats", 422),
        ("duplicate_seat", 422),
        ("companion_alone", 422),
        ("not_changeable", 409),
        ("seats_in_use", 409),
        ("no_seats", 422),
        ("rate_limited", 429),
        ("overloaded", 503),
        ("unavailable", 503),
        ("outcome_unknown", 503),
    ];
    for (code, status) in contract {
        assert_eq!(statuses.get(code), Some(&status), "{code}");
    }
}

async fn told(problem: Problem) -> (HeaderMap, Value) {
    let response = problem.respond(Language::Ko, ShortId::from(7));
    let headers = response.headers().clone();
    let body = to_bytes(response.into_body(), 64 * 1024).await.unwrap();
    (headers, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_problem_says_what_the_standard_and_the_contract_want() {
    let (headers, body) = told(Refusal::NotAdmitted { position: 5, total: 10 }.into()).await;
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(headers["cache-control"], "no-store");
    let expected = serde_json::json!({
        "type": "/docs#not_admitted",
        "title": "아직 순서가 아닙니다",
        "status": 403,
        "detail": "현재 대기 순서: 5 / 총 대기자 수: 10",
        "code": "not_admitted",
        "request_id": "0000000000007",
        "position": 5,
        "total": 10,
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_a_problem_is_told_stands_in_its_sentence() {
    let problem = Problem::from(Refusal::SeatTaken { taken: vec![SeatIndex(0)] });
    let problem = problem.tell(|fields| {
        fields.taken = Some(vec!["A1".to_owned(), "A2".to_owned()]);
        fields.alternatives = Some(Vec::new());
    });
    let (_, body) = told(problem).await;
    assert!(body["detail"].as_str().unwrap().contains("A1, A2"));
    assert_eq!(body["taken"], serde_json::json!(["A1", "A2"]));
    assert_eq!(body["alternatives"], serde_json::json!([]));
}

#[tokio::test]
async fn who_may_come_back_is_told_when_and_not_all_at_once() {
    for failure in [Failure::Overloaded, Failure::Unavailable, Failure::OutcomeUnknown] {
        let mut seconds = BTreeSet::new();
        for _ in 0..200 {
            let (headers, _) = told(failure.into()).await;
            seconds.insert(headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap());
        }
        assert!(seconds.len() >= 3, "{failure:?}: {seconds:?}");
        let base = if failure == Failure::Unavailable { 8..=12 } else { 4..=6 };
        assert!(seconds.iter().all(|second| base.contains(second)), "{failure:?}: {seconds:?}");
    }
    let (headers, _) = told(Refusal::SoldOut.into()).await;
    assert!(!headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_missing_or_bad_token_is_a_challenge() {
    for (problem, challenge) in [
        (Problem::from(Edge::TokenMissing), "Bearer"),
        (Problem::from(Edge::TokenExpired), "Bearer error=\"invalid_token\""),
        (Problem::from(Refusal::UnknownPlace), "Bearer error=\"invalid_token\""),
    ] {
        assert_eq!(told(problem).await.0["www-authenticate"], challenge);
    }
}

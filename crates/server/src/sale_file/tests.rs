//! Files as organisers write them, and what is said about those that are wrong.

use domain::plan::Hall;
use serde_json::{Value, json};

use super::*;

fn sale() -> SaleId {
    SaleId::parse("spring").expect("a sale's id")
}

fn read(file: &Value) -> Result<NewSale, SaleFileError> {
    SaleFile::parse(file.to_string().as_bytes())?.schedule(sale())
}

fn spring() -> Value {
    json!({
        "time_zone": "Asia/Seoul", "currency": "KRW",
        "opens_at": "2026-05-01T20:00", "closes_at": "2026-06-20T09:00:00Z",
        "limits": { "active_limit": 200 },
        "pools": ["press", "sponsors"],
        "title": "봄 콘서트", "venue": "한강홀",
        "grades": [{ "name": "R", "price": 132_000 }, { "name": "S", "price": 99_000 }],
        "sections": [
            {
                "name": "1층", "rows": "A-C", "seats": "1-4",
                "grade": "S", "grades_of_rows": { "A": "R" },
                "except": { "A": "1,4" },
                "withheld": { "sponsors": { "B-C": "2-3" } }
            },
            { "name": "2층", "rows": "1-2", "seats": "01-02", "seat_number": "{section}-{row}-{seat}",
              "grade": "S" }
        ],
        "performances": [
            { "id": "spring-sat", "date": "2026-06-20", "starts_at": "19:00" },
            { "id": "spring-sun", "date": "2026-06-21", "starts_at": "17:00", "title": "앙코르" }
        ]
    })
}

#[test]
fn the_example_of_the_documentation_can_be_sold() {
    let text = include_str!("../sale_file.rs");
    let (_, text) = text.split_once("//! ```json\n").expect("the example");
    let (text, _) = text.split_once("//! ```\n").expect("its end");
    let text = text.replace("//!", "");
    let new = SaleFile::parse(text.as_bytes()).expect("JSON").schedule(sale()).expect("a sale");
    let hall = Hall::build(new.schedule.plan).expect("a plan");
    assert_eq!(hall.seats_of(0).len(), 20 * 40 - 4 - 10);
}

#[test]
fn a_file_becomes_a_plan_seat_by_seat() {
    let new = read(&spring()).expect("a sale");
    assert!(!new.default);
    let Schedule { limits, opens_at, closes_at, plan, .. } = new.schedule;
    assert_eq!(limits, Limits { active_limit: 200, ..Limits::default() });
    // 20:00 in Seoul is 11:00 UTC.
    assert_eq!(opens_at, Timestamp(1_777_633_200_000));
    assert_eq!(closes_at, Some(Timestamp(1_781_946_000_000)));
    assert_eq!(&*plan.performances[1].title, "앙코르");
    assert_eq!(plan.performances[1].starts_at, Timestamp(1_782_028_800_000));

    let hall = Hall::build(plan).expect("a plan");
    let numbers: Vec<&str> =
        hall.seats_of(0).map(|seat| &*hall.seats()[seat as usize].number).collect();
    let expected = "A2 A3 B1 B2 B3 B4 C1 C2 C3 C4 2층-1-01 2층-1-02 2층-2-01 2층-2-02";
    assert_eq!(numbers.join(" "), expected);
    let seat = |number: &str| {
        let index = hall.find(1, number).expect(number);
        hall.seat(index).expect(number)
    };
    assert_eq!((seat("A2").price, seat("B2").price), (Money(132_000), Money(99_000)));
    assert_eq!((seat("B2").pool, seat("B1").pool), (Some(1), None));
}

#[test]
fn seats_are_drawn_where_they_stand() {
    let new = read(&spring()).expect("a sale");
    let sections = &new.schedule.plan.performances[0].sections;
    let places = |section: usize, row: usize| -> Vec<(i32, i32)> {
        sections[section].rows[row].seats.iter().map(|seat| (seat.x, seat.y)).collect()
    };
    // Around the middle, with gaps where seats are missing; the next section behind.
    assert_eq!(places(0, 0), [(-27, 250), (28, 250)]);
    assert_eq!(places(0, 1), [(-82, 350), (-27, 350), (28, 350), (83, 350)]);
    assert_eq!(places(1, 0), [(-27, 800), (28, 800)]);
    let mut file = spring();
    file["sections"][1]["at"] = json!({ "x": -1000, "y": 90 });
    let new = read(&file).expect("a sale");
    let first = &new.schedule.plan.performances[0].sections[1].rows[0].seats[0];
    assert_eq!((first.x, first.y), (-1027, 90));
}

#[test]
fn what_is_wrong_is_named() {
    let table: [(&str, Value, &str); 22] = [
        ("/limits/active_limit", json!(0), "`limits.active_limit` is 0, and may be from 1 to"),
        ("/limits/active_limt", json!(5), "active_limt"),
        ("/currency", json!("won"), "`currency` is not"),
        ("/time_zone", json!("Asia/Atlantis"), "`time_zone` is not"),
        ("/opens_at", json!("soon"), "`opens_at` is not"),
        ("/opens_at", json!("1960-01-01T00:00:00Z"), "`opens_at` is not"),
        ("/closes_at", json!("2026-02-30T00:00"), "`closes_at` is not"),
        ("/title", json!(null), "`performances[0].title` is missing"),
        ("/grades", json!(null), "`performances[0].grades` is missing"),
        ("/sections", json!(null), "`performances[0].sections` is missing"),
        ("/performances/1/id", json!("Spring Sunday"), "`performances[1].id` is not"),
        ("/performances/1/date", json!("2026-02-30"), "`performances[1].date` is not"),
        ("/performances/0/starts_at", json!("25:00"), "`performances[0].starts_at` is not"),
        ("/performances/0/start_at", json!("19:00"), "start_at"),
        ("/sections/0/rows", json!("T-A"), "`sections[0].rows` has `T-A`"),
        ("/sections/0/seats", json!("1-2,2"), "`sections[0].seats` has `2` twice"),
        ("/sections/1/grade", json!("VIP"), "`sections[1].grade` has `VIP`"),
        ("/sections/0/grades_of_rows", json!({ "D": "R" }), "`sections[0].grades_of_rows` has `D`"),
        ("/sections/0/except", json!({ "A": "5" }), "`sections[0].except` has `5`"),
        ("/sections/0/withheld", json!({ "vips": {} }), "`sections[0].withheld` has `vips`"),
        ("/sections/1/seat_number", json!("{chair}"), "`sections[1].seat_number` has {chair}"),
        ("/sections/1/at", json!({ "x": 0, "y": -1 }), "`sections[1].at` is over"),
    ];
    for (pointer, value, expected) in table {
        let mut file = spring();
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        file.pointer_mut(parent).expect(pointer)[name] = value;
        let refusal = read(&file).expect_err(pointer).to_string();
        assert!(refusal.contains(expected), "{pointer}: {refusal}");
    }
}

#[test]
fn a_plan_too_large_is_refused_before_it_is_laid_out() {
    let mut file = spring();
    file["sections"][0]["rows"] = json!("1-10000");
    file["sections"][0]["seats"] = json!("1-10000");
    let refusal = read(&file).expect_err("too many seats").to_string();
    assert!(refusal.contains("more than 2000000 seats"), "{refusal}");
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    let refusal = SaleFile::parse(b"{\n  \"currency\": KRW\n}").expect_err("not JSON").to_string();
    assert!(refusal.contains("line 2 column"), "{refusal}");
}

//! Files as organisers write them, and what is said about those that are wrong.

use domain::plan::{Access, Hall};
use serde_json::{Value, json};

use super::*;

fn sale() -> SaleId {
    SaleId::parse("spring").expect("a sale's id")
}

fn read(file: &Value) -> Result<NewSale, SaleFileError> {
    SaleFile::from_json(file.to_string().as_bytes())?.schedule(sale())
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
    let (_, text) = text.split_once("//! ```toml\n").expect("the example");
    let (text, _) = text.split_once("//! ```\n").expect("its end");
    let text = text.replace("//!", "");
    let new = read_toml(text.as_bytes(), sale()).expect("a sale");
    assert_eq!(new.schedule.opens_at, Timestamp(1_777_633_200_000));
    assert_eq!(new.schedule.plan.performances[0].starts_at, Timestamp(1_781_949_600_000));
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
    let table: [(&str, Value, &str); 25] = [
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
        ("/title", json!("Spring\n2026"), "`title` has a character that cannot be seen"),
        (
            "/pools",
            json!(["pr\tess", "sponsors"]),
            "`pools[0]` has a character that cannot be seen",
        ),
        ("/sections/1/name", json!("B\u{1b}[2J"), "`sections[1].name` has a character that"),
        ("/sections/1/grade", json!("VIP"), "`sections[1].grade` has `VIP`"),
        (
            "/sections/0/grades_of_rows",
            json!({ "D": "R" }),
            "`sections[0].grades_of_rows.D` has `D`",
        ),
        ("/sections/0/except", json!({ "A": "5" }), "`sections[0].except.A` has `5`"),
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
    let refusal =
        SaleFile::from_json(b"{\n  \"currency\": KRW\n}").expect_err("not JSON").to_string();
    assert!(refusal.contains("line 2 column"), "{refusal}");
}

/// A file in TOML that can be sold.
const CLUB: &str = "\
time_zone = \"Asia/Seoul\"
currency = \"KRW\"
opens_at = 2026-05-01T20:00:00
title = \"밤\"
venue = \"클럽\"
grades = [{ name = \"일반\", price = 50_000 }]
pools = [\"손님\"]

[[sections]]
name = \"1층\"
rows = \"A-C\"
seats = \"1-6\"
grade = \"일반\"
aisles_after = [2, 4]
aisles_after_rows = \"B\"
except = { A = [1, 6] }
withheld = { \"손님\" = { C = 3 } }
wheelchair = [{ row = \"C\", place = 6, companions = [5] }, { row = \"C\", place = 1 }]

[[performances]]
id = \"night-1\"
date = 2026-06-20
starts_at = 19:30:00
";

fn club(change: (&str, &str)) -> Result<NewSale, Fault> {
    assert!(CLUB.contains(change.0), "{}", change.0);
    read_toml(CLUB.replacen(change.0, change.1, 1).as_bytes(), sale())
}

#[test]
fn toml_says_what_json_says() {
    let json = json!({
        "time_zone": "Asia/Seoul", "currency": "KRW", "opens_at": "2026-05-01T20:00",
        "title": "밤", "venue": "클럽", "pools": ["손님"],
        "grades": [{ "name": "일반", "price": 50_000 }],
        "sections": [{
            "name": "1층", "rows": "A-C", "seats": "1-6", "grade": "일반",
            "aisles_after": "2,4", "aisles_after_rows": "B",
            "except": { "A": "1,6" }, "withheld": { "손님": { "C": "3" } },
            "wheelchair": [{ "row": "C", "place": "6", "companions": "5" },
                { "row": "C", "place": "1" }],
        }],
        "performances": [{ "id": "night-1", "date": "2026-06-20", "starts_at": "19:30" }],
    });
    let toml = club(("밤", "밤")).expect("a sale");
    assert_eq!(toml.schedule, read(&json).expect("a sale").schedule);
}

#[test]
fn aisles_are_gaps_around_the_same_middle() {
    let new = club(("밤", "밤")).expect("a sale");
    let rows = &new.schedule.plan.performances[0].sections[0].rows;
    let x: Vec<i32> = rows[1].seats.iter().map(|seat| seat.x).collect();
    assert_eq!(x, [-247, -192, -27, 28, 193, 248]);
    let y: Vec<i32> = rows.iter().map(|row| row.seats[0].y).collect();
    assert_eq!(y, [250, 350, 550]);
}

#[test]
fn a_wheelchair_place_knows_its_companions() {
    let new = club(("밤", "밤")).expect("a sale");
    let places = &new.schedule.plan.performances[0].wheelchair_places;
    let told: Vec<_> = places
        .iter()
        .map(|place| (place.place.to_string(), place.companions.iter().map(ToString::to_string)))
        .map(|(place, companions)| (place, companions.collect::<Vec<_>>()))
        .collect();
    let none: Vec<String> = Vec::new();
    assert_eq!(told, [("C6".to_owned(), vec!["C5".to_owned()]), ("C1".to_owned(), none)]);
    Hall::build(new.schedule.plan).expect("a plan that can be sold");
}

#[test]
fn what_is_wrong_in_toml_is_told_with_line_and_column() {
    let table = [
        // The form.
        ("currency = \"KRW\"", "currency = KRW", "line 2 column 12: "),
        ("currency", "curency", "line 2 column 1: unknown field `curency`"),
        ("price = 50_000", "price = \"50,000\"", "line 6 column "),
        ("price = 50_000", "price = -1", "line 6 column "),
        ("venue = \"클럽\"", "", "missing field"),
        // What the reader refuses.
        ("Asia/Seoul", "Asia/Atlantis", "line 1 column 13: `time_zone` is not a name"),
        ("20:00:00", "20:00:00.5+25:00", "line 3 column "),
        ("rows = \"A-C\"", "rows = \"C-A\"", "line 11 column 8: `sections[0].rows` has `C-A`"),
        ("[2, 4]", "[2, 7]", "line 14 column 16: `sections[0].aisles_after` has `7`"),
        ("{ A = [1, 6] }", "{ A = [1, 7] }", "line 16 column 16: `sections[0].except.A` has `7`"),
        ("place = 6", "place = 9", "line 18 column 36: `sections[0].wheelchair[0].place` has `9`"),
        ("row = \"C\", place = 1", "row = \"A\", place = 1", "`1`, which is an exception"),
        ("place = 1", "place = \"1-2\"", "more than one of the seats"),
        ("date = 2026-06-20", "date = 2026-02-30", "line 22 column "),
        ("date = 2026-06-20", "date = \"20.6.2026\"", "line 22 column 8: `performances[0].date`"),
        ("starts_at = 19:30:00", "starts_at = 2026-06-20", "line 23 column 13: `performances[0]"),
        // What the rules refuse.
        (
            "title = ",
            "closes_at = 2026-05-01T19:00:00\ntitle = ",
            "line 4 column 13: `closes_at` is",
        ),
        ("50_000", "5_000_000_000_000", "line 6 column 34: `grades[0].price` cannot be sold so: "),
        ("name = \"1층\"", "name = \"\"", "line 10 column 8: `sections[0].name` cannot"),
        (
            "seats = \"1-6\"",
            "seats = \"1-6\"\nseat_number = \"{seat}\"",
            "line 13 column 15: `sections[0].seat_number` cannot be sold so: Seat 2 is there twice",
        ),
        ("{ row = \"C\", place = 1 }", "{ row = \"C\", place = 5 }", "`sections[0]"),
        ("except = { A = [1, 6] }", "except = { A-C = \"1-6\" }", "`sections"),
    ];
    for (from, to, expected) in table {
        if expected == "missing field" {
            // Not a field of the sale alone: a performance may have it.
            let told = club((from, to)).expect_err(to).to_string();
            assert!(told.contains("`performances[0].venue` is missing"), "{told}");
            continue;
        }
        let told = club((from, to)).expect_err(to).to_string();
        assert!(told.contains(expected), "{to}: {told}");
        assert!(told.starts_with("line "), "{to}: {told}");
        assert!(!told.contains('\n') && !told.ends_with('.'), "{to}: {told}");
    }
}

#[test]
fn a_file_that_is_no_text_is_told_so() {
    let fault = read_toml(b"title = \"ok\"\nvenue = \"\xff\"\n", sale()).expect_err("no text");
    assert_eq!(fault.to_string(), "line 2 column 10: the file is not text in UTF-8");
}

/// The seats of each performance, free ones, wheelchair places and companions' seats.
fn counts(plan: Plan) -> Vec<(usize, usize, usize, usize)> {
    let hall = Hall::build(plan).expect("a plan");
    let numbers = (0..).take(hall.plan().performances.len());
    numbers
        .map(|number| {
            let seats = hall.seats_of(number);
            let free = seats.clone().filter(|seat| hall.seats()[*seat as usize].pool.is_none());
            let access = hall.accessible().iter().filter(|(seat, _)| seats.contains(&seat.0));
            let access: Vec<_> = access.map(|(_, access)| *access).collect();
            let places = access.iter().filter(|access| **access == Access::Wheelchair).count();
            (seats.len(), free.count(), places, access.len() - places)
        })
        .collect()
}

#[test]
fn every_example_can_be_sold() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/sales");
    let mut examples = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the examples") {
        let path = entry.expect("an example").path();
        let id = SaleFileId::of(&path).expect("its name is a sale's");
        let new = read_file(&path).expect("a file").sale(id.clone());
        let new = new.unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        examples.push((id.to_string(), counts(new.schedule.plan)));
    }
    examples.sort();
    let arena = (12_000, 11_900, 4, 4);
    let theatre = (1_200, 1_190, 4, 6);
    let expected = [
        ("arena".to_owned(), vec![arena; 2]),
        ("club".to_owned(), vec![(300, 296, 2, 2)]),
        ("theatre".to_owned(), vec![theatre; 3]),
    ];
    assert_eq!(examples, expected);
}

#[test]
fn a_stadium_of_50_000_seats_is_a_short_file() {
    let mut text = String::from(
        "time_zone = \"Asia/Seoul\"\ncurrency = \"KRW\"\nopens_at = 2027-01-01T20:00:00\n\
         title = \"큰 공연\"\nvenue = \"경기장\"\n\
         grades = [{ name = \"R\", price = 165_000 }, { name = \"S\", price = 99_000 }]\n\
         [[performances]]\nid = \"big\"\ndate = 2027-06-01\nstarts_at = 19:00:00\n",
    );
    for block in 0..50 {
        let (x, y) = ((block % 10 - 5) * 3_000, 300 + block / 10 * 3_000);
        let grade = if block < 20 { "R" } else { "S" };
        text += &format!(
            "[[sections]]\nname = \"{block}\"\nrows = \"1-25\"\nseats = \"1-40\"\n\
             grade = \"{grade}\"\nseat_number = \"{{section}}-{{row}}-{{seat}}\"\n\
             aisles_after = 20\nat = {{ x = {x}, y = {y} }}\n"
        );
    }
    assert!(text.len() < 10_000);
    let new = read_toml(text.as_bytes(), sale()).expect("a sale");
    assert_eq!(counts(new.schedule.plan), [(50_000, 50_000, 0, 0)]);
}

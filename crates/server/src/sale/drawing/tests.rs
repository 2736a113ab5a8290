//! Halls as they are drawn.

use std::path::Path;

use domain::id::SaleId;

use super::*;
use crate::sale_file::{read_file, read_toml};

fn example(name: &str) -> Hall {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/sales").join(name);
    let new = read_file(&file).expect(name).sale(SaleId::parse("example").expect("an id"));
    Hall::build(new.expect(name).schedule.plan).expect(name)
}

/// The lines of the hall alone, without stage and legend, which begins with this grade.
fn hall_of<'t>(drawing: &'t str, first_grade: &str) -> Vec<&'t str> {
    let legend = format!("\n\n  {first_grade}\n");
    let (hall, _) = drawing.split_once(&legend).expect("a legend");
    hall.lines().skip(2).collect()
}

#[test]
fn a_club_is_drawn_seat_by_seat() {
    let text = draw(&example("club.toml"), 0);
    let expected = "            [ stage ]

  A      R  RRRRRRRRRR  R       1층
  B    RRR  RRRRRRRRRR  RRR
  C  RRRRR  RRRxxxxRRR  RRRRR
  D  RRRRR  RRRRRRRRRR  RRRRR
  E  RRRRR  RRRRRRRRRR  RRRRR
  F  SSSSS  SSSSSSSSSS  SSSSS
  G  SSSSS  SSSSSSSSSS  SSSSS
  H  SSSSS  SSSSSSSSSS  SSSSS
  I  SSSSS  SSSSSSSSSS  SSSSS
  J  SSSSS  SSSSSSSSSS  SSSSS
  K  SSSSS  SSSSSSSSSS  SSSSS
  L  SSSSS  SSSSSSSSSS  SSSSS
  M  wcSSS  S        S  SSScw


  A  SSSSS  SSSSSSSSSS  SSSSS   2층
  B  SSSSS  SSSSSSSSSS  SSSSS
  C  SSSSS  SSSSSSSSSS  SSSSS

  R  R
  S  S
  x  withheld
  w  wheelchair place
  c  companion's seat, only together with its wheelchair place
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn in_a_theatre_every_seat_has_its_character_on_a_screen() {
    let hall = example("theatre.toml");
    let text = draw(&hall, 0);
    let lines = hall_of(&text, "V  VIP");
    let seats: usize = lines
        .iter()
        .map(|line| line.chars().skip(5).take(60).filter(|c| "VRSAxwc".contains(*c)).count())
        .sum();
    assert_eq!(seats, 1_200, "\n{text}");
    assert!(lines.iter().all(|line| column_width(line) <= 80), "\n{text}");
    assert!(lines.len() <= 50, "\n{text}");
}

#[test]
fn an_arena_is_condensed_to_a_screen() {
    let text = draw(&example("arena.toml"), 0);
    assert!(text.contains("one character stands for a square of 3 by 3 seats"), "\n{text}");
    let lines = hall_of(&text, "V  VIP");
    assert!(lines.iter().all(|line| column_width(line) <= COLUMNS_MAX + 50), "\n{text}");
    assert!((20..=40).contains(&lines.len()), "\n{text}");
    for grade in ['V', 'R', 'S', 'A', 'x'] {
        assert!(lines.iter().any(|line| line.contains(grade)), "{grade}\n{text}");
    }
    assert!(lines.iter().any(|line| line.ends_with("F1 F2 F3 F4")), "\n{text}");
}

#[test]
fn a_hall_of_one_seat_far_away_is_drawn_too() {
    let file = r#"
        time_zone = "Asia/Seoul"
        currency = "KRW"
        opens_at = "2027-01-01T00:00"
        title = "하나"
        venue = "멀리"
        grades = [{ name = "석", price = 1 }]
        sections = [{ name = "끝", rows = "가", seats = "1", grade = "석", at = { x = -100000, y = 100000 } }]
        performances = [{ id = "one", date = "2027-01-02", starts_at = "20:00" }]
    "#;
    let new = read_toml(file.as_bytes(), SaleId::parse("one").expect("an id")).expect("a sale");
    let text = draw(&Hall::build(new.schedule.plan).expect("a plan"), 0);
    assert_eq!(
        hall_of(&text, "A  석").first().map(|line| line.trim_start().chars().next()),
        Some(Some('A'))
    );
    assert!(text.lines().all(|line| line.len() < 150), "\n{text}");
}

#[test]
fn grades_have_marks_of_their_own() {
    let told = |names: &[&str]| marks(names.iter().copied()).into_iter().collect::<String>();
    assert_eq!(told(&["VIP", "R", "S"]), "VRS");
    assert_eq!(told(&["VIP", "VVIP", "일반", "1st"]), "VAB1");
    assert_eq!(told(&["west", "x", "A"]), "ABC");
}

//! `maepyo sale check`: what is wrong with a file, or what it describes, for its author to compare
//! with what was meant.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use domain::command::Schedule;
use domain::plan::{Access, Hall};
use domain::time::Timestamp;
use jiff::tz::TimeZone;

use super::drawing;
use crate::config::Stop;
use crate::sale_file::{SaleFileId, read_file};
use crate::table::{Side, lines};

/// Checks a file and describes it on the standard output. The exit code is 0 when it can be sold,
/// and 1 when not.
pub(super) fn check(file: &Path) -> Result<ExitCode, Stop> {
    let sale = SaleFileId::of(file);
    let read = read_file(file)
        .map_err(|why| Stop::failed(format!("{} cannot be read: {why}.", file.display())))?;
    let id = sale.clone().unwrap_or_else(SaleFileId::unnamed);
    let new =
        read.sale(id).map_err(|fault| Stop::failed(format!("{}: {fault}.", file.display())))?;
    let mut text = describe(&new.schedule);
    match sale {
        Some(id) => writeln!(text, "\n{} can be sold, as the sale `{id}`.", file.display()),
        None => writeln!(
            text,
            "\n{} can be sold. With --sales its name would have to be 1 to 64 of a-z, 0-9 and -, \
             and .toml.",
            file.display()
        ),
    }
    .expect("memory is enough");
    // Whoever closed the stream does not want to read it.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// The sale in words and pictures.
fn describe(schedule: &Schedule) -> String {
    let plan = &schedule.plan;
    let zone = TimeZone::get(&plan.time_zone).expect("the file was read with it");
    let hall = Hall::build(plan.clone()).expect("the rules were asked");
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(words.trim_end());
        text.push('\n');
    };
    let opens = local(schedule.opens_at, &zone);
    line(format!("opens   {opens} ({})", plan.time_zone));
    let closes = schedule.closes_at.map(|closes| local(closes, &zone));
    line(format!("closes  {}", closes.as_deref().unwrap_or("when it is told to")));
    let limits = schedule.limits;
    line(format!(
        "limits  {} admitted at a time, {} seats in one reservation, {} in line",
        count(limits.active_limit.into()),
        limits.seats_per_reservation,
        count(limits.line_capacity.into()),
    ));
    line(String::new());
    for (number, performance) in plan.performances.iter().enumerate() {
        line(format!(
            "{}  {}  {}, {}",
            local(performance.starts_at, &zone),
            performance.id,
            performance.title,
            performance.venue
        ));
        let before = &plan.performances[..number];
        let same = before.iter().find(|other| {
            other.grades == performance.grades
                && other.sections == performance.sections
                && other.wheelchair_places == performance.wheelchair_places
        });
        if let Some(same) = same {
            line(format!("  the same hall and prices as {}", same.id));
            line(String::new());
            continue;
        }
        let number = u16::try_from(number).expect("performances are few");
        line(String::new());
        line(table(&hall, number));
        line(String::new());
        line(drawing::draw(&hall, number));
        line(String::new());
    }
    line(format!(
        "{} seats in {} {}",
        count(hall.seats().len() as u64),
        plan.performances.len(),
        if plan.performances.len() == 1 { "performance" } else { "performances" }
    ));
    text
}

/// What stands in one line of the table: section, grade, pool.
type Kind = (u16, u16, Option<u16>);

/// The seats of a performance by section, grade and pool.
fn table(hall: &Hall, number: u16) -> String {
    let performance = &hall.plan().performances[usize::from(number)];
    let mut kinds: BTreeMap<Kind, u64> = BTreeMap::new();
    for seat in hall.seats_of(number) {
        let seat = &hall.seats()[seat as usize];
        *kinds.entry((seat.section, seat.grade, seat.pool)).or_default() += 1;
    }
    let currency = hall.plan().currency.as_str();
    let mut rows = vec![vec![
        "section".to_owned(),
        "grade".into(),
        "seats".into(),
        format!("price ({currency})"),
        String::new(),
    ]];
    for ((section, grade, pool), seats) in &kinds {
        let grade = &performance.grades[usize::from(*grade)];
        rows.push(vec![
            performance.sections[usize::from(*section)].name.to_string(),
            grade.name.to_string(),
            count(*seats),
            count(grade.price.0),
            pool.map_or(String::new(), |pool| {
                format!("withheld for {}", hall.plan().pools[usize::from(pool)])
            }),
        ]);
    }
    let all: u64 = kinds.values().sum();
    let value: u64 = kinds
        .iter()
        .map(|((_, grade, _), seats)| seats * performance.grades[usize::from(*grade)].price.0)
        .sum();
    rows.push(vec!["in all".into(), String::new(), count(all), count(value), String::new()]);
    let sides = [Side::Left, Side::Left, Side::Right, Side::Right, Side::Left];
    let mut text = String::new();
    for line in lines(&rows, &sides).lines() {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    let range = hall.seats_of(number);
    let access = hall.accessible().iter().filter(|(seat, _)| range.contains(&seat.0));
    let (mut places, mut companions) = (0, 0);
    for (_, access) in access {
        match access {
            Access::Wheelchair => places += 1,
            Access::Companion(_) => companions += 1,
        }
    }
    if places > 0 {
        let line = format!("  {places} wheelchair places and {companions} companions' seats\n");
        text.push_str(&line);
    }
    text
}

/// A number as people read it: `1,234,567`.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The time at the venue.
fn local(time: Timestamp, zone: &TimeZone) -> String {
    let time = i64::try_from(time.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or("?".to_owned(), |time| {
        zone.to_datetime(time).strftime("%Y-%m-%d %H:%M").to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        let table = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (132_000, "132,000"),
            (1_234_567, "1,234,567"),
        ];
        for (number, expected) in table {
            assert_eq!(count(number), expected);
        }
    }
}

//! How long it takes from the start of the program, after it was killed with a long history, until
//! a buyer holds a seat again.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::calls::Inside;
use crate::figures::{Bytes, Seconds, count};
use crate::hall::Hall;
use crate::office::Office;
use crate::report::Reading;
use crate::series::Series;
use crate::verdict::at_most;
use crate::{Fault, Plan, clock, fault, plainly, tell};

/// Buyers who are let in: two events each, the joining and the admission.
const BUYERS: u32 = 400_000;
/// Of these, who hold a seat: one event each. With them it is one in a hundred less than a million,
/// so that the second snapshot is just not due, and half of the history is replayed: the worst case.
const HOLDERS: u32 = 190_000;
/// At the desk it is a tenth of that, without a snapshot.
const QUICK: u32 = 10;
/// What a start may take.
const MOST_S: f64 = 1.0;
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

const SALE: &str = "main";

/// Measures the row.
pub(crate) fn measure(plan: &Plan) -> Result<Reading, Fault> {
    let part = if plan.is_quick { QUICK } else { 1 };
    let (buyers, holders) = (BUYERS / part, HOLDERS / part);
    let hall =
        Hall { performances: 8, seats: 50_000, active_limit: buyers, line_capacity: 20_000_000 };
    let office = Office::open(plan)?;
    office.schedule(SALE, &hall, true)?;
    let joined = office.join(SALE, buyers)?;
    let tokens = Rc::clone(&joined.admitted);
    let inside = Inside { hall, sales: vec![SALE.to_owned()], tokens, in_turn: false };
    office.hold(inside.clone(), holders)?;
    let killed = office.kill();
    let data = killed.path().join("data");
    let bytes = size(&data).map_err(|error| fault("the history", &error))?;

    let (mut ready, mut held) = (Vec::new(), Vec::new());
    for number in 0..plan.rounds.max(3) {
        // Each start from the same history: a start may write.
        let dir = plan.directory()?;
        copy(&data, &dir.path().join("data")).map_err(|error| fault("the copy", &error))?;
        let begin = clock::now();
        let office = Office::open_in(plan, dir)?;
        let is_ready = || {
            let answer = plainly::ask(office.operators, "GET", "/readyz", None, None);
            answer.ok().filter(|answer| answer.status == 200)
        };
        clock::until(PATIENCE, is_ready).ok_or_else(|| Fault("it is never ready".to_owned()))?;
        ready.push(begin.elapsed().as_secs_f64());
        // Somebody who was let in before, and holds nothing yet.
        let buyer = holders + number;
        let mut body = Vec::new();
        inside.write_hold(buyer, &mut body);
        let body = String::from_utf8_lossy(&body).into_owned();
        let hold = || {
            let answer =
                office.ask("POST", "/reservations", Some(inside.token(buyer)), Some(&body));
            answer.ok().filter(|answer| answer.status == 201)
        };
        clock::until(PATIENCE, hold).ok_or_else(|| Fault("nobody holds a seat".to_owned()))?;
        held.push(begin.elapsed().as_secs_f64());
        tell(&format!("  start {}: {}", number + 1, Seconds(begin.elapsed().as_secs_f64())));
    }
    let none = || Fault("there was no start".to_owned());
    let (ready, held) = (Series::of(ready).ok_or_else(none)?, Series::of(held).ok_or_else(none)?);
    Ok(Reading {
        measured: format!(
            "{} ({}..{})",
            Seconds(held.median),
            Seconds(held.min),
            Seconds(held.max)
        ),
        details: vec![format!(
            "From the start of the program until the first hold is answered with 201; `/readyz` after \
             {}. {} events in {} of files, killed with `kill -9`; the newest snapshot is as old as the \
             server lets it become, so half of the events are replayed. The files are in the \
             system's cache.",
            Seconds(ready.median),
            count((2 * buyers + holders).into()),
            Bytes(bytes),
        )],
        tables: Vec::new(),
        verdict: at_most(held.median, MOST_S),
    })
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

fn size(dir: &Path) -> std::io::Result<f64> {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            size(&entry.path())?
        } else {
            crate::round::count(entry.metadata()?.len())
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_copied_with_all_its_files() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(from.join("snapshots")).expect("a directory");
        std::fs::write(from.join("journal"), "abc").expect("a file");
        std::fs::write(from.join("snapshots/1"), "de").expect("a file");
        copy(&from, &to).expect("a copy");
        assert_eq!(std::fs::read(to.join("snapshots/1")).expect("a file"), b"de");
        assert!((size(&to).expect("a size") - 5.0).abs() < 1e-9);
    }
}

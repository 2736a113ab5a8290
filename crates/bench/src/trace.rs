//! What the operating system saw: that each hold which was answered lay in a write to the journal's
//! file that was synced before the answer was sent.
//!
//! `strace` is attached to the box office for a moment. Its lines come in the order of the events: a
//! call's line stands where it began, and where it ended if others came in between. An answer names
//! its reservation in Crockford's base 32; the journal has the same number in eight bytes, so each
//! answer is looked for by its own bytes in what was written before it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use stampede::load::{Closed, closed, runtime};

use crate::figures::count;
use crate::office::Office;
use crate::process::Process;
use crate::report::Reading;
use crate::scenes::{self, Scene};
use crate::verdict::Verdict;
use crate::{Fault, Plan, calls::Calls, clock, fault};

/// Holds a second that are made ready, and how long they are watched.
const RATE: f64 = 3_000.0;
const WATCHED: Duration = Duration::from_secs(2);
/// Connections: enough for several holds in one commit.
const CONNECTIONS: usize = 32;
/// How long `strace` may take to attach, and to write everything down.
const ATTACH_MAX: Duration = Duration::from_secs(10);
const WRITE_MAX: Duration = Duration::from_secs(60);

/// Measures the row.
pub(crate) fn measure(plan: &Plan) -> Result<Reading, Fault> {
    let known = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    if !known.is_ok_and(|status| status.success()) {
        return Ok(shown(Verdict::Absent("`strace` is not installed".to_owned()), String::new()));
    }
    let plan = Plan { warm_up: Duration::ZERO, measured: WATCHED, ..plan.clone() };
    let Scene { office, calls, .. } = scenes::hold_in(&plan, RATE, scenes::LARGE, 1)?;
    let directory = plan.directory()?;
    let file = directory.path().join("trace");
    let mut strace = attach(&office.process, &file)?;
    let runtime = runtime().map_err(|error| fault("the load", &error))?;
    let closing = Closed::new(office.public, CONNECTIONS, WATCHED);
    let outcome = runtime.block_on(closed(&closing, &calls));
    drop(runtime);
    if let Some(example) = calls.with(Calls::take_example) {
        return Err(Fault(example));
    }
    end(office, &mut strace)?;
    let text = std::fs::read(&file).map_err(|error| fault("the trace", &error))?;
    let seen = Seen::of(&String::from_utf8_lossy(&text));
    let verdict = seen.verdict(outcome.good());
    let measured = format!(
        "{} holds answered, {} of them in a write that was synced before ({} syncs)",
        count(outcome.good()),
        count(seen.proven),
        count(seen.syncs),
    );
    Ok(shown(verdict, measured))
}

fn shown(verdict: Verdict, measured: String) -> Reading {
    let details = vec![
        "Looked for by the reservation's own eight bytes: in what was written to the journal's log, \
         then a whole sync of that file, then the answer. The simulator proves the same of every \
         reply and every publication, under faults."
            .to_owned(),
    ];
    Reading { measured, details, tables: Vec::new(), verdict }
}

/// Watches a process from now on.
fn attach(process: &Process, file: &Path) -> Result<std::process::Child, Fault> {
    let id = process.id().to_string();
    let calls = "trace=pwrite64,pwritev,write,writev,sendto,sendmsg,fdatasync,fsync";
    let mut strace = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "70000", "-e", calls, "-p", &id, "-o"])
        .arg(file)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| fault("strace", &error))?;
    let is_watched = || {
        let ended = strace.try_wait().ok()?.is_some();
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).ok()?.flatten();
        let mut all = tasks.map(|task| std::fs::read_to_string(task.path().join("status")));
        let watched = all.all(|status| !status.unwrap_or_default().contains("TracerPid:\t0\n"));
        (ended || watched).then_some(watched)
    };
    match clock::until(ATTACH_MAX, is_watched) {
        Some(true) => Ok(strace),
        Some(false) | None => {
            let _dead = strace.kill();
            let _gone = strace.wait();
            Err(Fault("strace may not watch the server".to_owned()))
        }
    }
}

/// Ends the watched process; `strace` then writes the rest down and ends too.
fn end(office: Office, strace: &mut std::process::Child) -> Result<(), Fault> {
    let _directory = office.kill();
    let ended = clock::until(WRITE_MAX, || strace.try_wait().ok()?);
    if ended.is_none() {
        let _dead = strace.kill();
        let _gone = strace.wait();
        return Err(Fault("strace did not end".to_owned()));
    }
    Ok(())
}

/// What a trace shows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Answers 201 that were sent.
    answers: u64,
    /// Of these, whose reservation was written and synced before.
    proven: u64,
    /// Syncs of the journal's log.
    syncs: u64,
    /// The first answer of which that is not so.
    example: Option<String>,
}

impl Seen {
    /// Reads a trace, line after line.
    fn of(text: &str) -> Self {
        let mut seen = Self::default();
        // What was written to the log and not synced yet, and what was synced.
        let (mut written, mut durable) = (Vec::new(), Vec::new());
        // Of each thread: how much of what was written its sync covers.
        let mut syncing: Vec<(&str, usize)> = Vec::new();
        for line in text.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            if is_sync_of_log(call) {
                // What is written after it has begun is not covered by it.
                syncing.push((thread, written.len()));
                if call.ends_with("= 0") {
                    seen.synced(thread, &mut syncing, &mut written, &mut durable);
                }
            } else if call.starts_with("<... fdatasync resumed>")
                || call.starts_with("<... fsync resumed>")
            {
                if call.ends_with("= 0") {
                    seen.synced(thread, &mut syncing, &mut written, &mut durable);
                } else {
                    syncing.retain(|(other, _)| *other != thread);
                }
            } else if is_write_of_log(call) {
                written.extend(data(call));
            } else if let Some(reservation) = answered(call) {
                seen.answers += 1;
                let bytes = number(&reservation).map(u64::to_be_bytes);
                let is_there =
                    bytes.is_some_and(|bytes| durable.windows(8).any(|eight| eight == bytes));
                if is_there {
                    seen.proven += 1;
                } else if seen.example.is_none() {
                    seen.example = Some(reservation);
                }
            }
        }
        seen
    }

    fn synced(
        &mut self,
        thread: &str,
        syncing: &mut Vec<(&str, usize)>,
        written: &mut Vec<u8>,
        durable: &mut Vec<u8>,
    ) {
        let Some(at) = syncing.iter().position(|(other, _)| *other == thread) else { return };
        let (_, covered) = syncing.swap_remove(at);
        self.syncs += 1;
        durable.extend(written.drain(..covered.min(written.len())));
        syncing.iter_mut().for_each(|(_, other)| *other = other.saturating_sub(covered));
        // An answer follows its sync closely; what is long past need not be searched again.
        durable.drain(..durable.len().saturating_sub(REMEMBERED));
    }

    fn verdict(&self, answered: u64) -> Verdict {
        if answered == 0 || self.answers < answered {
            let seen = self.answers;
            return Verdict::Void(format!("of {answered} answers the trace shows {seen}"));
        }
        match &self.example {
            None => Verdict::Reached,
            Some(_) => Verdict::Missed,
        }
    }
}

/// Bytes of what was synced that are searched for an answer.
const REMEMBERED: usize = 4 << 20;

fn is_sync_of_log(call: &str) -> bool {
    (call.starts_with("fdatasync(") || call.starts_with("fsync(")) && is_of_log(call)
}

fn is_write_of_log(call: &str) -> bool {
    (call.starts_with("pwrite64(") || call.starts_with("write(")) && is_of_log(call)
}

/// Whether the file behind the call's descriptor, which `-y` shows in hexadecimal or plainly, is
/// SQLite's log.
fn is_of_log(call: &str) -> bool {
    let name = call.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    name.is_some_and(|(name, _)| name.ends_with("-wal") || name.ends_with("\\x2d\\x77\\x61\\x6c"))
}

/// The bytes of a call's first text.
fn data(call: &str) -> Vec<u8> {
    let text = call.split_once('"').and_then(|(_, rest)| rest.split_once('"'));
    unescaped(text.map_or("", |(text, _)| text))
}

fn unescaped(text: &str) -> Vec<u8> {
    text.split("\\x").filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}

/// The reservation that is named in an answer which says 201, if the call sends one.
fn answered(call: &str) -> Option<String> {
    let sends =
        ["writev(", "sendto(", "sendmsg(", "write("].iter().any(|name| call.starts_with(name));
    if !sends {
        return None;
    }
    // Head and body may stand in texts of their own.
    let texts: Vec<u8> = call.split('"').skip(1).step_by(2).flat_map(unescaped).collect();
    if !texts.starts_with(b"HTTP/1.1 201 ") {
        return None;
    }
    let id = crate::tokens::field(&texts, "reservation_id")?;
    Some(String::from_utf8_lossy(id).into_owned())
}

/// The number that a reservation's id spells.
fn number(id: &str) -> Option<u64> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut number = 0_u64;
    for byte in id.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == byte)?;
        number = number.checked_mul(32)?.checked_add(digit as u64)?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    /// 7 and 8, as ids and as eight bytes.
    const IDS: [&str; 2] = ["0000000000007", "0000000000008"];

    fn write(number: u64) -> String {
        let bytes = hex(&[b"abc".as_slice(), &number.to_be_bytes(), b"def"].concat());
        format!(
            "11 pwrite64(9</data/{}>, \"{bytes}\"..., 14, 0) = 14",
            hex(b"j-wal").to_lowercase()
        )
    }

    fn answer(id: &str) -> String {
        let (head, body) =
            (hex(b"HTTP/1.1 201 Created\r\n\r\n"), format!("{{\"reservation_id\":\"{id}\"}}"));
        let body = hex(body.as_bytes());
        format!(
            "12 writev(20<socket:[1]>, [{{iov_base=\"{head}\", iov_len=24}}, {{iov_base=\"{body}\", iov_len=9}}], 2) = 33"
        )
    }

    fn seen(lines: &[String]) -> Seen {
        Seen::of(&lines.join("\n"))
    }

    fn sync() -> String {
        "11 fdatasync(9</data/j-wal>) = 0".to_owned()
    }

    #[test]
    fn an_answer_after_its_sync_is_proven() {
        let seen = seen(&[write(7), write(8), sync(), answer(IDS[0]), answer(IDS[1])]);
        assert_eq!((seen.answers, seen.proven, seen.syncs), (2, 2, 1), "{seen:?}");
        assert_eq!(seen.verdict(2), Verdict::Reached);
    }

    #[test]
    fn an_answer_before_its_sync_is_found() {
        for lines in [
            vec![write(7), answer(IDS[0]), sync()],
            vec![sync(), write(7), answer(IDS[0])],
            vec![write(8), sync(), answer(IDS[0])],
            vec![write(7), sync().replace("j-wal", "j-shm"), answer(IDS[0])],
            vec![write(7), sync().replace("= 0", "= -1 EIO"), answer(IDS[0])],
        ] {
            let seen = seen(&lines);
            assert_eq!((seen.answers, seen.proven), (1, 0), "{lines:?}");
            assert_eq!(seen.verdict(1), Verdict::Missed);
        }
    }

    #[test]
    fn a_sync_counts_when_it_ends_and_for_what_was_there_when_it_began() {
        let begins = "11 fdatasync(9</data/j-wal> <unfinished ...>".to_owned();
        let ends = "11 <... fdatasync resumed>) = 0".to_owned();
        let early = seen(&[write(7), begins.clone(), answer(IDS[0]), ends.clone()]);
        assert_eq!(early.proven, 0);
        let late = seen(&[begins.clone(), write(7), ends.clone(), answer(IDS[0])]);
        assert_eq!(late.proven, 0, "written while another sync was on its way");
        let right = seen(&[write(7), begins, ends, answer(IDS[0])]);
        assert_eq!(right.proven, 1);
    }

    #[test]
    fn a_trace_that_lacks_answers_proves_nothing() {
        let seen = seen(&[write(7), sync(), answer(IDS[0])]);
        assert!(matches!(seen.verdict(2), Verdict::Void(_)));
        assert!(matches!(Seen::default().verdict(0), Verdict::Void(_)));
    }
}

//! Twenty thousand who follow their place: what each open stream weighs, and how old what it says is.
//!
//! Everybody is in one line, and somebody joins twenty times a second, so each stream has something
//! to say every second: the worst case. The age of a position is told in two parts: from the moment
//! it was looked up until it was read here, and from then until the next one was read.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use stampede::load::runtime;
use stampede::wire::{Connection, Request};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::figures::{Bytes, PerSecond, Seconds, count};
use crate::hall::Hall;
use crate::office::Office;
use crate::report::Reading;
use crate::round::count as number;
use crate::tokens::{Texts, field_after};
use crate::verdict::{Verdict, at_most, both};
use crate::{Fault, Plan, fault, plainly, tell};

/// Streams of the row.
const STREAMS: u32 = 20_000;
/// And at the desk.
const STREAMS_QUICK: u32 = 1_000;
/// File descriptors of this process that are no streams.
const DESCRIPTORS_KEPT: u32 = 200;
/// Streams that are opened at a time.
const OPENED_AT_ONCE: u32 = 200;
/// What one may weigh.
const BYTES_MAX: f64 = 16.0 * 1024.0;
/// How old a position may be when it is read.
const AGE_MAX_S: f64 = 1.0;
/// From one join to the next, so that every position's total is another each second.
const JOIN_EVERY: Duration = Duration::from_millis(50);
/// How long any step may take.
const PATIENCE: Duration = Duration::from_secs(60);

const SALE: &str = "main";
const HALL: Hall =
    Hall { performances: 1, seats: 50_000, active_limit: 100, line_capacity: 20_000_000 };

/// What all streams together heard.
#[derive(Debug, Default)]
struct Heard {
    is_measured: bool,
    /// Streams that have heard something.
    begun: u32,
    /// Streams that ended.
    ended: u32,
    positions: u64,
    /// Seconds from a position's own time until it was read.
    ages_s: Vec<f64>,
    /// Seconds from one position to the next one of the same stream.
    pauses_s: Vec<f64>,
}

/// Measures the row.
pub(crate) fn measure(plan: &Plan) -> Result<Reading, Fault> {
    let wanted = if plan.is_quick { STREAMS_QUICK } else { STREAMS };
    let office = Office::open(plan)?;
    let ours = open_files_max().unwrap_or(u32::MAX).saturating_sub(DESCRIPTORS_KEPT);
    let streams = wanted.min(ours).min(streams_max(&office)?);
    office.schedule(SALE, &HALL, true)?;
    let joined = office.join(SALE, streams + HALL.active_limit)?;
    let tokens = Rc::clone(&joined.waiting);
    if tokens.len() < streams {
        return Err(Fault(format!("only {} wait", tokens.len())));
    }
    clock::pause(Duration::from_secs(2));
    let before = office.process.memory("VmRSS");

    let heard = Rc::new(RefCell::new(Heard::default()));
    let runtime = runtime().map_err(|error| fault("the load", &error))?;
    let opened = clock::now();
    runtime.block_on(open_all(office.public, &tokens, streams, &heard))?;
    let opening_s = opened.elapsed().as_secs_f64();
    tell(&format!("  {} streams in {}", count(streams.into()), Seconds(opening_s)));
    let quiet = office.process.memory("VmRSS");

    let used_s = runtime.block_on(async {
        tokio::task::spawn_local(join_on(office.public));
        sleep(plan.warm_up).await;
        let used_s = office.process.cpu_s();
        heard.borrow_mut().is_measured = true;
        sleep(plan.measured).await;
        heard.borrow_mut().is_measured = false;
        office.process.cpu_s() - used_s
    });
    let after = office.process.memory("VmRSS");
    let highest = office.process.memory("VmHWM");
    let mut heard = std::mem::take(&mut *heard.borrow_mut());
    if heard.ended > 0 {
        return Err(Fault(format!("{} streams ended", heard.ended)));
    }

    let each = |bytes: f64| (bytes - before) / f64::from(streams);
    let ages = Spread::of(&mut heard.ages_s)?;
    let pauses = Spread::of(&mut heard.pauses_s)?;
    let measured_s = plan.measured.as_secs_f64();
    let mut verdict = both(at_most(each(after), BYTES_MAX), at_most(ages.p99, AGE_MAX_S));
    if streams < wanted {
        let streams = count(streams.into());
        let why = format!("{streams} streams only, for no more files may be open here");
        verdict = Verdict::Void(why);
    }
    Ok(Reading {
        measured: format!(
            "{} for each; a position is {} old when it is read",
            Bytes(each(after)),
            Seconds(ages.median)
        ),
        details: vec![
            format!(
                "{} streams, opened in {} one after the other, over loopback from one process. Resident \
                 before {}, when all were open {} ({} for each), at the end {} ({}), at the highest {}.",
                count(streams.into()),
                Seconds(opening_s),
                Bytes(before),
                Bytes(quiet),
                Bytes(each(quiet)),
                Bytes(after),
                Bytes(each(after)),
                Bytes(highest),
            ),
            format!(
                "Positions: {} ({} in {}); from being looked up until being read {ages}; from one to \
                 the next {pauses}. The server's processor time: {:.0} % of one core.",
                PerSecond(number(heard.positions) / measured_s),
                count(heard.positions),
                Seconds(measured_s),
                used_s / measured_s * 100.0,
            ),
        ],
        tables: Vec::new(),
        verdict,
    })
}

/// The streams that the server has room for: fewer where it may not open as many files.
fn streams_max(office: &Office) -> Result<u32, Fault> {
    let answer = plainly::ask(office.operators, "GET", "/metrics", None, None)?;
    let text = String::from_utf8_lossy(answer.body());
    let max = text.lines().find_map(|line| line.strip_prefix("maepyo_streams_max "));
    let max = max.and_then(|max| max.trim().parse().ok());
    max.ok_or_else(|| Fault("it does not say how many streams there may be".to_owned()))
}

/// The files that this process may have open, as the kernel says it.
fn open_files_max() -> Option<u32> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Opens all streams, some at a time, and waits until each has heard where it stands.
async fn open_all(
    addr: SocketAddr,
    tokens: &Rc<Texts>,
    streams: u32,
    heard: &Rc<RefCell<Heard>>,
) -> Result<(), Fault> {
    for first in (0..streams).step_by(OPENED_AT_ONCE as usize) {
        let until = streams.min(first + OPENED_AT_ONCE);
        for stream in first..until {
            let follower = follow(addr, Rc::clone(tokens), stream, Rc::clone(heard));
            tokio::task::spawn_local(follower);
        }
        let begun = timeout(PATIENCE, async {
            while heard.borrow().begun < until && heard.borrow().ended == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        });
        begun.await.map_err(|_| Fault("the streams do not begin".to_owned()))?;
    }
    Ok(())
}

/// Somebody joins again and again.
async fn join_on(addr: SocketAddr) {
    let mut connection = Connection::to(addr, PATIENCE);
    let request = Request::post("/queue/token").json("{}").bytes();
    loop {
        // A join that is lost is seen in what the streams hear.
        let _ = connection.exchange(&request).await;
        sleep(JOIN_EVERY).await;
    }
}

/// Follows one place for as long as it is told something.
async fn follow(addr: SocketAddr, tokens: Rc<Texts>, stream: u32, heard: Rc<RefCell<Heard>>) {
    let read = listen(addr, tokens.get(stream), &heard).await;
    let mut heard = heard.borrow_mut();
    heard.ended += 1;
    if heard.ended == 1 {
        let why = read.err().map_or_else(|| "it was closed".to_owned(), |error| error.to_string());
        tell(&format!("  a stream ended: {why}"));
    }
}

async fn listen(addr: SocketAddr, token: &[u8], heard: &RefCell<Heard>) -> std::io::Result<()> {
    let connection = TcpStream::connect(addr).await?;
    connection.set_nodelay(true)?;
    let mut request =
        b"GET /queue/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ".to_vec();
    request.extend_from_slice(token);
    request.extend_from_slice(b"\r\n\r\n");
    connection.writable().await?;
    let sent = connection.try_write(&request)?;
    assert_eq!(sent, request.len(), "a new connection takes a head");
    drop(request);
    let mut text = Vec::new();
    let mut last_s = None;
    let mut is_first = true;
    loop {
        connection.readable().await?;
        let mut bytes = [0; 8 * 1024];
        match connection.try_read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(length) => text.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if !text.ends_with(b"\n\n\r\n") && !text.ends_with(b"\n\n") {
            continue;
        }
        let now_s = clock::wall_s();
        let mut heard = heard.borrow_mut();
        if std::mem::take(&mut is_first) {
            heard.begun += 1;
        }
        if let Some(told_s) = position_at(&text) {
            if heard.is_measured {
                heard.positions += 1;
                heard.ages_s.push(now_s - told_s);
                heard.pauses_s.extend(last_s.map(|last_s| now_s - last_s));
            }
            last_s = Some(now_s);
        }
        text.clear();
    }
}

/// When the position in this text was looked up, in seconds since 1970, if there is one.
fn position_at(text: &[u8]) -> Option<f64> {
    const EVENT: &[u8] = b"event: position\n";
    let at = text.windows(EVENT.len()).position(|window| window == EVENT)?;
    let time = field_after(&text[at..], b"\"server_time\":\"")?;
    clock::seconds_of(std::str::from_utf8(time).ok()?)
}

/// How values lie.
struct Spread {
    median: f64,
    p99: f64,
    max: f64,
}

impl Spread {
    fn of(values: &mut [f64]) -> Result<Self, Fault> {
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().checked_sub(1);
        let last = last.ok_or_else(|| Fault("no stream heard a position".to_owned()))?;
        let at = |hundredths: usize| values[last * hundredths / 100];
        Ok(Self { median: at(50), p99: at(99), max: at(100) })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { median, p99, max } = *self;
        write!(f, "{} (p99 {}, at most {})", Seconds(median), Seconds(p99), Seconds(max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_position_is_found_and_of_nothing_else() {
        let text = |event: &str| {
            format!(
                "2a\r\nevent: {event}\nid: 1\ndata: {{\"expires_at\":\"x\",\
                 \"server_time\":\"1970-01-01T00:01:00.500Z\"}}\n\n\r\n"
            )
        };
        assert_eq!(position_at(text("position").as_bytes()), Some(60.5));
        assert_eq!(position_at(text("state").as_bytes()), None);
        assert_eq!(position_at(b":\n\n"), None);
    }

    #[test]
    fn a_spread_is_told_by_its_middle_and_its_end() {
        let mut values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        let spread = Spread::of(&mut values).expect("there are some");
        assert_eq!(spread.to_string(), "50.0 s (p99 99.0 s, at most 100 s)");
        assert!(Spread::of(&mut []).is_err());
    }

    #[test]
    fn the_kernel_says_how_many_files_may_be_open() {
        assert!(open_files_max().is_some_and(|most| most > 10));
    }
}

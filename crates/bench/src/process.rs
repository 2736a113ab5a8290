//! A server as a process: started, looked at from outside, and killed when it is no longer needed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::{Fault, fault};

/// How long a server may take until it listens; a long history is replayed meanwhile.
const START_WAIT: Duration = Duration::from_secs(120);
/// The kernel counts processor time in hundredths of a second, on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server. It dies with this value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a server, and returns the first line it prints, which says where it listens.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<(Self, String), Fault> {
        let log_file = File::create(log).map_err(|error| fault("the log", &error))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file);
        let mut child = command.spawn().map_err(|error| fault("the server", &error))?;
        let stdout = child.stdout.take().expect("standard output was asked to be a pipe");
        let process = Self { child };
        let (to, from) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to its end, for a full pipe would stop the server.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _nobody_waits_any_longer = to.send(line);
            }
        });
        match from.recv_timeout(START_WAIT) {
            Ok(line) => Ok((process, line)),
            Err(_) => {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                Err(Fault(format!("the server did not start: {}", said.trim())))
            }
        }
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time so far, all threads and the kernel on their behalf, in seconds.
    pub(crate) fn cpu_s(&self) -> f64 {
        cpu_s(&self.id().to_string())
    }

    /// Memory in bytes, by a name from `/proc/PID/status`: `VmRSS` now, `VmHWM` at its highest.
    pub(crate) fn memory(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        memory_of(&status.unwrap_or_default(), name).unwrap_or(f64::NAN)
    }

    /// Kills it where it stands, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _dead = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Processor time of a process so far, in seconds; `self` is this one.
pub(crate) fn cpu_s(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    ticks(&stat).map_or(f64::NAN, |ticks| ticks / TICKS_PER_SECOND)
}

/// Processor time so far of a process and all its children, those that have ended too, in seconds.
pub(crate) fn family_cpu_s(process: u32) -> f64 {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let (Ok(children), Some([own, ended])) = (children, times(&stat)) else { return f64::NAN };
    // One that has ended since is among the ended ones the next time.
    let living = children.split_whitespace().map(cpu_s).filter(|seconds| seconds.is_finite());
    (own + ended) / TICKS_PER_SECOND + living.sum::<f64>()
}

/// User and system time of a process alone.
fn ticks(stat: &str) -> Option<f64> {
    times(stat).map(|[own, _]| own)
}

/// User and system time, its own and that of children it has waited for. The second field is the program's
/// name in brackets and may hold anything.
fn times(stat: &str) -> Option<[f64; 2]> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    let mut both = || Some(times.next()?.ok()? + times.next()?.ok()?);
    Some([both()?, both()?])
}

fn memory_of(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// The address in "listening on http://ADDR …", and the one after "operators: http://".
pub(crate) fn addresses(line: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let address = |text: &str| {
        let end = text.find([' ', ')']).unwrap_or(text.len());
        text[..end].parse::<SocketAddr>().ok()
    };
    let public = address(line.split_once("listening on http://")?.1)?;
    let operators = line.split_once("operators: http://").and_then(|(_, rest)| address(rest));
    Some((public, operators))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_listens_is_read_from_its_first_line() {
        let both = addresses("listening on http://127.0.0.1:1 (operators: http://127.0.0.1:2)");
        assert_eq!(both, Some((([127, 0, 0, 1], 1).into(), Some(([127, 0, 0, 1], 2).into()))));
        let one = addresses("listening on http://127.0.0.1:80");
        assert_eq!(one, Some((([127, 0, 0, 1], 80).into(), None)));
        assert_eq!(addresses("it could not"), None);
    }

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(ticks(stat), Some(300.0));
        assert_eq!(times(&stat.replace(" 50 0 0 ", " 50 3 4 ")), Some([300.0, 7.0]));
        assert!(family_cpu_s(std::process::id()) >= 0.0);
        assert_eq!(ticks(""), None);
        assert!(cpu_s("self") >= 0.0);
    }

    #[test]
    fn memory_is_told_in_bytes() {
        let status = "Name:\tmaepyo\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(memory_of(status, "VmRSS"), Some(1_048_576.0));
        assert_eq!(memory_of(status, "VmHWM"), Some(2_097_152.0));
        assert_eq!(memory_of(status, "Vm"), None);
    }
}

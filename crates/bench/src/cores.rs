//! Which core does what: the server has one with all its threads, the load the other.
//!
//! Linux only, by `taskset`, which every distribution has; elsewhere, and on a machine with one
//! core, everything shares what there is, and the report says so.

use std::process::{Command, Stdio};

/// How the cores are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// One each.
    Apart {
        /// The server's.
        server: usize,
        /// The load's.
        load: usize,
    },
    /// Nobody has one of their own.
    Shared,
}

impl Cores {
    /// Shares the cores out, and takes the load's for this process.
    pub(crate) fn share_out() -> Self {
        let own = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let Some((server, load)) = first_two(&own) else { return Self::Shared };
        let id = std::process::id().to_string();
        let taken = Command::new("taskset")
            .args(["-a", "-p", "-c", &load.to_string(), &id])
            .stdout(Stdio::null())
            .status();
        match taken {
            Ok(status) if status.success() => Self::Apart { server, load },
            Ok(_) | Err(_) => Self::Shared,
        }
    }

    /// A command that runs a program as a server, on the server's core.
    pub(crate) fn server(self, program: &std::path::Path) -> Command {
        match self.server_words().split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        }
    }

    /// What stands before a program that is to run on the server's core.
    pub(crate) fn server_words(self) -> Vec<String> {
        match self {
            Self::Apart { server, .. } => {
                vec!["taskset".to_owned(), "-c".to_owned(), server.to_string()]
            }
            Self::Shared => Vec::new(),
        }
    }

    /// For the document.
    pub(crate) fn sentence(self) -> String {
        match self {
            Self::Apart { server, load } => {
                format!("the server with all its threads on core {server}, the load on core {load}")
            }
            Self::Shared => "server and load SHARE the cores: the ratios say little".to_owned(),
        }
    }
}

/// The first two cores that this process may use, from `/proc/self/status`.
fn first_two(status: &str) -> Option<(usize, usize)> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = list.trim().split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => first..last.saturating_add(1),
            _ => 0..0,
        }
    });
    Some((cores.next()?, cores.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cores_are_found_in_a_list_of_ranges() {
        let first = |list: &str| first_two(&format!("Name:\tbench\nCpus_allowed_list:\t{list}\n"));
        assert_eq!(first("0-1"), Some((0, 1)));
        assert_eq!(first("3,5-7"), Some((3, 5)));
        assert_eq!(first("2-63"), Some((2, 3)));
        assert_eq!(first("4"), None);
        assert_eq!(first_two("Name:\tbench"), None);
    }
}

//! A quarter of a core for a server, as if it had a small machine of its own. Linux only, by control groups,
//! for whoever may make them, as root may; elsewhere there is none, and the report says so.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::Process;
use crate::{Fault, fault};

/// So many microseconds of each period. Short ones, so that whoever has used them up is soon let on.
const QUOTA_US: u32 = 1_000;
const PERIOD_US: u32 = 4_000;

/// Where groups are made: of the second version, and of the first.
const GROUPS: &str = "/sys/fs/cgroup";
const GROUPS_1: &str = "/sys/fs/cgroup/cpu";

/// A group with a quarter of a core. It is gone with this value, after the processes in it.
#[derive(Debug)]
pub(crate) struct Quota {
    group: PathBuf,
}

impl Quota {
    /// Makes one that nobody else has.
    pub(crate) fn new() -> Result<Self, Fault> {
        let is_second = Path::new(GROUPS).join("cgroup.controllers").exists();
        let root = if is_second { GROUPS } else { GROUPS_1 };
        let made = tempfile::Builder::new().prefix("maepyo-bench-").tempdir_in(root);
        let group = made.map_err(|error| fault(root, &error))?.keep();
        let quota = Self { group };
        if is_second {
            quota.write("cpu.max", &format!("{QUOTA_US} {PERIOD_US}"))?;
        } else {
            quota.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
            quota.write("cpu.cfs_quota_us", &QUOTA_US.to_string())?;
        }
        Ok(quota)
    }

    /// Puts a process into it, with all its threads.
    pub(crate) fn take(&self, process: &Process) -> Result<(), Fault> {
        self.write("cgroup.procs", &process.id().to_string())
    }

    fn write(&self, name: &str, value: &str) -> Result<(), Fault> {
        let file = self.group.join(name);
        fs::write(&file, value).map_err(|error| fault(&file.display().to_string(), &error))
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // A group that is not empty stays, and does nothing.
        let _gone = fs::remove_dir(&self.group);
    }
}

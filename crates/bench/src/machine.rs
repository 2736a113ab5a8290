//! The machine, as far as it makes numbers differ.

use std::path::Path;
use std::process::Command;

use crate::cores::Cores;
use crate::figures::Bytes;

/// The machine in some lines, for the document.
pub(crate) fn describe(dir: &Path, cores: Cores) -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let (filesystem, device) = mount_of(&read("/proc/self/mounts"), dir).unwrap_or_default();
    vec![
        format!("{}, {} cores", model(&read("/proc/cpuinfo")), cores_of(&read("/proc/cpuinfo"))),
        format!("{} of memory", memory(&read("/proc/meminfo"))),
        format!("the journal on {filesystem} ({device}, {})", kind_of_disk(&device)),
        format!("Linux {}, {}", kernel.trim(), compiler()),
        cores.sentence(),
    ]
}

/// Whether files in this directory are in memory, where a sync costs nothing.
pub(crate) fn is_in_memory(dir: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mount_of(&mounts, dir)
        .is_some_and(|(filesystem, _)| filesystem == "tmpfs" || filesystem == "ramfs")
}

fn model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split_once(':'));
    model
        .map_or_else(|| "a processor without a name".to_owned(), |(_, name)| name.trim().to_owned())
}

fn cores_of(cpuinfo: &str) -> usize {
    cpuinfo.lines().filter(|line| line.starts_with("processor")).count()
}

fn memory(meminfo: &str) -> String {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Bytes(kibibytes.unwrap_or_default() * 1024.0).to_string()
}

/// File system and device of a directory, from `/proc/self/mounts`.
fn mount_of(mounts: &str, dir: &Path) -> Option<(String, String)> {
    let mut best: Option<(usize, (String, String))> = None;
    for line in mounts.lines() {
        let mut words = line.split_whitespace();
        let (Some(device), Some(point), Some(filesystem)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        // Later mounts hide earlier ones at the same point.
        if dir.starts_with(point) && best.as_ref().is_none_or(|(length, _)| point.len() >= *length)
        {
            best = Some((point.len(), (filesystem.to_owned(), device.to_owned())));
        }
    }
    best.map(|(_, found)| found)
}

/// What a block device says of itself.
fn kind_of_disk(device: &str) -> String {
    let name = Path::new(device).file_name().unwrap_or_default().to_string_lossy().into_owned();
    // A partition's device is the disk's with a number behind it.
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('p');
    let read = |disk: &str, file: &str| {
        let path = format!("/sys/block/{disk}/{file}");
        std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    };
    for disk in [name.as_str(), disk] {
        let Some(rotational) = read(disk, "queue/rotational") else { continue };
        // Virtual disks often say that they rotate.
        let kind = if rotational == "1" { "says it rotates" } else { "does not rotate" };
        let cache = read(disk, "queue/write_cache").unwrap_or_else(|| "cache unknown".to_owned());
        return match read(disk, "device/model") {
            Some(model) => format!("{model}, {kind}, {cache}"),
            None => format!("{kind}, {cache}"),
        };
    }
    "disk unknown".to_owned()
}

fn compiler() -> String {
    let said = Command::new("rustc").arg("--version").output();
    let said = said.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let version = said.as_deref().map(str::trim).filter(|text| !text.is_empty());
    version.unwrap_or("rustc of unknown version").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_a_directory_is_the_deepest_and_last() {
        let mounts = "/dev/a / ext4 rw 0 0\n\
                      tmpfs /tmp tmpfs rw 0 0\n\
                      /dev/b /tmp/disk xfs rw 0 0\n\
                      /dev/c /srv ext4 rw 0 0\n\
                      /dev/d /srv btrfs rw 0 0\n";
        let of = |dir: &str| mount_of(mounts, Path::new(dir)).expect("a mount");
        assert_eq!(of("/var/lib"), ("ext4".to_owned(), "/dev/a".to_owned()));
        assert_eq!(of("/tmp/x").0, "tmpfs");
        assert_eq!(of("/tmp/disk/x").1, "/dev/b");
        assert_eq!(of("/tmpfile").1, "/dev/a", "a name is not a beginning of letters");
        assert_eq!(of("/srv/x").0, "btrfs");
    }

    #[test]
    fn the_processor_is_named() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: Example 9\nprocessor\t: 1\nmodel name\t: Example 9\n";
        assert_eq!((model(cpuinfo).as_str(), cores_of(cpuinfo)), ("Example 9", 2));
        assert_eq!(memory("MemTotal:       24576000 kB\n"), "23.4 GiB");
    }
}

//! The memory that the service manager lets the whole daemon have: `memory.high` of its control group
//! (systemd's `MemoryHigh=`, cgroup v2). At it the kernel slows every thread down; so that it never comes
//! to that, producers are slowed before.
//!
//! | memory in use, of `memory.high` | pressure |
//! |---|---|
//! | up to 60 % | none |
//! | 80 % | 0.50: producers begin to be slowed |
//! | 100 % | 1.00 |
//!
//! A series stays once it is there, so slowing who sends does not help against new ones: they are refused,
//! "later", when half of the ceiling is in use, and near that no more are taken than find room.
//!
//! What the kernel can take back at any time, the clean cache of files, is not in use: a daemon that
//! writes a log fills all it may have with it. The pages of the program itself are in use: the kernel takes
//! them back as well, and what it takes is read from the disk again at the next step. They count as the most
//! that was mapped so far, as few of them would look like room.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where cgroup v2 is.
const ROOT: &str = "/sys/fs/cgroup";
/// Below this part of the ceiling nothing is said.
const NEAR: f64 = 0.6;
/// New series come up to this part. The other half is for what comes and goes, all of which may be full at
/// once.
const STAYING: f64 = 0.5;
/// What one takes in all rooms, with its share of its device; 1.2 KiB were measured, of short names.
const SERIES_BYTES: u64 = 2 << 10;

/// How much of the ceiling is in use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weight {
    /// 0 to 1, as in the table above.
    pub fill: f64,
    /// How many new series may come.
    pub room_for_series: usize,
}

/// The ceiling of a control group.
#[derive(Debug)]
pub struct Ceiling {
    group: PathBuf,
    high: u64,
    /// The most bytes of files, which is to say of the program, that were mapped when it was looked at.
    program: AtomicU64,
}

impl Ceiling {
    /// The one over this process; `None` if there is none.
    #[must_use]
    pub fn over_us() -> Option<Ceiling> {
        let memberships = fs::read_to_string("/proc/self/cgroup").ok()?;
        Ceiling::of(Path::new(ROOT), &memberships)
    }

    /// The same of the group that `/proc/PID/cgroup` names, below `root`.
    fn of(root: &Path, memberships: &str) -> Option<Ceiling> {
        let path = memberships.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let group = root.join(path);
        // "max" is no ceiling.
        let high = read(&group, "memory.high")?.trim().parse().ok()?;
        Some(Ceiling { group, high, program: AtomicU64::new(0) })
    }

    /// Bytes.
    #[must_use]
    pub fn high(&self) -> u64 {
        self.high
    }

    /// How near it is. What can't be read is no reason to slow anybody.
    pub(super) fn weigh(&self) -> Weight {
        let used = self.used().unwrap_or(0);
        let part = used as f64 / self.high.max(1) as f64;
        let staying = (self.high as f64 * STAYING) as u64;
        Weight {
            fill: ((part - NEAR) / (1.0 - NEAR)).clamp(0.0, 1.0),
            room_for_series: (staying.saturating_sub(used) / SERIES_BYTES) as usize,
        }
    }

    fn used(&self) -> Option<u64> {
        let current: u64 = read(&self.group, "memory.current")?.trim().parse().ok()?;
        let stat = read(&self.group, "memory.stat")?;
        let of = |key: &str| {
            let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
            lines.find_map(|(found, bytes)| (found == key).then(|| bytes.parse::<u64>().ok())?)
        };
        let cached = of("active_file").unwrap_or(0) + of("inactive_file").unwrap_or(0);
        let kept = of("file_dirty").unwrap_or(0) + of("file_writeback").unwrap_or(0);
        let mapped = of("file_mapped").unwrap_or(0);
        let program = mapped.max(self.program.fetch_max(mapped, Ordering::Relaxed));
        Some(current.saturating_sub(cached.saturating_sub(kept)) + program)
    }
}

fn read(group: &Path, name: &str) -> Option<String> {
    fs::read_to_string(group.join(name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERSHIPS: &str = "5:memory:/other\n0::/system.slice/tidegate.service\n";

    /// A control group as the kernel shows it, in MiB.
    fn group(
        high: &str,
        current: u64,
        file: u64,
        dirty: u64,
        mapped: u64,
    ) -> (tempfile::TempDir, Option<Ceiling>) {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("system.slice/tidegate.service");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.high"), format!("{high}\n")).unwrap();
        write(&group, current, file, dirty, mapped);
        let ceiling = Ceiling::of(root.path(), MEMBERSHIPS);
        (root, ceiling)
    }

    fn write(group: &Path, current: u64, file: u64, dirty: u64, mapped: u64) {
        let mib = |n: u64| n << 20;
        fs::write(group.join("memory.current"), format!("{}\n", mib(current))).unwrap();
        let stat = format!(
            "anon 1\nfile 2\nfile_mapped {}\nfile_dirty {}\nfile_writeback 0\ninactive_file {}\nactive_file {}\n",
            mib(mapped),
            mib(dirty),
            mib(file / 2),
            mib(file - file / 2)
        );
        fs::write(group.join("memory.stat"), stat).unwrap();
    }

    fn fill(current: u64, file: u64, dirty: u64) -> f64 {
        let (_root, ceiling) = group("104857600", current, file, dirty, 0);
        let ceiling = ceiling.unwrap();
        assert_eq!(ceiling.high(), 100 << 20);
        ceiling.weigh().fill
    }

    #[test]
    fn new_series_find_room_up_to_the_half() {
        let room =
            |current| group("104857600", current, 20, 0, 0).1.unwrap().weigh().room_for_series;
        assert_eq!(room(20), 50 << 9);
        assert_eq!(room(69), 1 << 9);
        assert_eq!((room(70), room(120)), (0, 0));
    }

    #[test]
    fn the_nearer_memory_comes_to_its_ceiling_the_fuller_it_is() {
        assert_eq!(fill(30, 0, 0), 0.0);
        assert_eq!(fill(60, 0, 0), 0.0);
        assert!((fill(80, 0, 0) - 0.5).abs() < 1e-9);
        assert_eq!(fill(100, 0, 0), 1.0);
        assert_eq!(fill(120, 0, 0), 1.0);
    }

    #[test]
    fn the_cache_of_files_is_nobodys_burden_unless_it_waits_to_be_written() {
        assert_eq!(fill(99, 60, 0), 0.0);
        assert!((fill(99, 60, 41) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_pages_of_the_program_are_in_use_even_when_the_kernel_took_them() {
        let (_root, ceiling) = group("104857600", 85, 40, 0, 35);
        let ceiling = ceiling.unwrap();
        assert!((ceiling.weigh().fill - 0.5).abs() < 1e-9);
        write(&ceiling.group, 90, 10, 0, 6);
        assert_eq!(ceiling.weigh().fill, 1.0);
    }

    #[test]
    fn without_a_ceiling_there_is_none() {
        assert_eq!(group("max", 50, 0, 0, 0).1.map(|it| it.high()), None);
        let (root, _) = group("104857600", 50, 0, 0, 0);
        for other in ["4:memory:/system.slice/tidegate.service\n", "0::/elsewhere\n"] {
            assert!(Ceiling::of(root.path(), other).is_none());
        }
        // It went while we run.
        let ceiling = Ceiling::of(root.path(), MEMBERSHIPS).unwrap();
        fs::remove_dir_all(root.path().join("system.slice")).unwrap();
        assert_eq!(ceiling.weigh().fill, 0.0);
    }
}

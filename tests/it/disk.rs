//! Disks of a test's own, to fill and to freeze. Needs root: mounting does.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A small file system, mounted until this is dropped, or until the test ends in any other way.
pub struct Disk {
    mount: PathBuf,
    cleaner: Child,
    _directory: tempfile::TempDir,
}

/// Thaws and unmounts when its input ends: with the test, even one that is killed.
const CLEANER: &str = "read -r _; fsfreeze -u \"$0\"; umount \"$0\" || umount -l \"$0\"";

impl Disk {
    /// One in memory, of this many MiB.
    pub fn in_memory(mib: usize) -> Disk {
        Disk::mounted(|_, mount| {
            let size = format!("size={mib}m");
            run("mount", &["-t", "tmpfs", "-o", &size, "tidegate-test", path(mount)]);
        })
    }

    /// One that can be frozen: ext4 in a file, through a loop device.
    pub fn that_can_freeze() -> Disk {
        Disk::mounted(|directory, mount| {
            let image = directory.join("image");
            File::create(&image).unwrap().set_len(64 << 20).unwrap();
            run("mkfs.ext4", &["-q", "-F", path(&image)]);
            run("mount", &["-o", "loop", path(&image), path(mount)]);
        })
    }

    fn mounted(mount_at: impl FnOnce(&Path, &Path)) -> Disk {
        let directory = tempfile::tempdir().unwrap();
        let mount = directory.path().join("mount");
        fs::create_dir(&mount).unwrap();
        mount_at(directory.path(), &mount);
        // A process group of its own: what ends the test's must not end it.
        let cleaner = std::os::unix::process::CommandExt::process_group(
            Command::new("sh").args(["-c", CLEANER, path(&mount)]),
            0,
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
        Disk { mount, cleaner, _directory: directory }
    }

    /// A new directory on it.
    pub fn directory(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(&self.mount).unwrap()
    }

    /// Takes all space that is left, until the ballast is dropped.
    pub fn fill(&self) -> Ballast {
        let ballast = Ballast(self.mount.join("ballast"));
        let mut file = File::create(&ballast.0).unwrap();
        for piece in [1 << 20, 4 << 10, 1] {
            let zeros = vec![0; piece];
            let full = loop {
                if let Err(error) = file.write_all(&zeros) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
        ballast
    }

    /// Whatever is written waits, as while somebody takes a snapshot, until this is dropped. Drop it
    /// before a daemon on this disk, which can't end before.
    pub fn freeze(&self) -> Frozen {
        run("fsfreeze", &["-f", path(&self.mount)]);
        Frozen(self.mount.clone())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.cleaner.stdin.take());
        self.cleaner.wait().unwrap();
    }
}

/// A file in the way.
pub struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

/// A disk that stands still.
pub struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        run("fsfreeze", &["-u", path(&self.0)]);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs it as root, which tests of whole disks need.
fn run(program: &str, arguments: &[&str]) {
    let ended = Command::new(program).args(arguments).output();
    let failed = match &ended {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "this test fills and freezes a disk of its own, which needs root, mount, mkfs.ext4, fsfreeze \
         and a loop device; `{program} {}` failed: {failed}",
        arguments.join(" ")
    );
}

"""A Debian with a real systemd, booted in a second by systemd-nspawn, and gone without a trace.

Its files are a tree made once by mmdebstrap (target/systemd/root) under an overlay in memory. The network is
its own, with nothing but a loopback device; programs of this side run in it by nsenter.
"""

import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

# Whatever takes longer hangs.
PATIENCE = 180
# A mirror that does not answer is asked again: apt does, and then we.
DOWNLOADS_MAX = 3
SUITE = "bookworm"
PACKAGES = ["systemd", "systemd-sysv", "dbus", "libpam-systemd", "ca-certificates", "man-db"]
PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000


class MachineFailed(Exception):
    """It does not do what any machine does."""


def make_root(directory):
    """The tree, made of where this machine has its packages from; made once."""
    root = directory / f"root-{hashlib.sha256(repr((SUITE, PACKAGES)).encode()).hexdigest()[:12]}"
    if (root / "made").exists():
        return root
    fresh = directory / "root.new"
    print("making a Debian with systemd; once, half a minute", flush=True)
    for _ in range(DOWNLOADS_MAX):
        shutil.rmtree(fresh, ignore_errors=True)
        made = subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--aptopt=APT::Sandbox::User \"root\"",
             "--aptopt=Acquire::Retries \"5\"", f"--include={','.join(PACKAGES)}", SUITE, fresh, *sources()],
            stderr=subprocess.PIPE, text=True,
        )
        if not made.returncode:
            break
        print(f"mmdebstrap failed:\n{made.stderr[-1000:]}", flush=True)
    if made.returncode:
        raise MachineFailed(f"mmdebstrap failed:\n{made.stderr[-3000:]}")
    (fresh / "made").touch()
    fresh.rename(root)
    return root


def sources():
    """Files of apt that know the suite."""
    directory = Path("/etc/apt")
    files = [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))]
    known = [file for file in files if file.is_file() and SUITE in words(file)]
    # Without one mmdebstrap asks Debian's own mirror.
    return known[:1]


def words(file):
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    return re.split(r"\s+", " ".join(lines))


class Machine:
    """A machine that runs, with `files` of this side in its /srv."""

    def __init__(self, root, log, files):
        bound = [f"--bind-ro={file}:/srv/{file.name}" for file in files]
        self.log = log
        with open(log, "w") as console:
            self.nspawn = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--private-network",
                 "--volatile=overlay", "--link-journal=no", f"--machine=tidegate-test-{os.getpid()}",
                 f"--directory={root}", *bound, "--console=pipe", "systemd.unit=multi-user.target"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )
        self.pid = until(self.first_process, "no machine", self)
        until(lambda: self.run("systemctl is-system-running", check=False).stdout.strip() == "running",
              "it does not come up", self)

    def first_process(self):
        if self.nspawn.poll() is not None:
            raise MachineFailed(f"systemd-nspawn ended:\n{self.log.read_text()[-3000:]}")
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        return children[0] if children else None

    def run(self, command, check=True):
        """A shell command inside."""
        done = subprocess.run(
            ["nsenter", "-t", self.pid, "-m", "-u", "-i", "-n", "-p", "-C", "--", "sh", "-c", command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
        )
        if check and done.returncode:
            raise MachineFailed(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def in_network(self, *command):
        """The command line of a program of this side in the network of the machine."""
        return ["nsenter", "-t", self.pid, "-n", "--", *map(str, command)]

    def show(self, unit, key):
        return self.run(f"systemctl show --value -p {key} {unit}").stdout.strip()

    def journal(self, *matches):
        """Lines of the journal with these fields; all that was said before is in it."""
        shown = self.run(f"journalctl --sync; journalctl --output=json --all {' '.join(matches)}", check=False).stdout
        return [json.loads(line) for line in shown.splitlines() if line.startswith("{")]

    def main_process(self, unit):
        """The unit's process, by its number on this side."""
        inside = self.show(unit, "MainPID")
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                numbers = re.search(r"^NSpid:\s+(.*)$", status.read_text(), re.M)
            except OSError:
                continue
            if numbers and len(numbers[1].split()) > 1 and numbers[1].split()[-1] == inside:
                if self.is_ours(status.parent):
                    return status.parent
        raise MachineFailed(f"{unit} has no process {inside}")

    def is_ours(self, process):
        try:
            return os.readlink(process / "ns/pid") == os.readlink(f"/proc/{self.pid}/ns/pid")
        except OSError:
            return False

    def end(self):
        if self.nspawn.poll() is None:
            self.nspawn.terminate()
            try:
                self.nspawn.wait(20)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
        # What it leaves behind, where systemd is not who runs this side.
        for name in ("payload", "supervisor"):
            for place in Path("/sys/fs/cgroup").glob(f"**/{name}"):
                try:
                    place.rmdir()
                except OSError:
                    pass


def hold_thread(process, name):
    """Stops one thread of a process, as a debugger does; the others run on."""
    libc = ctypes.CDLL(None, use_errno=True)
    for thread in (process / "task").iterdir():
        if (thread / "comm").read_text().strip() == name:
            for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
                if libc.ptrace(request, int(thread.name), 0, 0):
                    raise MachineFailed(f"ptrace: {os.strerror(ctypes.get_errno())}")
            threading.Thread(target=reap, args=[int(thread.name)], daemon=True).start()
            return
    raise MachineFailed(f"no thread {name}")


def reap(thread):
    """Whoever holds a thread must also see its end, or its process stays."""
    try:
        while os.WIFSTOPPED(os.waitpid(thread, WALL)[1]):
            pass
    except ChildProcessError:
        pass


def until(found, problem, machine=None, patience=PATIENCE):
    """What `found` finds, asked again until it does."""
    deadline = time.monotonic() + patience
    while not (it := found()):
        if time.monotonic() > deadline:
            log = machine.log.read_text()[-2000:] if machine else ""
            raise MachineFailed(f"{problem}\n{log}")
        time.sleep(0.05)
    return it

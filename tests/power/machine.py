"""A virtual machine that runs nothing but the daemon: a kernel, busybox, and the real binary.

`make_boot_files` gathers what it boots from; `Machine` is one boot, from power on to its end.
"""

import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Anything that takes longer than this, in seconds, hangs. The processor is emulated, and others may
# use the real one.
PATIENCE = 600

# What the machine needs of the kernel's modules, each after those it needs itself.
MODULES = """virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk
    failover net_failover virtio_net""".split()

TEXT = {"check": True, "text": True, "stdout": subprocess.PIPE}


class MachineFailed(Exception):
    """The machine did not do what it was to do; the end of its console is in the message."""


def make_boot_files(binary, configuration, kernel, scratch):
    """The kernel's file, and an initramfs with this binary and this configuration file."""
    root = scratch / "root"
    (root / "bin").mkdir(parents=True)
    (root / "modules").mkdir()
    shutil.copy(HERE / "init", root / "init")
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    # Symbols would be most of the initramfs.
    subprocess.run(["strip", "-o", root / "bin/tidegate", binary], check=True)
    for library in re.findall(r"/\S+", subprocess.run(["ldd", binary], **TEXT).stdout):
        copy = root / library.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, copy)
    for module in MODULES:
        (found,) = kernel.glob(f"lib/modules/*/kernel/**/{module}.ko")
        shutil.copy(found, root / "modules")
    (root / "modules/order").write_text(" ".join(MODULES))
    (root / "tidegate.toml").write_text(configuration)
    names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
    archive = subprocess.run(
        ["cpio", "--create", "--format=newc", "--owner=0:0", "--quiet"],
        cwd=root, input=names.encode(), stdout=subprocess.PIPE, check=True,
    )
    (scratch / "initramfs").write_bytes(archive.stdout)
    (vmlinuz,) = kernel.glob("boot/vmlinuz-*")
    return vmlinuz, scratch / "initramfs"


class Machine:
    """A machine that was switched on. Port 8080 inside is `port` of the loopback address outside."""

    def __init__(self, boot_files, drive_address, port):
        kernel, initramfs = boot_files
        self.lines = []
        self.more = threading.Condition()
        self.qemu = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max",
             "-m", "512", "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
             "-kernel", kernel, "-initrd", initramfs,
             "-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=on",
             # The guest sees a drive with a volatile cache; its flushes reach ours.
             "-drive", "if=virtio,format=raw,cache=writeback,file.driver=nbd,"
                       f"file.server.type=unix,file.server.path={drive_address}",
             "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:8080",
             "-device", "virtio-net-pci,netdev=net,romfile="],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.qemu.stdout:
            with self.more:
                self.lines.append(line.decode(errors="replace").rstrip())
                self.more.notify_all()
        with self.more:
            self.lines.append("machine: gone")
            self.more.notify_all()

    def wait_for(self, text):
        """Until the console says it."""
        deadline = time.monotonic() + PATIENCE
        with self.more:
            while not any(text in line for line in self.lines):
                ended = any("gone" in line for line in self.lines if line.startswith("machine:"))
                if ended or not self.more.wait(deadline - time.monotonic()):
                    raise MachineFailed(f"no {text!r}", *self.lines[-40:])

    def stop(self):
        """Stops the daemon in order and switches off; True if it ended well."""
        self.qemu.stdin.write(b"stop\n")
        self.qemu.stdin.flush()
        self.wait_for("machine: off")
        self.qemu.wait(PATIENCE)
        return any("daemon ended with 0" in line for line in self.lines)

    def cut(self):
        """The power is gone, at once."""
        self.qemu.kill()
        self.qemu.wait()

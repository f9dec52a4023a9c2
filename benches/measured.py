"""A daemon that is measured from outside, and the load on it."""
import json, os, pathlib, re, signal, socket, subprocess, sys, tempfile, time, urllib.request

BINARY = sys.argv[1]


def cpu_of(pid):
    """CPU seconds of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Daemon:
    def __init__(self, *settings, config=None):
        self.state = tempfile.TemporaryDirectory(prefix="tidegate-bench-")
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"ws://{self.address}/api/v1/ingest/ws"
        flags = [flag for setting in settings for flag in ("--set", setting)]
        flags += ["--config", config] if config else []
        command = [BINARY, "run", "--listen", self.address, "--state-dir", self.state.name, *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while True:
            try:
                self.get("/readyz")
                return
            except OSError:
                time.sleep(0.02)

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
            return answer.read().decode()

    def metric(self, name):
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? ([0-9.e+]+)$", self.get("/metrics"), re.M))

    def memory(self, field):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", status)[1]) * 1024

    def drain(self):
        """Waits until all that was acknowledged is durable in the history."""
        while True:
            ledger = json.loads(self.get("/api/v1/status"))["ledger"]
            if ledger["stored"] == ledger["accepted"]:
                return
            time.sleep(0.1)

    def cpu(self):
        """CPU seconds so far."""
        return cpu_of(self.process.pid)

    def rest(self):
        """Waits until its upkeep (compaction) is done: three seconds with less than 3 % of a core."""
        while True:
            before = self.cpu()
            time.sleep(3)
            if self.cpu() - before < 0.09:
                return

    def stop(self):
        """Ends it in order; gives its CPU seconds."""
        self.process.send_signal(signal.SIGTERM)
        _, _, used = os.wait4(self.process.pid, 0)
        self.process.returncode = 0
        return used.ru_utime + used.ru_stime


def simulate(daemon, *flags):
    output = subprocess.run([BINARY, "simulate", "--url", daemon.url, "--well-behaved", *flags], capture_output=True, text=True)
    report = output.stdout
    acked = re.search(r"acknowledged: batches (\d+) samples (\d+) \((\d+) samples/s\)", report)
    if acked is None:
        raise SystemExit(report + output.stderr)
    latency = re.search(r"p50 (\S+) p99 (\S+)", report)
    wire = re.search(r"([0-9.]+) bytes/sample", report)
    return {"batches": int(acked[1]), "samples": int(acked[2]), "rate": int(acked[3]), "p50": latency[1], "p99": latency[2], "wire": wire[1]}

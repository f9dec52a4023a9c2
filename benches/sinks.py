"""A daemon that writes to a real VictoriaMetrics beside it: what a sample costs both, how fast a backlog drains, and
how much memory that takes; see docs/benchmarks.md."""
import json, os, subprocess, sys, tempfile, time, urllib.request

from measured import BINARY, Daemon, cpu_of, free_port, simulate

BACKLOG = int(os.environ.get("BACKLOG", 50_000_000))
PLANT = ["--devices", "1000", "--gateways", "10", "--rows-per-batch", "10"]


class Victoria:
    def __init__(self, port):
        self.data = tempfile.TemporaryDirectory(prefix="victoria-bench-")
        self.url = f"http://127.0.0.1:{port}"
        command = ["victoria-metrics", f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={self.data.name}",
                   "-dedup.minScrapeInterval=1ms", "-retentionPeriod=100y"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while True:
            try:
                return urllib.request.urlopen(f"{self.url}/health", timeout=10).close()
            except OSError:
                time.sleep(0.02)

    def rows(self):
        """Samples that it has taken."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith('vm_rows_inserted_total{type="influx"'))

    def stop(self):
        self.process.kill()
        self.process.wait()


def sink(daemon):
    return json.loads(daemon.get("/api/v1/status"))["sinks"][1]


def wait_until_written(daemon, patience=600):
    end = time.monotonic() + patience
    while sink(daemon)["lag_samples"] > 0:
        if time.monotonic() > end:
            raise SystemExit(f"it does not drain: {sink(daemon)}")
        time.sleep(0.1)


def settings(port):
    return [f"sinks.influx.0.url=http://127.0.0.1:{port}", "sinks.influx.0.bucket=bench", "history.flush_interval=5 s",
            "spool.size_max=16 GiB"]


def beside():
    """A plant at a steady rate, with a store and without."""
    pace = ["--saturate", "20 s", "--pace", os.environ.get("PACE", "500 ms")]
    alone = Daemon("history.flush_interval=5 s")
    run = simulate(alone, *PLANT, *pace)
    alone.drain()
    without = alone.stop() * 1e9 / run["samples"]
    port = free_port()
    store = Victoria(port)
    daemon = Daemon(*settings(port))
    before = cpu_of(store.process.pid)
    run = simulate(daemon, *PLANT, *pace)
    wait_until_written(daemon)
    daemon.drain()
    theirs = (cpu_of(store.process.pid) - before) * 1e9 / run["samples"]
    told, taken = sink(daemon), store.rows()
    ours = daemon.stop() * 1e9 / run["samples"]
    store.stop()
    print("\nSteady, beside VictoriaMetrics")
    print(f"  {run['rate']:>12,} samples/s, receipts p50 {run['p50']} p99 {run['p99']}")
    print(f"  {ours:>12.0f} CPU-ns per sample of the daemon ({without:.0f} without the sink: the sink costs {ours - without:.0f})")
    print(f"  {theirs:>12.0f} CPU-ns per sample of VictoriaMetrics: {theirs / (ours - without):.1f} times the sink")
    print(f"  {run['samples']:>12,} samples acknowledged, {told['written']:,} written, {taken:,.0f} taken by VictoriaMetrics")


def drain():
    """A store that is away while a backlog grows, then comes."""
    port = free_port()
    daemon = Daemon(*settings(port))
    samples = 0
    while samples < BACKLOG:
        samples += simulate(daemon, *PLANT, "--saturate", "1 s")["samples"]
    daemon.drain()
    daemon.rest()
    waiting, resident = sink(daemon)["lag_samples"], daemon.memory("VmRSS")
    store = Victoria(port)
    cpu, theirs, start = daemon.cpu(), cpu_of(store.process.pid), time.monotonic()
    peak = 0
    while (lag := sink(daemon)["lag_samples"]) > 0:
        peak = max(peak, daemon.memory("VmRSS"))
        if time.monotonic() - start > 900:
            raise SystemExit(f"it does not drain: {sink(daemon)}")
        time.sleep(0.2)
    took = time.monotonic() - start
    cpu, theirs = daemon.cpu() - cpu, cpu_of(store.process.pid) - theirs
    told, taken = sink(daemon), store.rows()
    daemon.stop()
    store.stop()
    print("\nA backlog drains into VictoriaMetrics")
    print(f"  {waiting:>12,} samples waited; written in {took:.0f} s ({waiting / took:,.0f} samples/s)")
    print(f"  {cpu * 1e9 / waiting:>12.0f} CPU-ns per sample of the daemon, {theirs * 1e9 / waiting:.0f} of VictoriaMetrics")
    print(f"  {peak / 2**20:>12.0f} MiB resident at most while draining ({resident / 2**20:.0f} before)")
    print(f"  {told['requests']['sent']:>12,} requests, {told['requests']['failed']} failed, up to {told['requests']['allowed']} at a time at the end; {taken:,.0f} samples taken by VictoriaMetrics")


if "drain" not in sys.argv: beside()
if "steady" not in sys.argv: drain()

"""Loads a real daemon from another process and prints what it cost; see docs/benchmarks.md.

CPU is the daemon's own user and system time, from its start to its end, the last flush included.
"""
import asyncio, json, pathlib, subprocess, sys, time

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / ".venv" / "generated"))
import ingest_pb2 as pb
import websockets
from measured import BINARY, Daemon, simulate


def load(title, settings, *flags):
    daemon = Daemon(*settings)
    started = time.monotonic()
    run = simulate(daemon, *flags)
    daemon.drain()
    run["sustained"] = run["samples"] / (time.monotonic() - started)
    daemon.rest()
    peak = daemon.memory("VmHWM")
    spooled = daemon.metric("tidegate_received_bytes_total")
    cpu = daemon.stop()
    history = sum(file.stat().st_size for file in pathlib.Path(daemon.state.name).glob("history.db*"))
    samples = max(run["samples"], 1)
    print(f"\n{title}")
    print(f"  {run['rate']:>12,} samples/s acknowledged ({run['batches']:,} batches, {samples:,} samples)")
    print(f"  {run['sustained']:>12,.0f} samples/s until the last of them was in the history")
    print(f"  {cpu * 1e9 / samples:>12.0f} CPU-ns per sample, {cpu * 1e6 / max(run['batches'], 1):.1f} CPU-us per batch")
    print(f"  {run['p50']:>12} ack latency p50, {run['p99']} p99")
    print(f"  {peak / 2**20:>12.0f} MiB resident at most")
    print(f"  {run['wire']:>12} bytes/sample as sent, {spooled / samples:.2f} in the spool, {history / samples:.2f} in history.db")
    return run


async def latency(daemon, probes):
    """From the socket of a device to the socket of a viewer, seconds."""
    seen, waiting = {}, {}

    async def watch():
        reader, writer = await asyncio.open_connection(*daemon.address.split(":"), limit=2**24)
        writer.write(b"GET /api/v1/live?device=probe HTTP/1.1\r\nhost: bench\r\n\r\n")
        while line := await reader.readline():
            if line.startswith(b"data: ") and b'"probe"' in line and b'"rollups"' in line:
                for device in json.loads(line[6:])["data"].get("devices", []):
                    for rollup in device.get("rollups", {}).get("value", []) if "rollups" in device else []:
                        value = int(rollup[6])
                        if value in waiting and value not in seen:
                            seen[value] = time.monotonic() - waiting[value]

    watcher = asyncio.create_task(watch())
    async with websockets.connect(daemon.url, subprotocols=["tidegate.v1"]) as ws:
        await ws.send(pb.Upstream(hello=pb.Hello(client="probe", session=1)).SerializeToString())
        await ws.recv()
        for value in range(1, probes + 1):
            column = pb.Column(metric="value", doubles=[value])
            batch = pb.Batch(seq=value, base_time=time.time_ns(), tables=[pb.Table(columns=[column])])
            waiting[value] = time.monotonic()
            await ws.send(pb.Upstream(batch=batch).SerializeToString())
            await ws.recv()
            # Not in step with the daemon's ticks.
            await asyncio.sleep(0.31)
    await asyncio.sleep(1)
    watcher.cancel()
    return sorted(seen.values())


def plant():
    daemon = Daemon()
    before = daemon.memory("VmRSS")
    flags = ["--devices", "1040", "--for", "45 s", "--well-behaved"]
    running = subprocess.Popen([BINARY, "simulate", "--url", daemon.url, *flags], stdout=subprocess.DEVNULL)
    time.sleep(8)
    times = asyncio.run(latency(daemon, 80))
    status = json.loads(daemon.get("/api/v1/status"))
    resident = daemon.memory("VmRSS")
    print("\n10,000 series at 1 Hz over 1,000 connections")
    print(f"  {status['live']['series']:>12,} series, {status['intake']['clients']:,} connections, {status['intake']['samples_per_s']:,.0f} samples/s")
    print(f"  {resident / 2**20:>12.0f} MiB resident after 35 s (idle daemon: {before / 2**20:.0f} MiB)")
    print(f"  {times[len(times) // 2] * 1e3:>12.0f} ms from device to viewer p50, {times[int(len(times) * 0.99)] * 1e3:.0f} p99, {len(times)} probes (tick 250 ms)")
    running.wait()
    cpu = daemon.stop()
    print(f"  {cpu:>12.1f} CPU-s in about 45 s")


async def hold_idle(daemon, connections):
    held = []
    before = daemon.memory("VmRSS")
    for number in range(connections):
        ws = await websockets.connect(daemon.url, subprotocols=["tidegate.v1"], ping_interval=None)
        await ws.send(pb.Upstream(hello=pb.Hello(client=f"idle-{number}", session=1)).SerializeToString())
        await ws.recv()
        held.append(ws)
    after = daemon.memory("VmRSS")
    for ws in held:
        ws.transport.abort()
    return (after - before) / connections


def idle():
    daemon = Daemon()
    asyncio.run(hold_idle(daemon, 200))
    time.sleep(1)
    per_connection = asyncio.run(hold_idle(daemon, 2000))
    print(f"\nIdle connections\n  {per_connection / 1024:>12.1f} KiB resident each (2,000, after 200 came and went)")
    daemon.stop()


flush = ["history.flush_interval=5 s"]
full = load("Gateways, as fast as it goes: 10 connections, frames of 100 devices x 10 metrics x 10 rows", flush,
            "--devices", "1000", "--gateways", "10", "--rows-per-batch", "10", "--saturate", "20 s")
# A frame has as many samples as another; each connection sends one per pace.
pace = 2 * 10 * full["samples"] / full["batches"] / full["sustained"]
load("The same at half of what it sustains", flush, "--devices", "1000", "--gateways", "10", "--rows-per-batch", "10",
     "--saturate", "15 s", "--pace", f"{round(1000 * pace)} ms")
load("Small devices: 200 connections, one table of about 10 metrics x 1 row per frame", flush,
     "--devices", "200", "--gateways", "200", "--rows-per-batch", "1", "--saturate", "15 s")
if "quick" not in sys.argv: plant()
idle()

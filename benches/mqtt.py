"""Messages through a real Mosquitto: what one costs the daemon, beside a subscriber that only counts; see
docs/benchmarks.md. Run by benches/mqtt.sh."""
import json, os, re, subprocess, sys, tempfile, time

from measured import BINARY, Daemon, free_port

PEER = sys.argv[2]
COUNT = int(os.environ.get("MESSAGES", 200_000))
ROUNDS = int(os.environ.get("ROUNDS", 3))
ROUTES = """
[[intake.mqtt]]
name = "bench"
url = "mqtt://127.0.0.1:{port}"
version = 5
[[intake.mqtt.routes]]
topic = "bench/json/{{device}}"
qos = {qos}
decoder = "json"
time = "/ts"
texts = true
[[intake.mqtt.routes]]
topic = "bench/native/{{device}}"
qos = {qos}
decoder = "tidegate"
[[intake.mqtt.routes]]
topic = "spBv1.0/#"
qos = {qos}
decoder = "sparkplug"
host_id = ""
"""


class Mosquitto:
    def __init__(self):
        self.port, self.folder = free_port(), tempfile.TemporaryDirectory(prefix="mosquitto-bench-")
        path = f"{self.folder.name}/mosquitto.conf"
        with open(path, "w") as file:
            file.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
                       "max_inflight_messages 1000\nset_tcp_nodelay true\n")
        self.process = subprocess.Popen(["mosquitto", "-c", path], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(0.5)

    def stop(self):
        self.process.kill()
        self.process.wait()


def publish(broker, kind, qos, count):
    return subprocess.Popen([PEER, "publish", str(broker.port), kind, str(qos), str(count)], stdout=subprocess.PIPE, text=True)


def floor(kind, qos):
    """Messages per second and CPU microseconds per message of a subscriber that does nothing."""
    broker = Mosquitto()
    count = COUNT if kind != "native" else COUNT // 4
    births = 100 if kind == "sparkplug" else 0
    subscriber = subprocess.Popen([PEER, "floor", str(broker.port), str(qos), str(count + births)],
                                  stdout=subprocess.PIPE, text=True)
    subscriber.stdout.readline()
    publish(broker, kind, qos, count).wait()
    told = subscriber.communicate(timeout=300)[0]
    broker.stop()
    rate, cpu = re.search(r"(\d+) messages/s, ([0-9.]+) CPU-us", told).groups()
    return float(rate), float(cpu)


def bridge(kind, qos):
    """The same of the daemon, until all is durable; and its receipts' group size."""
    broker = Mosquitto()
    count = COUNT if kind != "native" else COUNT // 4
    births = 100 if kind == "sparkplug" else 0
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(ROUTES.format(port=broker.port, qos=qos))
        file.flush()
        daemon = Daemon(config=file.name)
    def view():
        return json.loads(daemon.get("/api/v1/status"))["intake"]["mqtt"][0]
    while view()["state"] != "connected":
        time.sleep(0.05)
    time.sleep(0.5)
    def messages():
        return sum(route["messages"] for route in view()["routes"])
    before, start = daemon.cpu(), time.monotonic()
    publisher = publish(broker, kind, qos, count)
    last = (0, time.monotonic())
    while (now := messages()) < count + births or view()["in_flight_bytes"] > 0:
        if now != last[0]: last = (now, time.monotonic())
        if time.monotonic() - last[1] > 30: raise SystemExit(f"{kind} {qos}: {now} of {count} came: {view()}")
        time.sleep(0.05)
    took, cpu = time.monotonic() - start, daemon.cpu() - before
    publisher.wait()
    refused = sum(route["refused"] for route in view()["routes"])
    if refused: raise SystemExit(f"{kind} {qos}: {refused} refused: {view()}")
    daemon.stop()
    broker.stop()
    return (count + births) / took, cpu * 1e6 / (count + births)


def median(values):
    return sorted(values)[len(values) // 2]


print(f"\nMessages through Mosquitto, medians of {ROUNDS} pairs")
for kind, samples in [("json", 5), ("sparkplug", 20), ("native", 100)]:
    for qos in (0, 1):
        pairs = [(floor(kind, qos), bridge(kind, qos)) for _ in range(ROUNDS)]
        (floor_rate, floor_cpu), (rate, cpu) = ([median(column) for column in zip(*side)] for side in zip(*pairs))
        print(f"  {kind:>9} QoS {qos}: {rate:>9,.0f} messages/s, {cpu:6.2f} CPU-us per message ({cpu / samples * 1000:.0f} ns per sample); "
              f"the floor {floor_rate:>9,.0f}, {floor_cpu:.2f}: {cpu / floor_cpu:.1f} times")

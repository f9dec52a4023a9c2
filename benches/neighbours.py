"""What agents of other people send: line protocol and OTLP, into the daemon and, the same bytes, into a real
VictoriaMetrics; and what others take out again, by exports. See docs/benchmarks.md.

Bodies are made before anything is measured, and each is sent once: no sample is old news to whoever takes it. What is
told is samples/s from the first request to the last answer, and the server's own CPU until it has come to rest.
Arguments after the binary choose what is measured: lines, telegraf, otlp, export.
"""
import gzip, http.client, itertools, os, pathlib, random, statistics, subprocess, sys, tempfile, threading, time, urllib.request

from measured import Daemon, cpu_of, free_port

SAMPLES = int(os.environ.get("SAMPLES", 20_000_000))
ROUNDS = int(os.environ.get("ROUNDS", 3))
SENDERS = int(os.environ.get("SENDERS", 4))
DEVICES, FIELDS = 1000, 10
NAMES = ["temperature", "pressure", "speed", "current", "voltage", "flow", "level", "vibration", "torque", "starts"]


class Plant:
    """Values that wander, as measurements do, at one time after the other."""

    def __init__(self):
        self.random = random.Random(7)
        self.values = [[50.0] * FIELDS for _ in range(DEVICES)]
        self.now = time.time_ns() // 10**9 * 10**9 - 3 * 3600 * 10**9

    def second(self):
        self.now += 10**9
        for values in self.values:
            for field in range(FIELDS - 1):
                values[field] = round(values[field] + self.random.gauss(0, 0.1), 2)
            values[FIELDS - 1] += 1
        return self.now


def lines_of(plant, seconds, measurements):
    """Each device each second: a line with all its fields, or as Telegraf has it one for each of several measurements."""
    lines = []
    for _ in range(seconds):
        now = plant.second()
        for device, values in enumerate(plant.values):
            if measurements == 1:
                fields = ",".join(f"{name}={value}" for name, value in zip(NAMES, values))
                lines.append(f"motor,device=pump-{device},site=north {fields} {now}")
            else:
                for at in range(0, FIELDS, 2):
                    fields = ",".join(f"{name}={value}" for name, value in zip(NAMES[at:at + 2], values[at:at + 2]))
                    lines.append(f"m{at},device=pump-{device},site=north {fields} {now}")
    return lines


def line_bodies(measurements, lines_max=5000):
    plant, bodies, samples = Plant(), [], 0
    while samples < SAMPLES:
        lines = lines_of(plant, 5, measurements)
        for at in range(0, len(lines), lines_max):
            bodies.append(gzip.compress("\n".join(lines[at:at + lines_max]).encode(), 1))
        samples += 5 * DEVICES * FIELDS
    return bodies, samples


def otlp_bodies():
    """A resource for each device with ten gauges, a hundred devices in a request, as a collector batches them."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    def text(attributes, key, value):
        attribute = attributes.add()
        attribute.key, attribute.value.string_value = key, value

    plant, bodies, samples = Plant(), [], 0
    while samples < SAMPLES:
        nows = [(plant.second(), [list(values) for values in plant.values]) for _ in range(5)]
        for first in range(0, DEVICES, 100):
            request = ExportMetricsServiceRequest()
            for device in range(first, first + 100):
                resource = request.resource_metrics.add()
                text(resource.resource.attributes, "device", f"pump-{device}")
                text(resource.resource.attributes, "service.name", "plant")
                scope = resource.scope_metrics.add()
                for field, name in enumerate(NAMES):
                    metric = scope.metrics.add()
                    metric.name = f"motor.{name}"
                    for now, values in nows:
                        point = metric.gauge.data_points.add()
                        point.time_unix_nano, point.as_double = now, values[device][field]
            bodies.append(gzip.compress(request.SerializeToString(), 1))
        samples += 5 * DEVICES * FIELDS
    return bodies, samples


class Victoria:
    def __init__(self):
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.data = tempfile.TemporaryDirectory(prefix="victoria-bench-")
        command = ["victoria-metrics", f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={self.data.name}", "-retentionPeriod=100y"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while True:
            try:
                return urllib.request.urlopen(f"http://{self.address}/health", timeout=10).close()
            except OSError:
                time.sleep(0.02)

    def cpu(self):
        return cpu_of(self.process.pid)

    rest = Daemon.rest

    def taken(self):
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("vm_rows_inserted_total{"))

    def stop(self):
        self.process.kill()
        self.process.wait()


class Tidegate(Daemon):
    def __init__(self):
        super().__init__("history.flush_interval=5 s", "limits.message_bytes=16 MiB", "limits.inflated_bytes=64 MiB")

    def taken(self):
        self.drain()
        return self.metric("tidegate_samples_accepted_total")


def send(address, path, headers, bodies):
    """By several connections, each with its requests one after the other; gives the seconds."""
    queue, lock, wrong = iter(bodies), threading.Lock(), []

    def work():
        connection = http.client.HTTPConnection(address, timeout=60)
        while True:
            with lock:
                body = next(queue, None)
            if body is None:
                return connection.close()
            while True:
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                told = answer.read()
                if answer.status not in (429, 503):
                    break
                time.sleep(0.1)
            if answer.status not in (200, 204):
                wrong.append(f"{path} answers {answer.status}: {told[:300]}")
                return

    threads = [threading.Thread(target=work) for _ in range(SENDERS)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise SystemExit(wrong[0])
    return time.monotonic() - start


def measure(kind, path, headers, bodies, samples):
    server = kind()
    server.rest()
    before = server.cpu()
    took = send(server.address, path, headers, bodies)
    taken = server.taken()
    server.rest()
    cpu = server.cpu() - before
    server.stop()
    if taken != samples:
        raise SystemExit(f"{kind.__name__} has {taken:,.0f} of {samples:,} samples")
    return samples / took, cpu * 1e9 / samples


def compare(title, bodies, samples, ways, headers):
    size = sum(map(len, bodies))
    print(f"\n{title}: {samples:,} samples in {len(bodies):,} requests of {size / len(bodies) / 1024:.0f} KiB gzipped")
    runs = {kind: [] for kind, _ in ways}
    # In turns, so that whatever else the machine does troubles both.
    for _, (kind, path) in itertools.product(range(ROUNDS), ways):
        runs[kind].append(measure(kind, path, headers, bodies, samples))
    for kind, of in runs.items():
        rates, costs = zip(*of)
        print(f"  {kind.__name__:<9} {statistics.median(rates):>12,.0f} samples/s  {statistics.median(costs):>6.0f} CPU-ns per sample"
              f"  (of each round: {', '.join(f'{cost:.0f}' for cost in costs)})")


class Resident:
    """The most that a process has resident from now on."""

    def __init__(self, pid):
        self.proc = pathlib.Path(f"/proc/{pid}")
        self.before = self.bytes("VmRSS")
        (self.proc / "clear_refs").write_text("5")

    def most(self):
        return self.bytes("VmHWM")

    def bytes(self, field):
        lines = (self.proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def take(server, path):
    """Reads a whole answer; gives its bytes and the seconds that it took."""
    start, size = time.monotonic(), 0
    with urllib.request.urlopen(f"http://{server.address}{path}", timeout=600) as answer:
        while piece := answer.read(1 << 20):
            size += len(piece)
    return size, time.monotonic() - start


def exports(bodies, samples, ways):
    """Everything that went in comes out again, in each form; one after the other, by one client."""
    print(f"\nExports of {samples:,} samples, {DEVICES * FIELDS:,} series")
    for kind, forms in ways:
        server = kind()
        send(server.address, "/api/v2/write?org=o&bucket=b", LINES, bodies)
        server.taken()
        for form, path in forms:
            server.rest()
            resident, before = Resident(server.process.pid), server.cpu()
            size, took = take(server, path)
            cost = (server.cpu() - before) * 1e9 / samples
            print(f"  {kind.__name__:<9} {form:<13} {samples / took:>12,.0f} samples/s  {cost:>6.0f} CPU-ns and {size / samples:>5.1f} bytes per sample"
                  f"  resident {resident.before >> 20} MiB, at most {resident.most() >> 20} MiB", flush=True)
        server.stop()


LINES = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
OTLP = {"Content-Encoding": "gzip", "Content-Type": "application/x-protobuf"}
BOTH = [(Tidegate, "/api/v2/write?org=o&bucket=b"), (Victoria, "/api/v2/write?org=o&bucket=b")]
chosen = sys.argv[2:] or ["lines", "telegraf", "otlp", "export"]
if "lines" in chosen:
    compare("Line protocol, ten fields a line", *line_bodies(1), BOTH, LINES)
if "telegraf" in chosen:
    compare("Line protocol, two fields a line, five measurements in turn", *line_bodies(5), BOTH, LINES)
if "otlp" in chosen:
    # VictoriaMetrics 1.79 has no OTLP: there is nothing to compare with.
    compare("OTLP, protobuf", *otlp_bodies(), [(Tidegate, "/v1/metrics")], OTLP)
if "export" in chosen:
    OURS = [(form, f"/api/v1/export?format={form}") for form in ("ndjson", "csv", "lines", "parquet")]
    THEIRS = [("JSON", "/api/v1/export?match[]=%7B__name__!=%22%22%7D")]
    exports(*line_bodies(1), [(Tidegate, OURS), (Victoria, THEIRS)])

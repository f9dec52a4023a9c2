"""Writes with PyPI's influxdb-client, as its manual says: in batches, sent again when they fail.

Arguments: the daemon's URL, a token, how many points. Prints a JSON object per line: what the
server says it is, how a faulty line is told, then {"stored": lines} for each batch, at last {"done": true}.
"""

import json
import sys
import time

from influxdb_client import InfluxDBClient, Point, WriteOptions
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.write_api import SYNCHRONOUS

url, token, count = sys.argv[1], sys.argv[2], int(sys.argv[3])


def say(**what):
    print(json.dumps(what), flush=True)


with InfluxDBClient(url=url, token=token, org="plant", enable_gzip=True) as client:
    say(ping=client.ping(), version=client.version(), health=client.health().status)
    now = client.write_api(write_options=SYNCHRONOUS)
    try:
        now.write("b", record=["told,device=influx2 n=1i", "told,device=influx2 n=", "told,device=influx2 o=2i"])
        say(refused=None)
    except InfluxDBError as error:
        say(refused=error.message, status=error.response.status)

    options = WriteOptions(
        batch_size=25, flush_interval=50, retry_interval=100, max_retry_delay=500, max_retries=10_000,
        max_retry_time=180_000, exponential_base=2,
    )
    start = time.time_ns() - count
    with client.write_api(
        write_options=options,
        success_callback=lambda _, data: say(stored=data.count("\n" if isinstance(data, str) else b"\n") + 1),
        error_callback=lambda _, data, error: say(lost=str(error)),
    ) as batches:
        for n in range(count):
            batches.write("b", record=Point("m").tag("device", "influx2").field("n", n).time(start + n))
            time.sleep(0.002)
say(done=True)

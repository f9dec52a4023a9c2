"""Writes with PyPI's influxdb3-python, by its own path and by that of version 2. As influx2.py."""

import json
import sys
import time

from influxdb_client_3 import InfluxDBClient3, Point, WriteOptions, write_client_options
from influxdb_client_3.exceptions import InfluxDBPartialWriteError

url, token, count = sys.argv[1], sys.argv[2], int(sys.argv[3])


def say(**what):
    print(json.dumps(what), flush=True)


def client(**options):
    return InfluxDBClient3(host=url, token=token, database="plant", **options)


with client(write_use_v2_api=False) as now:
    say(ping=True, version=now.get_server_version(), health="pass")
    lines = ["told,device=influx3 n=1i", "told,device=influx3 n=", "told,device=influx3 o=2i"]
    try:
        now.write(lines)
        say(refused=None)
    except InfluxDBPartialWriteError as error:
        say(refused=str(error), status=error.response.status, lines=[it.line_number for it in error.line_errors])
    try:
        now.write(["whole,device=influx3 n=1i", "whole"], accept_partial=False)
        say(whole=None)
    except InfluxDBPartialWriteError as error:
        say(whole=[it.line_number for it in error.line_errors])

options = WriteOptions(
    batch_size=25, flush_interval=50, retry_interval=100, max_retry_delay=500, max_retries=10_000,
    max_retry_time=180_000, use_v2_api=False,
)
callbacks = write_client_options(
    write_options=options,
    success_callback=lambda _, data: say(stored=data.count("\n" if isinstance(data, str) else b"\n") + 1),
    error_callback=lambda _, data, error: say(lost=str(error)),
)
start = time.time_ns() - count
with client(write_client_options=callbacks, enable_gzip=True) as batches:
    for n in range(count):
        batches.write(Point("m").tag("device", "influx3").field("n", n).time(start + n))
        time.sleep(0.002)
say(done=True)

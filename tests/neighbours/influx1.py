"""Writes with PyPI's influxdb, the client of InfluxDB 1.x, which keeps trying when the connection fails. As influx2.py."""

import json
import sys
import time
from urllib.parse import urlsplit

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError

url, token, count = urlsplit(sys.argv[1]), sys.argv[2], int(sys.argv[3])


def say(**what):
    print(json.dumps(what), flush=True)


client = InfluxDBClient(url.hostname, url.port, "anybody", token, "plant", retries=0, gzip=True, timeout=10)
say(ping=True, version=client.ping(), health="pass")
try:
    lines = ["told,device=influx1 n=1i", "told,device=influx1 n=", "told,device=influx1 o=2i"]
    client.write_points(lines, protocol="line")
    say(refused=None)
except InfluxDBClientError as error:
    say(refused=json.loads(error.content)["error"], status=error.code)

start = time.time_ns() - count
for first in range(0, count, 25):
    points = [
        {"measurement": "m", "tags": {"device": "influx1"}, "fields": {"n": n}, "time": start + n}
        for n in range(first, min(first + 25, count))
    ]
    client.write_points(points)
    say(stored=len(points))
    time.sleep(0.05)
say(done=True)

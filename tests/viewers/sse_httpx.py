"""httpx and httpx-sse: the program comes back with the id of the last event."""

import sys
import time

import httpx
from httpx_sse import connect_sse

address, query = sys.argv[1:]
last = None
while True:
    headers = {"Last-Event-ID": last} if last else {}
    try:
        with httpx.Client(timeout=httpx.Timeout(5, read=30)) as client:
            with connect_sse(client, "GET", f"{address}/api/v1/live?{query}", headers=headers) as source:
                source.response.raise_for_status()
                assert source.response.headers["content-encoding"] == "gzip"
                for event in source.iter_sse():
                    last = event.id or last
                    if event.data:
                        print(event.data, flush=True)
    except httpx.HTTPError as error:
        print(f"cut off: {error!r}", file=sys.stderr, flush=True)
    time.sleep(0.1)

"""httpx and long polls: each answer's cursor is the next question's."""

import json
import sys
import time

import httpx

address, query = sys.argv[1:]
cursor = None
with httpx.Client(timeout=httpx.Timeout(5, read=40)) as client:
    while True:
        known = f"&cursor={cursor}" if cursor else ""
        try:
            answer = client.get(f"{address}/api/v1/live/poll?{query}&wait_s=5{known}")
            answer.raise_for_status()
        except httpx.HTTPError as error:
            print(f"cut off: {error!r}", file=sys.stderr, flush=True)
            time.sleep(0.1)
            continue
        polled = answer.json()
        cursor = polled["cursor"]
        for frame in polled["frames"]:
            print(json.dumps(frame), flush=True)

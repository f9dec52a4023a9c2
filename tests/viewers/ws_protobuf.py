"""websockets and protobuf: binary frames of proto/tidegate/v1/live.proto, written as the JSON ones are."""

import asyncio
import json
import sys
from urllib.parse import parse_qs

import live_pb2
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

address, query = sys.argv[1:]
wanted = {name: values for name, values in parse_qs(query).items()}


def rollups(series):
    """The columns as the arrays of the JSON frames."""
    start = 0
    for at, (step, count) in enumerate(zip(series.start, series.count, strict=True)):
        start += step
        if series.kind == live_pb2.TEXT:
            yield [start, count, series.changes[at], series.last_text[at]]
        else:
            columns = (series.min, series.max, series.sum, series.first, series.last)
            yield [start, count, *(column[at] for column in columns)]


def readable(frame):
    kind = frame.WhichOneof("data")
    data = getattr(frame, kind)
    told = {"type": kind, "time": frame.time}
    if frame.id:
        told["id"] = frame.id
    if kind in ("snapshot", "rollups"):
        told["data"] = {
            "window": data.window,
            "devices": [
                {
                    "device": table.device,
                    "tags": dict(table.tags),
                    "rollups": {series.metric: list(rollups(series)) for series in table.series},
                }
                for table in data.tables
            ],
        }
    return told


async def main():
    cursor = None
    url = address.replace("http", "ws", 1) + "/api/v1/live/ws"
    async for socket in connect(url, subprotocols=["tidegate.live.v1+proto"]):
        subscribe = {"type": "subscribe", "sub": 5, **wanted}
        if cursor:
            subscribe["cursor"] = cursor
        try:
            await socket.send(json.dumps(subscribe))
            async for message in socket:
                frame = live_pb2.Frame.FromString(message)
                assert frame.HasField("status") or frame.sub == 5, frame
                cursor = frame.id or cursor
                print(json.dumps(readable(frame)), flush=True)
        except ConnectionClosed as closed:
            print(f"cut off: {closed}", file=sys.stderr, flush=True)


asyncio.run(main())

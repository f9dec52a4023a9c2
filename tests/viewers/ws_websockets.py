"""websockets: the library reconnects, the program says from where to go on."""

import asyncio
import json
import sys
from urllib.parse import parse_qs

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

address, query = sys.argv[1:]
wanted = {name: values for name, values in parse_qs(query).items()}


async def main():
    cursor = None
    url = address.replace("http", "ws", 1) + "/api/v1/live/ws"
    async for socket in connect(url, subprotocols=["tidegate.live.v1"]):
        subscribe = {"type": "subscribe", "sub": 5, **wanted}
        if cursor:
            subscribe["cursor"] = cursor
        try:
            await socket.send(json.dumps(subscribe))
            async for message in socket:
                frame = json.loads(message)
                assert frame["type"] == "status" or frame["sub"] == 5, frame
                cursor = frame.get("id", cursor)
                print(message, flush=True)
        except ConnectionClosed as closed:
            print(f"cut off: {closed}", file=sys.stderr, flush=True)


asyncio.run(main())

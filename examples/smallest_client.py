"""The smallest client: one reading per second. See docs/devices.md for how to run it."""
import asyncio, math, os, sys, time

import ingest_pb2 as pb
import websockets


async def main(url, name):
    async with websockets.connect(url, subprotocols=["tidegate.v1"]) as ws:
        session = int.from_bytes(os.urandom(8), "little") | 1
        await ws.send(pb.Upstream(hello=pb.Hello(client=name, session=session)).SerializeToString())
        print(pb.Downstream.FromString(await ws.recv()))
        for seq in range(1, 1 << 63):
            column = pb.Column(metric="temperature", unit="°C", doubles=[21 + math.sin(seq / 20)])
            batch = pb.Batch(seq=seq, base_time=time.time_ns(), tables=[pb.Table(columns=[column])])
            await ws.send(pb.Upstream(batch=batch).SerializeToString())
            print(pb.Downstream.FromString(await ws.recv()))
            await asyncio.sleep(1)


asyncio.run(main(*sys.argv[1:]))  # ws://127.0.0.1:8080/api/v1/ingest/ws my-sensor

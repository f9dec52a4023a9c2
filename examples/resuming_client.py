"""A client that loses nothing while its buffer lasts: it resumes, resends and backs off."""
import asyncio, math, os, random, sys, time
from itertools import islice

import ingest_pb2 as pb
import websockets

HELD_MAX = 10_000  # batches; beyond, the oldest are given up
session = int.from_bytes(os.urandom(8), "little") | 1
held = {}  # seq -> message, oldest first, until it is settled


async def measure():
    for seq in range(1, 1 << 63):
        column = pb.Column(metric="temperature", unit="°C", doubles=[21 + math.sin(seq / 20)])
        batch = pb.Batch(seq=seq, base_time=time.time_ns(), tables=[pb.Table(columns=[column])])
        held[seq] = pb.Upstream(batch=batch).SerializeToString()
        if len(held) > HELD_MAX:
            del held[min(held)]
        await asyncio.sleep(1)


async def talk(ws, name):
    hello = pb.Hello(client=name, session=session, resume=min(held, default=0))
    await ws.send(pb.Upstream(hello=hello).SerializeToString())
    credit = pb.Downstream.FromString(await ws.recv()).welcome
    for seq in [seq for seq in held if seq <= credit.last_seq]:
        del held[seq]
    while True:  # in rounds: send what the credit allows, then hear the answer to each
        flying, room, pause = [], credit.credit_bytes, 0.05
        for seq, message in list(islice(held.items(), credit.credit_batches)):
            if (room := room - len(message)) < 0:
                break
            flying.append(seq)
            await ws.send(message)
        while flying:
            answer = pb.Downstream.FromString(await ws.recv())
            if answer.HasField("ack"):
                credit = answer.ack
                for seq in [seq for seq in flying if seq <= credit.seq]:
                    flying.remove(seq)
                    held.pop(seq, None)
            elif answer.HasField("refusal"):
                print("refused:", answer.refusal, flush=True)
                if answer.refusal.seq in flying:
                    flying.remove(answer.refusal.seq)
                if answer.refusal.WhichOneof("retry") == "later_after_ms":
                    # As after a reconnect: the next round sends all that is held again.
                    pause = max(pause, answer.refusal.later_after_ms / 1000)
                    flying.clear()
                else:
                    held.pop(answer.refusal.seq, None)
            elif answer.HasField("throttle"):
                credit = answer.throttle
                pause = max(pause, credit.min_interval_ms / 1000)
        await asyncio.sleep(pause)


async def main(url, name):
    measuring, failures = asyncio.create_task(measure()), 0
    while not measuring.done():
        try:
            async with websockets.connect(url, subprotocols=["tidegate.v1"]) as ws:
                failures = 0
                await talk(ws, name)
        except (OSError, TimeoutError, websockets.WebSocketException) as error:
            print("reconnecting:", error, flush=True)
        await asyncio.sleep(min(30, 0.5 * 2**failures) * random.uniform(0.5, 1))
        failures += 1


asyncio.run(main(*sys.argv[1:]))  # ws://127.0.0.1:8080/api/v1/ingest/ws my-sensor

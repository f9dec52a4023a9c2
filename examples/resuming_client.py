"""A client that loses nothing while its buffer lasts: it resumes, resends and backs off. It obeys, too."""
import asyncio, json, math, os, random, sys, time
from itertools import islice

import ingest_pb2 as pb
import websockets

HELD_MAX = 10_000  # batches; beyond, the oldest are given up
session = int.from_bytes(os.urandom(8), "little") | 1
held = {}  # seq -> message, oldest first, until it is settled
done = {}  # id -> answer: a command that may be done again comes again until it is answered
settings = {"interval_s": 1.0}


def set_interval(seconds):
    if not 0.05 <= seconds <= 3600:
        raise ValueError("from 0.05 to 3600 seconds are possible")
    settings["interval_s"] = seconds


def obey(command):
    """Does what the operator wants, once, and says how it went."""
    if command.id not in done:
        answer = pb.CommandResult(id=command.id, ok=True)
        try:
            if command.name != "set-interval":
                raise ValueError(f"{command.name} is not known here")
            set_interval(json.loads(command.payload)["seconds"])
            answer.payload = json.dumps(settings).encode()
        except (ValueError, KeyError, TypeError) as error:
            answer.ok, answer.message = False, str(error)
        done[command.id] = answer
        if len(done) > 64:
            del done[min(done)]
    return pb.Upstream(result=done[command.id]).SerializeToString()


def become(desired):
    """Is set as the operator wants, and reports what it is set to."""
    report = pb.Reported(device=desired.device, version=desired.version, ok=True)
    try:
        set_interval(json.loads(desired.document)["interval_s"])
    except (ValueError, KeyError, TypeError) as error:
        report.ok, report.message = False, str(error)
    report.document = json.dumps(settings).encode()
    return pb.Upstream(reported=report).SerializeToString()


async def measure():
    for seq in range(1, 1 << 63):
        column = pb.Column(metric="temperature", unit="°C", doubles=[21 + math.sin(seq / 20)])
        batch = pb.Batch(seq=seq, base_time=time.time_ns(), tables=[pb.Table(columns=[column])])
        held[seq] = pb.Upstream(batch=batch).SerializeToString()
        if len(held) > HELD_MAX:
            del held[min(held)]
        await asyncio.sleep(settings["interval_s"])


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
            elif answer.HasField("command"):
                await ws.send(obey(answer.command))
            elif answer.HasField("desired"):
                await ws.send(become(answer.desired))
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

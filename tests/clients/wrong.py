"""A client that does one thing wrong: wrong.py MISTAKE. What `tidegate conformance` is tried with."""
import asyncio
import random
import sys
import time

import tidegate_client.buffer as buffer
import tidegate_client.client as client
import tidegate_client.conformance as driver
import tidegate_client.wire as wire
import websockets.frames
import websockets.protocol

Client, Buffer = client.Client, buffer.Buffer
GOOD = {name: getattr(Client, name) for name in ["_send", "_hear", "_refused", "_settle", "_converse", "_come_and_go"]}
MISTAKES = {}


def mistake(make):
    MISTAKES[make.__name__.replace("_", "-")] = make
    return make


def hears(replace):
    """The client hears `replace(self, kind, said)` instead of what was said; nothing if that is None."""
    def downstream(message, good=wire.downstream):
        kind, said = good(message)
        return replace(kind, said) or (None, {})
    wire.downstream = downstream


def after_welcome(then):
    async def hear(self, ws, message):
        await GOOD["_hear"](self, ws, message)
        if wire.downstream(message)[0] == "welcome":
            await asyncio.ensure_future(then(self, ws))
    Client._hear = hear


def buffer_says(**values):
    begin = Buffer.__init__
    def init(self, path, held_max):
        begin(self, path, held_max)
        for name, value in values.items():
            setattr(self, name, value() if callable(value) else value)
    Buffer.__init__ = init


def hello_with(**other):
    good = wire.hello
    def hello(client, session, resume, software):
        said = dict(client=client, session=session, resume=resume, software=software)
        return good(**said | {name: value(said) for name, value in other.items()})
    wire.hello = hello


def connects(change):
    good = client.connect
    def connect(url, **options):
        change(options)
        return good(options.pop("url", url), **options)
    client.connect = connect


# -- hello, ping

@mistake
def other_name():
    hello_with(client=lambda said: "me")

@mistake
def session_zero():
    buffer_says(session=0)

@mistake
def session_constant():
    buffer_says(session=42)

@mistake
def no_subprotocol():
    connects(lambda options: options.pop("subprotocols"))

@mistake
def no_token():
    connects(lambda options: options.pop("additional_headers"))

@mistake
def batch_before_welcome():
    async def converse(self, ws):
        await ws.send(wire.hello(self.name, self.buffer.session, 1, ""))
        await ws.send(self.buffer.after(0)[1])
        await ws.recv()
    Client._converse = converse

@mistake
def batch_before_hello():
    wire.hello = lambda *_: wire.batch(1, time.time_ns(), [("", {}, [time.time_ns()], [("conformance", "", [1])])])

@mistake
def nonsense():
    wire.hello = lambda *_: b"hello"

@mistake
def text_message():
    wire.hello = lambda *_: "hello"

@mistake
def seq_from_zero():
    good = Buffer.keep
    Buffer.keep = lambda self, encode: good(self, lambda seq: encode(seq - 1))

@mistake
def other_reading():
    good = Client.send
    Client.send = lambda self, values: good(self, {"conformance": values["conformance"] + 1})

@mistake
def clock_never_set():
    good = Client.send
    Client.send = lambda self, values: good(self, values, time_ns=0)

@mistake
def no_pong():
    good = websockets.protocol.Protocol.send_frame
    def send_frame(self, frame):
        if frame.opcode is not websockets.frames.Opcode.PONG:
            good(self, frame)
    websockets.protocol.Protocol.send_frame = send_frame


# -- resend

@mistake
def resends_nothing():
    async def then(self, ws):
        self.sent = getattr(self, "ever", 0)
    after_welcome(then)
    async def send(self, ws):
        wait = await GOOD["_send"](self, ws)
        self.ever = max(getattr(self, "ever", 0), self.sent)
        return wait
    Client._send = send

@mistake
def resends_all():
    async def then(self, ws):
        self.sent = 0
    after_welcome(then)
    Client._settle = lambda self, last: None

@mistake
def new_bytes():
    good = Buffer.after
    def after(self, seq):
        found = good(self, seq)
        tables = found and [("", {}, [time.time_ns()], [("conformance", "", [found[0]])])]
        return found and (found[0], wire.batch(found[0], time.time_ns(), tables))
    Buffer.after = after

@mistake
def new_seqs():
    good = GOOD["_hear"]
    async def hear(self, ws, message):
        await good(self, ws, message)
        if wire.downstream(message)[0] == "welcome" and self.sent:
            self.buffer.file.execute("UPDATE batch SET seq = seq + 100")
    Client._hear = hear
    after = Buffer.after
    def renumbered(self, seq):
        found = after(self, seq)
        tables = found and [("", {}, [time.time_ns()], [("conformance", "", [found[0]])])]
        return found and (found[0], wire.batch(found[0], time.time_ns(), tables))
    Buffer.after = renumbered

@mistake
def skips_a_seq():
    after = Buffer.after
    Buffer.after = lambda self, seq: after(self, 3 if seq == 2 else seq)

@mistake
def new_session_each_time():
    hello_with(session=lambda said: random.getrandbits(63) | 1)

@mistake
def resume_too_high():
    said_before = []
    def resume(said):
        said_before.append(said)
        return said["resume"] + 3 * (len(said_before) > 1)
    hello_with(resume=resume)

# -- acks

@mistake
def sent_is_settled():
    async def send(self, ws):
        wait = await GOOD["_send"](self, ws)
        self._settle(self.sent)
        return wait
    Client._send = send

@mistake
def resends_by_clock():
    async def send(self, ws):
        await GOOD["_send"](self, ws)
        if self.unanswered and time.monotonic() - self.last_sent > 0.6:
            self.sent = min(self.unanswered) - 1
            self.unanswered.clear()
            await GOOD["_send"](self, ws)
        return 0.7
    Client._send = send

@mistake
def ack_settles_all():
    hears(lambda kind, said: (kind, said | {1: 1 << 60}) if kind == "ack" else (kind, said))

# -- refusals

@mistake
def retries_what_is_refused_for_good():
    hears(lambda kind, said: (kind, said | {4: 10}) if kind == "refusal" else (kind, said))

@mistake
def drops_without_a_word():
    def refused(self, seq, said):
        self.on_event = lambda word, seq, why: None
        GOOD["_refused"](self, seq, said)
    Client._refused = refused

@mistake
def deaf_to_refusals():
    hears(lambda kind, said: None if kind == "refusal" else (kind, said))

@mistake
def retries_at_once():
    hears(lambda kind, said: (kind, said | {4: 0}) if kind == "refusal" else (kind, said))

@mistake
def retries_only_that_one():
    def refused(self, seq, said):
        GOOD["_refused"](self, seq, said)
        self.only = seq
    Client._refused = refused
    after = Buffer.after
    def skipping(self, seq):
        found = after(self, seq)
        return after(self, found[0]) if found and found[0] == 4 and hasattr(self, "again") else found
    async def send(self, ws):
        if hasattr(self, "only"):
            self.buffer.again = True
        return await GOOD["_send"](self, ws)
    Client._send, Buffer.after = send, skipping

@mistake
def drops_what_may_come_later():
    hears(lambda kind, said: (kind, {k: v for k, v in said.items() if k != 4}) if kind == "refusal" else (kind, said))

# -- flow

@mistake
def ignores_credit():
    hears(lambda kind, said: (kind, said | {2: 100} | ({1: 100} if kind == "throttle" else {})) if kind in ("welcome", "ack", "throttle") else (kind, said))

@mistake
def ignores_bytes():
    hears(lambda kind, said: (kind, said | {3: 1 << 20}) if kind in ("welcome", "ack") else (kind, said))

@mistake
def credit_zero_is_one():
    hears(lambda kind, said: (kind, said | {2: max(said.get(2, 0), 1)}) if kind == "ack" else (kind, said))

@mistake
def deaf_to_throttle():
    hears(lambda kind, said: None if kind == "throttle" else (kind, said))

@mistake
def ignores_interval():
    hears(lambda kind, said: (kind, said | {3: 0}) if kind == "throttle" else (kind, said))

@mistake
def an_ack_lifts_the_interval():
    async def hear(self, ws, message):
        await GOOD["_hear"](self, ws, message)
        if wire.downstream(message)[0] == "ack":
            self.interval = 0
    Client._hear = hear

@mistake
def interval_for_ever():
    hears(lambda kind, said: (kind, said | {3: max(said.get(3, 0), 400)}) if kind == "throttle" else (kind, said))

# -- connections

@mistake
def no_backoff():
    client.BACKOFF_FIRST = 0

@mistake
def constant_backoff():
    client.BACKOFF_MAX = 0.5

@mistake
def no_jitter():
    random.uniform = lambda low, high: high

@mistake
def never_begins_anew():
    async def hear(self, ws, message):
        failures = self.failures
        await GOOD["_hear"](self, ws, message)
        self.failures = failures
    Client._hear = hear

@mistake
def connecting_begins_anew():
    async def converse(self, ws):
        self.failures = 0
        await GOOD["_converse"](self, ws)
    Client._converse = converse

@mistake
def ignores_goodbye():
    hears(lambda kind, said: None if kind == "goodbye" else (kind, said))

@mistake
def gives_up():
    client.FINAL = client.FINAL | {1001, 1006, 1011, 4999}

@mistake
def always_comes_back():
    client.FINAL = set()

@mistake
def half_a_frame_is_a_message():
    async def hear(self, ws, message):
        await GOOD["_hear"](self, ws, message)
        self.welcomes = getattr(self, "welcomes", 0) + (wire.downstream(message)[0] == "welcome")
        if self.welcomes == 3:
            self._settle(4)
    Client._hear = hear

# -- keeping

@mistake
def forgets_its_session():
    buffer_says(session=lambda: random.getrandbits(62) << 1 | 1)

@mistake
def forgets_its_seqs():
    begin = Buffer.__init__
    def init(self, path, held_max):
        begin(self, path, held_max)
        last = self.file.execute("SELECT max(seq) FROM batch").fetchone()[0]
        self.next = (last or 0) + 1
    Buffer.__init__ = init

@mistake
def buffer_in_memory():
    begin = Buffer.__init__
    def init(self, path, held_max):
        begin(self, path, held_max)
        self.file.execute("DELETE FROM batch")
        self.held = 0
    Buffer.__init__ = init

@mistake
def buffer_without_end():
    begin = Buffer.__init__
    Buffer.__init__ = lambda self, path, held_max: begin(self, path, 1 << 40)

@mistake
def gives_up_the_newest():
    keep = Buffer.keep
    def refuse(self, encode):
        if self.held >= self.held_max:
            self.next += 1
            return self.next - 1, [self.next - 1]
        return keep(self, encode)
    Buffer.keep = refuse

@mistake
def gives_up_without_a_word():
    keep = Buffer.keep
    Buffer.keep = lambda self, encode: (keep(self, encode)[0], [])

# -- commands

@mistake
def deaf_to_commands():
    hears(lambda kind, said: None if kind == "command" else (kind, said))

@mistake
def answers_once():
    seen = set()
    def once(kind, said):
        if kind == "command" and said.get(1) in seen:
            return None
        if kind == "command":
            seen.add(said.get(1))
        return kind, said
    hears(once)

@mistake
def says_ok_to_anything():
    Client._obey = lambda self, said: wire.result(said[1], True, "", b"")

@mistake
def says_no_without_why():
    Client._obey = lambda self, said: wire.result(said[1], False, "", b"")

@mistake
def another_command():
    Client._obey = lambda self, said: wire.result(said[1] + 90, False, "no", b"")

@mistake
def reports_unasked():
    async def then(self, ws):
        await ws.send(wire.reported("", 1, True, "", b"{}"))
    after_welcome(then)

@mistake
def reports_another_version():
    def become(self, said):
        return wire.reported(self.name, 4, True, "", b"{}")
    Client._become = become
    begin = Client.__init__
    def init(self, *positional, **named):
        begin(self, *positional, **named, on_desired=lambda device, document: document)
    Client.__init__ = init

@mistake
def dies_of_the_unknown():
    def kinds(kind, said):
        if kind is None:
            raise SystemError("what is that?")
        return kind, said
    hears(kinds)

@mistake
def closes_on_the_unknown():
    def kinds(kind, said):
        if kind is None:
            raise ValueError("what is that?")
        return kind, said
    hears(kinds)

@mistake
def ends_as_if_it_failed():
    good = driver.main
    def main():
        good()
        sys.exit(3)
    driver.main = main

@mistake
def never_ends():
    good = driver.main
    def main():
        good()
        time.sleep(600)
    driver.main = main


if sys.argv[1] == "--list":
    print("\n".join(MISTAKES))
else:
    MISTAKES[sys.argv[1]]()
    driver.main()

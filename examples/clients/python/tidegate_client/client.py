"""The conversation: docs/devices.md, rule by rule, in a thread of its own."""
import asyncio
import json
import random
import threading
import time

import websockets
from websockets.asyncio.client import connect

from . import wire
from .buffer import Buffer

SOFTWARE = "tidegate-client (python) 0.1.0"
BACKOFF_FIRST, BACKOFF_MAX = 0.5, 30.0
# The daemon pings every 25 s: who hears nothing for longer has no connection.
SILENCE_MAX = 60
WELCOME_MAX = 20
DONE_MAX = 64  # commands whose answers are remembered
# Codes after which coming back does not help: docs/devices.md, Close codes.
FINAL = {1002, 1003, 1007, 1008, 4001, 4003}


class Closed(Exception):
    """The daemon said not to come back."""


class Client:
    """Sends readings to Tidegate. `send` keeps them on disk; a thread sends what is kept.

    `on_event(word, seq, why)` is called with "kept", "refused" and "gave-up", in the thread in which it happens.
    """

    def __init__(self, url, name, buffer, token=None, held_max=100_000, on_event=None, on_command=None, on_desired=None):
        self.url, self.name, self.token = url, name, token
        self.on_event = on_event or (lambda word, seq, why: None)
        self.on_command, self.on_desired = on_command, on_desired
        self.buffer = Buffer(buffer, held_max)
        self.done = {}  # id -> answer: a command that may be done again comes again until it is answered
        self.trouble = None
        self.settled = threading.Condition()
        self.loop = asyncio.new_event_loop()
        self.more, self.stop = asyncio.Event(), asyncio.Event()
        self.thread = threading.Thread(target=self._work, name="tidegate", daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- for the program

    def send(self, values, device="", tags=None, time_ns=None):
        """Keeps one row: {metric: value} or {metric: (value, unit)}. Returns its seq, once it is on disk."""
        columns = []
        for metric, value in values.items():
            value, unit = value if isinstance(value, tuple) else (value, "")
            columns.append((metric, unit, [value]))
        return self.batch([(device, tags or {}, [time.time_ns() if time_ns is None else time_ns], columns)])

    def batch(self, tables):
        """Keeps tables as one batch: [(device, tags, times, [(metric, unit, values)])]."""
        self._look()
        seq, given_up = self.buffer.keep(lambda seq: wire.batch(seq, tables[0][2][0], tables))
        for old in given_up:
            self.on_event("gave-up", old, f"the buffer is full ({self.buffer.held_max} batches)")
        self.on_event("kept", seq, "")
        self._wake(self.more)
        return seq

    def flush(self, timeout=None):
        """Waits until all that is held is settled; False if that takes longer."""
        with self.settled:
            done = self.settled.wait_for(lambda: self.trouble or self.buffer.held == 0, timeout)
        self._look()
        return done

    def close(self):
        """Ends the conversation. What is not settled stays in the buffer for the next time."""
        self._wake(self.stop)
        self.thread.join()
        self.buffer.close()

    def _look(self):
        if self.trouble:
            raise Closed(self.trouble)

    def _wake(self, event):
        try:
            self.loop.call_soon_threadsafe(event.set)
        except RuntimeError:
            pass  # the conversation has ended; its trouble is told

    # -- the thread

    def _work(self):
        try:
            self.loop.run_until_complete(self._come_and_go())
        except Exception as error:
            self.trouble = self.trouble or f"{type(error).__name__}: {error}"
            raise
        finally:
            self._changed()
            self.loop.close()

    def _changed(self):
        with self.settled:
            self.settled.notify_all()

    async def _come_and_go(self):
        self.failures = 0
        while not self.stop.is_set() and not self.trouble:
            self.come_back = 0
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            try:
                async with connect(
                    self.url, subprotocols=["tidegate.v1"], additional_headers=headers, max_size=1 << 20,
                    open_timeout=20, ping_interval=None, close_timeout=2, compression=None, proxy=None,
                ) as ws:
                    await self._converse(ws)
            except websockets.ConnectionClosed as closed:
                if closed.rcvd and closed.rcvd.code in FINAL:
                    self.trouble = f"the daemon closed with {closed.rcvd.code}: {closed.rcvd.reason}"
            except websockets.InvalidStatus as refused:
                if refused.response.status_code in (401, 403):
                    self.trouble = f"the daemon does not let this client in ({refused.response.status_code})"
            except (OSError, TimeoutError, EOFError, ValueError, IndexError, websockets.WebSocketException):
                pass
            if self.stop.is_set() or self.trouble:
                return
            delay = min(BACKOFF_MAX, BACKOFF_FIRST * 2**min(self.failures, 10)) * random.uniform(0.5, 1)
            self.failures += 1
            await first(self.stop.wait(), timeout=max(delay, self.come_back))

    async def _converse(self, ws):
        buffer = self.buffer
        await ws.send(wire.hello(self.name, buffer.session, buffer.lowest(), SOFTWARE))
        self.welcome = False
        self.sent = 0  # the last seq that was sent on this connection
        self.unanswered = {}  # seq -> bytes
        self.credit = (0, 0)
        self.interval, self.last_sent = 0.0, 0.0  # Throttle: at most one batch in this time
        self.not_before = 0.0  # a refusal for later
        self.heard_at = time.monotonic()
        hearing = asyncio.ensure_future(ws.recv())
        try:
            while not self.stop.is_set():
                self.more.clear()
                wait = await self._send(ws) if self.welcome else WELCOME_MAX
                more, stop = asyncio.ensure_future(self.more.wait()), asyncio.ensure_future(self.stop.wait())
                done, _ = await asyncio.wait({hearing, more, stop}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                more.cancel(), stop.cancel()
                if hearing in done:
                    message = hearing.result()
                    hearing = asyncio.ensure_future(ws.recv())
                    self.heard_at = time.monotonic()
                    await self._hear(ws, message)
                elif time.monotonic() - self.heard_at >= (SILENCE_MAX if self.welcome else WELCOME_MAX):
                    if not self.welcome or not await alive(ws):
                        return
        finally:
            hearing.cancel()

    async def _send(self, ws):
        """Sends what may be sent; returns how long to wait until more may be."""
        while True:
            now = time.monotonic()
            next_at = max(self.not_before, self.last_sent + self.interval)
            if now < next_at:
                return next_at - now
            found = self.buffer.after(self.sent)
            if not found:
                return SILENCE_MAX
            seq, message = found
            batches, room = self.credit
            if len(self.unanswered) >= batches or (
                self.unanswered and sum(self.unanswered.values()) + len(message) > room
            ):
                return SILENCE_MAX
            self.unanswered[seq], self.sent = len(message), seq
            self.last_sent = now
            await say(ws, message)

    async def _hear(self, ws, message):
        kind, said = wire.downstream(message) if isinstance(message, bytes) else (None, {})
        number = lambda tag: said.get(tag, 0)
        if kind == "welcome":
            self.failures, self.welcome = 0, True
            self._settle(number(1))
            self.sent, self.credit = number(1), (number(2), number(3))
        elif kind == "ack":
            self._settle(number(1))
            self.credit = number(2), number(3)
        elif kind == "refusal":
            self._refused(number(1), said)
        elif kind == "throttle":
            self.credit, self.interval = (number(1), number(2)), number(3) / 1000
        elif kind == "goodbye":
            self.come_back = number(3) / 1000
        elif kind == "command":
            await say(ws, self._obey(said))
        elif kind == "desired" and self.on_desired:
            await say(ws, self._become(said))

    def _settle(self, last):
        self.buffer.settle(last)
        self.unanswered = {seq: size for seq, size in self.unanswered.items() if seq > last}
        self._changed()

    def _refused(self, seq, said):
        if 4 in said:  # later: all that is held is sent again, as after a reconnect
            self.unanswered.clear()
            self.sent = 0
            self.not_before = max(self.not_before, time.monotonic() + said[4] / 1000)
        else:
            self.unanswered.pop(seq, None)
            if self.buffer.drop(seq):
                self.on_event("refused", seq, text(said, 5))
            self._changed()

    def _obey(self, said):
        """Does what the operator wants, once, and says how it went."""
        id = said.get(1, 0)
        if id not in self.done:
            try:
                if not self.on_command:
                    raise ValueError("this client takes no commands")
                gave = self.on_command(text(said, 2), text(said, 3), json.loads(said.get(4) or b"null"))
                answer = wire.result(id, True, "", b"" if gave is None else json.dumps(gave).encode())
            except Exception as error:
                answer = wire.result(id, False, str(error) or type(error).__name__, b"")
            self.done[id] = answer
            if len(self.done) > DONE_MAX:
                del self.done[min(self.done)]
        return self.done[id]

    def _become(self, said):
        """Is set as the operator wants, and reports what it is set to."""
        device, version = text(said, 2), said.get(1, 0)
        try:
            now = self.on_desired(device, json.loads(said.get(3, b"null")))
            return wire.reported(device, version, True, "", json.dumps(now).encode())
        except Exception as error:
            return wire.reported(device, version, False, str(error) or type(error).__name__, b"")


def text(said, tag):
    return said.get(tag, b"").decode(errors="replace")


async def say(ws, message):
    """If the connection is closed, reading on tells why, and what was said before."""
    try:
        await ws.send(message)
    except websockets.ConnectionClosed:
        pass


async def first(waiting, timeout):
    try:
        await asyncio.wait_for(waiting, timeout)
    except TimeoutError:
        pass


async def alive(ws):
    """Whether a ping of ours is answered."""
    pong = await ws.ping()
    try:
        await asyncio.wait_for(pong, 10)
        return True
    except TimeoutError:
        return False

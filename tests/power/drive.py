"""A disk whose power can be cut: it forgets what it was not told to flush.

Like a real drive it has a volatile cache: a write is answered when it is in the cache, a flush when
nothing is in the cache any more. When the power fails, chance decides for each write that no flush
covered whether it has reached the platters whole, up to some sector, or not at all: a later one may
have and an earlier one not.

Spoken is NBD, as qemu's `nbd` driver wants it: one export without a name, one connection at a time,
requests answered in order (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md).
"""

import mmap
import socket
import struct
import threading

# What is written whole or not at all, as on drives of today. ext4 relies on it: with smaller ones, a
# torn commit block makes a journal that it refuses.
SECTOR = 4096

# Handshake: magics, flags, the options that qemu asks for.
GREETING, OPTION, OPTION_REPLY = b"NBDMAGIC", b"IHAVEOPT", 0x3E889045565A9
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
ABORT, GO = 2, 7
ACK, INFO, UNSUPPORTED = 1, 3, (1 << 31) + 1
HAS_FLAGS, SENDS_FLUSH = 1, 4
# Transmission.
REQUEST, REPLY = 0x25609513, 0x67446698
READ, WRITE, DISCONNECT, FLUSH = range(4)
INVALID = 22


class Drive:
    """A drive on the bytes of a file, served at a Unix socket to one machine after the other."""

    def __init__(self, image, address):
        self.image_file = open(image, "r+b")
        self.image = mmap.mmap(self.image_file.fileno(), 0)
        # Since the last flush: where, what was there before, what was written.
        self.unflushed = []
        self.flushes = 0
        self.requests_left = None
        self.failed = threading.Event()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(address)
        self.server.listen()
        self.serving = None

    def plug_in(self):
        """Waits in the background for a machine, and serves it until it is gone."""
        self.flushes = 0
        self.requests_left = None
        self.failed.clear()
        self.serving = threading.Thread(target=self._serve, daemon=True)
        self.serving.start()

    def fail_after(self, requests):
        """Lets the power fail when so many more writes and flushes were done: `failed` is set, and
        nothing is taken or answered any more. The machine must then be switched off."""
        self.requests_left = requests

    def unplug(self):
        """Waits until the machine is gone."""
        self.serving.join()

    def forget(self, chance):
        """What a loss of power does, after `unplug`. Tells how many writes since the last flush were
        kept, torn, lost."""
        for at, before, _ in reversed(self.unflushed):
            self.image[at : at + len(before)] = before
        fates = {"kept": 0, "torn": 0, "lost": 0}
        for at, _, data in self.unflushed:
            # Of a write of one sector nothing can be torn off.
            fate = chance.choice(list(fates) if len(data) > SECTOR else ["kept", "lost"])
            fates[fate] += 1
            if fate == "torn":
                data = data[: chance.randrange(SECTOR, len(data), SECTOR)]
            elif fate == "lost":
                data = b""
            self.image[at : at + len(data)] = data
        self.unflushed.clear()
        return fates

    def _serve(self):
        connection, _ = self.server.accept()
        with connection, connection.makefile("rb") as asked:
            try:
                if self._shake_hands(connection, asked):
                    self._answer(connection, asked)
            except (ConnectionError, struct.error):
                pass  # the machine is gone, perhaps in the middle of a request

    def _shake_hands(self, connection, asked):
        connection.sendall(GREETING + OPTION + struct.pack(">H", FIXED_NEWSTYLE | NO_ZEROES))
        asked.read(4)
        while True:
            _, option, length = struct.unpack(">8sII", asked.read(16))
            asked.read(length)

            def reply(kind, data=b""):
                connection.sendall(struct.pack(">QIII", OPTION_REPLY, option, kind, len(data)) + data)

            if option == GO:
                reply(INFO, struct.pack(">HQH", 0, len(self.image), HAS_FLAGS | SENDS_FLUSH))
                reply(ACK)
                return True
            if option == ABORT:
                reply(ACK)
                return False
            reply(UNSUPPORTED)

    def _answer(self, connection, asked):
        while True:
            _, _, kind, handle, at, length = struct.unpack(">IHHQQI", asked.read(28))
            if kind in (WRITE, FLUSH) and self._power_fails():
                asked.read()  # all that still comes, until the machine is switched off
                return
            error, data = 0, b""
            if kind == READ:
                data = self.image[at : at + length]
            elif kind == WRITE:
                written = asked.read(length)
                if len(written) < length:
                    return
                self.unflushed.append((at, self.image[at : at + length], written))
                self.image[at : at + length] = written
            elif kind == FLUSH:
                self.unflushed.clear()
                self.flushes += 1
            elif kind == DISCONNECT:
                return
            else:
                error = INVALID
            connection.sendall(struct.pack(">IIQ", REPLY, error, handle) + data)

    def _power_fails(self):
        if self.requests_left is None:
            return False
        self.requests_left -= 1
        if self.requests_left < 0:
            self.failed.set()
        return self.requests_left < 0

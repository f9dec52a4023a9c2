"""What is not settled yet, in a file.

SQLite with a write-ahead log and `synchronous=FULL`: `keep` returns when the batch is on disk. It must be, before
it is sent: a seq that was sent and forgotten would be used again for other readings, which the daemon would take for
a batch that it has.
"""
import fcntl
import os
import sqlite3
import threading

SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (seq INTEGER PRIMARY KEY, message BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), session BLOB NOT NULL, next INTEGER NOT NULL);
"""


class Buffer:
    def __init__(self, path, held_max):
        self.held_max = held_max
        self.alone = open(f"{path}.lock", "w")
        try:
            fcntl.flock(self.alone, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a second process would use the same seqs
        except BlockingIOError:
            raise BlockingIOError(f"another process has this buffer: {path}") from None
        self.lock = threading.Lock()
        self.file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.file.execute("PRAGMA journal_mode=WAL")
        self.file.execute("PRAGMA synchronous=FULL")
        self.file.executescript(SCHEMA)
        # Drawn once for the life of the buffer; never 0.
        self.file.execute("INSERT OR IGNORE INTO state VALUES (1, ?, 1)", (os.urandom(7) + b"\1",))
        session, self.next = self.file.execute("SELECT session, next FROM state").fetchone()
        self.session = int.from_bytes(session, "little")
        self.held = self.file.execute("SELECT count(*) FROM batch").fetchone()[0]

    def keep(self, encode):
        """Numbers a batch and keeps what `encode(seq)` makes of it; (seq, seqs that were given up for it)."""
        with self.lock, Transaction(self.file):
            seq = self.next
            self.file.execute("INSERT INTO batch VALUES (?, ?)", (seq, encode(seq)))
            self.file.execute("UPDATE state SET next = ?", (seq + 1,))
            over = self.held + 1 - self.held_max
            given_up = [seq for (seq,) in self.file.execute("SELECT seq FROM batch ORDER BY seq LIMIT ?", (max(over, 0),))]
            self.file.executemany("DELETE FROM batch WHERE seq = ?", [(seq,) for seq in given_up])
            self.next, self.held = seq + 1, self.held + 1 - len(given_up)
        return seq, given_up

    def settle(self, last):
        """All up to `last` is settled."""
        self._delete("seq <= ?", last)

    def drop(self, seq):
        """Whether it was there."""
        return self._delete("seq = ?", seq) > 0

    def _delete(self, which, seq):
        with self.lock:
            # Not worth an fsync: what comes back after a power cut is sent again, and enters once.
            self.file.execute("PRAGMA synchronous=NORMAL")
            gone = self.file.execute(f"DELETE FROM batch WHERE {which}", (seq,)).rowcount
            self.file.execute("PRAGMA synchronous=FULL")
            self.held -= gone
            return gone

    def after(self, seq):
        """The first batch behind `seq`, or None."""
        with self.lock:
            return self.file.execute(
                "SELECT seq, message FROM batch WHERE seq > ? ORDER BY seq LIMIT 1", (seq,)
            ).fetchone()

    def lowest(self):
        """The lowest seq that is held; the next one if none is: all below it is gone."""
        found = self.after(0)
        return found[0] if found else self.next

    def close(self):
        with self.lock:
            self.file.close()
            self.alone.close()


class Transaction:
    def __init__(self, file):
        self.file = file

    def __enter__(self):
        self.file.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind, error, trace):
        self.file.execute("ROLLBACK" if kind else "COMMIT")

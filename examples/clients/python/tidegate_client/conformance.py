"""What `tidegate conformance` runs: docs/clients.md says what it has to do."""
import os
import sys

from . import Client, Closed


def main():
    part = lambda name: os.environ[f"CONFORMANCE_{name}"]

    def tell(word, seq, why):
        # In one piece: it comes from two threads.
        sys.stdout.write(f"{word} {seq}\n")
        sys.stdout.flush()

    try:
        with Client(
            part("URL"), part("CLIENT"), os.path.join(part("DIR"), "buffer.db"), token=part("TOKEN"),
            held_max=int(part("BUFFER")), on_event=tell,
        ) as tidegate:
            first = int(part("FIRST"))
            for reading in range(first, first + int(part("READINGS"))):
                tidegate.send({"conformance": reading})
            tidegate.flush()
    except Closed as closed:
        sys.exit(str(closed))


if __name__ == "__main__":
    main()

"""A sine each second, from a device that can be told how often: tidegate-example URL NAME [BUFFER] [TOKEN]."""
import math
import sys
import threading

from . import Client


def main():
    url, name, buffer, token = (sys.argv[1:] + ["readings.db", None][len(sys.argv) - 3:])[:4]
    settings, changed = {"interval_s": 1.0}, threading.Event()

    def set_interval(seconds):
        if not 0.05 <= seconds <= 3600:
            raise ValueError("from 0.05 to 3600 seconds are possible")
        settings["interval_s"] = seconds
        changed.set()
        return settings

    def obey(device, command, arguments):
        if command != "set-interval":
            raise ValueError(f"{command} is not known here")
        return set_interval(arguments["seconds"])

    def become(device, document):
        return set_interval(document["interval_s"])

    def say(word, seq, why):
        if word != "kept":
            print(word, seq, why, flush=True)

    with Client(url, name, buffer, token=token, on_event=say, on_command=obey, on_desired=become) as tidegate:
        while True:
            seq = tidegate.buffer.next
            tidegate.send({"temperature": (21 + math.sin(seq / 20), "°C")})
            changed.wait(settings["interval_s"])
            changed.clear()


if __name__ == "__main__":
    main()

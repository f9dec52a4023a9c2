"""A publisher does what it is told on its standard input, a line at a time.

Each line is a command with arguments and gets one line back: `ok …` once the broker has all of it, or `error …`. What
happens by itself is told by lines that begin with `heard`. At the end of the input the process ends without a word to
the broker; so it does when it is killed.
"""

import argparse
import json
import os
import sys
import threading
import time

_lock = threading.Lock()
_started = int(time.time() * 1000)


def say(*words):
    with _lock:
        print(*words, flush=True)


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--id", default="publisher", help="client id; of a node also its name")
    parser.add_argument("--ca", help="speak TLS, and trust this certificate")
    parser.add_argument("--username")
    parser.add_argument("--password")
    return parser


def numbered(number):
    """A payload that is known again when it comes twice: by its time."""
    return json.dumps({"n": number, "at": _started + number})


def converse(commands):
    for line in sys.stdin:
        name, *words = line.split()
        try:
            answer = commands[name](*words)
        except Exception as error:
            say("error", name, repr(error))
        else:
            say("ok", "" if answer is None else answer)
    # No goodbye: libraries would say one while the interpreter ends.
    os._exit(0)


# The metrics of every node's one device: alias and Sparkplug's name of the type.
METRICS = {
    "temperature": (10, "Double"),
    "running": (11, "Boolean"),
    "count": (12, "Int64"),
    "state": (13, "String"),
}


def readings(words):
    """`temperature=21.5 running=true @1763712000000` as values by name, and the time in ms if one is told."""
    time, values = None, {}
    for word in words:
        if word.startswith("@"):
            time = int(word[1:])
            continue
        name, text = word.split("=", 1)
        kind = METRICS[name][1]
        values[name] = {"Double": float, "Int64": int, "String": str, "Boolean": lambda it: it == "true"}[kind](text)
    return values, time

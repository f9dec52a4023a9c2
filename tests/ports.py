"""Ports for programs that are started later, and are told theirs."""

import random
import socket
from pathlib import Path


def later():
    """One that is free, and stays so: the kernel gives it to nobody who only wants any, nor to who connects."""
    given_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, max(given_from, 11_000))
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port

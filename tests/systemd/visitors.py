"""Many connections, one after the other in short steps, each with one request.

In:   address, number, seconds.   Out: how many were answered, as JSON with what happened to the others.
"""

import json
import socket
import sys
import threading
import time

(host, port), number, seconds = sys.argv[1].split(":"), int(sys.argv[2]), float(sys.argv[3])
outcomes = {}
lock = threading.Lock()


def visit():
    try:
        with socket.create_connection((host, int(port)), timeout=180) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            answer = b""
            while more := connection.recv(4096):
                answer += more
        outcome = answer.split(b"\r\n", 1)[0].decode() or "closed without an answer"
    except OSError as error:
        outcome = type(error).__name__
    with lock:
        outcomes[outcome] = outcomes.get(outcome, 0) + 1


visits = []
for _ in range(number):
    visits.append(threading.Thread(target=visit))
    visits[-1].start()
    time.sleep(seconds / number)
for thread in visits:
    thread.join()
print(json.dumps(outcomes))

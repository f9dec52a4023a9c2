"""Prints the numbers of one series from Tidegate's history, without Tidegate (docs/history.md).

    pip install pcodec
    python read_history.py history.db DEVICE METRIC
"""
import sqlite3, sys, zlib
import numpy as np
from pcodec.standalone import simple_decompress as numbers

CHUNKS = """SELECT axis.data, v.data FROM segment JOIN series s JOIN grp ON grp.id = s.grp
  JOIN series x ON x.grp = s.grp AND x.metric = ''
  JOIN chunk v ON v.id = (segment.id << 32 | s.id) AND v.typ IN (1, 2)
  LEFT JOIN chunk axis ON axis.id = (segment.id << 32 | x.id)
  WHERE device = ? AND s.metric = ? AND level >= 0 ORDER BY level <> 3, segment.id"""
number = lambda data, at: int.from_bytes(data[at:at + 4], "little")

samples = {}
for axis, data in sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute(CHUNKS, sys.argv[2:4]):
    layout, data = data[5], data[6:]
    if layout == 2:  # with times of its own
        times, data = numbers(data[4:4 + number(data, 0)]), data[4 + number(data, 0):]
    else:
        times = numbers(axis[6:])
    if layout == 1:  # at some of the times: a bitmap, perhaps packed
        bits, data, packed = data[14:14 + number(data, 10)], data[14 + number(data, 10):], data[5]
        bits = np.frombuffer(zlib.decompress(bits) if packed else bits, np.uint8)
        times = times[np.unpackbits(bits, bitorder="little")[:len(times)] == 1]
    samples.update(zip(times.tolist(), numbers(data).tolist()))  # what is newer overwrites
for time in sorted(samples):
    print(time, samples[time])

"""Reads an export in Parquet as others do, and holds it against the same export in lines of JSON: parquet.py FILE.parquet FILE.ndjson"""

import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq

parquet, lines = sys.argv[1:]
file = pq.ParquetFile(parquet)
assert file.schema_arrow.field("time").type == pa.timestamp("ns", tz="UTC"), file.schema_arrow
types = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "text": pa.string()}
for name, kind in types.items():
    assert file.schema_arrow.field(name).type == kind, file.schema_arrow

table = file.read()
nanos = table.column("time").cast(pa.int64()).to_pylist()
rows = table.drop_columns(["time"]).to_pylist()
count = 0
with open(lines, encoding="utf-8", newline="\n") as told:
    for row, time, line in zip(rows, nanos, told, strict=True):
        expected = json.loads(line)
        [(metric, value)] = expected["values"].items()
        names = (row["device"], row["metric"], json.loads(row["tags"]), time, row["unit"])
        unit = expected.get("units", {}).get(metric, "")
        assert names == (expected["device"], metric, expected.get("tags", {}), expected["time"], unit), (row, expected)
        given = {name: row[name] for name in types if row[name] is not None}
        kind = {float: "float", int: "int", bool: "bool", str: "text"}[type(value)]
        # repr tells -0.0 from 0.0, and is exact.
        assert list(given) == [kind] and repr(given[kind]) == repr(value), (row, expected)
        count += 1
print(f"{count} samples are the same, in {file.num_row_groups} row groups")

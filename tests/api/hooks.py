"""What schemathesis must know of bodies that are not JSON."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """The schema is that of one line."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@schemathesis.serializer("application/x-protobuf")
def message(context, value):
    """Bytes as they come: no more than what cannot be read."""
    return value if isinstance(value, bytes) else str(value).encode()

"""The messages of proto/tidegate/v1/ingest.proto that a client needs, by hand: no generated code, no dependency."""
import struct


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def uint(tag, value):
    return varint(tag << 3) + varint(value) if value else b""


def data(tag, value):
    """A string, bytes or message field; an empty one, too: a row without a name is still a row."""
    value = value.encode() if isinstance(value, str) else value
    return varint(tag << 3 | 2) + varint(len(value)) + value


def zigzag(value):
    return (value << 1) ^ (value >> 63)


def upstream(tag, message):
    return data(tag, message)


def hello(client, session, resume, software):
    fixed = varint(2 << 3 | 1) + struct.pack("<Q", session)
    return upstream(1, data(1, client) + fixed + uint(3, resume) + data(5, software))


def batch(seq, base_time, tables):
    """`tables`: (device, tags, times, columns); times in nanoseconds since 1970, a column: (metric, unit, values)."""
    out = uint(1, seq) + uint(2, base_time)
    for device, tags, times, columns in tables:
        table = data(1, device) if device else b""
        for key, value in sorted(tags.items()):
            table += data(2, data(1, key) + data(2, value))
        before = base_time
        steps = b""
        for time in times:
            steps += varint(zigzag(time - before))
            before = time
        table += data(3, steps)
        for metric, unit, values in columns:
            table += data(4, column(metric, unit, values))
        out += data(3, table)
    return upstream(2, out)


def column(metric, unit, values):
    """None is a row without a value."""
    present = [value for value in values if value is not None]
    out = data(1, metric) + (data(9, unit) if unit else b"")
    if present and all(isinstance(value, bool) for value in present):
        out += data(6, bytes(bool(value) for value in values))
    elif present and all(isinstance(value, str) for value in present):
        out += b"".join(data(7, value or "") for value in values)
    elif present and all(isinstance(value, int) and not isinstance(value, bool) for value in present):
        steps, before = b"", 0
        for value in values:
            if not (value is None or -(1 << 63) <= value < 1 << 63):
                raise ValueError(f"{metric}: {value} does not fit into 64 bits")
            # An absent row changes nothing. Modulo 2^64, so that every change fits.
            step = 0 if value is None else (value - before + (1 << 63)) % (1 << 64) - (1 << 63)
            before = before if value is None else value
            steps += varint(zigzag(step))
        out += data(5, steps)
    elif present:
        out += data(2, b"".join(struct.pack("<d", float(value or 0)) for value in values))
    if len(present) < len(values):
        absent = bytearray((len(values) + 7) // 8)
        for row, value in enumerate(values):
            absent[row // 8] |= (value is None) << row % 8
        out += data(8, bytes(absent))
    return out


def result(id, ok, message, payload):
    return upstream(3, uint(1, id) + uint(2, ok) + data(3, message) + data(4, payload))


def reported(device, version, ok, message, document):
    return upstream(4, data(1, device) + uint(2, version) + uint(3, ok) + data(4, message) + data(5, document))


def fields(message):
    """{tag: value} of a message: numbers and bytes. The last of several wins; what is not known is there, too."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = number()
        kind = key & 7
        if kind == 0:
            value = number()
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = int.from_bytes(message[at:at + size], "little"), at + size
        elif kind == 2:
            size = number()
            value, at = bytes(message[at:at + size]), at + size
            if len(value) < size:
                raise ValueError("a message breaks off")
        else:
            raise ValueError(f"wire type {kind}")
        found[key >> 3] = value
    return found


KINDS = {1: "welcome", 2: "ack", 3: "refusal", 4: "throttle", 5: "command", 6: "goodbye", 7: "desired"}


def downstream(message):
    """(kind, fields of it), or (None, {}) for a message that is not known."""
    for tag, value in fields(message).items():
        if tag in KINDS:
            return KINDS[tag], fields(value)
    return None, {}

"""A Sparkplug node by pysparkplug. See README.md for its commands."""

import datetime
import threading
import time

from pysparkplug import (
    Client, DataType, DData, Device, EdgeNode, Message, MessageType, Metric, NDeath, QoS, TLSConfig, Topic,
)

from conversation import METRICS, arguments, converse, readings, say

options = arguments(__doc__).parse_args()
TYPES = {name: DataType[kind.upper()] for name, (_, kind) in METRICS.items()}
DEVICE = "meter"


def now():
    return int(time.time() * 1000)


def metrics(words, named=True, **flags):
    values, at = readings(words)
    return tuple(
        Metric(
            timestamp=at or now(), name=name if named else None, datatype=TYPES[name], value=value,
            alias=METRICS[name][0], **flags,
        )
        for name, value in values.items()
    )


deaf = threading.Event()
birth_bd_seq = 0


def commanded(node, message):
    if any(metric.name == "Node Control/Rebirth" and metric.value for metric in message.payload.metrics):
        say("heard rebirth")
        if deaf.is_set():
            return
        # The library's births go with a connection; this runs in the connection's own thread.
        threading.Thread(target=lambda: (node.disconnect(), birth(), say("heard reborn"))).start()


client = Client(
    client_id=options.id, username=options.username, password=options.password,
    transport_config=TLSConfig(ca_certs=options.ca) if options.ca else None,
)
node = EdgeNode(
    "plant", options.id,
    [
        Metric(timestamp=now(), name="Node Control/Rebirth", datatype=DataType.BOOLEAN, value=False),
        Metric(timestamp=now(), name="uptime", datatype=DataType.INT64, value=1, alias=1),
    ],
    client=client, cmd_callback=commanded,
)
node.register(Device(DEVICE, metrics(["temperature=20", "running=false", "count=0", "state=idle"])))


def mark():
    """Returns once the broker has all that was published before."""
    info = client._client.publish("publishers/mark", b"", qos=1)
    info.wait_for_publish(30)
    if not info.is_published():
        raise RuntimeError("no PUBACK")


def birth():
    global birth_bd_seq
    node.connect(options.host, port=options.port, keepalive=30)
    deadline = time.monotonic() + 30
    # The library says when it is connected, and publishes the births after that; at their end it prepares the next Will.
    while not node._connected:
        if time.monotonic() > deadline:
            raise RuntimeError("no CONNACK")
        time.sleep(0.01)
    mark()
    birth_bd_seq = node._bd_seq_metric.value - 1


def publish(kind, payload, device=DEVICE, named=True):
    topic = Topic(message_type=kind, group_id="plant", edge_node_id=options.id, device_id=device)
    message = Message(topic=topic, payload=payload, qos=QoS.AT_MOST_ONCE, retain=False)
    client.publish(message, include_dtypes=named)
    mark()


def data(*words, **flags):
    node.update_device(DEVICE, metrics(words, **flags))
    mark()


def alias(*words):
    publish(MessageType.DDATA, DData(now(), node._seq, metrics(words, named=False)), named=False)


def types():
    """A device of its own that has every type which the library knows."""
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc)
    values = {
        "INT8": -1, "INT16": -2, "INT32": -3, "INT64": -4, "UINT8": 255, "UINT16": 65535, "UINT32": 2**32 - 1,
        "UINT64": 2**63 - 1, "FLOAT": 1.5, "DOUBLE": -2.25, "BOOLEAN": True, "STRING": "täxt", "DATETIME": when,
        "TEXT": "text", "UUID": "6f8e1c7a-0000-4000-8000-000000000001", "BYTES": b"\x01\x02", "FILE": b"file",
        "INT8_ARRAY": (-1, 2), "INT16_ARRAY": (-1, 2), "INT32_ARRAY": (-1, 2), "INT64_ARRAY": (-1, 2),
        "UINT8_ARRAY": (1, 255), "UINT16_ARRAY": (1, 65535), "UINT32_ARRAY": (1, 2**32 - 1), "UINT64_ARRAY": (1, 2),
        "FLOAT_ARRAY": (1.5, -2.5), "DOUBLE_ARRAY": (1.5, -2.5), "BOOLEAN_ARRAY": (True, False, True),
        "STRING_ARRAY": ("a", "b"), "DATETIME_ARRAY": (when, when),
    }
    node.register(Device("types", [
        Metric(timestamp=now(), name=name.lower(), datatype=DataType[name], value=value)
        for name, value in values.items()
    ]))
    mark()


def stale():
    """The death of the connection before."""
    before = (birth_bd_seq - 1) % 256
    metric = Metric(timestamp=now(), name="bdSeq", datatype=DataType.INT64, value=before)
    publish(MessageType.NDEATH, NDeath(timestamp=now(), bd_seq_metric=metric), device=None)
    return before


def null(name):
    node.update_device(DEVICE, [
        Metric(timestamp=now(), name=name, datatype=TYPES[name], alias=METRICS[name][0], is_null=True),
    ])
    mark()


def device_birth():
    node.register(Device(DEVICE, metrics(["temperature=20", "running=false", "count=0", "state=idle"])))
    mark()


converse({
    "birth": lambda: birth() or f"bdSeq={birth_bd_seq}",
    "data": data,
    "alias": alias,
    "historical": lambda *words: data(*words, is_historical=True),
    "transient": lambda *words: data(*words, is_transient=True),
    "null": null,
    "types": types,
    "lose": lambda: f"seq={node._seq}",
    "stale": lambda: f"bdSeq={stale()}",
    "device-death": lambda: (node.deregister(DEVICE), mark())[1],
    "device-birth": device_birth,
    "deaf": deaf.set,
    "leave": node.disconnect,
})

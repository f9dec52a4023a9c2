"""A Sparkplug node by Eclipse Tahu's encoder and paho-mqtt, as Tahu's examples do it. See README.md for its commands."""

import threading

import paho.mqtt.client as mqtt
from tahu import sparkplug_b as tahu
from tahu.sparkplug_b import MetricDataType as Type
from tahu.sparkplug_b_pb2 import Payload

from conversation import METRICS, arguments, converse, readings, say

options = arguments(__doc__).parse_args()
connected = threading.Event()
deaf = threading.Event()
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=options.id, protocol=mqtt.MQTTv311)
if options.ca:
    client.tls_set(ca_certs=options.ca)
if options.username:
    client.username_pw_set(options.username, options.password)


def topic(kind, device=None):
    return "/".join(["spBv1.0", "plant", kind, options.id] + ([device] if device else []))


def publish(kind, payload, device=None):
    client.publish(topic(kind, device), payload.SerializeToString())


def mark():
    """Returns once the broker has all that was published before."""
    info = client.publish("publishers/mark", b"", qos=1)
    info.wait_for_publish(30)
    if not info.is_published():
        raise RuntimeError("no PUBACK")


def add(payload, words, add_metric=tahu.addMetric, named=True):
    values, at = readings(words)
    for name, value in values.items():
        alias, kind = METRICS[name]
        metric = add_metric(payload, name if named else None, alias, getattr(Type, kind), value)
        if at:
            metric.timestamp = at


def births():
    payload = tahu.getNodeBirthPayload()
    tahu.addMetric(payload, "Node Control/Rebirth", None, Type.Boolean, False)
    tahu.addMetric(payload, "uptime", 1, Type.Int64, 1)
    publish("NBIRTH", payload)
    device_birth()


def device_birth():
    payload = tahu.getDeviceBirthPayload()
    add(payload, ["temperature=20", "running=false", "count=0", "state=idle"])
    publish("DBIRTH", payload, "meter")


def on_connect(client, userdata, flags, reason_code, properties):
    client.subscribe([(topic("NCMD"), 1), (topic("DCMD", "+"), 1)])
    births()
    connected.set()


def on_message(client, userdata, message):
    payload = Payload()
    payload.ParseFromString(message.payload)
    if any(metric.name == "Node Control/Rebirth" and metric.boolean_value for metric in payload.metrics):
        say("heard rebirth")
        if not deaf.is_set():
            births()
            say("heard reborn")
        return
    written = {metric.name: getattr(metric, metric.WhichOneof("value")) for metric in payload.metrics}
    say("heard written", *(f"{name}={value}" for name, value in written.items()))
    if not deaf.is_set():
        report(message.topic.split("/")[2], written)


def report(kind, written):
    """What was written is what is reported from then on."""
    payload = tahu.getDdataPayload()
    for name, value in written.items():
        alias, type_name = METRICS.get(name, (1, "Int64"))
        tahu.addMetric(payload, name, alias, getattr(Type, type_name), value)
    publish("NDATA", payload) if kind == "NCMD" else publish("DDATA", payload, "meter")


client.on_connect = on_connect
client.on_message = on_message


def birth():
    client.will_set(topic("NDEATH"), bytes(tahu.getNodeDeathPayload().SerializeToString()), qos=1)
    client.connect(options.host, options.port, keepalive=30)
    client.loop_start()
    if not connected.wait(30):
        raise RuntimeError("no CONNACK")
    mark()


def data(*words, **how):
    payload = tahu.getDdataPayload()
    add(payload, words, **how)
    publish("DDATA", payload, "meter")
    mark()


def odd():
    """What can't be a reading: a template, and a DataSet of one row beside it, born with a device of its own."""
    payload = tahu.getDeviceBirthPayload()
    template = tahu.initTemplateMetric(payload, "motor", None, "MotorType")
    tahu.addMetric(template, "rpm", None, Type.Int32, 1500)
    rows = tahu.initDatasetMetric(payload, "table", None, ["phase", "volts"], [Type.Int32, Type.Double])
    row = rows.rows.add()
    row.elements.add().int_value = 3
    row.elements.add().double_value = 230.5
    tahu.addMetric(payload, "plain", None, Type.Double, 1.5)
    publish("DBIRTH", payload, "odd")
    mark()


def device_death():
    publish("DDEATH", tahu.getDdataPayload(), "meter")
    mark()


def leave():
    publish("NDEATH", tahu.getNodeDeathPayload())
    mark()
    client.disconnect()


converse({
    "birth": birth,
    "data": data,
    "alias": lambda *words: data(*words, named=False),
    "historical": lambda *words: data(*words, add_metric=tahu.addHistoricalMetric),
    "odd": odd,
    "lose": lambda: f"seq={tahu.getSeqNum()}",
    "device-death": device_death,
    "device-birth": lambda: (device_birth(), mark())[1],
    "deaf": deaf.set,
    "leave": leave,
})

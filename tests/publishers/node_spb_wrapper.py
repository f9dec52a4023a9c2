"""A Sparkplug node by mqtt-spb-wrapper: node and device have a connection each. See README.md for its commands."""

import threading
import time

from mqtt_spb_wrapper import MetricDataType, MqttSpbEntityDevice, MqttSpbEntityEdgeNode
from mqtt_spb_wrapper.spb_protobuf import getSeqNum

from conversation import METRICS, arguments, converse, readings, say

options = arguments(__doc__).parse_args()
# The command that it would add for a Rebirth ends the thread of its connection when it comes.
node = MqttSpbEntityEdgeNode("plant", options.id, include_spb_rebirth=False)
device = MqttSpbEntityDevice("plant", options.id, "meter")
node.data.set_value("uptime", 1, spb_alias_num=1, spb_data_type=MetricDataType.Int64)
for name, start in readings(["temperature=20", "running=false", "count=0", "state=idle"])[0].items():
    alias, kind = METRICS[name]
    device.data.set_value(name, start, spb_alias_num=alias, spb_data_type=getattr(MetricDataType, kind))


deaf = threading.Event()


def mark(entity):
    """Returns once the broker has all that was published before."""
    info = entity._mqtt.publish("publishers/mark", b"", qos=1)
    info.wait_for_publish(30)
    if not info.is_published():
        raise RuntimeError("no PUBACK")


def births():
    node.publish_birth()
    mark(node)
    device.publish_birth()
    mark(device)


def rebirth(_):
    say("heard rebirth")
    if deaf.is_set():
        return
    # Not in the thread of the node's connection, which must not wait for itself; and wait it must: node and device have
    # a connection each, and the broker is free to pass on the device's birth first.
    threading.Thread(target=lambda: (births(), say("heard reborn"))).start()


node.commands.set_value("Node Control/Rebirth", False, callback_on_change=rebirth)


def birth():
    for entity in (node, device):
        tls = {"use_tls": True, "tls_ca_path": options.ca} if options.ca else {}
        user = {"user": options.username, "password": options.password} if options.username else {}
        client_id = options.id + ("" if entity is node else "-meter")
        if not entity.connect(options.host, options.port, timeout=30, client_id=client_id, **user, **tls):
            raise RuntimeError("no CONNACK")
    births()


def data(*words):
    values, at = readings(words)
    for name, value in values.items():
        device.data.set_value(name, value, timestamp=at)
    if not device.publish_data():
        raise RuntimeError("nothing to publish")
    mark(device)


def dataset():
    """Several values of one metric: the library makes a DataSet of them."""
    now = int(time.time() * 1000)
    device.data.set_value("temperature", [1.5, 2.5, 3.5], timestamp=[now - 2000, now - 1000, now])
    device.publish_data()
    mark(device)
    device.data.set_value("temperature", 20.0)


def leave():
    device.disconnect()
    node.disconnect()


converse({
    "birth": birth,
    "data": data,
    "dataset": dataset,
    "lose": lambda: f"seq={getSeqNum()}",
    "device-death": lambda: device.disconnect(),
    "deaf": deaf.set,
    "leave": leave,
})

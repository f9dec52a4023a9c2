"""A device that obeys commands of a topic, by paho-mqtt: `connect`, `send TOPIC TEXT`, `answer TOPIC TEXT`.

Subscribes to site/ID/cmd and tells `heard command JSON` of each. With --obey it answers on site/ID/cmd/result by itself.
"""

import json
import threading

import paho.mqtt.client as mqtt

from conversation import arguments, converse, say

parser = arguments(__doc__)
parser.add_argument("--obey", action="store_true")
options = parser.parse_args()
topic = f"site/{options.id}/cmd"
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=options.id, protocol=mqtt.MQTTv5)
subscribed = threading.Event()


def on_message(client, userdata, message):
    command = json.loads(message.payload)
    say("heard command", json.dumps(command))
    if options.obey:
        answer = {"id": command["id"], "ok": True, "message": "done", "result": {"was": command["name"]}}
        client.publish(topic + "/result", json.dumps(answer), qos=1)


client.on_message = on_message
client.on_connect = lambda client, *rest: client.subscribe(topic, qos=1)
client.on_subscribe = lambda *rest: subscribed.set()


def connect():
    client.connect(options.host, options.port, keepalive=30)
    client.loop_start()
    if not subscribed.wait(30):
        raise RuntimeError("no SUBACK")


def send(topic, *text):
    info = client.publish(topic, " ".join(text), qos=1)
    info.wait_for_publish(30)
    if not info.is_published():
        raise RuntimeError("no PUBACK")


converse({"connect": connect, "send": send})
